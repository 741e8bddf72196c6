"""Records as plain data for JSON, and back: one writer and one reader, for files, for workers and for children.

A record is an object of its fields; a fact names its kind besides. Numbers that JSON does not have are the texts
"nan", "inf" and "-inf". A child process has no need of a report's words, so nothing of them is loaded here.
``report/schema.py`` says the same rules as a JSON Schema.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from conformance import facts

#: The records that name their kind, by it.
FACTS = {kind.__name__: kind for kind in get_args(facts.Fact)}

#: The numbers that JSON does not have.
UNBOUNDED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: 'a number, "nan", "inf" or "-inf"'}


class Misfit(ValueError):
    """Data that are not of the kind that was asked for: where, what was expected, and what is there."""

    def __init__(self, expected: str, data: Any, place: Sequence[str | int] = ()) -> None:
        super().__init__(expected, data)
        self.expected = expected
        self.data = data
        #: The names and indices that lead to the data.
        self.place = [*place]

    def __str__(self) -> str:
        return f"{path(self.place) or 'the whole'}: expected {self.expected}, got {in_short(self.data)}"


def path(place: Sequence[str | int]) -> str:
    """The names and indices that lead to a part of data: "backends[0].verdicts[3].fact"."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")


def encode(value: Any) -> Any:
    """A record of facts, verdicts or reports as plain data."""
    if is_dataclass(value):
        kind = {"kind": type(value).__name__} if type(value) in FACTS.values() else {}
        return kind | {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    return str(value) if isinstance(value, StrEnum) else value


def decode(kind: Any, data: Any) -> Any:
    """The record of a kind from its plain data; what the data hold besides is passed over.

    Raises ``Misfit`` for data of another kind.
    """
    origin = get_origin(kind)
    if origin in (types.UnionType, Union):
        return _member(get_args(kind), data)
    if is_dataclass(kind):
        return _record(kind, data)
    if origin is tuple:
        return _items(get_args(kind), data)
    if origin is dict:
        _require(isinstance(data, Mapping), "an object", data)
        return {key: _within(key, get_args(kind)[1], item) for key, item in data.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        _require(data in [*kind], " or ".join(f'"{member}"' for member in kind), data)
        return kind(data)
    _require(_is(kind, data), _WORDS[kind], data)
    return UNBOUNDED.get(data, data) if kind is float and isinstance(data, str) else kind(data)


def _is(kind: type, data: Any) -> bool:
    """Whether data are of a kind that JSON has. A whole number may stand for any, but true is none."""
    if kind is float:
        finite = isinstance(data, int | float) and not isinstance(data, bool) and abs(data) <= _LARGEST
        return finite or (isinstance(data, str) and data in UNBOUNDED)
    return isinstance(data, kind) and (kind is not int or not isinstance(data, bool))


_LARGEST = 1.7976931348623157e308


def _member(kinds: Sequence[Any], data: Any) -> Any:
    """Data of a union: a fact names its kind; any other union is of one record and None, or of plain values."""
    if data is None and types.NoneType in kinds:
        return None
    named = [kind for kind in kinds if kind in FACTS.values()]
    if named:
        names = " or ".join(kind.__name__ for kind in named)
        kind = data.get("kind") if isinstance(data, Mapping) else data
        _require(isinstance(kind, str) and FACTS.get(kind) in named, f"an object of the kind {names}", kind)
        return decode(FACTS[kind], data)
    first, *others = [kind for kind in kinds if kind is not types.NoneType]
    if not others:
        return decode(first, data)
    _require(any(_is(kind, data) for kind in (first, *others)), " or ".join(_WORDS[k] for k in (first, *others)), data)
    return data


def _record(kind: Any, data: Any) -> Any:
    _require(isinstance(data, Mapping), f"an object with {', '.join(f.name for f in fields(kind)[:3])} …", data)
    given = {name: _within(name, hint, data[name]) for name, hint in _hints(kind).items() if name in data}
    for field in fields(kind):
        # What a report that was written earlier does not have yet is as it is without saying.
        if field.name not in given and field.default is MISSING and field.default_factory is MISSING:
            raise Misfit(f"an object with {field.name!r}", data)
    return kind(**given)


def _items(kinds: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    """A tuple of any length of one kind, or of so many of one kind each."""
    _require(isinstance(data, list | tuple), "a list", data)
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(data)
    _require(len(kinds) == len(data), f"a list of {len(kinds)}", data)
    return tuple(_within(at, kind, item) for at, (kind, item) in enumerate(zip(kinds, data, strict=True)))


def _within(step: str | int, kind: Any, data: Any) -> Any:
    try:
        return decode(kind, data)
    except Misfit as misfit:
        misfit.place.insert(0, step)
        raise


def _require(fits: Any, expected: str, data: Any) -> None:
    if not fits:
        raise Misfit(expected, data)


def in_short(data: Any) -> str:
    """Data as JSON spells them; of lists and objects how large they are."""
    if isinstance(data, Mapping):
        return f"an object with {', '.join(repr(str(key)[:40]) for key in list(data)[:3]) or 'nothing'}"
    if isinstance(data, list | tuple):
        return f"a list of {len(data)}"
    if data is None or isinstance(data, bool):
        return {None: "null", True: "true", False: "false"}[data]
    text = repr(data) if isinstance(data, str) else str(data)
    return text if len(text) <= 60 else f"{text[:60]}…"


@lru_cache(maxsize=64)
def _hints(record: Any) -> dict[str, Any]:
    return get_type_hints(record)
