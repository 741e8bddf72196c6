"""A vector: one call of one model, what a correct LSTM returns, and how far each number may be off.

The expected values are the oracle's in float64, rounded to the model's dtype. The bound holds for any correct LSTM from
end to end: nothing is forced, and the bound of each step goes into the next one and into the next layer
(``bounds/forward.py``, free-running, by the rule for any order of summation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from conformance.bounds.forward import Expectation, Expected, joined
from conformance.bounds.rounding import Approx, arithmetic, stack
from conformance.cases.case import Case, handed
from conformance.reference.forward import leave
from conformance.spec import Array, Result
from conformance.trials.calls import shape_error

#: The digits of a bound.
_DIGITS = 3


class Parts(NamedTuple):
    """The arrays of a result, all of which are there."""

    output: Array
    h_n: Array
    c_n: Array


class Expectations(NamedTuple):
    """What a call must return in its own layout and dtype, and the bound of each element."""

    want: Parts
    bound: Parts


@dataclass(frozen=True, eq=False)
class Vector:
    """One call. ``text`` is the recipe of its case, or says how the case is made."""

    text: str
    case: Case
    #: The case that the oracle reads, where the call's own has numbers that are not finite: large ones in their place.
    stand_in: Case | None = None

    @cached_property
    def inputs(self) -> dict[str, Array]:
        """The arrays of the call in its own layout: x, and h_0, c_0, lengths if they are given."""
        x, state, lengths = handed(self.case)
        given = {"x": x} if state is None else {"x": x, "h_0": state[0], "c_0": state[1]}
        return given if lengths is None else {**given, "lengths": lengths}

    @cached_property
    def expectations(self) -> Expectations:
        """The expected output, h_n and c_n in the call's layout, and the bounds of their elements."""
        output, h_n, c_n = self._approximations()
        case, config = self.case, self.case.config
        wants, bounds = [], []
        for sequence, part in ((True, output), (False, h_n), (False, c_n)):
            want, bound = rounded(part, config.dtype)
            for arrays, array in ((wants, want), (bounds, bound)):
                laid_out = leave(config, array, case.unbatched) if sequence else array
                laid_out = array[:, 0] if case.unbatched and not sequence else laid_out
                arrays.append(np.ascontiguousarray(laid_out))
        return Expectations(Parts(*wants), Parts(*bounds))

    def _approximations(self) -> tuple[Approx, Approx, Approx]:
        """Canonical output (L, N, D·P), h_n and c_n in float64, each with its bound."""
        case = replace(self.stand_in or self.case, rule="any")
        declared = arithmetic(case.config.dtype, {})
        assert declared is not None
        if self.stand_in is not None:
            # Beyond the range, a correct LSTM has an infinity, which is what the rounded number will be too.
            declared = replace(declared, largest=np.inf, largest_sum=np.inf)
        expectation, config = Expectation(case, declared), case.config
        halves: list[Expected] = [half for k in range(config.num_layers) for half in expectation.free_running(k)]
        return joined(halves[-config.num_directions :]), stack([h.h_n for h in halves]), stack([h.c_n for h in halves])

    @property
    def arrays(self) -> dict[str, Array]:
        """All arrays by name: parameters, inputs, ``output``, ``h_n``, ``c_n``, and each with ``_bound`` behind it."""
        want, bound = self.expectations
        bounds = {f"{name}_bound": array for name, array in bound._asdict().items()}
        return {**self.case.params, **self.inputs, **want._asdict(), **bounds}

    @property
    def size(self) -> int:
        """The bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def largest_bound(self) -> float:
        """The largest bound of an element."""
        return max(float(bound.max(initial=0.0)) for bound in self.expectations.bound)

    @property
    def finite(self) -> bool:
        """Whether every number that the call is given is finite."""
        numbers = [*self.case.params.values(), *(v for name, v in self.inputs.items() if name != "lengths")]
        return all(bool(np.isfinite(value).all()) for value in numbers)


def rounded(part: Approx, dtype: str) -> tuple[Array, Array]:
    """A value rounded to a dtype, and the bound on its distance from a correct result, rounded up to a short number.

    A number that is not finite has the bound 0: a result is right if it is the same.
    """
    with np.errstate(over="ignore"):
        want = part.value.astype(dtype)
        known = np.isfinite(want)
        bound = np.where(known, part.error, 0.0) + np.abs(np.where(known, want - part.value, 0.0))
        # Twice: the sum itself was rounded.
        above = np.nextafter(np.nextafter(bound, np.inf).astype(dtype), np.array(np.inf, dtype)) * (bound > 0)
    return want, _shortened(above)


def _shortened(bound: Array) -> Array:
    """The next numbers of three decimal digits that are not smaller: as text they take half of the room."""
    with np.errstate(all="ignore"):
        # A quotient of whole numbers is the double that is nearest to the decimal number.
        parts = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(bound, dtype=np.float64)))
        short = (np.ceil(bound * parts) / parts).astype(bound.dtype)
    # Zero, and what is too small to have so many digits.
    return np.where(short >= bound, short, bound)


def errors(vector: Vector, got: Result) -> list[Array] | None:
    """How far each part of a raw result is off, by element; infinite where it can have no bound, None for a wrong form.

    The form is that of the contract: all three parts, their shapes, the model's dtype.
    """
    dtype = vector.case.x.dtype
    if any(part is None or part.dtype != dtype for part in got) or shape_error(vector.case, got):
        return None
    found = []
    for part, want in zip(got, vector.expectations.want, strict=True):
        part, want = np.asarray(part, np.float64), np.asarray(want, np.float64)
        same = (part == want) | (np.isnan(part) & np.isnan(want))
        with np.errstate(invalid="ignore"):
            error = np.where(same, 0.0, np.abs(part - want))
        found.append(np.where(np.isnan(error), np.inf, error))
    return found
