"""The JSON Schema of a report's file, derived from the records by the rules of ``report/records.py``.

``lstm-conformance report --schema`` prints it, and ``docs/report.schema.json`` is what it printed.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from conformance.facts import Fact
from conformance.report.data import FORMAT, ordered
from conformance.report.derived import BESIDE
from conformance.report.model import Report
from conformance.report.records import FACTS, UNBOUNDED

_FACT = get_args(Fact)

_PLAIN = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    types.NoneType: {"type": "null"},
}


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what ``report/data.to_json`` writes."""
    definitions: dict[str, Any] = {"number": _NUMBER}
    whole = _record(Report, definitions)
    version = {"description": "The version of this format.", "const": FORMAT}
    own = {field.name: whole["properties"][field.name] for field in fields(Report)}
    whole["properties"] = {"format": version, **ordered(own), **whole["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:lstm-conformance:report:{FORMAT}",
        "title": "A report of lstm-conformance",
        **whole,
        "required": [*whole["properties"]],
        "$defs": dict(sorted(definitions.items())),
    }


_NUMBER = {
    "description": "A number. Those that JSON does not have are texts.",
    "anyOf": [{"type": "number"}, {"enum": [*UNBOUNDED]}],
}


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type of a record's field; what it refers to is put among the definitions."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (types.UnionType, Union):
        if arguments != _FACT and {*_FACT} <= {*arguments}:
            others = [_of(each, definitions) for each in arguments if each not in _FACT]
            return {"anyOf": [_fact(definitions), *others]}
        return _fact(definitions) if arguments == _FACT else {"anyOf": [_of(each, definitions) for each in arguments]}
    if is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, StrEnum)):
        return _reference(kind, definitions)
    if origin is tuple:
        assert arguments[1:] == (...,), f"{kind}: no rule for tuples of one length"
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    return {"$ref": "#/$defs/number"} if kind is float else _PLAIN[kind]


def _fact(definitions: dict[str, Any]) -> dict[str, Any]:
    """Any fact, under a name of its own."""
    if "Fact" not in definitions:
        told: dict[str, Any] = {"description": "What is said beside an outcome: `kind` says which of these it is."}
        definitions["Fact"] = told
        told["anyOf"] = [_of(kind, definitions) for kind in _FACT]
    return {"$ref": "#/$defs/Fact"}


def _reference(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        # Before it is there: a record may be within another of its kind.
        definitions[name] = {}
        definitions[name] |= _record(kind, definitions) if is_dataclass(kind) else _enumeration(kind)
    return {"$ref": f"#/$defs/{name}"}


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """An object of a record's fields, and of those that stand beside them."""
    told: dict[str, Any] = {}
    if kind in FACTS.values():
        told["kind"] = {"description": "Which kind of fact it is.", "const": kind.__name__}
    for record in filter(None, (kind, BESIDE.get(kind))):
        hints, comments = get_type_hints(record), documented(record)
        told |= {
            field.name: {"description": comments[field.name]} | _of(hints[field.name], definitions)
            for field in fields(record)
        }
    return {
        "description": _plain(kind.__doc__),
        "type": "object",
        "properties": told,
        "required": [*told],
        "additionalProperties": False,
    }


def _enumeration(kind: Any) -> dict[str, Any]:
    comments = documented(kind)
    told = [
        {"const": str(member)} | ({"description": comments[name]} if name in comments else {})
        for name, member in kind.__members__.items()
    ]
    return {"description": _plain(kind.__doc__), "oneOf": told}


def documented(kind: type) -> dict[str, str]:
    """What the ``#:`` comments above the fields of a record say of each, or above the members of an enumeration.

    Of an enumeration's members some speak for themselves.
    """
    lines = inspect.getsource(kind).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.ClassDef)
    return {name: text for name, at in _named(body) if (text := _above(lines, at - 1))}


def _named(body: ast.ClassDef) -> Iterator[tuple[str, int]]:
    """The fields and members that a class's body assigns, each with its line."""
    for node in body.body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name):
            yield target.id, node.lineno


def _above(lines: list[str], at: int) -> str:
    """The ``#:`` comment right above a line."""
    found = list[str]()
    while at and (text := lines[at - 1].strip()).startswith("#:"):
        found.insert(0, text.removeprefix("#:").strip())
        at -= 1
    return _plain(" ".join(found))


def _plain(text: str | None) -> str:
    """A docstring's or a comment's words, in one line."""
    return " ".join((text or "").replace("``", "`").split())
