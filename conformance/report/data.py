"""The report as plain data for JSON, and back: one writer and one reader, for files, for workers and for children.

``from_json(to_json(report)) == report``. A record is an object of its fields; a fact names its kind besides. Numbers
that JSON does not have are the texts "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from conformance import facts
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.properties.model import QUESTIONS
from conformance.report import causes, english
from conformance.report.levels import reached
from conformance.report.model import Report, Verdict
from conformance.report.text import replay_line
from conformance.report.unjudged import unjudged

#: The version of what ``to_json`` writes; 5 says the causes of failures.
FORMAT = 5

_FACTS = {kind.__name__: kind for kind in get_args(facts.Fact)}


def to_json(report: Report) -> dict[str, Any]:
    """The report for ``json.dump``, with what follows from it for readers in other languages: messages, levels."""
    data = encode(report)
    for written, backend in zip(data["backends"], report.backends, strict=True):
        level, gap = reached(backend)
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
                one |= {"message": causes.sentence(cause, len(backend.bad))}
        for one, verdict in zip(written["verdicts"], backend.verdicts, strict=True):
            one |= {"message": verdict.message, "question": verdict.question}
            one |= {"replay": replay_line(verdict) if verdict.recipe else None}
            one |= {"scope_message": english.scope(verdict.scope) if verdict.scope else None}
    return {"format": FORMAT, "conformant": report.conformant, "complete": report.complete, **data}


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
    return json.dumps(to_json(report), indent=1, allow_nan=False)


def from_json(data: Mapping[str, Any]) -> Report:
    """The report that ``to_json`` made the data of. Raises ``UsageError`` for data of another format."""
    given = data.get("format")
    if given != FORMAT:
        raise UsageError(f"the report has format {given!r}, expected {FORMAT}", "write it again with `run --json`")
    return decode(Report, data)


def encode(value: Any) -> Any:
    """A record of facts, verdicts or reports as plain data."""
    if is_dataclass(value):
        kind = {"kind": type(value).__name__} if type(value) in _FACTS.values() else {}
        return kind | {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    return str(value) if isinstance(value, StrEnum) else value


def decode(kind: Any, data: Any) -> Any:
    """The record of a kind from its plain data; what the data hold besides is passed over."""
    origin = get_origin(kind)
    if origin in (types.UnionType, Union):
        return None if data is None else decode(_member(kind, data), data)
    if is_dataclass(kind):
        # What a report that was written earlier does not have yet is as it is without saying.
        given = {name: decode(hint, data[name]) for name, hint in _hints(kind).items() if name in data}
        return kind(**given)  # type: ignore[operator]
    if origin is tuple:
        return tuple(decode(get_args(kind)[0], item) for item in data)
    if origin is dict:
        return {key: decode(get_args(kind)[1], item) for key, item in data.items()}
    if kind is float:
        # The very nan that ``math`` has: records that hold it are equal.
        return math.nan if data == "nan" else float(data)
    return kind(data) if isinstance(kind, type) and issubclass(kind, StrEnum) else data


def _member(union: Any, data: Any) -> Any:
    """The member of a union that data is of: a fact names its kind, and any other union is of one type and None."""
    if isinstance(data, Mapping) and "kind" in data:
        return _FACTS[data["kind"]]
    return next(member for member in get_args(union) if member is not types.NoneType)


@lru_cache(maxsize=64)
def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record)
