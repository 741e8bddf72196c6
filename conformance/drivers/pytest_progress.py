"""What a person sees while a backend is judged, which takes a minute within one item of pytest."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any

import pytest

#: Seconds between two signs of life: on a terminal, and in a file.
_TERMINAL, _FILE = 0.2, 10.0


class Progress:
    """Tells what is judged: behind the current line of a terminal, else in a line of its own now and then."""

    def __init__(self, config: pytest.Config, backend: str, nodeid: str) -> None:
        self.backend = backend
        self.nodeid = nodeid
        #: There is none in a worker of pytest-xdist.
        self._reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._uncaptured = capture.global_and_fixture_disabled if capture else nullcontext
        #: How many characters stand behind the current line, and how many lines were written.
        self._shown = self._lines = 0
        self._told = time.monotonic()

    def __call__(self, property: str, done: int, total: int) -> None:
        """Tell it, if it is time."""
        reporter, now = self._reporter, time.monotonic()
        if reporter is None or now < self._told + (_TERMINAL if reporter.isatty else _FILE):
            return
        self._told = now
        text = f"{done} of {total} cases, {property}" if total else property
        if reporter.isatty:
            self._behind(reporter, text)
        else:
            self._below(reporter, f"judging {self.backend}: {text}")

    def done(self) -> None:
        """The judging is over: the outcome follows what pytest had written before."""
        reporter = self._reporter
        if self._shown:
            self._behind(reporter, "")
        elif self._lines and reporter.showfspath and not reporter.showlongtestinfo:
            with self._uncaptured():
                reporter.write_fspath_result(self.nodeid, "")

    def _behind(self, reporter: pytest.TerminalReporter, text: str) -> None:
        """Replace what stands behind the current line, past pytest's own account of it, and step back."""
        writer = reporter.config.get_terminal_writer()
        text = text[: max(0, writer.fullwidth - writer.width_of_current_line - 1)]
        filled = text.ljust(self._shown)
        self._shown = len(text)
        with self._uncaptured():
            print(filled + "\b" * len(filled), end="", flush=True)

    def _below(self, reporter: pytest.TerminalReporter, text: str) -> None:
        """A line of its own."""
        self._lines += 1
        with self._uncaptured():
            reporter.ensure_newline()
            reporter.write_line(text)
            reporter.flush()
