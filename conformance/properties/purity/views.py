"""How the arguments lie in memory changes nothing: strides, offsets, broadcast axes, write protection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import arrange, handed
from conformance.cases.recipe import VIEWS, Recipe
from conformance.properties.model import prop
from conformance.properties.purity.calls import as_copied, still_right
from conformance.trials.calls import call
from conformance.trials.trial import Trial

#: Views that are C-contiguous, and those that are not.
_SOLID = ("plain", "offset", "readonly")
_LOOSE = tuple(view for view in VIEWS if view not in _SOLID)


def _seen_through(trial: Trial, *views: str) -> None:
    """A call whose arrays lie in memory as one of ``views`` says gives what plain arrays give."""
    view = views[trial.pick("view", len(views))]
    plain = trial.derived(view="plain")
    still_right(plain, plain.run(replace(plain.case, view=view)))


@prop("purity.non-contiguous", needs=("views", "values"))
def non_contiguous(trial: Trial) -> None:
    """Transposed inputs, and those with gaps between features, rows or steps, give what contiguous ones give.

    pytorch#345 and #619: non-contiguous input, wrong result.
    """
    _seen_through(trial, "transposed", "strided", "gapped")


@prop("purity.mixed-views", needs=("views", "values", "initial_state"), when=lambda r: r.state != "none")
def mixed_views(trial: Trial) -> None:
    """x, h_0, c_0 and the lengths may each lie in memory in a way of its own.

    Code that looks at one array's strides and takes the others for alike is right where all are alike.
    """
    plain = trial.derived(view="plain")
    case = plain.case
    x, state, lengths = handed(case)
    assert state is not None
    x = arrange(x, VIEWS[trial.pick("view of x", len(VIEWS))])
    lengths = None if lengths is None else arrange(lengths, "strided")
    # One contiguous, the other not.
    solid, loose = _SOLID[trial.pick("solid", len(_SOLID))], _LOOSE[trial.pick("loose", len(_LOOSE))]
    for views in ((solid, loose), (loose, solid)):
        h_0, c_0 = (arrange(part, view) for part, view in zip(state, views, strict=True))
        still_right(plain, plain.checked(case, call(plain.model(case), case, x, (h_0, c_0), lengths)))


def _rows_with_state(recipe: Recipe) -> bool:
    return recipe.state != "none" and recipe.N > 1


@prop("purity.broadcast-state", needs=("views", "values", "batch", "initial_state"), when=_rows_with_state)
def broadcast_state(trial: Trial) -> None:
    """An initial state that is broadcast over rows, or layers too, or one array for both, gives what copies of it give.

    ``h_0.expand(…)`` is how a learnt initial state is handed over: its stride over the rows is 0, and it is read-only.
    ``(zeros, zeros)`` is how many tutorials write the state.
    """
    slots = (slice(None), slice(1))[trial.recipe.seed % 2]
    h_0, c_0 = (np.broadcast_to(part[slots, :1], part.shape) for part in trial.case.initial())
    if h_0.shape == c_0.shape and trial.pick("one array", 2):
        c_0 = h_0 = trial.case.initial()[trial.pick("which", 2)].copy()
    case = replace(trial.case, state=(h_0.copy(), c_0.copy()))
    x, _, lengths = handed(case)
    result = trial.checked(case, call(trial.model(case), case, x, (h_0, c_0), lengths))
    as_copied(trial, case, result)


@prop("purity.broadcast-input", needs=("views", "values"), when=lambda r: r.L > 1 or r.N > 1)
def broadcast_input(trial: Trial) -> None:
    """An x that is one step for all, or one row for all, gives what copies of it give.

    A context vector is handed over at every step as a broadcast array: its stride over time is 0, and it is read-only.
    """
    case = trial.case
    over_time = case.steps > 1 and (case.batch == 1 or trial.pick("over time", 2) == 1)
    case = replace(case, x=np.repeat(case.x[:1], case.steps, 0) if over_time else case.x[:, :1].repeat(case.batch, 1))
    x, state, lengths = handed(replace(case, view="plain"))
    axis = 0 if over_time == (not case.config.batch_first or case.unbatched) else 1
    one = np.broadcast_to(np.take(x, [0], axis), x.shape)
    result = trial.checked(case, call(trial.model(case), case, one, state, lengths))
    as_copied(trial, case, result)


@prop("purity.offset", needs=("views", "values"), every=2)
def offset(trial: Trial) -> None:
    """Inputs that start inside a larger buffer give what arrays of their own give.

    Kernels that take the buffer's start, or overread its end, are right on fresh arrays.
    """
    _seen_through(trial, "offset")


@prop("purity.negative-stride", needs=("views", "values"))
def negative_stride(trial: Trial) -> None:
    """Inputs that lie backwards in memory give what forward ones give.

    ``x[::-1]`` is how NumPy code reverses time; a pointer and a size do not describe it.
    """
    _seen_through(trial, "negative")


@prop("purity.fortran", needs=("views", "values"))
def fortran(trial: Trial) -> None:
    """Fortran-ordered inputs give what C-ordered ones give.

    Arrays from BLAS, MATLAB files and transposes are Fortran-ordered; ``ravel`` and ``tobytes`` differ.
    """
    _seen_through(trial, "fortran")


@prop("purity.read-only", needs=("views", "values"))
def read_only(trial: Trial) -> None:
    """Read-only inputs are accepted: memory-mapped files and broadcast arrays are read-only.

    In-place preprocessing fails on them, or writes through.
    """
    _seen_through(trial, "readonly")
