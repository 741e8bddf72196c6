"""The report as the data of a JSON file, and back: ``from_json(to_json(report)) == report``."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.properties.model import QUESTIONS
from conformance.report import causes, english
from conformance.report.levels import reached
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.records import decode, encode
from conformance.report.text import replay_line
from conformance.report.unjudged import unjudged

#: The version of what ``to_json`` writes; 6 says what a run was asked for, and what it measured.
FORMAT = 6


def to_json(report: Report, backends: Sequence[Any] | None = None) -> dict[str, Any]:
    """The report for ``json.dump``, with what follows from it for readers in other languages: messages, levels.

    ``backends`` stand for those of the report where they are given.
    """
    data = encode(replace(report, backends=()))
    data["backends"] = [_backend(backend) for backend in report.backends] if backends is None else list(backends)
    return {"format": FORMAT, "conformant": report.conformant, "complete": report.complete, **data}


def _backend(backend: BackendReport) -> dict[str, Any]:
    written, (level, gap) = encode(backend), reached(backend)
    written |= {
        "unjudged": unjudged(backend),
        "level": level or None,
        "shortfall": english.gap(gap) if gap else None,
    }
    written |= {question: _answers(backend.asked(question)) for question in QUESTIONS}
    written |= {"conformant": backend.conformant}
    written |= {"strictly_conformant": replace(backend, strict=True).conformant}
    if backend.diagnosis is not None:
        written["diagnosis"]["message"] = causes.headline(backend)
        for one, cause in zip(written["diagnosis"]["causes"], backend.diagnosis.causes, strict=True):
            one |= {"message": causes.sentence(cause, backend)}
    for one, verdict in zip(written["verdicts"], backend.verdicts, strict=True):
        one |= {"message": verdict.message, "question": verdict.question}
        one |= {"replay": replay_line(verdict) if verdict.recipe else None}
        one |= {"scope_message": english.scope(verdict.scope) if verdict.scope else None}
    return written


def _answers(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many properties were asked, and what became of them."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return {
        "asked": len(outcomes),
        "passed": outcomes.count(Outcome.PASSED),
        "expected_failures": outcomes.count(Outcome.EXPECTED_FAILURE),
        "failed": sum(outcome.bad for outcome in outcomes),
    }


def dumps(report: Report) -> str:
    """The report as the text of a JSON file."""
    return document(report, [backend_text(backend) for backend in report.backends])


def backend_text(backend: BackendReport) -> str:
    """What ``document`` takes of a backend: a report that is written again and again makes it once."""
    return textwrap.indent(json.dumps(_backend(backend), indent=1, allow_nan=False), "  ")


def document(report: Report, backends: Sequence[str]) -> str:
    """The report as the text of a JSON file, of the texts of its backends."""
    whole = json.dumps(to_json(report, ()), indent=1, allow_nan=False)
    # No text within the report has quotes that are not escaped.
    before, key, after = whole.partition('\n "backends": [')
    return f"{before}{key}\n" + ",\n".join(backends) + f"\n {after}" if backends else whole


def from_json(data: Mapping[str, Any]) -> Report:
    """The report that ``to_json`` made the data of. Raises ``UsageError`` for data of another format."""
    given = data.get("format")
    if given != FORMAT:
        raise UsageError(f"the report has format {given!r}, expected {FORMAT}", "write it again with `run --json`")
    return decode(Report, data)
