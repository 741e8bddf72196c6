"""What every refusal asks: that a call raises, and wrong shapes of an array that would fit another one by force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import handed
from conformance.spec import Array, State
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

#: Wrong arrays in place of a right one, by what is wrong with them.
Wrong = dict[str, Array]


def refused(trial: Trial, what: str, x: Array, state: State | None, lengths: Array | None = None) -> None:
    """The call must raise; a returned result is the violation."""
    model = trial.model(trial.case)
    must_raise(what, lambda: _call(model, x, state, lengths))


def must_raise(what: str, call: Callable[[], Any]) -> None:
    """``call`` must raise; a returned result is the violation, told by what is wrong with the call."""
    try:
        with np.errstate(all="ignore"):
            returned = call()
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


def states_of(trial: Trial) -> tuple[Array, State, Array | None]:
    """The call's x, an initial state that fits, and the lengths."""
    x, state, lengths = handed(replace(trial.case, state=trial.case.initial()))
    assert state is not None
    return x, state, lengths


def ones(part: Array) -> Wrong:
    """A single element along an axis that has more, and a single number: they would broadcast."""
    axes = [axis for axis in range(part.ndim) if part.shape[axis] > 1]
    return {
        **{f"axis {axis} of one": part.take([0], axis) for axis in axes},
        "a single number": part.reshape(-1)[:1].reshape(()),
    }


def feature_more_or_less(part: Array) -> Wrong:
    """A feature or unit too many, and one too few."""
    return {"a feature too many": np.concatenate([part, part[..., :1]], -1), "a feature too few": part[..., :-1]}


def resized(part: Array) -> Wrong:
    """The same, and a layer too many or too few."""
    layers = {"a layer too many": np.concatenate([part, part[:1]]), "a layer too few": part[:-1]}
    return feature_more_or_less(part) | layers


def reordered(part: Array) -> Wrong:
    """The same numbers with axes in another order, or fewer axes: they would fit after a reshape."""
    pairs = [(a, b) for b in range(part.ndim) for a in range(b)]
    swapped = {f"axes {a} and {b} exchanged": np.ascontiguousarray(part.swapaxes(a, b)) for a, b in pairs}
    merged = {"its first axes as one": part.reshape(-1, part.shape[-1])} if part.ndim > 2 else {}
    return {**swapped, **merged, "no axes but one": part.reshape(-1)}


def with_ones(part: Array) -> Wrong:
    """The same numbers with an axis of one more or less."""
    more = {"an axis more in front": part[None], "an axis more at the end": part[..., None]}
    axes = [axis for axis in range(part.ndim) if part.shape[axis] == 1]
    return {**more, **{f"its axis {axis} of one left out": part.squeeze(axis) for axis in axes}}
