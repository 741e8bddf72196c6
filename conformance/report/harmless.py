"""Texts of somebody else's, made harmless: no character of them moves a cursor, colours, reorders or hides anything.

Names, notes, messages, paths and captured output come from backends. Two doors let text out: a report that is shown
in any format goes through ``names.named``, and what else a person reads through ``drivers/console.show``. Both call
the functions here. What a format reads as markup is the format's own affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

T = TypeVar("T")

#: So many characters of a name and of any other text are shown; the middle of a longer one is left out.
NAME, TEXT = 200, 8_000

#: The fields of a report's records whose texts may have several lines.
_LINES = frozenset({"text", "reason", "note", "why", "traceback", "fix", "defect"})

#: The fields that hold a name.
_NAMES = frozenset({"own_name", "environment", "frameworks", "targets", "missing", "version"})

#: What the words about a text that was cut take at most.
_TOLD = 40


def harmless(text: str, most: int | None = None, lines: bool = False) -> str:
    """A text in which every character that does not print is an escape, as in Python: ``\\x1b``, ``\\u202e``, ``\\n``.

    Ends of lines and tabs are kept if it may have several ``lines``. Of more than ``most`` characters the middle is
    left out, and their number is told.
    """
    if most is None or len(text) <= most:
        return _printable(text, lines)
    half = (most - _TOLD) // 2
    return f"{_printable(text[:half], lines)} …[{len(text)} characters]… {_printable(text[-half:], lines)}"


def _printable(text: str, lines: bool) -> str:
    parts = re.split(r"([\n\t])", text.replace("\r\n", "\n")) if lines else [text]
    return "".join(part if at % 2 or part.isprintable() else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def legible(record: T) -> T:
    """A record of facts, verdicts or reports with every text of it made harmless, in whatever it is nested."""
    return _legible(record, "")


def _legible(value: Any, field: str) -> Any:
    if type(value) is str:
        return harmless(value, NAME if field in _NAMES else TEXT, field in _LINES)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _legible(getattr(value, each.name), each.name) for each in fields(value)})
    if isinstance(value, tuple):
        return tuple(_legible(item, field) for item in value)
    if isinstance(value, Mapping):
        return {_legible(key, field): _legible(item, field) for key, item in value.items()}
    return value
