"""The conditions of a failure: found by experiments, within what is declared, and in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from conformance.backend import Backend, Capabilities
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import parse
from conformance.diagnosis.conditions import conditions
from conformance.diagnosis.right import right_parts
from conformance.diagnosis.thresholds import thresholds
from conformance.diagnosis.traits import features
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.reply import Reply
from conformance.engine.sieve import conform
from conformance.facts import Conditions, Trait
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.properties import catalogue
from conformance.spec import Array, LSTMConfig, Params, State

VALUES = catalogue()["values.output"]

#: Longer than any of these takes, so that time decides nothing.
LONG = 300.0


def spoiled(when: Callable[[LSTMConfig, Array, State | None, Array | None], bool]) -> Backend:
    """A correct LSTM whose output is too large where ``when`` says so."""

    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        model = Twin().build(config, params)

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            output, finals = model(x, state) if lengths is None else model(x, state, lengths)
            return (output * 1.01 if when(config, x, state, lengths) else output), finals

        return forward

    return Backend("spoiled", FULL, build)


def found(backend: Backend, recipe: str, id: str = "values.output") -> Conditions:
    """What is found around a failing recipe."""
    told = conditions(Here(backend), catalogue()[id], parse(recipe), time.monotonic() + LONG)
    assert told is not None
    return told


def traits(told: Conditions) -> set[tuple[str, str, object]]:
    """The traits without an order."""
    return {(trait.dimension, trait.relation, trait.value) for trait in told.traits}


def test_a_threshold_of_a_size() -> None:
    told = found(spoiled(lambda config, *call: config.hidden_size >= 23), "I=2 H=40 L=3 N=2")
    assert traits(told) == {("H", ">=", 23)}
    assert told.exact


def test_a_multiple() -> None:
    told = found(spoiled(lambda config, *call: config.hidden_size % 4 == 0), "I=2 H=8 L=2 N=2")
    assert traits(told) == {("H", "multiple of", 4)}
    assert told.exact


def test_layers_a_state_and_one_direction_together() -> None:
    backend = spoiled(lambda config, x, s, n: config.num_layers > 1 and s is not None and not config.bidirectional)
    told = found(backend, "I=1 H=2 layers=2 L=2 N=1 state=both")
    assert traits(told) == {("layers", ">=", 2), ("state", "not", "none"), ("bidirectional", "=", False)}
    assert told.exact


def test_one_dtype() -> None:
    told = found(spoiled(lambda config, *call: config.dtype == "float64"), "I=1 H=2 float64 L=2 N=1")
    assert traits(told) == {("dtype", "=", "float64")}
    assert told.exact


def test_what_tells_something_only_together() -> None:
    backend = spoiled(lambda config, x, *call: not (x.shape[-1] % 4 or config.hidden_size % 4 or x.shape[-2] % 4))
    told = found(backend, "I=4 H=4 L=2 N=4")
    assert {(trait.dimension, trait.relation) for trait in told.traits} >= {
        *((size, "multiple of") for size in ("I", "H", "N"))
    }


def test_equal_sizes() -> None:
    backend = spoiled(lambda config, x, *call: x.shape[0] == (x.shape[1] if x.ndim == 3 else 1))
    told = found(backend, "I=2 H=3 L=3 N=3")
    assert ("L", "=", "N") in traits(told) or ("N", "=", "L") in traits(told)
    assert told.failed == told.inside


def test_one_size_beyond_another() -> None:
    told = found(spoiled(lambda config, x, state, lengths: config.input_size > config.hidden_size), "I=5 H=3 L=2 N=2")
    assert traits(told) == {("I", ">", "H")}
    assert told.exact


@pytest.mark.parametrize(
    ("view", "shapes", "told"),
    [
        ("fortran", "I=2 H=2 L=1 N=1", ("plain", "plain")),
        ("fortran", "I=2 H=2 L=1 N=3", ("permuted", "permuted")),
        ("transposed", "I=2 H=2 L=1 N=3", ("plain", "plain")),
        ("transposed", "I=2 H=2 layers=2 L=1 N=3 state=c", ("plain", "permuted")),
        ("strided", "I=2 H=2 L=2 N=2", ("apart", "apart")),
        ("strided", "I=1 H=2 L=2 N=2", ("gapped", "gapped")),
        ("strided", "I=1 H=2 L=2 N=1 state=h", ("gapped", "gapped")),
        ("negative", "I=2 H=2 L=1 N=2 state=h", ("plain", "plain")),
        ("negative", "I=2 H=2 batch-first L=1 N=2", ("backwards", "backwards")),
        ("offset", "I=1 H=1 L=1 N=1", ("offset", "offset")),
    ],
)
def test_a_layout_counts_where_the_arrays_are_large_enough_to_show_it(
    view: str, shapes: str, told: tuple[str, str]
) -> None:
    known = features(replace(parse(shapes), view=view))
    assert (known["x_memory"], known["memory"]) == told
    assert known["contiguous"] == (told[1] in ("plain", "offset"))


def test_how_arrays_lie_in_memory() -> None:
    told = found(backend_of(FAULTS["reads-memory-order"]), "I=2 H=2 L=3 N=3 view=fortran")
    assert traits(told) == {("memory", "=", "permuted")}
    assert told.exact


def test_a_rare_exception_is_told_too() -> None:
    told = found(backend_of(FAULTS["reads-from-base"]), "I=2 H=2 L=3 N=3 view=strided")
    assert traits(told) == {("memory", "not", "plain"), ("memory", "not", "readonly")}


def test_the_longest_row_is_told_from_the_shortest() -> None:
    backend = spoiled(
        lambda config, x, s, n: (x.shape[config.batch_first and x.ndim == 3] if n is None else n.max()) >= 17
    )
    told = found(backend, "I=1 H=1 L=40 N=1")
    assert traits(told) == {("longest", ">=", 17)}


def test_a_row_of_one_step_in_reverse() -> None:
    backend = spoiled(lambda config, x, s, n: config.bidirectional and n is not None and n.min() == 1)
    told = found(backend, "I=1 H=2 bidirectional L=3 N=3 ragged seed=2")
    assert {("shortest", "=", 1), ("bidirectional", "=", True), ("ragged", "=", True)} <= {
        ("shortest", "=", 1) if trait[0] == "shortest" else trait for trait in traits(told)
    }


@pytest.mark.parametrize(("dtype", "ends"), [("float32", 44.36), ("float64", 354.89)])
def test_a_threshold_of_the_cell(dtype: str, ends: float) -> None:
    told = found(backend_of(FAULTS["cell-tanh-nan-past-44"]), f"I=1 H=1 {dtype} L=1 N=1 state=both", "values.gates")
    assert told.exact
    assert {trait.dimension for trait in told.traits} == {"dtype", "c"}
    [of_cell] = [trait for trait in told.traits if trait.dimension == "c"]
    assert of_cell.relation == ">="
    assert float(of_cell.value) == pytest.approx(ends, abs=0.01)


def test_a_correct_lstm_has_none() -> None:
    judge = Here(twin_backend())
    assert thresholds(judge, "float32", lambda: None) is None
    assert conditions(judge, VALUES, parse("I=1 H=1 L=1 N=1"), time.monotonic() + LONG) is None


def test_what_fails_everywhere_has_no_traits() -> None:
    told = found(spoiled(lambda *call: True), "I=1 H=1 L=1 N=1")
    assert told.traits == ()
    assert told.failed == told.inside > 0
    assert told.outside == 0


class Watched(Here):
    """A judge that remembers the calls it was asked for."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.cases: list[Case] = []

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        self.cases.append(case)
        return super().call(case, cotangents)


