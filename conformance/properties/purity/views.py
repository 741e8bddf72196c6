"""The arguments' places in memory change nothing: strides, offsets, broadcast axes, write protection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import arrange, handed
from conformance.cases.recipe import VIEWS, Recipe
from conformance.properties.model import prop
from conformance.reference.forward import leave
from conformance.trials.trial import Trial

#: Views that are C-contiguous, and those that are not.
_SOLID = ("plain", "offset", "readonly")
_LOOSE = tuple(view for view in VIEWS if view not in _SOLID)


def _seen_through(trial: Trial, *views: str) -> None:
    """A call whose arrays lie in memory as one of ``views`` says gives the result of contiguous arrays."""
    view = trial.in_turn(views)
    contiguous = trial.derived(view="plain")
    contiguous.require_same_result(contiguous.run(replace(contiguous.case, view=view)))


@prop("purity.non-contiguous", needs=("views", "values"), turns=3)
def non_contiguous(trial: Trial) -> None:
    """Transposed inputs, and inputs with gaps between features, rows or steps, give what contiguous ones give.

    pytorch#345 and #619: non-contiguous input, wrong result.
    """
    _seen_through(trial, "transposed", "strided", "gapped")


@prop(
    "purity.mixed-views",
    needs=("views", "values", "initial_state"),
    when=lambda r: r.state != "none",
    turns=len(VIEWS) * len(_SOLID) * len(_LOOSE),
)
def mixed_views(trial: Trial) -> None:
    """x, h_0, c_0 and the lengths may each lie in memory in a way of its own.

    Code that looks at one array's strides and assumes the same of the others is right only where all are alike.
    """
    contiguous = trial.derived(view="plain")
    case = contiguous.case
    x, state, lengths = handed(case)
    assert state is not None
    x = arrange(x, trial.in_turn(VIEWS))
    lengths = None if lengths is None else arrange(lengths, "strided")
    # One contiguous, the other not.
    solid, loose = trial.in_turn(_SOLID), trial.in_turn(_LOOSE)
    for views in ((solid, loose), (loose, solid)):
        h_0, c_0 = (arrange(part, view) for part, view in zip(state, views, strict=True))
        contiguous.require_same_result(contiguous.run(case, arguments=(x, (h_0, c_0), lengths)))


def _rows_with_state(recipe: Recipe) -> bool:
    return recipe.state != "none" and recipe.N > 1


#: An initial state that is broadcast over the rows, over layers and directions too, or one part of it taken for both.
_BROADCAST = ("rows", "h_0 for both", "layers and rows", "c_0 for both")


@prop(
    "purity.broadcast-state",
    needs=("views", "values", "batch", "initial_state"),
    when=_rows_with_state,
    turns=len(_BROADCAST),
)
def broadcast_state(trial: Trial) -> None:
    """An initial state that is broadcast over rows, or layers too, or is one array twice, gives what copies of it give.

    A learnt initial state is handed over as ``h_0.expand(…)``: its stride over the rows is 0, and it is read-only. Many
    tutorials write the state as ``(zeros, zeros)``.
    """
    how, initial = trial.in_turn(_BROADCAST), trial.case.initial()
    if how.endswith("for both") and trial.case.config.proj_size:
        # The parts differ in size.
        how = "rows"
    if how.endswith("for both"):
        c_0 = h_0 = initial[how.startswith("c_0")].copy()
    else:
        slots = slice(1) if how == "layers and rows" else slice(None)
        h_0, c_0 = (np.broadcast_to(part[slots, :1], part.shape) for part in initial)
    case = replace(trial.case, state=(h_0.copy(), c_0.copy()))
    x, _, lengths = handed(case)
    trial.require_same_result(trial.run(case, arguments=(x, (h_0, c_0), lengths)), case)


@prop("purity.broadcast-input", needs=("views", "values"), when=lambda r: r.L > 1 or r.N > 1, turns=2)
def broadcast_input(trial: Trial) -> None:
    """An x that is one step broadcast over all steps, or one row over all rows, gives what copies of it give.

    A context vector for every step is handed over as a broadcast array: its stride over time is 0, and it is read-only.
    """
    case = trial.case
    over_time = case.steps > 1 and (case.batch == 1 or trial.in_turn((True, False)))
    one = case.x[:1] if over_time else case.x[:, :1]
    broadcast = np.broadcast_to(np.ascontiguousarray(one), case.x.shape)
    copied = replace(case, x=broadcast.copy())
    _, state, lengths = handed(replace(copied, view="plain"))
    arguments = leave(case.config, broadcast, case.unbatched), state, lengths
    trial.require_same_result(trial.run(copied, arguments=arguments), copied)


@prop("purity.offset", needs=("views", "values"), every=2)
def offset(trial: Trial) -> None:
    """Inputs that start inside a larger buffer give what arrays of their own give.

    Kernels that read from the buffer's start, or past its end, are right on fresh arrays.
    """
    _seen_through(trial, "offset")


@prop("purity.negative-stride", needs=("views", "values"))
def negative_stride(trial: Trial) -> None:
    """Inputs that lie backwards in memory give what forward ones give.

    NumPy code reverses time by ``x[::-1]``, and a pointer and a size do not describe that.
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

    In-place preprocessing fails on them, or writes to them all the same.
    """
    _seen_through(trial, "readonly")
