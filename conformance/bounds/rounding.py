"""Numbers that carry a bound on their error, which rounding in a declared arithmetic may have caused.

A running error analysis (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., §3.3): each operation gives
its result in float64, and the error that it inherits and adds. docs/bounds.md derives the constants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from conformance.reference.forward import sigmoid, time_order
from conformance.spec import Array, finfo

#: Unit roundoff of float64, the reference's own.
_U64 = 2.0**-53

#: Every activation may be off by this many unit roundoffs, absolutely: a legitimate 0.5 + 0.5·tanh(a/2) is off by
#: thousands of ulps near zero, so an allowance in ulps would be wrong. Published functions of 5 ulps, and forms made
#: of them, need up to 10.5.
ACTIVATION_ULPS = 12.0

#: In 16 bits the activations of a vector library are those of float32, rounded: 3 are enough for either form.
_ACTIVATION_ULPS_HALF = 3.0

#: The rule "iid" allows eight standard deviations of the accumulated rounding error.
_DEVIATIONS = 8.0


#: The largest number of what arithmetics of fewer digits take: of bfloat16 and of TF32.
_BFLOAT16, _TF32 = (2 - 2.0**-7) * 2.0**127, (2 - 2.0**-10) * 2.0**127
_LARGEST_GIVEN = {"bf16": _BFLOAT16, "bf16-inputs": _BFLOAT16, "tf32": _TF32}

#: The error of a value that is known exactly, without an axis, so that no work is done for it.
EXACT = np.zeros(())


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic a backend declares for a dtype, as the roundoffs that the bound needs."""

    #: Unit roundoff of stored values and elementwise operations.
    unit: float
    #: Unit roundoff of sums inside a dot product.
    accumulate: float
    #: Relative rounding of a dot product's inputs beforehand (TF32 and the like).
    inputs: float
    #: What an underflow, or its flush to zero, may change.
    tiny: float
    #: What an activation may be off by, in unit roundoffs.
    activation: float = ACTIVATION_ULPS
    #: Relative rounding of what is handed over, which is stored before it is used: x, weights, biases, states.
    given: float = 0.0
    #: The largest number, beyond which a result is infinite; infinite itself where the range is not looked at.
    largest: float = np.inf
    #: The largest partial sum of a dot product.
    largest_sum: float = np.inf
    #: The largest number that is finite once it is handed over, where that is less than ``largest``.
    largest_given: float = np.inf

    @property
    def wide(self) -> bool:
        """Whether sums are wider than what is stored: then an h may also stay wide until it is returned."""
        return self.accumulate < self.unit

    def carried(self, values: Array) -> Approx:
        """A layer's own outputs as the next step or layer reads them, which may be before they were rounded."""
        return self.observed(values, self.unit * np.abs(values) + self.tiny if self.wide else EXACT)

    def handed(self, values: Array) -> Approx:
        """An input; of one that is infinite in the digits in which it is used, nothing is known."""
        beyond = np.abs(values) > self.largest_given
        return Approx(values, np.where(beyond, np.inf, 0.0) if beyond.any() else EXACT, self)

    def observed(self, values: Array, error: Array = EXACT) -> Approx:
        """Numbers that an implementation returned; of one that is not finite, nothing is known.

        It is judged where it was returned. What follows from it is not judged: it is the consequence.
        """
        known = np.isfinite(values)
        if known.all():
            return Approx(values, error, self)
        return Approx(np.where(known, values, 0.0), np.where(known, error, np.inf), self)

    def bounded(self, value: Array, error: Array, magnitude: Array, share: Array | None = None) -> Approx:
        """A value and its error, or nothing known of it where it may be beyond the range.

        That is where ``magnitude``, as a share of the range, and what else is a ``share`` of one are beyond 1 together.
        A NaN, which no operation makes out of finite numbers, stays one.
        """
        # Division and addition are monotone: where the largest of both is within 1, all are.
        if _most(magnitude) / self.largest + (0.0 if share is None else _most(share)) <= 1.0:
            return Approx(value, error, self)
        inside = (0.0 if share is None else share) + magnitude / self.largest <= 1.0
        if inside.all():
            return Approx(value, error, self)
        inside |= np.isnan(value)
        return Approx(np.where(inside, value, 0.0), np.where(inside, error, np.inf), self)


