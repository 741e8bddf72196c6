"""Faults of variable lengths: masks, orders of rows, and lengths that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.faults import twin as correct
from conformance.faults.alter import Model, called, given
from conformance.faults.fault import DEGENERATE, LENGTHS, OPTIONS, Fault
from conformance.faults.structure import turned
from conformance.faults.twin import Arguments, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

# Masks: from the place, the rows (N, 1) that have not ended, the state before a step and after it.


def _kept(at: Place, on: Array, before: State, after: State) -> State:
    return np.where(on, after[0], before[0]), np.where(on, after[1], before[1])


def _zeroed(at: Place, on: Array, before: State, after: State) -> Array:
    return np.where(on, after[0], np.zeros_like(after[0]))


def masked(
    state: Callable[[Place, Array, State, State], State] = _kept,
    output: Callable[[Place, Array, State, State], Array] = _zeroed,
) -> Twin:
    """The states that a step leaves and the output (N, P) that it shows."""

    def layer(
        twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
    ) -> tuple[Array, Array, Array]:
        outputs = []
        for t, x_t in enumerate(correct.flip(twin, at, x, lengths)):
            now, on = at._replace(t=t), correct.valid(twin, at._replace(t=t), lengths)
            after = correct.step(twin, now, w, x_t, h, c)
            outputs.append(output(now, on, (h, c), after))
            h, c = state(now, on, (h, c), after)
        return correct.flip(twin, at, np.stack(outputs), lengths), h, c

    return Twin(layer=layer)


def always(twin: Twin, at: Place, lengths: Array) -> Array:
    """No row ends."""
    return np.ones((len(lengths), 1), bool)


def at_padded_end(when: Callable[[Place], bool]) -> Twin:
    """Some directions start at the padded end, and run through the padding."""
    turn = turned(lambda at, values: values[::-1], when)
    return Twin(
        flip=turn,
        unflip=turn,
        updates=lambda twin, at, n: (always if when(at) else correct.valid)(twin, at, n),
        shows=lambda twin, at, n: (at.t >= at.steps - n)[:, None] if when(at) else correct.valid(twin, at, n),
    )


def taken_for(change: Callable[[Array], Array]) -> Twin:
    """Lengths (N,) taken for others."""
    return Twin(transform=Transform(lengths=lambda config, lengths: change(lengths)))


def ordered(back: Callable[[Array], tuple[Array, Array]], state_too: bool = True) -> Twin:
    """Rows sorted inside by length, longest first; ``back(order)`` gives the orders that undo it, of output and states.

    Without ``state_too`` the initial state is left as it came.
    """

    def stack(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
        order = np.argsort(-lengths, kind="stable")
        if state_too:
            state = state[0][:, order], state[1][:, order]
        output, h_n, c_n = correct.stack(twin, config, params, x[:, order], state, lengths[order])
        outputs, states = back(order)
        return Whole(output[:, outputs], h_n[:, states], c_n[:, states])

    return Twin(stack=stack)


def accepting(fit: Callable[[LSTMConfig, Array, Array], Array | None]) -> Twin:
    """Lengths made to fit, from the config, x and them, before they are checked."""

    def accept(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
        return x, state, None if lengths is None else fit(config, x, lengths)

    return given("accept", accept)


def _time(config: LSTMConfig, x: Array) -> int:
    """x's time axis; of a batch, the other one of the first two is that of the rows."""
    return int(config.batch_first and x.ndim == 3)


def _holding(at: Place, on: Array, before: State, after: State) -> Array:
    """keras' zero_output_for_mask=False."""
    return np.where(on | (not at.config.batch_first), _zeroed(at, on, before, after), before[0])


def _multiplied(at: Place, on: Array, before: State, after: State) -> State:
    h, c = (on * new + (1 - on) * old for new, old in zip(after, before, strict=True))
    return h.astype(after[0].dtype), c.astype(after[1].dtype)


def _decaying(at: Place, on: Array, before: State, after: State) -> State:
    h, c = _kept(at, on, before, after)
    less = c.dtype.type(1 - 1e-4)
    return np.where(on, h, less * h), np.where(on, c, less * c)


def _input_masked(
    at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Weights, Array, Array, Array, Array]:
    """Zeros in place of the padding, all of whose steps are run: the biases move the state."""
    valid = np.arange(len(x))[:, None] < lengths
    return w, np.where(valid[..., None], x, 0).astype(x.dtype), h, c, np.full_like(lengths, len(x))


