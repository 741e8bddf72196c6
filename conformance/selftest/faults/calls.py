"""Faults across calls: what one leaves to the next, threads, randomness, stale parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.fault import CALLS, DROPOUT, LAYOUT, RANGE, STALE, STATE, THREADS, Fault
from conformance.selftest.faults.memory import Results, called
from conformance.selftest.faults.twin import Forward, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State


def _bias_summed_at_calls(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    def call(*args: Any, **more: Any) -> Results:
        result = forward(*args, **more)
        for name in [name for name in params if name.startswith("bias_ih")]:
            np.add(params[name], params[name.replace("ih", "hh")], out=params[name])
        return result

    return call


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


def _constant(config: LSTMConfig, x: Array, value: float) -> State:
    slots, rows = config.num_layers * config.num_directions, _rows_of(x, config)
    return (
        np.full((slots, *rows, config.output_size), value, x.dtype),
        np.full((slots, *rows, config.hidden_size), value, x.dtype),
    )


def last_state(memory: dict[str, Any], x: Array, state: State | None) -> State | None:
    """The last call's final state in place of none."""
    last = memory.get("last")
    fits = last is not None and last[0].shape[1:-1] == _rows_of(x, memory["config"])
    return last if state is None and fits else state


def _last_cell(memory: dict[str, Any], x: Array, state: State | None) -> State | None:
    """c of the last call, a hundredth of it, for what the caller left at zeros."""
    last = last_state(memory, x, state)
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


