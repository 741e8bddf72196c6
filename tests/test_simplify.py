"""The simplifier leaves what a failure needs, in as few words as it takes, within its budget."""

from __future__ import annotations

import numpy as np

from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer
from conformance.engine.simplify import _joined, simplify
from conformance.facts import Outcome

LARGE = Recipe(I=5, H=4, layers=2, bidirectional=True, L=6, N=3, state="both", view="strided", gain=3.0, seed=9)


def test_only_what_the_failure_needs_is_left() -> None:
    """A failure that needs one element of x beyond 1 ends at one step, row, feature and unit, and no weight."""

    def fails(recipe: Recipe) -> Answer | None:
        return Answer(Outcome.FAILED) if abs(realise(recipe).x).max() > 1 else None

    recipe, _ = simplify(LARGE, Answer(Outcome.FAILED), fails, None, "float32", budget=300)
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

    recipe, _ = simplify(LARGE, Answer(Outcome.FAILED), fails, None, "float32", budget=3)
    assert runs == 3
    assert recipe != LARGE


def test_another_kind_of_failure_is_not_taken_for_the_same() -> None:
    recipe, answer = simplify(
        LARGE, Answer(Outcome.FAILED), lambda r: Answer(Outcome.ERROR), None, "float32", budget=50
    )
    assert recipe == LARGE
    assert answer.outcome == "failed"


def test_neighbouring_ranges_are_joined() -> None:
    edits = ("-t1", "0:x[2]", "0:x[0:2]", "0:bias_hh_l0[0]", "0:bias_hh_l0[3]", "1:x", "r:c_0")
    joined = ("-t1", "0:x[0:3]", "0:bias_hh_l0[0]", "0:bias_hh_l0[3]", "1:x", "r:c_0")
    assert _joined(edits) == joined
    assert _joined(joined) == joined


def test_joined_edits_make_the_same_case() -> None:
    base = Recipe(I=3, H=2, L=4, N=2, edits=("-t3", "0:weight_ih_l0[0:3]", "0:weight_ih_l0[3:9]", "1:x[0]", "1:x[1]"))
    joined = Recipe(I=3, H=2, L=4, N=2, edits=_joined(base.edits))
    first, second = realise(base), realise(joined)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.params["weight_ih_l0"], second.params["weight_ih_l0"])
