"""The text for a person: the run's head, and each failure with its smallest case and the line that replays it."""

from __future__ import annotations

import os
import shlex
import subprocess
import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from conformance.cases.case import Case, tensors
from conformance.facts import AdapterBroken, NotStarted, Outcome, Scope
from conformance.properties import catalogue
from conformance.properties.model import COMPUTES, QUESTIONS
from conformance.report import english
from conformance.report.levels import reached, whole
from conformance.report.model import BackendReport, Report, Verdict
from conformance.spec import Array

_WIDTH = 118

#: A case of so many numbers is shown with all of them.
_FEW = 60

#: The outcomes that are neither good nor bad, and how a person is told of them.
_UNDECIDED = {Outcome.NARROWED: "narrowed, not passed", Outcome.NOT_RUN: "not run"}


def head(report: Report) -> str:
    """One line that says what was run, with what."""
    versions = [f"{name} {version}" for name, version in report.environment.items() if name != "platform"]
    parts = [f"lstm-conformance {report.version}", f"seed {report.seed}", f"{report.cases} random cases", *versions]
    return " · ".join([*parts, report.environment.get("platform", "")])


def failures(report: Report) -> str:
    """Every backend's failures, one paragraph for each distinct one."""
    return "\n\n".join(text for backend in report.backends if (text := _backend(backend)))


def _backend(backend: BackendReport) -> str:
    paragraphs, bad = [], backend.bad
    if bad:
        noun = "property does" if len(bad) == 1 else "properties do"
        paragraphs.append(f"{backend.backend}: {len(bad)} {noun} not hold")
    for same in _alike(bad):
        paragraphs.append(textwrap.indent(explain(same[0], also=same[1:]), "  "))
    if missing := backend.missing_guards:
        paragraphs.append(f"{backend.backend}: {english.missing_guards(len(missing))}")
        paragraphs += [f"  {v.property:<27} {v.message.splitlines()[0]}" for v in missing]
    for outcome, meaning in _UNDECIDED.items():
        reasons: dict[str, list[str]] = {}
        for verdict in backend.verdicts:
            if verdict.outcome == outcome and verdict.fact is not None:
                reasons.setdefault(english.shared(verdict.fact), []).append(verdict.property)
        for reason, names in reasons.items():
            listed = names if len(names) <= 12 else [*names[:10], f"and {len(names) - 10} more"]
            others = sum(not v.outcome.bad and v.outcome != Outcome.NOT_DECLARED for v in backend.verdicts)
            told = "all others" if len(names) == others else ", ".join(listed)
            paragraphs.append(_wrapped(f"{backend.backend}: {meaning}: {told} ({reason})", ""))
    return "\n".join(paragraphs)


def conclusion(report: Report) -> str:
    """A sentence for each backend, which begins with whether it is conformant: the last thing that a person reads."""
    lines = [f"{_standing(backend)}: {sentence(backend)}" for backend in report.backends]
    if report.missing:
        lines.append(f"interrupted, not begun: {', '.join(report.missing)}")
    return "\n".join(lines)


def sentence(backend: BackendReport) -> str:
    """A backend's answers to the three questions, as far as they were asked; its name where the run has no end."""
    if not backend.available or not backend.complete:
        return backend.backend
    if gate := next((v for v in backend.verdicts if isinstance(v.fact, AdapterBroken | NotStarted)), None):
        return f"{backend.backend}: {gate.message}"
    parts = []
    for question in QUESTIONS:
        asked = backend.asked(question)
        good = sum(verdict.outcome.good for verdict in asked)
        bad = [verdict for verdict in asked if verdict.outcome.bad]
        expected = sum(verdict.outcome == Outcome.EXPECTED_FAILURE for verdict in asked)
        if asked and question == COMPUTES:
            level = reached(backend)[0]
            parts.append(english.computes(good, len(bad), len(asked), level, whole(backend), expected))
        elif asked:
            parts.append(english.others(question, good, len(asked), [_in_short(v) for v in bad]))
    return backend.backend + (" " if backend.asked(COMPUTES) else ": ") + "; ".join(parts)


def _in_short(verdict: Verdict) -> str:
    """What fails, in the property's few words; what they do not say, by its id."""
    fails = catalogue()[verdict.property].fails
    if verdict.outcome == Outcome.FAILED:
        return fails or verdict.property
    return f"{verdict.property} {verdict.outcome}"


def _standing(backend: BackendReport) -> str:
    if not backend.available:
        return "unavailable"
    if not backend.complete and not backend.bad:
        return "interrupted"
    return "conformant" if backend.conformant else "not conformant"


def interruption(backend: BackendReport) -> str:
    """Why a backend's run ended early, or nothing."""
    return "" if backend.interrupted is None else english.interruption(backend.interrupted)


def _alike(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Verdicts that show the same thing on the same case, together."""
    groups: dict[object, list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault((v.outcome, v.fact, v.recurrence, v.history, v.recipe), []).append(v)
    yield from groups.values()


def explain(verdict: Verdict, also: Sequence[Verdict] = ()) -> str:
    """One verdict: the property's statement, the smallest case, expected against actual, and the replay line.

    Others that show the same, ``also``, are named; where cases were right all the same, those of all are counted.
    """
    statement = catalogue()[verdict.property].statement
    lines = [f"{verdict.property} ({verdict.outcome}): {statement}"]
    if verdict.smallest:
        lines.append(f"  smallest  {verdict.smallest}")
    lines.append(textwrap.indent(verdict.message, "            ").replace("            ", "  result    ", 1))
    if verdict.worst is not None and verdict.worst > 1e3:
        lines.append(f"  worst     {verdict.worst:.2g} times its bound, among all cases seen")
    if scopes := [v.scope for v in (verdict, *also) if v.scope]:
        lines.append(f"  scope     {english.scope(_together(scopes))}")
    if also:
        lines.append(_wrapped(f"  also      {', '.join(v.property for v in also)}", " " * 12))
    if verdict.recipe is not None:
        lines.append(f"  replay    {replay_line(verdict)}")
    return "\n".join(lines)


def _together(scopes: Sequence[Scope]) -> Scope:
    """The scope of several properties that end in the same error; some may have met too few to tell where."""
    counts = ((scope.cases, scope.right, scope.wrong) for scope in scopes)
    cases, right, wrong = map(sum, zip(*counts, strict=True))
    told = {scope.wherever for scope in scopes if scope.wherever}
    return Scope(cases, right, wrong, told.pop() if len(told) == 1 else ())


def replay_line(verdict: Verdict) -> str:
    """The command that shows a verdict's case again, quoted for this system's shell."""
    words = ["lstm-conformance", "replay", *verdict.history, verdict.recipe or ""]
    words += ["--backend", verdict.backend, "--only", verdict.property]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def arrays(case: Case) -> str:
    """The numbers of a case that has few of them, or nothing: each tensor that is not zero, and which ones are."""
    named = tensors(case)
    if sum(value.size for value in named.values()) > _FEW:
        return ""
    lines = [f"{name:<22}{_numbers(value)}" for name, value in named.items() if value.any()]
    zeros = ", ".join(name for name, value in named.items() if not value.any())
    return "\n".join([*lines, *[_wrapped(f"{'zero':<22}{zeros}", " " * 22)] * bool(zeros)])


def _numbers(value: Array) -> str:
    text = np.array2string(value, separator=", ", floatmode="unique", max_line_width=10**6)
    return " ".join(text.split())


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent=indent or "  ", break_long_words=False)
