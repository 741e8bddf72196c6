"""What an LSTM with given alterations returns to a case, and whether that is what a backend returned.

Its results are compared within a bound: that of the reference on the same case with nothing observed (free-running),
times a small factor, since the altered LSTM rounds too and may amplify more than the correct one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from conformance.backend import Backend
from conformance.bounds.backward import free_running
from conformance.bounds.forward import Expectation, Expected
from conformance.bounds.rounding import Approx, Arithmetic, arithmetic, concatenate, stack
from conformance.cases.case import Case
from conformance.diagnosis.differences import DIFFERENCE, followed
from conformance.diagnosis.library import twin_of
from conformance.diagnosis.probes import Call
from conformance.diagnosis.sequences import in_sequence
from conformance.engine.reply import Reply, reply
from conformance.facts import Alteration, Raised
from conformance.faults.backward import Differentiable
from conformance.faults.fault import EVERYTHING
from conformance.faults.twin import Twin
from conformance.spec import Array
from conformance.trials.events import perform

#: Results and gradients by their names, or the marks of their elements.
Named = dict[str, Array]

_Key = tuple[int, int, int]

#: The bounds of two roundings, the backend's and the twin's, and as much for what an alteration amplifies.
_TIMES = 4.0

#: So many roundoffs of what is returned besides: a result may be the sum of two.
_ROUNDOFFS = 16.0

#: Where the reference is refuted, an alteration must come so much nearer than it, or it explains nothing.
_NEARER = 0.25


class Predictions:
    """The predicted results of altered LSTMs for the calls of one backend, and their bounds, each computed once."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._replies: dict[tuple[tuple[Alteration, ...], _Key], Reply | None] = {}
        self._bounds: dict[_Key, tuple[Named, Named]] = {}
        #: Keeps alive what the ids in the keys are of.
        self._calls: dict[_Key, Call] = {}

    def reply(self, alterations: tuple[Alteration, ...], call: Call) -> Reply | None:
        """The reply of the altered LSTM; None if the alterations do not go together, or its gradient is unknown."""
        key = (alterations, self._key(call))
        if key not in self._replies:
            self._replies[key] = _replied(alterations, call)
        return self._replies[key]

    def expected(self, call: Call) -> tuple[Named, Named]:
        """The reference's results, and how far a correct LSTM may be off, in canonical layout."""
        key = self._key(call)
        if key not in self._bounds:
            self._bounds[key] = reference(call, self._arithmetic(call.case))
        return self._bounds[key]

    def _key(self, call: Call) -> _Key:
        key = id(call.case), id(call.cotangents), id(call.before)
        self._calls[key] = call
        return key

    def _arithmetic(self, case: Case) -> Arithmetic:
        declared = arithmetic(case.config.dtype, self.backend.capabilities.arithmetic)
        assert declared is not None, "no values are declared for this dtype"
        return declared

    def wrong(self, alterations: tuple[Alteration, ...], call: Call, actual: Reply) -> Named | None:
        """Where what was returned differs from the prediction, by its name; None if one of them holds no results.

        The correct LSTM, which has no alterations, is the reference itself, within its own bound.
        """
        right, bounds = self.expected(call)
        told = actual if not alterations else self.reply(alterations, call)
        if told is None or told.result is None or actual.result is None:
            return None
        predicted = named(told) if alterations else right
        found, unit = {}, self._arithmetic(call.case).unit
        for name, got in named(actual).items():
            if name not in predicted or name not in right:
                continue
            want, off = predicted[name], bounds[name]
            if alterations:
                # Past a row's length the reference is exact; an LSTM that goes on there rounds as elsewhere.
                off = np.where(off == 0, off.max(initial=0.0, where=np.isfinite(off)), off)
                with np.errstate(all="ignore"):
                    refuted = np.abs(got - right[name])
                    wide = _TIMES * off + _ROUNDOFFS * unit * np.abs(want)
                    if name.startswith("grad ") and not _differentiable(alterations):
                        wide = wide + DIFFERENCE * np.abs(want).max(initial=0.0)
                    off = np.where(refuted > off, np.clip(_NEARER * refuted, off, wide), wide)
            found[name] = _differ(got, want, off)
        return found

    def off(self, call: Call, actual: Reply) -> frozenset[str]:
        """The names of the results and gradients that are not the reference's, as far as they came."""
        return frozenset(name for name, part in (self.wrong((), call, actual) or {}).items() if part.any())

    def explains(self, alterations: tuple[Alteration, ...], call: Call, actual: Reply) -> bool:
        """Whether a reply is the predicted one: its results, the wrong shape that it has, or that it raises."""
        if actual.result is None:
            predicted = self.reply(alterations, call) if alterations else None
            if predicted is None or predicted.fact is None:
                return False
            raised = isinstance(actual.fact, Raised) and isinstance(predicted.fact, Raised)
            return raised or predicted.fact == actual.fact
        wrong = self.wrong(alterations, call, actual)
        return wrong is not None and not any(part.any() for part in wrong.values())


def named(reply: Reply) -> Named:
    """All that was returned, in float64: output, h_n, c_n, and each gradient as "grad x", "grad weight_ih_l0" …"""
    results = {} if reply.result is None else reply.result.in_float64()._asdict()
    parts = {name: value for name, value in results.items() if value is not None}
    return parts | {f"grad {name}": np.asarray(v, np.float64) for name, v in (reply.gradients or {}).items()}


def _differentiable(alterations: tuple[Alteration, ...]) -> bool:
    built = _backend(alterations)
    return built is not None and isinstance(built.twin, Differentiable)


def _replied(alterations: tuple[Alteration, ...], call: Call) -> Reply | None:
    built = _backend(alterations)
    if built is None:
        return None
    backend = replace(built.backend, build=replace(built.twin, shared={}).build)
    if call.before:
        return in_sequence(partial(perform, backend), call, backend.capabilities)
    if call.cotangents is None or _differentiable(alterations):
        return reply(backend, call.case, call.cotangents)
    return followed(built.backend, call.case, call.cotangents)


def _differ(got: Array, want: Array, off: Array) -> Array:
    if got.shape != want.shape:
        return np.ones(got.shape, bool)
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= off
    # A bound that is infinite says nothing; NaN where NaN is predicted is as predicted.
    return ~(near | (got == want) | np.isinf(off) | (np.isnan(got) & np.isnan(want)))


class _Built(NamedTuple):
    """An altered LSTM as a backend."""

    twin: Twin
    backend: Backend


@lru_cache(maxsize=4096)
def _backend(alterations: tuple[Alteration, ...]) -> _Built | None:
    twin = twin_of(alterations)
    return None if twin is None else _Built(twin, Backend("altered", EVERYTHING, twin.build))


def reference(call: Call, declared: Arithmetic) -> tuple[Named, Named]:
    """The results of the reference in canonical layout, and how far a correct LSTM may be off, nothing observed."""
    case = call.case
    expectation, config = Expectation(case, declared), case.config
    layers = [expectation.free_running(k) for k in range(config.num_layers)]
    slots = [half for layer in layers for half in layer]

    def whole(part: str, of: Sequence[Expected]) -> list[Approx]:
        return [getattr(half, part) for half in of]

    made = {"output": concatenate(whole("output", layers[-1]), 2)}
    made |= {part: stack(whole(part, slots)) for part in ("h_n", "c_n")}
    if call.cotangents is not None:
        grads = free_running(case, call.cotangents, layers, declared)
        made |= {f"grad {name}": value for name, value in grads.items()}
    values = {name: one.value for name, one in made.items()}
    return values, {name: np.broadcast_to(one.error, one.value.shape) for name, one in made.items()}
