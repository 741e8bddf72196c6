"""Child processes: start one, talk to it in messages, limit it, and leave nothing of it behind.

Whatever a child does, its parent goes on: a child that dies, is silent for longer than its limit, takes more memory
than its limit or prints what is not a message is ended with all its descendants, and ``Ended`` says what became of it,
with the last lines of its standard error. Should this process itself be killed, a keeper ends what it had started.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from conformance.errors import Ended, UsageError
from conformance.wire.message import Garbled, Message, Stream, decode, write

#: The environment variable by which a child's descendants are known, wherever they have gone.
_MARK = "LSTM_CONFORMANCE_CHILD"

#: Seconds between looks at a child that is at work, at its memory, and those that it is given to end by itself.
_LOOK = 0.05
_LOOK_AT_MEMORY = 0.25
_GRACE = 2.0
_GIB = 2**30

#: Once something hung, a case like it is given so many times what the slowest answer took, and so many seconds.
_BRIEF, _LEAST = 10.0, 0.5


@dataclass(frozen=True)
class Limits:
    """What a child may take."""

    #: Seconds without an answer to a call; five times as many for a backend that compiles.
    seconds: float = 60.0
    #: Resident memory of the child and its descendants in GiB, where the platform tells it (Linux).
    memory: float = 8.0

    @property
    def start(self) -> float:
        """Seconds until it has said hello: a framework may take its time to load."""
        return 5 * self.seconds


class Patience:
    """How long an answer may take: once one hung, a case like it is given what others took, several times over."""

    def __init__(self, limits: Limits, compiled: bool = False) -> None:
        self._full = limits.seconds * (5 if compiled else 1)
        self._slowest = 0.0
        self._hung = False

    def seconds(self, brief: bool = False) -> float:
        """The limit, or what is left of it for a case that may hang like another."""
        return min(self._full, max(_LEAST, _BRIEF * self._slowest)) if brief and self._hung else self._full

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Remember how long an answer took, or that it never came."""
        began = time.monotonic()
        try:
            yield
        except Ended as ended:
            self._hung |= ended.outcome == "timeout"
            raise
        self._slowest = max(self._slowest, time.monotonic() - began)


