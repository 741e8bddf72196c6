"""Records as plain data for JSON, and back: one writer and one reader, for files, for workers and for children.

A record is an object of its fields; a fact names its kind besides. Numbers that JSON does not have are the texts
"nan", "inf" and "-inf". A child process has no need of a report's words, so nothing of them is loaded here.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from conformance import facts

_FACTS = {kind.__name__: kind for kind in get_args(facts.Fact)}


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
