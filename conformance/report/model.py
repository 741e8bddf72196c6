"""The report: every verdict of a run, with environment, seed and versions. Every output format is rendered from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.report.levels import reached

#: What may become of one property on one backend.
OUTCOMES = (
    "passed",
    "failed",
    "error",
    "crashed",
    "timeout",
    "expected failure",
    "unexpected pass",
    "narrowed",
    "not declared",
    "not run",
    "unavailable",
)

#: The outcomes that make a backend not conformant.
BAD = frozenset({"failed", "error", "crashed", "timeout", "unexpected pass"})


@dataclass(frozen=True)
class Verdict:
    """What became of one property on one backend."""

    backend: str
    #: The property's id.
    property: str
    #: One of ``OUTCOMES``.
    outcome: str
    #: Expected against actual, or the reason.
    message: str = ""
    #: The text of the smallest case found that shows it.
    recipe: str | None = None
    #: The largest error seen as a share of its bound, over the cases that passed.
    margin: float | None = None
    #: How many cases were checked.
    cases: int = 0
    #: The smallest case in a person's words.
    smallest: str = ""
    #: The worst error seen, as a share of its bound, and the recipe that showed it: shrinking can make a gross error
    #: look like rounding.
    worst: float | None = None
    worst_recipe: str | None = None
    #: The recipes to run, in this order, before ``recipe``: the failure depends on history.
    history: tuple[str, ...] = ()
    #: How many cases had been offered when the failure was met.
    after: int | None = None


@dataclass(frozen=True)
class BackendReport:
    """All verdicts of one backend."""

    backend: str
    verdicts: tuple[Verdict, ...]
    #: What a reader must know about the backend.
    note: str = ""
    #: Three-way combinations of declared choices that were called and judged, and how many there are.
    covered: int = 0
    combinations: int = 0
    #: Cases offered, the fixed set among them; those of weight gain 3 and more, and those of 100 steps and more.
    cases: int = 0
    steep: int = 0
    long: int = 0
    #: Wall-clock seconds.
    seconds: float = 0.0
    #: Why the run ended early, or nothing.
    interrupted: str = ""
    #: What a property may need and the backend does not declare, each word with what is said of it.
    lacking: Mapping[str, str] = field(default_factory=dict)

    def count(self, *outcomes: str) -> int:
        """How many verdicts have one of the outcomes."""
        return sum(verdict.outcome in outcomes for verdict in self.verdicts)

    @property
    def declared(self) -> int:
        """How many properties the backend's capabilities let be asked."""
        return len(self.verdicts) - self.count("not declared", "unavailable")

    @property
    def available(self) -> bool:
        """Whether the backend could run here."""
        return not self.count("unavailable")

    @property
    def margin(self) -> float | None:
        """The largest error as a share of its bound."""
        return max((verdict.margin for verdict in self.verdicts if verdict.margin is not None), default=None)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return not self.interrupted

    @property
    def level(self) -> str:
        """The highest level reached, or nothing: "core", "full", "training" (``levels.py``)."""
        return reached(self)[0]

    @property
    def conformant(self) -> bool:
        """Whether everything declared was judged and nothing is wrong; expected failures do not spoil it."""
        if not self.complete or not self.count("passed"):
            return False
        judged = all(verdict.cases for verdict in self.verdicts if verdict.outcome == "narrowed")
        return judged and not self.count(*BAD)


@dataclass(frozen=True)
class Report:
    """All verdicts of a run, with what is needed to repeat it."""

    version: str
    seed: int
    #: Random cases asked for, on top of the fixed set.
    cases: int
    #: Versions and platform, by name.
    environment: dict[str, str]
    backends: tuple[BackendReport, ...]
    #: Backends that were named but never begun.
    missing: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict of every backend."""
        return tuple(verdict for backend in self.backends for verdict in backend.verdicts)

    @property
    def complete(self) -> bool:
        """Whether every backend was begun and came to its end."""
        return not self.missing and all(backend.complete for backend in self.backends)

    @property
    def conformant(self) -> bool:
        """Whether every backend that could run is conformant, and at least one could."""
        ran = [backend for backend in self.backends if backend.available]
        return bool(ran) and self.complete and all(backend.conformant for backend in ran)


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain data for ``json.dump``; an infinite ``worst``, which JSON cannot write, is None."""
    data = asdict(report)
    for backend, made in zip(data["backends"], report.backends, strict=True):
        level, shortfall = reached(made)
        backend["level"], backend["shortfall"] = level or None, shortfall or None
        for verdict in backend["verdicts"]:
            verdict["worst"] = verdict["worst"] if math.isfinite(verdict["worst"] or 0.0) else None
    return {"format": 1, "conformant": report.conformant, "complete": report.complete, **data}
