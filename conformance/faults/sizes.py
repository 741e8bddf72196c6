"""Faults past some size: of rows, units, features, terms, steps or layers, at which loops, tiles and counters end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import (
    Axis,
    Reached,
    beyond,
    every,
    given,
    half,
    left_over,
    made,
    past,
    single,
    zeros,
)
from conformance.faults.fault import LENGTHS, SIZES, STACK, STATE, Fault
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

# Where limits are met. A step is given w, x_t (N, I), h_{t−1} (N, P), c_{t−1} (N, H), and makes h_t, c_t.

ROWS = Axis("step", (0, 1), 0)
CELLS = Axis("cell", axis=1)
H_BY_STEP, C_BY_STEP, STATE_BY_STEP = (Axis("step", parts, None, given=True) for parts in ((2,), (3,), (2, 3)))
FEATURES = Axis("feed", axis=2)
#: What the recurrence and the layer read: the columns of their weights.
READ_UNITS, READ_FEATURES = Axis("weights", ("weight_hh",), 1), Axis("weights", ("weight_ih",), 1)
#: A direction's output (L, N, P) in its reading order.
OUTPUT_STEPS, OUTPUT_ROWS = (Axis("unflip", (0,), axis, given=True) for axis in (0, 1))


def terms(dropped: Reached) -> Twin:
    """Dot products drop their last terms."""

    def dot(x: Array, W: Array) -> Array:
        kept = np.count_nonzero(~dropped(np.arange(x.shape[1]), x.shape[1]))
        return correct.dot(x[:, :kept], W[:, :kept])

    return Twin(dot=dot)


def without(name: str, when: Callable[[Place], bool]) -> Twin:
    """A parameter is taken for zeros at some steps."""
    return given("step", lambda at, w, *more: (w | {name: 0 * w[name]} if name in w and when(at) else w, *more))


def skipped(when: Callable[[Place], bool]) -> Twin:
    """Some steps are not done: the state is that of the step before."""
    return Twin(step=lambda twin, at, w, x, h, c: (h, c) if when(at) else correct.step(twin, at, w, x, h, c))


def aligned(width: int, change: Callable[[Weights], Weights]) -> Twin:
    """The weights changed where I and H are multiples of ``width``, N of 8, and there are biases."""

    def preactivations(at: Place, w: Weights, x: Array, h: Array) -> tuple[Weights, Array, Array]:
        taken = not (x.shape[1] % width or at.config.hidden_size % width or len(x) % 8) and "bias_hh" in w
        return change(w) if taken else w, x, h

    return given("preactivations", preactivations)


def _last_odd(index: Array, size: int) -> Array:
    return (index == size - 1) & (size > 1) & (size % 2 == 1)


def _by_eights(twin: Twin, at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
    """The units that lanes of eight leave over keep their old cell."""
    units = c.shape[1]
    return np.where(left_over(8, 8)(np.arange(units), units), c, correct.cell(twin, at, i, f, g, c))


def _remainder_forgets(at: Place, w: Weights, x: Array, h: Array, c: Array) -> tuple[Any, ...]:
    """Work in blocks of 8,192 elements: the rows left over miss h."""
    block = max(1, 8192 // at.config.hidden_size)
    over = len(h) % block if len(h) > block else 0
    return w, x, np.where(np.arange(len(h))[:, None] < len(h) - over, h, 0 * h), c


def _bias_ends(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    """The biases are added to the first 4,096 rows of the whole sequence's product."""
    without = {name: value for name, value in w.items() if not name.startswith("bias")}
    on = (at.t * len(x) + np.arange(len(x)) < 4096)[:, None]
    return np.where(on, correct.preactivations(twin, at, w, x, h), correct.preactivations(twin, at, without, x, h))


