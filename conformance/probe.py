"""What can this backend do? Asked of targets that declare nothing, and of authors who may have declared too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from conformance.backend import Backend, Build, Capabilities
from conformance.recipe import JUDGED_DTYPES, OPTIONS, Recipe
from conformance.spec import Result, numpy_dtype
from conformance.trial import Narrowed, Trial, Violation

_BASE = Recipe(I=3, H=4, L=5, N=2)

#: Everything that changes what a case may contain, for asking without having been told.
_EVERYTHING = Capabilities(**dict.fromkeys(OPTIONS, True), dtypes=JUDGED_DTYPES)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Ability:
    """One option: whether a call that uses it returns the right shapes, and whether the values are right too."""

    option: str
    runs: bool
    right: bool
    #: Why it does not run, or what is wrong.
    reason: str = ""


def abilities(backend: Backend) -> list[Ability]:
    """What a call with each option gives, whatever the backend declares. A fixed model is asked for its inputs only."""
    fixed = backend.capabilities.fixed
    cell = "loop" in backend.lacks
    recipes: dict[str, Recipe] = {name: use(_BASE) for name, use in OPTIONS.items()}
    recipes |= {dtype: replace(_BASE, dtype=dtype) for dtype in JUDGED_DTYPES}
    asked = {
        name: recipe
        for name, recipe in recipes.items()
        if not (fixed and name not in ("lengths", "initial_state", "unbatched", "batch"))
        and not (cell and name not in ("no_bias", "projection", "initial_state", "batch", *JUDGED_DTYPES))
    }
    returns = _returns(backend)
    everything = replace(_EVERYTHING, fixed=fixed, returns=returns)
    if fixed is not None:
        everything = replace(everything, dtypes=backend.capabilities.dtypes)
    free = replace(backend, capabilities=everything)
    return [_ability(free, name, recipe) for name, recipe in asked.items()]


def _returns(backend: Backend) -> tuple[str, ...]:
    """The parts that a plain call returns; all of them if it does not run."""
    try:
        trial = Trial(backend, _BASE)
        result = trial.call(trial.case)
    except (Violation, Narrowed):
        return Result._fields
    return tuple(name for name, part in zip(Result._fields, result, strict=True) if part is not None) or Result._fields


def _ability(backend: Backend, option: str, recipe: Recipe) -> Ability:
    trial = Trial(backend, recipe)
    try:
        dtypes = {part.dtype for part in trial.call(trial.case) if part is not None}
        if dtypes != {numpy_dtype(trial.case.config.dtype)}:
            return Ability(option, False, False, f"results have dtype {', '.join(map(str, dtypes))}")
        _ = trial.result
    except (Violation, Narrowed) as error:
        return Ability(option, False, False, str(error))
    try:
        trial.require(trial.findings())
    except Violation as violation:
        return Ability(option, True, False, str(violation))
    return Ability(option, True, True)


def probed(target: str, build: Build | Callable[..., Any], origin: str = "") -> Backend:
    """A backend for a build function that declares nothing: it is taken to declare every option that runs.

    An option counts if the call does not raise and returns the right shapes and dtypes, right or wrong: a wrong result
    must be judged, not overlooked.
    """
    bare = Backend(target, Capabilities(), build, origin=origin)
    runs = {ability.option: ability.runs for ability in abilities(bare)}
    if not any(runs.values()):
        return replace(bare, note="capabilities were probed: none of them works")
    dtypes = tuple(dtype for dtype in JUDGED_DTYPES if runs[dtype]) or ("float32",)
    options: dict[str, Any] = {option: runs[option] for option in OPTIONS}
    capabilities = Capabilities(**options, returns=_returns(bare), dtypes=dtypes)
    found, lacking = (", ".join(name for name in runs if runs[name] == works) for works in (True, False))
    without = f"; without {lacking} (`lstm-conformance probe` says why)" if lacking else ""
    return replace(bare, capabilities=capabilities, note=f"capabilities were probed: {found}{without}")
