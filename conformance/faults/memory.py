"""Faults of memory: strides, buffers, what one call leaves to the next, threads, stale parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.fault import CALLS, MEMORY, STALE, STATE, THREADS, Fault
from conformance.faults.twin import Forward, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

Results = tuple[Array, State]


def fetched(change: Callable[[Array], Array], *names: str) -> Twin:
    """An array that the caller handed over read otherwise; x and the state by default."""
    return Twin(fetch=lambda name, v: change(v) if name in (names or ("x", "h_0", "c_0")) else correct.fetch(name, v))


def called(change: Callable[[dict[str, Any], Forward, Array, State | None], Results]) -> Twin:
    """A call surrounded; the dictionary is the model's own memory."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        memory: dict[str, Any] = {"config": config}

        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Results:
            inner = forward if lengths is None else lambda x, state: forward(x, state, lengths)
            return change(memory, inner, x, state)

        return call

    return Twin(around=around)


def returned(change: Callable[[Results, Array, State | None], Results]) -> Twin:
    """A call's results changed, seen with its arguments."""
    return called(lambda memory, forward, x, state: change(forward(x, state), x, state))


# Strides


def _buffer(values: Array) -> tuple[Array, int]:
    """The memory that an array lies in, flat, and where the array's first element is."""
    owner: Any = values
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    flat = owner.ravel(order="K")
    start = values.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return flat, start // values.itemsize


def from_base(values: Array) -> Array:
    """As many elements as there are, from the start of the memory."""
    flat, _ = _buffer(values)
    return flat[: values.size].reshape(values.shape).copy()


def from_pointer(values: Array) -> Array:
    """As many elements as there are, from the first one on."""
    flat, start = _buffer(values)
    return np.resize(flat[start:], values.size).reshape(values.shape)


def memory_order(values: Array) -> Array:
    """The elements as they lie in memory."""
    return values.ravel(order="K").reshape(values.shape)


def unsigned_strides(values: Array) -> Array:
    """Axes that run backwards read forwards."""
    return values[tuple(slice(None, None, -1 if stride < 0 else 1) for stride in values.strides)].copy()


