"""The plan: what is asked of a backend, computed once and handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from conformance.backend import Backend
from conformance.cases.covering import fixed_set, judged_dtypes, reachable
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

    def fixed_set(self) -> list[Recipe]:
        """The recipes that come first, whatever the seed of Hypothesis draws."""
        return fixed_set(self.backend, self.settings.seed) if self.settings.fixed else []

    def combinations(self) -> frozenset[object]:
        """Every three-way combination of the declared choices."""
        return frozenset(reachable(self.backend))


def plan(backend: Backend, settings: Settings) -> Plan:
    """The plan of a backend. Raises ``UsageError`` for ids that name no property, in its ``expected_failures`` too."""
    properties = tuple(select(settings.only, settings.exclude))
    try:
        select(only=tuple(backend.capabilities.expected_failures))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}, expected_failures: {error.args[0]}", error.hint) from None
    not_asked = why_not_asked(backend, properties)
    return Plan(backend, settings, properties, not_asked, unmet_needs(backend), judged_dtypes(backend))
