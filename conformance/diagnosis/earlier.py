"""The conditions of a failure that earlier calls bring about: which must have been made, and which call then shows it.

Random sequences of calls are asked, half of them near such as were wrong, and the last call of each is judged by the
oracle. What tells those that are wrong from the others are traits of the last call and of the calls before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from conformance.backend import Capabilities
from conformance.cases.case import realise
from conformance.cases.recipe import STATES, Recipe
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call
from conformance.diagnosis.session import answered
from conformance.diagnosis.table import Sample, Table
from conformance.diagnosis.traits import EARLIER, ORDER, features, holds
from conformance.engine.judging import Answering
from conformance.facts import Conditions, Trait, Unsupported

#: Sequences that are asked at first; if fewer are wrong, none depends on earlier calls. How many more are asked; and
#: how many fresh ones give the counts, which are asked again, so many times, if they contradict what was told.
_FIRST, _LEAST, _MORE, _FRESH, _TIMES = 100, 2, 150, 60, 4

#: The share of a sequence's fields that one near it keeps.
_KEPT = 0.75

#: The numbers of features and of units that models of one sequence after the other have.
_FEATURES, _UNITS = 40, 20

#: The fields of a call that differ within a sequence.
_VARIED = ("L", "N", "state", "ragged")


class _Calls(NamedTuple):
    """A call and those before it, the last one first, and which of them are of its model."""

    recipes: tuple[Recipe, ...]
    own: tuple[bool, ...]


class Sequences:
    """Sequences of calls of models like that of a recipe, of small sizes; the same ones for the same seed.

    Each has models of sizes that no other has: what models of equal sizes share is new to it.
    """

    def __init__(self, judge: Answering, predictions: Predictions, recipe: Recipe, dtype: str, seed: int = 0) -> None:
        self._judge, self._predictions, self._rng, self._number = judge, predictions, Random(seed), seed
        self._base = replace(_plain(recipe), dtype=dtype)
        self._failing = list[_Calls]()

    def ask(self, count: int, deadline: float) -> list[Sample]:
        """So many sequences, and whether the last call of each is wrong; fewer by the deadline."""
        asked = list[Sample]()
        while len(asked) < count and time.monotonic() < deadline:
            calls = self._drawn()
            known, call = _features(calls), _call(self._apart(calls))
            reply = answered(self._judge, call)
            if isinstance(reply.fact, Unsupported):
                continue
            asked.append(Sample(known, not self._predictions.explains((), call, reply)))
            if asked[-1].failed:
                self._failing.append(calls)
        return asked

    def _drawn(self) -> _Calls:
        rng, c = self._rng, self._judge.backend.capabilities
        recipes = [self._one(c) for _ in range(rng.choice((1, 2, 2, 3, 4)))]
        own = [True, *(rng.random() < 0.85 for _ in recipes[1:])]
        recipes = [replace(one, L=recipes[0].L, N=recipes[0].N) if rng.random() < 0.4 else one for one in recipes]
        if self._failing and rng.random() < 0.5:
            near = rng.choice(self._failing)
            size = len(near.recipes) if rng.random() < _KEPT else len(recipes)
            recipes = [*recipes, *(self._one(c) for _ in near.recipes)][:size]
            for k, other in enumerate(near.recipes[:size]):
                kept = {name: getattr(other, name) for name in _VARIED if rng.random() < _KEPT}
                recipes[k] = replace(recipes[k], **kept)
            own = [*near.own, *own, *[True] * size][:size]
        return _Calls(tuple(recipes), tuple(own))

    def _apart(self, calls: _Calls) -> _Calls:
        """The calls of models of the next sizes."""
        self._number += 1
        units, features = divmod(self._number % (_FEATURES * _UNITS), _FEATURES)
        base = self._base
        return calls._replace(recipes=tuple(replace(r, I=base.I + features, H=base.H + units) for r in calls.recipes))

    def _one(self, c: Capabilities) -> Recipe:
        rng = self._rng
        return replace(
            self._base,
            L=rng.randrange(1, 6),
            N=rng.randrange(1, 5) if c.batch else 1,
            state=rng.choice(STATES) if c.initial_state else "none",
            ragged=c.lengths and c.batch and rng.random() < 0.4,
            seed=rng.randrange(2**32),
        )


def earlier_calls(
    judge: Answering, predictions: Predictions, recipe: Recipe, dtype: str, deadline: float
) -> Conditions | None:
    """The conditions on earlier calls under which a call fails that is right without them; None if there are none."""
    sequences = Sequences(judge, predictions, recipe, dtype)
    table = Table(sequences.ask(_FIRST, deadline))
    if sum(sample.failed for sample in table.samples) < _LEAST:
        return None
    table.samples += sequences.ask(_MORE, deadline)
    if any(sample.failed and not _followed(sample) for sample in table.samples):
        return None
    traits, fresh = table.smallest(), list[Sample]()
    for _ in range(_TIMES):
        fresh = sequences.ask(_FRESH, deadline)
        table.samples += fresh
        before, traits = traits, table.smallest(traits)
        if traits == before:
            break
    return _counted(traits, fresh or table.samples)


def of_earlier_calls(trait: Trait) -> bool:
    """Whether a trait is of the calls before another."""
    return trait.dimension == "earlier" or trait.dimension.startswith(("after_", "previous_"))


def _followed(sample: Sample) -> bool:
    return bool(sample.features["earlier"] or sample.features["after_other_model"])


def _counted(traits: tuple[Trait, ...], samples: Sequence[Sample]) -> Conditions | None:
    inside = [one.failed for one in samples if all(holds(trait, one.features) for trait in traits)]
    outside = [one.failed for one in samples if not all(holds(trait, one.features) for trait in traits)]
    told = tuple(sorted(traits, key=lambda trait: ORDER.index(trait.dimension)))
    return Conditions(told, sum(inside), len(inside), sum(outside), len(outside)) if traits else None


def _plain(recipe: Recipe) -> Recipe:
    """The model of a recipe, made small."""
    model = {name: getattr(recipe, name) for name in ("layers", "bidirectional", "bias", "batch_first")}
    return Recipe(I=3, H=4, proj=min(recipe.proj, 2), **model)


def _call(calls: _Calls) -> Call:
    first, *cases = [realise(one) for one in calls.recipes]
    before = [
        Call(replace(case, params=first.params) if own else case)
        for case, own in zip(cases, calls.own[1:], strict=True)
    ]
    return Call(first, before=tuple(before))


def _features(calls: _Calls) -> dict[str, Any]:
    last, *before = calls.recipes
    same = [one for one, own in zip(before, calls.own[1:], strict=True) if own]
    known = features(last) | {"earlier": len(same), "after_other_model": not all(calls.own)}
    had = [{what for what, test in _TESTS.items() if test(one, last)} for one in same]
    for names in EARLIER:
        each = [one.issuperset(names) for one in had]
        known[f"after_{'+'.join(names)}"] = any(each)
        known[f"previous_{'+'.join(names)}"] = bool(each) and each[-1]
    return known


#: What is asked of a call before another, by its name in ``traits.py``.
_TESTS: dict[str, Callable[[Recipe, Recipe], bool]] = {
    "same_rows": lambda one, last: one.N == last.N,
    "same_steps": lambda one, last: one.L == last.L,
    "more_steps": lambda one, last: one.L > last.L,
    "fewer_steps": lambda one, last: one.L < last.L,
    "more_rows": lambda one, last: one.N > last.N,
    "fewer_rows": lambda one, last: one.N < last.N,
    "one_row": lambda one, last: one.N == 1,
    "lengths": lambda one, last: one.ragged,
    "no_lengths": lambda one, last: not one.ragged,
    "state": lambda one, last: one.state != "none",
    "no_state": lambda one, last: one.state == "none",
}
