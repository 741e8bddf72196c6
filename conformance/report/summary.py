"""The parts of a summary that Markdown and a notebook share: a backend in a row, in a headline, and in remarks."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from conformance.facts import Outcome
from conformance.properties.model import QUESTIONS
from conformance.report import causes, english
from conformance.report.columns import ENDLESS
from conformance.report.conclusion import standing
from conformance.report.levels import reached
from conformance.report.model import BackendReport, Report
from conformance.report.table import notes, share
from conformance.report.text import undecided

#: The calls whose time is compared: float32, of so many steps and units at most.
SMALL_CALL = 8, 16

#: What stands above the cells of a row.
HEADERS = ("backend", "", "level", *QUESTIONS, "margin", "time")


def cells(backend: BackendReport) -> list[str]:
    """The level, the answers to the three questions, the margin and the time."""
    margin = "–" if backend.margin is None else f"{backend.margin:.2g}"
    shares = [share(backend.asked(question)) for question in QUESTIONS]
    return [reached(backend)[0] or "—", *shares, margin, f"{backend.seconds:.1f} s"]


def small_call(backend: BackendReport) -> float | None:
    """The median seconds of its calls of ``SMALL_CALL``, whatever other options they have; None without such calls."""
    steps, hidden = SMALL_CALL
    sizes = [m for m in backend.measured if m.dtype == "float32" and m.steps <= steps and m.hidden <= hidden]
    return statistics.median(m.seconds for m in sizes for _ in range(m.cases)) if sizes else None


def standings(report: Report) -> str:
    """How many backends stand how: "1 quick, 2 not conformant"; of a single one its standing alone."""
    count = Counter(map(standing, report.backends))
    told = ", ".join(f"{number} {word}" if len(report.backends) > 1 else word for word, number in count.items())
    known = sum(any(v.outcome == Outcome.EXPECTED_FAILURE for v in backend.verdicts) for backend in report.backends)
    if not known:
        return told
    return f"{told}, with expected failures" if len(report.backends) == 1 else f"{told}; {known} with expected failures"


def headline(backend: BackendReport) -> str:
    """What is wrong with a backend, in a few words of the suite's own; whether it is conformant where nothing is."""
    if backend.diagnosis and backend.diagnosis.causes and backend.bad:
        return causes.headline(backend)
    if backend.bad:
        return "1 property does not hold" if len(backend.bad) == 1 else f"{len(backend.bad)} properties do not hold"
    if backend.missing_guards:
        return f"{standing(backend)}, {english.counted(len(backend.missing_guards), 'guard')} missing"
    return standing(backend)


def remarks(backend: BackendReport) -> Iterator[str]:
    """What was not judged or not in full, what the next level lacks, and what is to be known, a line for each."""
    if not backend.available:
        yield next(v.message for v in backend.verdicts if v.outcome == Outcome.UNAVAILABLE).splitlines()[0]
        return
    for verdict in backend.missing_guards:
        yield f"a guard, which counts if strict: {verdict.property}: {verdict.message.splitlines()[0]}"
    yield from (" ".join(each.split()) for each in undecided(backend))
    alone = Report("", 0, 0, {}, (replace(backend, backend=""),))
    yield from (line.removeprefix(": ").removesuffix("  ()") for line in notes(alone, ENDLESS).splitlines())