def _kept_by(key: Callable[[Array], Any]) -> Twin:
    """The last result is returned again for an x of the same shape and key, and an equal state."""

    def change(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
        kept = x.shape, key(x), None if state is None else [part.tobytes() for part in state]
        if memory.get("key") != kept:
            # The array itself is kept too, so that no other takes its address.
            memory |= {"key": kept, "x": x, "result": forward(x, state)}
        output, (h_n, c_n) = memory["result"]
        return output.copy(), (h_n.copy(), c_n.copy())

    return called(change)


def _kept_by_x(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    if memory.get("x") != (x.shape, x.tobytes()):
        memory |= {"x": (x.shape, x.tobytes()), "result": forward(x, state)}
    output, (h_n, c_n) = memory["result"]
    return output.copy(), (h_n.copy(), c_n.copy())


def _known_by_identity(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """A state that is the last call's own result is not read: a copy of that result is taken."""
    if state is not None and state[0] is memory.get("h_n") and state[1] is memory.get("c_n"):
        state = memory["kept"]
    output, (h_n, c_n) = forward(x, state)
    memory |= {"h_n": h_n, "c_n": c_n, "kept": (h_n.copy(), c_n.copy())}
    return output, (h_n, c_n)


def _donated(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """A c_0 that is the last call's c_n is where the next c_n is written."""
    output, (h_n, c_n) = forward(x, state)
    if state is not None and state[1] is memory.get("c_n"):
        state[1][...] = c_n
        c_n = state[1]
    memory["c_n"] = c_n
    return output, (h_n, c_n)


def _refused_state(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """The state is stored before the input is checked, and forgotten once a call succeeds."""
    if state is not None:
        memory["state"] = state
    result = forward(x, memory.get("state"))
    memory["state"] = None
    return result


def _first_rows(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """A model whose first call is of one row gives all rows of later calls the first one's state."""
    rows = _rows_of(x, memory["config"])
    if memory.setdefault("rows", rows) == (1,) and rows > (1,) and state is not None:
        state = np.repeat(state[0][:, :1], rows[0], axis=1), np.repeat(state[1][:, :1], rows[0], axis=1)
    return forward(x, state)


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


def _shared_c(twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array) -> State:
    """c is kept in one static buffer for each shape."""
    twin.shared[c.shape] = c
    time.sleep(0)
    return correct.step(twin, at, w, x, h, twin.shared[c.shape])


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


def _around(change: Callable[[Any], Any]) -> Twin:
    """A call whose whole answer is changed."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        return lambda *arguments, **options: change(forward(*arguments, **options))

    return Twin(around=around)


def _widened(answer: tuple[Array, State]) -> tuple[Array, State]:
    output, (h_n, c_n) = answer
    return output.astype("float64"), (h_n.astype("float64"), c_n.astype("float64"))


FAULTS = (
    Fault("answer-of-three", "A call returns output, h_n, c_n without the inner tuple.", "adapters", "always", LAYOUT,
          _around(lambda answer: (answer[0], *answer[1]))),
    Fault("answer-in-lists", "The arrays of an answer are lists.", "adapters", "always", LAYOUT,
          _around(lambda answer: (answer[0].tolist(), answer[1]))),
    Fault("answer-in-float64", "The results are float64 in every model.", "NumPy's promotion", "float32", RANGE,
          _around(_widened)),
    Fault("biases-summed-at-every-call", "b_hh is added into b_ih at every call.", "pytorch#1721",
          "with bias, second call", CALLS, Twin(around=_bias_summed_at_calls)),
    Fault("output-in-a-buffer", "The output is a buffer of the model that the next call overwrites.",
          "tflite interpreters", "second call, first result kept", CALLS, buffered(1)),
    Fault("output-in-two-buffers", "The output is one of two buffers in turn.", "double buffering",
          "third call, first result kept", CALLS, buffered(2)),
    Fault("output-in-sixteen-buffers", "The output is one of sixteen buffers in turn.", "rings of buffers",
          "seventeenth call, first result kept", CALLS, buffered(16)),
    Fault("own-state-known-by-identity", "A state that is the last call's own result is not read again.",
          "state kept on the device", "the last call's state, edited in place", CALLS, called(_known_by_identity)),
    Fault("own-state-donated", "A c_0 that is the last call's own c_n is overwritten by the next.", "buffer donation",
          "the last call's state, looked at after the next", CALLS, called(_donated)),
    Fault("refused-state-kept", "The state of a refused call is where the next one without a state starts.",
          "checks after the first effects", "a refused call, then one without state", CALLS, called(_refused_state)),
    Fault("first-call-of-one-row", "After a first call of one row, all rows start from the first one's state.",
          "kernels chosen at the first call", "a first call of N = 1, then N > 1 with state", CALLS,
          called(_first_rows)),
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
          "second call, x changed in place", CALLS, _kept_by(lambda x: x.ctypes.data)),
    Fault("kept-by-first-values", "The last result is returned again for an x that begins with the same values.",
          "caches by a part of the contents", "second call, x changed at its end", CALLS,
          _kept_by(lambda x: x.reshape(len(x), -1)[0].tobytes())),
    Fault("kept-by-x-alone", "The last result is returned again for an equal x, whatever the state.",
          "caches by the input", "second call, another state", CALLS, called(_kept_by_x)),
    Fault("none-is-ones", "No initial state means ones.", "mlx#3249", "no state", STATE,
          called(lambda memory, forward, x, state: forward(x, state or _constant(memory["config"], x, 1.0)))),
    Fault("none-is-small", "No initial state means 1e-5.", "mlx#3249", "no state", STATE,
          called(lambda memory, forward, x, state: forward(x, state or _constant(memory["config"], x, 1e-5)))),
    Fault("static-h", "h lies in one static buffer for all models.", "onnxruntime#21288", "two threads", THREADS,
          Twin(step=_shared_h)),
    Fault("static-gates", "The preactivations lie in a static buffer for each shape.", "onnxruntime#1162",
          "two threads", THREADS, Twin(step=_shared_gates)),
    Fault("static-c", "c lies in a static buffer for each shape.", "onnxruntime#1162", "two threads", THREADS,
          Twin(step=_shared_c)),
    Fault("dropout-in-evaluation", "A tenth of what passes between layers is dropped, always the same.",
          "DL4J dropout at inference", "layers > 1", DROPOUT, dropping(seeded=True)),
    Fault("random-dropout-in-evaluation", "A tenth of what passes between layers is dropped at random.",
          "DL4J dropout at inference", "layers > 1", DROPOUT, dropping(seeded=False)),
    Fault("stale-by-config", "Packed parameters are kept for each config.", "pytorch#65688", "a second model", STALE,
          cached(lambda config, params: None)),
    Fault("stale-recurrent-weights", "Packed recurrent weights are kept for each config.", "pytorch PR91111",
          "a second model", STALE, cached(lambda config, params: None, "weight_hh")),
    Fault("stale-biases", "Biases are kept for each config.", "pytorch PR91111", "a second model with bias", STALE,
          cached(lambda config, params: None, "bias")),
    Fault("stale-projection", "Projections are kept for each config.", "pytorch#74953",
          "a second model with projection", STALE, cached(lambda config, params: None, "weight_hr")),
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
