"""Faults of the gradient across calls: what ``vjp`` leaves to the next, changes, shares, or reads off the values."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import Model, called, half
from conformance.faults.backward import Differentiable, Gradients, Step, Vjp
from conformance.faults.gradients import fault
from conformance.faults.twin import Forward, Gates, Place, Twin
from conformance.spec import Array, LSTMConfig, Params, State

#: What ``vjp`` returns: the results and the gradients.
Returned = tuple[Any, Gradients]


def vjp(change: Any) -> Twin:
    """A call of ``vjp`` done otherwise: ``change(model, x, state, lengths, *cotangents)``."""
    return called(change, "d_around")


# What one call leaves to another


def _accumulated(model: Model, *arguments: Any) -> Returned:
    """The gradients of the parameters add up from call to call."""
    returned, grads = model.call(*arguments)
    for name in grads:
        if name not in ("x", "h_0", "c_0"):
            model.memory[name] = grads[name] = grads[name] + model.memory.get(name, 0)
    return returned, grads


def _in_two_buffers(model: Model, *arguments: Any) -> Returned:
    """Gradients are returned in two sets of buffers by turns."""
    result, grads = model.call(*arguments)
    model.memory["calls"] = model.memory.get("calls", 0) + 1
    shapes = [value.shape for value in grads.values()]
    buffers = model.memory.setdefault(f"{model.memory['calls'] % 2} {shapes}", {})
    for name, value in grads.items():
        np.copyto(buffers.setdefault(name, np.empty_like(value)), value)
    return result, buffers


def _longer_workspace(model: Model, x: Array, *more: Any) -> Returned:
    result, grads = model.call(x, *more)
    left = model.memory.get("x")
    model.memory["x"] = grads["x"].copy()
    if left is not None and left.ndim == x.ndim and left.size > x.size:
        grads["x"] += np.resize(left, x.shape)
    return result, grads


def _last_used(
    model: Model,
    x: Array,
    state: State | None,
    lengths: Array | None,
    d_output: Array,
    *more: Array,
) -> Returned:
    """A grad_output of zeros is not copied: the buffer holds the last one."""
    last = model.memory.get("d_output", d_output)
    if d_output.any():
        model.memory["d_output"] = d_output.copy()
    return model.call(x, state, lengths, d_output if d_output.any() or last.shape != d_output.shape else last, *more)


def _often_called(model: Model, *arguments: Any) -> Returned:
    """From its ninth call on a vjp is compiled, and h_0's gradient is not asked for."""
    result, grads = model.call(*arguments)
    model.memory["calls"] = model.memory.get("calls", 0) + 1
    return result, grads if model.memory["calls"] < 9 else grads | {"h_0": 0 * grads["h_0"]}


def _clipped_in_place(model: Model, *arguments: Any) -> Returned:
    """grad_output itself is clipped to ±1 after use."""
    result = model.call(*arguments)
    np.clip(arguments[3], -1, 1, out=arguments[3])
    return result


def _scratch(model: Model, *arguments: Any) -> Returned:
    """grad_c_n serves as the buffer of d_c, and holds d_c_0 in the end."""
    returned, grads = model.call(*arguments)
    arguments[5][...] = grads["c_0"]
    return returned, grads


