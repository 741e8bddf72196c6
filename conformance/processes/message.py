"""One message: a safetensors file of string fields and tensors, read from and written to a stream.

The format says how long a message is, so that one can follow another: docs/protocol.md. No byte that comes in is
trusted: every size is checked before that many bytes are read, and ``Garbled`` names the error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.spec import Array, dtype_unavailable, numpy_dtype

#: The format's words for the dtypes that a message may hold.
_WORDS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "I64": "int64"}
#: These dtypes, by NumPy's names.
HELD = tuple(_WORDS.values())
_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I64": 8}

#: A header has about a hundred bytes for each tensor; this is enough for thousands.
HEADER_LIMIT = 1 << 20
_ALIGNMENT = 8


class Stream:
    """The bytes that come in on a file descriptor: ``read`` waits for them, ``arrived`` does not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes, as soon as there are any; none at the end."""
        if not self._buffer:
            self._buffer = os.read(self._descriptor, min(max(size, 1 << 16), 1 << 20))
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        return piece

    def arrived(self) -> bytes:
        """The bytes that have come and were not read."""
        return self._buffer


class Garbled(Exception):
    """The bytes are not a message; ``str(error)`` says why."""


class Cut(Garbled):
    """A message that ended before it was whole."""


@dataclass(frozen=True)
class Message:
    """The fields, ``type`` among them, and the tensors by name."""

    fields: Mapping[str, str]
    tensors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """The field that says what the message is."""
        return self.fields.get("type", "")


def encode(message: Message) -> bytes:
    """The message's bytes: the header with its length, then each tensor's elements."""
    header: dict[str, Any] = {"__metadata__": dict(message.fields)}
    parts, end = list[bytes](), 0
    for name, value in message.tensors.items():
        word = next((word for word, dtype in _WORDS.items() if dtype == value.dtype.name), None)
        if word is None:
            raise ValueError(f"tensor {name!r} is {value.dtype}; a message holds {', '.join(_WORDS.values())}")
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        header[name] = {"dtype": word, "shape": list(value.shape), "data_offsets": [end, end + value.nbytes]}
        parts.append(little.tobytes())
        end += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def write(descriptor: int, message: Message) -> None:
    """Write a message to a file descriptor, in as few pieces as it takes: every one may wake its reader."""
    left = memoryview(encode(message))
    while len(left):
        left = left[os.write(descriptor, left) :]


def decode(stream: Stream, limit: int, header: int = HEADER_LIMIT) -> Message | None:
    """The next message of a stream, of at most ``limit`` bytes of elements; None where the stream has come to its end.

    A ``header`` longer than that is none.

    Raises ``Garbled`` for anything else than a message.
    """
    length = _exactly(stream, 8, "the length of the header", at_start=True)
    if length is None:
        return None
    size = int.from_bytes(length, "little")
    if not 2 <= size <= header:
        raise Garbled(f"its header cannot be {size} bytes long (2 to {header} can be){_as_text(length, stream)}")
    text = _exactly(stream, size, "the header")
    assert text is not None
    fields, layout, total = _header(text, limit)
    elements = bytearray(total)
    _fill(stream, memoryview(elements), "the tensors' elements")
    tensors = {}
    for name, (word, shape, begin, end) in layout.items():
        dtype = numpy_dtype(_WORDS[word]).newbyteorder("<") if word != "I64" else np.dtype("<i8")
        tensors[name] = np.frombuffer(memoryview(elements)[begin:end], dtype).reshape(shape)
    return Message(fields, tensors)


_Layout = dict[str, tuple[str, tuple[int, ...], int, int]]


def _header(text: bytes, limit: int) -> tuple[dict[str, str], _Layout, int]:
    """The fields, each tensor's dtype, shape and place, and the length of the elements, all of them checked."""
    if text[:1] != b"{":
        raise Garbled(f"its header does not begin with {{, but with {text[:40]!r}")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_once)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Garbled(f"its header is not JSON in UTF-8: {_brief(str(error))}") from None
    fields = header.pop("__metadata__", {})
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise Garbled("its __metadata__ is not an object of strings")
    # Half of a pair of surrogates is no text that could be shown.
    fields = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    layout: _Layout = {name: _entry(name, entry) for name, entry in header.items()}
    total = 0
    for name, (_, _, begin, end) in sorted(layout.items(), key=lambda each: each[1][2:]):
        if begin != total:
            raise Garbled(f"tensor {_brief(name)!r} begins at byte {begin}, expected {total}: no gaps, no overlaps")
        total = end
    if total > limit:
        raise Garbled(f"its tensors take {total} bytes; its request accounts for no more than {limit}")
    return fields, layout, total


def _entry(name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """A tensor's entry of the header: dtype, shape, begin, end."""
    told = f"tensor {_brief(name)!r}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Garbled(f"{told} must have dtype, shape and data_offsets, and nothing else")
    word, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(word, str) or word not in _WORDS:
        raise Garbled(f"{told} has dtype {_brief(repr(word))}; a message holds {', '.join(_WORDS)}")
    if word == "BF16" and (reason := dtype_unavailable("bfloat16")):
        raise Garbled(f"{told}: {reason}")
    if not is_shape(shape):
        raise Garbled(f"{told} has shape {_brief(repr(shape))}; expected a list of at most 8 whole numbers")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        raise Garbled(f"{told} has data_offsets {_brief(repr(offsets))}; expected [begin, end]")
    begin, end = offsets
    if end - begin != math.prod(shape) * _SIZES[word]:
        raise Garbled(
            f"{told} takes {end - begin} bytes; {word} of shape {shape} takes {math.prod(shape) * _SIZES[word]}"
        )
    return word, tuple(shape), begin, end


def _is_size(value: object) -> bool:
    """Whether a number from JSON can be a size: the product of eight of them stays a number of ordinary length."""
    return type(value) is int and 0 <= value < 2**48


def is_shape(value: object) -> bool:
    """Whether a value from JSON can be a shape: a list of at most 8 sizes."""
    return isinstance(value, list) and len(value) <= 8 and all(map(_is_size, value))


def twice(names: Iterable[str]) -> str | None:
    """The first name that comes a second time."""
    seen = set[str]()
    return next((name for name in names if name in seen or seen.add(name)), None)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object none of whose names comes twice."""
    if (name := twice(name for name, _ in pairs)) is not None:
        raise Garbled(f"its header names {_brief(name)!r} twice")
    return dict(pairs)


def _exactly(stream: Stream, size: int, what: str, at_start: bool = False) -> bytes | None:
    """That many bytes, or None if the stream ended before the first of a message."""
    buffer = bytearray(size)
    got = _fill(stream, memoryview(buffer), what, at_start)
    return bytes(buffer) if got else None


def _fill(stream: Stream, buffer: memoryview, what: str, at_start: bool = False) -> bool:
    done = 0
    while done < len(buffer):
        piece = stream.read(len(buffer) - done)
        if not piece:
            if at_start and not done:
                return False
            raise Cut(f"it ended after {done} of {len(buffer)} bytes of {what}")
        buffer[done : done + len(piece)] = piece
        done += len(piece)
    return True


def _as_text(start: bytes, stream: Stream) -> str:
    """The bytes as text if a program printed them: the usual reason why a length is absurd."""
    if not all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start):
        return ""
    line = (start + stream.arrived()[:72]).split(b"\n")[0].decode("ascii", "replace")
    return f"; something was printed to standard output: {line!r} (standard error is the place for that)"


def _brief(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
