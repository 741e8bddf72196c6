"""How far a backend has come: core, full or training, from what it declares and what became of its properties.

A level is a set of words that a backend must declare. A property of what is computed belongs to the first level whose
words, with those of the levels below, are all that it needs; edges and guards belong to none. A level is reached if all
its words are declared and every property that belongs to it or to a level below passed. Narrowed, not run and expected
to fail are not passed; an option that a backend opts out of is not declared, and so not reached.

========  ==========================================================================================================
core      one layer, one direction, forward, as ``Capabilities()`` declares it
full      every option of the structure and of the call
training  what nn.LSTM does in training: gradients, and dropout between layers where it is declared
========  ==========================================================================================================

No level demands a dtype. It is reached in all dtypes that are declared, and names them unless float32 in its own
arithmetic is among them: "core" is reached in float32 at least, "core (float64)" in float64 alone. What a backend's
form rules out is no level's affair either: a program behind a pipe shares no memory with the suite, and is called by
one thread.
"""

from __future__ import annotations

from conformance.cases.recipe import OPTIONS
from conformance.facts import Gap, Outcome
from conformance.properties import catalogue
from conformance.properties.model import COMPUTES, Property
from conformance.report.model import BackendReport
from conformance.spec import DTYPES

#: The words (``properties.model.conditions``) that each level adds to those of the level below.
LEVELS: dict[str, tuple[str, ...]] = {
    "core": (
        *("batch", "initial_state", "output", "h_n", "c_n", "values"),
        *("params", "loop", "deterministic", "threads", "live"),
    ),
    "full": ("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection", "lengths"),
    "training": ("gradients", "grad_x", "grad_h_0", "grad_c_0", "grad_params"),
}

#: Words that a level knows of and does not demand: one follows from its own, the other is optional.
_BESIDE = {"full": ("slots",), "training": ("dropout",)}

#: Words that no level demands: a property that needs them is asked where they hold.
_ANYWHERE = frozenset({*DTYPES, "views", "memory", "undeclared", "time_major"})


def level_of(p: Property) -> str | None:
    """The level that a property belongs to; None if it is an edge or a guard, or needs what no level has."""
    if p.question != COMPUTES:
        return None
    known = _ANYWHERE
    for level, words in LEVELS.items():
        known = known.union(words, _BESIDE.get(level, ()))
        if known.issuperset(p.needs):
            return level
    return None


def reached(backend: BackendReport) -> tuple[str, Gap | None]:
    """The highest level that a backend has reached, or "", and what is missing for the next one, if there is one.

    It names its dtypes where float32 is not among them: "core (float64)".

    A run that was cut short, or that asked only part of the properties, shows no level.
    """
    highest = ""
    for level in LEVELS:
        if gap := _gap(backend, level):
            return highest, gap
        named = backend.dtypes and "float32" not in backend.dtypes
        highest = level + (f" ({', '.join(backend.dtypes)})" if named else "")
    return highest, None


def _gap(backend: BackendReport, level: str) -> Gap | None:
    if not backend.complete:
        return Gap(level, interrupted=backend.interrupted)
    if backend.quick:
        return Gap(level, quick=True)
    known = catalogue()
    if not whole(backend):
        return Gap(level, partial=True)
    # The calls of a program behind a pipe come one at a time.
    ruled_out = {"threads"} if "memory" in backend.unmet else set()
    unmet = tuple(word for word in LEVELS[level] if word in backend.unmet and word not in ruled_out)
    outcomes: dict[Outcome, list[str]] = {}
    for verdict in backend.verdicts:
        own = level_of(known[verdict.property]) == level
        if own and verdict.outcome not in (Outcome.PASSED, Outcome.NOT_DECLARED):
            outcomes.setdefault(verdict.outcome, []).append(verdict.property)
    gap = Gap(
        level,
        unmet=unmet,
        unjudged=tuple(word for word in LEVELS[level] if word not in unmet and not _judged(word)),
        short=tuple((outcome, tuple(ids)) for outcome, ids in outcomes.items()),
    )
    return None if gap == Gap(level) else gap


def whole(backend: BackendReport) -> bool:
    """Whether every property of what is computed was chosen."""
    chosen = {verdict.property for verdict in backend.verdicts}
    return all(id in chosen for id, p in catalogue().items() if p.question == COMPUTES)


def _judged(word: str) -> bool:
    """Whether cases are drawn with it, or some property asks for it."""
    return word in OPTIONS or any(word in p.needs for p in catalogue().values())
