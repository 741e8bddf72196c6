"""Faults of the smallest sizes: one step, row, unit or feature, and calls in which there is nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.conventions.layouts import results
from conformance.faults import twin as correct
from conformance.faults.alter import Model, Results, beyond, called, given, made, past, zeros
from conformance.faults.fault import DEGENERATE, Fault
from conformance.faults.sizes import ROWS, without
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, State

# One


def squeezed(axis_of: Callable[[LSTMConfig, Array], int | None]) -> Twin:
    """An axis of one lost from the output."""

    def change(model: Model, *call: Any) -> Results:
        output, finals = model.call(*call)
        axis = axis_of(model.config, output)
        return (output if axis is None or output.shape[axis] != 1 else output.squeeze(axis)), finals

    return called(change)


def unbatched_as_rows(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
    """(L, I) is read as L rows of one step."""
    if x.ndim == 3:
        return model.call(x, state, lengths)
    if state is not None:
        state = np.repeat(state[0][:, None], len(x), 1), np.repeat(state[1][:, None], len(x), 1)
    time_major = Twin().build(replace(model.config, batch_first=False), model.params)
    output, (h_n, c_n) = time_major(x[None], state)
    return output[0], (h_n[:, -1], c_n[:, -1])


def _one_row_unbiased(at: Place, w: Weights, x: Array, h: Array) -> tuple[Weights, Array, Array]:
    return {**w, "bias_hh": 0 * w["bias_hh"]} if len(x) == 1 and "bias_hh" in w else w, x, h


def _row_lost(part: Array) -> Array:
    return part.squeeze(1) if part.shape[1] == 1 else part


def _summed_unweighted(twin: Twin, at: Place, w: Weights, m: Array) -> Array:
    return m.sum(axis=1, keepdims=True) if at.config.proj_size == 1 else correct.project(twin, at, w, m)


# Nothing


def without_steps(answer: Callable[[Model, Array, State], Results]) -> Twin:
    """The result of a call of no steps, from its x with a step of zeros and its initial state."""

    def change(model: Model, x: Array, state: State | None, lengths: Array | None) -> Results:
        if model.steps(x):
            return model.call(x, state, lengths)
        time = int(model.config.batch_first and x.ndim == 3)
        one_step = np.zeros((*x.shape[:time], 1, *x.shape[time + 1 :]), x.dtype)
        return answer(model, one_step, model.state(x) if state is None else state)

    return called(change)


def _emptied(output: Array, model: Model) -> Array:
    return output.take(np.zeros(0, np.int64), axis=0 if output.ndim == 2 else int(model.config.batch_first))


def without_rows(change: Callable[[Array], Array]) -> Twin:
    """The final states of a call of no rows changed."""

    def finals(model: Model, x: Array, *more: Any) -> Results:
        output, (h_n, c_n) = model.call(x, *more)
        return output, (h_n, c_n) if model.rows(x) != (0,) else (change(h_n), change(c_n))

    return called(finals)


def _one_row(part: Array) -> Array:
    return np.zeros((len(part), 1, part.shape[2]), part.dtype)


def _workspace_of_no_steps(model: Model, x: Array, *more: Any) -> Results:
    """An empty call clears what the recurrence needs, and it is not made again."""
    model.memory["cleared"] = model.memory.get("cleared", False) or x.size == 0
    if not model.memory["cleared"]:
        return model.call(x, *more)
    params = {name: 0 * value if name.startswith("weight_hh") else value for name, value in model.params.items()}
    return Twin().build(model.config, params)(x, *more)


FAULTS = (
    Fault("one-step-ignores-h-0", "A sequence of one step skips the recurrent product.", "keras PR7387",
        "L = 1, h_0 given", DEGENERATE, without("weight_hh", lambda at: at.steps == 1)),
    Fault("one-step-reverse-not-run", "The reverse direction of one step gives zeros.", "keras PR7387",
        "bidirectional, L = 1", DEGENERATE, beyond(ROWS, past(0), zeros, lambda at: at.direction == at.steps == 1)),
    Fault("one-step-squeezed", "The time axis of one step is lost from the output.", "keras PR7387", "L = 1",
        DEGENERATE, squeezed(lambda config, y: 1 if config.batch_first and y.ndim == 3 else 0)),
    Fault("unbatched-step-squeezed", "The time axis of one step is lost from an unbatched output.", "keras PR7387",
        "unbatched, L = 1", DEGENERATE, squeezed(lambda config, y: 0 if y.ndim == 2 else None)),
    Fault("one-row-misses-recurrent-bias", "The path for one row misses b_hh.", "GEMV paths", "N = 1, with bias",
        DEGENERATE, given("preactivations", _one_row_unbiased)),
    Fault("one-row-squeezed", "The batch axis of one row is lost from the output.", "keras PR7387", "N = 1", DEGENERATE,
        squeezed(lambda config, y: None if y.ndim == 2 else 0 if config.batch_first else 1)),
    Fault("final-states-of-one-row-squeezed", "The batch axis of one row is lost from h_n and c_n.", "keras PR7387",
        "N = 1", DEGENERATE,
        Twin(transform=results(h_n=lambda config, r: _row_lost(r.h_n), c_n=lambda config, r: _row_lost(r.c_n)))),
    Fault("one-unit-misses-recurrence", "A model of one unit skips the recurrent product.", "onnxruntime PR6238",
        "H = 1", DEGENERATE, without("weight_hh", lambda at: at.config.hidden_size == 1)),
    Fault("one-feature-broadcast", "One input feature is summed over the rows instead of multiplied row by row.",
        "NumPy broadcasting", "I = 1, N > 1", DEGENERATE,
        made("feed", lambda at, v: np.broadcast_to(v.mean(axis=1, keepdims=True), v.shape) if v.shape[2] == 1 else v)),
    Fault("one-projected-unit-summed", "A projection to one unit adds up its inputs unweighted.", "NumPy broadcasting",
        "projection to 1", DEGENERATE, Twin(project=_summed_unweighted)),
    Fault("unbatched-as-rows", "(L, I) is read as L rows of one step.", "keras PR7387", "unbatched, L > 1", DEGENERATE,
        called(unbatched_as_rows)),
    Fault("no-steps-forget-h-0", "After no steps h_n and c_n are zeros, whatever the initial state was.",
        "pytorch#50192", "L = 0, state given", DEGENERATE,
        without_steps(lambda model, x, s: (_emptied(model.call(x, s)[0], model), (0 * s[0], 0 * s[1])))),
    Fault("no-steps-run-one", "A sequence without steps is run as one step of zeros.", "do-while loops", "L = 0",
        DEGENERATE, without_steps(lambda model, x, s: model.call(x, s))),
    Fault("no-steps-move-the-state", "A sequence without steps has an empty output, and a state one step on.",
        "do-while loops", "L = 0", DEGENERATE,
        without_steps(lambda model, x, s: (_emptied(model.call(x, s)[0], model), model.call(x, s)[1]))),
    Fault("no-rows-give-one", "A batch without rows gives the final states of one row of zeros.", "onnxruntime PR6238",
        "N = 0", DEGENERATE, without_rows(_one_row)),
    Fault("no-rows-squeezed", "The batch axis of no rows is lost from h_n and c_n.", "keras PR7387", "N = 0",
        DEGENERATE, without_rows(lambda part: part.reshape(len(part), -1))),
    Fault("empty-call-clears-workspace", "After a call without rows or steps the recurrent weights are gone.",
        "workspaces sized by the call", "a call after an empty one", DEGENERATE, called(_workspace_of_no_steps)),
)  # fmt: skip
