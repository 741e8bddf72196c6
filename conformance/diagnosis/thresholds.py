"""Thresholds on values: from which x, state, preactivation or cell on a backend is wrong.

One call tabulates dozens of values: each unit, or each row, holds one of its own, and all else is ordinary (no gate is
saturated). Where the right values end and the wrong ones begin, further calls look closer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.bounds.forward import Expectation
from conformance.bounds.forward import judge as compared
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case
from conformance.engine.judging import Answering
from conformance.facts import Conditions, Trait
from conformance.spec import GATES, Array, LSTMConfig, finfo, numpy_dtype, param_shapes
from conformance.trials.mismatch import telling

#: Magnitudes in one call, each with both signs: those up to an activation's end, where it may be made of pieces, and
#: larger ones. How often what lies between two of them is looked at again; and how many fresh ones are asked.
_FINE, _END, _COARSE, _CLOSER, _FRESH = 120, 40.0, 48, 4, 24

#: The largest magnitude, as a share of the exponent of the dtype's largest number; and the smallest.
_LARGEST, _SMALLEST = 0.75, 1e-4

#: What is tabulated: for a preactivation, of which gate.
QUANTITIES = ("c", *(f"a_{gate}" for gate in GATES), "x", "h_0")

#: Where a sign begins to be wrong (a magnitude), and where it ends to be; None at either end of the numbers.
Window = tuple[float | None, float | None]


def thresholds(judge: Answering, dtype: str, waiting: Callable[[], None]) -> Conditions | None:
    """The one window of values in which a backend is wrong, and right elsewhere; None if there is none, or several.

    ``waiting`` is called before each call, and may raise.
    """
    c = judge.backend.capabilities
    if (
        c.fixed is not None
        or c.compiled
        or not c.initial_state
        or not c.batch
        or arithmetic(dtype, c.arithmetic) is None
    ):
        return None
    found: dict[str, tuple[Trait, ...]] = {}
    for quantity in QUANTITIES:
        if traits := _window(judge, quantity, dtype, waiting):
            found[quantity] = traits
    if not found:
        return None
    quantity = next(iter(found))
    gates = [name for name in found if name.startswith("a_")]
    # σ and tanh may end at places of their own: the first gate stands for all. Whatever spoils a gate spoils the cell.
    if len(found) > 1 and quantity != "c" and not (quantity in gates and len(gates) > 1):
        return None
    traits = found[quantity]
    return _counted(judge, quantity, dtype, traits, len(gates) > 1, waiting)


def _window(judge: Answering, quantity: str, dtype: str, waiting: Callable[[], None]) -> tuple[Trait, ...]:
    magnitudes = np.geomspace(_SMALLEST, largest(quantity, dtype), _COARSE)
    if quantity not in ("x", "h_0"):
        magnitudes = np.union1d(magnitudes, np.geomspace(1e-2, _END, _FINE))
    wrong = wrong_values(judge, quantity, dtype, magnitudes, waiting)
    if wrong is None or not wrong.any() or wrong.all():
        return ()
    edges: list[Window] = []
    for sign in (0, 1):
        own = wrong[sign]
        if not own.any():
            continue
        first, last = int(np.argmax(own)), len(own) - 1 - int(np.argmax(own[::-1]))
        if not own[first : last + 1].all():
            return ()
        edges.append((
            _edge(judge, quantity, dtype, sign, magnitudes[first - 1], magnitudes[first], waiting) if first else None,
            _edge(judge, quantity, dtype, sign, magnitudes[last + 1], magnitudes[last], waiting)
            if last + 1 < len(own)
            else None,
        ))  # fmt: skip
    signed = len(edges) == 1
    if not signed and not all(_near(one, other) for one, other in zip(*edges, strict=True)):
        return ()
    if signed and not wrong[0].any():
        # Below zero alone: no word for that is common.
        return ()
    name = quantity if signed else f"|{quantity}|"
    least, most = edges[0]
    traits = (Trait(name, ">=", least),) if least is not None else ()
    return (*traits, Trait(name, "<=", most)) if most is not None else traits


def largest(quantity: str, dtype: str) -> float:
    """The largest magnitude of a quantity that is asked; where weights are the inverse, it is smaller."""
    share = _LARGEST if quantity == "c" else min(_LARGEST, 0.6)
    return 10.0 ** (share * np.log10(float(finfo(dtype).max)))


def _near(one: float | None, other: float | None) -> bool:
    return one is other or (one is not None and other is not None and abs(one - other) <= 0.01 * abs(one))


def _edge(judge: Answering, quantity: str, dtype: str, sign: int, right: float, wrong: float, waiting: Any) -> float:
    """The magnitude at which right values turn to wrong ones, in as few digits as lie between the two."""
    for _ in range(_CLOSER):
        between = np.geomspace(right, wrong, _COARSE)
        seen = wrong_values(judge, quantity, dtype, between, waiting)
        if seen is None or not seen[sign].any() or seen[sign].all():
            break
        first = max(1, int(np.argmax(seen[sign])))
        right, wrong = float(between[first - 1]), float(between[first])
    low, high = sorted((right, wrong))
    for digits in range(1, 17):
        short = float(f"{wrong:.{digits}g}")
        if low <= short <= high:
            return short
    return float(wrong)


def _counted(
    judge: Answering, quantity: str, dtype: str, traits: tuple[Trait, ...], gates: bool, waiting: Callable[[], None]
) -> Conditions | None:
    """The window with the counts of fresh values around its ends."""
    rng = np.random.default_rng(0)
    ends = [float(trait.value) for trait in traits]
    around = [end * np.geomspace(0.2, 5.0, _FRESH // len(ends)) for end in ends]
    magnitudes = np.concatenate([*around, np.geomspace(min(ends), max(ends), _FRESH // 2)])
    magnitudes *= 1 + 0.01 * rng.random(len(magnitudes))
    wrong = wrong_values(judge, quantity, dtype, magnitudes, waiting)
    if wrong is None:
        return None
    within = np.ones(len(magnitudes), bool)
    for trait in traits:
        within &= magnitudes >= float(trait.value) if trait.relation == ">=" else magnitudes <= float(trait.value)
    inside = np.stack([within, within & traits[0].dimension.startswith("|")])
    told = tuple(
        Trait(trait.dimension.replace(quantity, "a") if gates else trait.dimension, trait.relation, trait.value)
        for trait in traits
    )
    others = [other for other in judge.backend.capabilities.dtypes if other != dtype]
    if not all(_wrong_alike(judge, quantity, other, magnitudes, wrong, waiting) for other in others):
        told = (Trait("dtype", "=", dtype), *told)
    failed, failed_outside = int((wrong & inside).sum()), int((wrong & ~inside).sum())
    return Conditions(told, failed, int(inside.sum()), failed_outside, int((~inside).sum()))


def _wrong_alike(judge: Answering, quantity: str, dtype: str, magnitudes: Array, wrong: Array, waiting: Any) -> bool:
    """Whether another dtype, as far as it holds such values, is not wrong at others, nor in a window of its own."""
    if arithmetic(dtype, judge.backend.capabilities.arithmetic) is None:
        return True
    if magnitudes.max() > float(finfo(dtype).max) ** 0.6:
        return not _window(judge, quantity, dtype, waiting)
    other = wrong_values(judge, quantity, dtype, magnitudes, waiting)
    return other is None or float((other != wrong).mean()) < 0.1


def wrong_values(
    judge: Answering, quantity: str, dtype: str, magnitudes: Array, waiting: Callable[[], None]
) -> Array | None:
    """Which of some magnitudes are wrong (2, n): with their own sign, and with the other; None if the call raised."""
    waiting()
    case = _case(quantity, np.concatenate([magnitudes, -magnitudes]), dtype, not judge.backend.capabilities.time_major)
    reply = judge.call(case)
    declared = arithmetic(dtype, judge.backend.capabilities.arithmetic)
    if reply.result is None or declared is None:
        return None
    result, rows = reply.result, quantity in ("x", "h_0")
    wrong = np.zeros(2 * len(magnitudes), bool)
    with np.errstate(all="ignore"):
        for finding in compared(Expectation(case, declared), lambda layers: result, result.output is None):
            beyond = telling(finding) > 1.0
            wrong |= beyond.any(axis=tuple(k for k in range(beyond.ndim) if k != beyond.ndim - 1 - rows))
    return wrong.reshape(2, -1)


def _case(quantity: str, values: Array, dtype: str, batch_first: bool) -> Case:
    """A call of one step in which each unit (for c and the preactivations) or row (for x and h_0) has its own value."""
    count, rows = len(values), quantity in ("x", "h_0")
    H = count if quantity != "x" else 1
    config = LSTMConfig(count if quantity == "x" else 1, H, dtype=dtype, batch_first=batch_first)
    N = count if rows else 1
    params = {name: np.zeros(shape) for name, shape in param_shapes(config).items()}
    x, h_0, c_0 = np.zeros((1, N, config.input_size)), np.zeros((1, N, H)), np.zeros((1, N, H))
    bias = params["bias_ih_l0"].reshape(4, H)
    if quantity == "c":
        # f = 1/2.
        c_0[0, 0] = 2 * values
    elif quantity == "x":
        x[0] = np.diag(values)
        params["weight_ih_l0"][2] = 1 / values
    elif quantity == "h_0":
        h_0[0] = np.diag(values)
        params["weight_hh_l0"].reshape(4, H, H)[2] = 1 / values
    else:
        gate = GATES.index(quantity[-1])
        bias[gate] = values
        # What the gate multiplies: tanh(1) for i, a cell of 1 for f and o.
        bias[2] = values if gate == 2 else 1.0 if gate == 0 else 0.0
        c_0[...] = {1: 1.0, 3: 2.0}.get(gate, 0.0)
    own = numpy_dtype(dtype)
    given = {name: np.ascontiguousarray(value, own) for name, value in params.items()}
    return Case(config, given, x.astype(own), (h_0.astype(own), c_0.astype(own)))
