"""Readings of the parameters: gate orders, transposed matrices, which biases there are, wrong owners."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np

from conformance.conventions.transform import GATES, LAYOUT, REVERSE, STACK, Convention, Transform
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig, Params

#: The orders in which an implementation may read its gates; "ifgo" is ours.
ORDERS = tuple("".join(order) for order in permutations(PACKED))

Change = Callable[[LSTMConfig, str, Array], Array]


def each(change: Change, *names: str) -> Transform:
    """Every parameter whose name starts with one of ``names`` (all by default) changed by itself."""

    def params(config: LSTMConfig, params: Params) -> Params:
        return {name: change(config, name, v) if name.startswith(names or "") else v for name, v in params.items()}

    return Transform(params=params)


def renamed(other: Callable[[str], str], *names: str) -> Transform:
    """Every parameter whose name starts with one of ``names`` taken from ``other(name)``, where that fits."""

    def params(config: LSTMConfig, params: Params) -> Params:
        def of(name: str) -> str:
            owner = other(name) if name.startswith(names or "") else name
            return owner if owner in params and params[owner].shape == params[name].shape else name

        return {name: params[of(name)] for name in params}

    return Transform(params=params)


# What a parameter is taken for


def gates_read_as(order: str) -> Transform:
    """All parameters' gates are read in another order."""
    return each(gate_order(order), "weight_ih", "weight_hh", "bias")


def gate_order(order: str) -> Change:
    """The four blocks are taken for the gates in another order."""

    def change(config: LSTMConfig, name: str, value: Array) -> Array:
        blocks = value.reshape(4, -1, *value.shape[1:])
        return blocks[[order.index(gate) for gate in PACKED]].reshape(value.shape)

    return change


