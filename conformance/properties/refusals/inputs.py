"""An x of a shape or a dtype that does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.bounds.rounding import arithmetic
from conformance.cases.case import handed
from conformance.properties.model import prop
from conformance.properties.refusals.shared import refused
from conformance.spec import Array, Result, State
from conformance.trials.outcomes import BackendError, Discard, Narrowed, within
from conformance.trials.trial import Trial


@prop(
    "refusals.feature-size",
    every=8,
    limit=12,
    turns=3,
    fails="accepts an x with another number of features",
)
def feature_size(trial: Trial) -> None:
    """An x with too many features, too few, or a single one that would broadcast, is refused.

    A kernel that does not check reads past a row's end: wrong numbers or a crash.
    """
    x, state, lengths = handed(trial.case)
    wrong = [np.concatenate([x, x[..., :1]], axis=-1)]
    # Where each costs a compilation, the one that another property asks for as well.
    if x.shape[-1] > 1 and not trial.backend.capabilities.compiled:
        wrong = [x[..., :-1], *wrong, x[..., :1]]
    given = np.ascontiguousarray(trial.in_turn(wrong))
    what = f"an x of {given.shape[-1]} features where input_size is {x.shape[-1]}"
    refused(trial, what, given, state, lengths)


@prop("refusals.rank", needs=("loop",), every=8, limit=12, turns=3, fails="accepts an x with too many or too few axes")
def rank(trial: Trial) -> None:
    """An x with one axis or with four is refused.

    A reshape that makes anything fit turns a caller's slip into wrong numbers.
    """
    x, _, _ = handed(trial.case)
    many = x[None, None] if x.ndim == 2 else x[None]
    wrong = trial.in_turn((many, x.reshape(-1, x.shape[-1])[0], x[..., None] if x.ndim == 3 else x[..., None, None]))
    refused(trial, f"an x of shape {wrong.shape}", np.ascontiguousarray(wrong), None)


@prop("refusals.reshaped-x", needs=("loop",), every=8, limit=12, fails="accepts an x with its axes exchanged")
def reshaped_x(trial: Trial) -> None:
    """An x with the right numbers under another shape is refused, where features, state or lengths contradict it.

    Time and batch are exchanged easily, and an x of (N, L, I) is a right call by itself: only the other arguments tell.
    """
    case = trial.case
    x, state, lengths = handed(case)
    features = x.shape[-1]
    alone: dict[str, Array] = {"features first": np.moveaxis(x, -1, 0), "one axis": x.reshape(-1)}
    if x.ndim == 3:
        alone["rows beside each other"] = x.reshape(len(x), -1)
    found: dict[str, tuple[Array, State | None, Array | None]] = {
        what: (value, state, lengths) for what, value in alone.items() if value.shape[-1] != features or value.ndim == 1
    }
    if trial.backend.capabilities.initial_state:
        _, state, _ = handed(replace(case, state=case.initial()))
    if x.ndim == 3 and state is not None:
        found["steps and rows as one axis"] = x.reshape(-1, features), state, None
    if case.steps != case.batch and x.ndim == 3 and (state is not None or lengths is not None):
        found["time and batch exchanged"] = x.swapaxes(0, 1), state, lengths
    if not found:
        raise Discard
    for what in trial.few([*found]):
        wrong, state, lengths = found[what]
        beside = "" if state is None else " beside a state"
        told = f"an x with {what}, {wrong.shape} for {x.shape}{beside},"
        refused(trial, told, np.ascontiguousarray(wrong), state, lengths)


@prop(
    "refusals.input-dtype",
    needs=("values", "views"),
    every=8,
    limit=12,
    turns=2,
    fails="misreads an x or a state of another dtype",
)
def input_dtype(trial: Trial) -> None:
    """An x or a state of another floating dtype than the model's is refused, or its values are read correctly.

    A kernel that gets a pointer takes the bytes of a float64 array for twice as many float32 numbers. An answer that is
    computed in either of both dtypes is right.
    """
    own = trial.case.x.dtype
    other = np.dtype("float32" if own == "float64" else "float64")

    def exact(values: Array) -> Array:
        # Numbers that both dtypes have, so that there is one right answer.
        return values.astype("float32").astype(own)

    given = trial.case.state
    asked = trial.derived()
    asked.case = case = replace(
        trial.case,
        # Weights that are baked in stay as they are.
        params=trial.case.params if trial.case.fixed else {k: exact(value) for k, value in trial.case.params.items()},
        x=exact(trial.case.x),
        state=given and (exact(given[0]), exact(given[1])),
    )
    if own == "float64":
        asked.arithmetic = arithmetic("float32", trial.backend.capabilities.arithmetic)
        if asked.arithmetic is None:
            raise Discard
    of_state = given is not None and trial.in_turn((True, False))

    def converted(k: int) -> Result:
        prefix = case.prefix(k)
        x, state, lengths = handed(replace(prefix, view="plain"))
        if state is not None and of_state:
            state = state[0].astype(other), state[1].astype(other)
        else:
            x = x.astype(other)
        return asked.run(prefix, arguments=(x, state, lengths))

    try:
        converted(case.config.num_layers)
    except (BackendError, Narrowed):
        return
    with within(f"with {'a state' if of_state else 'an x'} of {other} for a model of {own}", case):
        asked.require_same(converted, case)