def _mask_of_the_other_axis(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    if x.shape[0] != x.shape[1]:
        return correct.layer(twin, at, w, x, h, c, lengths)
    mask = np.arange(len(x)) < lengths[:, None]
    other = replace(
        twin, updates=lambda twin, now, n: mask[now.t][:, None], shows=lambda twin, now, n: mask[now.t][:, None]
    )
    return correct.layer(other, at, w, x, h, c, lengths)


# Calls


def _first_lengths(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
    """For each shape of x, the lengths of the first call that had any."""
    return model.call(x, state, lengths if lengths is None else model.memory.setdefault(x.shape, lengths.copy()))


def _last_lengths(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
    """For calls without lengths, those of the last call of the same shape."""
    if lengths is not None:
        model.memory[x.shape] = lengths.copy()
    return model.call(x, state, model.memory.get(x.shape))


def _cut_at_the_longest(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
    output, finals = model.call(x, state, lengths)
    if lengths is None:
        return output, finals
    return output.take(np.arange(lengths.max()), axis=_time(model.config, x)), finals


def _state_forgotten_when_full(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
    full = lengths is not None and bool(np.all(lengths == model.steps(x)))
    return model.call(x, None if full else state, lengths)


def _rows_dropped(model: Model, x: Array, state: State | None, lengths: Array | None) -> Any:
    """As torch packs: as many rows as there are lengths."""
    if lengths is not None and (len(lengths),) < model.rows(x):
        rows = np.arange(len(lengths))
        x = x.take(rows, axis=1 - _time(model.config, x))
        state = None if state is None else (state[0][:, rows], state[1][:, rows])
    return model.call(x, state, lengths)


FAULTS = (
    Fault("lengths-sorted", "Lengths are taken for sorted in decreasing order.", "mlverse/torch#499",
        "unsorted lengths", LENGTHS, taken_for(lambda n: np.sort(n)[::-1])),
    Fault("first-length-for-all", "The first row's length is used for all.", "pytorch#95118", "unequal lengths, N > 1",
        LENGTHS, taken_for(lambda n: np.full_like(n, n[0]))),
    Fault("length-of-row-before", "A row has the length of the row before.", "tensorflow#60192", "unequal lengths",
        LENGTHS, taken_for(lambda n: np.roll(n, 1))),
    Fault("short-row-loses-last-step", "A row shorter than the longest ends one step early.", "onnxruntime#1400",
        "unequal lengths", LENGTHS, taken_for(lambda n: np.where((n < n.max()) & (n > 1), n - 1, n))),
    Fault("one-short-row-overlooked", "When a single row is short, it is taken for full.", "fast path for full batches",
        "all lengths but one are the longest", LENGTHS,
        taken_for(lambda n: np.full_like(n, n.max()) if (n < n.max()).sum() == 1 else n)),
    Fault("lengths-of-16-rows", "Rows from the seventeenth on are taken for as long as the longest.",
        "tiles of 16 rows", "unequal lengths, N > 16", LENGTHS,
        taken_for(lambda n: np.where(np.arange(len(n)) < 16, n, n.max()))),
    Fault("lengths-of-8-bits", "Lengths beyond 127 are taken for 127.", "masks of a fixed size", "a length beyond 127",
        LENGTHS, taken_for(lambda n: np.minimum(n, 127))),
    Fault("padding-not-zero", "The output past a row's length is what its padding gives.", "jax PR15169",
        "unequal lengths", LENGTHS, Twin(shows=always)),
    Fault("cell-runs-on", "h_n is that of a row's last valid step, c_n that of the padded end.", "jax PR15169",
        "unequal lengths", LENGTHS, masked(lambda at, on, before, after: (_kept(at, on, before, after)[0], after[1]))),
    Fault("hidden-runs-on", "c_n is that of a row's last valid step, h_n that of the padded end.", "jax PR15169",
        "unequal lengths", LENGTHS, masked(lambda at, on, before, after: (after[0], _kept(at, on, before, after)[1]))),
    Fault("batch-first-padding-holds-last", "With batch_first the output past a row's length repeats its last.",
        "keras zero_output_for_mask=False", "batch_first, unequal lengths", LENGTHS, masked(output=_holding)),
    Fault("padding-times-zero", "Padding is masked by multiplication with 0.", "masks in NumPy ports",
        "NaN or infinity in the padding", LENGTHS, masked(_multiplied)),
    Fault("ended-rows-decay", "The states of rows that have ended lose a ten-thousandth a step.",
        "leaky carry through masked steps", "unequal lengths", LENGTHS, masked(_decaying)),
    Fault("mask-on-the-input-only", "Padding is set to zero, and the biases and the recurrence go on.",
        "mxnet use_sequence_length", "unequal lengths", LENGTHS, given("layer", _input_masked)),
    Fault("square-mask-transposed", "With as many rows as steps, the mask's axes are exchanged.",
        "axes told apart by their sizes", "N = L, unequal lengths", LENGTHS, Twin(layer=_mask_of_the_other_axis)),
    Fault("reverse-starts-in-padding", "The reverse direction starts at the padded end.", "keras#4192, mxnet#19323",
        "bidirectional, unequal lengths", LENGTHS, at_padded_end(lambda at: at.direction > 0)),
    Fault("upper-reverse-starts-in-padding", "Above the first layer the reverse direction starts at the padded end.",
        "keras#4192, pytorch#90421", "bidirectional, layers > 1, unequal lengths", LENGTHS,
        at_padded_end(lambda at: at.layer > 0 and at.direction > 0)),
    Fault("states-left-sorted", "Rows are sorted inside by length, and h_n and c_n are left in that order.",
        "hand-written packing", "unsorted lengths", LENGTHS,
        ordered(lambda order: (np.argsort(order), np.arange(len(order))))),
    Fault("output-left-sorted", "Rows are sorted inside by length, and the output is left in that order.",
        "hand-written packing", "unsorted lengths", LENGTHS,
        ordered(lambda order: (np.arange(len(order)), np.argsort(order)))),
    Fault("unsorted-by-the-same-permutation", "Sorting rows by length is undone by sorting them so once more.",
        "hand-written packing", "unsorted lengths, N > 2", LENGTHS, ordered(lambda order: (order, order))),
    Fault("h-0-not-sorted", "Rows are sorted inside by length, the initial state is not.", "pytorch#95118",
        "unsorted lengths, state given", LENGTHS,
        ordered(lambda order: (np.argsort(order), np.argsort(order)), state_too=False)),
    Fault("lengths-kept-for-a-shape", "A model's first lengths are taken for all later ones of the same shape.",
        "masks kept by shape", "second call, other lengths", LENGTHS, called(_first_lengths)),
    Fault("lengths-stay", "A call without lengths has those of the call before.", "descriptors that are kept",
        "a call without lengths after one with", LENGTHS, called(_last_lengths)),
    Fault("output-cut-at-the-longest", "The output has as many steps as the longest row.",
        "pad_packed_sequence without total_length", "all lengths below L", LENGTHS, called(_cut_at_the_longest)),
    Fault("full-lengths-lose-the-state", "When all lengths are L, the initial state is ignored.",
        "openvino optional input", "all lengths L, state given", LENGTHS, called(_state_forgotten_when_full)),
    Fault("lengths-clipped", "A length beyond L is taken for L.", "tf.sequence_mask", "a length beyond L", OPTIONS,
        accepting(lambda config, x, n: np.minimum(n, max(1, x.shape[_time(config, x)])))),
    Fault("lengths-from-the-end", "A negative length counts from the end, as a slice does.", "Python slices",
        "a negative length", OPTIONS,
        accepting(lambda config, x, n: np.where(n < 0, np.maximum(n + x.shape[_time(config, x)], 1), n))),
    Fault("extra-lengths-dropped", "Lengths beyond the number of rows are dropped.", "kernels that trust the caller",
        "too many lengths", OPTIONS,
        accepting(lambda config, x, n: n[: x.shape[1 - _time(config, x)]] if x.ndim == 3 else n)),
    Fault("missing-lengths-drop-rows", "Rows for which no length is given are dropped.", "torch pack_padded_sequence",
        "too few lengths", OPTIONS, called(_rows_dropped)),
    Fault("unbatched-lengths-ignored", "A length for an unbatched sequence is accepted and ignored.", "openvino#37820",
        "unbatched, with lengths", OPTIONS, accepting(lambda config, x, n: None if x.ndim == 2 else n)),
    Fault("length-0-takes-a-step", "A row of length 0 takes one step.", "lengths clamped to 1", "a length of 0",
        DEGENERATE, accepting(lambda config, x, n: np.where(n == 0, 1, n))),
)  # fmt: skip
