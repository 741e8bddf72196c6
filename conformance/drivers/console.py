"""The console: text for a terminal of any encoding, for a pipe that closes, for a disk that is full."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import TextIO

from conformance.report.colour import MARKS
from conformance.report.columns import WIDTH
from conformance.report.harmless import TEXT, harmless

#: What stands for a character that the console's encoding lacks.
_PLAIN = {
    "→": "->",
    "·": "*",
    "×": "x",
    "–": "-",
    "—": "-",
    "−": "-",
    "…": "...",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "±": "+-",
    "σ": "sigma",
    "½": "1/2",
    "ᵀ": "^T",
    "⁹": "^9",
    "′": "'",
}


class Unwritten(Exception):
    """Something could not be written; ``str(error)`` names it and says why."""


def prepare() -> None:
    """Let both streams write what their encoding lacks in plain characters, instead of failing."""
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end


def show(text: str, stream: TextIO | None = None, painted: bool = False) -> None:
    """Print for a person, at once, on standard output unless another stream is given. Raises as ``write`` does."""
    write(as_shown(text, painted), stream)


def as_shown(text: str, painted: bool = False) -> str:
    """A text that no terminal obeys, and of which no line goes on for ever.

    Of a report that is harmless by itself colours may be kept (``painted``): whose they are, they do not say.
    """
    parts = MARKS.split(text) if painted else [text]
    return "".join(part if at % 2 else _legible(part) for at, part in enumerate(parts))


def _legible(text: str) -> str:
    return "\n".join(harmless(line, TEXT, lines=True) for line in text.split("\n"))


def write(text: str, stream: TextIO | None = None) -> None:
    """Print as it is, at once, on standard output unless another stream is given.

    Raises ``BrokenPipeError`` if nobody reads on, and ``Unwritten`` if it cannot be written for another reason.
    """
    out = stream or sys.stdout
    with _writing(out):
        print(text, file=out, flush=True)


def flush() -> None:
    """Write what was printed. It raises as ``show`` does: an error that shows only as Python ends has no good words."""
    with _writing(sys.stdout):
        sys.stdout.flush()


@contextlib.contextmanager
def _writing(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        name = "standard error" if stream is sys.stderr else "standard output"
        raise Unwritten(f"{name} cannot be written: {error.strerror or error}") from None


def complain(text: str) -> None:
    """Say on standard error what is wrong; where even that cannot be written, the exit code says it alone."""
    with contextlib.suppress(OSError):
        print(f"lstm-conformance: {as_shown(text)}", file=sys.stderr, flush=True)


def abandon() -> None:
    """Write no more on standard output: Python would try once more as it ends, and complain."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def width() -> int:
    """The columns of the terminal, as ``COLUMNS`` or the terminal itself says; those of a file otherwise."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def coloured(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal that shows colours, unless somebody has said so.

    ``NO_COLOR`` (https://no-color.org) says no, and ``FORCE_COLOR`` (https://force-color.org) yes; no counts more.
    """
    if environment.get("NO_COLOR"):
        return False
    dumb = environment.get("TERM") == "dumb" or (os.name == "nt" and "WT_SESSION" not in environment)
    return bool(environment.get("FORCE_COLOR")) or (stream.isatty() and not dumb)
