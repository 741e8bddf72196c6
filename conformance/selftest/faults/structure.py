"""Faults of the loop over time, the reverse direction, the stack, the batch, lengths, and of sizes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.fault import DEGENERATE, FINAL, LAYOUT, LENGTHS, REVERSE, SIZES, STACK, STATE, Fault
from conformance.selftest.faults.numerics import half
from conformance.selftest.faults.twin import Place, Transform, Twin, Weights
from conformance.spec import Array, State

Order = Callable[[Place, Array, Array], Array]


def turned(order: Callable[[Place, Array], Array]) -> Order:
    """The reverse direction reads ``values`` (L, N, …) in another order."""
    return lambda at, values, lengths: order(at, values) if at.direction else values


def read(change: Callable[[Array], Array]) -> Twin:
    """Every direction reads a changed sequence (L, N, …), in its own order."""
    return Twin(flip=lambda at, values, lengths: change(correct.flip(at, values, lengths)))


def shown(change: Callable[[Place, Array], Array]) -> Twin:
    """Every direction's output (L, N, P) changed, in its reading order."""
    return Twin(unflip=lambda at, values, lengths: correct.flip(at, change(at, values), lengths))


def stepped(change: Callable[[Place, Array, Array, Array, Array, Array], State]) -> Twin:
    """A step's results changed: from the place, x_t, h_{t−1}, c_{t−1}, h_t, c_t to h_t, c_t."""

    def step(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
        return change(at, x, h, c, *correct.step(twin, at, w, x, h, c))

    return Twin(step=step)


def before(change: Callable[[Place, Array, Array], State]) -> Twin:
    """h_{t−1} and c_{t−1} changed before a step."""
    return Twin(step=lambda twin, at, w, x, h, c: correct.step(twin, at, w, x, *change(at, h, c)))


def weighted(change: Callable[[Place, Weights], Weights]) -> Twin:
    """The weights changed at a step."""
    return Twin(step=lambda twin, at, w, x, h, c: correct.step(twin, at, change(at, w), x, h, c))


def columns(keep: Callable[[int], int]) -> Twin:
    """Dot products of n terms stop after the first ``keep(n)``."""
    return Twin(dot=lambda x, W: correct.dot(x[:, : keep(x.shape[1])], W[:, : keep(x.shape[1])]))


def units(first: Callable[[int], int], change: Callable[[Array, Array], Array]) -> Twin:
    """Units from ``first(H)`` on get ``change(c_t, c_{t−1})`` as their cell."""

    def cell(at: Place, i: Array, f: Array, g: Array, c: Array) -> Array:
        c_t, k = correct.cell(at, i, f, g, c), first(c.shape[1])
        c_t[:, k:] = change(c_t[:, k:], c[:, k:])
        return c_t

    return Twin(cell=cell)


def rows(first: Callable[[int], int], change: Callable[[Array, Array], Array]) -> Twin:
    """Rows from ``first(N)`` on get ``change(theirs, all)`` of h_t and c_t."""

    def change_rows(at: Place, x: Array, h: Array, c: Array, h_t: Array, c_t: Array) -> State:
        k = first(len(h_t))
        h_new, c_new = h_t.copy(), c_t.copy()
        h_new[k:], c_new[k:] = change(h_t[k:], h_t), change(c_t[k:], c_t)
        return h_new, c_new

    return stepped(change_rows)


def forgetting(when: Callable[[Place], bool]) -> Twin:
    """h_{t−1} is zeros at some steps."""
    return before(lambda at, h, c: (0 * h if when(at) else h, c))


def without(name: str, when: Callable[[Place, Weights], bool]) -> Twin:
    """A parameter is taken for zeros at some places."""
    return weighted(lambda at, w: {**w, name: 0 * w[name]} if name in w and when(at, w) else w)


def started(change: Callable[[Place, Array, Array], State]) -> Twin:
    """h_0 (N, P) and c_0 (N, H) of a layer and direction changed."""
    return Twin(start=lambda at, state: change(at, *correct.start(at, state)))


def tail(width: int, least: int = 0) -> Callable[[int], int]:
    """The start of what a loop in steps of ``width`` leaves over, for sizes beyond ``least``."""
    return lambda n: n - n % width if n > least else n


def _half_flipped(at: Place, values: Array) -> Array:
    """Reversed by exchanging ends, one exchange too few."""
    turned = values.copy()
    for t in range(len(values) // 2 - (len(values) > 3)):
        turned[t], turned[-1 - t] = values[-1 - t], values[t]
    return turned


def _end_apart(at: Place, x: Array, h: Array, c: Array, h_t: Array, c_t: Array) -> State:
    return h_t, c if at.t == at.steps - 1 else c_t


def _residual(at: Place, halves: list[Array], below: Array) -> Array:
    above = np.concatenate(halves, axis=2)
    return above + below if at.layer and above.shape == below.shape else above


def _apart(values: Array) -> Array:
    """Each step's mean over the batch removed, to one part in a thousand."""
    return values - values.dtype.type(1e-3) * values.mean(axis=1, keepdims=True)


def _aligned(width: int, change: Callable[[Weights], Weights]) -> Twin:
    """The first layer's weights changed where I and H are multiples of ``width``, N of 8, and there are biases."""

    def preactivations(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
        taken = not (x.shape[1] % width or at.config.hidden_size % width or len(x) % 8) and "bias_hh" in w
        return correct.preactivations(twin, at, change(w) if taken else w, x, h)

    return Twin(preactivations=preactivations)


def _ragged_cells_run_on(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    output, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    *_, full = correct.layer(twin, at, w, x, h, c, np.full_like(lengths, len(x)))
    return output, h_n, np.concatenate([c_n[:, :256], full[:, 256:]], axis=1)


def _remainder_forgets(at: Place, h: Array, c: Array) -> State:
    """Work in blocks of 8,192 elements: the rows left over miss h."""
    block = max(1, 8192 // at.config.hidden_size)
    over = len(h) % block if len(h) > block else 0
    return np.where(np.arange(len(h))[:, None] < len(h) - over, h, 0 * h), c


def _bias_ends(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    """The biases are added to the first 4,096 rows of the whole sequence's product."""
    without = {name: value for name, value in w.items() if not name.startswith("bias")}
    on = (at.t * len(x) + np.arange(len(x)) < 4096)[:, None]
    return np.where(on, correct.preactivations(twin, at, w, x, h), correct.preactivations(twin, at, without, x, h))


def _offset(steps: int, stride: int, bits: int) -> Array:
    """The steps (L,) that are found where offsets of ``stride`` elements a step have so many bits."""
    return np.arange(steps) * stride % (1 << bits) // stride


def _vector_path(at: Place, w: Weights) -> bool:
    return at.config.hidden_size == 1


FAULTS = (
    Fault("reverse-not-flipped-back", "The reverse half of the output stays in reverse time.",
          "tensorflow#40345, onnx2tf PR287", "bidirectional, L > 1", REVERSE,
          Twin(unflip=lambda at, values, lengths: values)),
    Fault("lower-reverse-not-flipped-back", "Below the top layer the reverse half stays in reverse time.",
          "tensorflow#40345", "bidirectional, layers > 1, L > 1", STACK,
          Twin(unflip=lambda at, v, lengths: correct.flip(at, v, lengths) if at.last else v)),
    Fault("upper-reverse-not-flipped", "Above the first layer the reverse direction reads forward.", "pytorch#90421",
          "bidirectional, layers > 1", STACK,
          Twin(flip=lambda at, v, lengths: v if at.layer else correct.flip(at, v, lengths),
              unflip=lambda at, v, lengths: v if at.layer else correct.flip(at, v, lengths))),
    Fault("reverse-reads-forward", "The reverse direction reads the sequence forward.", "candle, tvm#15176",
          "bidirectional, L > 1", REVERSE, Twin(flip=lambda at, v, n: v, unflip=lambda at, v, n: v)),
    Fault("reverse-flips-batch", "The reverse direction flips the batch axis instead of time.", "tensorflow#39635",
          "bidirectional", REVERSE,
          Twin(flip=turned(lambda at, v: v[:, ::-1]), unflip=turned(lambda at, v: v[:, ::-1]))),
    Fault("reverse-flips-features", "The reverse direction flips the features instead of time.", "onnx2c#95",
          "bidirectional", REVERSE, Twin(flip=turned(lambda at, v: v[..., ::-1]), unflip=lambda at, v, n: v)),
    Fault("reverse-starts-late", "The reverse direction starts at the last step but one.", "onnxruntime#1400",
          "bidirectional, L > 1", REVERSE, Twin(flip=turned(lambda at, v: np.roll(v[::-1], -1, axis=0)))),
    Fault("reverse-output-shifted", "The reverse half of the output is one step late.", "onnxruntime#1400",
          "bidirectional, L > 1", REVERSE, Twin(unflip=turned(lambda at, v: np.roll(v[::-1], 1, axis=0)))),
    Fault("reverse-middle-unswapped", "Time is reversed by exchanging ends, one exchange too few.",
          "hand-written swaps", "bidirectional, L > 3", REVERSE, Twin(flip=turned(_half_flipped))),
    Fault("reverse-even-length", "The reverse direction reads forward when L is even.", "hand-written swaps",
          "bidirectional, L even", REVERSE,
          Twin(flip=lambda at, v, n: v if len(v) % 2 == 0 else correct.flip(at, v, n))),
    Fault("looks-ahead", "Step t reads x_{t+1}.", "off-by-one loops", "L > 1", LAYOUT,
          read(lambda x: np.concatenate([x[1:], x[-1:]]))),
    Fault("lags", "Step t reads x_{t−1}, the first step x_0.", "off-by-one loops", "L > 1", LAYOUT,
          read(lambda x: np.concatenate([x[:1], x[:-1]]))),
    Fault("output-lags", "output[t] is h_{t−1}, after the first step.", "off-by-one loops", "L > 1", LAYOUT,
          shown(lambda at, y: np.concatenate([y[:1], y[:-1]]))),
    Fault("centred-over-time", "A thousandth of the mean over time is subtracted from the input.",
          "layer normalisation", "L > 1", LAYOUT,
          read(lambda x: x - x.dtype.type(1e-3) * x.mean(axis=0, keepdims=True))),
    Fault("c-n-before-last-update", "The last step's cell is not kept.", "PaddleNLP#761", "always", FINAL,
          stepped(_end_apart)),
    Fault("residual", "A layer's input is added to its output where the sizes agree.", "residual LSTMs", "layers > 1",
          STACK, Twin(join=_residual)),
    Fault("third-layer-skipped", "Layers above the second pass their input on.", "onnx-tensorflow#878", "layers > 2",
          STACK, Twin(join=lambda at, halves, below: below if at.layer > 1 else np.concatenate(halves, axis=2))),
    Fault("layers-past-4", "Layers from the fifth on pass their input on.", "lists of a fixed length", "layers > 4",
          STACK, Twin(join=lambda at, halves, below: below if at.layer > 3 else np.concatenate(halves, axis=2))),
    Fault("upper-reverse-reads-first-row", "In upper layers the reverse direction reads row 0 for all rows.",
          "pytorch#90421", "bidirectional, layers > 1, N > 1", STACK,
          Twin(feed=lambda at, below: np.broadcast_to(below[:, :1], below.shape)
              if at.layer and at.direction else below)),
    Fault("upper-state-in-reverse", "Above the first layer both directions start from the reverse slot.",
          "onnx-tensorflow#409", "bidirectional, layers > 1, state given", STACK,
          Twin(start=lambda at, state: correct.start(at._replace(
              direction=at.config.num_directions - 1 if at.layer else at.direction), state))),
    Fault("third-layer-h-0-ignored", "Layers above the second ignore h_0.", "opencv#21118", "layers > 2, h_0 given",
          STATE, started(lambda at, h, c: (0 * h if at.layer > 1 else h, c))),
    Fault("single-row-state-ignored", "The initial state is ignored when N = 1.", "torch-mlir PR4741",
          "N = 1, state given", STATE, started(lambda at, h, c: (0 * h, 0 * c) if len(h) == 1 else (h, c))),
    Fault("first-row-output-gate", "Every row's h is scaled by the first row's output gate.", "burn#872", "N > 1",
          LAYOUT, Twin(hidden=lambda twin, at, o, c: correct.hidden(twin, at, np.broadcast_to(o[:1], o.shape), c))),
    Fault("centred-over-batch", "A thousandth of the batch mean is subtracted from the input.", "batch normalisation",
          "always", LAYOUT, read(_apart)),
    Fault("row-reads-neighbour", "A row's recurrence reads the h of the row before.", "wrong strides", "N > 1", LAYOUT,
          before(lambda at, h, c: (np.roll(h, 1, axis=0), c))),
    Fault("last-odd-row", "The last row of an odd batch above 1 is a copy of the row before.", "pairs of rows",
          "N odd > 1", SIZES,
          rows(lambda n: n - (n % 2 and n > 1), lambda mine, all: np.resize(all[-2:][0], mine.shape))),
    Fault("rows-past-a-tile-of-4", "Rows left over by tiles of four take the first row's cell.", "GEMM tiles",
          "N > 4, N % 4 ≠ 0", SIZES, rows(tail(4, 4), lambda mine, all: np.resize(all[0], mine.shape))),
    Fault("rows-past-32", "Rows beyond 32 are zeros.", "launch configurations", "N > 32", SIZES,
          rows(lambda n: 32, lambda mine, all: 0 * mine)),
    Fault("rows-past-16", "Rows beyond 16 are in half precision.", "launch configurations", "N > 16", SIZES,
          rows(lambda n: 16, lambda mine, all: half(mine))),
    Fault("units-past-a-multiple-of-8", "Units left over by lanes of eight keep their old cell.", "AVX kernels",
          "H > 8, H % 8 ≠ 0", SIZES, units(tail(8, 8), lambda new, old: old)),
    Fault("units-past-a-multiple-of-4", "Units left over by lanes of four are in half precision.", "NEON kernels",
          "H % 4 ≠ 0", SIZES, units(tail(4), lambda new, old: half(new))),
    Fault("units-past-a-multiple-of-16", "Units left over by lanes of sixteen are in half precision.",
          "AVX-512 kernels", "H > 16, H % 16 ≠ 0", SIZES, units(tail(16, 16), lambda new, old: half(new))),
    Fault("units-past-128", "Units from the 129th on are zeros.", "FlagGems#5014", "H > 128", SIZES,
          units(lambda n: 128, lambda new, old: 0 * new)),
    Fault("units-41-to-48", "The path for 41 to 48 units misses b_hh.", "kernels by ranges of sizes",
          "40 < H < 49, with bias", SIZES, without("bias_hh", lambda at, w: 40 < at.config.hidden_size < 49)),
    Fault("steps-48", "Of 48 steps the last repeats the one before.", "buffers of 48", "L = 48, 49 or 50", SIZES,
          stepped(lambda at, x, h, c, h_t, c_t:
              (h, c) if at.t == at.steps - 1 and at.steps in (48, 49, 50) else (h_t, c_t))),
    Fault("units-past-512", "Units from the 513th on are zeros.", "FlagGems#5014", "H > 512", SIZES,
          units(lambda n: 512, lambda new, old: 0 * new)),
    Fault("units-past-256", "Units from the 257th on are in half precision.", "MNN#2500", "H > 256", SIZES,
          units(lambda n: 256, lambda new, old: half(new))),
    Fault("double-units-past-256", "Units from the 257th on are in single precision.", "buffers of a fixed type",
          "float64, H > 256", SIZES, units(lambda n: 256, lambda new, old: new.astype("float32"))),
    Fault("features-past-1024", "Features from the 1,025th on are dropped.", "MNN#2500", "I > 1,024", SIZES,
          Twin(feed=lambda at, below: np.where(np.arange(below.shape[2]) < 1024, below, 0 * below))),
    Fault("upper-features-past-512", "Upper layers drop the features from the 513th on.", "MNN#2500",
          "layers > 1, D·P > 512", SIZES, weighted(lambda at, w: {**w, "weight_ih": np.where(
              np.arange(w["weight_ih"].shape[1]) < (512 if at.layer else 1 << 30), w["weight_ih"], 0)})),
    Fault("upper-units-past-256", "In upper layers units from the 257th on are not read by the recurrence.", "MNN#2500",
          "layers > 1, H > 256", SIZES, weighted(lambda at, w: {**w, "weight_hh": np.where(
              np.arange(w["weight_hh"].shape[1]) < (256 if at.layer else 1 << 30), w["weight_hh"], 0)})),
    Fault("reverse-units-past-256", "In reverse, units from the 257th on are not read by the recurrence.", "MNN#2500",
          "bidirectional, H > 256", SIZES, weighted(lambda at, w: {**w, "weight_hh": np.where(
              np.arange(w["weight_hh"].shape[1]) < (256 if at.direction else 1 << 30), w["weight_hh"], 0)})),
    Fault("ragged-cells-past-256", "Cells from the 257th on run on in the padding.", "masks of a fixed size",
          "lengths, H > 256", SIZES, Twin(layer=_ragged_cells_run_on)),
    Fault("rows-past-a-block-of-8192", "Rows left over by blocks of 8,192 elements miss h.", "launch configurations",
          "N·H > 8,192", SIZES, before(_remainder_forgets)),
    Fault("bias-past-4096-rows", "In the whole sequence's product, rows from the 4,097th on get no bias.",
          "hoisted input products", "L·N > 4,096, with bias", SIZES, Twin(preactivations=_bias_ends)),
    Fault("output-offset-of-16-bits", "The output is stored at offsets of 16 bits.", "16-bit counters",
          "L·P > 65,536", SIZES,
          shown(lambda at, values: values[_offset(len(values), values.shape[2], 16)])),
    Fault("flip-offset-of-15-bits", "In reverse, x is gathered by offsets of 15 bits.", "16-bit counters",
          "bidirectional, L·N·I > 32,768", SIZES,
          Twin(flip=lambda at, values, lengths: correct.flip(
              at, values[_offset(len(values), values[0].size, 15)] if at.direction else values, lengths))),
    Fault("ragged-flip-offset-of-15-bits", "With lengths, x is gathered by offsets of 15 bits in reverse.",
          "16-bit counters", "lengths, bidirectional, L·N·I > 32,768", SIZES,
          Twin(flip=lambda at, values, lengths: correct.flip(
              at, values[_offset(len(values), values[0].size, 15)]
              if at.direction and lengths.min() < at.steps else values, lengths))),
    Fault("rows-past-128", "Rows beyond 128 are zeros.", "launch configurations", "N > 128", SIZES,
          rows(lambda n: 128, lambda mine, all: 0 * mine)),
    Fault("row-number-of-8-bits", "Row 256 reads the input of row 0, and so on.", "8-bit counters", "N > 256", SIZES,
          Twin(feed=lambda at, below: below[:, np.arange(below.shape[1]) % 256])),
    Fault("aligned-to-8", "The path for sizes that are all multiples of 8 misses b_hh.", "vectorised kernels",
          "I, H and N multiples of 8, with bias", SIZES, _aligned(8, lambda w: {**w, "bias_hh": 0 * w["bias_hh"]})),
    Fault("aligned-to-64", "The path for I and H of multiples of 64 has W_hh in half precision.", "tensor cores",
          "I and H multiples of 64, N of 8", SIZES, _aligned(64, lambda w: {**w, "weight_hh": half(w["weight_hh"])})),
    Fault("units-past-64", "Units from the 65th on are two millionths too small.", "MNN#2500", "H > 64", SIZES,
          units(lambda n: 64, lambda new, old: new * (1 - 2e-6))),
    Fault("terms-past-a-multiple-of-64", "Dot products of more than 64 terms drop what blocks of 64 leave over.",
          "GEMM blocks", "I or H > 64", SIZES, columns(tail(64, 64))),
    Fault("terms-past-a-multiple-of-16", "Dot products of more than 16 terms drop what blocks of 16 leave over.",
          "GEMM blocks", "I or H > 16, not a multiple", SIZES, columns(tail(16, 16))),
    Fault("terms-three-past-a-multiple-of-4", "Dot products of 4k + 3 terms drop the last.", "unrolled loops",
          "I or H = 4k + 3", SIZES, columns(lambda n: n - (n % 4 == 3))),
    Fault("terms-past-128", "Dot products drop terms from the 129th on.", "MNN#2500", "I or H > 128", SIZES,
          columns(lambda n: min(n, 128))),
    Fault("h-dropped-every-8-steps", "h is not carried across blocks of 8 steps.", "time blocks", "L > 8", SIZES,
          forgetting(lambda at: at.t > 0 and at.t % 8 == 0)),
    Fault("h-dropped-every-16-steps", "h is not carried across blocks of 16 steps.", "time blocks", "L > 16", SIZES,
          forgetting(lambda at: at.t > 0 and at.t % 16 == 0)),
    Fault("cell-in-half-every-32-steps", "The cell is stored in float16 between blocks of 32 steps.", "time blocks",
          "L > 32", SIZES, before(lambda at, h, c: (h, half(c) if at.t and at.t % 32 == 0 else c))),
    Fault("recurrent-bias-lost-in-last-block", "The steps left over by blocks of 8 miss b_hh.", "time blocks",
          "L > 8, L % 8 ≠ 0, with bias", SIZES, without("bias_hh", lambda at, w: 8 <= at.t >= at.steps - at.steps % 8)),
    Fault("last-step-dropped-past-10", "The last of more than ten steps repeats the one before.", "buffers of ten",
          "L > 10", SIZES,
          stepped(lambda at, x, h, c, h_t, c_t: (h, c) if at.t == at.steps - 1 and at.t >= 10 else (h_t, c_t))),
    Fault("steps-past-100", "h is zeros from the hundredth step on.", "fixed buffers", "L > 100", SIZES,
          forgetting(lambda at: at.t >= 100)),
    Fault("step-counter-of-8-bits", "The state starts anew at step 256.", "8-bit counters", "L > 256", SIZES,
          before(lambda at, h, c: (0 * h, 0 * c) if at.t and at.t % 256 == 0 else (h, c))),
    Fault("step-counter-of-7-bits", "From step 128 on the input of 128 steps before is read.", "signed 8-bit counters",
          "L > 128", SIZES, read(lambda x: x[np.arange(len(x)) % 128])),
    Fault("one-step-ignores-h-0", "A sequence of one step skips the recurrent product.", "keras PR7387",
          "L = 1, h_0 given", DEGENERATE, without("weight_hh", lambda at, w: at.steps == 1)),
    Fault("one-step-reverse-not-run", "The reverse direction of one step gives zeros.", "keras PR7387",
          "bidirectional, L = 1", DEGENERATE,
          stepped(lambda at, x, h, c, h_t, c_t: (0 * h_t, 0 * c_t) if at.direction and at.steps == 1 else (h_t, c_t))),
    Fault("one-row-misses-recurrent-bias", "The path for one row misses b_hh.", "GEMV paths", "N = 1, with bias",
          DEGENERATE,
          Twin(preactivations=lambda twin, at, w, x, h: correct.preactivations(
              twin, at, {**w, "bias_hh": 0 * w["bias_hh"]} if len(x) == 1 and "bias_hh" in w else w, x, h))),
    Fault("one-unit-misses-recurrence", "A model of one unit skips the recurrent product.", "onnxruntime PR6238",
          "H = 1", DEGENERATE, without("weight_hh", _vector_path)),
    Fault("one-feature-broadcast", "One input feature is summed over the rows instead of multiplied row by row.",
          "NumPy broadcasting", "I = 1, N > 1", DEGENERATE,
          Twin(feed=lambda at, below: np.broadcast_to(below.mean(axis=1, keepdims=True), below.shape)
              if below.shape[2] == 1 else below)),
    Fault("one-projected-unit-summed", "A projection to one unit adds up its inputs unweighted.", "NumPy broadcasting",
          "projection to 1", DEGENERATE,
          Twin(project=lambda twin, at, w, m: m.sum(axis=1, keepdims=True)
              if at.config.proj_size == 1 else correct.project(twin, at, w, m))),
    Fault("lengths-ignored", "Lengths are ignored.", "openvino optional input", "unequal lengths", LENGTHS,
          Twin(transform=Transform(lengths=lambda config, n: np.full_like(n, n.max())))),
    Fault("lengths-sorted", "Lengths are taken for sorted in decreasing order.", "mlverse/torch#499",
          "unsorted lengths", LENGTHS, Twin(transform=Transform(lengths=lambda config, n: np.sort(n)[::-1]))),
    Fault("first-length-for-all", "The first row's length is used for all.", "pytorch#95118", "unequal lengths, N > 1",
          LENGTHS, Twin(transform=Transform(lengths=lambda config, n: np.full_like(n, n[0])))),
    Fault("padding-not-zero", "The output past a row's length is what its padding gives.", "jax PR15169",
          "unequal lengths", LENGTHS, Twin(shows=lambda at, lengths: np.ones((len(lengths), 1), bool))),
    Fault("state-runs-on", "h_n and c_n are those of the last step, padding included.", "jax PR15169",
          "unequal lengths", LENGTHS, Twin(updates=lambda at, lengths: np.ones((len(lengths), 1), bool))),
    Fault("reverse-starts-in-padding", "The reverse direction starts at the padded end.", "keras#4192, mxnet#19323",
          "bidirectional, unequal lengths", LENGTHS,
          Twin(
              flip=turned(lambda at, v: v[::-1]), unflip=turned(lambda at, v: v[::-1]),
              updates=lambda at, n: correct.valid(at, n) if not at.direction else np.ones((len(n), 1), bool),
              shows=lambda at, n: correct.valid(at, n) if not at.direction else (at.t >= at.steps - n)[:, None])),
    Fault("short-row-loses-last-step", "A row shorter than the longest ends one step early.", "onnxruntime#1400",
          "unequal lengths", LENGTHS,
          Twin(transform=Transform(lengths=lambda config, n: np.where((n < n.max()) & (n > 1), n - 1, n)))),
)  # fmt: skip
