"""Two reports compared: what became worse, what became better, and what may be the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import exp, log

from conformance.facts import Measured, Outcome
from conformance.report.difference_weights import Became, WeightsChanged, compare_weights
from conformance.report.model import BackendReport, Report, Verdict, spoils

#: A margin has grown if it is so many times the old one, and at least so much. Of two runs of one right LSTM that
#: differ in the seed alone, none that were measured are so far apart (docs/report.md).
_TIMES, _LEAST = 4.0, 0.25


class Change(StrEnum):
    """What became of one property on one backend."""

    #: It fails, and did not fail before.
    NEW_FAILURE = "new failure"
    #: It passed, and is now narrowed, not declared, or fails as is expected.
    LOST = "lost"
    #: It failed, and passes now.
    FIXED = "fixed"
    #: It fails as before, with another outcome, message or smallest case.
    ALTERED = "altered"
    #: It was judged, and is not judged now.
    NOT_JUDGED = "not judged"
    #: It is judged now, passed, and was not judged before.
    NEWLY_JUDGED = "newly judged"


@dataclass(frozen=True)
class Changed:
    """One property on one backend that is not as it was."""

    backend: str
    property: str
    change: Change
    #: Whether it is worse, and counts: a missing guard does only if the new run was strict.
    worse: bool
    #: None where a report has no verdict on it.
    old: Verdict | None
    new: Verdict | None


@dataclass(frozen=True)
class Grown:
    """The margin of a property that passes grew more than it does by chance."""

    backend: str
    property: str
    old: float
    new: float


@dataclass(frozen=True)
class Pace:
    """How long a call of a backend takes now, of what it took: over the sizes that both reports measured."""

    backend: str
    ratio: float
    sizes: int


@dataclass(frozen=True)
class Other:
    """A version or a setting that is another one; nothing where a report has none."""

    name: str
    old: str
    new: str
    #: The backend whose version it is; nothing of the whole run's.
    backend: str = ""


@dataclass(frozen=True)
class Difference:
    """All in which two reports differ."""

    #: Whether each of the two is complete.
    old_complete: bool
    new_complete: bool
    #: The weights of models' files.
    weights: tuple[WeightsChanged, ...] = ()
    changed: tuple[Changed, ...] = ()
    grown: tuple[Grown, ...] = ()
    #: The backends that one report alone has; of the new ones, how many properties do not hold.
    missing: tuple[str, ...] = ()
    added: dict[str, int] = field(default_factory=dict)
    paces: tuple[Pace, ...] = ()
    versions: tuple[Other, ...] = ()
    #: Seed, cases, quick, strict.
    settings: tuple[Other, ...] = ()

    @property
    def worse(self) -> bool:
        """Whether something became worse."""
        return bool(self.grown) or any(each.worse for each in (*self.weights, *self.changed))

    @property
    def whole(self) -> bool:
        """Whether all that the old report judged is judged in the new one, and both are complete."""
        judged = not self.missing and all(each.change != Change.NOT_JUDGED for each in self.changed)
        compared = all(each.became != Became.NOT_COMPARED for each in self.weights)
        return judged and compared and self.old_complete and self.new_complete


def compare(old: Report, new: Report) -> Difference:
    """The difference between two reports. Backends are the same if their targets are."""
    before = {backend.backend: backend for backend in old.backends}
    after = {backend.backend: backend for backend in new.backends}
    both = [(before[name], after[name]) for name in before if name in after]
    return Difference(
        old_complete=old.complete,
        new_complete=new.complete,
        weights=tuple(compare_weights(old, new)),
        changed=tuple(each for pair in both for each in _changed(*pair)),
        grown=tuple(each for pair in both for each in _grown(*pair)),
        missing=tuple(name for name in before if name not in after),
        added={name: len(backend.bad) for name, backend in after.items() if name not in before},
        paces=tuple(pace for pair in both if (pace := _pace(*pair))),
        versions=tuple(_versions(old, new, both)),
        settings=tuple(_others(_settings(old), _settings(new))),
    )


# Verdicts

#: The outcomes that say nothing of how a property fares.
_SILENT = (Outcome.NOT_RUN, Outcome.UNAVAILABLE)


def _changed(old: BackendReport, new: BackendReport) -> Iterator[Changed]:
    before = {verdict.property: verdict for verdict in old.verdicts}
    after = {verdict.property: verdict for verdict in new.verdicts}
    for id in dict.fromkeys([*before, *after]):
        one, other = before.get(id), after.get(id)
        change = _change(one, other)
        if change is not None:
            fails = other is not None and spoils(id, other.outcome, new.strict)
            worse = change == Change.LOST or (change == Change.NEW_FAILURE and fails)
            yield Changed(new.backend, id, change, worse, one, other)


def _change(old: Verdict | None, new: Verdict | None) -> Change | None:
    was, now = _outcome(old), _outcome(new)
    known = was is not None and (was.bad or was.good)
    if now is None:
        return Change.NOT_JUDGED if known else None
    if now.bad:
        if was is None or not was.bad:
            return Change.NEW_FAILURE
        return Change.ALTERED if _told(old) != _told(new) else None
    if now == Outcome.PASSED:
        return None if was == now else Change.FIXED if known else Change.NEWLY_JUDGED
    # Narrowed, not declared, or an expected failure.
    if was == Outcome.PASSED:
        return Change.LOST
    if was is not None and was.bad:
        return Change.ALTERED if now == Outcome.EXPECTED_FAILURE else Change.NOT_JUDGED
    return None


def _outcome(verdict: Verdict | None) -> Outcome | None:
    """What is known of how a property fares, or None."""
    return None if verdict is None or verdict.outcome in _SILENT else verdict.outcome


def _told(verdict: Verdict | None) -> tuple[object, ...]:
    return () if verdict is None else (verdict.outcome, verdict.recipe, verdict.message)


# Numbers


def _grown(old: BackendReport, new: BackendReport) -> Iterator[Grown]:
    margins = {v.property: v.margin for v in old.verdicts if v.outcome == Outcome.PASSED}
    for verdict in new.verdicts:
        was, now = margins.get(verdict.property), verdict.margin
        passed = verdict.outcome == Outcome.PASSED
        if passed and was is not None and now is not None and now > max(_TIMES * was, was + _LEAST):
            yield Grown(new.backend, verdict.property, was, now)


def _pace(old: BackendReport, new: BackendReport) -> Pace | None:
    """The geometric mean of the ratios of the times, of which each size counts as much as it has cases."""
    before = {_size(each): each for each in old.measured if each.seconds > 0}
    both = [(before[_size(each)], each) for each in new.measured if each.seconds > 0 and _size(each) in before]
    if not both:
        return None
    weights = [min(one.cases, other.cases) for one, other in both]
    logs = [log(other.seconds / one.seconds) for one, other in both]
    total = sum(weights) or 1
    return Pace(new.backend, exp(sum(w * each for w, each in zip(weights, logs, strict=True)) / total), len(both))


def _size(measured: Measured) -> tuple[str, int, int]:
    return measured.dtype, measured.steps, measured.hidden


# What may be the reason


def _versions(old: Report, new: Report, both: list[tuple[BackendReport, BackendReport]]) -> Iterator[Other]:
    own = {"lstm-conformance": old.version} | old.environment, {"lstm-conformance": new.version} | new.environment
    shared = list(_others(*own))
    yield from shared
    told = {(other.name, other.old, other.new) for other in shared}
    for one, other in both:
        before, after = ({"version": backend.version} | backend.frameworks for backend in (one, other))
        for each in _others(before, after, other.backend):
            if (each.name, each.old, each.new) not in told:
                yield each


def _settings(report: Report) -> dict[str, str]:
    asked = report.asked
    return {
        "seed": str(report.seed),
        "cases": str(report.cases),
        "quick": "yes" if asked.quick else "no",
        "large": "yes" if asked.large else "no",
        "seconds": f"{asked.seconds:g}",
        "strict": "yes" if asked.strict else "no",
    }


def _others(old: Mapping[str, str], new: Mapping[str, str], backend: str = "") -> Iterator[Other]:
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield Other(name, old.get(name, ""), new.get(name, ""), backend)
