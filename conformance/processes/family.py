"""A child process with everything it has started: which processes these are, what memory they take, and their end.

A child leads a process group of its own. A process that has left the group is known by its parent, because it was seen
while that parent lived, or by a mark in its environment.

The keeper runs this file by itself, so it imports psutil and the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator

import psutil

#: With a child's mark after it, an environment variable that its descendants inherit, wherever they go.
MARK = "LSTM_CONFORMANCE_CHILD_"


def family(pid: int, known: Iterable[psutil.Process] = ()) -> set[psutil.Process]:
    """A child, the members of its group, those known from before, and the descendants of all of these that live."""
    found = set[psutil.Process]()
    for process in (*_processes([pid, *_group(pid)]), *known):
        if process not in found:
            # This looks at every process of the machine. Few members are no descendants of the child: once is usual.
            with contextlib.suppress(psutil.Error):
                found |= {process, *process.children(recursive=True)}
    return found


def resident(process: psutil.Process) -> int:
    """Bytes of memory that a process takes; pages that it shares with others count in full. 0 if it is gone."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def proportional(process: psutil.Process) -> int:
    """Bytes of memory that a process takes; pages that it shares with others count in part (not at all outside Linux).

    The system visits every page of the process for this: too much for a look every quarter of a second.
    """
    try:
        memory = process.memory_full_info()
    except psutil.Error:
        return resident(process)
    return getattr(memory, "pss", memory.uss)


def end_all(pid: int, mark: str, known: Iterable[psutil.Process] = ()) -> None:
    """Kill a child, its process group, the known members of its family, and all processes that bear its mark."""
    for _ in range(3):
        # A process that is being started now is met the next time.
        if sys.platform != "win32":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        killed = False
        for process in {*known, *_marked(mark)}:
            with contextlib.suppress(psutil.Error):
                if process.pid != os.getpid() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    # psutil kills no other process that has the same id by now.
                    process.kill()
                    killed = True
        if not killed:
            return


def _processes(pids: Iterable[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            yield psutil.Process(pid)


def _group(pid: int) -> Iterator[int]:
    """The members of a process group; psutil knows no groups."""
    for each in psutil.pids() if sys.platform != "win32" else ():
        with contextlib.suppress(OSError):
            if os.getpgid(each) == pid:
                yield each


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in _processes(psutil.pids()):
        with contextlib.suppress(psutil.Error):
            if MARK + mark in process.environ():
                yield process


def _keep() -> None:
    """The keeper's work: read which children begin and end; when the input ends, end those that are left."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    children: dict[str, int] = {}
    for line in sys.stdin:
        what, pid, mark = line.split()
        if what == "begins":
            children[mark] = int(pid)
        else:
            children.pop(mark, None)
    for mark, pid in children.items():
        end_all(pid, mark)


if __name__ == "__main__":
    _keep()
