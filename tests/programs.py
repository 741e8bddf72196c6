"""Other programs, which tests run: Python code, the command line, and targets in files of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from conformance.processes.supervisor import Limits

ROOT = Path(__file__).parents[1]
SAMPLES = (ROOT / "tests/samples.py").as_posix()
HOSTILE = (ROOT / "tests/hostile.py").as_posix()


class Printed(NamedTuple):
    """What became of a command line."""

    code: int
    out: str
    err: str


#: Runs a command line, given its words: the fixture ``command``.
Command = Callable[..., Printed]


@dataclass(frozen=True)
class Impatient(Limits):
    """Two seconds for an answer that never comes, and as long as it takes to start, which is the machine's affair."""

    seconds: float = 2.0

    @property
    def start(self) -> float:
        return 600.0


def python(code: str, *arguments: str, **environment: str) -> str:
    """What Python code prints in a process of its own, which must succeed."""
    line = [sys.executable, "-c", code, *arguments]
    environ = os.environ | environment
    return subprocess.run(line, env=environ, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def at_work(sign: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line in a session of its own, once a target that it judges has left a sign."""
    line = [sys.executable, "-m", "conformance", *arguments]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    while not sign.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    return process