def arithmetic(dtype: str, declared: Mapping[str, str]) -> Arithmetic | None:
    """The declared arithmetic of a dtype; None where values are not declared (int8), only structure.

    The sums of 16-bit dtypes are float32, unless "half-accumulate" says that they have 16 bits themselves.
    """
    kind = declared.get(dtype, "ieee")
    if kind == "int8":
        return None
    info = finfo(dtype)
    half = info.bits == 16
    # "bf16": what is stored has bfloat16's digits in a wider dtype.
    stored = kind == "bf16" and not half
    unit = 2.0**-8 + _U64 if stored else float(info.eps) / 2 + _U64
    accumulate = 2.0**-24 + _U64 if half or stored else unit
    if kind == "half-accumulate":
        accumulate = max(unit, 2.0**-11 + _U64)
    # TF32 keeps 10 bits of the significand and may truncate them; bfloat16 keeps 7.
    inputs = {"tf32": 2.0**-10, "bf16-inputs": 2.0**-7}.get(kind, 0.0)
    tiny = 2.0**-14 if kind == "half-accumulate" and not half else float(info.smallest_normal)
    activation = _ACTIVATION_ULPS_HALF if half or stored else ACTIVATION_ULPS
    largest = float(finfo("bfloat16" if stored else dtype).max)
    sums = dtype if not half else "float32"
    if kind == "half-accumulate":
        sums = dtype if half else "float16"
    largest_sum = float(finfo(sums).max)
    taken = np.inf if half else _LARGEST_GIVEN.get(kind, np.inf)
    given = unit if stored else 0.0
    return Arithmetic(unit, accumulate, inputs, tiny, activation, given, largest, largest_sum, taken)


class Approx:
    """A value and a bound on its error, in an arithmetic: ``+`` and ``*`` carry the bound along.

    Each operation errs by its operands' errors and by one rounding of the number that was really computed, which is at
    most the unit roundoff times the largest magnitude that the result can have. Where that magnitude is beyond the
    arithmetic's range, an implementation may have an infinity or a NaN: the error is infinite, which says that nothing
    is known, and so is that of all that is computed from it.
    """

    __slots__ = ("arithmetic", "error", "value")

    def __init__(self, value: Array, error: Array, arithmetic: Arithmetic) -> None:
        self.value = value
        self.error = error
        self.arithmetic = arithmetic

    @property
    def largest(self) -> Array:
        """The largest magnitude that it may have."""
        return np.abs(self.value) + self.error

    def __mul__(self, other: Approx) -> Approx:
        value, a = self.value * other.value, self.arithmetic
        product = self.largest * other.largest
        largest = a.unit * product
        largest += product
        largest += a.tiny
        return a.bounded(value, largest - np.abs(value), largest)

    def __add__(self, other: Approx) -> Approx:
        value, a = self.value + other.value, self.arithmetic
        error, magnitude = self.error + other.error, np.abs(value)
        rounded = magnitude + error
        rounded *= a.unit
        error = error + rounded
        magnitude += error
        return a.bounded(value, error, magnitude)

    def __neg__(self) -> Approx:
        return Approx(-self.value, self.error, self.arithmetic)

    def __getitem__(self, index: Any) -> Approx:
        error = self.error[index] if self.error.ndim else self.error
        return Approx(self.value[index], error, self.arithmetic)

    def sigmoid(self) -> Approx:
        """σ of it: the error times the largest slope within reach, and the activation's allowance."""
        slope = sigmoid_derivative(np.maximum(np.abs(self.value) - self.error, 0.0))
        return self._activated(sigmoid(self.value), self.capped(self.error * slope, 1.0))

    def tanh(self) -> Approx:
        """tanh of it, likewise."""
        slope = 4.0 * sigmoid_derivative(2.0 * np.maximum(np.abs(self.value) - self.error, 0.0))
        return self._activated(np.tanh(self.value), self.capped(self.error * slope, 2.0))

    def capped(self, error: Array, most: float) -> Array:
        """The error of a function of it, which is no more than the range of the function, if anything is known."""
        return np.where(np.isinf(self.error), np.inf, np.minimum(error, most))

    def _activated(self, value: Array, inherited: Array) -> Approx:
        return Approx(value, inherited + self.arithmetic.activation * self.arithmetic.unit, self.arithmetic)

    def where(self, mask: Array, other: Approx) -> Approx:
        """This where ``mask``, else ``other``."""
        return Approx(np.where(mask, self.value, other.value), np.where(mask, self.error, other.error), self.arithmetic)

    def masked(self, valid: Array) -> Approx:
        """This where ``valid``, else exactly 0."""
        return Approx(np.where(valid, self.value, 0.0), np.where(valid, self.error, 0.0), self.arithmetic)

    def time_order(self, lengths: Array, reverse: bool) -> Approx:
        """The time axis in the order a direction reads it."""
        error = time_order(self.error, lengths, reverse) if self.error.ndim else self.error
        return Approx(time_order(self.value, lengths, reverse), error, self.arithmetic)


