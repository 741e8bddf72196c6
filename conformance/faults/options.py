"""Faults of what a backend should refuse: bad input made to fit, options that it does not have silently ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.conventions import Transform
from conformance.conventions.layouts import states
from conformance.faults.alter import Model, called, given
from conformance.faults.degenerate import unbatched_as_rows
from conformance.faults.dropout import undropped
from conformance.faults.fault import FULL, OPTIONS, Fault
from conformance.faults.twin import Arguments, Twin
from conformance.spec import Array, LSTMConfig, Params, State, param_shapes, state_shapes


def forgiving(fit: Callable[[LSTMConfig, Array], Array]) -> Twin:
    """x made to fit before it is checked."""
    return given("accept", lambda config, x, *more: (fit(config, x), *more))


def state_fitted(fit: Callable[[Array, tuple[int, ...]], Array]) -> Twin:
    """h_0 and c_0 made to fit the shape that they should have."""

    def accept(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
        if state is None or x.ndim not in (2, 3):
            return x, state, lengths
        wanted = state_shapes(config, x.shape[0 if config.batch_first else 1])
        h_0, c_0 = (
            fit(part, shape if x.ndim == 3 else (shape[0], shape[2])) for part, shape in zip(state, wanted, strict=True)
        )
        return x, (h_0, c_0), lengths

    return given("accept", accept)


def _surplus(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
    """h_0 says how many layers there are; those that c_0 has besides are dropped."""
    return x, state and (state[0], state[1][: len(state[0])]), lengths


def _cut(part: Array, shape: tuple[int, ...]) -> Array:
    """Cut to size, where it is larger."""
    return part[tuple(slice(size) for size in shape)] if part.ndim == len(shape) else part


def _stretched(part: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast, where that is possible."""
    try:
        return np.broadcast_to(part, shape)
    except ValueError:
        return part


def _features_padded(config: LSTMConfig, x: Array) -> Array:
    missing = max(0, config.input_size - x.shape[-1])
    return np.concatenate([x, np.zeros((*x.shape[:-1], missing), x.dtype)], axis=-1)


def _bytes_reinterpreted(config: LSTMConfig, x: Array) -> Array:
    """Where there are too few of them, they are read again: what lies behind them is not ours."""
    if x.dtype == config.dtype:
        return x
    return np.resize(np.ascontiguousarray(x).reshape(-1).view(config.dtype), x.shape)