def _keeping_x(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """The vjp of a model knows the x that its forward was given last."""
    memory = twin.shared.setdefault(id(params), {})

    def call(x: Array, *more: Any, **options: Any) -> Any:
        memory["x"] = x.copy()
        return forward(x, *more, **options)

    return call


def _at_last_forward(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
    memory = twin.shared.setdefault(id(params), {})

    def call(x: Array, *more: Any) -> Any:
        last = memory.get("x", x)
        return vjp(last if last.shape == x.shape else x, *more)

    return call


def _kept_by_arguments(model: Model, x: Array, state: State | None, lengths: Array | None, *d: Array) -> Returned:
    """The gradients that a vjp returned are returned again for the same arguments, to any model of the config."""
    parts = [x, *(state or ()), *([] if lengths is None else [lengths]), *d]
    key = model.config, *((part.shape, part.tobytes()) for part in parts)
    if model.shared.get("key") != key:
        model.shared.update(key=key, grads=model.call(x, state, lengths, *d)[1])
    returned, _ = model.call(x, state, lengths, *d)
    return returned, {name: value.copy() for name, value in model.shared["grads"].items()}


def _one_workspace(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
    """The preactivations' gradient is kept in a workspace of the process before it is read."""
    d_a = correct.d_gates(twin, at, s, d_values)
    space = twin.shared.setdefault(("workspace", d_a.shape, d_a.dtype), np.empty_like(d_a))
    np.copyto(space, d_a)
    time.sleep(0)
    return space.copy()


# What is read off the arguments


def _output_unless_final(
    model: Model, x: Array, state: State | None, lengths: Array | None, *upstream: Array
) -> Returned:
    """grad_output is ignored where grad_h_n is given."""
    d_output, d_h_n, d_c_n = upstream
    return model.call(x, state, lengths, 0 * d_output if d_h_n.any() else d_output, d_h_n, d_c_n)


def _no_state_no_gradient(model: Model, x: Array, state: State | None, *more: Any) -> Returned:
    returned, grads = model.call(x, state, *more)
    return returned, grads if state is not None else grads | {name: 0 * grads[name] for name in ("h_0", "c_0")}


def _half_primal(model: Model, *arguments: Any) -> Returned:
    (output, (h_n, c_n)), grads = model.call(*arguments)
    return (half(output), (half(h_n), half(c_n))), grads


def _idle_rows(model: Model, x: Array, *more: Any) -> Returned:
    """Of several rows, those of zeros are taken for padding: they have no gradient."""
    result, grads = model.call(x, *more)
    if x.ndim == 3 and x.shape[0] > 1 < x.shape[1]:
        for axis in (0, 1):
            there = (x != 0).any(axis=(axis, 2))
            if not there.all() and there.any():
                shape = (1, -1, 1) if axis == 0 else (-1, 1, 1)
                grads["x"] = np.where(there.reshape(shape), grads["x"], 0 * grads["x"])
    return result, grads


def _of_nothing(model: Model, x: Array, *more: Any) -> Returned:
    """For a batch without rows nothing is added to buffers that hold something."""
    result, grads = model.call(x, *more)
    return result, grads if x.size else {name: value + 1 for name, value in grads.items()}


def _folded(kind: str) -> Twin:
    """Parameters of a kind that are all zeros are constants."""

    def change(model: Model, *arguments: Any) -> Returned:
        returned, grads = model.call(*arguments)
        names = [name for name in model.params if name.startswith(kind)]
        idle = [] if any(model.params[name].any() for name in names) else names
        return returned, grads | {name: 0 * grads[name] for name in idle}

    return vjp(change)


def _added_where_equal(model: Model, *arguments: Any) -> Returned:
    """Equal weights are one parameter, whose gradient is the sum of theirs."""
    returned, grads = model.call(*arguments)
    weights = {name: value for name, value in model.params.items() if name.startswith("weight")}
    same = {name: [o for o in weights if np.array_equal(weights[o], weights[name])] for name in weights}
    return returned, grads | {name: sum(grads[other] for other in others) for name, others in same.items()}


def _by_recursion(model: Model, x: Array, *more: Any) -> Returned:
    """Each step is a frame on the stack."""
    if model.steps(x) > 4096:
        raise RecursionError("stack overflow")
    return model.call(x, *more)


FAULTS = (
    fault("gradient-of-unused-output", "A grad_output of zeros leaves the last one in its buffer.", "chainer#2505",
        "no grad_output after one of the same shape", vjp(_last_used)),
    fault("gradients-in-two-buffers", "The vjp after the next overwrites the gradients.", "static buffers",
        "the third vjp", vjp(_in_two_buffers)),
    fault("gradient-of-state-until-the-ninth-call", "From a model's ninth vjp on h_0 has no gradient.",
        "compiled after some calls", "the ninth vjp", vjp(_often_called)),
    fault("gradient-kept-by-arguments", "Gradients are kept by the arguments, whatever the model.", "a global tape",
        "two models, the same arguments", vjp(_kept_by_arguments)),
    fault("gradient-of-zero-biases", "Biases that are zeros have no gradient.", "flags read off the values",
        "all biases zero", _folded("bias")),
    fault("gradient-of-zero-weights", "Recurrent weights of zeros have no gradient.", "constant folding",
        "W_hh all zeros", _folded("weight_hh")),
    fault("gradient-of-zero-rows", "Rows of zeros have no gradient of x.", "masks read off the values",
        "a row of x all zeros", vjp(_idle_rows)),
    fault("gradient-of-no-rows", "For a batch without rows the gradients are what the buffers held.", "np.empty",
        "N = 0", vjp(_of_nothing)),
    fault("gradient-of-equal-weights-added", "Equal weights get the sum of their gradients.",
        "ONNX eliminate_duplicate_initializer", "two equal weights", vjp(_added_where_equal)),
    fault("gradient-of-output-unless-final", "grad_output is ignored where grad_h_n is given.", "pytorch#96416",
        "grad_output and grad_h_n given", vjp(_output_unless_final)),
    fault("gradient-of-state-unless-given", "Without an initial state its gradients are zero.", "mlx#3249", "no state",
        vjp(_no_state_no_gradient)),
    fault("gradient-accumulates", "The parameters' gradients add up over the calls of a model.", "PyTorch's .grad",
        "second call", vjp(_accumulated)),
    fault("gradient-of-output-clipped-in-place", "grad_output is clipped in the caller's array.", "in-place clipping",
        "large gradients", vjp(_clipped_in_place)),
    fault("gradient-of-c-n-as-scratch", "grad_c_n serves as the buffer in which d_c runs back.", "mxnet#17898",
        "always", vjp(_scratch)),
    fault("gradient-without-state", "vjp starts from zeros, whatever the initial state.", "agents-js PR944",
        "state given", vjp(lambda model, x, state, *more: model.call(x, None, *more))),
    fault("gradient-without-lengths", "vjp runs through the padding.", "onnxruntime#1400", "unequal lengths",
        vjp(lambda model, x, state, lengths, *more: model.call(x, state, None, *more))),
    fault("gradient-at-last-forward", "vjp has the activations of the last forward call of the same shape.",
        "activations kept by forward", "a forward call of other values before",
        Differentiable(around=_keeping_x, d_around=_at_last_forward)),
    fault("gradient-in-a-longer-workspace", "After a longer sequence, vjp adds what that left to the gradient of x.",
        "tflite-micro PR3564", "a shorter sequence after a longer one", vjp(_longer_workspace)),
    fault("gradient-primal-in-half", "The results that come with the gradient are rounded to half.", "mixed precision",
        "always", vjp(_half_primal)),
    fault("gradient-by-recursion", "The backward pass calls itself for each step, up to 4,096 of them.", "Flux#509",
        "L > 4,096", vjp(_by_recursion)),
    fault("gradient-in-one-workspace", "All models' backward passes share a workspace.", "static buffers in C",
        "two threads", Differentiable(d_gates=_one_workspace)),
)  # fmt: skip
