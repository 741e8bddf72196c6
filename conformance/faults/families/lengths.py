"""The ways to get lengths wrong, as the choices that a loop over time makes.

A loop turns a sequence for the reverse direction, decides at each step which rows go on, what the output shows, and
which step's h is h_n. With lengths, each choice has some usual mistakes, and they combine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from conformance.conventions import Whole
from conformance.faults import twin as correct
from conformance.faults.fault import LENGTHS, Fault
from conformance.faults.lengths import ordered
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

Turn = Callable[[Twin, Place, Array, Array], Array]
Mask = Callable[[Twin, Place, Array], Array]


def _whole(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
    """All L steps turned, padding first."""
    return values[::-1] if at.direction else values


def _not_at_all(twin: Twin, at: Place, values: Array, lengths: Array) -> Array:
    return values


def _always(twin: Twin, at: Place, lengths: Array) -> Array:
    return np.ones((len(lengths), 1), bool)


def _turned(twin: Twin, at: Place, lengths: Array) -> Array:
    """In the reverse direction the mask is turned with all L steps."""
    return (at.t >= at.steps - lengths)[:, None] if at.direction else (at.t < lengths)[:, None]


def _both(twin: Twin, at: Place, lengths: Array) -> Array:
    return correct.valid(twin, at, lengths) & (at.t >= at.steps - lengths)[:, None]


def _one_more(twin: Twin, at: Place, lengths: Array) -> Array:
    return (at.t <= lengths)[:, None]


def _one_less(twin: Twin, at: Place, lengths: Array) -> Array:
    return (at.t < lengths - 1)[:, None]


def _longest(twin: Twin, at: Place, lengths: Array) -> Array:
    return np.full((len(lengths), 1), at.t < lengths.max())


_FLIPS: dict[str, tuple[str, Turn]] = {
    "valid": ("", correct.flip),
    "whole": ("the reverse direction reads the padding first", _whole),
    "none": ("the reverse direction reads forward", _not_at_all),
}
_UNFLIPS: dict[str, tuple[str, Turn]] = {
    "valid": ("", correct.flip),
    "whole": ("its output is turned back with the padding", _whole),
    "none": ("its output is not turned back", _not_at_all),
}
_UPDATES: dict[str, tuple[str, Mask]] = {
    "valid": ("", correct.valid),
    "always": ("states go on through the padding", _always),
    "turned": ("the mask of the states is turned with all L steps", _turned),
    "one-more": ("states take one step of the padding", _one_more),
    "one-less": ("states miss a row's last step", _one_less),
}
_SHOWS: dict[str, tuple[str, Mask]] = {
    "valid": ("", correct.valid),
    "always": ("the output is not masked", _always),
    "turned": ("the mask of the output is turned with all L steps", _turned),
    "one-more": ("the output shows one step of the padding", _one_more),
    "one-less": ("the output misses a row's last step", _one_less),
    "both": ("the output shows where the mask and the turned mask agree", _both),
    "longest": ("the output is masked past the longest row only", _longest),
}

Layer = tuple[Array, Array, Array]


def _holds_last(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """Past a row's length the output repeats its last."""
    output, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    valid = np.arange(len(x))[:, None] < lengths
    return np.where(valid[..., None], output, h_n[None]).astype(output.dtype), h_n, c_n


