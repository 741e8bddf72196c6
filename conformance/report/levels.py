"""How far a backend has come: core, full or training, from what it declares and what became of its properties.

A level is a set of words that a backend must declare. A property belongs to the first level whose words, with those of
the levels below, are all that it needs. A level is reached if all its words are declared and every property that
belongs to it or to a level below passed. Narrowed, not run and expected to fail are not passed; an option that a
backend opts out of is not declared, and so not reached.

========  ==========================================================================================================
core      one layer, one direction, forward, as ``Capabilities()`` declares it
full      every option of the structure and of the call
training  what nn.LSTM does in training: gradients, and dropout between layers where it is declared
========  ==========================================================================================================

float64 and the half dtypes are no options of the structure: no level demands them, and where they are declared, what
goes wrong in them is wrong at every level. Likewise for what a backend's form rules out: a program behind a pipe shares
no memory with the suite, and is called by one thread.
"""

from __future__ import annotations

from conformance.cases.recipe import OPTIONS
from conformance.facts import Gap, Outcome
from conformance.properties import catalogue
from conformance.properties.model import Property
from conformance.report.model import BackendReport
from conformance.spec import DTYPES

#: The words (``properties.model.conditions``) that each level adds to those of the level below.
LEVELS: dict[str, tuple[str, ...]] = {
    "core": (
        *("batch", "initial_state", "output", "h_n", "c_n", "float32", "values"),
        *("params", "loop", "deterministic", "threads"),
    ),
    "full": ("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection", "lengths"),
    "training": ("gradients", "grad_x", "grad_h_0", "grad_c_0", "grad_params"),
}

#: Words that a level knows of and does not demand: one follows from its own, the other is optional.
_BESIDE = {"full": ("slots",), "training": ("dropout",)}

#: Words that no level demands: a property that needs them is asked where they hold.
_ANYWHERE = frozenset({"float64", "float16", "bfloat16", "views", "memory", "undeclared", "time_major"})


def level_of(p: Property) -> str | None:
    """The level that a property belongs to; None if it needs what no level has."""
    known = _ANYWHERE
    for level, words in LEVELS.items():
        known = known.union(words, _BESIDE.get(level, ()))
        if known.issuperset(p.needs):
            return level
    return None


def reached(backend: BackendReport) -> tuple[str, Gap | None]:
    """The highest level that a backend has reached, or "", and what is missing for the next one, if there is one.

    A run that was cut short, or that asked only part of the properties, shows no level.
    """
    highest = ""
    for level in LEVELS:
        if gap := _gap(backend, level):
            return highest, gap
        highest = level
    return highest, None


def _gap(backend: BackendReport, level: str) -> Gap | None:
    if not backend.complete:
        return Gap(level, interrupted=backend.interrupted)
    known = catalogue()
    if {verdict.property for verdict in backend.verdicts} != set(known):
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


def _judged(word: str) -> bool:
    """Whether cases are drawn with it, or some property asks for it."""
    return word in (*OPTIONS, *DTYPES) or any(word in p.needs for p in catalogue().values())
