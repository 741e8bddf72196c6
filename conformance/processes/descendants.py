"""What a child process has started, as Linux tells it, and its end.

A child leads a process group of its own; a process that left the group is known by its parent, or by the mark in its
environment. Elsewhere than on Linux only the group is known.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

#: With a mark after it, the environment variable by which a child's descendants are known, wherever they have gone.
MARK = "LSTM_CONFORMANCE_CHILD_"


@dataclass(frozen=True)
class Process:
    """A process as /proc tells of it."""

    pid: int
    parent: int
    group: int
    #: When it started, in ticks since the machine did: the same pid at another time is another process.
    started: str
    #: Bytes.
    resident: int


def processes() -> list[Process]:
    """All processes that live; none where there is no /proc."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # What stands before the last parenthesis is the process' name, which may be anything.
            state, parent, group, *others = (place / "stat").read_bytes().rpartition(b")")[2].split()
            if state not in (b"Z", b"X"):
                resident = int(others[18]) * os.sysconf("SC_PAGE_SIZE")
                found.append(Process(int(place.name), int(parent), int(group), others[16].decode(), resident))
    return found


def family(pid: int) -> list[Process]:
    """A process, those of its group, and the descendants of all of them."""
    living = processes()
    found = {process.pid: process for process in living if pid in (process.pid, process.group)}
    while more := [p for p in living if p.parent in found and p.pid not in found]:
        found |= {process.pid: process for process in more}
    return list(found.values())


def proportional(process: Process) -> int:
    """A process' share of memory in bytes, where pages that it shares with others count in part."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return process.resident


def end_all(pid: int, mark: str, known: dict[int, str]) -> None:
    """Kill a child, its process group, the descendants that were known of it, and whoever bears its mark."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        living = [process for process in processes() if process.pid != os.getpid()]
        strays = [p for p in living if known.get(p.pid) == p.started or _marked(p.pid, mark)]
        for stray in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(stray.pid, signal.SIGKILL)
        if not strays:
            return


def _marked(pid: int, mark: str) -> bool:
    with contextlib.suppress(OSError):
        return f"{MARK}{mark}=".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    return False
