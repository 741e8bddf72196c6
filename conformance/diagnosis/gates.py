"""Which gate is wrong, read from a few steps without weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.cases.case import Case, realise
from conformance.cases.fills import normal
from conformance.cases.recipe import Recipe
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call as Asked
from conformance.engine.reply import Reply
from conformance.reference.forward import sigmoid
from conformance.spec import GATES, Array

_UNITS = 48

#: Two values of a gate are the same if they are so much nearer to each other than to the right one.
_NEARER = 0.05

#: A factor below this tells nothing of the other one.
_LEAST = 0.05

#: The preactivations (H,) by gate, and c_0 (H,).
_Given = tuple[dict[str, Array], Array]


@dataclass(frozen=True)
class _Step:
    """One step: what it was given, what came of it, and whether c, and h given that c, are off."""

    a: dict[str, Array]
    c_0: Array
    h: Array
    c: Array
    c_off: bool
    h_off: bool

    def value(self, gate: str) -> Array:
        """What a gate must have been, if all others were right; NaN where its factor is too small to tell."""
        of = {"i": np.tanh(self.a["g"]), "g": sigmoid(self.a["i"]), "f": self.c_0, "o": np.tanh(self.c)}[gate]
        told = np.abs(of) > _LEAST
        return np.where(told, self.h if gate == "o" else self.c, np.nan) / np.where(told, of, 1)


def gates(predictions: Predictions, call: Callable[[Case], Reply], dtype: str) -> tuple[str, ...]:
    """The gates that are another function of their own preactivation, if that explains all that is wrong in a step.

    A gate takes the value that explains the new cell, or the new h given that cell. If the value is the same though
    the other gates change, this gate is wrong and they are right. Nothing is told of a backend that takes no state,
    that returns no output or no c_n, or that has its weights baked in.
    """
    c = predictions.backend.capabilities
    if c.fixed is not None or not c.initial_state or not {"c_n", "output"} <= set(c.returns):
        return ()
    found, met = set[str](), list[_Step]()
    for gate, pair in _pairs().items():
        steps = [step for given in pair if (step := _step(predictions, call, dtype, *given)) is not None]
        if len(steps) < len(pair):
            return ()
        met += steps
        if any(step.h_off if gate == "o" else step.c_off for step in steps) and _is_its_own(gate, steps):
            found.add(gate)
    for step in met:
        for_c = {"f", "g"} if step.c_0.any() else {"i", "g"}
        if (step.c_off and not found & for_c) or (step.h_off and "o" not in found):
            return ()
    return tuple(gate for gate in GATES if gate in found)


def _pairs() -> dict[str, tuple[_Given, _Given]]:
    """Two steps for each gate: alike in its own preactivation, and not in what else takes part."""
    a, other = ({gate: 1.5 * normal(seed, gate, (_UNITS,)) for gate in GATES} for seed in (7, 8))
    none = np.zeros(_UNITS)
    above, below = (sign * (1 + normal(9, "c_0", (_UNITS,)) ** 2) for sign in (1, -0.5))
    no_g = {"g": none}
    others = {gate: other | {gate: a[gate]} for gate in GATES}
    return {
        "i": ((a, none), (others["i"], none)),
        "g": ((a, none), (others["g"], none)),
        "f": ((a | no_g, above), (others["f"] | no_g, below)),
        "o": ((a | no_g, above), (others["o"] | no_g, below)),
    }


def _step(
    predictions: Predictions, call: Callable[[Case], Reply], dtype: str, a: dict[str, Array], c_0: Array
) -> _Step | None:
    """One step with given preactivations; None if it returned nothing that can be read."""
    layout = not predictions.backend.capabilities.time_major
    plain = realise(Recipe(I=1, H=_UNITS, L=1, N=1, state="both", dtype=dtype, batch_first=layout))
    params = {name: np.zeros_like(value) for name, value in plain.params.items()}
    params["bias_ih_l0"] = np.concatenate([a[gate] for gate in GATES]).astype(plain.x.dtype)
    state = np.zeros((1, 1, _UNITS), plain.x.dtype), c_0.astype(plain.x.dtype).reshape(1, 1, _UNITS)
    case = replace(plain, params=params, x=np.zeros_like(plain.x), state=state, rule="any")
    result = call(case).result
    if result is None or result.output is None or result.c_n is None:
        return None
    h, c = (np.asarray(part, np.float64).ravel() for part in (result.output, result.c_n))
    if h.shape != c_0.shape or c.shape != c_0.shape:
        return None
    wanted, bound = predictions.expected(Asked(case))
    right_c, off_c, off_h = (
        np.asarray(part, np.float64).ravel() for part in (wanted["c_n"], bound["c_n"], bound["output"])
    )
    given_c = sigmoid(a["o"]) * np.tanh(c)
    return _Step(a, c_0, h, c, _beyond(c - right_c, off_c), _beyond(h - given_c, off_h))


def _beyond(error: Array, bound: Array) -> bool:
    return not bool((np.abs(error) <= bound).all())


def _is_its_own(gate: str, steps: Sequence[_Step]) -> bool:
    """Whether two values of a gate agree far better with each other than with the right one, and are not all 0."""
    first, second = (step.value(gate) for step in steps)
    right = np.tanh(steps[0].a["g"]) if gate == "g" else sigmoid(steps[0].a[gate])
    told = np.isfinite(first) & np.isfinite(second)
    apart, off = np.abs(first - second)[told], np.abs(first - right)[told]
    return bool(told.any() and first[told].any() and apart.max() < _NEARER * off.max())
