"""The children at work, and their keeper: a process that ends them if this process is killed.

The keeper is told which children begin and end. When its input ends, it ends those that are left.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from conformance.processes import family

#: Runs ``family.py`` with psutil at hand and nothing else that is installed or lies in the current folder.
_CODE = "import runpy, sys; sys.path.append(sys.argv[2]); runpy.run_path(sys.argv[1], run_name='__main__')"
COMMAND = [sys.executable, "-I", "-S", "-c", _CODE, family.__file__, str(Path(psutil.__file__).parents[1])]

_lock = threading.Lock()
_keeper: subprocess.Popen[bytes] | None = None
#: How each child at work is killed, by its mark.
_children: dict[str, Callable[[], None]] = {}
#: The process whose children they are: a copy of it that a backend forks has none.
_owner = os.getpid()


def keep(pid: int, mark: str, kill: Callable[[], None]) -> None:
    """A child begins: from now on it ends with this process at the latest."""
    global _keeper
    with _lock:
        _children[mark] = kill
        if sys.platform == "win32":
            return
        if _keeper is None or _keeper.poll() is not None:
            _keeper = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        _tell(f"begins {pid} {mark}")


def forget(pid: int, mark: str) -> None:
    """A child has ended."""
    with _lock:
        _children.pop(mark, None)
        _tell(f"ends {pid} {mark}")


def end_children() -> None:
    """Kill every child, now."""
    with _lock:
        kills = list(_children.values())
    for kill in kills:
        kill()


def _tell(line: str) -> None:
    if _keeper is not None and _keeper.stdin is not None:
        with contextlib.suppress(OSError):
            _keeper.stdin.write(f"{line}\n".encode())
            _keeper.stdin.flush()


@atexit.register
def _leave() -> None:
    if os.getpid() == _owner:
        end_children()
        if _keeper is not None:
            _keeper.communicate()
