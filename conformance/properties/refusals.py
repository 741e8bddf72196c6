"""Refusals: an LSTM raises an error for a call that makes no sense, instead of returning numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import handed
from conformance.cases.recipe import OPTIONS
from conformance.facts import Misshapen, Outcome
from conformance.properties.batch import take_rows
from conformance.properties.model import ASKED_DTYPES, prop, undeclared_options
from conformance.spec import Array, Result, State
from conformance.trials.outcomes import BackendError, Discard, Narrowed, Violation, within
from conformance.trials.signatures import Unaffordable
from conformance.trials.trial import Trial


def _refused(trial: Trial, what: str, x: Array, state: State | None, lengths: Array | None = None) -> None:
    """The call must raise; a returned result is the violation."""
    model = trial.model(trial.case)
    try:
        with np.errstate(all="ignore"):
            returned = _call(model, x, state, lengths)
    except Discard:
        raise
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


def _states_of(trial: Trial) -> tuple[Array, State, Array | None]:
    """The call's x, an initial state that fits, and the lengths."""
    x, state, lengths = handed(replace(trial.case, state=trial.case.initial()))
    assert state is not None
    return x, state, lengths


@prop("refusals.feature-size", every=8, limit=12, turns=2)
def feature_size(trial: Trial) -> None:
    """An x with too many or too few features is refused.

    A kernel that does not check reads past a row's end: wrong numbers or a crash.
    """
    x, state, lengths = handed(trial.case)
    if x.shape[-1] > 1 and trial.in_turn(("few", "many")) == "few":
        wrong = x[..., :-1]
    else:
        wrong = np.concatenate([x, x[..., :1]], axis=-1)
    what = f"an x of {wrong.shape[-1]} features where input_size is {x.shape[-1]}"
    _refused(trial, what, np.ascontiguousarray(wrong), state, lengths)


@prop("refusals.state-shape", needs=("initial_state",), every=8, limit=12, turns=3)
def state_shape(trial: Trial) -> None:
    """An h_0 or c_0 of another size than the model's is refused.

    Callers easily confuse the sizes of layers, directions, projection and cell.
    """
    x, (h_0, c_0), lengths = _states_of(trial)
    wrong = (
        ("an h_0 with a feature too many", np.concatenate([h_0, h_0[..., :1]], -1), c_0),
        ("a c_0 with a unit too many", h_0, np.concatenate([c_0, c_0[..., :1]], -1)),
        ("an initial state with a layer too many", *(np.concatenate([part, part[:1]]) for part in (h_0, c_0))),
    )
    # A cell has no layer axis: the suite's loop takes it away.
    what, h, c = trial.in_turn(wrong[:2] if "loop" in trial.backend.ruled_out else wrong)
    _refused(trial, f"{what} ({h.shape}, {c.shape} for {h_0.shape}, {c_0.shape})", x, (h, c), lengths)


@prop(
    "refusals.broadcast-state",
    needs=("initial_state",),
    when=lambda r: not r.unbatched and (r.N > 1 or r.layers > 1 or r.bidirectional),
    every=8,
    limit=12,
    turns=2,
)
def broadcast_state(trial: Trial) -> None:
    """An initial state with an axis of one that would broadcast is refused.

    NumPy and torch broadcast silently; one row's state for all rows (opencv#21118) is a defect, not a convenience.
    """
    x, (h_0, c_0), lengths = _states_of(trial)
    axes = [axis for axis in (0, 1) if h_0.shape[axis] > 1]
    if not axes:
        raise Discard
    axis = trial.in_turn(axes)
    state = h_0.take([0], axis), c_0.take([0], axis)
    _refused(trial, f"an initial state of shape {state[0].shape} for {h_0.shape}", x, state, lengths)


@prop("refusals.input-dtype", needs=("values", "views"), every=8, limit=12, turns=2)
def input_dtype(trial: Trial) -> None:
    """An x or a state of another floating dtype than the model's is refused, or its values are read correctly.

    A kernel that gets a pointer takes the bytes of a float64 array for twice as many float32 numbers.
    """
    own = trial.case.x.dtype
    other = np.dtype("float32" if own == "float64" else "float64")

    def exact(values: Array) -> Array:
        # Values that both dtypes have, so that there is one right answer.
        return values.astype("float32").astype(own)

    given = trial.case.state
    case = replace(trial.case, x=exact(trial.case.x), state=given and (exact(given[0]), exact(given[1])))
    of_state = given is not None and trial.in_turn((True, False))

    def converted(k: int) -> Result:
        prefix = case.prefix(k)
        x, state, lengths = handed(replace(prefix, view="plain"))
        if state is not None and of_state:
            state = state[0].astype(other), state[1].astype(other)
        else:
            x = x.astype(other)
        return trial.run(prefix, arguments=(x, state, lengths))

    try:
        converted(case.config.num_layers)
    except (BackendError, Narrowed):
        return
    trial.require_same(converted, case)


