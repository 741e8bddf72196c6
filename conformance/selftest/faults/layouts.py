"""Faults in what x, the states and the results are taken for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.fault import FINAL, LAYOUT, RANGE, REVERSE, STATE, Fault
from conformance.selftest.faults.twin import Transform, Twin, Whole
from conformance.spec import Array, LSTMConfig, State


def states(h_0: Callable[[LSTMConfig, Array], Array], c_0: Callable[[LSTMConfig, Array], Array] | None = None) -> Twin:
    """h_0 and c_0 changed, each by itself, or both alike."""
    return Twin(
        transform=Transform(state=lambda config, state: (h_0(config, state[0]), (c_0 or h_0)(config, state[1])))
    )


def outputs(change: Callable[[LSTMConfig, Array], Array]) -> Twin:
    """The output changed, the final states as they are."""
    return Twin(transform=Transform(result=lambda config, r: r._replace(output=change(config, r.output))))


def finals(h_n: Callable[[LSTMConfig, Whole], Array], c_n: Callable[[LSTMConfig, Whole], Array]) -> Twin:
    """The final states made from the result, the output as it is."""
    return Twin(transform=Transform(result=lambda config, r: Whole(r.output, h_n(config, r), c_n(config, r))))


def same(config: LSTMConfig, value: Array) -> Array:
    """No change."""
    return value


def h_kept(config: LSTMConfig, result: Whole) -> Array:
    """h_n as it is."""
    return result.h_n


def c_kept(config: LSTMConfig, result: Whole) -> Array:
    """c_n as it is."""
    return result.c_n


# States


def by_direction(config: LSTMConfig, value: Array) -> Array:
    """Slots taken for direction-major: all layers forward, then all layers in reverse."""
    return value.reshape(config.num_directions, config.num_layers, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def swapped(config: LSTMConfig, state: State) -> State:
    """(h_0, c_0) taken for (c_0, h_0), where their sizes agree."""
    return state if config.proj_size else (state[1], state[0])


def _slot(config: LSTMConfig) -> Array:
    return np.arange(config.num_layers * config.num_directions)


def reverse_slots(config: LSTMConfig) -> Array:
    """1 for the slots of the reverse direction, 0 for the others."""
    return _slot(config) % config.num_directions


def slots_kept(keep: Callable[[LSTMConfig], Array]) -> Callable[[LSTMConfig, Array], Array]:
    """Only the slots that ``keep`` marks; zeros in the others."""
    return lambda config, value: np.where(keep(config)[:, None, None], value, np.zeros_like(value))


def _steps_as_rows(config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    if x.ndim == 3 or not config.batch_first:
        return correct.enter(config, x, state)
    sequence, (h_0, c_0) = correct.enter(config, x, state)
    return sequence.swapaxes(0, 1), (np.repeat(h_0, len(x), axis=1), np.repeat(c_0, len(x), axis=1))


# Results


def _rows_as_steps(config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
    if not unbatched or not config.batch_first:
        return correct.leave(config, result, unbatched)
    return result.output[0], (result.h_n[:, -1], result.c_n[:, -1])


def reinterpreted(config: LSTMConfig, value: Array) -> Array:
    """The first two axes written in the other order, under the same shape."""
    return value.swapaxes(0, 1).reshape(value.shape)


def regrouped(config: LSTMConfig, output: Array) -> Array:
    """(L, D, N, P) taken for (L, N, D·P)."""
    halves = np.stack(np.split(output, config.num_directions, axis=2), axis=1)
    return halves.reshape(output.shape)


def _by_layer(config: LSTMConfig, value: Array) -> Array:
    return value.reshape(config.num_layers, config.num_directions, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def _ends(config: LSTMConfig, result: Whole, forward: int, back: int) -> Array:
    """h_n with the top layer's taken from the output at the given times."""
    P, D = config.output_size, config.num_directions
    h_n, output = result.h_n.copy(), result.output
    for d, t in enumerate((forward, back)[:D]):
        h_n[d - D] = output[t, :, d * P : (d + 1) * P]
    return h_n


def merged(merge: Callable[[Array, Array], list[Array]]) -> Twin:
    """The two halves of every layer's output merged."""
    return Twin(
        join=lambda at, halves, below: np.concatenate(merge(*halves) if len(halves) == 2 else halves, axis=2),
    )


def _interleave(a: Array, b: Array) -> list[Array]:
    return [np.stack([a, b], axis=3).reshape(*a.shape[:2], -1)]