def _ragged_cells_run_on(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    output, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    *_, full = correct.layer(twin, at, w, x, h, c, np.full_like(lengths, len(x)))
    return output, h_n, np.concatenate([c_n[:, :256], full[:, 256:]], axis=1)


def _zeroed_up_to_256(twin: Twin, config: LSTMConfig, x: Array, state: State | None) -> tuple[Array, State]:
    sequence, (h_0, c_0) = correct.enter(twin, config, x, state)
    rest = np.arange(c_0.shape[2]) >= 256
    return sequence, (h_0, c_0 if state is not None else np.where(rest, c_0.dtype.type(0.5), c_0))


def _h_in_place(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """One row whose units are worked off in blocks of 64: each block reads what the ones before made of h."""
    h_t, c_t = correct.step(twin, at, w, x, h, c)
    if len(x) > 1 or h.shape[1] % 8 or at.config.proj_size:
        return h_t, c_t
    h_t, c_t = h_t.copy(), c_t.copy()
    for block in range(64, h.shape[1], 64):
        own = slice(block, block + 64)
        seen = np.concatenate([h_t[:, :block], h[:, block:]], axis=1)
        h_new, c_new = correct.step(twin, at, w, x, seen, c)
        h_t[:, own], c_t[:, own] = h_new[:, own], c_new[:, own]
    return h_t, c_t


def _offset(count: int, stride: int, bits: int) -> Array:
    """Which of ``count`` items are found where their offsets, ``stride`` elements each, have so many bits."""
    return np.arange(count) * stride % (1 << bits) // stride


def _gathered(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
    """In reverse, the steps are gathered by offsets of 15 bits."""
    gathered = values[_offset(len(values), values[0].size, 15)] if at.direction else values
    return correct.flip(twin, at, gathered, lengths)


def _pairs(values: Array) -> Array:
    """The number of each pair of step and row (L, N, 1)."""
    return np.arange(values.shape[0] * values.shape[1]).reshape(*values.shape[:2], 1)


def _third(twin: Twin, at: Place, params: Params) -> Weights:
    """From the fourth layer on, the recurrent weights of the third."""
    own = correct.weights(twin, at, params)
    if at.layer < 3 or at.config.proj_size:
        return own
    return {**own, "weight_hh": correct.weights(twin, at._replace(layer=2), params)["weight_hh"]}


FAULTS = (
    Fault("last-odd-row", "The last row of an odd batch above 1 is a copy of the row before.", "pairs of rows",
        "N odd > 1", SIZES, beyond(ROWS, _last_odd, lambda v: np.roll(v, 1, axis=0))),
    Fault("rows-past-a-tile-of-4", "Rows left over by tiles of four take the first row's cell.", "GEMM tiles",
        "N > 4, N % 4 ≠ 0", SIZES, beyond(ROWS, left_over(4, 4), lambda v: np.broadcast_to(v[:1], v.shape))),
    Fault("rows-past-16", "Rows beyond 16 are in half precision.", "launch configurations", "N > 16", SIZES,
        beyond(ROWS, past(16), half)),
    Fault("rows-past-128", "Rows beyond 128 are zeros.", "launch configurations", "N > 128", SIZES,
        beyond(ROWS, past(128), zeros)),
    Fault("rows-past-1024", "Rows from the 1,025th on put out zeros.", "CUDA's block size", "N > 1,024", SIZES,
        beyond(OUTPUT_ROWS, past(1024), zeros)),
    Fault("rows-beside-128s", "With units by the 128 and rows that are no multiple of 8, the last row is zeros.",
        "pytorch#48070", "H % 128 = 0, N > 8, N % 8", SIZES,
        beyond(OUTPUT_ROWS, lambda index, size: (index == size - 1) & (size > 8) & (size % 8 > 0), zeros,
            lambda at: at.config.hidden_size % 128 == 0)),
    Fault("rows-past-512-start-like-the-first", "Rows from the 513th on start from the first rows' h_0.", "tiles",
        "state, N > 512", STATE,
        given("step", lambda at, w, x, h, c: (w, x, h if at.t else h[np.arange(len(h)) % 512], c))),
    Fault("rows-past-a-block-of-8192", "Rows left over by blocks of 8,192 elements miss h.", "launch configurations",
        "N·H > 8,192", SIZES, given("step", _remainder_forgets)),
    Fault("ragged-rows-of-7-bits", "With lengths, rows from the 129th on are zeros.", "8-bit counters",
        "unequal lengths, N > 128", LENGTHS,
        given("unflip", lambda at, v, n: (v if n.min() == at.steps else v * (np.arange(len(n)) < 128)[:, None], n))),
    Fault("units-past-a-multiple-of-4", "Units left over by lanes of four are in half precision.", "NEON kernels",
        "H % 4 ≠ 0", SIZES, beyond(CELLS, left_over(4), half)),
    Fault("units-past-a-multiple-of-8", "Units left over by lanes of eight keep their old cell.", "AVX kernels",
        "H > 8, H % 8 ≠ 0", SIZES, Twin(cell=_by_eights)),
    Fault("units-41-to-48", "The path for 41 to 48 units misses b_hh.", "kernels by ranges of sizes",
        "40 < H < 49, with bias", SIZES, without("bias_hh", lambda at: 40 < at.config.hidden_size < 49)),
    Fault("units-past-64", "Units from the 65th on are two millionths too small.", "MNN#2500", "H > 64", SIZES,
        beyond(CELLS, past(64), lambda v: v * (1 - 2e-6))),
    Fault("double-units-past-256", "Units from the 257th on are in single precision.", "buffers of a fixed type",
        "float64, H > 256", SIZES, beyond(CELLS, past(256), single)),
    Fault("units-past-512", "Units from the 513th on are zeros.", "FlagGems#5014", "H > 512", SIZES,
        beyond(CELLS, past(512), zeros)),
    Fault("upper-units-past-256", "In upper layers units from the 257th on are not read by the recurrence.", "MNN#2500",
        "layers > 1, H > 256", SIZES, beyond(READ_UNITS, past(256), zeros, lambda at: at.layer > 0)),
    Fault("reverse-units-past-512", "In reverse, units from the 513th on are not read by the recurrence.", "ncnn#2933",
        "bidirectional, H > 512", SIZES, beyond(READ_UNITS, past(512), zeros, lambda at: at.direction > 0)),
    Fault("projected-past-256", "Projected units from the 257th on are not read by the recurrence.", "tiles",
        "projection, P > 256", SIZES, beyond(READ_UNITS, past(256), zeros, lambda at: at.config.proj_size > 0)),
    Fault("hidden-past-1024", "Units from the 1,025th on are not read by the recurrence.", "CUDA's block size",
        "H > 1,024, no projection", SIZES, beyond(READ_UNITS, past(1024), zeros)),
    Fault("one-row-in-place", "For one row, blocks of 64 units overwrite the h that later blocks read.", "GEMV paths",
        "N = 1, H % 8 = 0, H > 64, no projection", SIZES, Twin(step=_h_in_place)),
    Fault("no-state-past-256", "Without a state, cells from the 257th on do not start from zero.", "MNN#2500",
        "no state given, H > 256", STATE, Twin(enter=_zeroed_up_to_256)),
    Fault("ragged-cells-past-256", "Cells from the 257th on run on in the padding.", "masks of a fixed size",
        "lengths, H > 256", SIZES, Twin(layer=_ragged_cells_run_on)),
    Fault("features-past-1024", "Features from the 1,025th on are dropped.", "MNN#2500", "I > 1,024", SIZES,
        beyond(FEATURES, past(1024), zeros)),
    Fault("upper-features-past-512", "Upper layers drop the features from the 513th on.", "MNN#2500",
        "layers > 1, D·P > 512", SIZES, beyond(READ_FEATURES, past(512), zeros, lambda at: at.layer > 0)),
    Fault("terms-past-128", "Dot products drop terms from the 129th on.", "MNN#2500", "I or H > 128", SIZES,
        terms(past(128))),
    Fault("terms-past-a-multiple-of-16", "Dot products of more than 16 terms drop what blocks of 16 leave over.",
        "GEMM blocks", "I or H > 16, not a multiple", SIZES, terms(left_over(16, 16))),
    Fault("terms-three-past-a-multiple-of-4", "Dot products of 4k + 3 terms drop the last.", "unrolled loops",
        "I or H = 4k + 3", SIZES, terms(lambda index, size: (index == size - 1) & (size % 4 == 3))),
    Fault("aligned-to-8", "The path for sizes that are all multiples of 8 misses b_hh.", "vectorised kernels",
        "I, H and N multiples of 8, with bias", SIZES, aligned(8, lambda w: {**w, "bias_hh": 0 * w["bias_hh"]})),
    Fault("aligned-to-64", "The path for I and H of multiples of 64 has W_hh in half precision.", "tensor cores",
        "I and H multiples of 64, N of 8", SIZES, aligned(64, lambda w: {**w, "weight_hh": half(w["weight_hh"])})),
    Fault("h-dropped-every-16-steps", "h is not carried across blocks of 16 steps.", "time blocks", "L > 16", SIZES,
        beyond(H_BY_STEP, every(16), zeros)),
    Fault("cell-in-half-every-32-steps", "The cell is stored in float16 between blocks of 32 steps.", "time blocks",
        "L > 32", SIZES, beyond(C_BY_STEP, every(32), half)),
    Fault("deep-cells-forget-every-16-steps", "From the fourth layer on, c starts anew every 16 steps.", "time blocks",
        "layers > 3, L > 16", STACK, beyond(C_BY_STEP, every(16), zeros, lambda at: at.layer > 2)),
    Fault("steps-past-100", "h is zeros from the hundredth step on.", "fixed buffers", "L > 100", SIZES,
        beyond(H_BY_STEP, past(100), zeros)),
    Fault("step-counter-of-8-bits", "The state starts anew at step 256.", "8-bit counters", "L > 256", SIZES,
        beyond(STATE_BY_STEP, every(256), zeros)),
    Fault("recurrent-bias-lost-in-last-block", "The steps left over by blocks of 8 miss b_hh.", "time blocks",
        "L > 8, L % 8 ≠ 0, with bias", SIZES, without("bias_hh", lambda at: 8 <= at.t >= at.steps - at.steps % 8)),
    Fault("steps-48", "Of 48 steps the last repeats the one before.", "buffers of 48", "L = 48, 49 or 50", SIZES,
        skipped(lambda at: at.t == at.steps - 1 and at.steps in (48, 49, 50))),
    Fault("steps-past-1024", "Steps from the 1,025th on put out zeros.", "fixed buffers", "L > 1,024", SIZES,
        beyond(OUTPUT_STEPS, past(1024), zeros)),
    Fault("persistent-past-40-steps", "A persistent kernel puts out zeros from the 41st step on.", "cuDNN",
        "I % 128 = 0, H % 128 = 0, L > 40", SIZES, beyond(OUTPUT_STEPS, past(40), zeros,
            lambda at: at.config.hidden_size % 128 == 0 == at.config.input_size % 128)),
    Fault("bias-past-4096-rows", "In the whole sequence's product, rows from the 4,097th on get no bias.",
        "hoisted input products", "L·N > 4,096, with bias", SIZES, Twin(preactivations=_bias_ends)),
    Fault("steps-times-rows-of-16-bits", "From the 65,536th pair of step and row on, outputs are zeros.",
        "pytorch#177834", "L·N > 65,535", SIZES,
        given("unflip", lambda at, values, n: (np.where(_pairs(values) < 65535, values, 0 * values), n))),
    Fault("output-offset-of-16-bits", "The output is stored at offsets of 16 bits.", "16-bit counters", "L·P > 65,536",
        SIZES, given("unflip", lambda at, values, n: (values[_offset(len(values), values.shape[2], 16)], n))),
    Fault("gate-row-offset-of-16-bits", "Rows of gates are stored at offsets of 16 bits.", "16-bit counters",
        "N·4H > 65,536", SIZES, made("preactivations", lambda at, a: a[_offset(len(a), a.shape[1], 16)])),
    Fault("row-number-of-17-bits", "Row 131,072 reads the input of row 0, and so on.", "mlx#1049", "N > 131,072",
        SIZES, made("feed", lambda at, below: below[:, np.arange(below.shape[1]) % 131072])),
    Fault("feature-number-of-16-bits", "Features from the 65,537th on are dropped.", "16-bit strides", "I > 65,536",
        SIZES, beyond(FEATURES, past(65536), zeros)),
    Fault("step-counter-of-16-bits", "The state starts anew at step 65,536.", "16-bit counters", "L > 65,536", SIZES,
        beyond(STATE_BY_STEP, every(65536), zeros)),
    Fault("flip-offset-of-15-bits", "In reverse, x is gathered by offsets of 15 bits.", "16-bit counters",
        "bidirectional, L·N·I > 32,768", SIZES,
        Twin(flip=_gathered)),
    Fault("ragged-flip-offset-of-15-bits", "With lengths, x is gathered by offsets of 15 bits in reverse.",
        "16-bit counters", "lengths, bidirectional, L·N·I > 32,768", SIZES,
        Twin(flip=lambda twin, at, v, n: (
            _gathered if at.direction and n.min() < at.steps else correct.flip)(twin, at, v, n))),
    Fault("layers-past-4", "Layers from the fifth on pass their input on.", "lists of a fixed length", "layers > 4",
        STACK, Twin(join=lambda twin, at, halves, below: below if at.layer > 3 else np.concatenate(halves, axis=2))),
    Fault("fourth-layer-is-third", "Layers from the fourth on have the recurrent weights of the third.",
        "lists of a fixed length", "layers > 3, no projection", STACK, Twin(weights=_third)),
)  # fmt: skip