@prop("refusals.rank", needs=("loop",), every=8, limit=12, turns=2)
def rank(trial: Trial) -> None:
    """An x with one axis or with four is refused.

    A reshape that makes anything fit turns a caller's slip into wrong numbers.
    """
    x, _, _ = handed(trial.case)
    wrong = x[None, None] if x.ndim == 2 else x[None]
    if trial.in_turn(("many", "one")) == "one":
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

    It happens if the last batch of an epoch is smaller. torch.nn.LSTM itself overlooks it in a PackedSequence.
    """
    x, (h_0, c_0), lengths = _states_of(trial)
    h, c = (np.concatenate([part, part[:, :1]], axis=1) for part in (h_0, c_0))
    _refused(trial, f"an initial state for {h.shape[1]} rows with an x of {h_0.shape[1]}", x, (h, c), lengths)


@prop("refusals.lengths", needs=("lengths",), when=lambda r: r.ragged, every=8, limit=6)
def lengths(trial: Trial) -> None:
    """Lengths beyond L, negative ones, too many or too few of them, and any for an unbatched call are refused.

    Packing in torch drops the rows that a short array of lengths leaves out; x[:length] takes −1 for the end.
    """
    case = trial.case
    x, state, given = handed(replace(case, view="plain"))
    assert given is not None
    row = trial.pick("row", case.batch)
    beyond, negative = given.copy(), given.copy()
    beyond[row], negative[row] = case.steps + 1 + trial.pick("beyond", 3), -1
    asked = [
        (f"a length of {beyond[row]} where L is {case.steps}", x, state, beyond),
        ("a length of -1", x, state, negative),
        (f"{len(given) + 1} lengths for {len(given)} rows", x, state, np.append(given, given[:1])),
    ]
    if case.batch > 1:
        asked.append((f"{len(given) - 1} lengths for {len(given)} rows", x, state, given[:-1]))
    if trial.backend.capabilities.unbatched:
        alone = replace(take_rows(case, [row]), unbatched=True, view="plain")
        asked.append(("a length for an unbatched sequence", *handed(alone)))
    for wrong in [*asked[:2], *trial.few(asked[2:])]:
        _refused(trial, *wrong)


@prop("refusals.then-right", needs=("loop", "values"), limit=12, turns=2)
def then_right(trial: Trial) -> None:
    """A refused call leaves nothing behind: the same model is as right as before.

    If a state is stored before the input is checked, the next call starts from it.
    """
    case, model = trial.case, trial.model(trial.case)
    x, state, lengths = handed(case)
    if trial.backend.capabilities.initial_state:
        other = trial.derived(seed=trial.recipe.seed + 1, fill="normal", state="both").case
        state = handed(replace(other, view="plain"))[1]
    wide = np.ascontiguousarray(np.concatenate([x, x[..., :1]], axis=-1))
    # Whether it is refused is asked by another property.
    with suppress(BackendError, Narrowed):
        trial.call(case, model, (wide, state, lengths))
    after = replace(case, state=None) if trial.in_turn((True, False)) else case
    trial.require_same_result(trial.run(after, model), after)


@prop("refusals.undeclared", needs=("undeclared",), every=8, limit=8)
def undeclared(trial: Trial) -> None:
    """An option that the backend does not declare raises or is right; it is never silently ignored.

    openvino#37820 ignored layout=1; pytorch#74953 quantized proj_size away; keras#20588 lost an option in a clone.
    """
    for option in undeclared_options(trial.backend):
        if option == "dropout":
            _dropout(trial)
            continue
        ordinary = replace(trial.recipe, view="plain", fill="normal", gain=1.0, edits=())
        recipe = replace(ordinary, dtype=option) if option in ASKED_DTYPES else OPTIONS[option](ordinary)
        asked = Trial(trial.backend, recipe)
        try:
            if option in ASKED_DTYPES:
                _dtype_kept(asked)
            if asked.arithmetic is None:
                _ = asked.result
            else:
                asked.require(asked.findings())
        except Unaffordable:
            raise
        except Discard:
            continue
        except Violation as violation:
            misshapen = isinstance(violation.fact, Misshapen)
            if violation.outcome == Outcome.FAILED and (misshapen or trial.right()):
                with within(f"{option} is not declared, yet accepted", asked.case):
                    raise
        except Narrowed:
            continue


def _dtype_kept(asked: Trial) -> None:
    """Results of another dtype than the one asked for say that it was ignored."""
    for name, part in zip(Result._fields, asked.call(asked.case), strict=True):
        if part is not None and part.dtype != asked.case.config.dtype:
            raise Violation(f"{name} has dtype {part.dtype}", case=asked.case)


def _dropout(trial: Trial) -> None:
    """Dropout in training must not be ignored: the result without dropout, in training, is the sign of that."""
    stacked = Trial(trial.backend, replace(trial.recipe, layers=2, view="plain", fill="normal", gain=1.0, edits=()))
    case = stacked.case
    dropped = replace(case, config=replace(case.config, dropout=0.5, training=True))
    try:
        result = stacked.run(dropped)
    except (Violation, Narrowed):
        return
    pairs = [(a, b) for a, b in zip(result, stacked.result, strict=True) if a is not None and b is not None]
    if all(np.array_equal(a, b) for a, b in pairs):
        raise Violation("dropout is not declared, yet dropout=0.5 in training is accepted and ignored")
