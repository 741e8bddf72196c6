"""Configs and capabilities as the string fields of messages, and back: docs/protocol.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from conformance.backend import Capabilities
from conformance.processes.message import Garbled
from conformance.spec import Array, LSTMConfig, numpy_dtype, param_shapes

_EXPECTED = "expected_failure:"
_FIXED = "fixed:"


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _truth_or_names(text: str) -> bool | tuple[str, ...]:
    return _truth(text) if text in ("true", "false") else tuple(text.split())


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
    "bool | tuple[str, ...]": (
        lambda value: _FORMS["bool" if isinstance(value, bool) else "tuple[str, ...]"][0](value),
        _truth_or_names,
    ),
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
    """The capabilities in a message's fields, or the default where one is left out; ``params`` are a fixed model's."""
    values: dict[str, Any] = {
        name: _read(name, given[name], read) for name, (_, read) in _CAPABILITIES.items() if name in given
    }
    values["expected_failures"] = {
        name.removeprefix(_EXPECTED): reason for name, reason in given.items() if name.startswith(_EXPECTED)
    }
    fixed = {name.removeprefix(_FIXED): text for name, text in given.items() if name.startswith(_FIXED)}
    if fixed:
        defaults = {f.name: _CONFIG[f.name][0](f.default) for f in fields(LSTMConfig) if f.default is not MISSING}
        values["fixed"] = _fixed(config_from_fields(defaults | fixed), params)
    try:
        return Capabilities(**values)
    except ValueError as error:
        raise Garbled(str(error)) from None


def _fixed(config: LSTMConfig, params: Mapping[str, Array]) -> tuple[LSTMConfig, Mapping[str, Array]]:
    """A config and params that are baked in; ``Garbled`` where they do not fit each other."""
    largest = max((value.size for value in params.values()), default=0)
    # Nothing of a size that was merely claimed is made.
    if config.num_layers > len(params) or config.hidden_size > largest:
        told = f"{config.num_layers} layers of {config.hidden_size} units"
        raise Garbled(f"its fixed config has {told}; it sent {len(params)} params, the largest of {largest} elements")
    wanted, given = param_shapes(config), {name: value.shape for name, value in params.items()}
    if given != wanted:
        name = next(n for n in (*wanted, *given) if wanted.get(n) != given.get(n))
        raise Garbled(f"its fixed params: {name} has shape {given.get(name)}, expected {wanted.get(name)}")
    if wrong := [name for name, value in params.items() if value.dtype != numpy_dtype(config.dtype)]:
        raise Garbled(f"its fixed params: {wrong[0]} is {params[wrong[0]].dtype}, its config says {config.dtype}")
    return config, dict(params)


def _read(name: str, text: str | None, read: Callable[[str], Any]) -> Any:
    if text is None:
        raise Garbled(f"its field {name} is missing")
    try:
        return read(text)
    except ValueError as error:
        raise Garbled(f"its field {name} is {text[:80]!r}: {error}") from None
