"""Parts of a report made one: the parts of a backend's properties, and the reports of a run that was divided."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

from conformance.errors import UsageError
from conformance.facts import Cause, Degree, Diagnosis, Interruption, Measured, Outcome
from conformance.properties import catalogue
from conformance.report.environment import loaded
from conformance.report.model import Asked, BackendReport, Report, Verdict
from conformance.report.weights import OfFile, by_file, key

#: The outcomes that give way to any other: the part did not come to the property, or the machine lacks the backend.
_OPEN = (Outcome.NOT_RUN, Outcome.UNAVAILABLE)


# One backend


def merged(one: BackendReport, other: BackendReport) -> BackendReport:
    """The report on one backend of two parts of its properties, which were judged on the same cases.

    What both have judged is as the worse of the two says. The seconds are those of both, though they may have passed
    side by side. Counts of cases are the larger ones: the parts may have met the same cases.
    """
    verdicts: dict[str, Verdict] = {}
    for verdict in (*one.verdicts, *other.verdicts):
        known = verdicts.get(verdict.property)
        if known is None or known.outcome in _OPEN or (verdict.outcome.bad and not known.outcome.bad):
            verdicts[verdict.property] = verdict
    # What one part alone could judge is told as that part tells it.
    one, other = (one, other) if one.available or not other.available else (other, one)
    joint = tuple(verdicts[id] for id in catalogue() if id in verdicts)
    return replace(
        one,
        verdicts=joint,
        covered=max(one.covered, other.covered),
        cases=max(one.cases, other.cases),
        steep=max(one.steep, other.steep),
        long=max(one.long, other.long),
        signatures=one.signatures + other.signatures,
        frameworks=one.frameworks | other.frameworks,
        seconds=one.seconds + other.seconds,
        interrupted=_interruption(one, other, joint),
        diagnosis=_together(one.diagnosis, other.diagnosis),
        measured=_measured(one.measured, other.measured),
        choices=_choices(one.choices, other.choices),
    )


def _interruption(one: BackendReport, other: BackendReport, joint: Sequence[Verdict]) -> Interruption | None:
    """Why not all was judged, if not all was: one part may have come to the end where the other was interrupted."""
    interrupted = one.interrupted or other.interrupted
    whole = interrupted and all(verdict.outcome not in _OPEN for verdict in joint)
    return None if whole else interrupted


def _measured(one: Sequence[Measured], other: Sequence[Measured]) -> tuple[Measured, ...]:
    """What two parts measured on the same cases: the larger margins, and the times of the part with more cases."""
    found: dict[tuple[str, int, int], Measured] = {}
    for each in (*one, *other):
        known = found.setdefault((each.dtype, each.steps, each.hidden), each)
        more = max(known, each, key=lambda measured: measured.cases)
        margins = [measured.margin for measured in (known, each) if measured.margin is not None]
        found[each.dtype, each.steps, each.hidden] = replace(more, margin=max(margins, default=None))
    return tuple(found[key] for key in sorted(found))


def _choices(one: dict[str, dict[str, int]], other: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """The larger number of cases of each value."""
    names = dict.fromkeys([*one, *other])
    return {name: _larger(one.get(name, {}), other.get(name, {})) for name in names}


def _larger(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {value: max(one.get(value, 0), other.get(value, 0)) for value in dict.fromkeys([*one, *other])}


def _together(one: Diagnosis | None, other: Diagnosis | None) -> Diagnosis | None:
    """What two diagnoses of one backend found, each from the failures of its part: a cause of both is one.

    It is as sure as the less sure of the two, with that one's fresh cases: both may have drawn the same.
    """
    if one is None or other is None:
        return one or other
    causes = list(one.causes)
    for cause in other.causes:
        same = next((at for at, known in enumerate(causes) if _same(known, cause)), None)
        if same is None:
            causes.append(cause)
        else:
            known = causes[same]
            explains = tuple(dict.fromkeys((*known.explains, *cause.explains)))
            causes[same] = replace(max(known, cause, key=_doubt), explains=explains)
    explained = {id for cause in causes for id in cause.explains}
    return Diagnosis(
        causes=tuple(causes),
        remaining=tuple(id for id in dict.fromkeys((*one.remaining, *other.remaining)) if id not in explained),
        right=tuple(name for name in one.right if name in other.right),
        untried=tuple(dict.fromkeys((*one.untried, *other.untried))),
        calls=one.calls + other.calls,
        seconds=max(one.seconds, other.seconds),
        limit=max(one.limit, other.limit),
        defect=one.defect or other.defect,
    )


def _same(one: Cause, other: Cause) -> bool:
    """Whether two causes are one: the same alterations, or, where there are none, the same conditions."""
    if one.alterations or other.alterations or one.conditions is None or other.conditions is None:
        return bool(one.alterations) and one.alterations == other.alterations
    return one.conditions.traits == other.conditions.traits


def _doubt(cause: Cause) -> tuple[int, int]:
    """How much is against a cause: its degree, and the fresh cases that it does not explain."""
    return list(Degree).index(cause.degree), cause.tried - cause.explained


# A whole run


class Part(NamedTuple):
    """The report on a part of a run, and the name under which a person knows it, such as its file's."""

    name: str
    report: Report


