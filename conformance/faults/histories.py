"""Faults of a model's earlier calls, in training and of ``vjp``: what one leaves to a later one of another kind."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import Model, Results, called
from conformance.faults.backward import Differentiable
from conformance.faults.dropout import masked
from conformance.faults.fault import CALLS, DROPOUT, FULL, THREADS, Fault
from conformance.faults.gradient_calls import Returned, vjp
from conformance.faults.gradients import DIFFERENTIABLE, fault
from conformance.faults.memory import first_alone
from conformance.faults.twin import Place, Twin, drop
from conformance.spec import Array, State

_TRAINED = replace(FULL, dropout=True)
_WITH_DROPOUT = replace(DIFFERENTIABLE, dropout=True)

# vjp after vjp


def _rows_of_first(model: Model, x: Array, *more: Any) -> Returned:
    """What the backward pass needs is kept for as many rows as the first vjp had."""
    result, grads = model.call(x, *more)
    kept = model.memory.setdefault("rows", model.rows(x))
    axis = 0 if model.config.batch_first else 1
    if x.ndim == 3 and kept and kept < model.rows(x):
        rest = [slice(None)] * 3
        rest[axis] = slice(kept[0], None)
        grads["x"] = grads["x"].copy()
        grads["x"][tuple(rest)] = 0
    return result, grads


def _lengths_stay(model: Model, x: Array, state: State | None, lengths: Array | None, *d: Array) -> Returned:
    """The backward pass has the last lengths where none are given and the shape is the same."""
    result, grads = model.call(x, state, lengths, *d)
    last = model.memory.get(x.shape)
    if lengths is not None:
        model.memory[x.shape] = lengths.copy()
    return result, grads if lengths is not None or last is None else model.call(x, state, last, *d)[1]


def _plan_by_rows(model: Model, x: Array, *more: Any) -> Returned:
    """A plan of the backward pass is kept for each number of rows, with the steps of the first call."""
    result, grads = model.call(x, *more)
    steps = model.memory.setdefault(model.rows(x), model.steps(x))
    if steps < model.steps(x):
        time = grads["x"].swapaxes(0, 1) if model.config.batch_first and x.ndim == 3 else grads["x"]
        time = time.copy()
        time[steps:] = 0
        grads["x"] = time.swapaxes(0, 1) if model.config.batch_first and x.ndim == 3 else time
    return result, grads


def _traced_without_state(model: Model, x: Array, state: State | None, *more: Any) -> Returned:
    """The graph of the first vjp is kept: if it had no state, that of a later one has no gradient."""
    result, grads = model.call(x, state, *more)
    given_first = model.memory.setdefault("given", state is not None)
    return result, grads if given_first or state is None else grads | {name: 0 * grads[name] for name in ("h_0", "c_0")}


def _zeros_for_first_rows(model: Model, x: Array, state: State | None, *more: Any) -> Returned:
    """The zeros that stand for no state are kept: they have no gradient for rows beyond the first such vjp's."""
    result, grads = model.call(x, state, *more)
    if state is None and x.ndim == 3:
        rows = model.memory.setdefault("zeros", model.rows(x)[0])
        grads |= {
            name: np.where(np.arange(model.rows(x)[0])[:, None] < rows, grads[name], 0) for name in ("h_0", "c_0")
        }
    return result, grads


def _unbatched_stays(model: Model, x: Array, *more: Any) -> Returned:
    """After an unbatched vjp the gradients of the weights are the first row's, of no use to a batch."""
    result, grads = model.call(x, *more)
    if x.ndim == 2:
        model.memory["single"] = True
    elif model.memory.get("single"):
        grads = grads | {"weight_ih_l0": 0 * grads["weight_ih_l0"]}
    return result, grads


def _kept_uncopied(model: Model, *arguments: Any) -> Returned:
    """The gradients of the same arguments are found again, the very arrays that were returned."""
    x, state, lengths, *d = arguments
    parts = [x, *(state or ()), *([] if lengths is None else [lengths]), *d]
    key = tuple((part.shape, part.tobytes()) for part in parts)
    if model.memory.get("key") != key:
        model.memory.update(key=key, returned=model.call(*arguments))
    return model.memory["returned"]


def _first_of_broadcast(model: Model, x: Array, state: State | None, lengths: Array | None, *d: Array) -> Returned:
    """Of a grad_output that is broadcast over time or rows only the first is read."""
    d_output, *finals = d
    for axis in (0, 1):
        d_output = first_alone(axis)(d_output)
    return model.call(x, state, lengths, d_output, *finals)


# Training


