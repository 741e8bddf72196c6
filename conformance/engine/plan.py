"""The plan: what is asked of a backend, computed once and handed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypothesis.strategies import SearchStrategy

from conformance.backend import Backend
from conformance.cases import strategies
from conformance.cases.choices import judged_dtypes
from conformance.cases.fixed_set import fixed_set, reachable
from conformance.cases.recipe import Recipe
from conformance.engine.foresight import Pace
from conformance.errors import UsageError
from conformance.properties import select
from conformance.properties.model import COMPUTES, Property, unmet_needs, why_not_asked


@dataclass(frozen=True)
class Settings:
    """The settings of a run, its cases, properties and end: one value for every driver."""

    #: Random cases, on top of the fixed set.
    cases: int = 100
    seed: int = 0
    #: Property ids or groups; all if empty.
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    #: Whether the fixed set comes first.
    fixed: bool = True
    #: Whether failures are shrunk and simplified; without, each verdict carries the case at which it was met.
    shrink: bool = True
    #: Whether the first failure ends the run.
    stop: bool = False
    #: Whether only the cheapest part is asked (``engine/order.py``): then nothing is called conformant.
    quick: bool = False
    #: Whether sizes are those of large models: random cases alone, and what of the catalogue needs no many cases.
    large: bool = False
    #: Seconds for the target, which are spent on as many random cases as they allow; 0 for ``cases`` of them.
    seconds: float = 0.0
    #: Whether a guard that is missing makes a backend not conformant, as everything else that fails does.
    strict: bool = False
    #: Failures that are expected, {property id: reason with a link}, beside those that the backend declares.
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    #: Whether any failure is expected; without, those that are declared fail like others, and have a cause like others.
    expecting: bool = True

    def __post_init__(self) -> None:
        """A quick run draws nothing; large sizes are drawn."""
        if self.quick:
            object.__setattr__(self, "cases", 0)
        if self.large:
            object.__setattr__(self, "fixed", False)

    @property
    def partial(self) -> bool:
        """Whether it asks too little for a backend to be called conformant."""
        return self.quick or self.large


@dataclass(frozen=True)
class Plan:
    """The properties and cases that are asked of one backend under given settings."""

    backend: Backend
    settings: Settings
    #: The chosen properties in the catalogue's order.
    properties: tuple[Property, ...]
    #: By the id of a chosen property, the words of its needs that do not hold; those without any are asked.
    undeclared: Mapping[str, tuple[str, ...]]
    #: All words of needs that do not hold.
    unmet: tuple[str, ...]
    #: The declared dtypes that can be judged here.
    dtypes: tuple[str, ...]

    @property
    def asked(self) -> tuple[Property, ...]:
        """The chosen properties that the backend declares."""
        declared = (p for p in self.properties if p.id not in self.undeclared)
        return tuple(p for p in declared if not self.settings.large or _at_large_sizes(p))

    @property
    def expected(self) -> Mapping[str, str]:
        """The properties that are expected to fail, by id, with the reasons."""
        if not self.settings.expecting:
            return {}
        return {**self.backend.capabilities.expected_failures, **self.settings.expected_failures}

    def fixed_set(self) -> Sequence[Recipe]:
        """The recipes that come first, whatever the seed of Hypothesis draws; worked out as they are read."""
        return fixed_set(self.backend, self.settings.seed) if self.settings.fixed else []

    def recipes(self) -> SearchStrategy[Recipe]:
        """How random recipes are drawn."""
        return strategies.large(self.backend) if self.settings.large else strategies.recipes(self.backend)

    def pace(self, p: Property) -> Pace:
        """How a property begins: at large sizes each case is for others of those that cost runs of their own."""
        return Pace(first=0, suitable=self.properties.index(p)) if self.settings.large else Pace()

    def arithmetics(self) -> tuple[str, ...]:
        """The dtypes whose values are judged, each with its arithmetic where that is not its own."""
        declared = {dtype: self.backend.capabilities.arithmetic.get(dtype, "ieee") for dtype in self.dtypes}
        own = {dtype: dtype if how == "ieee" else f"{dtype} as {how}" for dtype, how in declared.items()}
        return tuple(own[dtype] for dtype, how in declared.items() if how != "int8")

    def combinations(self) -> frozenset[object]:
        """Every three-way combination of the declared choices."""
        return frozenset(reachable(self.backend))


def _at_large_sizes(p: Property) -> bool:
    """Whether a property says more where sizes are large: not one whose cases have sizes of their own."""
    return p.question == COMPUTES and not p.cost and p.group not in ("purity", "dropout")


def plan(backend: Backend, settings: Settings) -> Plan:
    """The plan of a backend. Raises ``UsageError`` for ids that name no property, among expected failures too."""
    properties = tuple(select(settings.only, settings.exclude))
    not_asked = why_not_asked(backend, properties)
    made = Plan(backend, settings, properties, not_asked, unmet_needs(backend), judged_dtypes(backend))
    if settings.large and backend.capabilities.compiled:
        hint = "judge it with the usual sizes: each new one costs it a compilation"
        raise UsageError(f"backend {backend.name!r} compiles, and is not judged at large sizes", hint)
    try:
        select(only=tuple(made.expected))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}, expected_failures: {error.args[0]}", error.hint) from None
    return made
