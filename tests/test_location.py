"""Where results are wrong, and in which coarser arithmetic: told right of faults whose place is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from conformance.backend import Backend
from conformance.cases.case import Case
from conformance.diagnosis.confirmation import fresh_cases
from conformance.diagnosis.library import twin_of
from conformance.diagnosis.location import UNITS, locate
from conformance.diagnosis.precision import rounded
from conformance.diagnosis.prediction import Predictions
from conformance.engine.reply import Reply, reply
from conformance.facts import Alteration, Place
from conformance.faults import twin as correct
from conformance.faults.alter import beyond, past
from conformance.faults.families import known
from conformance.faults.fault import FULL
from conformance.faults.sizes import CELLS, ROWS
from conformance.faults.twin import Place as At
from conformance.faults.twin import Twin, Weights
from conformance.spec import Array, State

Pairs = list[tuple[Case, Reply]]


@lru_cache
def cases(dtypes: tuple[str, ...]) -> tuple[Predictions, list[Case]]:
    """Fresh cases of a backend that declares all, and what is predicted of them."""
    backend = Backend("altered", replace(FULL, dtypes=dtypes), Twin().build)
    fresh = fresh_cases(backend, lambda call: Reply(), [], time.monotonic() + 60)
    drawn = [one.call.case for one in fresh]
    return Predictions(backend), [case for case in drawn if case.steps * case.config.num_layers < 16][:24]


def asked(twin: Twin, dtypes: tuple[str, ...] = ("float32",)) -> tuple[Predictions, Callable[[Case], Reply], Pairs]:
    """An altered LSTM as a backend, how it is called, and its replies to fresh cases."""
    predictions, fresh = cases(dtypes)
    backend = replace(predictions.backend, build=twin.build)
    return predictions, lambda case: reply(backend, case), [(case, reply(backend, case)) for case in fresh]


def place(twin: Twin | None, hypothesis: tuple[Alteration, ...] = ()) -> Place | None:
    assert twin is not None
    return locate(*asked(twin), hypothesis)


def of(fault: str, *scope: str) -> Twin:
    twin = twin_of([Alteration(fault, scope)])
    assert twin is not None
    return twin


def _last_step_forgets(twin: Twin, at: At, w: Weights, x: Array, h: Array, c: Array) -> State:
    """The last of several steps misses its cell."""
    return correct.step(twin, at, w, x, h, 0 * c if 1 < at.steps == at.t + 1 else c)


def test_a_correct_lstm_is_wrong_nowhere() -> None:
    assert place(Twin()) is None


@pytest.mark.parametrize(
    ("twin", "fields"),
    [
        (of("c-n-squashed"), {"tensors": ("c_n",), "layers": (), "first_step": None, "gates": ()}),
        (of("h-n-zeros", "reverse"), {"tensors": ("h_n",), "directions": (1,)}),
        (of("hidden-without-tanh"), {"tensors": ("output", "h_n"), "gates": ()}),
        (of("candidate-linear"), {"gates": ("g",), "tensors": (), "layers": (), "first_step": 0}),
        (of("hard-sigmoid"), {"gates": ("i", "f", "o")}),
        (of("forget-gate-in-half"), {"gates": ("f",)}),
        (of("output-gate-tanh"), {"gates": ("o",), "tensors": ("output", "h_n")}),
        # It depends on another gate, and what is read in another order on nothing else than the other gates.
        (of("input-forget"), {"gates": ()}),
        (of("gate-order-iofg"), {"gates": ()}),
        (of("c-0-ignored"), {"gates": ()}),
        (of("third-layer-h-0-ignored"), {"layers": (2,)}),
        (of("upper-reverse-not-flipped"), {"layers": (1, 2), "directions": (1,)}),
        (of("first-row-output-gate"), {"rows": (1, 2, 3)}),
        (beyond(ROWS, past(2), lambda v: 0 * v), {"rows": (2, 3), "first_step": 0}),
        (beyond(CELLS, past(6), lambda v: 0 * v), {"units": (6, 7)}),
        (Twin(step=_last_step_forgets), {"steps": (-1,)}),
    ],
)
def test_the_place_of_a_fault(twin: Twin, fields: dict[str, Any]) -> None:
    found = place(twin)
    assert found is not None
    assert {name: getattr(found, name) for name in fields} == fields


def test_what_a_hypothesis_explains_is_no_place() -> None:
    both = twin_of([Alteration("gate-order-iofg"), Alteration("c-n-squashed")])
    found = place(both, (Alteration("gate-order-iofg"),))
    assert found is not None
    assert found.tensors == ("c_n",)


def test_the_error_is_told_in_roundoffs() -> None:
    found = place(of("c-n-squashed"))
    assert found is not None
    assert found.error is not None
    assert found.in_roundoffs.keys() == UNITS.keys()
    assert found.in_roundoffs["bfloat16"] * 2**16 == pytest.approx(found.in_roundoffs["float32"])


@lru_cache
def arithmetic(fault: str, dtypes: tuple[str, ...] = ("float32",), without: frozenset[str] = frozenset()) -> str | None:
    found = rounded(*asked(known()[fault].twin, dtypes), lambda: False, without)
    return None if found is None else found.fault


@pytest.mark.parametrize("fault", ["tf32", "bf16-factors", "half-accumulation", "stored-in-float16"])
def test_a_coarser_arithmetic_is_told_by_its_mark(fault: str) -> None:
    assert arithmetic(fault) == fault
    # Without its own, a coarser one still would allow it.
    assert arithmetic(fault, without=frozenset({fault})) is None


def test_float64_in_float32_is_told() -> None:
    assert arithmetic("float32-for-float64", ("float32", "float64")) == "float32-for-float64"


@pytest.mark.parametrize(
    "fault",
    ["leaky-forget", "peephole", "tf32-input-projection", "weights-in-half", "cell-in-half", "recurrent-h-in-half"],
)  # fmt: skip
def test_a_small_mistake_within_a_coarser_bound_is_no_arithmetic(fault: str) -> None:
    assert arithmetic(fault) is None
