"""Faults of equal sizes: code that tells axes, layouts or weights apart by their sizes is wrong where these agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import Model
from conformance.faults.backward import Differentiable, Sweep
from conformance.faults.gradient_calls import Returned, vjp
from conformance.faults.gradients import fault
from conformance.faults.twin import Place
from conformance.spec import Array, State


def _x_back_by_shape(model: Model, x: Array, state: State | None, *more: Any) -> Returned:
    """Without a state dx is time-major inside, and transposed only where its shape is not x's."""
    result, grads = model.call(x, state, *more)
    square = model.config.batch_first and x.ndim == 3 and x.shape[0] == x.shape[1] and state is None
    return result, grads | {"x": grads["x"].swapaxes(0, 1)} if square else grads


def _layout_from_lengths(model: Model, x: Array, state: State | None, lengths: Array | None, *d: Array) -> Returned:
    """dx is batch-first where x's first axis is as long as the lengths are."""
    result, grads = model.call(x, state, lengths, *d)
    taken = not model.config.batch_first and lengths is not None and len(x) == len(lengths)
    return result, grads | {"x": grads["x"].swapaxes(0, 1)} if taken else grads


def _square_mask(
    twin: Differentiable, at: Place, w: Any, steps: Any, lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """With as many rows as steps, the mask of grad_output has its axes exchanged."""
    L, N = d_output.shape[:2]
    if L == N:
        on = (np.arange(L)[None] < lengths[:, None])[..., None]
        d_output = np.where(on, d_output, np.zeros_like(d_output))
    return correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


FAULTS = (
    fault("gradient-x-transposed-by-shape", "Without a state dx is transposed only where its shape is not x's.",
        "adapters", "batch_first, N = L, no state", vjp(_x_back_by_shape)),
    fault("gradient-x-batch-first-by-lengths", "dx is batch-first where x's first axis is as long as the lengths.",
        "adapters", "lengths, N = L", vjp(_layout_from_lengths)),
    fault("gradient-square-mask-transposed", "With N = L the mask of grad_output has its axes exchanged.",
        "boolean masks", "unequal lengths, N = L", Differentiable(d_layer=_square_mask)),
)  # fmt: skip
