"""The catalogue of faults, and the correct LSTM that they are made from."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from conformance.backend import Backend, Unsupported
from conformance.cases.case import handed, realise
from conformance.cases.recipe import VIEWS, Recipe, parse
from conformance.conventions import CONVENTIONS
from conformance.faults import (
    CLASSES,
    DIFFERENT,
    FAULTS,
    Different,
    Fault,
    backend_of,
    catalogue,
    twin_backend,
)
from conformance.faults.fault import (
    CALLS,
    GRADIENTS,
    LIVING,
    MEMORY,
    NONFINITE,
    OPTIONS,
    STALE,
    THREADS,
)
from conformance.reference.forward import lstm
from conformance.spec import DTYPES

WIDE = "I=3 H=9 layers=3 bidirectional L=17 N=5 state=both gain=3 seed=1"

#: Recipes in which, together, all but a few faults show.
SHOWING = (
    WIDE,
    "I=5 H=5 layers=2 L=6 N=3 state=h float64 seed=2",
    "I=4 H=6 layers=2 bidirectional batch-first proj=4 L=4 N=3 state=both float64 seed=3",
    "I=1 H=1 L=2 N=3 state=both seed=4",
    "I=66 H=130 L=3 N=2 state=c seed=5",
    "I=3 H=4 L=260 N=35 float64 gain=0.3 seed=6",
    "I=7 H=2 bidirectional unbatched L=1 N=1 state=both seed=7",
    "I=7 H=2 batch-first no-bias proj=1 L=1 N=1 state=both seed=8",
    "I=4 H=3 unbatched L=4 N=1 seed=9",
    "I=3 H=4 bidirectional ragged L=7 N=4 seed=10",
    "I=2 H=3 L=2 N=2 state=both fill=large-cell seed=11",
    "I=2 H=3 L=2 N=2 state=both fill=saturated seed=12",
    "I=5 H=4 L=9 N=2 state=both fill=gate-o seed=13",
    "I=5 H=4 L=9 N=2 float64 gain=10 seed=14",
    "I=2 H=4 layers=3 bidirectional L=2 N=2 state=h seed=15",
    "I=2 H=4 layers=2 no-bias proj=2 L=4 N=1 seed=16",
    "I=3 H=4 layers=2 bidirectional float64 ragged L=7 N=4 seed=17",
    "I=3 H=4 batch-first L=5 N=5 state=both ragged seed=18",
    "I=3 H=4 L=2 N=1 state=both ragged seed=18",
    "I=3 H=4 L=2 N=1 state=both ragged seed=21",
    "I=3 H=4 L=6 N=20 ragged seed=22",
    "I=3 H=4 L=6 N=20 ragged seed=26",
    "I=20 H=9 float16 L=5 N=3 state=both fill=large-cell seed=18",
    "I=20 H=9 layers=2 bfloat16 L=5 N=3 state=both seed=19",
    "I=20 H=3 float16 L=5 N=3 fill=subnormal seed=20",
    "I=64 H=64 L=2 N=8 state=both seed=23",
    "I=3 H=4 L=2 N=260 seed=24",
    "I=1030 H=520 L=2 N=2 seed=25",
    "I=2 H=2 L=140 N=3 ragged seed=27",
    "I=12 H=3 L=2 N=2 seed=28",
    "I=2 H=42 layers=5 L=48 N=2 seed=29",
    "I=3 H=520 layers=2 bidirectional ragged L=3 N=3 seed=30",
    "I=9 H=7 bidirectional L=131 N=67 seed=31",
    "I=3 H=131 L=3 N=67 seed=32",
    "I=3 H=131 L=509 N=1 seed=33",
    "I=3 H=4 batch-first unbatched L=4 N=1 seed=34",
    "I=3 H=270 float64 L=2 N=2 seed=35",
    "I=9 H=7 bidirectional ragged L=131 N=67 seed=36",
    "I=3 H=136 L=3 N=1 seed=37",
    "I=3 H=257 L=2 N=130 seed=38",
    "I=8200 H=2 L=1 N=1 seed=39",
    "I=2 H=2 L=1030 N=1 seed=40",
    "I=3 H=262 proj=258 L=3 N=1 seed=41",
    "I=2 H=2 ragged L=3 N=140 seed=42",
    "I=3 H=4 bidirectional batch-first L=4 N=1 seed=43",
)

#: Kinds whose faults show in a second call, in views, in refusals, in NaN: not in one call on ordinary arguments.
OTHERWISE = (OPTIONS, MEMORY, NONFINITE, CALLS, THREADS, STALE, LIVING)

#: Faults of the other kinds that do not either, or only in sizes and values that no recipe of SHOWING has.
ELSEWHERE = frozenset(
    {
        *("first-biases-for-all", "equal-biases-once", "pruned-rows-folded", "tied-directions"),
        *("layers-sorted-as-text", "h-0-clipped-at-8", "rows-past-512-start-like-the-first"),
        *("padding-times-zero", "lengths-kept-for-a-shape", "lengths-stay", "full-lengths-lose-the-state"),
        *("zero-steps-are-padding", "sigmoid-nan-past-88", "cell-tanh-nan-past-44", "sigmoid-seam"),
        *("input-clipped-at-a-million", "nan-from-scaling", "rows-past-1024", "rows-beside-128s"),
        *("hidden-past-1024", "persistent-past-40-steps", "steps-times-rows-of-16-bits", "output-offset-of-16-bits"),
        *("gate-row-offset-of-16-bits", "row-number-of-17-bits", "feature-number-of-16-bits"),
        *("step-counter-of-16-bits", "no-steps-forget-h-0", "no-steps-run-one", "no-steps-move-the-state"),
        *("no-rows-give-one", "no-rows-squeezed", "empty-call-clears-workspace", "length-0-takes-a-step"),
    }
)


def results(backend: Backend, text: str, view: str = "plain") -> list[Any]:
    """The parts of a call's result, or what it raised."""
    case = replace(realise(parse(text)), view=view)
    x, state, lengths = handed(case)
    try:
        forward = backend.build(case.config, {name: value.copy() for name, value in case.params.items()})
        with np.errstate(all="ignore"):
            output, (h_n, c_n) = forward(x, state) if lengths is None else forward(x, state, lengths=lengths)
    except (ValueError, IndexError, KeyError, Unsupported) as error:
        return [type(error).__name__]
    return [output, h_n, c_n]


