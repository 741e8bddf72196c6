"""The backend of any target: of Python code, or of a program (``exec:COMMAND …``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.backend import Backend
from conformance.errors import Ended, UsageError
from conformance.processes.wire.client import PROGRAM, program
from conformance.targets.load import load


def find(target: str | Backend | Callable[..., Any]) -> Backend:
    """The backend that a target names; a ``Backend``, a build function or an nn.Module class may be given itself.

    Raises ``UsageError`` for a target that is none: ``load`` and ``program`` say which. A program is started.
    """
    if not isinstance(target, str) or not target.startswith(PROGRAM):
        return load(target)
    try:
        return program(target)
    except Ended as ended:
        raise UsageError(f"{target}: {ended}") from None
