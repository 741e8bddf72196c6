"""Faults of variable lengths, and of calls in which there is nothing: no rows, no steps, a row of length 0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.fault import DEGENERATE, FULL, LENGTHS, OPTIONS, Fault
from conformance.selftest.faults.options import Arguments
from conformance.selftest.faults.twin import Forward, Place, Transform, Twin, Weights, Whole
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
        for t, x_t in enumerate(correct.flip(at, x, lengths)):
            now, on = at._replace(t=t), correct.valid(at._replace(t=t), lengths)
            after = correct.step(twin, now, w, x_t, h, c)
            outputs.append(output(now, on, (h, c), after))
            h, c = state(now, on, (h, c), after)
        return correct.flip(at, np.stack(outputs), lengths), h, c

    return Twin(layer=layer)


def taken_for(change: Callable[[Array], Array]) -> Twin:
    """Lengths (N,) taken for others."""
    return Twin(transform=Transform(lengths=lambda config, lengths: change(lengths)))


def layers(change: Callable[[Place, Array, Array], tuple[Array, Array]]) -> Twin:
    """What a layer and direction takes for its sequence (L, N, I) and its lengths."""

    def layer(
        twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
    ) -> tuple[Array, Array, Array]:
        x, lengths = change(at, x, lengths)
        return correct.layer(twin, at, w, x, h, c, lengths)

    return Twin(layer=layer)


def ordered(
    back: Callable[[Array], tuple[Array, Array]],
    state_too: bool = True,
) -> Twin:
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


def surrounded(change: Callable[[LSTMConfig, Forward, Array, State | None, Array | None], Any]) -> Twin:
    """A call surrounded: from the config, the correct call and its arguments."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return change(config, forward, x, state, lengths)

        return call

    return Twin(around=around)


def _first_lengths_kept(config: LSTMConfig) -> Callable[[Array, Array | None], Array | None]:
    """For each shape of x, the lengths of the first call that had any."""
    kept: dict[tuple[int, ...], Array] = {}
    return lambda x, lengths: lengths if lengths is None else kept.setdefault(x.shape, lengths.copy())


def _last_lengths_kept(config: LSTMConfig) -> Callable[[Array, Array | None], Array | None]:
    """For calls without lengths, those of the last call of the same shape."""
    kept: dict[tuple[int, ...], Array] = {}

    def lengths_of(x: Array, lengths: Array | None) -> Array | None:
        if lengths is not None:
            kept[x.shape] = lengths.copy()
        return kept.get(x.shape)

    return lengths_of


def remembering(make: Callable[[LSTMConfig], Callable[[Array, Array | None], Array | None]]) -> Twin:
    """A model with a memory that says, from x and the lengths of a call, which lengths it takes."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        lengths_of = make(config)

        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return forward(x, state, lengths_of(x, lengths))

        return call

    return Twin(around=around)


def accepting(fit: Callable[[LSTMConfig, Array, State | None, Array], Arguments]) -> Twin:
    """Lengths made to fit before they are checked."""

    def accept(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> Arguments:
        return correct.accept(config, *((x, state, None) if lengths is None else fit(config, x, state, lengths)))

    return Twin(accept=accept)


def _axes(config: LSTMConfig, x: Array) -> tuple[int, int]:
    """x's time axis and batch axis."""
    return (1, 0) if config.batch_first else (0, 1)


# Lengths


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


def _upper_reverse(at: Place) -> bool:
    return at.layer > 0 and at.direction == 1


def _input_masked(at: Place, x: Array, lengths: Array) -> tuple[Array, Array]:
    """Zeros in place of the padding, all of whose steps are run: the biases move the state."""
    valid = np.arange(len(x))[:, None] < lengths
    return np.where(valid[..., None], x, 0).astype(x.dtype), np.full_like(lengths, len(x))