#: What the parts of one run have in common, by the words in which it is told.
_COMMON: dict[str, Callable[[Report], object]] = {
    "version": lambda report: report.version,
    "seed": lambda report: report.seed,
    "cases": lambda report: report.cases,
    "quick": lambda report: report.asked.quick,
    "large": lambda report: report.asked.large,
    "seconds": lambda report: report.asked.seconds,
    "strict": lambda report: report.asked.strict,
}

#: What the parts say of one backend must be the same: it follows from what it declares.
_DECLARED = ("own_name", "unmet", "not_judged", "dtypes", "combinations")

_HINT = "only parts of one run are merged: the same version, settings and backends"


def merge(parts: Sequence[Part]) -> Report:
    """The report on a run of which each part judged some targets, some properties, or both.

    Raises ``UsageError`` for parts that are not of one run, or that contradict each other; it names both and what
    differs.
    """
    first, *others = parts
    for part in others:
        for word, value in _COMMON.items():
            _require_same(word, first, value(first.report), part, value(part.report))
    _check_weights(parts)
    backends: dict[str, Part] = {}
    joint: dict[str, BackendReport] = {}
    for part in parts:
        for backend in part.report.backends:
            name = backend.backend
            if name in joint:
                _check(backends[name], joint[name], part, backend)
                joint[name] = merged(joint[name], backend)
            else:
                backends[name], joint[name] = part, backend
    reports = [part.report for part in parts]
    return replace(
        first.report,
        environment=loaded(report.environment for report in reports),
        backends=tuple(joint.values()),
        missing=_left((target for report in reports for target in report.missing), joint),
        asked=reduce(_asked, (report.asked for report in reports)),
        errors=tuple(dict.fromkeys(e for report in reports for e in report.errors if e.target not in joint)),
        ended=max(report.ended for report in reports),
    )


def _left(targets: Iterable[str], judged: dict[str, BackendReport]) -> tuple[str, ...]:
    return tuple(target for target in dict.fromkeys(targets) if target not in judged)


def _require_same(what: str, one: Part, value: object, other: Part, another: object) -> None:
    if value != another:
        raise UsageError(f"{other.name} has {what} {another}, and {one.name} has {what} {value}", _HINT)


def _check(one: Part, known: BackendReport, other: Part, backend: BackendReport) -> None:
    """``UsageError`` unless two parts of one backend can be parts of one run."""
    outcomes = {verdict.property: verdict.outcome for verdict in known.verdicts}
    for verdict in backend.verdicts:
        outcome = outcomes.get(verdict.property, verdict.outcome)
        if outcome not in _OPEN and verdict.outcome not in _OPEN:
            what = f"of {backend.backend}: {verdict.property}"
            _require_same(what, one, outcome, other, verdict.outcome)
    if known.available and backend.available:
        for name in _DECLARED:
            what = f"of {backend.backend}: {name}"
            _require_same(what, one, _in_short(getattr(known, name)), other, _in_short(getattr(backend, name)))
        for name in known.frameworks.keys() & backend.frameworks.keys():
            what = f"of {backend.backend}: {name}"
            _require_same(what, one, known.frameworks[name], other, backend.frameworks[name])


def _check_weights(parts: Sequence[Part]) -> None:
    """``UsageError`` where two parts found other weights in one model's file."""
    found: dict[tuple[str, str], tuple[Part, OfFile]] = {}
    for part in parts:
        for own in by_file(part.report.asked.weights):
            one, known = found.setdefault((own.file, own.weights), (part, own))
            if known != own:
                same = zip(own.compared, known.compared, strict=False)
                what = next((key(each) for each, other in same if each != other), "LSTMs")
                raise UsageError(f"{part.name} and {one.name} differ in {what} of {own.file}", _HINT)


def _in_short(value: object) -> object:
    return (", ".join(map(str, value)) or "nothing") if isinstance(value, tuple) else value


def _asked(one: Asked, other: Asked) -> Asked:
    """What a run was asked for whose parts were asked for one thing and for another, and for all of ``_COMMON``."""
    return replace(
        one,
        targets=tuple(dict.fromkeys([*one.targets, *other.targets])),
        named=one.named or other.named,
        only=tuple(dict.fromkeys([*one.only, *other.only])) if one.only and other.only else (),
        exclude=tuple(word for word in one.exclude if word in other.exclude),
        stop=one.stop or other.stop,
        command=one.command if one.command == other.command else (),
        started=min(one.started, other.started),
        timeout=one.timeout if one.timeout == other.timeout else None,
        memory=one.memory if one.memory == other.memory else None,
        diagnose=max(one.diagnose, other.diagnose),
        weights=tuple(dict.fromkeys([*one.weights, *other.weights])),
    )