def concatenate(parts: list[Approx], axis: int) -> Approx:
    """``np.concatenate`` of values and errors."""
    values = [part.value for part in parts]
    errors = [spread(part.error, part.value.shape) for part in parts]
    return Approx(np.concatenate(values, axis), np.concatenate(errors, axis), parts[0].arithmetic)


def stack(parts: list[Approx]) -> Approx:
    """``np.stack`` of values and errors."""
    return Approx(np.stack([p.value for p in parts]), np.stack([p.error for p in parts]), parts[0].arithmetic)


def spread(error: Array, shape: tuple[int, ...]) -> Array:
    """An error for each element of a value of that shape."""
    return error if error.shape == shape else np.broadcast_to(error, shape)


def _most(magnitude: Array) -> float:
    """The largest magnitude, or NaN if there is one."""
    return np.maximum.reduce(magnitude, axis=None, initial=0.0)


def sigmoid_derivative(a: Array) -> Array:
    """σ′(a), without cancellation; tanh′(a) is 4σ′(2a)."""
    e = np.exp(-np.abs(a))
    return e / (1.0 + e) ** 2


class Weight:
    """A matrix W (rows, n) that is known exactly, and what the bound of its products needs, computed once."""

    def __init__(self, W: Array) -> None:
        self.W = np.asarray(W, np.float64)

    @cached_property
    def magnitude(self) -> Array:
        """|W|ᵀ."""
        return np.abs(self.W).T

    @cached_property
    def square(self) -> Array:
        """W² by elements, transposed."""
        return self.magnitude * self.magnitude

    @cached_property
    def least(self) -> float:
        """The smallest magnitude that is not 0."""
        least = float(self.magnitude.min(initial=np.inf))
        return least if least > 0 else float(self.magnitude.min(initial=np.inf, where=self.magnitude > 0))