def _mask_of_the_other_axis(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    if x.shape[0] != x.shape[1]:
        return correct.layer(twin, at, w, x, h, c, lengths)
    mask = np.arange(len(x)) < lengths[:, None]
    other = replace(twin, updates=lambda now, n: mask[now.t][:, None], shows=lambda now, n: mask[now.t][:, None])
    return correct.layer(other, at, w, x, h, c, lengths)


def _cut_at_the_longest(
    config: LSTMConfig, forward: Forward, x: Array, state: State | None, lengths: Array | None
) -> Any:
    output, finals = forward(x, state, lengths)
    if lengths is None:
        return output, finals
    return output.take(np.arange(lengths.max()), axis=_axes(config, x)[0]), finals


def _state_forgotten_when_full(
    config: LSTMConfig, forward: Forward, x: Array, state: State | None, lengths: Array | None
) -> Any:
    full = lengths is not None and bool(np.all(lengths == x.shape[_axes(config, x)[0]]))
    return forward(x, None if full else state, lengths)


def _rows_dropped(config: LSTMConfig, forward: Forward, x: Array, state: State | None, lengths: Array | None) -> Any:
    """As torch packs: as many rows as there are lengths."""
    if lengths is not None and len(lengths) < x.shape[_axes(config, x)[1]]:
        rows = np.arange(len(lengths))
        x = x.take(rows, axis=_axes(config, x)[1])
        state = None if state is None else (state[0][:, rows], state[1][:, rows])
    return forward(x, state, lengths)


def _unbatched_lengths_ignored(config: LSTMConfig, x: Array, state: State | None, lengths: Array) -> Arguments:
    return x, state, None if x.ndim == 2 else lengths


def _steps_of(config: LSTMConfig, x: Array) -> int:
    return x.shape[0] if x.ndim == 2 else x.shape[_axes(config, x)[0]]


# Nothing


def without_steps(answer: Callable[[LSTMConfig, Forward, Array, State], Any]) -> Twin:
    """What a call of no steps gives, from its x with a step of zeros and its initial state."""

    def change(config: LSTMConfig, forward: Forward, x: Array, state: State | None, lengths: Array | None) -> Any:
        if _steps_of(config, x):
            return forward(x, state, lengths)
        time = 0 if x.ndim == 2 else _axes(config, x)[0]
        shape = list(x.shape)
        shape[time] = 1
        padded = np.zeros(shape, x.dtype)
        if state is None:
            slots, rows = config.num_layers * config.num_directions, x.shape[1 - time : 2 - time][: x.ndim - 2]
            widths = config.output_size, config.hidden_size
            state = np.zeros((slots, *rows, widths[0]), x.dtype), np.zeros((slots, *rows, widths[1]), x.dtype)
        return answer(config, forward, padded, state)

    return surrounded(change)


def _emptied(config: LSTMConfig, output: Array) -> Array:
    return output.take(np.zeros(0, np.int64), axis=0 if output.ndim == 2 else int(config.batch_first))


def without_rows(answer: Callable[[Any], Any]) -> Twin:
    """The result of a call of no rows changed."""

    def change(config: LSTMConfig, forward: Forward, x: Array, state: State | None, lengths: Array | None) -> Any:
        result = forward(x, state, lengths)
        return answer(result) if x.ndim == 3 and not x.shape[_axes(config, x)[1]] else result

    return surrounded(change)


def _one_row(result: Any) -> Any:
    output, (h_n, c_n) = result
    return output, (np.zeros((len(h_n), 1, h_n.shape[2]), h_n.dtype), np.zeros((len(c_n), 1, c_n.shape[2]), c_n.dtype))


def _workspace_of_no_steps(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """An empty call clears what the recurrence needs, and it is not made again."""
    cleared = Twin().build(config, {n: 0 * v if n.startswith("weight_hh") else v for n, v in params.items()})
    seen = []

    def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
        if x.size == 0:
            seen.append(True)
        return (cleared if seen else forward)(x, state, lengths)

    return call


def _at_least_one(config: LSTMConfig, x: Array, state: State | None, lengths: Array) -> Arguments:
    return x, state, np.where(lengths == 0, 1, lengths)


FAULTS = (
    Fault("cell-runs-on", "h_n is that of a row's last valid step, c_n that of the padded end.", "jax PR15169",
          "unequal lengths", LENGTHS,
          masked(lambda at, on, before, after: (_kept(at, on, before, after)[0], after[1]))),
    Fault("hidden-runs-on", "c_n is that of a row's last valid step, h_n that of the padded end.", "jax PR15169",
          "unequal lengths", LENGTHS,
          masked(lambda at, on, before, after: (after[0], _kept(at, on, before, after)[1]))),
    Fault("batch-first-padding-holds-last", "With batch_first the output past a row's length repeats its last.",
          "keras zero_output_for_mask=False", "batch_first, unequal lengths", LENGTHS, masked(output=_holding)),
    Fault("padding-times-zero", "Padding is masked by multiplication with 0.", "masks in NumPy ports",
          "NaN or infinity in the padding", LENGTHS, masked(_multiplied)),
    Fault("ended-rows-decay", "The states of rows that have ended lose a ten-thousandth a step.",
          "leaky carry through masked steps", "unequal lengths", LENGTHS, masked(_decaying)),
    Fault("mask-on-the-input-only", "Padding is set to zero, and the biases and the recurrence go on.",
          "mxnet use_sequence_length", "unequal lengths", LENGTHS, layers(_input_masked)),
    Fault("upper-reverse-starts-in-padding", "Above the first layer the reverse direction starts at the padded end.",
          "keras#4192, pytorch#90421", "bidirectional, layers > 1, unequal lengths", LENGTHS,
          Twin(
              flip=lambda at, v, n: v[::-1] if _upper_reverse(at) else correct.flip(at, v, n),
              unflip=lambda at, v, n: v[::-1] if _upper_reverse(at) else correct.flip(at, v, n),
              updates=lambda at, n: np.ones((len(n), 1), bool) if _upper_reverse(at) else correct.valid(at, n),
              shows=lambda at, n: (at.t >= at.steps - n)[:, None] if _upper_reverse(at) else correct.valid(at, n))),
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
    Fault("length-of-row-before", "A row has the length of the row before.", "tensorflow#60192", "unequal lengths",
          LENGTHS, taken_for(lambda n: np.roll(n, 1))),
    Fault("one-short-row-overlooked", "When a single row is short, it is taken for full.", "fast path for full batches",
          "all lengths but one are the longest", LENGTHS,
          taken_for(lambda n: np.full_like(n, n.max()) if (n < n.max()).sum() == 1 else n)),
    Fault("lengths-of-16-rows", "Rows from the seventeenth on are taken for as long as the longest.",
          "tiles of 16 rows", "unequal lengths, N > 16", LENGTHS,
          taken_for(lambda n: np.where(np.arange(len(n)) < 16, n, n.max()))),
    Fault("lengths-kept-for-a-shape", "A model's first lengths are taken for all later ones of the same shape.",
          "masks kept by shape", "second call, other lengths", LENGTHS, remembering(_first_lengths_kept)),
    Fault("lengths-stay", "A call without lengths has those of the call before.", "descriptors that are kept",
          "a call without lengths after one with", LENGTHS, remembering(_last_lengths_kept)),
    Fault("lengths-of-8-bits", "Lengths beyond 127 are taken for 127.", "masks of a fixed size", "a length beyond 127",
          LENGTHS, Twin(transform=Transform(lengths=lambda config, n: np.minimum(n, 127)))),
    Fault("output-cut-at-the-longest", "The output has as many steps as the longest row.",
          "pad_packed_sequence without total_length", "all lengths below L", LENGTHS, surrounded(_cut_at_the_longest)),
    Fault("square-mask-transposed", "With as many rows as steps, the mask's axes are exchanged.",
          "axes told apart by their sizes", "N = L, unequal lengths", LENGTHS, Twin(layer=_mask_of_the_other_axis)),
    Fault("full-lengths-lose-the-state", "When all lengths are L, the initial state is ignored.",
          "openvino optional input", "all lengths L, state given", LENGTHS, surrounded(_state_forgotten_when_full)),
    Fault("lengths-clipped", "A length beyond L is taken for L.", "tf.sequence_mask", "a length beyond L", OPTIONS,
          accepting(lambda config, x, state, n: (x, state, np.minimum(n, max(1, _steps_of(config, x)))))),
    Fault("lengths-from-the-end", "A negative length counts from the end, as a slice does.", "Python slices",
          "a negative length", OPTIONS,
          accepting(lambda config, x, state, n: (
              x, state, np.where(n < 0, np.maximum(n + _steps_of(config, x), 1), n)))),
    Fault("extra-lengths-dropped", "Lengths beyond the number of rows are dropped.", "kernels that trust the caller",
          "too many lengths", OPTIONS,
          accepting(lambda config, x, state, n: (
              x, state, n[: x.shape[_axes(config, x)[1]]] if x.ndim == 3 else n))),
    Fault("missing-lengths-drop-rows", "Rows for which no length is given are dropped.", "torch pack_padded_sequence",
          "too few lengths", OPTIONS, surrounded(_rows_dropped)),
    Fault("unbatched-lengths-ignored", "A length for an unbatched sequence is accepted and ignored.", "openvino#37820",
          "unbatched, with lengths", OPTIONS, accepting(_unbatched_lengths_ignored)),
    Fault("float64-undeclared", "float64 is accepted, and computed in float32.", "ports with float buffers",
          "undeclared float64", OPTIONS, Twin(precision=lambda config: "float32"), replace(FULL, dtypes=("float32",))),
    Fault("no-steps-forget-h-0", "After no steps h_n and c_n are zeros, whatever the initial state was.",
          "pytorch#50192", "L = 0, state given", DEGENERATE,
          without_steps(lambda config, forward, x, s: (
              _emptied(config, forward(x, s)[0]), (0 * s[0], 0 * s[1])))),
    Fault("no-steps-run-one", "A sequence without steps is run as one step of zeros.", "do-while loops", "L = 0",
          DEGENERATE, without_steps(lambda config, forward, x, s: forward(x, s))),
    Fault("no-steps-move-the-state", "A sequence without steps has an empty output, and a state one step on.",
          "do-while loops", "L = 0", DEGENERATE,
          without_steps(lambda config, forward, x, s: (_emptied(config, forward(x, s)[0]), forward(x, s)[1]))),
    Fault("no-rows-give-one", "A batch without rows gives the final states of one row of zeros.", "onnxruntime PR6238",
          "N = 0", DEGENERATE, without_rows(_one_row)),
    Fault("no-rows-squeezed", "The batch axis of no rows is lost from h_n and c_n.", "keras PR7387", "N = 0",
          DEGENERATE,
          without_rows(lambda result: (result[0], tuple(part.reshape(len(part), -1) for part in result[1])))),
    Fault("empty-call-clears-workspace", "After a call without rows or steps the recurrent weights are gone.",
          "workspaces sized by the call", "a call after an empty one", DEGENERATE,
          Twin(around=_workspace_of_no_steps)),
    Fault("length-0-takes-a-step", "A row of length 0 takes one step.", "lengths clamped to 1", "a length of 0",
          DEGENERATE, accepting(_at_least_one)),
)  # fmt: skip
