"""The conditions on earlier calls: which must have been made, and which call then shows a mistake."""

from __future__ import annotations

import time

import pytest

from conformance.cases.recipe import Recipe
from conformance.diagnosis.earlier import earlier_calls
from conformance.diagnosis.prediction import Predictions
from conformance.engine.judging import Here
from conformance.facts import Conditions
from conformance.faults import backend_of, twin_backend
from conformance.faults.families import known
from conformance.report.where import conditions


def told(fault: str) -> Conditions | None:
    backend = backend_of(known()[fault]) if fault else twin_backend()
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


@pytest.mark.parametrize("fault", ["", "none-is-small", "x-scaled-in-place"])
def test_where_a_first_call_is_wrong_or_none_is_earlier_calls_have_no_part(fault: str) -> None:
    assert told(fault) is None
