"""Progress of a run: bars on a terminal, a line now and then elsewhere, and the first failure of each target."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from conformance.engine.judging import Answer
from conformance.properties.model import Property
from conformance.report import english
from conformance.report.columns import LINE
from conformance.report.harmless import NAME, TEXT, harmless

#: Seconds between two lines where standard error is no terminal.
_EVERY = 10.0


class Progress:
    """Writes to standard error, from the threads of a run's backends. It is open during the run."""

    def __init__(self, random: int, every: float = _EVERY) -> None:
        #: Random cases of each target.
        self._random = random
        self._every = every
        self._terminal = sys.stderr.isatty()
        self._bars: dict[str, Any] = {}
        #: By target, the cases done and all of them.
        self._done: dict[str, tuple[int, int]] = {}
        #: By target, the step of its diagnosis, once that has begun.
        self._steps: dict[str, str] = {}
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._lines = threading.Thread(target=self._write_lines, daemon=True)

    def __enter__(self) -> Progress:
        if not self._terminal:
            self._lines.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._ended.set()
        for bar in self._bars.values():
            bar.close()

    def watch(self, target: str, done: int, total: int) -> None:
        """A target has come so far; the random cases among all are those that were asked for."""
        self._done[target] = done, total
        if not self._terminal:
            return
        if target not in self._bars:
            parts = f"{harmless(target, NAME)} ({total - self._random} fixed + {self._random} random cases)"
            self._bars[target] = tqdm(desc=parts, total=total, unit="case", leave=False, position=len(self._bars))
        bar = self._bars[target]
        bar.update(done - bar.n)

    def step(self, target: str, name: str) -> None:
        """The diagnosis of a target begins another step."""
        self._steps[target] = name
        if target in self._bars:
            self._bars[target].set_description_str(f"{harmless(target, NAME)} diagnosing: {name}")

    def first(self, target: str, p: Property, answer: Answer) -> None:
        """The first failure of a target, in one line above the bars."""
        told = str(answer.outcome) if answer.fact is None else english.sentence(answer.fact).partition("\n")[0]
        width = shutil.get_terminal_size().columns - 1 if self._terminal else LINE
        line = harmless(f"{target}: first failure, {p.id}: {told}", TEXT)
        with suppress(OSError):
            tqdm.write(line if len(line) <= width else f"{line[: width - 1]}…", file=sys.stderr)
            sys.stderr.flush()

    def _write_lines(self) -> None:
        while not self._ended.wait(self._every):
            seconds = time.monotonic() - self._began
            told = {target: f"{done} of {total} cases" for target, (done, total) in self._done.items()}
            told |= {target: f"diagnosing: {name}" for target, name in self._steps.items()}
            parts = [f"{harmless(target, NAME)} {text}" for target, text in sorted(told.items())]
            # That nobody can read it is no reason to end the run.
            with suppress(OSError):
                print(f"{seconds:.0f} s: {', '.join(parts) or 'starting'}", file=sys.stderr, flush=True)
