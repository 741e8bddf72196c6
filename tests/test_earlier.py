"""The conditions on earlier calls: which must have been made, and which call then shows a mistake."""

from __future__ import annotations

import time

import pytest

from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.diagnosis.earlier import earlier_calls
from conformance.diagnosis.prediction import Predictions
from conformance.engine.judging import Here
from conformance.facts import Conditions
from conformance.faults import backend_of, twin_backend
from conformance.faults.alter import Model, Results, called
from conformance.faults.families import known
from conformance.faults.fault import FULL
from conformance.report.where import conditions
from conformance.spec import Array, State


def told(fault: str) -> Conditions | None:
    return told_of(backend_of(known()[fault]) if fault else twin_backend())


def told_of(backend: Backend) -> Conditions | None:
    return earlier_calls(Here(backend), Predictions(backend), Recipe(), "float32", time.monotonic() + 600)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("state-leaks", "exactly where no state is given and the call before had as many rows"),
        ("biases-summed-at-every-call", "exactly where the model was called before"),
    ],
)
def test_what_a_call_takes_from_the_one_before_is_told_by_both(fault: str, words: str) -> None:
    found = told(fault)
    assert found is not None
    assert found.exact
    assert conditions(found).startswith(words)


def test_what_one_earlier_call_must_have_had_at_once_is_told() -> None:
    def change(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
        output, finals = model.call(x, state, lengths)
        kept = model.memory.setdefault("rows", [])
        spoils = any(rows == model.rows(x) and given for rows, given in kept)
        kept.append((model.rows(x), state is not None))
        return (2 * output if spoils else output), finals

    found = told_of(Backend("by rows", FULL, called(change).build))
    assert found is not None
    assert found.exact
    assert conditions(found).startswith("exactly where an earlier call had as many rows and a state (")


def test_what_models_of_equal_sizes_share_does_not_spoil_the_sequences() -> None:
    found = told("stale-by-config")
    assert found is not None
    # The model that was built first is right, whatever came before.
    assert conditions(found).startswith("only where another model was called before, but not always there")
    assert not found.failed_outside


@pytest.mark.parametrize("fault", ["", "none-is-small", "x-scaled-in-place"])
def test_where_a_first_call_is_wrong_or_none_is_earlier_calls_have_no_part(fault: str) -> None:
    assert told(fault) is None
