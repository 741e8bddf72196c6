"""Readings of x, the lengths, the states and the results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.conventions.transform import FINAL, LAYOUT, LENGTHS, STATE, Convention, Transform, Whole
from conformance.spec import Array, LSTMConfig, State


def states(change: Callable[[LSTMConfig, Array], Array], *names: str) -> Transform:
    """Those of h_0 and c_0 that are named, both by default, changed by themselves."""
    changed = [name in (names or ("h_0", "c_0")) for name in ("h_0", "c_0")]

    def state(config: LSTMConfig, state: State) -> State:
        h_0, c_0 = (change(config, part) if on else part for part, on in zip(state, changed, strict=True))
        return h_0, c_0

    return Transform(state=state)


def results(**parts: Callable[[LSTMConfig, Whole], Array]) -> Transform:
    """Some parts of the result, by their names, made otherwise from the whole."""

    def result(config: LSTMConfig, whole: Whole) -> Whole:
        return whole._replace(**{name: make(config, whole) for name, make in parts.items()})

    return Transform(result=result)


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


def forward_slots(config: LSTMConfig, value: Array) -> Array:
    """Both directions have the forward direction's."""
    return value[_slot(config) - reverse_slots(config)]


def slots_kept(keep: Callable[[LSTMConfig], Array]) -> Callable[[LSTMConfig, Array], Array]:
    """Only the slots that ``keep`` marks; zeros in the others."""
    return lambda config, value: np.where(keep(config)[:, None, None], value, np.zeros_like(value))


# Results


def reinterpreted(config: LSTMConfig, value: Array) -> Array:
    """The first two axes written in the other order, under the same shape."""
    return value.swapaxes(0, 1).reshape(value.shape)


def batch_major(config: LSTMConfig, value: Array) -> Array:
    """The memory taken for, or written as, the first two axes in the other order, and transposed."""
    return value.reshape(value.shape[1], value.shape[0], -1).swapaxes(0, 1)


def regrouped(config: LSTMConfig, output: Array) -> Array:
    """(L, D, N, P) taken for (L, N, D·P)."""
    halves = np.stack(np.split(output, config.num_directions, axis=2), axis=1)
    return halves.reshape(output.shape)