class Child:
    """One child process, its standard input and output a stream of messages."""

    def __init__(self, command: Sequence[str], name: str, limits: Limits) -> None:
        self.name = name
        self._limits = limits
        self._mark = secrets.token_hex(8)
        environment = {**os.environ, _MARK: self._mark}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{name}: {command[0]!r} cannot be started: {reason}", "is the path right?") from None
        _keep(self._process.pid, self._mark)
        _children.add(self)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        self._stream = Stream(self._output.fileno())
        self._errors = _Tail(self._process.stderr)
        self._lock, self._using = threading.Lock(), threading.RLock()
        #: When the answer that is waited for must be there, and why the child was ended.
        self._deadline: float | None = None
        self._allowed = 0.0
        self._why: Ended | None = None
        self._looked = time.monotonic()
        self._watch = threading.Thread(target=self._watching, daemon=True)
        self._wake = threading.Event()
        self._watch.start()

    def send(self, message: Message, seconds: float) -> None:
        """Send a message, which the child must have taken after so many seconds."""
        with self._within(seconds):
            try:
                write(self._input.fileno(), message)
            except OSError:
                raise self._ended() from None

    def receive(self, seconds: float, limit: int) -> Message:
        """The next message of at most ``limit`` bytes of elements, which must be there after so many seconds."""
        with self._within(seconds):
            try:
                message = decode(self._stream, limit)
            except Garbled as error:
                if self._why is None and self._process.poll() is None:
                    self._end(Ended("error", f"what it sent is not a message: {error}"))
                raise self._ended(str(error)) from None
            except OSError:
                message = None
            if message is None:
                raise self._ended()
            return message

    def close(self) -> None:
        """End the child: by itself within a moment, by force after it."""
        with self._using, contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self._input.close()
            self._process.wait(_GRACE)
        self.kill()

    def kill(self) -> None:
        """End the child by force, now; whoever waits for it is told that it ended."""
        self._end(Ended("crashed", "it was ended"))
        with self._using:
            self._shut()

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        with self._using:
            if self._why is not None:
                raise self._ended()
            self._allowed = seconds
            self._deadline = time.monotonic() + seconds
            self._wake.set()
            try:
                yield
            finally:
                self._deadline = None

    def _shut(self) -> None:
        """Close the pipes, once nobody reads or writes them."""
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()

    # The watch: a thread of its own ends the child, by which whoever reads from it or writes to it wakes up.

    def _watching(self) -> None:
        while self._why is None:
            if self._deadline is None:
                self._wake.wait(1.0)
            self._wake.clear()
            if self._process.poll() is not None:
                # What it has left behind may hold its output open, and the parent would wait for that.
                time.sleep(_LOOK)
                self._end(self._death())
                return
            self._look()
            time.sleep(_LOOK)

    def _look(self) -> None:
        """End the child if it is over one of its limits."""
        now, deadline = time.monotonic(), self._deadline
        if deadline is not None and now > deadline:
            self._end(Ended("timeout", f"no answer within {self._allowed:.3g} seconds"))
        elif now - self._looked < _LOOK_AT_MEMORY:
            return
        self._looked = now
        if (taken := _resident(self._mark, self._process.pid)) > self._limits.memory * _GIB:
            told = f"it took {taken / _GIB:.1f} GiB of memory; its limit is {self._limits.memory:g} GiB"
            self._end(Ended("crashed", told))

    def _death(self) -> Ended:
        code = self._process.poll()
        if code is None:
            return Ended("crashed", "it closed its output")
        if code >= 0:
            return Ended("crashed", f"its process ended with exit code {code}")
        with contextlib.suppress(ValueError):
            told = f"its process died of {signal.Signals(-code).name}"
            told += ", as the system ends one when memory runs out" if code == -signal.SIGKILL else ""
            return Ended("crashed", f"{told}")
        return Ended("crashed", f"its process died of signal {-code}")

    def _ended(self, cut: str = "") -> Ended:
        """Why there is no answer, once everything of the child is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # It may be dying: wait for its exit code, which says more than the end of its output.
            self._process.wait(_GRACE)
        self._end(self._death())
        self._shut()
        assert self._why is not None
        told = str(self._why) + (
            f" (in the middle of a message: {cut})" if cut and self._why.outcome != "error" else ""
        )
        if last := self._errors.text():
            told += f"\nits standard error ends:\n{last}"
        return Ended(self._why.outcome, told)

    def _end(self, why: Ended) -> None:
        """End the child and all its descendants; the first reason given is the one."""
        with self._lock:
            if self._why is not None:
                return
            self._why = why
            end_all(self._process.pid, self._mark)
            self._process.wait()
            _forget(self._process.pid)
        self._wake.set()
        if threading.current_thread() is not self._errors.thread:
            self._errors.thread.join(_GRACE)


class _Tail:
    """The last lines of a child's standard error: a thread keeps reading them, so that the child never waits."""

    _LINES, _BYTES = 12, 4096

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = b""
        self.thread = threading.Thread(target=self._pump, daemon=True)
        self.thread.start()

    def _pump(self) -> None:
        with self._stream, contextlib.suppress(OSError):
            while piece := os.read(self._stream.fileno(), 1 << 16):
                self._kept = (self._kept + piece)[-self._BYTES :]

    def text(self) -> str:
        """The last lines; of Python's account of a fatal error the first, which tell where it happened."""
        lines = self._kept.decode("utf-8", "replace").strip().splitlines()
        fatal = next((at for at, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        shown = lines[-self._LINES :] if fatal is None else lines[fatal : fatal + self._LINES]
        return "\n".join(f"  | {line[:200]}" for line in shown if line)


#: Those at work, to be ended with this process.
_children: weakref.WeakSet[Child] = weakref.WeakSet()


def end_children() -> None:
    """End every child, now."""
    for child in list(_children):
        child.kill()


@atexit.register
def _leave() -> None:
    end_children()
    if _keeper is not None:
        _keeper.communicate()


# Descendants. A child leads a process group of its own; one that left the group still has the mark in its environment.


def end_all(pid: int, mark: str) -> None:
    """Kill a child, its process group, and whoever bears its mark."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(pid)], capture_output=True, check=False)
        return
    for _ in range(3):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        strays = [stray for stray in _marked(mark) if stray != os.getpid()]
        for stray in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(stray, signal.SIGKILL)
        if not strays:
            return


def _marked(mark: str) -> list[int]:
    """The processes with a mark in their environment, on Linux; elsewhere none are known."""
    found, wanted = [], f"{_MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (place / "environ").read_bytes().split(b"\0") and not _zombie(place):
                found.append(int(place.name))
    return found


def _zombie(place: Path) -> bool:
    return (place / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def _resident(mark: str, pid: int) -> int:
    """Bytes of memory that a child and its process group hold, on Linux; elsewhere 0."""
    if not sys.platform.startswith("linux"):
        return 0
    total = 0
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(place.name)) == pid:
                total += int((place / "statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE")


# The keeper: a process that reads which children there are, and ends them when its input ends without its having been
# told that they are gone. So nothing is left even if this process is killed.

_KEEPER = """
import contextlib, os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
known = {}
for line in sys.stdin:
    what, pid, mark = line.split()
    known.pop(pid, None) if what == "-" else known.update({pid: mark})
for pid, mark in known.items():
    with contextlib.suppress(OSError):
        os.killpg(int(pid), signal.SIGKILL)
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (place / "environ").read_bytes():
                os.kill(int(place.name), signal.SIGKILL)
"""

_keeper: subprocess.Popen[bytes] | None = None
_keeping = threading.Lock()


def _keep(pid: int, mark: str) -> None:
    global _keeper
    if sys.platform == "win32":
        return
    with _keeping:
        if _keeper is None or _keeper.poll() is not None:
            _keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KEEPER],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        _tell(f"+ {pid} {mark}")


def _forget(pid: int) -> None:
    with _keeping:
        _tell(f"- {pid} -")


def _tell(line: str) -> None:
    if _keeper is not None and _keeper.stdin is not None:
        with contextlib.suppress(OSError):
            _keeper.stdin.write(f"{line}\n".encode())
            _keeper.stdin.flush()
