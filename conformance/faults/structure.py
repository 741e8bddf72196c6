"""Faults of the order in which things are read and joined: directions, steps, layers, rows, and their states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.conventions.layouts import states
from conformance.faults import twin as correct
from conformance.faults.alter import given, made
from conformance.faults.fault import FINAL, LAYOUT, REVERSE, STACK, STATE, Fault
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, State

Order = Callable[[Place, Array], Array]
When = Callable[[Place], bool]


def in_reverse(at: Place) -> bool:
    """Whether this is the reverse direction."""
    return at.direction > 0


def as_it_is(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
    """Nothing is turned."""
    return values


def turned(order: Order, when: When = in_reverse) -> Callable[[Twin, Place, Array, Array], Array]:
    """Some directions, the reverse one by default, read ``values`` (L, N, …) in another order than time reversed."""

    def flip(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
        return order(at, values) if when(at) else correct.flip(twin, at, values, lengths)

    return flip


def both_ways(order: Order, when: When = in_reverse) -> Twin:
    """Another order, in which the output is put back too."""
    return Twin(flip=turned(order, when), unflip=turned(order, when))


def merged(merge: Callable[[Array, Array], list[Array]]) -> Twin:
    """The two halves of every layer's output merged."""

    def join(twin: Twin, at: Place, halves: list[Array], below: Array) -> Array:
        return np.concatenate(merge(*halves) if len(halves) == 2 else halves, axis=2)

    return Twin(join=join)


def _interleave(a: Array, b: Array) -> list[Array]:
    return [np.stack([a, b], axis=3).reshape(*a.shape[:2], -1)]