@cache
def right(text: str) -> list[Any]:
    return results(twin_backend(), text)


def same(a: list[Any], b: list[Any]) -> bool:
    kinds = [[(type(part), getattr(part, "dtype", None)) for part in parts] for parts in (a, b)]
    return kinds[0] == kinds[1] and all(np.array_equal(p, q, equal_nan=True) for p, q in zip(a, b, strict=True))


def test_ids_are_unique_and_stable_words() -> None:
    ids = [fault.id for module in vars(catalogue).values() for fault in getattr(module, "FAULTS", ())]
    assert sorted(ids) == sorted(FAULTS)
    ids += [different.id for different in DIFFERENT]
    assert len(ids) == len(set(ids))
    # A composite is named for its parts, joined by a plus.
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id) for name in ids for id in name.split("+"))


def test_a_fault_that_shows_elsewhere_is_in_the_catalogue() -> None:
    assert not ELSEWHERE - FAULTS.keys()


def test_every_fault_says_what_it_is_and_every_class_has_one() -> None:
    assert {fault.kind for fault in FAULTS.values()} == set(CLASSES)
    for id, fault in FAULTS.items():
        assert fault.id == id
        assert fault.description.endswith(".")
        assert fault.stands_for
        assert fault.shows_when


def test_every_convention_is_a_fault_and_nothing_but_its_transformation() -> None:
    assert CONVENTIONS
    assert all(FAULTS[convention.id].transform is convention.transform for convention in CONVENTIONS)
    assert FAULTS["reverse-not-flipped-back"].transform is None


