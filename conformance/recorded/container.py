"""One file of named arrays and fields (strings): NumPy's ``.npz``, ``.safetensors``, or ``.json``.

Nothing in a file is trusted. Sizes are checked before that many bytes are read, no pickle is loaded, nothing is
extracted, and ``UsageError`` names the file, the entry, and what was expected.
"""

from __future__ import annotations

import io
import json
import lzma
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from conformance.errors import UsageError
from conformance.processes.message import HELD, Garbled, Message, Stream, decode, encode, is_shape, twice
from conformance.spec import Array, dtype_unavailable, numpy_dtype

#: The kinds of files, by the end of their names.
KINDS = (".npz", ".safetensors", ".json")

#: Bytes of one file's elements, and of its header, unless a reader knows better.
LIMIT, HEADER = 1 << 32, 1 << 26

#: The dtypes of elements; NumPy's files hold bfloat16 as 16 bits.
_DTYPES = (*HELD, "int32", "uint16")

_HINT = "see docs/recorded.md"


@dataclass(frozen=True, eq=False)
class Container:
    """The contents of a file."""

    fields: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


class _Wrong(Exception):
    """What is wrong with a file, and at which entry."""


def kind_of(path: Path) -> str:
    """The end of a file's name; ``UsageError`` for one that is no container."""
    if path.suffix not in KINDS:
        raise UsageError(f"{path}: expected a name that ends in {', '.join(KINDS)}", _HINT)
    return path.suffix


def read(path: Path, limit: int = LIMIT) -> Container:
    """The contents of a file with at most ``limit`` bytes of elements; ``UsageError`` for anything else."""
    reader = {".npz": _read_npz, ".safetensors": _read_safetensors, ".json": _read_json}[kind_of(path)]
    with blaming(path):
        found = reader(path, limit)
    # Half of a pair of surrogates is no text that could be shown.
    texts = {name: text.encode("utf-8", "replace").decode() for name, text in found.fields.items()}
    return Container(texts, found.arrays)


@contextmanager
def blaming(path: Path) -> Iterator[None]:
    """``UsageError`` with the file's name for all that can go wrong in reading it."""
    try:
        yield
    except (_Wrong, Garbled) as error:
        raise UsageError(f"{path}: {error}", _HINT) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise UsageError(f"{path}: its elements do not fit into memory") from None


def write(path: Path, contents: Container) -> None:
    """Write a file of the kind that its name tells."""
    {".npz": _write_npz, ".safetensors": _write_safetensors, ".json": _write_json}[kind_of(path)](path, contents)


# NumPy's files: each array is a .npy file in a zip; a field is an array of one text


