"""The probe tries each option on a backend: for targets that declare nothing, or whose authors declared too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from conformance.backend import GRADIENTS, Backend, Build, Capabilities
from conformance.bounds.backward import judge
from conformance.cases.case import handed
from conformance.cases.cotangents import draw
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.cases.recipe import JUDGED_DTYPES, OPTIONS, Recipe
from conformance.errors import Ended
from conformance.facts import Fact, NotJudged, Said
from conformance.instruments.masks import with_dropout
from conformance.properties.dropout.certain import everything
from conformance.spec import Result, numpy_dtype
from conformance.trials.agreement import equal_bits, right
from conformance.trials.calls import call_vjp, shape_error
from conformance.trials.outcomes import Narrowed, Violation, said
from conformance.trials.threads import OneThread
from conformance.trials.trial import Trial

#: Plain calls: every option is tried on the first that returns the right shapes, or at least the first that runs.
_PLAIN = tuple(
    Recipe(I=3, H=4, L=5, N=rows, batch_first=batch_first, dtype=dtype)
    for rows in (2, 1)
    for batch_first in (False, True)
    for dtype in JUDGED_DTYPES
)

#: Every option that changes a case, to ask a backend that declares none.
_EVERYTHING = Capabilities(**dict.fromkeys(OPTIONS, True), dtypes=JUDGED_DTYPES)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Ability:
    """One option: whether a call that uses it returns the right shapes, and whether the values are right too."""

    option: str
    runs: bool
    right: bool
    #: Why it does not run, or what is wrong.
    fact: Fact | None = None


def abilities(backend: Backend) -> list[Ability]:
    """The abilities that a call with each option shows, declared or not. A fixed model is asked for its inputs only."""
    fixed = backend.capabilities.fixed
    dtypes = JUDGED_DTYPES if fixed is None else backend.capabilities.dtypes
    free = replace(backend, capabilities=replace(_EVERYTHING, fixed=fixed, dtypes=dtypes))
    base = _base(free, backend.capabilities.time_major)
    returns = _returns(free, base) or Result._fields
    free = replace(free, capabilities=replace(free.capabilities, returns=returns, gradients=gives(free, base) or True))
    recipes: dict[str, Recipe] = {name: use(base) for name, use in OPTIONS.items()}
    if backend.capabilities.time_major:
        recipes |= {"time_major": replace(base, batch_first=False)}
    recipes |= {dtype: replace(base, dtype=dtype) for dtype in JUDGED_DTYPES}
    asked = list(recipes)
    if fixed is not None:
        asked = ["unbatched", "lengths", "initial_state", "batch"]
    elif "loop" in backend.ruled_out:
        asked = ["no_bias", "projection", "initial_state", "batch", *JUDGED_DTYPES]
    found = [_ability(free, name, recipes[name]) for name in asked]
    found += [] if "loop" in backend.ruled_out else [_gradients(free, base)]
    return found if fixed is not None or "loop" in backend.ruled_out else [*found, _dropout(free, recipes["layers"])]


def _base(backend: Backend, time_major: bool = True) -> Recipe:
    """The plain call that every option is tried on; no time-major one unless ``time_major``."""
    plain = [recipe for recipe in _PLAIN if time_major or recipe.batch_first]
    # A library that knows batch-first only may ignore batch_first: then time-major calls run, and their shapes tell.
    found = (recipe for shaped in (True, False) for recipe in plain if _returns(backend, recipe, shaped))
    return next(found, plain[0])


def returned(backend: Backend) -> tuple[str, ...]:
    """The parts that a plain call returns; all of them if none runs."""
    return _returns(backend, _base(backend)) or Result._fields


def gives(backend: Backend, recipe: Recipe) -> tuple[str, ...]:
    """The gradients, of ``GRADIENTS``, that ``forward.vjp`` gives for a call; nothing if it does not run."""
    trial = Trial(backend, recipe)
    try:
        _, grads = call_vjp(
            trial.model(trial.case),
            trial.case,
            *handed(trial.case),
            *handed_cotangents(trial.case, draw(trial.case, 0)),
        )
    except (Violation, Narrowed, Ended):
        return ()
    found = {*grads, *["params"] * all(name in grads for name in trial.case.params)}
    return tuple(name for name in GRADIENTS if name in found)


def _returns(backend: Backend, recipe: Recipe, shaped: bool = False) -> tuple[str, ...]:
    """The parts that a call returns, in the dtype that it asks for; nothing if it does not run.

    Nothing either if they must be ``shaped`` right, and are not.
    """
    try:
        trial = Trial(backend, recipe)
        result = trial.call(trial.case)
    except (Violation, Narrowed, Ended):
        return ()
    if shaped and shape_error(trial.case, result):
        return ()
    dtype = numpy_dtype(trial.case.config.dtype)
    parts = {name: part for name, part in zip(Result._fields, result, strict=True) if part is not None}
    return tuple(parts) if all(part.dtype == dtype for part in parts.values()) else ()


def _ability(backend: Backend, option: str, recipe: Recipe) -> Ability:
    trial = Trial(backend, recipe)
    try:
        dtypes = {part.dtype for part in trial.call(trial.case) if part is not None}
        if dtypes != {numpy_dtype(trial.case.config.dtype)}:
            return Ability(option, False, False, Said(f"results have dtype {', '.join(map(str, dtypes))}"))
        _ = trial.result
    except (Violation, Narrowed) as reason:
        return Ability(option, False, False, reason.fact)
    except Ended as ended:
        return Ability(option, False, False, said(str(ended)))
    try:
        trial.require(trial.findings())
    except Violation as violation:
        return Ability(option, True, False, violation.fact)
    return Ability(option, True, True)


def _gradients(backend: Backend, recipe: Recipe) -> Ability:
    """The ability that ``forward.vjp`` shows for a call that uses no option."""
    trial = Trial(backend, recipe)
    cotangents = draw(trial.case, recipe.seed, parts=backend.capabilities.returns)
    try:
        model = trial.model(trial.case)
        if not hasattr(model, "vjp"):
            return Ability("gradients", False, False, Said("forward has no attribute vjp"))
        result, grads = trial.vjp(trial.case, cotangents, model)
    except (Violation, Narrowed) as reason:
        return Ability("gradients", False, False, reason.fact)
    except Ended as ended:
        return Ability("gradients", False, False, said(str(ended)))
    assert trial.arithmetic is not None
    try:
        trial.require(list(judge(trial.case, cotangents, [result], grads, trial.arithmetic)))
    except Violation as violation:
        return Ability("gradients", True, False, violation.fact)
    return Ability("gradients", True, True)


def _dropout(backend: Backend, recipe: Recipe) -> Ability:
    """Dropout between two layers: a call in training runs, and gives something else than one in evaluation."""
    trial = Trial(backend, recipe)
    try:
        evaluation, training = (trial.run(with_dropout(trial.case, 0.5, mode)) for mode in (False, True))
        within_bounds = right(trial.findings_of(trial.case, lambda k: training if k == 2 else trial.observe(k)))
        if equal_bits(evaluation, training) or within_bounds:
            return Ability("dropout", False, False, Said("a call in training drops nothing"))
    except (Violation, Narrowed) as reason:
        return Ability("dropout", False, False, reason.fact)
    except Ended as ended:
        return Ability("dropout", False, False, said(str(ended)))
    try:
        everything(trial)
    except (Violation, Narrowed) as reason:
        return Ability("dropout", True, False, reason.fact)
    except Ended as ended:
        return Ability("dropout", True, False, said(str(ended)))
    return Ability("dropout", True, True)


def probed(target: str, build: Build | Callable[..., Any], origin: str = "") -> Backend:
    """A backend for a build function that declares nothing: it is taken to declare every option that runs.

    An option counts if the call does not raise and returns the right shapes and dtypes, right or wrong: a wrong result
    must be judged, not overlooked.
    """
    with OneThread():
        return _probed(Backend(target, Capabilities(), build, origin=origin))


def _probed(bare: Backend) -> Backend:
    found = abilities(bare)
    runs = {ability.option: ability.runs for ability in found}
    if not any(runs.values()):
        return replace(bare, note="capabilities were probed: none of them works")
    dtypes = tuple(dtype for dtype in JUDGED_DTYPES if runs[dtype]) or ("float32",)
    options: dict[str, Any] = {option: runs[option] for option in (*OPTIONS, "dropout", "time_major")}
    # What runs, and does not run time-major, runs batch-first: a single row may be all that it takes.
    options["batch_first"] |= not runs["time_major"]
    given = gives(bare, _base(bare)) if runs["gradients"] else ()
    gradients = given == GRADIENTS or given or False
    capabilities = Capabilities(**options, gradients=gradients, returns=returned(bare), dtypes=dtypes)
    can, cannot = (", ".join(name for name in runs if runs[name] == works) for works in (True, False))
    without = f"; without {cannot} (`lstm-conformance probe` says why)" if cannot else ""
    note = f"capabilities were probed: {can}{without}"
    lacking = ((ability.option, ability.fact) for ability in found if not ability.runs)
    not_judged = tuple(NotJudged(option, fact) for option, fact in lacking if fact is not None)
    return replace(bare, capabilities=capabilities, note=note, not_judged=not_judged)
