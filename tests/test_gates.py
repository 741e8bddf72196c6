"""values.gates names the gate that is wrong, whatever the others do beside it, in minimal cases too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance.backend import Backend
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, twin_backend
from conformance.faults.equations import gate
from conformance.faults.twin import Place, Twin, cell
from conformance.spec import GATES, Array

ONLY = Settings(cases=3, only=("values.gates",), fixed=False)


def told(twin: Twin, **settings: bool) -> str:
    """What is named before the numbers."""
    capabilities = replace(twin_backend().capabilities, dtypes=("float32",))
    [verdict] = conform(Backend("wrong", capabilities, twin.build), replace(ONLY, **settings)).verdicts
    assert verdict.outcome == "failed"
    return verdict.message.partition(":")[0]


#: Ways in which a gate may be wrong, and how it is named: a factor alone cannot be told from that of the other one.
CHANGES = {
    "a little": lambda v: v * (1 - 1e-4 * v),
    "added": lambda v: v + 1,
    "other end": lambda v: -v,
    "half of it": lambda v: v / 2 + 0.25,
    "squared": lambda v: v * v,
}


@pytest.mark.parametrize("shrink", [False, True])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("index", range(4))
def test_the_gate_that_is_wrong_is_named(index: int, change: str, shrink: bool) -> None:
    named = told(gate(index, CHANGES[change]), shrink=shrink)
    if change == "other end":
        assert named in ("gate i or g", "gate f", "gate o or tanh(c)")
        assert GATES[index] in named
    else:
        assert named == f"gate {GATES[index]}"


@pytest.mark.parametrize(
    ("fault", "names"),
    {
        "forget-bias-one": "gate f",
        "forget-bias-after-sigmoid": "gate f",
        "gate-order-ifog": "gates g and o",
        "gate-order-figo": "gates i and f",
        "gate-order-igfo": "gates f and g",
        "candidate-through-sigmoid": "gate g",
        "candidate-linear": "gate g",
        "output-gate-tanh": "gate o",
        "hidden-without-tanh": "tanh(c)",
    }.items(),
)
@pytest.mark.parametrize("shrink", [False, True])
def test_exchanged_gates_are_both_named_and_defects_by_what_they_touch(fault: str, names: str, shrink: bool) -> None:
    assert told(FAULTS[fault].twin, shrink=shrink) == names


def test_what_is_no_gate_is_not_called_one() -> None:
    def larger(twin: Twin, at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
        return np.where(np.abs(c) > 60, c, cell(twin, at, i, f, g, c))

    assert "with gate o alone" in told(Twin(cell=larger), shrink=False)


@pytest.mark.parametrize(
    "fault", ["recurrent-weights-transposed", "h-0-ignored", "c-0-ignored", "recurrent-bias-ignored"]
)
def test_no_gate_is_named_for_weights_states_or_biases(fault: str) -> None:
    assert told(FAULTS[fault].twin, shrink=False).endswith(" alone")
