"""Refusals: what an LSTM cannot do, it says, instead of returning numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.case import handed
from conformance.properties.model import prop, undeclared_options
from conformance.recipe import OPTIONS
from conformance.spec import Array, State
from conformance.trial import Discard, Narrowed, Trial, Violation


def _refused(trial: Trial, what: str, x: Array, state: State | None, lengths: Array | None = None) -> None:
    """The call must raise; what it returns instead is the violation."""
    model = trial.model(trial.case)
    try:
        with np.errstate(all="ignore"):
            returned = _call(model, x, state, lengths)
    except (Exception, SystemExit):
        return
    raise Violation(f"{what} was accepted, and {_summary(returned)} returned")


def _call(model: Callable[..., Any], x: Array, state: State | None, lengths: Array | None) -> Any:
    if lengths is not None:
        return model(x, state, lengths=lengths)
    return model(x) if state is None else model(x, state)


def _summary(returned: Any) -> str:
    output = returned[0] if isinstance(returned, tuple | list) and returned else returned
    return f"an output of shape {output.shape}" if isinstance(output, np.ndarray) else f"a {type(output).__name__}"


def _states_of(trial: Trial) -> tuple[Array, State]:
    """The call's x and an initial state that fits."""
    x, state, _ = handed(replace(trial.case, state=trial.case.initial(), lengths=None))
    assert state is not None
    return x, state


@prop("refusals.feature-size", every=8, limit=12)
def feature_size(trial: Trial) -> None:
    """An x with too many or too few features is refused.

    A kernel that trusts the caller reads past a row's end: wrong numbers or a crash.
    """
    x, state, lengths = handed(trial.case)
    if x.shape[-1] > 1 and trial.pick("feature-size", 2):
        wrong = x[..., :-1]
    else:
        wrong = np.concatenate([x, x[..., :1]], axis=-1)
    what = f"an x of {wrong.shape[-1]} features where input_size is {x.shape[-1]}"
    _refused(trial, what, np.ascontiguousarray(wrong), state, lengths)


@prop("refusals.state-shape", needs=("initial_state",), every=8, limit=12)
def state_shape(trial: Trial) -> None:
    """An h_0 or c_0 of another size than the model's is refused.

    The sizes of layers, directions, projection and cell are easily confused, most of all by whoever calls.
    """
    x, (h_0, c_0) = _states_of(trial)
    wrong = (
        ("an h_0 with a feature too many", np.concatenate([h_0, h_0[..., :1]], -1), c_0),
        ("a c_0 with a unit too many", h_0, np.concatenate([c_0, c_0[..., :1]], -1)),
        ("an initial state with a layer too many", *(np.concatenate([part, part[:1]]) for part in (h_0, c_0))),
    )
    # A cell has no layer axis: the suite's loop takes it away.
    what, h, c = wrong[trial.pick("state-shape", 2 if "loop" in trial.backend.lacks else 3)]
    _refused(trial, f"{what} ({h.shape}, {c.shape} for {h_0.shape}, {c_0.shape})", x, (h, c))


@prop(
    "refusals.broadcast-state",
    needs=("initial_state",),
    when=lambda r: not r.unbatched and (r.N > 1 or r.layers > 1 or r.bidirectional),
    every=8,
    limit=12,
)
def broadcast_state(trial: Trial) -> None:
    """An initial state with an axis of one that would broadcast is refused.

    NumPy and torch broadcast silently; one row's state for all rows (opencv#21118) is a defect, not a convenience.
    """
    x, (h_0, c_0) = _states_of(trial)
    axes = [axis for axis in (0, 1) if h_0.shape[axis] > 1]
    if not axes:
        raise Discard
    axis = axes[trial.pick("broadcast", len(axes))]
    state = h_0.take([0], axis), c_0.take([0], axis)
    _refused(trial, f"an initial state of shape {state[0].shape} for {h_0.shape}", x, state)


@prop("refusals.rank", needs=("loop",), every=8, limit=12)
def rank(trial: Trial) -> None:
    """An x with one axis or with four is refused.

    Reshapes that make anything fit turn a caller's slip into wrong numbers.
    """
    x, _, _ = handed(trial.case)
    wrong = x[None, None] if x.ndim == 2 else x[None]
    if trial.pick("rank", 2):
        wrong = x.reshape(-1, x.shape[-1])[0]
    _refused(trial, f"an x of shape {wrong.shape}", np.ascontiguousarray(wrong), None)


@prop(
    "refusals.batch-mismatch",
    needs=("initial_state", "batch"),
    when=lambda r: not r.unbatched,
    every=8,
    limit=12,
)
def batch_mismatch(trial: Trial) -> None:
    """An initial state for another number of rows than x has is refused.

    It happens whenever the last batch of an epoch is smaller.
    """
    x, (h_0, c_0) = _states_of(trial)
    h, c = (np.concatenate([part, part[:, :1]], axis=1) for part in (h_0, c_0))
    _refused(trial, f"an initial state for {h.shape[1]} rows with an x of {h_0.shape[1]}", x, (h, c))


@prop("refusals.undeclared", needs=("undeclared",), every=8, limit=8)
def undeclared(trial: Trial) -> None:
    """An option that the backend does not declare raises, or is right after all; it is never silently ignored.

    openvino#37820 ignored layout=1; pytorch#74953 quantized proj_size away; keras#20588 lost an option in a clone.
    """
    for option in undeclared_options(trial.backend):
        if option == "dropout":
            _dropout(trial)
            continue
        plain = replace(trial.recipe, view="plain", fill="normal", gain=1.0, edits=())
        asked = Trial(trial.backend, OPTIONS[option](plain))
        try:
            if asked.arithmetic is None:
                _ = asked.result
            else:
                asked.require(asked.findings())
        except Discard:
            continue
        except Violation as violation:
            misshapen = "has shape" in str(violation)
            if violation.outcome == "failed" and (misshapen or trial.right()):
                message = f"{option} is not declared, yet accepted: {violation}"
                raise Violation(message, violation.error, asked.case) from None
        except Narrowed:
            continue


def _dropout(trial: Trial) -> None:
    """Dropout in training must not be ignored: the result without dropout, in training, is the sign of that."""
    stacked = Trial(trial.backend, replace(trial.recipe, layers=2, view="plain", fill="normal", gain=1.0, edits=()))
    plain = stacked.case
    dropped = replace(plain, config=replace(plain.config, dropout=0.5, training=True))
    try:
        result = stacked.run(dropped)
    except (Violation, Narrowed):
        return
    pairs = [(a, b) for a, b in zip(result, stacked.result, strict=True) if a is not None and b is not None]
    if all(np.array_equal(a, b) for a, b in pairs):
        raise Violation("dropout is not declared, yet dropout=0.5 in training is accepted and ignored")