def _lengths_stay_in_training(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """In training a call without lengths has those of the last call of its shape."""
    if model.config.training:
        if lengths is None:
            lengths = model.memory.get(x.shape)
        else:
            model.memory[x.shape] = lengths.copy()
    return model.call(x, state, lengths)


def _ragged_plan_by_rows(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """A plan for unequal lengths is kept for each number of rows, with the steps of the first call."""
    if lengths is not None and lengths.min() < model.steps(x):
        lengths = np.minimum(lengths, model.memory.setdefault(model.rows(x), model.steps(x)))
    return model.call(x, state, lengths)


def _ragged_rows_of_first(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """With lengths, a batch has as many rows as the first one that had any: further ones put out zeros."""
    output, finals = model.call(x, state, lengths)
    if lengths is not None:
        rows = model.memory.setdefault("rows", len(lengths))
        output = output.copy()
        (output if model.config.batch_first else output.swapaxes(0, 1))[rows:] = 0
    return output, finals


def _lengths_of_the_last_caller(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """Lengths belong to the model: a call reads those of the call that began last."""
    model.memory["lengths"] = lengths
    # As a kernel does that lets other threads go on.
    time.sleep(1e-3)
    return model.call(x, state, model.memory["lengths"])


def _gradients_of_the_last_caller(model: Model, *call: Any) -> Returned:
    """The parameters' gradients lie in buffers of the model: a vjp returns those of the one that ended last."""
    result, grads = model.call(*call)
    model.memory["grads"] = {name: value for name, value in grads.items() if name in model.params}
    time.sleep(1e-3)
    return result, {**grads, **model.memory["grads"]}


def _mask_of_first_rows(twin: Twin, at: Place, below: Array) -> Array:
    """The mask is as large as the first call's, and what lies beyond it is kept."""
    p = at.config.dropout
    if not at.config.training or not p:
        return below
    rows = twin.shared.setdefault((at.config, at.layer), below.shape[1])
    dropped = masked(below[:, :rows], p, 1 / (1 - p) if p < 1 else 0.0)
    return np.concatenate([dropped, below[:, rows:]], axis=1)


def _first_backward_mask(twin: Differentiable, at: Place, mask: Array, d_sequence: Array) -> Array:
    """The backward pass keeps the mask of the first vjp of a shape."""
    kept = twin.shared.setdefault((at.config, at.layer, mask.shape), mask)
    return correct.d_drop(twin, at, kept, d_sequence)


def _drawn_into_the_model(twin: Twin, at: Place, below: Array) -> Array:
    """The model has one place for each layer's mask."""
    twin.shared[at.config, at.layer] = mask = drop(twin, at, below)
    return mask


def _mask_of_the_last_caller(twin: Differentiable, at: Place, mask: Array, d_sequence: Array) -> Array:
    """The backward pass has the mask of the call of its model that drew last."""
    time.sleep(1e-3)
    return correct.d_drop(twin, at, twin.shared[at.config, at.layer - 1], d_sequence)


FAULTS = (
    fault("gradient-rows-of-first-call", "Rows beyond those of a model's first vjp have no gradient of x.",
        "buffers sized by the first call", "a vjp of more rows than the first", vjp(_rows_of_first)),
    fault("gradient-lengths-stay", "A vjp without lengths has those of the last one of its shape.",
        "descriptors that are kept", "a vjp without lengths after one with lengths", vjp(_lengths_stay)),
    fault("gradient-plan-by-rows", "A plan is kept for each N: steps beyond the first one's have no gradient of x.",
        "caches by a part of the shape", "the same N and more steps", vjp(_plan_by_rows)),
    fault("gradient-graph-without-state", "After a first vjp without a state no state has a gradient.",
        "graphs traced once", "a vjp with a state after one without", vjp(_traced_without_state)),
    fault("gradient-zeros-of-first-rows", "Without a state, rows past the first such vjp's give h_0 no gradient.",
        "zeros kept in place of a state", "no state, more rows than in the first vjp without one",
        vjp(_zeros_for_first_rows)),
    fault("gradient-after-unbatched", "After an unbatched vjp a batch gives W_ih no gradient.", "flags that are kept",
        "a batch after an unbatched vjp", vjp(_unbatched_stays)),
    fault("gradients-kept-uncopied", "For the same arguments the very arrays returned before are returned again.",
        "memoisation", "gradients changed in place, the same vjp again", vjp(_kept_uncopied)),
    fault("gradient-of-first-broadcast", "Of a grad_output that is broadcast only the first step and row are read.",
        "expanded tensors", "grad_output of stride 0", vjp(_first_of_broadcast)),
    Fault("lengths-stay-in-training", "In training a call without lengths has those of the last call of its shape.",
        "descriptors that are kept", "training, no lengths after unequal ones", CALLS,
        called(_lengths_stay_in_training), _TRAINED),
    Fault("ragged-plan-by-rows", "A plan for lengths is kept for each N: rows end with the steps of the first call.",
        "caches by a part of the shape (tensorflow#41832)", "unequal lengths, the same N and more steps", CALLS,
        called(_ragged_plan_by_rows), _TRAINED),
    Fault("ragged-rows-of-first-call", "With lengths, rows beyond those of the first such call put out zeros.",
        "pytorch#15319", "unequal lengths, more rows than in the first call with lengths", CALLS,
        called(_ragged_rows_of_first), _TRAINED),
    Fault("lengths-of-the-last-caller", "A call has the lengths of the call of its model that began last.",
        "onnxruntime#1544", "two threads in one model", THREADS, called(_lengths_of_the_last_caller), _TRAINED),
    fault("gradients-of-the-last-caller", "A vjp returns the parameters' gradients of the one that ended last.",
        "libxsmm#274", "two threads in one model", vjp(_gradients_of_the_last_caller)),
    Fault("dropout-mask-of-first-rows", "Rows beyond those of the first call are not dropped.",
        "masks kept from the first call", "training, more rows than in the first call", DROPOUT,
        Twin(drop=_mask_of_first_rows), _TRAINED),
    fault("gradient-dropout-first-backward-mask", "The backward pass keeps the mask of the first vjp of a shape.",
        "kept masks", "training, second vjp", Differentiable(d_drop=_first_backward_mask), _WITH_DROPOUT),
    fault("gradient-dropout-mask-of-the-last-caller", "The backward pass has the mask that its model drew last.",
        "keras#17612", "training, two threads in one model",
        Differentiable(drop=_drawn_into_the_model, d_drop=_mask_of_the_last_caller), _WITH_DROPOUT),
)  # fmt: skip
