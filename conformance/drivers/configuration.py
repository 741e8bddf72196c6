"""The settings of a project's pyproject.toml under ``[tool.lstm-conformance]``: the command line's defaults there."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conformance.errors import UsageError

#: The settings that pyproject.toml may give under [tool.lstm-conformance], with their types.
_CONFIGURABLE: dict[str, type] = {
    "targets": list,
    "cases": int,
    "seed": int,
    "only": list,
    "exclude": list,
    "profile": str,
    "jobs": int,
    "diagnose": int,
    "timeout": float,
    "memory": float,
    "python": list,
    "strict": bool,
    "expected-failures": dict,
}


def _of_targets(value: Any) -> bool:
    """Whether a table has a table of texts for each target."""
    tables = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(table, dict) and all(isinstance(text, str) for text in table.values()) for table in tables)


#: What a setting of a type must be, in a person's words, and whether a value is that.
_KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number of at least 0", lambda value: type(value) is int and value >= 0),
    float: ("a number above 0", lambda value: type(value) in (int, float) and value > 0),
    bool: ("true or false", lambda value: type(value) is bool),
    dict: ("a table of tables, one for each target, {property id = reason}", _of_targets),
    list: ("a list of words", lambda value: isinstance(value, list) and all(isinstance(word, str) for word in value)),
}


def configured(folder: Path) -> dict[str, Any]:
    """The settings under [tool.lstm-conformance] of the nearest pyproject.toml."""
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if not path.is_file():
            continue
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("lstm-conformance", {})
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is not valid TOML: {error}") from None
        if not isinstance(given, dict):
            raise UsageError(f"{path}: tool.lstm-conformance must be a table, got {given!r}")
        for name, value in given.items():
            if name not in _CONFIGURABLE:
                raise UsageError(
                    f"{path}: [tool.lstm-conformance] has no setting {name!r}", f"it has {', '.join(_CONFIGURABLE)}"
                )
            kind, holds = _KINDS[_CONFIGURABLE[name]]
            if not holds(value):
                raise UsageError(f"{path}: {name} must be {kind}, got {value!r}")
        if targets := given.get("targets"):
            sys.path.insert(0, str(place))
            given["targets"] = [_seen_from(folder, place, target) for target in targets]
        if expected := given.get("expected-failures"):
            given["expected-failures"] = {_seen_from(folder, place, target): each for target, each in expected.items()}
        return given
    return {}


def _seen_from(folder: Path, place: Path, target: str) -> str:
    """A target of the pyproject.toml at ``place``, as it is written in ``folder``: files are named from there."""
    file, colon, attribute = target.rpartition(":")
    file, end = (file, colon + attribute) if file.endswith(".py") else (target, "")
    if not file.endswith(".py") or folder == place:
        return target
    return Path(os.path.relpath(place / file, folder)).as_posix() + end
