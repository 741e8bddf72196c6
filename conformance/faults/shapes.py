"""Faults of what is made to fit: arguments of another shape that are broadcast, reshaped, transposed or squeezed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.faults.alter import Model, called, given
from conformance.faults.fault import FULL, OPTIONS, Fault
from conformance.faults.options import forgiving, state_fitted
from conformance.faults.twin import Arguments, Twin
from conformance.spec import Array, LSTMConfig, State

#: An array made to fit a shape, or left as it is.
Fit = Callable[[Array, tuple[int, ...]], Array]


def _reshaped(part: Array, shape: tuple[int, ...]) -> Array:
    """The same numbers under the right shape."""
    return part.reshape(shape) if part.size == np.prod(shape) else part


def _turned(part: Array, shape: tuple[int, ...]) -> Array:
    """The first two axes exchanged, where they fit that way alone."""
    turned = part.shape != shape and part.ndim > 1 and part.swapaxes(0, 1).shape == shape
    return part.swapaxes(0, 1) if turned else part


def _squeezed(part: Array, shape: tuple[int, ...]) -> Array:
    """Axes of one do not count."""
    return part.reshape(shape) if [n for n in part.shape if n > 1] == [n for n in shape if n > 1] else part


def _stretched(part: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast, where that is possible."""
    try:
        return np.broadcast_to(part, shape)
    except ValueError:
        return part


def _cut_to_rows(part: Array, shape: tuple[int, ...]) -> Array:
    """Rows too many are left out."""
    return part[:, : shape[1]] if part.ndim == len(shape) == 3 and part.shape[1] > shape[1] else part


def _c_0_of_one_unit(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """A c_0 with one unit is that of all units."""
    if state is None or state[1].shape[-1:] != (1,):
        return x, state, lengths
    return x, (state[0], np.repeat(state[1], config.hidden_size, axis=-1)), lengths


def _x_turned(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """Time and batch are told apart by the state's rows."""
    rows = None if state is None or state[0].ndim != 3 else state[0].shape[1]
    axis = 0 if config.batch_first else 1
    turned = x.ndim == 3 and x.shape[axis] != rows == x.shape[1 - axis]
    return (x.swapaxes(0, 1) if turned else x), state, lengths


def _x_of_one_row(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """An x of one row is computed for each row of the state."""
    axis = 0 if config.batch_first else 1
    if state is None or x.ndim != 3 or state[0].ndim != 3 or x.shape[axis] != 1:
        return x, state, lengths
    rows = state[0].shape[1]
    return np.repeat(x, rows, axis), state, None if lengths is None else np.repeat(lengths, rows)


def cotangents_fitted(fit: Fit) -> Twin:
    """The cotangents of a vjp made to fit the results."""

    def call(model: Model, x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        width = model.config.num_directions * model.config.output_size
        shapes = ((*x.shape[:-1], width), *(part.shape for part in model.state(x)))
        fitted = (fit(part, shape) for part, shape in zip(cotangents, shapes, strict=True))
        return model.call(x, state, lengths, *fitted)

    return called(call, "d_around")


_DIFFERENTIABLE = replace(FULL, gradients=True)

FAULTS = (
    Fault("state-reshaped-to-fit", "A state with the right number of elements is reshaped.", "buffers without a shape",
        "state of another shape and the same size", OPTIONS, state_fitted(_reshaped)),
    Fault("state-turned-to-fit", "A state is transposed if it fits that way.", "batch-first states",
        "state of (N, layers·D, ·)", OPTIONS, state_fitted(_turned)),
    Fault("state-squeezed-to-fit", "Axes of one in a state do not count.", "keras PR7387", "state with an axis of one",
        OPTIONS, state_fitted(_squeezed)),
    Fault("c-0-of-one-unit", "A c_0 with one unit is broadcast; h_0 is checked.", "NumPy's broadcasting",
        "c_0 of (layers·D, N, 1)", OPTIONS, given("accept", _c_0_of_one_unit)),
    Fault("x-turned-to-fit", "Time and batch of x are exchanged if the state says so.", "guessed layouts",
        "x of (N, L, I) with a state", OPTIONS, given("accept", _x_turned)),
    Fault("x-of-one-row", "An x of one row is broadcast over the rows of the state.", "Keras on TensorFlow",
        "x of one row, a state of several", OPTIONS, given("accept", _x_of_one_row)),
    Fault("x-of-one-feature", "An x of one feature is broadcast to all of them.", "NumPy's broadcasting",
        "x of (L, N, 1)", OPTIONS,
        forgiving(lambda config, x: np.repeat(x, config.input_size, -1) if x.shape[-1:] == (1,) else x)),
    Fault("lengths-in-a-column", "Lengths in a column or in a row are flattened.", "keras masks", "lengths of (N, 1)",
        OPTIONS, given("accept", lambda config, x, state, n: (x, state, None if n is None else n.reshape(-1)))),
    Fault("cotangent-broadcast", "A cotangent is broadcast to the result's shape.", "NumPy's broadcasting",
        "cotangent with an axis of one", OPTIONS, cotangents_fitted(_stretched), _DIFFERENTIABLE),
    Fault("cotangent-reshaped-to-fit", "A cotangent with the right number of elements is reshaped.",
        "buffers without a shape", "cotangent of another shape and the same size", OPTIONS,
        cotangents_fitted(_reshaped), _DIFFERENTIABLE),
    Fault("cotangent-rows-cut", "Rows too many in a cotangent are left out.", "kernels that trust the caller",
        "cotangent of more rows", OPTIONS, cotangents_fitted(_cut_to_rows), _DIFFERENTIABLE),
)  # fmt: skip