FAULTS = (
    Fault("time-reversed", "The sequence is read from its end.", "tvm#15176", "L > 1", LAYOUT,
          Twin(transform=Transform(x=lambda config, x: x[::-1]))),
    Fault("batch-first-ignored", "batch_first is ignored: the axes of time and batch are exchanged.",
          "openvino#37820; pytorch#80306", "batch_first", LAYOUT,
          Twin(transform=Transform(
              x=lambda config, x: x.swapaxes(0, 1) if config.batch_first else x,
              result=lambda config, r: r._replace(output=r.output.swapaxes(0, 1)) if config.batch_first else r))),
    Fault("batch-first-reshaped", "A batch-first input is reshaped to time-major instead of transposed.", "onnx#5218",
          "batch_first, N > 1", LAYOUT,
          Twin(transform=Transform(
              x=lambda config, x: x.swapaxes(0, 1).reshape(x.shape) if config.batch_first else x))),
    Fault("batch-first-unbatched-as-rows", "In a batch-first model the steps of an unbatched sequence are rows.",
          "a batch axis added in front", "unbatched, batch_first, L > 1", LAYOUT,
          Twin(enter=_steps_as_rows, leave=_rows_as_steps)),
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
    Fault("h-0-ignored", "h_0 is ignored.", "onnx-tensorflow#408", "h_0 given", STATE,
          states(lambda config, h: 0 * h, same)),
    Fault("c-0-ignored", "c_0 is ignored.", "onnx-tensorflow#408", "c_0 given", STATE,
          states(same, lambda config, c: 0 * c)),
    Fault("h-0-alone-ignored", "h_0 is ignored when c_0 is zero.", "onnx-tensorflow#408", "h_0 alone given", STATE,
          Twin(transform=Transform(state=lambda config, s: s if s[1].any() else (0 * s[0], s[1])))),
    Fault("c-0-alone-ignored", "c_0 is ignored when h_0 is zero.", "onnx-tensorflow#408", "c_0 alone given", STATE,
          Twin(transform=Transform(state=lambda config, s: s if s[0].any() else (s[0], 0 * s[1])))),
    Fault("first-layer-state-for-all", "Every layer starts from the first layer's state.", "opencv#21118",
          "layers > 1, state given", STATE,
          states(lambda config, value: np.resize(value[: config.num_directions], value.shape))),
    Fault("only-first-layer-state", "Layers above the first start from zeros.", "opencv#21118",
          "layers > 1, state given", STATE, states(slots_kept(lambda config: _slot(config) < config.num_directions))),
    Fault("first-row-state-for-all", "Every row starts from the first row's state.", "torch-mlir PR4741",
          "N > 1, state given", STATE, states(lambda config, value: np.repeat(value[:, :1], value.shape[1], axis=1))),
    Fault("reverse-state-ignored", "The reverse direction starts from zeros.", "onnx-tensorflow#409",
          "bidirectional, state given", STATE, states(slots_kept(lambda config: reverse_slots(config) == 0))),
    Fault("reverse-uses-forward-state", "The reverse direction starts from the forward direction's state.",
          "onnx-tensorflow#409", "bidirectional, state given", STATE,
          states(lambda config, value: value[_slot(config) - reverse_slots(config)])),
    Fault("reverse-c-0-of-forward", "The reverse direction starts from the forward direction's c_0.",
          "onnx-tensorflow#409", "bidirectional, c_0 given", STATE,
          states(same, lambda config, value: value[_slot(config) - reverse_slots(config)])),
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
          finals(h_kept, lambda config, r: r.c_n if config.proj_size else r.h_n)),
    Fault("final-states-swapped", "(c_n, h_n) is returned, where their sizes agree.", "flax carry; nni PR2842",
          "no projection", FINAL,
          finals(lambda config, r: r.h_n if config.proj_size else r.c_n,
              lambda config, r: r.c_n if config.proj_size else r.h_n)),
    Fault("h-n-zeros", "h_n is zeros.", "coremltools#263", "always", FINAL,
          finals(lambda config, r: 0 * r.h_n, c_kept)),
    Fault("c-n-zeros-below", "c_n of the lower layers is zeros.", "coremltools#263", "layers > 1", FINAL,
          finals(h_kept, lambda config, r: slots_kept(
              lambda config: _slot(config) // config.num_directions == config.num_layers - 1)(config, r.c_n))),
    Fault("final-states-direction-major", "h_n and c_n stand direction by direction.", "ONNX, CoreML",
          "bidirectional, layers > 1", FINAL,
          finals(lambda config, r: _by_layer(config, r.h_n), lambda config, r: _by_layer(config, r.c_n))),
    Fault("h-n-layers-reversed", "h_n stands from the top layer down.", "PaddleNLP#761", "layers > 1 or bidirectional",
          FINAL, finals(lambda config, r: r.h_n[::-1], c_kept)),
    Fault("c-n-directions-swapped", "c_n of the reverse direction stands first.", "returnn PR727", "bidirectional",
          FINAL, finals(h_kept, lambda config, r: r.c_n[_slot(config) ^ (1 if config.bidirectional else 0)])),
    Fault("h-n-of-first-step", "h_n is the output at time 0 in both directions.", "returnn PR727", "L > 1", FINAL,
          finals(lambda config, r: _ends(config, r, 0, 0), c_kept)),
    Fault("h-n-of-last-step", "h_n is the output at time L − 1 in both directions.", "returnn PR727",
          "bidirectional, L > 1", FINAL, finals(lambda config, r: _ends(config, r, -1, -1), c_kept)),
    Fault("lower-h-n-is-top", "Every layer's h_n is the top layer's.", "PaddleNLP#761", "layers > 1", FINAL,
          finals(lambda config, r: np.resize(r.h_n[-config.num_directions :], r.h_n.shape), c_kept)),
    Fault("c-n-squashed", "c_n has passed through tanh.", "decaNLP#9", "always", FINAL,
          finals(h_kept, lambda config, r: np.tanh(r.c_n))),
    Fault("c-n-clipped", "c_n is clipped to ±10 as it is returned.", "OpenVINO clip", "c beyond 10", FINAL,
          finals(h_kept, lambda config, r: np.clip(r.c_n, -10, 10))),
    Fault("h-n-ulp-off", "h_n is computed apart from the output, one ulp away.", "PaddleNLP#761", "always", FINAL,
          finals(lambda config, r: np.nextafter(r.h_n, r.h_n.dtype.type(2)), c_kept)),
    Fault("halves-swapped", "The reverse half of every output stands first.", "coremltools#824", "bidirectional",
          REVERSE, merged(lambda a, b: [b, a])),
    Fault("halves-interleaved", "The halves' features alternate.", "pytorch PR11368", "bidirectional, H > 1", REVERSE,
          merged(_interleave)),
    Fault("halves-summed", "Both halves hold the sum of the directions.", "Keras merge_mode", "bidirectional", REVERSE,
          merged(lambda a, b: [a + b, a + b])),
)  # fmt: skip
