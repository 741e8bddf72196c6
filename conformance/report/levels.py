"""How far a backend has come: core, full or training, from what it declares and what became of its properties.

A level is a set of words that a backend must declare. A property belongs to the first level whose words, with those of
the levels below, are all that it needs. A level is reached if all its words are declared and every property that
belongs to it or to a level below passed. Narrowed, not run and expected to fail are not passed; what a backend opts out
of is not declared, and so not reached.

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

from collections.abc import Iterator
from typing import TYPE_CHECKING

from conformance.cases.recipe import OPTIONS
from conformance.properties import catalogue
from conformance.properties.model import Property
from conformance.spec import DTYPES

if TYPE_CHECKING:
    from conformance.report.model import BackendReport

#: The words (``properties.model.conditions``) that each level adds to those of the level below.
LEVELS: dict[str, tuple[str, ...]] = {
    "core": (
        *("batch", "initial_state", "output", "h_n", "c_n", "float32", "values"),
        *("params", "loop", "shapes", "deterministic", "threads"),
    ),
    "full": ("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection", "lengths"),
    "training": ("gradients",),
}

#: Words that a level knows of and does not demand: one follows from its own, the other is optional.
_BESIDE = {"full": ("slots",), "training": ("dropout",)}

#: Words that no level demands: a property that needs them is asked where they hold.
_ANYWHERE = frozenset({"float64", "float16", "bfloat16", "views", "memory", "undeclared"})

#: So many names are listed; more would not fit a line.
_LISTED = 4


def level_of(p: Property) -> str | None:
    """The level that a property belongs to; None if it needs what no level has."""
    known = _ANYWHERE
    for level, words in LEVELS.items():
        known = known.union(words, _BESIDE.get(level, ()))
        if known.issuperset(p.needs):
            return level
    return None


def reached(backend: BackendReport) -> tuple[str, str]:
    """The highest level that a backend has reached, or "", and what is missing for the next one, or "".

    A run that was cut short, or that asked only part of the properties, shows no level.
    """
    highest = ""
    for level in LEVELS:
        shortfall = "; ".join(_shortfall(backend, level))
        if shortfall:
            return highest, f"{level}: {shortfall}"
        highest = level
    return highest, ""


def _shortfall(backend: BackendReport, level: str) -> Iterator[str]:
    """What keeps a backend from a level, the levels below taken for granted."""
    if not backend.complete:
        yield backend.interrupted
        return
    known = catalogue()
    if {verdict.property for verdict in backend.verdicts} != set(known):
        yield "only part of the properties ran"
        return
    # The calls of a program behind a pipe come one at a time.
    ruled_out = {"threads"} if "memory" in backend.lacking else set()
    undeclared = [word for word in LEVELS[level] if word in backend.lacking and word not in ruled_out]
    options = [word for word in undeclared if backend.lacking[word] == f"{word} is not declared"]
    if options:
        yield f"lacks {', '.join(options)}"
    yield from (backend.lacking[word] for word in undeclared if word not in options)
    if unjudged := [word for word in LEVELS[level] if word not in undeclared and not _judged(word)]:
        yield f"no property of this version judges {', '.join(unjudged)}"
    outcomes: dict[str, list[str]] = {}
    for verdict in backend.verdicts:
        own = level_of(known[verdict.property]) == level
        if own and verdict.outcome not in ("passed", "not declared"):
            outcomes.setdefault(verdict.outcome, []).append(verdict.property)
    for outcome, names in outcomes.items():
        yield f"{outcome}: {_listed(names)}"


def _judged(word: str) -> bool:
    """Whether cases are drawn with it, or some property asks for it."""
    return word in (*OPTIONS, *DTYPES) or any(word in p.needs for p in catalogue().values())


def _listed(names: list[str]) -> str:
    return ", ".join(names if len(names) <= _LISTED else [*names[:_LISTED], f"and {len(names) - _LISTED} more"])