def test_what_is_not_declared_is_not_asked() -> None:
    backend = spoiled(lambda config, x, *call: x.shape[0] > 2)
    judge = Watched(replace(backend, capabilities=Capabilities(initial_state=False)))
    told = conditions(judge, VALUES, parse("I=1 H=1 L=3 N=1"), time.monotonic() + LONG)
    assert told == Conditions((Trait("L", ">=", 3),), told.failed, told.failed, 0, told.outside) if told else None
    assert judge.cases
    plain = LSTMConfig(1, 1)
    for case in judge.cases:
        assert replace(case.config, input_size=1, hidden_size=1) == plain
        assert case.state is case.lengths is None
        assert not case.unbatched


def test_nothing_is_asked_after_the_deadline() -> None:
    judge = Watched(spoiled(lambda *call: True))
    assert conditions(judge, VALUES, parse("I=1 H=1 L=1 N=1"), time.monotonic() - 1.0) is None
    assert judge.cases == []


def test_a_deadline_keeps_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def ticking() -> float:
        nonlocal now
        now += 1.0
        return now

    monkeypatch.setattr("conformance.diagnosis.asking.time.monotonic", ticking)
    judge = Watched(spoiled(lambda config, x, *call: config.num_layers > 1))
    told = conditions(judge, VALUES, parse("I=1 H=1 layers=2 L=1 N=1"), 70.0)
    assert told is not None
    assert len(judge.cases) <= 70


def test_what_is_right_beside_what_is_wrong() -> None:
    backend = backend_of(FAULTS["c-n-squashed"])
    report = conform(backend, Settings(0, only=("values", "lengths.padding"), fixed=True, shrink=False))
    assert {"output", "h_n"} <= set(right_parts(report))
    assert "c_n" not in right_parts(report)
    assert right_parts(replace(report, verdicts=())) == ()


def test_a_window_is_told_with_both_ends() -> None:
    told = thresholds(Here(backend_of(FAULTS["tanh-dented"])), "float64", lambda: None)
    assert told is not None
    ends = [float(trait.value) for trait in told.traits if trait.dimension != "dtype"]
    assert np.allclose(ends, (2.4, 2.6), atol=0.01)
