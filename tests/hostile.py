"""LSTMs that are right, and hostile: they crash, hang, exit, print, allocate, fork. For the tests of isolation."""

from __future__ import annotations

import atexit
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from samples import Forward, lstm

from conformance import Backend, Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params

#: What a hostile LSTM does before a call, given its config and x.
Deed = Callable[[LSTMConfig, Array], None]


def hostile(name: str, deed: Deed) -> Backend:
    """A right LSTM that does something before each call."""

    def build(config: LSTMConfig, params: Params) -> Forward:
        forward = lstm(config, params)

        def call(x: Array, *state: Any) -> Any:
            deed(config, x)
            return forward(x, *state)

        return call

    return backend(f"hostile-{name}", Capabilities())(build)


_calls = 0
_held: list[Array] = []


def _die() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    if mark := os.environ.get("HOSTILE_MARK"):
        Path(mark).touch()
    while True:
        time.sleep(1)


def never(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Declares nothing, and its first call never comes back."""
    return lambda *args: _hang()


def _spin(config: LSTMConfig, x: Array) -> None:
    while x.ndim == 3 and x.shape[1] == 2:
        pass


def _exhaust() -> None:
    """Takes a quarter of a gibibyte, which a test can do again and again, and keeps it."""
    _held.append(np.ones(1 << 25))
    time.sleep(1000)


def _fork(config: LSTMConfig, x: Array) -> None:
    """Leaves a process behind that holds every pipe open and has left the group, and dies."""
    if len(x) > 3:
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        _die()


def _count(config: LSTMConfig, x: Array) -> None:
    """Dies at every fiftieth call of a process."""
    global _calls
    _calls += 1
    if _calls % 50 == 0:
        os._exit(3)


def _stray(config: LSTMConfig, x: Array) -> None:
    """Leaves a process that holds standard output, in a session of its own and without this one's environment."""
    if len(x) > 3:
        subprocess.Popen(["sleep", "60"], env={}, start_new_session=True, stdout=1)
        time.sleep(0.5)
        os._exit(1)


def _family(config: LSTMConfig, x: Array) -> None:
    """Forks, once, a few processes that share its memory."""
    global _calls
    _calls += 1
    if _calls == 1:
        _held.append(np.ones(25_000_000))
        for _ in range(8):
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
        time.sleep(0.6)


def _once(config: LSTMConfig, x: Array) -> None:
    """Dies, and cannot be loaded a second time."""
    if len(x) > 3:
        Path("locked").touch()
        os._exit(2)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _say(config: LSTMConfig, x: Array) -> None:
    raise ValueError("bad \udcff file " + "x" * 3_000_000)


def _print(config: LSTMConfig, x: Array) -> None:
    print("noise on standard output", flush=True)
    os.write(1, b"and below it\n")
    sys.stdout.buffer.write(b"\xff\x00" * 100)


def _abort_in_earnest(config: LSTMConfig, x: Array) -> None:
    """Remembers a call to refuse, and dies in the next ordinary one."""
    if x.shape[-1] != config.input_size:
        _held.append(x)
    elif _held:
        os.abort()


def _abort_at_last(config: LSTMConfig, x: Array) -> None:
    """After a call to refuse, dies as the process ends."""
    if x.shape[-1] != config.input_size and not _held:
        _held.append(x)
        atexit.register(os.abort)


segfault = hostile("segfault", lambda config, x: _die() if len(x) > 3 else None)
abort = hostile("abort", lambda config, x: os.abort() if config.hidden_size > 4 else None)
loop = hostile("loop", _spin)
sleeper = hostile("sleeper", lambda config, x: _hang() if len(x) > 8 else None)
always = hostile("always", lambda config, x: _die())
glutton = hostile("glutton", lambda config, x: _exhaust() if len(x) > 8 else None)
forker = hostile("forker", _fork)
tired = hostile("tired", _count)
stray = hostile("stray", _stray)
family = hostile("family", _family)
interrupter = hostile("interrupter", lambda config, x: _interrupt() if len(x) > 3 else None)
once = hostile("once", _once)
talker = hostile("talker", _say)
corrupted = hostile("corrupted", _abort_in_earnest)
corrupted_to_the_end = hostile("corrupted-to-the-end", _abort_at_last)
printer = hostile("printer", _print)
if Path("locked").exists():
    raise RuntimeError("the device is busy")
