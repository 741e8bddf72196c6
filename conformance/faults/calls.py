"""Faults across calls: what one leaves to the next, what a call makes of no state, threads, randomness."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import Model, Results, called
from conformance.faults.fault import CALLS, DROPOUT, LAYOUT, LENGTHS, RANGE, STATE, THREADS, Fault
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, State


def _biases_summed(model: Model, *call: Any) -> Results:
    result = model.call(*call)
    for name in [name for name in model.params if name.startswith("bias_ih")]:
        np.add(model.params[name], model.params[name.replace("ih", "hh")], out=model.params[name])
    return result


def buffered(count: int, shared: bool = False) -> Twin:
    """The output is a view of one of ``count`` buffers, used in turn, of the model or of all models."""

    def change(model: Model, *call: Any) -> Results:
        memory = model.shared if shared else model.memory
        output, finals = model.call(*call)
        turn = memory["turn"] = (memory.get("turn", 0) + 1) % count
        key = turn, output.shape, output.dtype
        memory.setdefault(key, np.empty_like(output))[...] = output
        return memory[key], finals

    return called(change)


def leaking(take: Callable[[Model, Array, State | None], State | None]) -> Twin:
    """The last call's final state is kept; ``take`` chooses what the next call starts from."""

    def change(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
        result = model.call(x, take(model, x, state), lengths)
        model.memory["last"] = _copied(result[1])
        return result

    return called(change)


def _copied(state: State) -> State:
    return state[0].copy(), state[1].copy()


def last_state(model: Model, x: Array, state: State | None) -> State | None:
    """The last call's final state in place of none."""
    last = model.memory.get("last")
    fits = last is not None and last[0].shape[1:-1] == model.rows(x)
    return last if state is None and fits else state


def _last_cell(model: Model, x: Array, state: State | None) -> State | None:
    """c of the last call, a hundredth of it, for what the caller left at zeros."""
    last = last_state(model, x, state)
    return None if last is None else state or (0 * last[0], (0.01 * last[1]).astype(x.dtype))


def _workspace(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A workspace that grows with the largest call and is cleared only when it grows: its end is where h starts."""
    rows, steps = model.rows(x), model.steps(x)
    largest, last = model.memory.get("largest", 0), model.memory.get("last")
    if state is None and last is not None and steps < largest and last[0].shape[1] >= (rows or (1,))[0]:
        h_0, c_0 = (part[:, : rows[0]] if rows else part[:, 0] for part in last)
        state = h_0, c_0
    output, (h_n, c_n) = model.call(x, state, lengths)
    if steps > largest:
        model.memory["largest"] = steps
        model.memory["last"] = (h_n, c_n) if rows else (h_n[:, None], c_n[:, None])
    return output, (h_n, c_n)


def _first_call(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """The first call of a model warms up: it ignores the state."""
    first, model.memory["warm"] = "warm" not in model.memory, True
    return model.call(x, None if first else state, lengths)


def _third_call(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """From its third call on a model starts from the first one's final state."""
    calls = model.memory["calls"] = model.memory.get("calls", 0) + 1
    result = model.call(x, last_state(model, x, state) if calls > 2 else state, lengths)
    model.memory.setdefault("last", _copied(result[1]))
    return result


def _running_mean(model: Model, x: Array, *more: Any) -> Results:
    """x is centred by a running mean that starts at 0."""
    mean = model.memory.get("mean", 0.0)
    model.memory["mean"] = mean + 0.01 * (float(x.mean()) - mean)
    return model.call((x - mean).astype(x.dtype), *more)


def kept_by(key: Callable[[Array], Any], state_too: bool = True) -> Twin:
    """The last result is returned again for an x of the same shape and key, and, by default, an equal state."""

    def change(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
        memory = model.memory
        kept = x.shape, key(x), [part.tobytes() for part in state or ()] if state_too else None
        if memory.get("key") != kept:
            # The array itself is kept too, so that no other takes its address.
            memory |= {"key": kept, "x": x, "result": model.call(x, state, lengths)}
        output, finals = memory["result"]
        return output.copy(), _copied(finals)

    return called(change)


def _known_by_identity(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A state that is the last call's own result is not read: a copy of that result is taken."""
    memory = model.memory
    if state is not None and state[0] is memory.get("h_n") and state[1] is memory.get("c_n"):
        state = memory["kept"]
    output, (h_n, c_n) = model.call(x, state, lengths)
    memory |= {"h_n": h_n, "c_n": c_n, "kept": _copied((h_n, c_n))}
    return output, (h_n, c_n)


def _donated(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A c_0 that is the last call's c_n is where the next c_n is written."""
    output, (h_n, c_n) = model.call(x, state, lengths)
    if state is not None and state[1] is model.memory.get("c_n"):
        state[1][...] = c_n
        c_n = state[1]
    model.memory["c_n"] = c_n
    return output, (h_n, c_n)


def _refused_state(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """The state is stored before the input is checked, and forgotten once a call succeeds."""
    if state is not None:
        model.memory["state"] = state
    result = model.call(x, model.memory.get("state"), lengths)
    model.memory["state"] = None
    return result


def _first_row_for_all(state: State, rows: int) -> State:
    return np.repeat(state[0][:, :1], rows, axis=1), np.repeat(state[1][:, :1], rows, axis=1)


def _first_rows(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A model whose first call is of one row gives all rows of later calls the first one's state."""
    rows = model.rows(x)
    if model.memory.setdefault("rows", rows) == (1,) and rows > (1,) and state is not None:
        state = _first_row_for_all(state, rows[0])
    return model.call(x, state, lengths)


def _specialised(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """After two calls of one row, every row is taken to have the first one's state."""
    rows, single = model.rows(x), model.memory.get("single", 0)
    if single >= 2 and rows > (1,) and state is not None:
        state = _first_row_for_all(state, rows[0])
    model.memory["single"] = single + (rows == (1,))
    return model.call(x, state, lengths)


def _of_eight_plans(model: Model, x: Array, *more: Any) -> Results:
    """The plans of eight shapes, and x's scale in them, are kept: a ninth one takes the first one's place."""
    mine = model.memory.setdefault(x.shape, len(model.memory))
    return model.call(x if len(model.memory) <= mine + 8 else x / 2, *more)


def _masking(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """Steps of zeros at a row's end are padding."""
    if x.ndim == 3 and lengths is None and x.size:
        there = ((x if model.config.batch_first else x.swapaxes(0, 1)) != 0).any(2)
        ends = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
        lengths = np.where(there.any(1), ends, 1).astype(np.int64)
    return model.call(x, state, lengths)


def none_is(value: float) -> Twin:
    """No initial state means one of equal numbers."""
    return called(lambda model, x, state, lengths: model.call(x, state or model.state(x, value), lengths))


# Threads and randomness


def _shared_h(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """h is kept in one static buffer between the products and the cell."""
    twin.shared["h"] = h
    time.sleep(0)
    static = twin.shared["h"]
    return correct.step(twin, at, w, x, static if static.shape == h.shape else h, c)


def _shared_gates(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    """The preactivations are kept in a static buffer for each shape."""
    a = correct.preactivations(twin, at, w, x, h)
    static = twin.shared.setdefault(a.shape, np.empty_like(a))
    static[...] = a
    time.sleep(0)
    return static


def dropping(seeded: bool) -> Twin:
    """Dropout of a tenth between layers, whatever the config says."""

    def join(twin: Twin, at: Place, halves: list[Array], below: Array) -> Array:
        sequence = np.concatenate(halves, axis=2)
        if at.last:
            return sequence
        rng = np.random.default_rng(0 if seeded else None)
        return np.where(rng.random(sequence.shape) < 0.1, 0, sequence / 0.9).astype(sequence.dtype)

    return Twin(join=join)


def _widened(answer: Results) -> Results:
    output, (h_n, c_n) = answer
    return output.astype("float64"), (h_n.astype("float64"), c_n.astype("float64"))


def _answered(change: Callable[[Results], Any]) -> Twin:
    """A call's whole answer changed."""
    return called(lambda model, *call: change(model.call(*call)))


FAULTS = (
    Fault("answer-of-three", "A call returns output, h_n, c_n without the inner tuple.", "adapters", "always", LAYOUT,
        _answered(lambda answer: (answer[0], *answer[1]))),
    Fault("answer-in-lists", "The arrays of an answer are lists.", "adapters", "always", LAYOUT,
        _answered(lambda answer: (answer[0].tolist(), answer[1]))),
    Fault("answer-in-float64", "The results are float64 in every model.", "NumPy's promotion", "float32", RANGE,
        _answered(_widened)),
    Fault("biases-summed-at-every-call", "b_hh is added into b_ih at every call.", "pytorch#1721",
        "with bias, second call", CALLS, called(_biases_summed)),
    Fault("output-in-sixteen-buffers", "The output is one of sixteen buffers in turn.", "rings of buffers",
        "seventeenth call, first result kept", CALLS, buffered(16)),
    Fault("own-state-known-by-identity", "A state that is the last call's own result is not read again.",
        "state kept on the device", "the last call's state, edited in place", CALLS, called(_known_by_identity)),
    Fault("own-state-donated", "A c_0 that is the last call's own c_n is overwritten by the next.", "buffer donation",
        "the last call's state, looked at after the next", CALLS, called(_donated)),
    Fault("refused-state-kept", "The state of a refused call is where the next one without a state starts.",
        "checks after the first effects", "a refused call, then one without state", CALLS, called(_refused_state)),
    Fault("first-call-of-one-row", "After a first call of one row, all rows start from the first one's state.",
        "kernels chosen at the first call", "a first call of N = 1, then N > 1 with state", CALLS, called(_first_rows)),
    Fault("output-in-a-shared-buffer", "The output is a buffer shared by all models.", "global workspaces",
        "a call of any model, first result kept", CALLS, buffered(1, shared=True)),
    Fault("state-leaks", "A call without a state starts from the last call's.", "tensorflow#47813", "second call",
        CALLS, leaking(last_state)),
    Fault("cell-leaks-a-little", "A hundredth of the last call's cell is left.", "tensorflow#47813",
        "second call without state", CALLS, leaking(_last_cell)),
    Fault("workspace-not-cleared", "After a longer sequence, a shorter one starts from what that left.",
        "tflite-micro PR3564", "a shorter sequence after a longer one", CALLS, called(_workspace)),
    Fault("first-call-ignores-state", "The first call of a model ignores the initial state.", "agents-js PR944",
        "first call, state given", CALLS, called(_first_call)),
    Fault("third-call-leaks", "From its third call on, a model starts from the first one's final state.",
        "agents-js PR944", "third call without state", CALLS, called(_third_call)),
    Fault("running-mean", "x is centred by a mean over earlier calls.", "batch normalisation", "second call", CALLS,
        called(_running_mean)),
    Fault("kept-by-address", "The last result is returned again for an x at the same address.", "caches by data_ptr",
        "second call, x changed in place", CALLS, kept_by(lambda x: x.ctypes.data)),
    Fault("kept-by-first-values", "The last result is returned again for an x that begins with the same values.",
        "caches by a part of the contents", "second call, x changed at its end", CALLS,
        kept_by(lambda x: x.reshape(len(x), -1)[0].tobytes())),
    Fault("kept-by-x-alone", "The last result is returned again for an equal x, whatever the state.",
        "caches by the input", "second call, another state", CALLS, kept_by(lambda x: x.tobytes(), state_too=False)),
    Fault("none-is-small", "No initial state means 1e-5.", "mlx#3249", "no state", STATE, none_is(1e-5)),
    Fault("static-h", "h lies in one static buffer for all models.", "onnxruntime#21288", "two threads", THREADS,
        Twin(step=_shared_h)),
    Fault("static-gates", "The preactivations lie in a static buffer for each shape.", "onnxruntime#1162",
        "two threads", THREADS, Twin(preactivations=_shared_gates)),
    Fault("dropout-in-evaluation", "A tenth of what passes between layers is dropped, always the same.",
        "DL4J dropout at inference", "layers > 1", DROPOUT, dropping(seeded=True)),
    Fault("random-dropout-in-evaluation", "A tenth of what passes between layers is dropped at random.",
        "DL4J dropout at inference", "layers > 1", DROPOUT, dropping(seeded=False)),
    Fault("one-of-eight-plans", "The ninth shape takes the first one's place.", "plans that are kept by shape",
        "nine shapes, and the first again", CALLS, called(_of_eight_plans)),
    Fault("specialised-after-two-calls", "After two calls of one row, all rows have the first one's state.",
        "pytorch#49764", "N = 1 twice, then N > 1 with state", CALLS, called(_specialised)),
    Fault("zero-steps-are-padding", "Steps of zeros at a row's end are taken for padding.", "keras#3086",
        "no lengths, x ends in zeros", LENGTHS, called(_masking)),
)  # fmt: skip
