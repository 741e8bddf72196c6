"""The plan: what is asked of a backend, computed once and handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.backend import Backend
from conformance.cases.choices import judged_dtypes
from conformance.cases.common import common
from conformance.cases.fixed_set import fixed_set, reachable
from conformance.cases.recipe import Recipe
from conformance.errors import UsageError
from conformance.properties import select
from conformance.properties.model import Property, unmet_needs, why_not_asked


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
    #: Whether a guard that is missing makes a backend not conformant, as everything else that fails does.
    strict: bool = False
    #: Failures that are expected, {property id: reason with a link}, beside those that the backend declares.
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    #: Whether any failure is expected; without, those that are declared fail like others, and have a cause like others.
    expecting: bool = True

    def __post_init__(self) -> None:
        """A quick run draws nothing."""
        if self.quick:
            object.__setattr__(self, "cases", 0)


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
        return tuple(p for p in self.properties if p.id not in self.undeclared)

    @property
    def expected(self) -> Mapping[str, str]:
        """The properties that are expected to fail, by id, with the reasons."""
        if not self.settings.expecting:
            return {}
        return {**self.backend.capabilities.expected_failures, **self.settings.expected_failures}

    def opening(self) -> list[Recipe]:
        """The first recipe of the fixed set, which is known before the others are worked out."""
        return common(self.backend, self.settings.seed)[:1] if self.settings.fixed else []

    def fixed_set(self) -> list[Recipe]:
        """The recipes that come first, whatever the seed of Hypothesis draws."""
        return fixed_set(self.backend, self.settings.seed) if self.settings.fixed else []

    def arithmetics(self) -> tuple[str, ...]:
        """The dtypes whose values are judged, each with its arithmetic where that is not its own."""
        declared = {dtype: self.backend.capabilities.arithmetic.get(dtype, "ieee") for dtype in self.dtypes}
        own = {dtype: dtype if how == "ieee" else f"{dtype} as {how}" for dtype, how in declared.items()}
        return tuple(own[dtype] for dtype, how in declared.items() if how != "int8")

    def combinations(self) -> frozenset[object]:
        """Every three-way combination of the declared choices."""
        return frozenset(reachable(self.backend))


def plan(backend: Backend, settings: Settings) -> Plan:
    """The plan of a backend. Raises ``UsageError`` for ids that name no property, among expected failures too."""
    properties = tuple(select(settings.only, settings.exclude))
    not_asked = why_not_asked(backend, properties)
    made = Plan(backend, settings, properties, not_asked, unmet_needs(backend), judged_dtypes(backend))
    try:
        select(only=tuple(made.expected))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}, expected_failures: {error.args[0]}", error.hint) from None
    return made