def running_as(change: Callable[[LSTMConfig], LSTMConfig], finish: Callable[..., Any] = lambda config, r: r) -> Twin:
    """The model runs as if its config were another; ``finish(config, result)`` makes up for the shapes."""

    def call(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
        other = change(model.config)
        if other == model.config:
            return model.call(x, state, lengths)
        params = {name: model.params[name] for name in param_shapes(other) if name in model.params}
        if state is not None:
            slots = other.num_layers * other.num_directions
            state = state[0][:slots], state[1][:slots]
        return finish(model.config, Twin().build(other, params)(x, state, lengths))

    return called(call)


def _doubled(config: LSTMConfig, result: tuple[Array, State]) -> tuple[Array, State]:
    output, (h_n, c_n) = result
    return np.concatenate([output, output], -1), (np.repeat(h_n, 2, axis=0), np.repeat(c_n, 2, axis=0))


def _repeated(config: LSTMConfig, result: tuple[Array, State]) -> tuple[Array, State]:
    output, (h_n, c_n) = result
    times = config.num_layers
    return output, (np.concatenate([h_n] * times), np.concatenate([c_n] * times))


def _default_biases(config: LSTMConfig, params: Params) -> Params:
    """Keras's default: the forget gate's bias is 1."""
    if config.bias:
        return params
    H, filled = config.hidden_size, dict(params)
    for name, value in params.items():
        if name.startswith("weight_hh"):
            end = name.removeprefix("weight_hh")
            filled["bias_hh" + end] = np.zeros(4 * H, value.dtype)
            filled["bias_ih" + end] = np.repeat(np.asarray([0, 1, 0, 0], value.dtype), H)
    return filled


def lacking(**options: bool) -> Any:
    """All capabilities but some."""
    return replace(FULL, **options)


FAULTS = (
    Fault("extra-features-cut", "Features beyond input_size are cut off.", "kernels that trust the caller",
        "x with a feature too many", OPTIONS, forgiving(lambda config, x: x[..., : config.input_size])),
    Fault("missing-features-padded", "Missing features are padded with zeros.", "kernels that trust the caller",
        "x with a feature too few", OPTIONS, forgiving(_features_padded)),
    Fault("extra-axis-dropped", "An x with four axes is squeezed.", "keras PR7387", "x of rank 4", OPTIONS,
        forgiving(lambda config, x: x.reshape(x.shape[-3:]))),
    Fault("input-bytes-reinterpreted", "The bytes of an x of another dtype are read as the config's.",
        "kernels that are handed a pointer", "x of another dtype", OPTIONS, forgiving(_bytes_reinterpreted)),
    Fault("vector-accepted", "An x with one axis is taken for one step.", "keras PR7387", "x of rank 1", OPTIONS,
        forgiving(lambda config, x: x[None] if x.ndim == 1 else x)),
    Fault("state-broadcast", "A state with an axis of one is broadcast.", "opencv#21118, torch-mlir PR4741",
        "state of one row or slot", OPTIONS, state_fitted(_stretched)),
    Fault("state-cut", "A state that is too large is cut to size.", "onnx-tensorflow#409", "state too large", OPTIONS,
        state_fitted(_cut)),
    Fault("surplus-layers-of-c-0", "c_0's layers beyond those of h_0 are dropped.", "pytorch#193911",
        "c_0 with a layer too many", OPTIONS, given("accept", _surplus)),
    Fault("bidirectional-undeclared", "bidirectional is accepted, and both halves are the forward direction.", "candle",
        "undeclared bidirectional", OPTIONS, running_as(lambda config: replace(config, bidirectional=False), _doubled),
        lacking(bidirectional=False)),
    Fault("batch-first-undeclared", "batch_first is accepted and ignored.", "openvino#37820", "undeclared batch_first",
        OPTIONS, running_as(lambda config: replace(config, batch_first=False)), lacking(batch_first=False)),
    Fault("layers-undeclared", "num_layers is accepted, and only the first layer runs.", "TFLite converters",
        "undeclared layers", OPTIONS, running_as(lambda config: replace(config, num_layers=1), _repeated),
        lacking(layers=False)),
    Fault("projection-undeclared", "proj_size is accepted, and the first P units are kept.", "pytorch#74953",
        "undeclared projection", OPTIONS, Twin(project=lambda twin, at, w, m: m[:, : at.config.output_size]),
        lacking(projection=False)),
    Fault("no-bias-undeclared", "bias=False is accepted, and default biases are used.", "Keras unit_forget_bias",
        "undeclared bias=False", OPTIONS, Twin(transform=Transform(params=_default_biases)), lacking(no_bias=False)),
    Fault("no-bias-defaults", "Without biases, default biases are used.", "Keras unit_forget_bias", "bias=False",
        OPTIONS, Twin(transform=Transform(params=_default_biases))),
    Fault("lengths-undeclared", "lengths is accepted and ignored.", "openvino", "undeclared lengths", OPTIONS,
        Twin(transform=Transform(lengths=lambda config, n: np.full_like(n, 10**9))), lacking(lengths=False)),
    Fault("state-undeclared", "An initial state is accepted and ignored.", "ONNX's vectors", "undeclared state",
        OPTIONS, Twin(transform=states(lambda config, part: 0 * part)), lacking(initial_state=False)),
    Fault("unbatched-undeclared", "(L, I) is accepted, and read as L rows of one step.", "keras PR7387",
        "undeclared unbatched", OPTIONS, called(unbatched_as_rows), lacking(unbatched=False)),
    Fault("dropout-ignored", "Dropout in training is accepted and ignored.", "DL4J", "dropout in training", OPTIONS,
        Twin(drop=undropped)),
    Fault("float64-undeclared", "float64 is accepted, and computed in float32.", "ports with float buffers",
        "undeclared float64", OPTIONS, Twin(precision=lambda twin, config: "float32"),
        replace(FULL, dtypes=("float32",))),
)  # fmt: skip
