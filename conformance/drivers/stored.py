"""Reports in files, read back."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.drivers.files import STANDARD_OUTPUT
from conformance.errors import UsageError
from conformance.report.data import loads
from conformance.report.model import Report

#: So many bytes a report has at most: that of 40 backends of which everything fails has a third of them.
_MOST = 128 * 1024 * 1024


def read_report(path: Path) -> Report:
    """The report in a file, or on standard input for "-".

    Raises ``UsageError`` for a file that cannot be read, or that is no report: it names the file, and what is wrong
    where.
    """
    try:
        return loads(_text(path))
    except UsageError as error:
        raise UsageError(f"{path}: {error.args[0]}", error.hint) from None


def _text(path: Path) -> str:
    try:
        if path == STANDARD_OUTPUT:
            data = sys.stdin.buffer.read(_MOST + 1)
        else:
            with path.open("rb") as file:
                data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror or error}") from None
    if len(data) > _MOST:
        raise UsageError(f"no report: it has more than {_MOST >> 20} MiB", "`run --json FILE` writes one")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"no report: byte {error.start} is not UTF-8", "`run --json FILE` writes one") from None