def _write_npz(path: Path, contents: Container) -> None:
    held = {name: _bits(value) for name, value in contents.arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as file:
        for name, value in {**{k: np.array(v) for k, v in contents.fields.items()}, **held}.items():
            # One date, so that equal contents give equal files.
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            with file.open(entry, "w", force_zip64=True) as member:
                npy.write_array(member, value, allow_pickle=False)


def _bits(value: Array) -> Array:
    return value.view("uint16") if value.dtype.name == "bfloat16" else value


def from_bits(value: Array) -> Array:
    """What NumPy's files hold as 16 bits as bfloat16, where that dtype is installed; any other array as it is."""
    held = value.dtype in (np.dtype("uint16"), np.dtype("V2"))
    return value.view(numpy_dtype("bfloat16")) if held and not dtype_unavailable("bfloat16") else value


#: What Python's reader of zips raises for what is none, is not whole, or is encrypted.
_UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def _read_npz(path: Path, limit: int) -> Container:
    fields, arrays = dict[str, str](), dict[str, Array]()
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            if (total := sum(entry.file_size for entry in entries)) > limit + (len(entries) << 10) + HEADER:
                raise _Wrong(f"its entries take {total} bytes unpacked; no more than {limit} are expected")
            for entry in entries:
                name = entry.filename.removesuffix(".npy")
                if name == entry.filename:
                    raise _Wrong(f"entry {_brief(name)!r} is no .npy file, as numpy.savez writes them")
                if name in fields or name in arrays:
                    raise _Wrong(f"entry {_brief(name)!r} comes twice")
                with file.open(entry) as member:
                    value = _npy(name, member, entry.file_size)
                if isinstance(value, str):
                    fields[name] = value
                else:
                    arrays[name] = value
    except _UNREADABLE as error:
        raise _Wrong(f"it is no .npz file, or not whole: {error}") from None
    return Container(fields, arrays)


_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def _npy(name: str, member: Any, size: int) -> Array | str:
    """The array, or the one text, of a .npy file of so many bytes; no element is read before its header is checked."""
    told = f"entry {_brief(name)!r}"
    head = io.BytesIO(member.read(min(size, 1 << 16)))
    try:
        version = npy.read_magic(head)
        read_header = _HEADERS.get(version)
        shape, fortran, dtype = read_header(head, max_header_size=1 << 14) if read_header else ((), False, None)
    except Exception as error:
        # NumPy reads a header as Python: what it raises for one that is none has many types.
        raise _Wrong(f"{told} is no array: {_brief(str(error))}") from None
    if dtype is None:
        raise _Wrong(f"{told} is a .npy file of version {version}; expected 1.0 or 2.0")
    if dtype.hasobject:
        raise _Wrong(f"{told} holds Python objects (a pickle), which are never loaded; expected numbers")
    if dtype.kind == "U" and shape != ():
        raise _Wrong(f"{told} is an array of texts; expected numbers, or one text")
    if dtype.kind != "U" and dtype.name not in _DTYPES and dtype != np.dtype("V2"):
        raise _Wrong(f"{told} is {dtype}; expected {', '.join(_DTYPES)}")
    if not is_shape([*shape]):
        raise _Wrong(f"{told} has shape {_brief(repr(shape))}; expected at most 8 whole numbers")
    start = head.tell()
    if math.prod(shape) * dtype.itemsize != size - start:
        raise _Wrong(f"{told} has {size - start} bytes of elements; {dtype} of shape {shape} takes other many")
    data = head.read() + member.read()
    if len(data) != size - start:
        raise _Wrong(f"{told} has {len(data)} bytes of elements, and its entry tells of {size - start}")
    if dtype.kind == "U":
        return data.decode("utf-32-be" if dtype.str[0] == ">" else "utf-32-le", "replace").rstrip("\0")
    value = np.frombuffer(data, dtype, math.prod(shape))
    value = value.reshape(shape[::-1]).T if fortran else value.reshape(shape)
    return np.asarray(value, value.dtype.newbyteorder("="), order="C")


# safetensors, by the reader of the wire protocol


def _write_safetensors(path: Path, contents: Container) -> None:
    path.write_bytes(encode(Message(contents.fields, contents.arrays)))


def _read_safetensors(path: Path, limit: int) -> Container:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        stream = Stream(descriptor)
        message = decode(stream, limit, HEADER)
        if message is None:
            raise _Wrong("it is empty")
        if stream.read(1):
            raise _Wrong("it goes on after its last tensor")
    finally:
        os.close(descriptor)
    return Container(message.fields, message.tensors)


# JSON: {"fields": {name: text}, "arrays": {name: {"dtype", "shape", "data": flat}}}


def _write_json(path: Path, contents: Container) -> None:
    arrays = {
        name: {"dtype": value.dtype.name, "shape": list(value.shape), "data": _numbers(value)}
        for name, value in contents.arrays.items()
    }
    path.write_text(json.dumps({"fields": dict(contents.fields), "arrays": arrays}, allow_nan=False))


def _numbers(value: Array) -> list[Any]:
    """Numbers, and texts for those that JSON does not have."""
    flat = value.astype(np.float64).reshape(-1) if value.dtype.kind != "i" else value.reshape(-1)
    told = flat.tolist()
    if value.dtype.kind != "i" and not np.isfinite(flat).all():
        told = [one if math.isfinite(one) else str(one) for one in told]
    return told


def _read_json(path: Path, limit: int) -> Container:
    # A number takes three characters at least.
    if path.stat().st_size > 8 * limit + HEADER:
        raise _Wrong(f"it has {path.stat().st_size} bytes, more than any that is expected")
    try:
        data = json.loads(path.read_bytes().decode(), object_pairs_hook=_once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _Wrong(f"it is not JSON in UTF-8: {_brief(str(error))}") from None
    if not isinstance(data, dict) or not set(data) <= {"fields", "arrays"}:
        raise _Wrong('it is not {"fields": {…}, "arrays": {…}}')
    fields, arrays = data.get("fields", {}), data.get("arrays", {})
    if not isinstance(fields, dict) or not all(isinstance(text, str) for text in fields.values()):
        raise _Wrong('its "fields" are not an object of texts')
    if not isinstance(arrays, dict):
        raise _Wrong('its "arrays" are not an object')
    return Container(fields, {name: _json_array(name, entry) for name, entry in arrays.items()})


def _json_array(name: str, entry: object) -> Array:
    told = f"array {_brief(name)!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data"}:
        raise _Wrong(f"{told} must have dtype, shape and data, and nothing else")
    word, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if word not in HELD:
        raise _Wrong(f"{told} has dtype {_brief(repr(word))}; expected {', '.join(HELD)}")
    if word == "bfloat16" and (reason := dtype_unavailable(word)):
        raise _Wrong(f"{told}: {reason}")
    if not is_shape(shape):
        raise _Wrong(f"{told} has shape {_brief(repr(shape))}; expected a list of at most 8 whole numbers")
    if not isinstance(data, list) or len(data) != math.prod(shape):
        size = len(data) if isinstance(data, list) else type(data).__name__
        raise _Wrong(f"{told} has data of {size}; shape {shape} takes {math.prod(shape)} numbers, flat")
    try:
        if word == "int64":
            if any(type(one) is not int for one in data):
                raise ValueError("expected whole numbers")
            return np.array(data, np.int64).reshape(shape)
        if any(isinstance(one, bool) or not isinstance(one, int | float | str) for one in data):
            raise ValueError('expected numbers, or "nan", "inf", "-inf"')
        with np.errstate(over="ignore"):
            return np.array([float(one) for one in data], np.float64).astype(numpy_dtype(word)).reshape(shape)
    except (ValueError, OverflowError) as error:
        raise _Wrong(f"{told}: {_brief(str(error))}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (name := twice(name for name, _ in pairs)) is not None:
        raise ValueError(f"the name {_brief(name)!r} comes twice")
    return dict(pairs)


def _brief(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
