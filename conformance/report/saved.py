"""A reproduction as a safetensors file, and back from that or from its script."""

from __future__ import annotations

import ast
import base64
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from conformance.backend import Backend, Capabilities
from conformance.errors import UsageError
from conformance.processes.message import Garbled, Message, Stream, decode, encode
from conformance.processes.parcel import pack_events, unpack_events
from conformance.report.script import MARK, identity
from conformance.spec import LSTMConfig
from conformance.trials.events import Event, digest, recording
from conformance.trials.reproduction import Reproduction, Wanted

#: What a file's name must end in.
SUFFIXES = (".py", ".safetensors")

#: The parts of a script that are run to read its arrays and its calls; everything else of it stays unread.
_READ = ("unpacked", "placed", "copied", "results", "run")


def safetensors(told: Reproduction) -> bytes:
    """The file: the calls' arrays as "1.weight_ih_l0", "2.x" …, and "expected.output", "bound.output" …

    Its fields are ``property``, ``target``, ``recipe`` (the last of ``recipes``), ``told`` and the rest that
    ``replay`` needs.
    """
    packed = pack_events(told.events)
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in identity(told).items()}
    wanted = {f"expected.{name}": one.expected for name, one in told.wanted.items()}
    wanted |= {f"bound.{name}": one.bound for name, one in told.wanted.items()}
    more = {"type": "reproduction", "events": packed.fields["events"], "recipe": told.recipes[-1]}
    tensors = {**packed.tensors, **wanted}
    # The elements of wide dtypes come first, so that all of them are aligned.
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].itemsize))
    return encode(Message(fields | more, ordered))


def read(path: Path) -> Reproduction:
    """The reproduction in a script or a safetensors file. Raises ``UsageError`` for any other file."""
    try:
        return _read_script(path) if path.suffix == ".py" else _read_tensors(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (Garbled, ValueError, KeyError, TypeError, SyntaxError) as error:
        hint = f"`lstm-conformance replay TEXT --backend TARGET --write {path}` writes one"
        raise UsageError(f"{path} is no reproduction: {type(error).__name__}: {error}", hint) from None


def is_reproduction(path: Path) -> bool:
    """Whether a file was written as a reproduction, so that another may take its place."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    return (f"\n{MARK}" if path.suffix == ".py" else '"type":"reproduction"').encode() in start


def _read_tensors(path: Path) -> Reproduction:
    with path.open("rb") as file:
        message = decode(Stream(file.fileno()), os.fstat(file.fileno()).st_size)
    if message is None or message.type != "reproduction":
        raise ValueError("its __metadata__ has another type")
    calls = {name: value for name, value in message.tensors.items() if name[0].isdigit()}
    events = unpack_events(Message(message.fields, calls))
    # A call's arrays stand in the order in which they are given, whatever their order in the file.
    events = tuple(replace(event, arrays=_in_order(event.arrays)) for event in events)
    names = [name.removeprefix("expected.") for name in message.tensors if name.startswith("expected.")]
    wanted = {name: Wanted(*(message.tensors[f"{part}.{name}"] for part in ("expected", "bound"))) for name in names}
    return _reproduction(message.fields, events, wanted)


_ORDER = ("x", "h_0", "c_0", "lengths", "grad_output", "grad_h_n", "grad_c_n")


def _in_order(arrays: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: at for at, name in enumerate(_ORDER)}
    return dict(sorted(arrays.items(), key=lambda item: known.get(item[0], -1)))


def _read_script(path: Path) -> Reproduction:
    text = path.read_text(encoding="utf-8")
    line = next((line for line in text.splitlines() if line.startswith(MARK)), None)
    if line is None:
        raise ValueError("it has no line that says what it reproduces")
    events = list[Event]()

    def nothing(config: LSTMConfig, params: Any) -> Any:
        def forward(*given: Any, **named: Any) -> Any:
            return None, (None, None)

        model: Any = forward
        model.vjp = lambda *given: ((None, (None, None)), {})
        model.load = model.train = lambda given: None
        return model

    def told(event: Event | None) -> None:
        if event is None:
            raise ValueError("a call is given other things than arrays")
        events.append(event)

    names: dict[str, Any] = {"np": np, "inf": np.inf, "nan": np.nan, "base64": base64, "zlib": zlib}
    if find_spec("ml_dtypes"):
        import ml_dtypes  # noqa: PLC0415

        names["ml_dtypes"] = ml_dtypes
    names |= {"Config": LSTMConfig, "build": recording(Backend("", Capabilities(), nothing), told).build}
    names |= {"EXPECTED": {}, "BOUND": {}}
    body = [node for node in ast.parse(text).body if _is_data(node)]
    exec(compile(ast.Module(body, []), str(path), "exec"), names)
    names["run"]()
    wanted = {name: Wanted(names["EXPECTED"][name], names["BOUND"][name]) for name in names["EXPECTED"]}
    return _reproduction(json.loads(line.removeprefix(MARK)), tuple(events), wanted)


def _is_data(node: ast.stmt) -> bool:
    """An array, an empty collection, or a function that the calls need."""
    if isinstance(node, ast.FunctionDef):
        return node.name in _READ
    if not isinstance(node, ast.Assign):
        return False
    value = node.value
    while isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute) and value.func.attr == "reshape":
        value = value.func.value
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("np.array", "unpacked")
    return isinstance(value, ast.Dict | ast.List | ast.Tuple)


def _reproduction(fields: Mapping[str, Any], events: tuple[Event, ...], wanted: Mapping[str, Wanted]) -> Reproduction:
    if not events:
        raise ValueError("it makes no calls")

    def field(name: str) -> Any:
        value = fields[name]
        return value if not isinstance(value, str) or name not in ("recipes", "module_class") else json.loads(value)

    words = ("property", "target", "place", "kind", "told", "versions", "arithmetic", "digest")
    given = {name: str(fields[name]) for name in words}
    recipes = tuple(map(str, field("recipes")))
    return Reproduction(
        recipes=recipes, module_class=bool(field("module_class")), events=events, wanted=wanted, **given
    )


def changed(told: Reproduction) -> bool:
    """Whether the calls of a file are others than those that were written."""
    return told.digest != digest(told.events)
