"""Faults of memory: strides, and arrays that a call changes, gives away or never writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import Model, Results, called
from conformance.faults.fault import MEMORY, Fault
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, Params, State


def fetched(change: Callable[[Array], Array], *names: str) -> Twin:
    """An array that the caller handed over read otherwise; x and the state by default."""
    read = names or ("x", "h_0", "c_0")
    return Twin(fetch=lambda twin, config, name, v: change(v) if name in read else correct.fetch(twin, config, name, v))


def finished(change: Callable[[Results, Array, State | None], Results]) -> Twin:
    """A call's results changed, seen with its arguments."""
    return called(lambda model, x, state, lengths: change(model.call(x, state, lengths), x, state))


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


def packed_steps(values: Array) -> Array:
    """Rows and steps taken for packed, if features are."""
    falling = all(a >= b > 0 for a, b in zip(values.strides, values.strides[1:], strict=False))
    return from_pointer(values) if falling and values.strides[-1] == values.itemsize else values.copy()


def first_alone(axis: int) -> Callable[[Array], Array]:
    """Zeros but in the first of an axis, where all of it are one in memory."""

    def change(values: Array) -> Array:
        read = np.moveaxis(values.copy(), axis, 0)
        if values.ndim == 3 and len(read) > 1 and values.strides[axis] == 0:
            read[1:] = 0
        return np.moveaxis(read, 0, axis)

    return change


def _rounded_down(values: Array) -> Array:
    """Four features at a time are read from the multiple of 16 bytes at or below where they lie."""
    over = values.ctypes.data % 16 // values.itemsize
    aligned = values.dtype == np.float32 and values.flags.c_contiguous and values.shape[-1] % 4 == 0
    return np.roll(values, over).copy() if aligned else values.copy()


