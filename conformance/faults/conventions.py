"""Faults that are conventions: parameters, inputs, states or results taken for something else, nothing else wrong."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.faults.fault import FINAL, GATES, LAYOUT, RANGE, REVERSE, STACK, STATE, Fault
from conformance.faults.twin import Transform, Twin
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig, Params, Result, State

Change = Callable[[LSTMConfig, str, Array], Array]


def each(change: Change, *names: str) -> Twin:
    """Every parameter whose name starts with one of ``names`` (all by default) changed by itself."""

    def params(config: LSTMConfig, params: Params) -> Params:
        return {name: change(config, name, v) if name.startswith(names or "") else v for name, v in params.items()}

    return Twin(transform=Transform(params=params))


def renamed(other: Callable[[str], str], *names: str) -> Twin:
    """Every parameter whose name starts with one of ``names`` taken from ``other(name)``, where that fits."""

    def params(config: LSTMConfig, params: Params) -> Params:
        def of(name: str) -> str:
            twin = other(name) if name.startswith(names or "") else name
            return twin if twin in params and params[twin].shape == params[name].shape else name

        return {name: params[of(name)] for name in params}

    return Twin(transform=Transform(params=params))


def states(h_0: Callable[[LSTMConfig, Array], Array], c_0: Callable[[LSTMConfig, Array], Array] | None = None) -> Twin:
    """h_0 and c_0 changed, each by itself, or both alike."""
    return Twin(
        transform=Transform(state=lambda config, state: (h_0(config, state[0]), (c_0 or h_0)(config, state[1])))
    )


def outputs(change: Callable[[LSTMConfig, Array], Array]) -> Twin:
    """The output changed, the final states as they are."""
    return Twin(transform=Transform(result=lambda config, r: r._replace(output=change(config, _there(r.output)))))


def finals(
    h_n: Callable[[LSTMConfig, Result], Array | None], c_n: Callable[[LSTMConfig, Result], Array | None]
) -> Twin:
    """The final states made from the result, the output as it is."""
    return Twin(transform=Transform(result=lambda config, r: Result(r.output, h_n(config, r), c_n(config, r))))


def _there(part: Array | None) -> Array:
    assert part is not None
    return part


def _h(config: LSTMConfig, result: Result) -> Array:
    return _there(result.h_n)


def _c(config: LSTMConfig, result: Result) -> Array:
    return _there(result.c_n)


def same(config: LSTMConfig, value: Array) -> Array:
    """No change."""
    return value


# Parameters


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


def first_square_transposed(config: LSTMConfig, name: str, value: Array) -> Array:
    """The first layer's blocks transposed, where they are square."""
    return square_transposed(config, name, value) if "_l0" in name else value


def zero(config: LSTMConfig, name: str, value: Array) -> Array:
    """Nothing."""
    return 0 * value


def forget_bias(config: LSTMConfig, name: str, value: Array) -> Array:
    """1 added to the forget gate's bias."""
    H = config.hidden_size
    return np.concatenate([value[:H], value[H : 2 * H] + 1, value[2 * H :]])


def through(dtype: str) -> Change:
    """Stored in another dtype."""
    return lambda config, name, value: value.astype(dtype).astype(value.dtype)


def int8(config: LSTMConfig, name: str, value: Array) -> Array:
    """Stored as int8 with one scale for the tensor."""
    scale = value.dtype.type(np.abs(value).max() / 127 or 1)
    return np.rint(value / scale) * scale


def _halves(value: Array, config: LSTMConfig) -> tuple[Array, Array]:
    return value[:, : config.output_size], value[:, config.output_size :]


def upper(change: Change) -> Change:
    """Only above the first layer."""
    return lambda config, name, value: value if "_l0" in name else change(config, name, value)


def reverse(change: Change) -> Change:
    """Only in the reverse direction."""
    return lambda config, name, value: change(config, name, value) if name.endswith("_reverse") else value


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


def _layer_below(name: str) -> str:
    head, _, tail = name.partition("_l")
    return f"{head}_l{max(0, int(tail[0]) - 1)}{tail[1:]}"


# States


