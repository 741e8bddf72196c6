"""Configs and capabilities as the string fields of messages, and back: docs/protocol.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from conformance.backend import Capabilities
from conformance.spec import LSTMConfig
from conformance.wire.message import Garbled

_EXPECTED = "expected_failure:"
_FIXED = "fixed:"


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _pairs(text: str) -> dict[str, str]:
    found = {}
    for word in text.split():
        dtype, equals, arithmetic = word.partition("=")
        if not equals:
            raise ValueError("expected words like float32=tf32")
        found[dtype] = arithmetic
    return found


#: By a field's declared type: how it is written, and how it is read.
_FORMS: dict[str, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    "int": (str, int),
    "float": (repr, float),
    "str": (str, str),
    "bool": (lambda value: "true" if value else "false", _truth),
    "tuple[str, ...]": (" ".join, lambda text: tuple(text.split())),
    "Mapping[str, str]": (lambda value: " ".join(f"{key}={word}" for key, word in value.items()), _pairs),
}

_CONFIG = {field.name: _FORMS[str(field.type)] for field in fields(LSTMConfig)}
_CAPABILITIES = {
    field.name: _FORMS[str(field.type)]
    for field in fields(Capabilities)
    if field.name not in ("fixed", "expected_failures", "threads")
}


def config_to_fields(config: LSTMConfig) -> dict[str, str]:
    """A config as fields, all of them."""
    return {name: write(getattr(config, name)) for name, (write, _) in _CONFIG.items()}


def config_from_fields(given: Mapping[str, str]) -> LSTMConfig:
    """The config in a message's fields; ``Garbled`` names the one that is missing or wrong."""
    values = {name: _read(name, given.get(name), read) for name, (_, read) in _CONFIG.items()}
    try:
        return LSTMConfig(**values)
    except ValueError as error:
        raise Garbled(f"its config: {error}") from None


def capabilities_to_fields(capabilities: Capabilities) -> dict[str, str]:
    """Capabilities as fields; a fixed model's config among them, its params being tensors."""
    found = {name: write(getattr(capabilities, name)) for name, (write, _) in _CAPABILITIES.items()}
    found |= {f"{_EXPECTED}{id}": reason for id, reason in capabilities.expected_failures.items()}
    if capabilities.fixed is not None:
        found |= {f"{_FIXED}{name}": text for name, text in config_to_fields(capabilities.fixed[0]).items()}
    return found


def capabilities_from_fields(given: Mapping[str, str], params: Mapping[str, Any]) -> Capabilities:
    """The capabilities in a message's fields, what is left out being the default; ``params`` are a fixed model's."""
    values: dict[str, Any] = {
        name: _read(name, given[name], read) for name, (_, read) in _CAPABILITIES.items() if name in given
    }
    values["expected_failures"] = {
        name.removeprefix(_EXPECTED): reason for name, reason in given.items() if name.startswith(_EXPECTED)
    }
    fixed = {name.removeprefix(_FIXED): text for name, text in given.items() if name.startswith(_FIXED)}
    if fixed:
        defaults = {f.name: _CONFIG[f.name][0](f.default) for f in fields(LSTMConfig) if f.default is not MISSING}
        values["fixed"] = config_from_fields(defaults | fixed), dict(params)
    try:
        return Capabilities(**values)
    except ValueError as error:
        raise Garbled(str(error)) from None


def _read(name: str, text: str | None, read: Callable[[str], Any]) -> Any:
    if text is None:
        raise Garbled(f"its field {name} is missing")
    try:
        return read(text)
    except ValueError as error:
        raise Garbled(f"its field {name} is {text[:80]!r}: {error}") from None
