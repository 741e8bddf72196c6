"""Each variant that a property takes in turn is met whatever the seed, and a recipe's turn asks for it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform, replay
from conformance.faults import FAULTS, backend_of
from conformance.properties import catalogue
from conformance.properties.model import pairs
from conformance.targets.find import find
from conformance.trials.trial import Trial


class Recording(Here):
    """Keeps, for each property and each choice that it makes in turn, the variants of the cases that passed."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(find(name))
        #: By property and number of variants.
        self.met: dict[tuple[str, int], set[int]] = defaultdict(set)
        self._chosen: set[tuple[int, int]] = set()
        original = Trial.in_turn

        def in_turn(trial: Trial, variants: Sequence[Any]) -> Any:
            if len(variants) > 1:
                self._chosen.add((len(variants), trial.turn % len(variants)))
            return original(trial, variants)

        monkeypatch.setattr(Trial, "in_turn", in_turn)

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self._chosen.clear()
        for inquiry, answer in super().ask(recipe, inquiries, stop, brief):
            if answer.outcome == "passed":
                for count, variant in self._chosen:
                    self.met[inquiry.property.id, count].add(variant)
            self._chosen.clear()
            yield inquiry, answer


@pytest.mark.parametrize("gradients", [True, False])
def test_every_variant_is_met(gradients: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the properties that have several, in two halves that take about as long."""
    judge, known = Recording("numpy", monkeypatch), catalogue()
    several = tuple(p.id for p in known.values() if p.turns > 1 and (p.group == "gradients") == gradients)
    report = conform(judge, Settings(cases=40, seed=6, only=several, shrink=False))
    assert {v.outcome for v in report.verdicts} == {"passed"}
    assert {id for id, _ in judge.met} == set(several)
    for (id, count), variants in judge.met.items():
        assert count <= known[id].turns, id
        assert variants == set(range(min(count, known[id].limit or count))), (id, count)


def test_a_recipes_turn_asks_for_the_same_variant_again() -> None:
    backend = backend_of(FAULTS["padding-times-zero"])
    report = conform(backend, Settings(cases=20, only=("lengths.padding",), shrink=False))
    [verdict] = report.verdicts
    assert verdict.outcome == "failed"
    assert verdict.recipe is not None
    recipe = parse(verdict.recipe)
    assert recipe.turn > 0
    [(_, answer)] = replay(backend, [recipe], Settings(only=("lengths.padding",)))
    assert (answer.outcome, answer.fact) == ("failed", verdict.fact)


def test_pairs_change_both_choices_from_one_to_the_next() -> None:
    listed = pairs("abc", (1, 2))
    assert listed[:3] == [("a", 1), ("b", 2), ("c", 1)]
    assert sorted(listed) == sorted((one, other) for one in "abc" for other in (1, 2))
