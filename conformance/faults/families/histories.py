"""What a call takes from the calls before it: the state, a result, in all the ways that a cache or a buffer makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from conformance.faults.alter import Model, Results, called
from conformance.faults.calls import kept_by, last_state, leaking
from conformance.faults.fault import CALLS, Fault
from conformance.faults.twin import Twin
from conformance.spec import Array, State

#: The state that a call starts from, of its own and what the model keeps of earlier calls.
Start = Callable[[Model, Array, State | None], State | None]


def _fits(model: Model, x: Array, state: State | None) -> bool:
    return state is not None and state[0].shape[1:-1] == model.rows(x)


def _given(first: bool, stands_in: bool) -> Twin:
    """The first or last state that was given is kept, and ``stands_in`` for none or for any."""

    def change(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
        kept = model.memory.get("given")
        if state is not None and not (first and kept):
            model.memory["given"] = state
        use = _fits(model, x, kept) and (state is None) == stands_in
        return model.call(x, kept if use else state, lengths)

    return called(change)


def _always(model: Model, x: Array, state: State | None) -> State | None:
    """The last final state in place of any."""
    last = model.memory.get("last")
    return last if _fits(model, x, last) else state


def _part(k: int) -> Start:
    """One part of the last final state, and zeros."""

    def take(model: Model, x: Array, state: State | None) -> State | None:
        last = last_state(model, x, state)
        if state is not None or last is None:
            return state
        return (last[0], 0 * last[1]) if k == 0 else (0 * last[0], last[1])

    return take


def _first_final(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """The first final state in place of none."""
    kept = model.memory.get("final")
    result = model.call(x, kept if state is None and _fits(model, x, kept) else state, lengths)
    model.memory.setdefault("final", (result[1][0].copy(), result[1][1].copy()))
    return result


def _first_result(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """The result of the first call whose arguments have these shapes."""
    key = x.shape, state is None, lengths is None
    if key not in model.memory:
        model.memory[key] = model.call(x, state, lengths)
    output, (h_n, c_n) = model.memory[key]
    return output.copy(), (h_n.copy(), c_n.copy())


def _padding_unwritten(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """Past a row's length the output is what the last call of its shape has left there."""
    output, finals = model.call(x, state, lengths)
    left = model.memory.get(output.shape)
    if lengths is not None and left is not None:
        first = model.config.batch_first
        within = np.arange(model.steps(x))[:, None] < lengths
        output = np.where((within.T if first else within)[..., None], output, left)
    model.memory[output.shape] = output.copy()
    return output, finals


def families() -> Iterator[Fault]:
    """Each way, the plainest first."""
    ways = {
        "last-state-in-place-of-any": ("Each call starts from the last one's final state, whatever state is given.",
            leaking(_always)),
        "first-final-state-for-none": ("A call without a state starts from the first call's final state.",
            called(_first_final)),
        "last-h-in-place-of-none": ("A call without a state starts from the last call's h_n, and c of zeros.",
            leaking(_part(0))),
        "last-c-in-place-of-none": ("A call without a state starts from the last call's c_n, and h of zeros.",
            leaking(_part(1))),
        "given-state-in-place-of-none": ("A call without a state starts from the state that was given last.",
            _given(first=False, stands_in=True)),
        "first-given-state-for-none": ("A call without a state starts from the first state that was given.",
            _given(first=True, stands_in=True)),
        "first-given-state-for-all": ("The first state that is given is used in place of each later one.",
            _given(first=True, stands_in=False)),
        "state-of-the-call-before": ("In place of the state that is given, that of the call before is used.",
            _given(first=False, stands_in=False)),
        "result-of-the-first-call": ("A call of the same shapes as an earlier one returns that one's result again.",
            called(_first_result)),
        "padding-left-unwritten": ("Past a row's length the output is what the last call of its shape has left there.",
            called(_padding_unwritten)),
        "result-of-an-equal-state": ("For an x of the same shape and an equal state the last result is returned again.",
            kept_by(lambda x: None)),
    }  # fmt: skip
    for id, (words, twin) in ways.items():
        yield Fault(id, words, "", "second call", CALLS, twin)
