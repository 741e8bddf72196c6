"""A property, its registration, and the reasons for which a backend is not asked about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from conformance.backend import Backend
from conformance.cases.covering import simplest
from conformance.cases.recipe import OPTIONS, Recipe
from conformance.spec import DTYPES, Result
from conformance.trials.trial import Trial

Check = Callable[[Trial], None]
A = TypeVar("A")
B = TypeVar("B")

#: The dtypes that are asked of a backend that does not declare them: every implementation has heard of these.
ASKED_DTYPES = ("float32", "float64")

_registered: dict[str, Property] = {}


@dataclass(frozen=True)
class Property:
    """One requirement; ``check(trial)`` returns, or raises ``Violation``, or ``Discard`` if the case says nothing."""

    id: str
    #: One sentence.
    statement: str
    #: Why it matters, with a public bug.
    why: str
    #: What a backend must meet: words of ``needs_of``.
    needs: tuple[str, ...]
    #: The recipes it speaks about.
    when: Callable[[Recipe], bool]
    #: After a first dozen, one in so many suitable cases is checked.
    every: int
    #: At most so many cases are checked, for properties whose own cases are large; 0 for no limit.
    limit: int
    #: Whether it judges what is random: then a failure may not come back.
    chance: bool
    #: How many variants it takes in turn (``Trial.in_turn``): its first case asks the first of them, and so on round.
    turns: int
    check: Check

    @property
    def group(self) -> str:
        """The id's first word."""
        return self.id.partition(".")[0]


def pairs(some: Sequence[A], others: Sequence[B]) -> list[tuple[A, B]]:
    """Every pair of two independent choices, as variants to be taken in turn: both change from each one to the next."""
    rounds = range(len(others))
    return [(one, others[(k + round) % len(others)]) for round in rounds for k, one in enumerate(some)]


def always(recipe: Recipe) -> bool:
    """Every recipe will do."""
    return True


def prop(
    id: str,
    needs: tuple[str, ...] = (),
    when: Callable[[Recipe], bool] = always,
    every: int = 8,
    limit: int = 0,
    chance: bool = False,
    turns: int = 1,
) -> Callable[[Check], Check]:
    """Register a check; its docstring's first paragraph is the statement, the rest says why it matters."""

    def register(check: Check) -> Check:
        first, _, rest = (inspect.getdoc(check) or "").partition("\n\n")
        statement, why = " ".join(first.split()), " ".join(rest.split())
        _registered[id] = Property(id, statement, why, needs, when, every, limit, chance, turns, check)
        return check

    return register


def registered() -> dict[str, Property]:
    """The properties registered so far, by id."""
    return dict(_registered)


def needs_of(backend: Backend) -> dict[str, tuple[bool, str]]:
    """Every word that ``Property.needs`` may use: whether a backend meets that need, and the reason if it does not."""
    declared = backend.capabilities
    values = any(declared.arithmetic.get(dtype) != "int8" for dtype in declared.dtypes)
    flags = [field.name for field in fields(declared) if field.type == "bool" and field.name != "compiled"]
    ieee = [d for d in declared.dtypes if declared.arithmetic.get(d, "ieee") == "ieee"]
    return {
        **{flag: (getattr(declared, flag), f"{flag} is not declared") for flag in flags},
        **{part: (part in declared.returns, f"{part} is not returned") for part in Result._fields},
        **{dtype: (dtype in ieee, f"{dtype} of IEEE arithmetic is not declared") for dtype in DTYPES},
        "params": (declared.fixed is None, "its parameters are baked in"),
        "values": (values, "no dtype whose values are judged"),
        "slots": (declared.layers or declared.bidirectional, "one layer and direction has nothing to order"),
        "shapes": (not declared.compiled, "each new shape costs a compilation"),
        "loop": ("loop" not in backend.lacks, "the suite supplies the loop over time"),
        "views": ("views" not in backend.lacks, "its inputs travel as bytes"),
        "memory": ("memory" not in backend.lacks, "it shares no memory with the suite"),
        "undeclared": (bool(undeclared_options(backend)), "every option is declared"),
    }


def undeclared_options(backend: Backend) -> list[str]:
    """The options that can be asked of a backend and that it does not declare."""
    declared = backend.capabilities
    options = [*OPTIONS, *["dropout"] * declared.layers, *ASKED_DTYPES]
    if "loop" in backend.lacks:
        options = [option for option in options if option in ("no_bias", "projection", *ASKED_DTYPES)]
    if declared.fixed is not None:
        options = [option for option in options if option in ("lengths", "initial_state", "unbatched", "batch")]
    if not declared.batch and "lengths" in options:
        options.remove("lengths")
    return [name for name in options if name not in declared.dtypes and not getattr(declared, name, False)]


def unmet_needs(backend: Backend) -> dict[str, str]:
    """The needs that a backend does not meet, each with the reason."""
    return {word: reason for word, (met, reason) in needs_of(backend).items() if not met}


def why_not_asked(backend: Backend, property: Property) -> list[str]:
    """Why a property is not asked of a backend: a reason for each need that is not met; empty if it is asked."""
    reasons = []
    if backend.capabilities.fixed is not None:
        batched = simplest(backend)
        variants = [*batched, *(replace(recipe, unbatched=True, N=1) for recipe in batched)]
        if not any(property.when(recipe) for recipe in variants):
            reasons.append("the model that is baked in has none of that")
    needs = needs_of(backend)
    return reasons + [reason for met, reason in (needs[word] for word in property.needs) if not met]
