"""docs/report.md explains the file of a report: its tables are those of the schema, and its example is one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema

from conformance.report.schema import schema

PAGE = Path(__file__).parents[1] / "docs" / "report.md"

_WORDS = {"string": "text", "boolean": "true or false", "integer": "whole number", "null": "null"}


def _kind(told: dict[str, Any]) -> str:
    """The type of a field for a reader."""
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return name if name == "number" else f"[{name}](#{name.lower()})"
    if "const" in told:
        return f"`{json.dumps(told['const'])}`"
    if "anyOf" in told:
        return ", ".join(map(_kind, told["anyOf"][:-1])) + f" or {_kind(told['anyOf'][-1])}"
    if told["type"] == "array":
        return f"list of {_kind(told['items'])}"
    return f"object of {_kind(told['additionalProperties'])}" if told["type"] == "object" else _WORDS[told["type"]]


def tables() -> str:
    """A section for each record, in the order in which a reader meets them, with a row for each field or member."""
    whole = schema()
    sections = ["### Report", whole["description"], *_fields(whole)]
    for name in _met(whole, []):
        told = whole["$defs"][name]
        sections += ["", f"### {name}", "", told["description"], ""]
        if "oneOf" in told:
            sections += [f"- `{each['const']}`" + f" {each.get('description', '')}".rstrip() for each in told["oneOf"]]
        elif "properties" in told:
            sections += _fields(told)
        else:
            sections.append(", ".join(map(_kind, told["anyOf"])))
    return "\n".join([*sections[:1], "", *sections[1:2], "", *sections[2:]])


def _fields(told: dict[str, Any]) -> list[str]:
    rows = [f"| `{name}` | {_kind(each)} | {each['description']} |" for name, each in told["properties"].items()]
    return ["| field | type | meaning |", "|---|---|---|", *rows]


def _met(told: dict[str, Any], names: list[str]) -> list[str]:
    """The names of what a part of the schema refers to, as they are met: those within a record after it."""
    for name in dict.fromkeys(re.findall(r"#/\$defs/(\w+)", json.dumps(told))):
        if name not in names and name != "number":
            names.append(name)
            _met(schema()["$defs"][name], names)
    return names


def test_the_page_has_every_field_in_order_with_its_words() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert tables() in page, "the tables between the marks are those that `tables()` here makes"


def test_the_example_of_the_page_is_a_report() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    jsonschema.Draft202012Validator(schema()).validate(json.loads(example))
