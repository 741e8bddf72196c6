"""The gradient of an altered forward pass by central differences: what automatic differentiation makes of a mistake.

A backend whose forward pass has a mistake differentiates that. Its gradients are then no mistake of their own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.backend import Backend
from conformance.cases.case import Case, tensors
from conformance.cases.cotangents import Cotangents
from conformance.engine.reply import Reply, reply
from conformance.spec import Array

#: A case with more elements than this takes too many calls.
MOST = 400

#: The step; in float64 its square and the roundoffs that it magnifies leave nine digits.
_STEP = 2.0**-17

#: How far a central difference may be from the derivative, as a share of the largest of a tensor.
DIFFERENCE = 1e-7


def followed(backend: Backend, case: Case, cotangents: Cotangents) -> Reply | None:
    """The reply to a vjp that follows the backend's forward pass; None if the case is too large for it.

    Gradients are taken in float64 by central differences. The states' are zero where none is given, as no argument is.
    """
    if sum(value.size for value in (*case.params.values(), case.x, *case.initial())) > MOST:
        return None
    told = reply(backend, case)
    if told.result is None:
        return told
    wide = _wide(case)
    values = tensors(wide)
    grads = {name: np.zeros_like(value) for name, value in values.items()}
    for name, value in values.items():
        for at in np.ndindex(value.shape):
            losses = []
            for step in (_STEP, -_STEP):
                moved = value.copy()
                moved[at] += step
                losses.append(_loss(backend, _with(wide, name, moved), cotangents))
            if None in losses:
                return None
            grads[name][at] = (losses[0] - losses[1]) / (2 * _STEP)
    return Reply(told.result, grads)


def _wide(case: Case) -> Case:
    """The case in float64, with zeros where no state is given."""
    params = {name: value.astype(np.float64) for name, value in case.params.items()}
    h_0, c_0 = case.initial()
    state = h_0.astype(np.float64), c_0.astype(np.float64)
    config = replace(case.config, dtype="float64")
    return replace(case, config=config, params=params, x=case.x.astype(np.float64), state=state)


def _with(case: Case, name: str, value: Array) -> Case:
    """The case with one tensor exchanged."""
    if name == "x":
        return replace(case, x=value)
    if name in case.params:
        return replace(case, params={**case.params, name: value})
    assert case.state is not None
    return replace(case, state=(value, case.state[1]) if name == "h_0" else (case.state[0], value))


def _loss(backend: Backend, case: Case, cotangents: Cotangents) -> float | None:
    """Σ cotangent · result."""
    told = reply(backend, case).result
    if told is None:
        return None
    pairs = zip(cotangents, told, strict=True)
    return sum(float((np.asarray(d, np.float64) * part).sum()) for d, part in pairs if part is not None)
