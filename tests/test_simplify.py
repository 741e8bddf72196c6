"""The simplifier leaves what a failure needs, in as few words as it takes, within its budget."""

from __future__ import annotations

from conformance.backend import Capabilities
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer
from conformance.engine.simplify import simplify
from conformance.facts import Outcome

LARGE = Recipe(I=5, H=4, layers=2, bidirectional=True, L=6, N=3, state="both", view="strided", gain=3.0, seed=9)


def test_only_what_the_failure_needs_is_left() -> None:
    """A failure that needs one element of x beyond 1 ends at one step, row, feature and unit, and no weight."""

    def fails(recipe: Recipe) -> Answer | None:
        return Answer(Outcome.FAILED) if abs(realise(recipe).x).max() > 1 else None

    recipe, _ = simplify(LARGE, Answer(Outcome.FAILED), fails, Capabilities(), "float32", budget=300)
    case = realise(recipe)
    assert case.x.shape == (1, 1, 1)
    assert recipe.layers == 1
    assert not any(value.any() for value in case.params.values())
    assert realise(parse(str(recipe))).x.tolist() == case.x.tolist()


def test_the_budget_is_kept_and_what_was_found_is_not_lost() -> None:
    runs = 0

    def fails(recipe: Recipe) -> Answer | None:
        nonlocal runs
        runs += 1
        return Answer(Outcome.FAILED)

    recipe, _ = simplify(LARGE, Answer(Outcome.FAILED), fails, Capabilities(), "float32", budget=3)
    assert runs == 3
    assert recipe != LARGE


def test_another_kind_of_failure_is_not_taken_for_the_same() -> None:
    recipe, answer = simplify(
        LARGE, Answer(Outcome.FAILED), lambda r: Answer(Outcome.ERROR), Capabilities(), "float32", budget=50
    )
    assert recipe == LARGE
    assert answer.outcome == "failed"


def test_neighbouring_ranges_are_told_as_one() -> None:
    def fails(recipe: Recipe) -> Answer | None:
        x = realise(recipe).x.ravel()
        return Answer(Outcome.FAILED) if len(x) == 5 and x[4] else None

    recipe, _ = simplify(Recipe(I=5, L=1, N=1), Answer(Outcome.FAILED), fails, Capabilities(), "float32", budget=300)
    assert [edit for edit in recipe.edits if edit.startswith("0:x")] == ["0:x[0:4]"]
    assert not realise(recipe).x.ravel()[:4].any()