def _last_shown(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """h_n is the output at the last of all steps, as the direction reads them."""
    output, _, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    return output, output[0 if at.direction else -1], c_n


def _last_padded(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """The output at the last index, for either direction."""
    output, _, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    return output, output[-1], c_n


def _h_through(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """The output repeats h where a row has ended, and h_n and c_n are right."""
    full = np.full_like(lengths, len(x))
    output, _, _ = correct.layer(twin, at, w, x, h, c, full)
    _, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    return output, h_n, c_n


def _to_longest(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """Final states after the longest row's last step; shorter rows have gone through their padding."""
    return correct.layer(replace(twin, updates=_longest), at, w, x, h, c, lengths)


def _longest_alone(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """Final states of rows as long as the longest; zeros of the others."""
    output, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    whole = (lengths == lengths.max())[:, None]
    return output, np.where(whole, h_n, 0).astype(h_n.dtype), np.where(whole, c_n, 0).astype(c_n.dtype)


def _to_the_right(values: Array, lengths: Array) -> Array:
    """The rows (L, N, …) whose last steps, as many as a row is long, come first, and the others then."""
    return np.stack([np.roll(values[:, n], length - len(values), axis=0) for n, length in enumerate(lengths)], axis=1)


def _padded_left(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """The valid steps are taken to be the last ones, in the input and in the output."""
    below = x if at.layer else _to_the_right(x, lengths)
    output, h_n, c_n = correct.layer(twin, at, w, below, h, c, lengths)
    return (_to_the_right(output, len(x) - lengths) if at.last else output), h_n, c_n


def _taken_left(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """The valid steps of the input are taken to be the last ones."""
    return correct.layer(twin, at, w, x if at.layer else _to_the_right(x, lengths), h, c, lengths)


def _not_read(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
    """Padding is data: every row has all L steps."""
    return correct.layer(twin, at, w, x, h, c, np.full_like(lengths, len(x)))


def _one_goes_on(cell: bool, zeros: bool) -> Callable[..., Layer]:
    """All L steps are turned for the reverse direction, and the mask with them; it holds one of the states only.

    With ``zeros`` the padding has been set to 0 before.
    """

    def layer(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array) -> Layer:
        outputs = []
        if zeros:
            x = np.where((np.arange(len(x))[:, None] < lengths)[..., None], x, x.dtype.type(0))
        for t, x_t in enumerate(_whole(twin, at, x, lengths)):
            now = at._replace(t=t)
            h_t, c_t = twin.step(twin, now, w, x_t, h, c)
            on = _turned(twin, now, lengths)
            h, c = (np.where(on, h_t, h), c_t) if cell else (h_t, np.where(on, c_t, c))
            outputs.append(np.where(on, h_t, h_t.dtype.type(0)))
        return _whole(twin, at, np.stack(outputs), lengths), h, c

    return layer


_LAYERS: dict[str, tuple[str, Callable[..., Layer]]] = {
    "mask-holds-h-only": ("The mask holds h, and c goes on through the padding.", _one_goes_on(True, False)),
    "mask-holds-c-only": ("The mask holds c, and h goes on through the padding.", _one_goes_on(False, False)),
    "mask-holds-h-only-in-zeros": (
        "The mask holds h, and c goes on through the padding, which is set to 0.",
        _one_goes_on(True, True),
    ),
    "mask-holds-c-only-in-zeros": (
        "The mask holds c, and h goes on through the padding, which is set to 0.",
        _one_goes_on(False, True),
    ),
    "lengths-not-read": ("Lengths are ignored: every row has all L steps.", _not_read),
    "output-holds-last": ("Past a row's length the output repeats its last.", _holds_last),
    "h-n-of-last-shown-step": ("h_n is the output at the last of all L steps, masked or not.", _last_shown),
    "h-n-of-last-index": ("h_n of every layer is the output at index L − 1 in both directions.", _last_padded),
    "final-states-of-longest-row": (
        "h_n and c_n are those after the longest row's last step: shorter rows have read padding.",
        _to_longest,
    ),
    "final-states-of-shorter-rows-zero": ("h_n and c_n of rows shorter than the longest are zeros.", _longest_alone),
    "padding-taken-on-the-left": (
        "A row's valid steps are taken to be its last ones, in x and in the output.",
        _padded_left,
    ),
    "padding-of-x-taken-on-the-left": ("A row's valid steps are taken to be the last ones of x.", _taken_left),
    "output-runs-on": ("The output goes on through the padding; h_n and c_n are right.", _h_through),
}


def _packed(lengths: Array, sorted_rows: bool = True) -> tuple[Array, Array]:
    """The steps and rows of packed data in its order: step by step, the longest rows first or rows as they come."""
    order = np.argsort(-lengths, kind="stable") if sorted_rows else np.arange(len(lengths))
    steps, rows = np.array([(t, n) for t in range(lengths.max()) for n in order if t < lengths[n]]).T
    return steps, rows


def _as_one_row(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    steps, rows = _packed(lengths)
    longest = int(np.argmax(lengths))
    first = state[0][:, [longest]], state[1][:, [longest]]
    whole = correct.stack(twin, config, params, x[steps, rows][:, None], first, np.array([len(steps)]))
    output = np.zeros((*x.shape[:2], whole.output.shape[2]), x.dtype)
    output[steps, rows] = whole.output[:, 0]
    h_n, c_n = (np.repeat(part, len(lengths), axis=1) for part in (whole.h_n, whole.c_n))
    return Whole(output, h_n, c_n)


def _memory_as_packed(sorted_rows: bool) -> Callable[..., Whole]:
    def stack(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
        steps, rows = _packed(lengths, sorted_rows)
        read = np.zeros_like(x)
        read[steps, rows] = x.reshape(-1, x.shape[2])[: len(steps)]
        whole = correct.stack(twin, config, params, read, state, lengths)
        written = np.zeros((x.shape[0] * x.shape[1], whole.output.shape[2]), x.dtype)
        written[: len(steps)] = whole.output[steps, rows]
        return whole._replace(output=written.reshape(whole.output.shape))

    return stack


_STACKS: dict[str, tuple[str, Callable[..., Whole]]] = {
    "packed-rows-run-as-one": ("Packed data is run as one long sequence of one row.", _as_one_row),
    "padded-read-as-packed": (
        "The memory of padded input and output is taken for packed data, its rows sorted.",
        _memory_as_packed(True),
    ),
    "padded-read-as-packed-unsorted": (
        "The memory of padded input and output is taken for packed data, its rows unsorted.",
        _memory_as_packed(False),
    ),
}


_ORDERS: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "left": ("left in that order", lambda order: np.arange(len(order))),
    "again": ("sorted so once more", lambda order: order),
    "back": ("put back", np.argsort),
}


def _sorted_rows() -> Iterator[Fault]:
    """Rows sorted inside by length, and not put back, or not all of them."""
    for outputs, states, with_state in product(_ORDERS, _ORDERS, (True, False)):
        if (outputs, states, with_state) != ("back", "back", True):
            (told, of_outputs), (also, of_states) = _ORDERS[outputs], _ORDERS[states]
            words = f"Rows are sorted inside by length; the output is {told}, h_n and c_n are {also}"
            words += "." if with_state else ", and the initial state is not sorted."
            id = f"rows-sorted-output-{outputs}-states-{states}{'' if with_state else '-h-0-unsorted'}"
            twin = ordered(lambda order, a=of_outputs, b=of_states: (a(order), b(order)), with_state)
            yield Fault(id, words, "", "unsorted lengths", LENGTHS, twin)


def families() -> Iterator[Fault]:
    """Each combination of choices that is not the right one, the fewest mistakes first."""
    for id, (words, layer) in _LAYERS.items():
        yield Fault(id, words, "", "a length below L", LENGTHS, Twin(layer=layer))
    for id, (words, stack) in _STACKS.items():
        yield Fault(id, words, "", "lengths", LENGTHS, Twin(stack=stack))
    yield from _sorted_rows()
    combinations = list(product(_FLIPS, _UNFLIPS, _UPDATES, _SHOWS))
    for flip, unflip, updates, shows in sorted(combinations, key=lambda names: 4 - names.count("valid")):
        chosen = (_FLIPS[flip], _UNFLIPS[unflip], _UPDATES[updates], _SHOWS[shows])
        words = [said for said, _ in chosen if said]
        if not words or len(words) > 3 or (flip == "none" and unflip != "none"):
            continue
        pieces: dict[str, Any] = dict(
            zip(("flip", "unflip", "updates", "shows"), (piece for _, piece in chosen), strict=True)
        )
        id = "lengths-" + "-".join(f"{k}-{v}" for k, v in zip(("flip", "unflip", "mask", "show"),
            (flip, unflip, updates, shows), strict=True) if v != "valid")  # fmt: skip
        told = "; ".join(words)
        yield Fault(id, f"{told[0].upper()}{told[1:]}.", "", "a length below L", LENGTHS, Twin(**pieces))
