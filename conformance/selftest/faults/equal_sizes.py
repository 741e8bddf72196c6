"""Faults of equal sizes: code that tells axes, layouts or weights apart by their sizes is wrong where these agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.selftest.faults import backward as correct_back
from conformance.selftest.faults.alter import Model, Results, called
from conformance.selftest.faults.backward import Differentiable, Gradients, Sweep
from conformance.selftest.faults.fault import LAYOUT, MEMORY, STATE, Fault
from conformance.selftest.faults.gradient_calls import Returned, vjp
from conformance.selftest.faults.gradients import fault
from conformance.selftest.faults.twin import Place
from conformance.spec import Array, State


def _x_back_by_shape(model: Model, x: Array, *more: Any) -> Returned:
    """dx is time-major inside, and transposed only where its shape is not x's."""
    result, grads = model.call(x, *more)
    square = model.config.batch_first and x.ndim == 3 and x.shape[0] == x.shape[1]
    return result, grads | {"x": grads["x"].swapaxes(0, 1)} if square else grads


def _layout_from_lengths(model: Model, x: Array, state: State | None, lengths: Array | None, *d: Array) -> Returned:
    """dx is batch-first where x's first axis is as long as the lengths are."""
    result, grads = model.call(x, state, lengths, *d)
    taken = not model.config.batch_first and lengths is not None and len(x) == len(lengths)
    return result, grads | {"x": grads["x"].swapaxes(0, 1)} if taken else grads


def _states_by_shape(model: Model, x: Array, *more: Any) -> Returned:
    """The states' gradients are taken for batch-first where their first axis is as long as the batch."""
    result, grads = model.call(x, *more)
    square = x.ndim == 3 and grads["h_0"].shape[0] == grads["h_0"].shape[1]
    return result, grads | {name: grads[name].swapaxes(0, 1) for name in ("h_0", "c_0")} if square else grads


def _square_mask(
    twin: Differentiable, at: Place, w: Any, steps: Any, lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """With as many rows as steps, the mask of grad_output has its axes exchanged."""
    L, N = d_output.shape[:2]
    if L == N:
        on = (np.arange(L)[None] < lengths[:, None])[..., None]
        d_output = np.where(on, d_output, np.zeros_like(d_output))
    return correct_back.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


def _buffers_by_shape(model: Model, *arguments: Any) -> Returned:
    """The gradient of a weight is written where one of the same shape was, which both then are."""
    result, grads = model.call(*arguments)
    last: Gradients = {}
    for name in sorted(name for name in model.params if name.startswith("weight") and not name.endswith("_reverse")):
        last[str((name.split("_l")[-1], grads[name].shape))] = grads[name]
    return result, grads | {
        name: last[key]
        for name in model.params
        if (key := str((name.split("_l")[-1], grads[name].shape))) in last and name.startswith("weight")
    }


def _output_by_shape(model: Model, x: Array, *more: Any) -> Results:
    """The output is time-major inside, and transposed only where its shape is not x's."""
    output, finals = model.call(x, *more)
    square = model.config.batch_first and x.ndim == 3 and x.shape[0] == x.shape[1]
    return output.swapaxes(0, 1) if square else output, finals


def _state_by_shape(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """In a batch-first model a state whose first axis is as long as the batch is read batch-first."""
    if model.config.batch_first and state is not None and x.ndim == 3 and len(state[0]) == len(x):
        state = state[0].swapaxes(0, 1), state[1].swapaxes(0, 1)
    return model.call(x, state, lengths)


def _layout_by_strides(model: Model, x: Array, *more: Any) -> Results:
    """A square x whose second axis has the larger stride is taken for the other layout."""
    square = x.ndim == 3 and x.shape[0] == x.shape[1] and 0 < x.strides[0] < x.strides[1]
    return model.call(np.ascontiguousarray(x.swapaxes(0, 1)) if square else x, *more)


FAULTS = (
    fault("gradient-x-transposed-by-shape", "dx is transposed to batch-first only where its shape is not x's.",
        "adapters", "batch_first, N = L", vjp(_x_back_by_shape)),
    fault("gradient-x-batch-first-by-lengths", "dx is batch-first where x's first axis is as long as the lengths.",
        "adapters", "lengths, N = L", vjp(_layout_from_lengths)),
    fault("gradient-of-state-by-shape", "The states' gradients are batch-first where their first axis is N.",
        "adapters", "N = layers·D", vjp(_states_by_shape)),
    fault("gradient-square-mask-transposed", "With N = L the mask of grad_output has its axes exchanged.",
        "boolean masks", "unequal lengths, N = L", Differentiable(d_layer=_square_mask)),
    fault("gradient-buffers-by-shape", "Weights of one layer and shape share a buffer for their gradients.",
        "caches by shape", "I = P", vjp(_buffers_by_shape)),
    Fault("output-transposed-by-shape", "The output is transposed to batch-first only where its shape is not x's.",
        "adapters", "batch_first, N = L", LAYOUT, called(_output_by_shape)),
    Fault("state-batch-first-by-shape", "A state whose first axis is as long as the batch is read batch-first.",
        "adapters", "batch_first, N = layers·D", STATE, called(_state_by_shape)),
    Fault("square-layout-by-strides", "The layout of a square x is read off its strides.", "channels_last",
        "N = L, x transposed in memory", MEMORY, called(_layout_by_strides)),
)  # fmt: skip