def packed_rows(values: Array) -> Array:
    """Rows taken for contiguous, whatever the stride of the last axis."""
    if values.strides[-1] == values.itemsize:
        return values.copy()
    flat, start = _buffer(values)
    steps = [stride // values.itemsize for stride in values.strides[:-1]] + [1]
    index = start + sum(np.indices(values.shape, sparse=True)[k] * steps[k] for k in range(values.ndim))
    return flat[np.clip(index, 0, flat.size - 1)]


# What a call changes or gives away


def _x_scaled_in_place(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    result = forward(x, state)
    x *= 2
    return result


def _x_reversed_in_place(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    result = forward(x, state)
    if memory["config"].bidirectional:
        x[...] = x[::-1].copy()
    return result


def _state_updated_in_place(which: int) -> Twin:
    def change(result: Results, x: Array, state: State | None) -> Results:
        if state is not None:
            state[which][...] = result[1][which]
        return result

    return returned(change)


def _c_n_in_c_0(result: Results, x: Array, state: State | None) -> Results:
    """c_n is c_0's own memory when there was but one step."""
    output, (h_n, c_n) = result
    if state is None or x.shape[0] > 1:
        return result
    state[1][...] = c_n
    return output, (h_n, state[1])


def _output_in_x(result: Results, x: Array, state: State | None) -> Results:
    """The output is written over x where their sizes agree."""
    output, finals = result
    if output.shape != x.shape:
        return result
    x[...] = output
    return x, finals


def _needs_writable(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    x.flags.writeable = True
    x += 0
    return forward(x, state)


def _h_n_aliases_bias(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """h_n is written into a parameter's memory where it fits."""

    def call(*args: Any, **more: Any) -> Results:
        output, (h_n, c_n) = forward(*args, **more)
        room = params["weight_ih_l0"].reshape(-1)
        if h_n.size > room.size:
            return output, (h_n, c_n)
        h_n = h_n.copy()
        kept = room[: h_n.size].reshape(h_n.shape)
        kept[...] = h_n
        return output, (kept, c_n)

    return call


def _bias_summed_in_place(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    for name in [name for name in params if name.startswith("bias_ih")]:
        np.add(params[name], params[name.replace("ih", "hh")], out=params[name])
    return {name: 0 * value if name.startswith("bias_hh") else value for name, value in params.items()}


def _bias_summed_at_calls(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    def call(*args: Any, **more: Any) -> Results:
        result = forward(*args, **more)
        for name in [name for name in params if name.startswith("bias_ih")]:
            np.add(params[name], params[name.replace("ih", "hh")], out=params[name])
        return result

    return call


# What a call leaves to the next


def buffered(count: int, shared: bool = False) -> Twin:
    """The output is a view of one of ``count`` buffers, used in turn, of the model or of all models."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        memory = twin.shared if shared else {}

        def call(*args: Any, **more: Any) -> Results:
            output, finals = forward(*args, **more)
            turn = memory["turn"] = (memory.get("turn", 0) + 1) % count
            key = turn, output.shape, output.dtype
            memory.setdefault(key, np.empty_like(output))[...] = output
            return memory[key], finals

        return call

    return Twin(around=around)


def leaking(take: Callable[[dict[str, Any], Array, State | None], State | None]) -> Twin:
    """The last call's final state is kept; ``take`` chooses what the next call starts from."""

    def change(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
        result = forward(x, take(memory, x, state))
        memory["last"] = result[1][0].copy(), result[1][1].copy()
        return result

    return called(change)


def _rows_of(x: Array, config: LSTMConfig) -> tuple[int, ...]:
    return () if x.ndim == 2 else (x.shape[0 if config.batch_first else 1],)


def _last_state(memory: dict[str, Any], x: Array, state: State | None) -> State | None:
    last = memory.get("last")
    fits = last is not None and last[0].shape[1:-1] == _rows_of(x, memory["config"])
    return last if state is None and fits else state


def _last_cell(memory: dict[str, Any], x: Array, state: State | None) -> State | None:
    """c of the last call, a hundredth of it, for what the caller left at zeros."""
    last = _last_state(memory, x, state)
    return None if last is None else state or (0 * last[0], (0.01 * last[1]).astype(x.dtype))


def _workspace(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """A workspace that grows with the largest call and is cleared only when it grows: its end is where h starts."""
    config: LSTMConfig = memory["config"]
    rows, steps = _rows_of(x, config), x.shape[1 if config.batch_first and x.ndim == 3 else 0]
    largest, last = memory.get("largest", 0), memory.get("last")
    if state is None and last is not None and steps < largest and last[0].shape[1] >= (rows or (1,))[0]:
        kept = tuple(part[:, : (rows or (1,))[0]] for part in last)
        state = (kept[0][:, 0], kept[1][:, 0]) if not rows else (kept[0], kept[1])
    output, (h_n, c_n) = forward(x, state)
    if steps > largest:
        memory["largest"] = steps
        memory["last"] = (h_n, c_n) if rows else (h_n[:, None], c_n[:, None])
    return output, (h_n, c_n)


def _first_call(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """The first call of a model warms up: it ignores the state."""
    first, memory["warm"] = "warm" not in memory, True
    return forward(x, None if first else state)


def _third_call(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """From its third call on a model starts from the first one's final state."""
    memory["calls"] = memory.get("calls", 0) + 1
    fits = memory["calls"] > 2 and memory["last"][0].shape[1:-1] == _rows_of(x, memory["config"])
    result = forward(x, memory["last"] if fits and state is None else state)
    memory.setdefault("last", tuple(part.copy() for part in result[1]))
    return result


def _running_mean(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """x is centred by a running mean that starts at 0."""
    mean = memory.get("mean", 0.0)
    memory["mean"] = mean + 0.01 * (float(x.mean()) - mean)
    return forward((x - mean).astype(x.dtype), state)


def _garbage(name: str, place: Callable[[Array], Array]) -> Twin:
    """Part of a result is whatever the memory held."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        def call(*args: Any, **more: Any) -> Results:
            output, (h_n, c_n) = forward(*args, **more)
            seed = twin.shared["calls"] = twin.shared.get("calls", 0) + 1
            part = {"output": output, "h_n": h_n, "c_n": c_n}[name]
            spoiled = place(part)
            spoiled[...] = np.random.default_rng(seed).normal(size=spoiled.shape)
            return output, (h_n, c_n)

        return call

    return Twin(around=around)


# Threads and randomness


def _shared_h(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """h is kept in one static buffer between the products and the cell."""
    twin.shared["h"] = h
    time.sleep(0)
    static = twin.shared["h"]
    return correct.step(twin, at, w, x, static if static.shape == h.shape else h, c)


def _shared_gates(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """The preactivations are kept in a static buffer for each shape."""
    a = twin.preactivations(twin, at, w, x, h)
    static = twin.shared.setdefault(a.shape, np.empty_like(a))
    static[...] = a
    time.sleep(0)
    i, f, g, o = twin.gates(twin, at, w, static)
    c_t = twin.cell(at, i, f, g, c)
    return twin.project(twin, at, w, twin.hidden(twin, at, o, c_t)), c_t


def dropping(seeded: bool) -> Twin:
    """Dropout of a tenth between layers, whatever the config says."""

    def join(at: Place, halves: list[Array], below: Array) -> Array:
        sequence = np.concatenate(halves, axis=2)
        if at.last:
            return sequence
        rng = np.random.default_rng(0 if seeded else None)
        return np.where(rng.random(sequence.shape) < 0.1, 0, sequence / 0.9).astype(sequence.dtype)

    return Twin(join=join)


# Stale parameters


def cached(key: Callable[[LSTMConfig, Params], Hashable], *names: str) -> Twin:
    """Packed parameters are kept for all models by a key; those of ``names`` alone, if any are given."""

    def pack(twin: Twin, config: LSTMConfig, params: Params) -> Params:
        packed = twin.shared.setdefault((config, key(config, params)), {k: v.copy() for k, v in params.items()})
        return {name: packed[name] if name.startswith(names or "") else value for name, value in params.items()}

    return Twin(pack=pack)


def _latest(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """One static copy of the parameters: the model built last is the one that runs."""
    twin.shared[config] = params

    def call(*args: Any, **more: Any) -> Results:
        return Twin().build(config, twin.shared[config])(*args, **more)

    return call


def _bytes_of(name: str) -> Callable[[LSTMConfig, Params], Hashable]:
    return lambda config, params: params[name].tobytes()


FAULTS = (
    Fault("reads-from-base", "Arrays are read from the start of the memory that they lie in.", "pytorch#345",
          "views of larger arrays", MEMORY, fetched(from_base)),
    Fault("reads-contiguous", "Arrays are read from their first element on, as if contiguous.", "pytorch#345, #619",
          "non-contiguous", MEMORY, fetched(from_pointer)),
    Fault("reads-memory-order", "Arrays are read in the order in which they lie in memory.", "pytorch#619",
          "transposed or Fortran", MEMORY, fetched(memory_order)),
    Fault("reads-unsigned-strides", "Negative strides are taken for positive.", "NumPy C extensions", "negative strides",
          MEMORY, fetched(unsigned_strides)),
    Fault("reads-packed-rows", "The stride of the last axis is taken for 1.", "BLAS leading dimensions",
          "last axis strided", MEMORY, fetched(packed_rows)),
    Fault("state-reads-contiguous", "h_0 and c_0 are read as if contiguous.", "pytorch#345", "non-contiguous state", MEMORY,
          fetched(from_pointer, "h_0", "c_0")),
    Fault("c-0-reads-memory-order", "c_0 is read in the order in which it lies in memory.", "pytorch#619",
          "transposed or Fortran c_0", MEMORY, fetched(memory_order, "c_0")),
    Fault("x-scaled-in-place", "x is scaled in place.", "in-place preprocessing", "x looked at after the call", MEMORY,
          called(_x_scaled_in_place)),
    Fault("x-reversed-in-place", "x is left reversed in time by the reverse direction.", "in-place flips",
          "bidirectional, x looked at after the call", MEMORY, called(_x_reversed_in_place)),
    Fault("h-0-updated-in-place", "h_0 holds h_n after the call.", "hand-written loops", "h_0 looked at after the call",
          MEMORY, _state_updated_in_place(0)),
    Fault("c-0-updated-in-place", "c_0 holds c_n after the call.", "hand-written loops", "c_0 looked at after the call",
          MEMORY, _state_updated_in_place(1)),
    Fault("c-n-in-c-0", "After one step c_n is c_0's own memory.", "hand-written loops", "L = 1, state given", MEMORY,
          returned(_c_n_in_c_0)),
    Fault("output-in-x", "The output is written over x where their shapes agree.", "mxnet#17898", "I = D·P", MEMORY,
          returned(_output_in_x)),
    Fault("needs-writable-input", "x is prepared in place, which a read-only x does not allow.", "in-place preprocessing",
          "read-only x", MEMORY, called(_needs_writable)),
    Fault("h-n-in-weights", "h_n is written into the memory of a weight.", "pytorch#1721", "parameters after the call",
          MEMORY, Twin(around=_h_n_aliases_bias)),
    Fault("biases-summed-in-place", "b_hh is added into the caller's b_ih as the model is built.", "pytorch#1721",
          "with bias, parameters after the build", MEMORY, Twin(pack=_bias_summed_in_place)),
    Fault("biases-summed-at-every-call", "b_hh is added into b_ih at every call.", "pytorch#1721", "with bias, second call",
          CALLS, Twin(around=_bias_summed_at_calls)),
    Fault("output-in-a-buffer", "The output is a buffer of the model that the next call overwrites.", "tflite interpreters",
          "second call, first result kept", CALLS, buffered(1)),
    Fault("output-in-two-buffers", "The output is one of two buffers in turn.", "double buffering",
          "third call, first result kept", CALLS, buffered(2)),
    Fault("output-in-a-shared-buffer", "The output is a buffer shared by all models.", "global workspaces",
          "a call of any model, first result kept", CALLS, buffered(1, shared=True)),
    Fault("last-row-uninitialised", "The last row of a batch above 4 is never written.", "tflite-micro#2449", "N > 4",
          MEMORY, _garbage("output", lambda y: y[:, 4:])),
    Fault("c-n-uninitialised", "The reverse direction's c_n is never written.", "tflite-micro#2449", "bidirectional", MEMORY,
          _garbage("c_n", lambda c: c[1::2])),

    Fault("state-leaks", "A call without a state starts from the last call's.", "tensorflow#47813", "second call", CALLS,
          leaking(_last_state)),
    Fault("cell-leaks-a-little", "A hundredth of the last call's cell is left.", "tensorflow#47813",
          "second call without state", CALLS, leaking(_last_cell)),
    Fault("workspace-not-cleared", "After a longer sequence, a shorter one starts from what that left.",
          "tflite-micro PR3564", "a shorter sequence after a longer one", CALLS, called(_workspace)),
    Fault("first-call-ignores-state", "The first call of a model ignores the initial state.", "agents-js PR944",
          "first call, state given", CALLS, called(_first_call)),
    Fault("third-call-leaks", "From its third call on, a model starts from the first one's final state.", "agents-js PR944",
          "third call without state", CALLS, called(_third_call)),
    Fault("running-mean", "x is centred by a mean over earlier calls.", "batch normalisation", "second call", CALLS,
          called(_running_mean)),
    Fault("none-is-ones", "No initial state means ones.", "mlx#3249", "no state", STATE,
          called(lambda memory, forward, x, state: forward(x, state or _constant(memory["config"], x, 1.0)))),
    Fault("none-is-small", "No initial state means 1e-5.", "mlx#3249", "no state", STATE,
          called(lambda memory, forward, x, state: forward(x, state or _constant(memory["config"], x, 1e-5)))),

    Fault("static-h", "h lies in one static buffer for all models.", "onnxruntime#21288", "two threads", THREADS,
          Twin(step=_shared_h)),
    Fault("static-gates", "The preactivations lie in a static buffer for each shape.", "onnxruntime#1162", "two threads",
          THREADS, Twin(step=_shared_gates)),
    Fault("dropout-in-evaluation", "A tenth of what passes between layers is dropped, always the same.",
          "DL4J dropout at inference", "layers > 1", THREADS, dropping(seeded=True)),
    Fault("random-dropout-in-evaluation", "A tenth of what passes between layers is dropped at random.",
          "DL4J dropout at inference", "layers > 1", THREADS, dropping(seeded=False)),

    Fault("stale-by-config", "Packed parameters are kept for each config.", "pytorch#65688", "a second model", STALE,
          cached(lambda config, params: None)),
    Fault("stale-recurrent-weights", "Packed recurrent weights are kept for each config.", "pytorch PR91111",
          "a second model", STALE, cached(lambda config, params: None, "weight_hh")),
    Fault("stale-biases", "Biases are kept for each config.", "pytorch PR91111", "a second model with bias", STALE,
          cached(lambda config, params: None, "bias")),
    Fault("stale-projection", "Projections are kept for each config.", "pytorch#74953", "a second model with projection",
          STALE, cached(lambda config, params: None, "weight_hr")),
    Fault("stale-by-first-weights", "Packed parameters are kept for each first layer's weight_ih.", "pytorch#65688",
          "a second model with the same first weights", STALE, cached(_bytes_of("weight_ih_l0"))),
    Fault("stale-by-recurrent-weights", "Packed parameters are kept for each first layer's weight_hh.", "pytorch#65688",
          "a second model with the same recurrent weights", STALE, cached(_bytes_of("weight_hh_l0"))),
    Fault("stale-by-all-but-top", "Packed parameters are kept for each config and first layer.", "pytorch#65688",
          "layers > 1, a second model with the same first layer", STALE,
          cached(lambda config, params: b"".join(v.tobytes() for k, v in sorted(params.items()) if k.endswith("_l0")))),
    Fault("latest-model-runs", "The model built last runs in place of all of the same config.", "global workspaces",
          "two models in turn", STALE, Twin(around=_latest)),
)  # fmt: skip


def _constant(config: LSTMConfig, x: Array, value: float) -> State:
    slots, rows = config.num_layers * config.num_directions, _rows_of(x, config)
    return (
        np.full((slots, *rows, config.output_size), value, x.dtype),
        np.full((slots, *rows, config.hidden_size), value, x.dtype),
    )
