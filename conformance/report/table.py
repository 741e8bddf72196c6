"""The table: one row a backend, its level, and passed of declared for each group and for each question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tabulate import tabulate

from conformance.facts import CutShort, LeftOut, NotStarted, Outcome
from conformance.properties import GROUPS
from conformance.properties.model import QUESTIONS
from conformance.report import english
from conformance.report.colour import Paint, unpainted, visible
from conformance.report.columns import WIDTH, wrapped
from conformance.report.levels import reached, whole
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.unjudged import unjudged

#: So many columns a name has at most. The end of a longer one is what tells it from others: ``…er/my_lstm.py:MyLSTM``.
_LONGEST = 40


def table(report: Report, width: int = WIDTH, paint: Paint = unpainted) -> str:
    """The table of a report in ``width`` columns: a row for each backend, or a column, in several blocks if need be."""
    ran = _ran(report)
    groups = _groups(ran)
    headers = ["backend", "level", *groups, *QUESTIONS, "3-way", "margin", "time"]
    lines = [_fitted(headers, [_row(backend, groups, paint) for backend in ran], width), ""] if ran else []
    for backend in report.backends:
        if backend not in ran:
            first = next(v for v in backend.verdicts if v.outcome != Outcome.NOT_RUN)
            told = f"{backend.backend}  {first.outcome}: {first.message.splitlines()[0]}"
            lines.append(wrapped(told, "  ", width))
    if any(_seen(verdict) for backend in ran for verdict in backend.verdicts):
        lines.append("~: no failure in the cases that were checked before the run ended")
    return "\n".join(lines).rstrip()


def notes(report: Report, width: int = WIDTH) -> str:
    """What keeps backends from the next level, what is remarked of them, and what was not judged."""
    ran = _ran(report)
    told = list(_shortfalls(ran))
    for backend in ran:
        if remark := english.remark(backend.note, backend.signatures):
            told.append(f"{backend.backend}: {remark}")
        if left := unjudged(backend):
            told.append(f"{backend.backend}: NOT judged: {left}")
    return "\n".join(wrapped(text, "  ", width) for text in told)


def _ran(report: Report) -> list[BackendReport]:
    """The backends that have something to show."""
    return [backend for backend in report.backends if backend.available and not _stillborn(backend)]


def _fitted(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """The rows below their headers; where that is too wide, turned, and then as many backends at a time as fit."""
    text = _grid(rows, headers)
    if _columns(text) <= width:
        return text
    most = next((n for n in range(len(rows), 1, -1) if all(_columns(b) <= width for b in _turned(headers, rows, n))), 1)
    return "\n\n".join(_turned(headers, rows, most))


def _turned(headers: Sequence[str], rows: Sequence[Sequence[str]], most: int) -> Iterator[str]:
    """Blocks of at most so many backends, each backend a column."""
    for start in range(0, len(rows), most):
        first, *others = zip(headers, *rows[start : start + most], strict=True)
        yield _grid(others, first)


def _columns(text: str) -> int:
    return max(map(visible, text.splitlines()))


def _stillborn(backend: BackendReport) -> bool:
    """Whether it ended before there was anything to show."""
    started = not any(isinstance(v.fact, NotStarted) for v in backend.verdicts)
    return not backend.cases and (not started or bool(backend.count(Outcome.CRASHED, Outcome.TIMEOUT)))


def _groups(backends: Sequence[BackendReport]) -> list[str]:
    """The groups that were asked for, but smoke: a backend that fails it has nothing else to show."""
    asked = {verdict.property.partition(".")[0] for backend in backends for verdict in backend.verdicts}
    return [group for group in GROUPS if group in asked - {"smoke"}]


def _shortfalls(backends: Sequence[BackendReport]) -> Iterator[str]:
    """The reasons that keep backends from the next level, a line for each."""
    short: dict[str, list[str]] = {}
    for backend in backends:
        if gap := reached(backend)[1]:
            short.setdefault(english.gap(gap), []).append(backend.backend)
    return (f"short of {reason}  ({', '.join(names)})" for reason, names in short.items())


def _grid(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    # As a row, since tabulate makes every column two wider than its header.
    align = ["left", *["left" if header == "level" else "right" for header in headers[1:]]]
    first, *rest = tabulate([headers, *rows], tablefmt="plain", colalign=align, disable_numparse=True).splitlines()
    return "\n".join([first, "-" * len(first), *rest])


def _row(backend: BackendReport, groups: Sequence[str], paint: Paint) -> list[str]:
    margin = "–" if backend.margin is None else f"{backend.margin:.{'2f' if backend.margin < 100 else '1e'}}"
    # A few chosen properties say nothing of what was covered: most judge cases of their own.
    covered = backend.covered / backend.combinations if backend.combinations and whole(backend) else None
    coverage = "–" if covered is None else f"{covered:.0%}"
    cells = [share([v for v in backend.verdicts if v.property.startswith(group + ".")], paint) for group in groups]
    cells += [share(backend.asked(question), paint) for question in QUESTIONS]
    told = reached(backend)[0] or "—", *cells, coverage, margin, f"{backend.seconds:.1f} s"
    return [_shortened(backend.backend), *told]


def _shortened(name: str) -> str:
    """A name of ``_LONGEST`` columns at most."""
    if visible(name) <= _LONGEST:
        return name
    end = name[1 - _LONGEST :]
    while visible(end) >= _LONGEST:
        end = end[1:]
    return f"…{end}"


def share(verdicts: Sequence[Verdict], paint: Paint = unpainted) -> str:
    """How many of those that were asked hold: "7/8"; a dash if none was asked. What was expected to fail does not."""
    # A quick run asks nothing of those that it leaves out.
    verdicts = [v for v in verdicts if v.outcome != Outcome.NOT_DECLARED and not isinstance(v.fact, LeftOut)]
    passed, seen = sum(v.outcome == Outcome.PASSED for v in verdicts), sum(map(_seen, verdicts))
    bad = any(v.outcome.bad for v in verdicts)
    told = f"{'~' * bool(seen)}{passed + seen}/{len(verdicts)}"
    return paint(told, False if bad else None) if verdicts else "–"


def _seen(verdict: Verdict) -> bool:
    """Whether a run that was cut short had seen no failure in the cases that it had checked."""
    return isinstance(verdict.fact, CutShort) and verdict.fact.passed > 0
