"""Child processes: start one, talk to it in messages, limit it, and leave nothing of it behind.

A child may do anything, and this process goes on. A child that dies, is silent or takes memory beyond its limit, or
sends what is not a message is ended with all its descendants; ``Ended`` says what happened, with the last lines of its
standard error. If this process itself is killed, the keeper ends the children.

The thread that waits for a child watches it meanwhile. On Windows a wait cannot be cut short: the limits do not hold.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import psutil

from conformance.errors import Ended, UsageError
from conformance.processes.family import MARK, end_all, family, proportional, resident
from conformance.processes.keeper import forget, keep
from conformance.processes.message import Cut, Garbled, Message, Stream, decode, encode

#: Seconds between looks at a child that is waited for, and at its family; those that it is given to end by itself.
_LOOK = 0.05
_LOOK_AT_FAMILY = 0.25
_GRACE = 2.0
_GIB = 2**30

#: Once a case hung, one like it gets so many times as long as the slowest answer took, and at least so many seconds.
_BRIEF, _LEAST = 10.0, 0.5


@dataclass(frozen=True)
class Limits:
    """The time and the memory that a child may take."""

    #: Seconds without an answer to a call; five times as many for a backend that compiles.
    seconds: float = 60.0
    #: Memory of the child and its descendants in GiB.
    memory: float = 8.0

    @property
    def start(self) -> float:
        """Seconds until it has said hello: a framework may take its time to load."""
        return 5 * self.seconds


class Patience:
    """How long an answer may take: once a case hung, one like it gets several times as long as others took."""

    def __init__(self, limits: Limits, compiled: bool = False) -> None:
        self._full = limits.seconds * (5 if compiled else 1)
        self._slowest = 0.0
        self._hung = False

    def seconds(self, brief: bool = False) -> float:
        """The limit; a shorter one for a case that may hang like another."""
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
        self._limits = limits
        self._mark = secrets.token_hex(8)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Small LSTM calls are several times faster on one thread, in all that reads this before it loads.
                env={"OMP_NUM_THREADS": "1", **os.environ, f"{MARK}{self._mark}": "1"},
                start_new_session=True,
            )
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{name}: {command[0]!r} cannot be started: {reason}", "is the path right?") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        if sys.platform != "win32":
            os.set_blocking(self._input.fileno(), False)
        self._stream = _Watched(self)
        self._errors = _Tail(self._process.stderr)
        #: Held while the child is ended, and while a thread waits for it.
        self._lock, self._using = threading.Lock(), threading.RLock()
        #: Seconds that the present wait may take, those of them that are left, and why the child was ended.
        self._allowed = self._left = 0.0
        self._why: Ended | None = None
        #: Its family as last seen, which knows a process that has left the group and hides the mark; the next look.
        self._family: set[psutil.Process] = set()
        self._next_look = time.monotonic() + _LOOK_AT_FAMILY
        keep(self._process.pid, self._mark, self.kill)

    def send(self, message: Message, seconds: float) -> None:
        """Send a message, which the child must have taken after so many seconds."""
        with self._within(seconds):
            left = memoryview(encode(message))
            try:
                while len(left):
                    if not self.ready(self._input.fileno(), writing=True):
                        raise self._ended()
                    with contextlib.suppress(BlockingIOError):
                        left = left[os.write(self._input.fileno(), left) :]
            except OSError:
                raise self._ended() from None

    def receive(self, seconds: float, limit: int) -> Message:
        """The next message of at most ``limit`` bytes of elements, which must be there after so many seconds."""
        with self._within(seconds):
            try:
                message = decode(self._stream, limit)
            except Cut as error:
                raise self._ended(f" (in the middle of a message: {error})") from None
            except Garbled as error:
                self._end(Ended("error", f"what it sent is not a message: {error}"))
                raise self._ended() from None
            except OSError:
                message = None
            if message is None:
                raise self._ended()
            self._look()
            return message

    def close(self) -> Ended | None:
        """End the child: by itself within a moment unless a thread waits for it, by force after that.

        How it died, if a signal ended it meanwhile: an exit code is its own affair once it has answered everything.
        """
        died = None
        if self._using.acquire(blocking=False):
            try:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    self._input.close()
                    if self._process.wait(_GRACE) < 0 and self._why is None:
                        died = self._ended()
            finally:
                self._using.release()
        self.kill()
        return died

    def kill(self) -> None:
        """End the child by force, now; a thread that waits for it gets ``Ended``."""
        self._end(Ended("crashed", "it was ended"))
        with self._using:
            self._shut()

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        with self._using:
            if self._why is not None:
                raise self._ended()
            self._allowed = self._left = seconds
            yield

    def ready(self, descriptor: int, writing: bool = False) -> bool:
        """Wait until a pipe can be read or written; False if the child ended before that, or had to be ended."""
        if sys.platform == "win32":
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT if writing else select.POLLIN)
        while self._why is None:
            began = time.monotonic()
            found = poll.poll(1000 * _LOOK)
            # A pause longer than a look is this machine's own, and no time of the child's.
            self._left -= min(time.monotonic() - began, 2 * _LOOK)
            if found:
                return True
            if self._process.poll() is not None:
                # Its descendants may hold its output open, and nothing would ever come.
                return bool(poll.poll(0))
            if self._left < 0:
                self._end(Ended("timeout", f"no answer within {self._allowed:.3g} seconds"))
            else:
                self._look()
        return False

    @property
    def output(self) -> int:
        """The descriptor of its standard output."""
        return self._output.fileno()

    def _look(self) -> None:
        """Now and then, see which processes are the child's, and end them if they take more memory than they may."""
        began = time.monotonic()
        if began < self._next_look:
            return
        self._family = family(self._process.pid, self._family)
        limit = self._limits.memory * _GIB
        if sum(map(resident, self._family)) > limit:
            # Those that were forked share most of their pages.
            taken = sum(map(proportional, self._family))
            if taken > limit:
                told = f"it took {taken / _GIB:.1f} GiB of memory; its limit is {self._limits.memory:g} GiB"
                self._end(Ended("crashed", told))
        # Among thousands of processes a look takes long: a tenth of the time at most.
        now = time.monotonic()
        self._next_look = now + max(_LOOK_AT_FAMILY, 9 * (now - began))

    def _shut(self) -> None:
        """Close the pipes, once nobody reads or writes them."""
        for pipe in (self._input, self._output):
            with contextlib.suppress(OSError):
                pipe.close()

    def _death(self) -> Ended:
        code = self._process.poll()
        if code is None:
            return Ended("crashed", "it closed its standard input or output")
        if code >= 0:
            return Ended("crashed", f"its process ended with exit code {code}")
        with contextlib.suppress(ValueError):
            told = f"its process died of {signal.Signals(-code).name}"
            told += ", as the system ends one when memory runs out" if code == -signal.SIGKILL else ""
            return Ended("crashed", told)
        return Ended("crashed", f"its process died of signal {-code}")

    def _ended(self, more: str = "") -> Ended:
        """Why there is no answer, once everything of the child is gone."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            # It may be dying: wait for its exit code, which says more than the end of its output.
            self._process.wait(_GRACE)
        self._end(self._death())
        self._shut()
        assert self._why is not None
        told = f"{self._why}{more}" if self._why.outcome == "crashed" else str(self._why)
        if last := self._errors.text():
            told += f"\nits standard error ends:\n{last}"
        return Ended(self._why.outcome, told)

    def _end(self, why: Ended) -> None:
        """End the child and all its descendants; the first reason given is the one."""
        with self._lock:
            if self._why is not None:
                return
            self._why = why
            end_all(self._process.pid, self._mark, family(self._process.pid, self._family))
            with contextlib.suppress(subprocess.TimeoutExpired):
                # A process of another user cannot be ended: the run goes on without it.
                self._process.wait(_GRACE)
            forget(self._process.pid, self._mark)
        self._errors.thread.join(_GRACE)


class _Watched(Stream):
    """A child's output; the thread that waits for it watches the child."""

    def __init__(self, child: Child) -> None:
        super().__init__(child.output)
        self._child = child

    def read(self, size: int) -> bytes:
        return super().read(size) if self._buffer or self._child.ready(self._descriptor) else b""


class _Tail:
    """The last lines of a child's standard error: a thread keeps reading them, so that the child never waits."""

    _LINES, _BYTES = 12, 1 << 16

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
