"""Compile a source of C or C++ for this process, and call it by ctypes."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from conformance.spec import Array


def needs_header(header: str, install: str, compiler: str = "c++") -> Callable[[], str | None]:
    """``available`` for what ``compiler`` builds with ``header``; ``install`` is the command that brings it."""

    def reason() -> str | None:
        if shutil.which(compiler) is None:
            return f"{compiler} not installed: apt-get install g++"
        command, text = [compiler, "-E", "-x", "c++", "-"], f"#include <{header}>\n"
        found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return f"{header} not installed: {install}" if found.returncode else None

    return reason


@cache
def library(source: Path, *options: str, compiler: str = "c++") -> ctypes.CDLL:
    """The shared library of ``source``, compiled once for a process."""
    with tempfile.TemporaryDirectory() as folder:
        target = str(Path(folder, f"{source.stem}.so"))
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", target, str(source), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr[-600:]}")
        return ctypes.CDLL(target)


def pointer(array: Array | None) -> ctypes.c_void_p:
    """The address of a contiguous array's first element; None is NULL."""
    return ctypes.c_void_p(None if array is None else array.ctypes.data)