def by_layer(config: LSTMConfig, value: Array) -> Array:
    """Slots written direction-major."""
    return value.reshape(config.num_layers, config.num_directions, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def _ends(config: LSTMConfig, result: Whole, forward: int, back: int) -> Array:
    """h_n with the top layer's taken from the output at the given times."""
    P, D = config.output_size, config.num_directions
    h_n, output = result.h_n.copy(), result.output
    for d, t in enumerate((forward, back)[:D]):
        h_n[d - D] = output[t, :, d * P : (d + 1) * P]
    return h_n


CONVENTIONS = (
    Convention("time-reversed", "The sequence is read from its end.", "tvm#15176", "L > 1", LAYOUT,
        Transform(x=lambda config, x: x[::-1])),
    Convention("batch-first-ignored", "batch_first is ignored: the axes of time and batch are exchanged.",
        "openvino#37820; pytorch#80306", "batch_first", LAYOUT, Transform(
            x=lambda config, x: x.swapaxes(0, 1) if config.batch_first else x,
            result=lambda config, r: r._replace(output=r.output.swapaxes(0, 1)) if config.batch_first else r)),
    Convention("batch-first-reshaped", "A batch-first input is reshaped to time-major instead of transposed.",
        "onnx#5218", "batch_first, N > 1", LAYOUT,
        Transform(x=lambda config, x: x.swapaxes(0, 1).reshape(x.shape) if config.batch_first else x)),
    Convention("batch-first-output-reshaped", "A batch-first output is reshaped instead of transposed.",
        "pytorch PR11368", "batch_first, N > 1", LAYOUT,
        results(output=lambda config, r: batch_major(config, r.output) if config.batch_first else r.output)),
    Convention("output-transposed-in-place", "The output's memory is batch-major under a time-major shape.",
        "pytorch#80306", "N > 1, L > 1", LAYOUT, results(output=lambda config, r: reinterpreted(config, r.output))),
    Convention("output-directions-outside", "The output's memory is (L, D, N, P) under the shape (L, N, D·P).",
        "ONNX, MNN", "bidirectional, N > 1", LAYOUT, results(output=lambda config, r: regrouped(config, r.output))),
    Convention("features-reversed", "The output's features stand in reverse order.", "burn#872", "H > 1", LAYOUT,
        results(output=lambda config, r: r.output[..., ::-1])),
    Convention("initial-state-swapped", "(h_0, c_0) is read as (c_0, h_0).", "nni PR2842, burn PR5234", "state given",
        STATE, Transform(state=swapped)),
    Convention("h-0-ignored", "h_0 is ignored.", "onnx-tensorflow#408", "h_0 given", STATE,
        states(lambda config, h: 0 * h, "h_0")),
    Convention("c-0-ignored", "c_0 is ignored.", "onnx-tensorflow#408", "c_0 given", STATE,
        states(lambda config, c: 0 * c, "c_0")),
    Convention("first-layer-state-for-all", "Every layer starts from the first layer's state.", "opencv#21118",
        "layers > 1, state given", STATE,
        states(lambda config, value: np.resize(value[: config.num_directions], value.shape))),
    Convention("only-first-layer-state", "Layers above the first start from zeros.", "opencv#21118",
        "layers > 1, state given", STATE, states(slots_kept(lambda config: _slot(config) < config.num_directions))),
    Convention("reverse-state-ignored", "The reverse direction starts from zeros.", "onnx-tensorflow#409",
        "bidirectional, state given", STATE, states(slots_kept(lambda config: reverse_slots(config) == 0))),
    Convention("reverse-uses-forward-state", "The reverse direction starts from the forward direction's state.",
        "onnx-tensorflow#409", "bidirectional, state given", STATE, states(forward_slots)),
    Convention("reverse-c-0-of-forward", "The reverse direction starts from the forward direction's c_0.",
        "onnx-tensorflow#409", "bidirectional, c_0 given", STATE, states(forward_slots, "c_0")),
    Convention("state-direction-major", "The slots of h_0 and c_0 are read direction by direction.", "ONNX, CoreML",
        "bidirectional, layers > 1, state given", STATE, states(by_direction)),
    Convention("state-slots-reversed", "The slots of h_0 and c_0 are read from the top layer down.",
        "onnx-tensorflow#409", "layers > 1 or bidirectional, state given", STATE,
        states(lambda config, value: value[::-1])),
    Convention("state-batch-first", "h_0 and c_0 are read as (N, layers·D, ·).", "Paddle with batch-first states",
        "layers·D > 1, N > 1, state given", STATE, states(batch_major)),
    Convention("c-n-is-h-n", "c_n is a copy of h_n, where their sizes agree.", "decaNLP#9", "no projection", FINAL,
        results(c_n=lambda config, r: r.c_n if config.proj_size else r.h_n)),
    Convention("final-states-swapped", "(c_n, h_n) is returned, where their sizes agree.", "flax carry; nni PR2842",
        "no projection", FINAL,
        Transform(result=lambda config, r: r._replace(h_n=r.c_n, c_n=r.h_n) if not config.proj_size else r)),
    Convention("h-n-zeros", "h_n is zeros.", "coremltools#263", "always", FINAL,
        results(h_n=lambda config, r: 0 * r.h_n)),
    Convention("c-n-zeros-below", "c_n of the lower layers is zeros.", "coremltools#263", "layers > 1", FINAL,
        results(c_n=lambda config, r: slots_kept(
            lambda config: _slot(config) >= config.num_directions * (config.num_layers - 1))(config, r.c_n))),
    Convention("final-states-direction-major", "h_n and c_n stand direction by direction.", "ONNX, CoreML",
        "bidirectional, layers > 1", FINAL,
        results(h_n=lambda config, r: by_layer(config, r.h_n), c_n=lambda config, r: by_layer(config, r.c_n))),
    Convention("h-n-layers-reversed", "h_n stands from the top layer down.", "PaddleNLP#761",
        "layers > 1 or bidirectional", FINAL, results(h_n=lambda config, r: r.h_n[::-1])),
    Convention("c-n-directions-swapped", "c_n of the reverse direction stands first.", "returnn PR727", "bidirectional",
        FINAL, results(c_n=lambda config, r: r.c_n[_slot(config) ^ (1 if config.bidirectional else 0)])),
    Convention("h-n-of-first-step", "h_n is the output at time 0 in both directions.", "returnn PR727", "L > 1", FINAL,
        results(h_n=lambda config, r: _ends(config, r, 0, 0))),
    Convention("h-n-of-last-step", "h_n is the output at time L − 1 in both directions.", "returnn PR727",
        "bidirectional, L > 1", FINAL, results(h_n=lambda config, r: _ends(config, r, -1, -1))),
    Convention("lower-h-n-is-top", "Every layer's h_n is the top layer's.", "PaddleNLP#761", "layers > 1", FINAL,
        results(h_n=lambda config, r: np.resize(r.h_n[-config.num_directions :], r.h_n.shape))),
    Convention("lengths-ignored", "Lengths are ignored.", "openvino optional input", "unequal lengths", LENGTHS,
        Transform(lengths=lambda config, n: np.full_like(n, n.max()))),
)  # fmt: skip