def _half_flipped(at: Place, values: Array) -> Array:
    """Reversed by exchanging ends, one exchange too few."""
    turned = values.copy()
    for t in range(len(values) // 2 - (len(values) > 3)):
        turned[t], turned[-1 - t] = values[-1 - t], values[t]
    return turned


def _end_apart(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    h_t, c_t = correct.step(twin, at, w, x, h, c)
    return h_t, c if at.t == at.steps - 1 else c_t


def _residual(twin: Twin, at: Place, halves: list[Array], below: Array) -> Array:
    above = np.concatenate(halves, axis=2)
    return above + below if at.layer and above.shape == below.shape else above


def _from_reverse(twin: Twin, at: Place, state: State) -> State:
    """Above the first layer, both directions start from the reverse direction's slot."""
    direction = at.config.num_directions - 1 if at.layer else at.direction
    return correct.start(twin, at._replace(direction=direction), state)


def _steps_as_rows(twin: Twin, config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    if x.ndim == 3 or not config.batch_first:
        return correct.enter(twin, config, x, state)
    sequence, (h_0, c_0) = correct.enter(twin, config, x, state)
    return sequence.swapaxes(0, 1), (np.repeat(h_0, len(x), axis=1), np.repeat(c_0, len(x), axis=1))


def _rows_as_steps(twin: Twin, config: LSTMConfig, result: Whole, unbatched: bool) -> tuple[Array, State]:
    if not unbatched or not config.batch_first:
        return correct.leave(twin, config, result, unbatched)
    return result.output[0], (result.h_n[:, -1], result.c_n[:, -1])


FAULTS = (
    Fault("reverse-not-flipped-back", "The reverse half of the output stays in reverse time.",
        "tensorflow#40345, onnx2tf PR287", "bidirectional, L > 1", REVERSE, Twin(unflip=as_it_is)),
    Fault("lower-reverse-not-flipped-back", "Below the top layer the reverse half stays in reverse time.",
        "tensorflow#40345", "bidirectional, layers > 1, L > 1", STACK,
        Twin(unflip=lambda twin, at, v, n: correct.flip(twin, at, v, n) if at.last else v)),
    Fault("upper-reverse-not-flipped", "Above the first layer the reverse direction reads forward.", "pytorch#90421",
        "bidirectional, layers > 1", STACK, both_ways(lambda at, v: v, lambda at: at.layer > 0)),
    Fault("reverse-reads-forward", "The reverse direction reads the sequence forward.", "candle, tvm#15176",
        "bidirectional, L > 1", REVERSE, both_ways(lambda at, v: v)),
    Fault("reverse-flips-batch", "The reverse direction flips the batch axis instead of time.", "tensorflow#39635",
        "bidirectional", REVERSE, both_ways(lambda at, v: v[:, ::-1])),
    Fault("reverse-flips-features", "The reverse direction flips the features instead of time.", "onnx2c#95",
        "bidirectional", REVERSE, Twin(flip=turned(lambda at, v: v[..., ::-1]), unflip=as_it_is)),
    Fault("reverse-starts-late", "The reverse direction starts at the last step but one.", "onnxruntime#1400",
        "bidirectional, L > 1", REVERSE, Twin(flip=turned(lambda at, v: np.roll(v[::-1], -1, axis=0)))),
    Fault("reverse-output-shifted", "The reverse half of the output is one step late.", "onnxruntime#1400",
        "bidirectional, L > 1", REVERSE, Twin(unflip=turned(lambda at, v: np.roll(v[::-1], 1, axis=0)))),
    Fault("reverse-middle-unswapped", "Time is reversed by exchanging ends, one exchange too few.",
        "hand-written swaps", "bidirectional, L > 3", REVERSE, Twin(flip=turned(_half_flipped))),
    Fault("reverse-even-length", "The reverse direction reads forward when L is even.", "hand-written swaps",
        "bidirectional, L even", REVERSE,
        Twin(flip=lambda twin, at, v, n: correct.flip(twin, at, v, n) if len(v) % 2 else v)),
    Fault("halves-swapped", "The reverse half of every output stands first.", "coremltools#824", "bidirectional",
        REVERSE, merged(lambda a, b: [b, a])),
    Fault("halves-interleaved", "The halves' features alternate.", "pytorch PR11368", "bidirectional, H > 1", REVERSE,
        merged(_interleave)),
    Fault("halves-summed", "Both halves hold the sum of the directions.", "Keras merge_mode", "bidirectional", REVERSE,
        merged(lambda a, b: [a + b, a + b])),
    Fault("looks-ahead", "Step t reads x_{t+1}.", "off-by-one loops", "L > 1", LAYOUT,
        made("flip", lambda at, x: np.concatenate([x[1:], x[-1:]]))),
    Fault("lags", "Step t reads x_{t−1}, the first step x_0.", "off-by-one loops", "L > 1", LAYOUT,
        made("flip", lambda at, x: np.concatenate([x[:1], x[:-1]]))),
    Fault("output-lags", "output[t] is h_{t−1}, after the first step.", "off-by-one loops", "L > 1", LAYOUT,
        given("unflip", lambda at, y, n: (np.concatenate([y[:1], y[:-1]]), n))),
    Fault("centred-over-time", "A thousandth of the mean over time is subtracted from the input.",
        "layer normalisation", "L > 1", LAYOUT,
        made("flip", lambda at, x: x - x.dtype.type(1e-3) * x.mean(axis=0, keepdims=True))),
    Fault("batch-first-unbatched-as-rows", "In a batch-first model the steps of an unbatched sequence are rows.",
        "a batch axis added in front", "unbatched, batch_first, L > 1", LAYOUT,
        Twin(enter=_steps_as_rows, leave=_rows_as_steps)),
    Fault("c-n-before-last-update", "The last step's cell is not kept.", "PaddleNLP#761", "always", FINAL,
        Twin(step=_end_apart)),
    Fault("residual", "A layer's input is added to its output where the sizes agree.", "residual LSTMs", "layers > 1",
        STACK, Twin(join=_residual)),
    Fault("upper-reverse-reads-first-row", "In upper layers the reverse direction reads row 0 for all rows.",
        "pytorch#90421", "bidirectional, layers > 1, N > 1", STACK,
        made("feed", lambda at, v: np.broadcast_to(v[:, :1], v.shape) if at.layer and at.direction else v)),
    Fault("upper-state-in-reverse", "Above the first layer both directions start from the reverse slot.",
        "onnx-tensorflow#409", "bidirectional, layers > 1, state given", STACK, Twin(start=_from_reverse)),
    Fault("third-layer-h-0-ignored", "Layers above the second ignore h_0.", "opencv#21118", "layers > 2, h_0 given",
        STATE, made("start", lambda at, s: (0 * s[0] if at.layer > 1 else s[0], s[1]))),
    Fault("single-row-state-ignored", "The initial state is ignored when N = 1.", "torch-mlir PR4741",
        "N = 1, state given", STATE, made("start", lambda at, s: (0 * s[0], 0 * s[1]) if len(s[0]) == 1 else s)),
    Fault("h-0-alone-ignored", "h_0 is ignored when c_0 is zero.", "onnx-tensorflow#408", "h_0 alone given", STATE,
        Twin(transform=Transform(state=lambda config, s: s if s[1].any() else (0 * s[0], s[1])))),
    Fault("c-0-alone-ignored", "c_0 is ignored when h_0 is zero.", "onnx-tensorflow#408", "c_0 alone given", STATE,
        Twin(transform=Transform(state=lambda config, s: s if s[0].any() else (s[0], 0 * s[1])))),
    Fault("first-row-state-for-all", "Every row starts from the first row's state.", "torch-mlir PR4741",
        "N > 1, state given", STATE,
        Twin(transform=states(lambda config, value: np.repeat(value[:, :1], value.shape[1], axis=1)))),
    Fault("first-row-output-gate", "Every row's h is scaled by the first row's output gate.", "burn#872", "N > 1",
        LAYOUT, given("hidden", lambda at, o, c: (np.broadcast_to(o[:1], o.shape), c))),
    Fault("centred-over-batch", "A thousandth of the batch mean is subtracted from the input.", "batch normalisation",
        "always", LAYOUT, made("flip", lambda at, x: x - x.dtype.type(1e-3) * x.mean(axis=1, keepdims=True))),
    Fault("row-reads-neighbour", "A row's recurrence reads the h of the row before.", "wrong strides", "N > 1", LAYOUT,
        given("step", lambda at, w, x, h, c: (w, x, np.roll(h, 1, axis=0), c))),
)  # fmt: skip
