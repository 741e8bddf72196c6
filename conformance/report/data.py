"""The report as the data of a JSON file, and back: ``from_json(to_json(report)) == report``.

``docs/report.md`` explains the file, and ``report/schema.py`` says what may stand in it.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from conformance.cases.recipe import parse
from conformance.errors import UsageError
from conformance.properties import catalogue
from conformance.report import derived
from conformance.report.model import BackendReport, Report
from conformance.report.records import Misfit, decode, encode, in_short
from conformance.version import __version__

#: The version of what ``to_json`` writes; 6 says what a run was asked for, and what it measured.
FORMAT = 6


def to_json(report: Report, backends: Sequence[Any] | None = None) -> dict[str, Any]:
    """The report for ``json.dump``, with what follows from it for readers in other languages: messages, levels.

    ``backends`` stand for those of the report where they are given.
    """
    data = encode(replace(report, backends=()))
    data["backends"] = [_backend(backend) for backend in report.backends] if backends is None else list(backends)
    return {"format": FORMAT, **ordered(data), **encode(derived.of_report(report))}


def _backend(backend: BackendReport) -> dict[str, Any]:
    written = encode(backend)
    for one, verdict in zip(written["verdicts"], backend.verdicts, strict=True):
        one |= encode(derived.of_verdict(verdict))
    if backend.diagnosis is not None:
        written["diagnosis"] |= encode(derived.of_diagnosis(backend))
        for one, cause in zip(written["diagnosis"]["causes"], backend.diagnosis.causes, strict=True):
            one |= encode(derived.of_cause(cause, backend))
    return written | encode(derived.of_backend(backend))


def ordered(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a report in the order of its file: what was asked and with what, then what came of it."""
    last = ("backends", "missing", "errors", "ended")
    return {name: fields[name] for name in sorted(fields, key=lambda name: name in last and 1 + last.index(name))}


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


def from_json(data: Any) -> Report:
    """The report that ``to_json`` made the data of.

    Raises ``UsageError`` for data of another format, and for data that are no report: it says where, and what it
    expected there.
    """
    if not isinstance(data, Mapping) or "format" not in data:
        raise UsageError("no report: expected an object with the key 'format'", _HINT)
    given = data["format"]
    if given != FORMAT or isinstance(given, bool):
        raise UsageError(
            f"the report has format {in_short(given)}, expected {FORMAT}", "write it again with `run --json`"
        )
    try:
        report = decode(Report, data)
        _check(report)
    except Misfit as misfit:
        raise UsageError(f"no report of format {FORMAT}: {misfit}", _HINT) from None
    return report


_HINT = "`lstm-conformance run --json FILE` writes one"


def loads(text: str) -> Report:
    """The report in the text of a JSON file. Raises ``UsageError`` as ``from_json`` does, for a cut text too."""

    def refuse(number: str) -> float:
        raise UsageError(f"no JSON: {number} is no number of JSON", _HINT)

    try:
        data = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        whole = text.strip()
        if not whole:
            raise UsageError("no report: it is empty", _HINT) from None
        place = f"line {error.lineno}, column {error.colno}"
        # An object that is cut does not end in its brace, or something is missing behind that.
        cut = whole[0] == "{" and (whole[-1] != "}" or not text[error.pos :].strip())
        what = f"it is cut off at {place}: its end is missing" if cut else f"no JSON: {error.msg.lower()} at {place}"
        raise UsageError(what, _HINT) from None
    except (ValueError, RecursionError) as error:
        told = "it is nested too deep" if isinstance(error, RecursionError) else str(error).partition(";")[0]
        raise UsageError(f"no report: {told}", _HINT) from None
    return from_json(data)


def _check(report: Report) -> None:
    """``Misfit`` for a property or a recipe that is none, and for a property that has two verdicts on one backend."""
    known = catalogue()
    a_property = f"a property that lstm-conformance {__version__} has"
    for at, backend in enumerate(report.backends):
        place = ("backends", at, "verdicts")
        seen = set[str]()
        for number, verdict in enumerate(backend.verdicts):
            if verdict.property not in known:
                raise Misfit(a_property, verdict.property, (*place, number, "property"))
            if verdict.property in seen:
                raise Misfit("one verdict on each property", verdict.property, (*place, number, "property"))
            seen.add(verdict.property)
            if verdict.recipe is not None and not _is_recipe(verdict.recipe):
                raise Misfit("the text of a case", verdict.recipe, (*place, number, "recipe"))
        for number, cause in enumerate(backend.diagnosis.causes if backend.diagnosis else ()):
            if cause.broken and cause.broken not in known:
                place = ("backends", at, "diagnosis", "causes", number, "broken")
                raise Misfit(a_property, cause.broken, place)


def _is_recipe(text: str) -> bool:
    try:
        parse(text)
    except UsageError:
        return False
    return True