def dot(
    terms: Sequence[tuple[Approx, Array | Weight]], biases: list[Array], rule: str, activated: bool = False
) -> Approx:
    """Σ x·Wᵀ + Σ b in any order of summation, with any splitting; W (rows, n) and b (rows,) are exact.

    Let n be the number of terms in all, S their sum, A the sum of their magnitudes and Q the sum of their squares. The
    effect of the errors of x, of subnormal factors and of underflows is always allowed; rounding is allowed by a rule:

    * "any" data: n + 1 roundings, each of a partial sum, which is at most (A + |S|)/2 in magnitude;
    * "iid" data: roundings and partial sums are random, with variance n(S²/9 + Q/18) + Q/3; eight deviations are
      allowed where that is less;
    * "exact" data: dyadic, and every partial sum is representable, so that nothing is rounded and nothing underflows.

    Where sums are wider than what is stored, each product and each sum of products and biases is rounded once more.

    Nothing is known of a sum with a partial sum beyond the range. One that is ``activated`` is known all the same if
    only partial sums of its own sign are, for an activation takes an infinity for a large number.
    """
    a = terms[0][0].arithmetic
    factors = [(x, x.largest, W if isinstance(W, Weight) else Weight(W)) for x, W in terms]
    products = [x.value @ weight.W.T for x, _, weight in factors]
    S = _sum([*products, *biases])
    A = _sum([*(largest @ weight.magnitude for _, largest, weight in factors), *map(np.abs, biases)])
    # Of finite terms, in float64 itself.
    S = np.where(np.isnan(S) & np.isinf(A), 0.0, S) if np.isinf(A).any() else S
    magnitude = np.abs(S)
    inherited = [error for x, _, weight in factors for error in _inherited(x, weight)]
    if rule == "exact":
        # Of few digits, so that what is handed over is stored as it is; the sums may have more.
        stored = a.given * (sum(map(np.abs, products), 0.0) + magnitude)
        return a.bounded(S, 0.0 * A + sum(inherited, 0.0) + stored, (A + magnitude) / 2)
    n = len(biases) + sum(weight.W.shape[1] for _, _, weight in factors)
    before = _sum(inherited) if inherited else 0.0
    rounding = A + magnitude
    rounding += before
    rounding *= (n + 1) * a.accumulate * (1 + 2 * n * a.accumulate)
    rounding /= 2
    inputs = a.inputs + a.given
    converted = inputs * (2 + inputs) * A if inputs else 0.0
    if rule == "iid":
        squares = [(largest * largest) @ weight.square for _, largest, weight in factors]
        Q = _sum([*squares, *(b * b for b in biases)])
        variance = n * (S * S / 9 + Q / 18) + Q / 3
        rounding = np.minimum(rounding, _DEVIATIONS * a.accumulate * np.sqrt(variance))
        # Where even Q is beyond float64's range, this is not a number, and so nothing is known.
        if inputs or not np.isfinite(Q).all():
            converted = np.minimum(inputs * (2 + inputs) * A, _DEVIATIONS * inputs * np.sqrt(2 * Q / 3))
    # Partial sums lie between the sums of the terms of either sign, (A ± S)/2.
    end = -magnitude if activated else magnitude
    underflows, share = n + 2, A + end
    share /= 2
    share /= a.largest_sum
    if a.wide:
        parts = [np.abs(part) for part in (*biases, *products)]
        sums = (len(parts) - 1) * (sum(parts) + magnitude) / 2
        stored = sum(parts[len(biases) :]) + sums
        rounding = rounding + a.unit * (1 + 2 * len(parts) * a.unit) * (stored + before)
        underflows, share = 2 * len(parts), np.maximum(share, (sum(parts) + end) / 2 / a.largest)
    error = before + rounding
    error += converted
    error += underflows * a.tiny
    return a.bounded(S, error, error, share)


def _sum(parts: Sequence[Array]) -> Array:
    """The sum of arrays, the first of which has the shape of all; in a new array."""
    total = 0.0 + parts[0]
    for part in parts[1:]:
        total += part
    return total


def _inherited(x: Approx, weight: Weight) -> Iterator[Array]:
    """How far x·Wᵀ may be off before anything is rounded: a subnormal factor may be taken for 0, and x has an error."""
    magnitude, tiny = np.abs(x.value), x.arithmetic.tiny
    if (lost := np.where(magnitude < tiny, magnitude, 0.0)).any():
        yield lost @ weight.magnitude
    if weight.least < tiny:
        yield magnitude @ np.where(weight.magnitude < tiny, weight.magnitude, 0.0)
    if x.error.ndim:
        yield x.error @ weight.magnitude