def by_direction(config: LSTMConfig, value: Array) -> Array:
    """Slots taken for direction-major: all layers forward, then all layers in reverse."""
    return value.reshape(config.num_directions, config.num_layers, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def swapped(config: LSTMConfig, state: State) -> State:
    """(h_0, c_0) taken for (c_0, h_0), where their sizes agree."""
    return state if config.proj_size else (state[1], state[0])


def slots_kept(keep: Callable[[LSTMConfig], Array]) -> Callable[[LSTMConfig, Array], Array]:
    """Only the slots that ``keep`` marks; zeros in the others."""
    return lambda config, value: np.where(keep(config)[:, None, None], value, np.zeros_like(value))


def _slot(config: LSTMConfig) -> Array:
    return np.arange(config.num_layers * config.num_directions)


def _directions(config: LSTMConfig) -> Array:
    return _slot(config) % config.num_directions


# Results


def reinterpreted(config: LSTMConfig, value: Array) -> Array:
    """The first two axes written in the other order, under the same shape."""
    return value.swapaxes(0, 1).reshape(value.shape)


def regrouped(config: LSTMConfig, output: Array) -> Array:
    """(L, D, N, P) taken for (L, N, D·P)."""
    halves = np.stack(np.split(output, config.num_directions, axis=2), axis=1)
    return halves.reshape(output.shape)


def merged(merge: Callable[[Array, Array], list[Array]]) -> Twin:
    """The two halves of every layer's output merged."""
    return Twin(
        join=lambda at, halves, below: np.concatenate(merge(*halves) if len(halves) == 2 else halves, axis=2),
    )


def _interleave(a: Array, b: Array) -> list[Array]:
    return [np.stack([a, b], axis=3).reshape(*a.shape[:2], -1)]


FAULTS = (
    Fault("gate-order-iofg", "The gates are read in the order i, o, f, g.", "ONNX, MNN, WebNN", "always", GATES,
          each(gate_order("iofg"), "weight_ih", "weight_hh", "bias")),
    Fault("gate-order-figo", "The gates are read in the order f, i, g, o.", "OpenVINO; xlstm#98", "always", GATES,
          each(gate_order("figo"), "weight_ih", "weight_hh", "bias")),
    Fault("gate-order-igfo", "The gates are read in the order i, g, f, o.", "Haiku", "always", GATES,
          each(gate_order("igfo"), "weight_ih", "weight_hh", "bias")),
    Fault("gate-order-ifog", "The gates are read in the order i, f, o, g.", "OpenCV, ncnn, CoreML, MIOpen", "always",
          GATES, each(gate_order("ifog"), "weight_ih", "weight_hh", "bias")),
    Fault("recurrent-bias-gate-order", "b_hh alone is read in the order i, o, f, g.", "CrispASR PR106", "with bias",
          GATES, each(gate_order("iofg"), "bias_hh")),
    Fault("upper-gate-order", "Layers above the first read their gates as f, i, g, o.", "xlstm#98", "layers > 1", GATES,
          each(upper(gate_order("figo")), "weight_ih", "weight_hh", "bias")),
    Fault("gates-interleaved", "The rows are read unit by unit instead of gate by gate.", "TensorFlow CudnnLSTM layouts",
          "H > 1", GATES, each(interleaved, "weight_ih", "weight_hh", "bias")),
    Fault("input-weights-transposed", "weight_ih is read as (I, 4H).", "Keras, hls4ml, ncnn", "always", LAYOUT,
          each(transposed, "weight_ih")),
    Fault("recurrent-weights-transposed", "weight_hh is read as (P, 4H).", "Keras, hls4ml", "always", LAYOUT,
          each(transposed, "weight_hh")),
    Fault("recurrent-blocks-transposed", "Each gate's H × H block of weight_hh is transposed.", "Keras",
          "no projection, H > 1", LAYOUT, each(square_transposed, "weight_hh")),
    Fault("square-weights-transposed", "weight_ih is transposed where each gate's block is square.",
          "converters that tell layouts by shape", "input size = H", LAYOUT, each(square_transposed, "weight_ih")),
    Fault("first-square-transposed", "The first layer's weight_ih is transposed where I = H.",
          "converters that tell layouts by shape", "I = H", LAYOUT, each(first_square_transposed, "weight_ih")),
    Fault("projection-transposed", "weight_hr is read as (H, P).", "Paddle", "projection, P > 1", LAYOUT,
          each(transposed, "weight_hr")),
    Fault("recurrent-bias-ignored", "b_hh is ignored.", "onnx2tf PR291", "with bias", GATES, each(zero, "bias_hh")),
    Fault("input-bias-ignored", "b_ih is ignored.", "onnx2tf PR291", "with bias", GATES, each(zero, "bias_ih")),
    Fault("upper-recurrent-bias-ignored", "b_hh is ignored above the first layer.", "onnx2tf PR291",
          "layers > 1 with bias", GATES, each(upper(zero), "bias_hh")),
    Fault("reverse-recurrent-bias-ignored", "b_hh is ignored in the reverse direction.", "onnx2tf PR291",
          "bidirectional with bias", GATES, each(reverse(zero), "bias_hh")),
    Fault("input-bias-twice", "b_ih is used for both biases.", "frameworks with one bias", "with bias", GATES,
          renamed(lambda name: name.replace("bias_hh", "bias_ih"), "bias_hh")),
    Fault("forget-bias-one", "1 is added to the forget gate's bias.", "Haiku, Keras", "with bias", GATES,
          each(forget_bias, "bias_ih")),
    Fault("weights-in-half", "Weights are stored in float16.", "mobile exports", "always", RANGE,
          each(through("float16"), "weight")),
    Fault("biases-in-half", "Biases are stored in float16.", "mobile exports", "with bias", RANGE,
          each(through("float16"), "bias")),
    Fault("weights-in-int8", "Weights are stored in int8 with one scale each.", "dynamic quantisation", "always", RANGE,
          each(int8, "weight")),
    Fault("float64-weights-in-float32", "float64 weights are stored in float32.", "ports with float literals",
          "float64 only", RANGE, each(through("float32"), "weight")),
    Fault("float64-biases-in-float32", "float64 biases are stored in float32.", "ports with float literals",
          "float64 only", RANGE, each(through("float32"), "bias")),

    Fault("reverse-uses-forward-weights", "The reverse direction uses the forward direction's parameters.", "candle",
          "bidirectional", REVERSE, renamed(lambda name: name.removesuffix("_reverse"))),
    Fault("upper-reverse-uses-forward-weights", "Above the first layer the reverse direction uses forward parameters.",
          "pytorch#89357", "bidirectional, layers > 1", STACK,
          renamed(lambda name: name if "_l0" in name else name.removesuffix("_reverse"))),
    Fault("reverse-uses-forward-biases", "The reverse direction uses the forward direction's biases.", "candle",
          "bidirectional with bias", REVERSE, renamed(lambda name: name.removesuffix("_reverse"), "bias")),
    Fault("upper-biases-of-layer-below", "A layer uses the biases of the layer below.", "onnx-tensorflow#878",
          "layers > 1 with bias", STACK, renamed(_layer_below, "bias")),
    Fault("third-layer-uses-second-weights", "Above the second, a layer uses the input weights of the layer below.",
          "onnx-tensorflow#878", "layers > 2", STACK, renamed(_layer_below, "weight_ih")),
    Fault("recurrent-weights-of-layer-below", "A layer uses the recurrent weights of the layer below.", "MNN#2500",
          "layers > 1", STACK, renamed(_layer_below, "weight_hh")),
    Fault("projection-of-first-layer", "All layers use the projection of the first.", "Paddle",
          "projection, layers > 1", STACK, renamed(_layer_below, "weight_hr")),
    Fault("upper-reads-halves-swapped", "Upper layers read the reverse half first.", "coremltools#824",
          "bidirectional, layers > 1", STACK, each(upper(columns_swapped), "weight_ih")),
    Fault("upper-reverse-reads-halves-swapped", "The upper reverse direction reads the reverse half first.",
          "pytorch#90421", "bidirectional, layers > 1", STACK, each(upper(reverse(columns_swapped)), "weight_ih")),
    Fault("upper-reads-forward-half", "Upper layers ignore the reverse half below.", "pytorch#89357",
          "bidirectional, layers > 1", STACK, each(upper(forward_columns), "weight_ih")),
    Fault("directions-stacked-apart", "Each direction's layers read only their own direction below.",
          "TensorFlow stack_bidirectional_rnn", "bidirectional, layers > 1", STACK, each(upper(own_columns), "weight_ih")),

    Fault("time-reversed", "The sequence is read from its end.", "tvm#15176", "L > 1", LAYOUT,
          Twin(transform=Transform(x=lambda config, x: x[::-1]))),
    Fault("batch-first-ignored", "batch_first is ignored: the axes of time and batch are exchanged.",
          "openvino#37820; pytorch#80306", "batch_first", LAYOUT,
          Twin(transform=Transform(
              x=lambda config, x: x.swapaxes(0, 1) if config.batch_first else x,
              result=lambda config, r: r._replace(output=_there(r.output).swapaxes(0, 1)) if config.batch_first else r))),
    Fault("batch-first-reshaped", "A batch-first input is reshaped to time-major instead of transposed.", "onnx#5218",
          "batch_first, N > 1", LAYOUT,
          Twin(transform=Transform(
              x=lambda config, x: x.swapaxes(0, 1).reshape(x.shape) if config.batch_first else x))),
    Fault("batch-first-output-reshaped", "A batch-first output is reshaped instead of transposed.", "pytorch PR11368",
          "batch_first, N > 1", LAYOUT,
          outputs(lambda config, y: y.reshape(y.shape[1], y.shape[0], -1).swapaxes(0, 1) if config.batch_first else y)),
    Fault("output-transposed-in-place", "The output's memory is batch-major under a time-major shape.", "pytorch#80306",
          "N > 1, L > 1", LAYOUT, outputs(reinterpreted)),
    Fault("output-directions-outside", "The output's memory is (L, D, N, P) under the shape (L, N, D·P).", "ONNX, MNN",
          "bidirectional, N > 1", LAYOUT, outputs(regrouped)),
    Fault("features-reversed", "The output's features stand in reverse order.", "burn#872", "H > 1", LAYOUT,
          outputs(lambda config, y: y[..., ::-1])),

    Fault("initial-state-swapped", "(h_0, c_0) is read as (c_0, h_0).", "nni PR2842, burn PR5234", "state given", STATE,
          Twin(transform=Transform(state=swapped))),
    Fault("h-0-ignored", "h_0 is ignored.", "onnx-tensorflow#408", "h_0 given", STATE, states(lambda config, h: 0 * h, same)),
    Fault("c-0-ignored", "c_0 is ignored.", "onnx-tensorflow#408", "c_0 given", STATE, states(same, lambda config, c: 0 * c)),
    Fault("h-0-alone-ignored", "h_0 is ignored when c_0 is zero.", "onnx-tensorflow#408", "h_0 alone given", STATE,
          Twin(transform=Transform(state=lambda config, s: s if s[1].any() else (0 * s[0], s[1])))),
    Fault("c-0-alone-ignored", "c_0 is ignored when h_0 is zero.", "onnx-tensorflow#408", "c_0 alone given", STATE,
          Twin(transform=Transform(state=lambda config, s: s if s[0].any() else (s[0], 0 * s[1])))),
    Fault("first-layer-state-for-all", "Every layer starts from the first layer's state.", "opencv#21118",
          "layers > 1, state given", STATE,
          states(lambda config, value: np.resize(value[: config.num_directions], value.shape))),
    Fault("only-first-layer-state", "Layers above the first start from zeros.", "opencv#21118", "layers > 1, state given",
          STATE, states(slots_kept(lambda config: _slot(config) < config.num_directions))),
    Fault("first-row-state-for-all", "Every row starts from the first row's state.", "torch-mlir PR4741",
          "N > 1, state given", STATE, states(lambda config, value: np.repeat(value[:, :1], value.shape[1], axis=1))),
    Fault("reverse-state-ignored", "The reverse direction starts from zeros.", "onnx-tensorflow#409",
          "bidirectional, state given", STATE, states(slots_kept(lambda config: _directions(config) == 0))),
    Fault("reverse-uses-forward-state", "The reverse direction starts from the forward direction's state.",
          "onnx-tensorflow#409", "bidirectional, state given", STATE,
          states(lambda config, value: value[_slot(config) - _directions(config)])),
    Fault("reverse-c-0-of-forward", "The reverse direction starts from the forward direction's c_0.",
          "onnx-tensorflow#409", "bidirectional, c_0 given", STATE,
          states(same, lambda config, value: value[_slot(config) - _directions(config)])),
    Fault("state-direction-major", "The slots of h_0 and c_0 are read direction by direction.", "ONNX, CoreML",
          "bidirectional, layers > 1, state given", STATE, states(by_direction)),
    Fault("state-slots-reversed", "The slots of h_0 and c_0 are read from the top layer down.", "onnx-tensorflow#409",
          "layers > 1 or bidirectional, state given", STATE, states(lambda config, value: value[::-1])),
    Fault("state-batch-first", "h_0 and c_0 are read as (N, layers·D, ·).", "Paddle with batch-first states",
          "layers·D > 1, N > 1, state given", STATE,
          states(lambda config, v: v.reshape(v.shape[1], v.shape[0], -1).swapaxes(0, 1))),
    Fault("state-in-half", "The initial state is rounded to float16.", "oneDNN#976", "state given", RANGE,
          states(lambda config, value: value.astype("float16").astype(value.dtype))),
    Fault("float64-state-in-float32", "A float64 initial state passes through float32.", "ports with float buffers",
          "float64 only, state given", RANGE,
          states(lambda config, value: value.astype("float32").astype(value.dtype))),
    Fault("c-0-squashed", "c_0 passes through tanh.", "decaNLP#9", "c_0 given", STATE,
          states(same, lambda config, c: np.tanh(c))),
    Fault("h-0-clipped", "h_0 is clipped to ±1, the range of an unprojected h.", "CoreML clip",
          "|h_0| > 1 (projection)", STATE, states(lambda config, h: np.clip(h, -1, 1), same)),

    Fault("c-n-is-h-n", "c_n is a copy of h_n, where their sizes agree.", "decaNLP#9", "no projection", FINAL,
          finals(_h, lambda config, r: r.c_n if config.proj_size else r.h_n)),
    Fault("final-states-swapped", "(c_n, h_n) is returned, where their sizes agree.", "flax carry; nni PR2842",
          "no projection", FINAL,
          finals(lambda config, r: r.h_n if config.proj_size else r.c_n,
                 lambda config, r: r.c_n if config.proj_size else r.h_n)),
    Fault("h-n-zeros", "h_n is zeros.", "coremltools#263", "always", FINAL, finals(lambda config, r: 0 * _h(config, r), _c)),
    Fault("c-n-zeros-below", "c_n of the lower layers is zeros.", "coremltools#263", "layers > 1", FINAL,
          finals(_h, lambda config, r: slots_kept(
              lambda config: _slot(config) // config.num_directions == config.num_layers - 1)(config, _c(config, r)))),
    Fault("final-states-direction-major", "h_n and c_n stand direction by direction.", "ONNX, CoreML",
          "bidirectional, layers > 1", FINAL,
          finals(lambda config, r: _by_layer(config, _h(config, r)), lambda config, r: _by_layer(config, _c(config, r)))),
    Fault("h-n-layers-reversed", "h_n stands from the top layer down.", "PaddleNLP#761", "layers > 1 or bidirectional",
          FINAL, finals(lambda config, r: _h(config, r)[::-1], _c)),
    Fault("c-n-directions-swapped", "c_n of the reverse direction stands first.", "returnn PR727", "bidirectional", FINAL,
          finals(_h, lambda config, r: _c(config, r)[_slot(config) ^ (1 if config.bidirectional else 0)])),
    Fault("h-n-of-first-step", "h_n is the output at time 0 in both directions.", "returnn PR727", "L > 1", FINAL,
          finals(lambda config, r: _ends(config, r, 0, 0), _c)),
    Fault("h-n-of-last-step", "h_n is the output at time L − 1 in both directions.", "returnn PR727",
          "bidirectional, L > 1", FINAL, finals(lambda config, r: _ends(config, r, -1, -1), _c)),
    Fault("lower-h-n-is-top", "Every layer's h_n is the top layer's.", "PaddleNLP#761", "layers > 1", FINAL,
          finals(lambda config, r: np.resize(_h(config, r)[-config.num_directions :], _h(config, r).shape), _c)),
    Fault("c-n-squashed", "c_n has passed through tanh.", "decaNLP#9", "always", FINAL,
          finals(_h, lambda config, r: np.tanh(_c(config, r)))),
    Fault("c-n-clipped", "c_n is clipped to ±10 as it is returned.", "OpenVINO clip", "c beyond 10", FINAL,
          finals(_h, lambda config, r: np.clip(_c(config, r), -10, 10))),
    Fault("h-n-ulp-off", "h_n is computed apart from the output, one ulp away.", "PaddleNLP#761", "always", FINAL,
          finals(lambda config, r: np.nextafter(_h(config, r), _h(config, r).dtype.type(2)), _c)),

    Fault("halves-swapped", "The reverse half of every output stands first.", "coremltools#824", "bidirectional", REVERSE,
          merged(lambda a, b: [b, a])),
    Fault("halves-interleaved", "The halves' features alternate.", "pytorch PR11368", "bidirectional, H > 1", REVERSE,
          merged(_interleave)),
    Fault("halves-summed", "Both halves hold the sum of the directions.", "Keras merge_mode", "bidirectional", REVERSE,
          merged(lambda a, b: [a + b, a + b])),
)  # fmt: skip


def _by_layer(config: LSTMConfig, value: Array) -> Array:
    return value.reshape(config.num_layers, config.num_directions, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def _ends(config: LSTMConfig, result: Result, forward: int, back: int) -> Array:
    """h_n with the top layer's taken from the output at the given times."""
    P, D = config.output_size, config.num_directions
    h_n, output = _h(config, result).copy(), _there(result.output)
    for d, t in enumerate((forward, back)[:D]):
        h_n[d - D] = output[t, :, d * P : (d + 1) * P]
    return h_n
