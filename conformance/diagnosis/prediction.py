"""What an LSTM with given alterations returns to a case, and whether that is what a backend returned.

Its results are compared within a bound: that of the reference on the same case with nothing observed (free-running),
times a small factor, since the altered LSTM rounds too and may amplify more than the correct one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from conformance.backend import Backend
from conformance.bounds.forward import Expectation, Expected
from conformance.bounds.rounding import Arithmetic, arithmetic
from conformance.cases.case import Case
from conformance.diagnosis.library import twin_of
from conformance.engine.reply import Reply, reply
from conformance.facts import Alteration, Raised
from conformance.faults.fault import EVERYTHING
from conformance.spec import Array, Result

#: The bounds of two roundings, the backend's and the twin's, and as much for what an alteration amplifies.
_TIMES = 4.0

#: So many roundoffs of what is returned besides: a result may be the sum of two.
_ROUNDOFFS = 16.0

#: Where the reference is refuted, an alteration must come so much nearer than it, or it explains nothing.
_NEARER = 0.25


class Predictions:
    """The predicted results of altered LSTMs for the cases of one backend, and their bounds, each computed once."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._replies: dict[tuple[tuple[Alteration, ...], int], Reply | None] = {}
        self._bounds: dict[int, tuple[Result, Result]] = {}
        #: Keeps the cases whose ids are keys.
        self._cases: dict[int, Case] = {}

    def reply(self, alterations: tuple[Alteration, ...], case: Case) -> Reply | None:
        """The reply of the altered LSTM; None if the alterations do not go together."""
        self._cases[id(case)] = case
        key = (alterations, id(case))
        if key not in self._replies:
            built = _backend(alterations)
            self._replies[key] = None if built is None else reply(built, case)
        return self._replies[key]

    def expected(self, case: Case) -> tuple[Result, Result]:
        """The reference's results, and how far a correct LSTM may be off, in canonical layout."""
        self._cases[id(case)] = case
        if id(case) not in self._bounds:
            self._bounds[id(case)] = reference(case, self._arithmetic(case))
        return self._bounds[id(case)]

    def _arithmetic(self, case: Case) -> Arithmetic:
        declared = arithmetic(case.config.dtype, self.backend.capabilities.arithmetic)
        assert declared is not None, "no values are declared for this dtype"
        return declared

    def wrong(self, alterations: tuple[Alteration, ...], case: Case, actual: Result) -> list[Array] | None:
        """Where results differ from the predicted ones, by part that was returned; None if none are predicted.

        The correct LSTM, which has no alterations, is the reference itself, within its own bound.
        """
        predicted = self._predicted(alterations, case)
        if predicted is None:
            return None
        found, unit = [], self._arithmetic(case).unit
        for got, want, right, bound in zip(actual.in_float64(), predicted, *self.expected(case), strict=True):
            if got is None or want is None or right is None or bound is None:
                continue
            off = bound
            if alterations:
                off = _TIMES * bound + _ROUNDOFFS * unit * np.abs(want)
                refuted = np.abs(got - right)
                off = np.where(refuted > bound, np.clip(_NEARER * refuted, bound, off), off)
            found.append(_differ(got, want, off))
        return found

    def _predicted(self, alterations: tuple[Alteration, ...], case: Case) -> Result | None:
        if not alterations:
            return self.expected(case)[0]
        told = self.reply(alterations, case)
        return None if told is None or told.result is None else told.result.in_float64()

    def explains(self, alterations: tuple[Alteration, ...], case: Case, actual: Reply) -> bool:
        """Whether a reply is the predicted one: its results, the wrong shape that it has, or that it raises."""
        if actual.result is None:
            predicted = self.reply(alterations, case) if alterations else None
            if predicted is None or predicted.fact is None:
                return False
            raised = isinstance(actual.fact, Raised) and isinstance(predicted.fact, Raised)
            return raised or predicted.fact == actual.fact
        wrong = self.wrong(alterations, case, actual.result)
        return wrong is not None and not any(part.any() for part in wrong)


def _differ(got: Array, want: Array, off: Array) -> Array:
    if got.shape != want.shape:
        return np.ones(got.shape, bool)
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= off
    # A bound that is infinite says nothing; NaN where NaN is predicted is as predicted.
    return ~(near | (got == want) | np.isinf(off) | (np.isnan(got) & np.isnan(want)))


@lru_cache(maxsize=4096)
def _backend(alterations: tuple[Alteration, ...]) -> Backend | None:
    twin = twin_of(alterations)
    return None if twin is None else Backend("altered", EVERYTHING, twin.build)


def reference(case: Case, declared: Arithmetic) -> tuple[Result, Result]:
    """The results of the reference in canonical layout, and how far a correct LSTM may be off, nothing observed."""
    expectation, config = Expectation(case, declared), case.config
    layers = [expectation.free_running(k) for k in range(config.num_layers)]
    slots = [half for layer in layers for half in layer]

    def whole(part: str, of: Sequence[Expected]) -> list[tuple[Array, Array]]:
        approx = [getattr(half, part) for half in of]
        return [(a.value, np.broadcast_to(a.error, a.value.shape)) for a in approx]

    top = whole("output", layers[-1])
    finals = [whole(part, slots) for part in ("h_n", "c_n")]
    values, bounds = (
        Result(np.concatenate([t[k] for t in top], 2), *(np.stack([s[k] for s in final]) for final in finals))
        for k in (0, 1)
    )
    return values, bounds
