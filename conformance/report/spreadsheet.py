"""Every verdict, and every comparison of weights, as one row of a table: for spreadsheets (CSV) and data frames."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from conformance.facts import Outcome
from conformance.report.model import Report
from conformance.report.names import named
from conformance.report.text import replay_line
from conformance.report.weights import by_file, details, key, sentence

#: The columns, and their types as pandas names them. New ones are added at the end.
COLUMNS = {
    "backend": "string",
    "property": "string",
    "group": "category",
    "question": "category",
    "outcome": "category",
    #: Whether it makes the backend not conformant.
    "spoils": "bool",
    "cases": "int64",
    "margin": "float64",
    "worst": "float64",
    "message": "string",
    "smallest": "string",
    "recipe": "string",
    "replay": "string",
    "expected": "string",
    #: Whether the backend's run came to its end.
    "complete": "bool",
    "seed": "int64",
    "version": "string",
}

#: What a spreadsheet takes for the beginning of a formula; the last ones are those of East Asian keyboards.
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r]")


def rows(report: Report) -> Iterator[dict[str, Any]]:
    """Each comparison of weights and each verdict by ``COLUMNS``; None where there is nothing to say."""
    report = named(report)
    for own in by_file(report.asked.weights):
        for each in own.compared:
            yield dict.fromkeys(COLUMNS) | {
                "backend": own.name,
                "property": key(each),
                "group": "weights",
                "outcome": str(Outcome.FAILED if each.likeness.wrong else Outcome.PASSED),
                "spoils": each.likeness.wrong,
                "cases": 0,
                "message": "; ".join([sentence(each), *details(each)]),
                "complete": True,
                "seed": report.seed,
                "version": report.version,
            }
    for backend in report.backends:
        bad = {verdict.property for verdict in backend.bad}
        for verdict in backend.verdicts:
            yield {
                "backend": backend.backend,
                "property": verdict.property,
                "group": verdict.property.partition(".")[0],
                "question": verdict.question,
                "outcome": str(verdict.outcome),
                "spoils": verdict.property in bad,
                "cases": verdict.cases,
                "margin": verdict.margin,
                "worst": verdict.worst,
                "message": verdict.message or None,
                "smallest": verdict.smallest or None,
                "recipe": verdict.recipe,
                "replay": replay_line(verdict) if verdict.recipe else None,
                "expected": verdict.expected or None,
                "complete": backend.complete,
                "seed": report.seed,
                "version": report.version,
            }


def render(report: Report) -> str:
    """The text of a CSV file. No cell of it is a formula: an apostrophe stands before what would begin one."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows(report))
    return text.getvalue().removesuffix("\n")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
