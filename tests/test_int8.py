"""int8: no values are declared, and a call must still give the same result whatever came before, beside or after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance import Backend, Capabilities, check_backend
from conformance.faults import FAULTS
from conformance.faults.fault import FULL
from conformance.faults.living import Living
from conformance.faults.twin import Twin
from conformance.spec import Array

INT8 = replace(FULL, dtypes=("float32",), arithmetic={"float32": "int8"})


def quantised(values: Array) -> tuple[Array, np.float32]:
    """Whole numbers from −127 to 127, and the one scale of the tensor."""
    scale = np.float32(np.abs(values).max(initial=0) / 127) or np.float32(1)
    return np.rint(values / scale), scale


def dot(x: Array, W: Array) -> Array:
    """x (N, n) and W (m, n) -> x Wᵀ (N, m), as products of 8-bit numbers: dynamic quantisation, one scale a tensor."""
    (a, of_x), (b, of_W) = quantised(x), quantised(W)
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.float32) * (of_x * of_W)


def in_int8(name: str, twin: Twin, capabilities: Capabilities = INT8) -> Backend:
    return Backend(name, capabilities, replace(twin, dot=dot, shared={}).build)


@pytest.mark.usefixtures("few_rows")
def test_a_correct_int8_lstm_passes_everything_that_needs_no_values() -> None:
    report = check_backend(in_int8("int8", Living()), cases=0, diagnose=0)
    assert report.conformant, [(v.property, v.message) for v in report.verdicts if v.outcome.bad]
    passed = {verdict.property for verdict in report.verdicts if verdict.outcome == "passed"}
    assert passed >= {
        *("purity.repeat", "purity.no-leak", "purity.reused-input", "purity.other-shape", "purity.two-models"),
        *("purity.threads", "purity.own-states", "purity.no-alias", "purity.result-survives", "purity.memory"),
        *("purity.load", "purity.load-copies", "purity.load-apart"),
    }


@pytest.mark.parametrize(
    ("fault", "property"),
    [
        ("state-leaks", "purity.no-leak"),
        ("kept-by-address", "purity.reused-input"),
        ("workspace-not-cleared", "purity.other-shape"),
        ("latest-model-runs", "purity.two-models"),
        ("static-h", "purity.threads"),
        ("load-forgets-biases", "purity.load"),
        ("load-into-equal-models", "purity.load-apart"),
        ("load-keeps-arrays", "purity.load-copies"),
    ],
)
def test_a_defect_of_history_is_seen_in_int8_too(fault: str, property: str) -> None:
    report = check_backend(in_int8(fault, FAULTS[fault].twin), cases=0, only=property, shrink=False, diagnose=0)
    assert [str(verdict.outcome) for verdict in report.verdicts] == ["failed"]
    assert "in a call of a fresh model" in report.verdicts[0].message
