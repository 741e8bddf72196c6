"""What a person reads: the run's head, and each failure with its smallest case and the line that replays it."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator

from conformance.properties import catalogue
from conformance.report.model import BAD, BackendReport, Report, Verdict

_WIDTH = 118


def head(report: Report) -> str:
    """One line that says what was run, with what."""
    versions = [f"{name} {version}" for name, version in report.environment.items() if name != "platform"]
    parts = [f"lstm-conformance {report.version}", f"seed {report.seed}", f"{report.cases} random cases", *versions]
    return " · ".join([*parts, report.environment.get("platform", "")])


def failures(report: Report) -> str:
    """Every backend's failures, one paragraph for each distinct one."""
    return "\n\n".join(text for backend in report.backends if (text := _backend(backend)))


def _backend(backend: BackendReport) -> str:
    paragraphs = []
    bad = [verdict for verdict in backend.verdicts if verdict.outcome in BAD]
    if bad:
        noun = "property does" if len(bad) == 1 else "properties do"
        paragraphs.append(f"{backend.backend}: {len(bad)} {noun} not hold")
    for same in _alike(bad):
        paragraphs.append(textwrap.indent(explain(same[0], also=[verdict.property for verdict in same[1:]]), "  "))
    narrowed = [verdict for verdict in backend.verdicts if verdict.outcome == "narrowed"]
    if narrowed:
        names = ", ".join(verdict.property for verdict in narrowed)
        text = (
            f"{backend.backend}: narrowed, not passed: {names}: the backend raised Unsupported within what it declares"
        )
        paragraphs.append(_wrapped(f"{text} ({narrowed[0].message})", ""))
    if backend.interrupted:
        names = [verdict.property for verdict in backend.verdicts if verdict.outcome == "not run"]
        listed = names if len(names) <= 12 else [*names[:10], f"and {len(names) - 10} more"]
        paragraphs.append(
            _wrapped(f"{backend.backend}: {backend.interrupted}; not run: {', '.join(listed) or 'none'}", "")
        )
    return "\n".join(paragraphs)


def _alike(verdicts: list[Verdict]) -> Iterator[list[Verdict]]:
    """Verdicts that show the same thing on the same case, together."""
    groups: dict[tuple[str, str, str | None], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.outcome, verdict.message, verdict.recipe), []).append(verdict)
    yield from groups.values()


def explain(verdict: Verdict, also: list[str] | None = None) -> str:
    """One verdict: the property's statement, the smallest case, expected against actual, and the replay line."""
    statement = catalogue()[verdict.property].statement
    lines = [f"{verdict.property} ({verdict.outcome}): {statement}"]
    if verdict.smallest:
        lines.append(f"  smallest  {verdict.smallest}")
    lines.append(textwrap.indent(verdict.message, "            ").replace("            ", "  result    ", 1))
    if verdict.worst is not None and 1e3 < verdict.worst < float("inf"):
        lines.append(f"  worst     {verdict.worst:.2g} times its bound, among all cases seen")
    if also:
        lines.append(_wrapped(f"  also      {', '.join(also)} show the same", " " * 12))
    if verdict.recipe is not None:
        lines.append(f"  replay    {replay_line(verdict)}")
    return "\n".join(lines)


def replay_line(verdict: Verdict) -> str:
    """The command that shows a verdict's case again."""
    recipes = " ".join(shlex.quote(text) for text in (*verdict.history, verdict.recipe or ""))
    return f"lstm-conformance replay {recipes} --backend {shlex.quote(verdict.backend)} --only {verdict.property}"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent or "  ", break_long_words=False)
