"""A property, its registration, and the reasons for which a backend is not asked about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import TypeVar

from conformance.backend import GRADIENTS, Backend, Capabilities
from conformance.cases.common import simplest
from conformance.cases.recipe import OPTIONS, Recipe
from conformance.spec import DTYPES, Result
from conformance.trials.trial import Trial

Check = Callable[[Trial], None]
A = TypeVar("A")
B = TypeVar("B")

#: The dtypes that are asked of a backend that does not declare them: every implementation has heard of these.
ASKED_DTYPES = ("float32", "float64")

#: The words that ``Property.needs`` may use (``needs_of``).
NEEDS = (
    *(field.name for field in fields(Capabilities) if field.type == "bool" and field.name != "compiled"),
    "gradients",
    *(f"grad_{name}" for name in GRADIENTS),
    *Result._fields,
    *DTYPES,
    *("params", "values", "slots", "loop", "views", "memory", "live", "undeclared"),
)

#: The three questions of a report, in its order: what every ordinary call gives, what happens at the edges of the
#: numbers and the sizes, and whether a call that makes no sense is refused.
COMPUTES, EDGES, GUARDS = QUESTIONS = ("computes", "edges", "guards")

#: The groups that answer another question than the first.
_ANSWERS = {"nonfinite": EDGES, "degenerate": EDGES, "refusals": GUARDS}


class Cost(IntEnum):
    """What a property's own cases cost, which says when it has its turn (``engine/order.py``)."""

    SMALL = 0
    #: As large as real models.
    LARGE = 1
    #: Seconds for one case.
    LONGEST = 2


#: Every property that was registered, by its id.
registered: dict[str, Property] = {}


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
    #: What an implementation does that fails it, in a few words: "accepts an x of one axis". Nothing if none are given.
    fails: str
    check: Check
    cost: Cost = Cost.SMALL

    @property
    def group(self) -> str:
        """The id's first word."""
        return self.id.partition(".")[0]

    @property
    def question(self) -> str:
        """Which of the three questions it helps to answer."""
        return question_of(self.id)


def question_of(id: str) -> str:
    """The question that a property answers, which follows from its group."""
    return _ANSWERS.get(id.partition(".")[0], COMPUTES)


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
    fails: str = "",
    cost: Cost = Cost.SMALL,
) -> Callable[[Check], Check]:
    """Register a check; its docstring's first paragraph is the statement, the rest says why it matters.

    ``fails`` says in a few words what an implementation does that fails it: edges and guards need it.
    """

    if unknown := [word for word in needs if word not in NEEDS]:
        raise ValueError(f"property {id!r} needs {unknown[0]!r}; the known needs are {', '.join(NEEDS)}")

    def register(check: Check) -> Check:
        if id in registered and registered[id].check.__qualname__ != check.__qualname__:
            raise ValueError(f"property {id!r} is registered twice: by {registered[id].check.__qualname__} as well")
        first, _, rest = (inspect.getdoc(check) or "").partition("\n\n")
        statement, why = " ".join(first.split()), " ".join(rest.split())
        registered[id] = Property(id, statement, why, needs, when, every, limit, chance, turns, fails, check, cost)
        return check

    return register


def needs_of(backend: Backend) -> dict[str, bool]:
    """Every word that ``Property.needs`` may use, and whether a backend meets that need.

    ==========================  ======================================================================================
    a field of Capabilities     it is declared: layers, bidirectional, time_major, lengths, dropout, threads …
    gradients                   some gradient is declared
    grad_x, grad_h_0, …         if gradients are declared, that of x, of h_0, of c_0, of every parameter is among them
    output, h_n, c_n            the part is returned
    float32, float64, …         the dtype is declared, with IEEE arithmetic
    values                      there is a dtype whose values are judged: not int8 alone
    params                      parameters can be chosen: no fixed model
    slots                       there is more than one layer and direction
    loop                        the loop over time is its own: no cell
    views, memory               arrays are handed over as they lie in memory, and shared: no program
    live                        calls are made while it is judged: no recorded answers
    undeclared                  some option is not declared
    ==========================  ======================================================================================
    """
    declared = backend.capabilities
    flags = [field.name for field in fields(declared) if field.type == "bool" and field.name != "compiled"]
    ieee = [dtype for dtype in declared.dtypes if declared.arithmetic.get(dtype, "ieee") == "ieee"]
    return {
        **{flag: getattr(declared, flag) for flag in flags},
        "gradients": bool(declared.gradients),
        **{f"grad_{name}": not declared.gradients or declared.gives(name) for name in GRADIENTS},
        **{part: part in declared.returns for part in Result._fields},
        **{dtype: dtype in ieee for dtype in DTYPES},
        "params": declared.fixed is None,
        "values": any(declared.arithmetic.get(dtype) != "int8" for dtype in declared.dtypes),
        "slots": declared.layers or declared.bidirectional,
        "loop": "loop" not in backend.ruled_out,
        "views": "views" not in backend.ruled_out,
        "memory": "memory" not in backend.ruled_out,
        "live": "live" not in backend.ruled_out,
        "undeclared": bool(undeclared_options(backend)),
    }


def undeclared_options(backend: Backend) -> list[str]:
    """The options that can be asked of a backend and that it does not declare."""
    declared = backend.capabilities
    options = [*OPTIONS, *["dropout"] * declared.layers, *ASKED_DTYPES]
    if "loop" in backend.ruled_out:
        options = [option for option in options if option in ("no_bias", "projection", *ASKED_DTYPES)]
    if declared.fixed is not None:
        options = [option for option in options if option in ("lengths", "initial_state", "unbatched", "batch")]
    if not declared.batch and "lengths" in options:
        options.remove("lengths")
    return [name for name in options if name not in declared.dtypes and not getattr(declared, name, False)]


def unmet_needs(backend: Backend) -> tuple[str, ...]:
    """The needs that a backend does not meet."""
    return tuple(word for word, met in needs_of(backend).items() if not met)


def why_not_asked(backend: Backend, properties: Iterable[Property]) -> dict[str, tuple[str, ...]]:
    """The unmet needs of each property that is not asked of a backend, by its id.

    "structure" is among them where a fixed model has no case that the property speaks about.
    """
    met, own_cases = needs_of(backend), list[Recipe]()
    if backend.capabilities.fixed is not None:
        batched = simplest(backend)
        own_cases = [*batched, *(replace(recipe, unbatched=True, N=1) for recipe in batched)]
    unmet: dict[str, tuple[str, ...]] = {}
    for p in properties:
        # Whether a call is refused is seen as it is made.
        guard = ("live",) if p.question == GUARDS and not met["live"] else ()
        structure = ("structure",) if own_cases and not any(p.when(recipe) for recipe in own_cases) else ()
        unmet[p.id] = (*structure, *guard, *(word for word in p.needs if not met[word]))
    return {id: words for id, words in unmet.items() if words}