def _c_0_by_h_0(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """c_0 is read as if contiguous where h_0 is."""
    if state is not None and state[0].flags.c_contiguous and not state[1].flags.c_contiguous:
        state = state[0], from_pointer(state[1])
    return model.call(x, state, lengths)


def _expanded(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A state that is one for all layers and directions is read for the first alone."""
    if state is not None and any(part.shape[0] > 1 and part.strides[0] == 0 for part in state):
        h_0, c_0 = (np.concatenate([part[:1], 0 * part[1:]]) for part in state)
        state = h_0, c_0
    return model.call(x, state, lengths)


# What a call changes or gives away


def x_scaled_in_place(result: Results, x: Array, state: State | None) -> Results:
    """x doubled after the call."""
    if x.flags.writeable:
        x *= 2
    return result


def _x_reversed_in_place(model: Model, x: Array, *more: Any) -> Results:
    result = model.call(x, *more)
    if model.config.bidirectional and x.flags.writeable:
        x[...] = x[::-1].copy()
    return result


def _state_updated_in_place(which: int) -> Twin:
    def change(result: Results, x: Array, state: State | None) -> Results:
        if state is not None and state[which].flags.writeable:
            state[which][...] = result[1][which]
        return result

    return finished(change)


def _c_n_in_c_0(result: Results, x: Array, state: State | None) -> Results:
    """c_n is c_0's own memory when there was but one step."""
    output, (h_n, c_n) = result
    if state is None or x.shape[0] > 1 or not state[1].flags.writeable:
        return result
    state[1][...] = c_n
    return output, (h_n, state[1])


def _output_in_x(result: Results, x: Array, state: State | None) -> Results:
    """The output is written over x where their sizes agree."""
    output, finals = result
    if output.shape != x.shape or not x.flags.writeable:
        return result
    x[...] = output
    return x, finals


def _needs_writable(model: Model, x: Array, *more: Any) -> Results:
    x += 0
    return model.call(x, *more)


def _lengths_sorted_in_place(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    result = model.call(x, state, lengths)
    if lengths is not None:
        lengths.sort()
    return result


def _h_n_in_weights(model: Model, *call: Any) -> Results:
    """h_n is written into a parameter's memory where it fits."""
    output, (h_n, c_n) = model.call(*call)
    room = model.params["weight_ih_l0"].reshape(-1)
    if h_n.size > room.size:
        return output, (h_n, c_n)
    kept = room[: h_n.size].reshape(h_n.shape)
    kept[...] = h_n.copy()
    return output, (kept, c_n)


def _bias_summed_in_place(twin: Twin, config: LSTMConfig, params: Params) -> Params:
    for name in [name for name in params if name.startswith("bias_ih")]:
        np.add(params[name], params[name.replace("ih", "hh")], out=params[name])
    return {name: 0 * value if name.startswith("bias_hh") else value for name, value in params.items()}


def _garbage(name: str, place: Callable[[Array], Array]) -> Twin:
    """Part of a result is whatever the memory held."""

    def change(model: Model, *call: Any) -> Results:
        output, (h_n, c_n) = model.call(*call)
        seed = model.shared["calls"] = model.shared.get("calls", 0) + 1
        spoiled = place({"output": output, "h_n": h_n, "c_n": c_n}[name])
        spoiled[...] = np.random.default_rng(seed).normal(size=spoiled.shape)
        return output, (h_n, c_n)

    return called(change)


FAULTS = (
    Fault("reads-from-base", "Arrays are read from the start of the memory that they lie in.", "pytorch#345",
        "views of larger arrays", MEMORY, fetched(from_base)),
    Fault("reads-contiguous", "Arrays are read from their first element on, as if contiguous.", "pytorch#345, #619",
        "non-contiguous", MEMORY, fetched(from_pointer)),
    Fault("reads-memory-order", "Arrays are read in the order in which they lie in memory.", "pytorch#619",
        "transposed or Fortran", MEMORY, fetched(memory_order)),
    Fault("reads-unsigned-strides", "Negative strides are taken for positive.", "NumPy C extensions",
        "negative strides", MEMORY, fetched(unsigned_strides)),
    Fault("reads-packed-rows", "The stride of the last axis is taken for 1.", "BLAS leading dimensions",
        "last axis strided", MEMORY, fetched(packed_rows)),
    Fault("reads-packed-steps", "Where features lie side by side, rows and steps are taken to do so too.",
        "BLAS leading dimensions", "slices over rows or steps", MEMORY, fetched(packed_steps)),
    Fault("c-0-taken-like-h-0", "c_0 is read as if contiguous where h_0 is.", "pytorch#619",
        "c_0 not contiguous, h_0 contiguous", MEMORY, called(_c_0_by_h_0)),
    Fault("x-of-one-step", "Of an x that is broadcast over time only the first step is read.", "expanded tensors",
        "stride 0 over the steps", MEMORY, fetched(first_alone(0), "x")),
    Fault("state-of-one-row", "Of a state that is broadcast over the batch only the first row is read.",
        "expanded tensors", "stride 0 over the rows", MEMORY, fetched(first_alone(1), "h_0", "c_0")),
    Fault("state-broadcast-over-layers", "Of a state that is broadcast over layers, one layer's is read.",
        "expanded states", "a state of stride 0 over layers", MEMORY, called(_expanded)),
    Fault("x-scaled-in-place", "x is scaled in place.", "in-place preprocessing", "x looked at after the call", MEMORY,
        finished(x_scaled_in_place)),
    Fault("x-reversed-in-place", "x is left reversed in time by the reverse direction.", "in-place flips",
        "bidirectional, x looked at after the call", MEMORY, called(_x_reversed_in_place)),
    Fault("h-0-updated-in-place", "h_0 holds h_n after the call.", "hand-written loops", "h_0 looked at after the call",
        MEMORY, _state_updated_in_place(0)),
    Fault("c-0-updated-in-place", "c_0 holds c_n after the call.", "hand-written loops", "c_0 looked at after the call",
        MEMORY, _state_updated_in_place(1)),
    Fault("c-n-in-c-0", "After one step c_n is c_0's own memory.", "hand-written loops", "L = 1, state given", MEMORY,
        finished(_c_n_in_c_0)),
    Fault("output-in-x", "The output is written over x where their shapes agree.", "mxnet#17898", "I = D·P", MEMORY,
        finished(_output_in_x)),
    Fault("lengths-sorted-in-place", "The caller's lengths are sorted.", "mlverse/torch#499",
        "unsorted lengths, looked at after the call", MEMORY, called(_lengths_sorted_in_place)),
    Fault("needs-writable-input", "x is prepared in place, which a read-only x does not allow.",
        "in-place preprocessing", "read-only x", MEMORY, called(_needs_writable)),
    Fault("h-n-in-weights", "h_n is written into the memory of a weight.", "pytorch#1721", "parameters after the call",
        MEMORY, called(_h_n_in_weights)),
    Fault("biases-summed-in-place", "b_hh is added into the caller's b_ih as the model is built.", "pytorch#1721",
        "with bias, parameters after the build", MEMORY, Twin(pack=_bias_summed_in_place)),
    Fault("rows-past-4-uninitialised", "The output past index 4 of its second axis is never written.",
        "tflite-micro#2449", "N > 4", MEMORY, _garbage("output", lambda y: y[:, 4:])),
    Fault("c-n-uninitialised", "The reverse direction's c_n is never written.", "tflite-micro#2449", "bidirectional",
        MEMORY, _garbage("c_n", lambda c: c[1::2])),
    Fault("aligned-loads", "Vectors of four are read from multiples of 16 bytes.", "movaps",
        "float32 x that starts elsewhere, I % 4 = 0", MEMORY, fetched(_rounded_down, "x")),
)  # fmt: skip