@pytest.mark.parametrize("text", SHOWING)
def test_the_twin_is_the_oracle(text: str) -> None:
    case = realise(replace(parse(text), dtype="float64"))
    x, state, lengths = handed(case)
    output, (h_n, c_n) = twin_backend().build(case.config, case.params)(x, state, lengths=lengths)
    want, (want_h, want_c) = lstm(case.config, case.params, x, state, lengths)
    for got, expected in ((output, want), (h_n, want_h), (c_n, want_c)):
        assert got.shape == expected.shape
        assert got.dtype == np.float64
        assert np.abs(got - expected).max() <= 1e-12 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("view", VIEWS)
def test_the_twin_reads_views(view: str) -> None:
    assert same(results(twin_backend(), WIDE, view), right(WIDE))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_twin_returns_the_dtype_of_its_config(dtype: str) -> None:
    recipe = replace(Recipe(I=2, H=3, L=2, N=2), dtype=dtype)
    assert [str(part.dtype) for part in results(twin_backend(), str(recipe))] == [dtype] * 3


def test_the_twin_refuses_what_does_not_fit() -> None:
    case = realise(parse("I=3 H=4 layers=2 L=2 N=2 state=both"))
    assert case.state is not None
    x, (h_0, c_0) = case.x, case.state
    forward = twin_backend().build(case.config, case.params)
    for wrong in (x[..., :-1], x[None], x.astype("float64"), x[:0]):
        with pytest.raises(ValueError, match="must be"):
            forward(wrong)
    for state in ((h_0[:1], c_0[:1]), (h_0[:, :1], c_0[:, :1]), (c_0[..., :2], h_0)):
        with pytest.raises(ValueError, match="must be"):
            forward(x, state)
    with pytest.raises(ValueError, match="lengths"):
        forward(x, lengths=np.array([3, 1]))


#: Faults of the forward pass that show in one call; those of the gradient are in ``test_vjp.py``.
FORWARD = [
    fault
    for fault in FAULTS.values()
    if fault.kind not in (GRADIENTS, *OTHERWISE) and not fault.capabilities.dropout and fault.id not in ELSEWHERE
]


@pytest.mark.parametrize("fault", FORWARD, ids=lambda fault: fault.id)
def test_a_fault_is_not_the_twin(fault: Fault) -> None:
    shows = not all(same(results(backend_of(fault), text), right(text)) for text in SHOWING)
    assert shows, f"{fault.id} shows on no recipe of SHOWING: add one there, or to ELSEWHERE what no single call shows"


STRIDES = [fault for fault in FAULTS.values() if "strides" in fault.kind and "reads" in fault.id]


@pytest.mark.parametrize("fault", STRIDES, ids=lambda fault: fault.id)
def test_a_fault_of_strides_shows_in_a_view(fault: Fault) -> None:
    wide = WIDE + " float64"
    assert same(results(backend_of(fault), wide), right(wide))
    assert not all(same(results(backend_of(fault), wide, view), right(wide)) for view in VIEWS)


@pytest.mark.parametrize("different", DIFFERENT, ids=lambda different: different.id)
def test_a_different_lstm_agrees_with_the_twin(different: Different) -> None:
    for text in SHOWING[:4]:
        for got, want in zip(results(different.backend, text), right(text), strict=True):
            assert np.abs(got - want).max() <= 1e-4


def test_a_backend_has_memory_of_its_own() -> None:
    stale = FAULTS["stale-by-config"]
    other = WIDE.replace("seed=1", "seed=2")
    first = backend_of(stale)
    assert same(results(first, WIDE), right(WIDE))
    assert not same(results(first, other), right(other))
    assert same(results(backend_of(stale), other), right(other))
