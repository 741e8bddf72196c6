"""What stands on the page, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from conformance.properties import GROUPS, catalogue
from conformance.report import english
from conformance.report.model import Report
from conformance.report.page.backends import MARKS, NAME, Reason, Shown, keys, plain, shown, unquoted
from conformance.report.page.drawn import data
from conformance.report.page.weights import FileShown, files_shown, of_backend
from conformance.report.shell import command_line
from conformance.report.summary import standings
from conformance.report.weights import by_file, in_a_line


@dataclass(frozen=True)
class Page:
    """All that stands on the page."""

    title: str
    #: What was run, with what: words and values.
    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    backends: tuple[Shown, ...]
    #: By group, the ids of its properties that were chosen.
    groups: dict[str, tuple[str, ...]]
    #: By property, its statement.
    statements: dict[str, str]
    #: Why it is no whole report, a line each.
    incomplete: tuple[str, ...]
    #: The models' files whose weights are not the trained ones.
    misconverted: tuple[FileShown, ...]
    #: How many backends stand how, in words.
    standings: str
    failures: int
    #: How often each mark occurs, by its key.
    counts: dict[str, int]
    #: What the page's script draws from.
    data: dict[str, Any]


def page(report: Report, reasons: Mapping[str, Reason]) -> Page:
    """All that stands on the page of a report."""
    backends = tuple(
        shown(one, key, reasons, of_backend(one, report.asked.weights))
        for one, key in zip(report.backends, keys(report.backends), strict=True)
    )
    ids = {verdict.property for verdict in report.verdicts}
    known = [id for id in catalogue() if id in ids]
    groups = {g: tuple(id for id in known if id.startswith(f"{g}.")) for g in GROUPS}
    marks = [mark for backend in backends for mark in backend.marks.values()]
    names = [backend.key for backend in backends]
    return Page(
        title=names[0] if len(names) == 1 else f"{len(names)} LSTMs",
        facts=tuple((word, plain(value)) for word, value in _facts(report) if value),
        versions=tuple((plain(name, NAME), plain(value, NAME)) for name, value in report.environment.items()),
        backends=backends,
        groups={group: members for group, members in groups.items() if members},
        statements={id: unquoted(catalogue()[id].statement) for id in known},
        incomplete=tuple(_incomplete(report, backends)),
        misconverted=tuple(files_shown(report.asked.weights)),
        standings=standings(report),
        failures=len(report.failures),
        counts={key: marks.count(key) for key in MARKS if key in marks},
        data=data(backends, known),
    )


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    asked = report.asked
    yield "suite", f"lstm-conformance {report.version}"
    yield "started", asked.started.replace("T", " ")
    yield "cases", "quick: part of the fixed set" if _quick(report) else _cases(report.cases)
    yield "seed", str(report.seed)
    yield "properties", ", ".join([*asked.only, *(f"without {name}" for name in asked.exclude)])
    yield "strict", "a missing guard counts" if asked.strict or any(b.strict for b in report.backends) else ""
    for own in by_file(asked.weights):
        if not own.wrong:
            yield "weights", f"✓ {in_a_line(own, partial(plain, most=NAME))}"
    yield "command", command_line(["lstm-conformance", *asked.command]) if asked.command else ""


def _quick(report: Report) -> bool:
    return any(backend.quick for backend in report.backends)


def _cases(count: int) -> str:
    return f"fixed set + {english.counted(count, 'random case')}"


def _incomplete(report: Report, backends: Sequence[Shown]) -> Iterator[str]:
    for backend in backends:
        if backend.report.interrupted is not None:
            yield f"{backend.key}: {plain(english.interruption(backend.report.interrupted))}"
    if report.missing:
        yield f"not begun: {', '.join(plain(name, NAME) for name in report.missing)}"
