"""Reduced precision as a cause: a coarser arithmetic than the declared one, told by the mark that its rounding leaves.

A bound of a coarser arithmetic alone confirms nothing: any small mistake is within it. So each arithmetic has a mark of
its own as well. What is stored in fewer digits comes back with fewer. Products of factors that have few digits to begin
with are right, and one factor with more makes them wrong. Sums of a single term are right, and sums of many are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.backend import Backend
from conformance.bounds.rounding import Arithmetic, arithmetic
from conformance.cases.case import Case, realise
from conformance.cases.recipe import Recipe
from conformance.diagnosis.confirmation import TELLING
from conformance.diagnosis.prediction import Predictions, named, reference
from conformance.diagnosis.probes import Call as Asked
from conformance.engine.reply import Reply
from conformance.faults.families import known
from conformance.faults.precision import significand
from conformance.spec import Array, Result, finfo, numpy_dtype

Pair = tuple[Case, Reply]

#: A case in which the coarser bound is a larger share of the values than this says nothing.
_VAGUE = 0.25


@dataclass(frozen=True)
class Coarser:
    """An arithmetic with fewer digits than a dtype has: the fault that it is, its bound, and its mark."""

    fault: str
    dtype: str
    arithmetic: Arithmetic
    #: The dtype in which everything is stored; or the bits to which factors are rounded; else sums are short.
    stored: str = ""
    factors: int = 0

    def explains(self, case: Case, actual: Reply) -> bool | None:
        """Whether results are within its bound; None where that says nothing."""
        if actual.result is None or case.config.dtype != self.dtype:
            return None
        told = False
        wanted, bounds = reference(Asked(case), self.arithmetic)
        for name, got in named(actual).items():
            want, bound = wanted[name], bounds[name]
            if got.shape != want.shape or not (np.abs(got - want) <= bound).all():
                return False
            told |= bool(np.max(bound, initial=0.0) <= _VAGUE * np.max(np.abs(want), initial=0.0))
        return True if told else None


@dataclass(frozen=True)
class Rounded:
    """A coarser arithmetic that a backend was found to compute in."""

    #: The id of the fault that it is.
    fault: str
    #: Cases that are right in it, and all of those that say something.
    explained: int
    tried: int


def rounded(
    predictions: Predictions,
    call: Callable[[Case], Reply],
    cases: Sequence[Pair],
    late: Callable[[], bool],
    without: frozenset[str] = frozenset(),
) -> Rounded | None:
    """The finest coarser arithmetic that explains all cases and has left its mark; it is none of ``without``."""
    wrong = [case for case, reply in cases if not predictions.explains((), Asked(case), reply)]
    dtypes = list(dict.fromkeys(case.config.dtype for case in wrong))
    if len(wrong) < TELLING:
        return None
    for first in coarser_arithmetics(dtypes[0]):
        several = [one for dtype in dtypes for one in coarser_arithmetics(dtype) if one.fault == first.fault]
        if first.fault in without or late() or len(several) < len(dtypes):
            continue
        own = [(one, pair) for one in several for pair in cases if pair[0].config.dtype == one.dtype]
        told = [one.explains(*pair) for one, pair in own]
        if False in told or told.count(True) < TELLING:
            continue
        if all(marked(one, predictions, call, [pair for other, pair in own if other is one]) for one in several):
            return Rounded(first.fault, told.count(True), len(told) - told.count(None))
    return None


def coarser_arithmetics(dtype: str) -> Iterator[Coarser]:
    """Those that a dtype may be computed in, from the finest on."""
    if finfo(dtype).bits == 16:
        yield Coarser("half-sums", dtype, _declared(dtype, "half-accumulate"))
        return
    if dtype == "float64":
        yield Coarser("float32-for-float64", dtype, _stored("float32"), stored="float32")
    yield Coarser("tf32", dtype, _declared(dtype, "tf32"), factors=10)
    yield Coarser("half-accumulation", dtype, _declared(dtype, "half-accumulate"))
    yield Coarser("bf16-factors", dtype, _declared(dtype, "bf16-inputs"), factors=7)
    for stored in ("float16", "bfloat16"):
        if f"stored-in-{stored}" in known():
            yield Coarser(f"stored-in-{stored}", dtype, _stored(stored), stored=stored)


def _declared(dtype: str, kind: str) -> Arithmetic:
    found = arithmetic(dtype, {dtype: kind})
    assert found is not None, "only int8 has none"
    return found


def _stored(dtype: str) -> Arithmetic:
    """Everything in another dtype, what is handed over too."""
    own = _declared(dtype, "ieee")
    return replace(own, given=own.unit)


# Marks


def marked(coarser: Coarser, predictions: Predictions, call: Callable[[Case], Reply], cases: Sequence[Pair]) -> bool:
    """Whether results have the mark of a coarser arithmetic."""
    if coarser.stored:
        return all(_has_digits_of(coarser.stored, reply.result) for _, reply in cases if reply.result is not None)
    backend = predictions.backend
    if backend.capabilities.fixed is not None:
        return False
    asked = _of_factors(coarser, backend) if coarser.factors else _of_sums(coarser, backend)
    return all(predictions.explains((), Asked(case), call(case)) == right for case, right in asked)


def _has_digits_of(dtype: str, result: Result) -> bool:
    narrow = numpy_dtype(dtype)
    with np.errstate(all="ignore"):
        return all(
            np.array_equal(part, part.astype(narrow).astype(part.dtype), equal_nan=True)
            for part in result.in_float64()
            if part is not None
        )


def _step(backend: Backend, dtype: str, **sizes: int) -> Recipe:
    """One step, with a state where it may be given."""
    c = backend.capabilities
    state = "both" if c.initial_state else "none"
    recipe = Recipe(I=11, H=7, L=1, N=1, dtype=dtype, state=state, batch_first=not c.time_major, gain=2.0)
    return replace(recipe, **sizes)


def _of_factors(coarser: Coarser, backend: Backend) -> Iterator[tuple[Case, bool]]:
    """Right where all factors have few digits, though biases and cells have all; wrong where one has a digit more."""
    case, few = realise(_step(backend, coarser.dtype)), significand(coarser.factors)
    factors = ("weight_ih", "x", "weight_hh", "h_0") if case.state is not None else ("weight_ih", "x")
    yield _changed(case, dict.fromkeys(factors, few)), True
    for one in factors:
        yield _changed(case, dict.fromkeys(factors, few) | {one: significand(coarser.factors + 1)}), False


def _of_sums(coarser: Coarser, backend: Backend) -> Iterator[tuple[Case, bool]]:
    """Right where each sum has a single term, of few digits; wrong where it has many such terms."""
    recipe = _step(backend, coarser.dtype, I=256)
    recipe = replace(recipe, state="none")
    case, few = realise(recipe), significand(2)

    def single(v: Array) -> Array:
        return np.where(np.arange(v.shape[-1]) == 3, few(v), 0).astype(v.dtype)

    digits = {"weight_ih": few, "weight_hh": np.zeros_like, "bias_ih": np.zeros_like, "bias_hh": np.zeros_like}
    yield _changed(case, digits | {"x": single}), True
    yield _changed(case, digits | {"x": few}), False


def _changed(case: Case, changes: dict[str, Callable[[Array], Array]]) -> Case:
    """A case with some tensors, by their names without a suffix, changed."""

    def of(name: str, value: Array) -> Array:
        kind = name.partition("_l")[0]
        return changes[kind](value).astype(value.dtype) if kind in changes else value

    state = case.state
    if state is not None:
        state = of("h_0", state[0]), of("c_0", state[1])
    params = {name: of(name, value) for name, value in case.params.items()}
    return replace(case, params=params, x=of("x", case.x), state=state, rule="any")