def interleaved(config: LSTMConfig, name: str, value: Array) -> Array:
    """Rows are taken for unit-major: the four gates of one unit side by side."""
    return value.reshape(-1, 4, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def transposed(config: LSTMConfig, name: str, value: Array) -> Array:
    """The same memory taken for the transposed matrix."""
    return value.reshape(value.shape[::-1]).T


def square_transposed(config: LSTMConfig, name: str, value: Array) -> Array:
    """Each gate's block transposed, where it is square."""
    H = config.hidden_size
    return value.reshape(4, H, H).swapaxes(1, 2).reshape(value.shape) if value.shape[1] == H else value


def whole_transposed(config: LSTMConfig, name: str, value: Array) -> Array:
    """All four gates' matrix transposed, where it is square."""
    return value.T if value.shape[0] == value.shape[1] else value


def zero(config: LSTMConfig, name: str, value: Array) -> Array:
    """Nothing."""
    return 0 * value


def forget_bias(config: LSTMConfig, name: str, value: Array) -> Array:
    """1 added to the forget gate's bias."""
    H = config.hidden_size
    return np.concatenate([value[:H], value[H : 2 * H] + 1, value[2 * H :]])


# Which parameters


def upper(change: Change) -> Change:
    """Only above the first layer."""
    return lambda config, name, value: value if "_l0" in name else change(config, name, value)


def reverse(change: Change) -> Change:
    """Only in the reverse direction."""
    return lambda config, name, value: change(config, name, value) if name.endswith("_reverse") else value


def layer_below(name: str) -> str:
    """The name of the same parameter one layer below."""
    head, _, tail = name.partition("_l")
    return f"{head}_l{max(0, int(tail[0]) - 1)}{tail[1:]}"


# Which columns of the layer below


def _halves(value: Array, config: LSTMConfig) -> tuple[Array, Array]:
    return value[:, : config.output_size], value[:, config.output_size :]


def columns_swapped(config: LSTMConfig, name: str, value: Array) -> Array:
    """The columns of the two directions below exchanged."""
    return np.concatenate(_halves(value, config)[::-1], axis=1) if config.bidirectional else value


def forward_columns(config: LSTMConfig, name: str, value: Array) -> Array:
    """Only the columns of the forward direction below."""
    forward, back = _halves(value, config)
    return np.concatenate([forward, 0 * back], axis=1)


def own_columns(config: LSTMConfig, name: str, value: Array) -> Array:
    """Only the columns of the same direction below."""
    if not config.bidirectional:
        return value
    forward, back = _halves(value, config)
    return np.concatenate([0 * forward, back] if name.endswith("_reverse") else [forward, 0 * back], axis=1)


def _sorted_as_text(config: LSTMConfig, params: Params) -> Params:
    """Parameters are listed by their names, sorted, and dealt out in the order of the layers."""
    listed = sorted(params)
    taken = {name: params[other] for name, other in zip(sorted(params, key=_by_layer), listed, strict=True)}
    return params if any(taken[name].shape != params[name].shape for name in params) else taken


def _by_layer(name: str) -> tuple[str, int, str]:
    kind, _, place = name.rpartition("_l")
    layer, _, direction = place.partition("_")
    return kind, int(layer), direction


CONVENTIONS = (
    Convention("gate-order-iofg", "The gates are read in the order i, o, f, g.", "ONNX, MNN, WebNN", "always", GATES,
        gates_read_as("iofg")),
    Convention("gate-order-figo", "The gates are read in the order f, i, g, o.", "OpenVINO; xlstm#98", "always", GATES,
        gates_read_as("figo")),
    Convention("gate-order-igfo", "The gates are read in the order i, g, f, o.", "Haiku", "always", GATES,
        gates_read_as("igfo")),
    Convention("gate-order-ifog", "The gates are read in the order i, f, o, g.", "OpenCV, ncnn, CoreML, MIOpen",
        "always", GATES, gates_read_as("ifog")),
    Convention("recurrent-bias-gate-order", "b_hh alone is read in the order i, o, f, g.", "CrispASR PR106",
        "with bias", GATES, each(gate_order("iofg"), "bias_hh")),
    Convention("upper-gate-order", "Layers above the first read their gates as f, i, g, o.", "xlstm#98", "layers > 1",
        GATES, each(upper(gate_order("figo")), "weight_ih", "weight_hh", "bias")),
    Convention("gates-interleaved", "The rows are read unit by unit instead of gate by gate.",
        "TensorFlow CudnnLSTM layouts", "H > 1", GATES, each(interleaved, "weight_ih", "weight_hh", "bias")),
    Convention("input-weights-transposed", "weight_ih is read as (I, 4H).", "Keras, hls4ml, ncnn", "always", LAYOUT,
        each(transposed, "weight_ih")),
    Convention("recurrent-weights-transposed", "weight_hh is read as (P, 4H).", "Keras, hls4ml", "always", LAYOUT,
        each(transposed, "weight_hh")),
    Convention("recurrent-blocks-transposed", "Each gate's H × H block of weight_hh is transposed.", "Keras",
        "no projection, H > 1", LAYOUT, each(square_transposed, "weight_hh")),
    Convention("whole-square-transposed", "weight_ih is transposed where all four gates' matrix is square.",
        "converters that tell layouts by shape", "input size = 4H", LAYOUT, each(whole_transposed, "weight_ih")),
    Convention("square-weights-transposed", "weight_ih is transposed where each gate's block is square.",
        "converters that tell layouts by shape", "input size = H", LAYOUT, each(square_transposed, "weight_ih")),
    Convention("first-square-transposed", "The first layer's weight_ih is transposed where I = H.",
        "converters that tell layouts by shape", "I = H", LAYOUT, each(square_transposed, "weight_ih_l0")),
    Convention("projection-transposed", "weight_hr is read as (H, P).", "Paddle", "projection, P > 1", LAYOUT,
        each(transposed, "weight_hr")),
    Convention("recurrent-bias-ignored", "b_hh is ignored.", "onnx2tf PR291", "with bias", GATES,
        each(zero, "bias_hh")),
    Convention("input-bias-ignored", "b_ih is ignored.", "onnx2tf PR291", "with bias", GATES, each(zero, "bias_ih")),
    Convention("upper-recurrent-bias-ignored", "b_hh is ignored above the first layer.", "onnx2tf PR291",
        "layers > 1 with bias", GATES, each(upper(zero), "bias_hh")),
    Convention("reverse-recurrent-bias-ignored", "b_hh is ignored in the reverse direction.", "onnx2tf PR291",
        "bidirectional with bias", GATES, each(reverse(zero), "bias_hh")),
    Convention("input-bias-twice", "b_ih is used for both biases.", "frameworks with one bias", "with bias", GATES,
        renamed(lambda name: name.replace("bias_hh", "bias_ih"), "bias_hh")),
    Convention("forget-bias-one", "1 is added to the forget gate's bias.", "Haiku, Keras", "with bias", GATES,
        each(forget_bias, "bias_ih")),
    Convention("reverse-uses-forward-weights", "The reverse direction uses the forward direction's parameters.",
        "candle", "bidirectional", REVERSE, renamed(lambda name: name.removesuffix("_reverse"))),
    Convention("upper-reverse-uses-forward-weights",
        "Above the first layer the reverse direction uses forward parameters.", "pytorch#89357",
        "bidirectional, layers > 1", STACK,
        renamed(lambda name: name if "_l0" in name else name.removesuffix("_reverse"))),
    Convention("reverse-uses-forward-biases", "The reverse direction uses the forward direction's biases.", "candle",
        "bidirectional with bias", REVERSE, renamed(lambda name: name.removesuffix("_reverse"), "bias")),
    Convention("upper-biases-of-layer-below", "A layer uses the biases of the layer below.", "onnx-tensorflow#878",
        "layers > 1 with bias", STACK, renamed(layer_below, "bias")),
    Convention("third-layer-uses-second-weights",
        "Above the second, a layer uses the input weights of the layer below.", "onnx-tensorflow#878", "layers > 2",
        STACK, renamed(layer_below, "weight_ih")),
    Convention("recurrent-weights-of-layer-below", "A layer uses the recurrent weights of the layer below.", "MNN#2500",
        "layers > 1", STACK, renamed(layer_below, "weight_hh")),
    Convention("projection-of-layer-below", "A layer uses the projection of the layer below.", "Paddle",
        "projection, layers > 1", STACK, renamed(layer_below, "weight_hr")),
    Convention("upper-reads-halves-swapped", "Upper layers read the reverse half first.", "coremltools#824",
        "bidirectional, layers > 1", STACK, each(upper(columns_swapped), "weight_ih")),
    Convention("upper-reverse-reads-halves-swapped", "The upper reverse direction reads the reverse half first.",
        "pytorch#90421", "bidirectional, layers > 1", STACK, each(upper(reverse(columns_swapped)), "weight_ih")),
    Convention("upper-reads-forward-half", "Upper layers ignore the reverse half below.", "pytorch#89357",
        "bidirectional, layers > 1", STACK, each(upper(forward_columns), "weight_ih")),
    Convention("directions-stacked-apart", "Each direction's layers read only their own direction below.",
        "TensorFlow stack_bidirectional_rnn", "bidirectional, layers > 1", STACK,
        each(upper(own_columns), "weight_ih")),
    Convention("layers-sorted-as-text", "Parameters are taken in the order of their names, _l10 before _l2.",
        "names sorted as text", "layers > 10, sizes that fit", STACK, Transform(params=_sorted_as_text)),
)  # fmt: skip
