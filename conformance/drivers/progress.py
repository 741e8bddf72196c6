"""Progress of a run: on a terminal a line for each backend, and failures as they come; in a log a line for each news.

One cause makes dozens of properties fail. On a terminal, the first that fails on a case is told at once, in a line, and
the others are named in the next. The report says all of it in full.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from conformance.engine.news import Advanced, Began, Diagnosing, Failed, Finished, Judging, News, Resumed, Settled
from conformance.report import english
from conformance.report.columns import LINE
from conformance.report.conclusion import sentence, standing
from conformance.report.harmless import NAME, TEXT, harmless
from conformance.report.model import BackendReport, Verdict

#: Seconds without a line after which a log says how far the run is.
_EVERY = 10.0

#: The columns that a target's name may take of a line on a terminal: its end tells it from others.
_NAME = 26

_COUNTED = "{desc}: {n}/{total} cases{postfix}, {remaining} left"
#: tqdm sets a comma before the postfix.
_UNCOUNTED = "{desc}{postfix}"


class Progress:
    """Writes to standard error, from the threads of a run's backends. It is open during the run."""

    def __init__(self, every: float = _EVERY) -> None:
        self._every = every
        self._shown = _Bars() if sys.stderr.isatty() else _Log()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._life = threading.Thread(target=self._say_something, daemon=True)

    def __enter__(self) -> Progress:
        self._life.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._ended.set()
        with self._lock, suppress(OSError):
            self._shown.close()

    def tell(self, target: str, news: News) -> None:
        """Show it. That nobody can see it is no reason to end the run."""
        with self._lock, suppress(OSError):
            self._shown.tell(target, news)

    def say(self, text: str) -> None:
        """A line about the run as a whole."""
        with self._lock, suppress(OSError):
            self._shown.say(f"lstm-conformance: {text}")

    def _say_something(self) -> None:
        while not self._ended.wait(self._every / 10):
            with self._lock, suppress(OSError):
                self._shown.tick(self._every)


class _Bars:
    """On a terminal."""

    def __init__(self) -> None:
        self._bars: dict[str, Any] = {}
        #: By target, what has failed since the engine last came to a rest; the first was told.
        self._failures: dict[str, list[str]] = defaultdict(list)

    def tell(self, target: str, news: News) -> None:
        match news:
            case Began():
                self._bar(target, "loading")
            case Resumed():
                self.say(f"{target}: {_resumed(news)}")
            case Judging():
                self._bar(target, "the first case")
            case Failed() if news.counts:
                if not self._failures[target]:
                    self.say(f"{target}: {_failed(news.verdict)}")
                self._failures[target].append(news.verdict.property)
            case Settled() if news.counts:
                # What fails on its small case too is told with it.
                self._failures[target].append("")
            case Advanced():
                self._tell_others(target)
                self._advance(target, news)
            case Diagnosing():
                self._bar(target, f"diagnosing: {news.step}")
            case Finished():
                self._tell_others(target)
                if bar := self._bars.pop(target, None):
                    bar.close()

    def say(self, text: str) -> None:
        """A line above the bars, as much of it as fits."""
        width, text = shutil.get_terminal_size().columns - 1, harmless(text, TEXT)
        tqdm.write(text if len(text) <= width else f"{text[: width - 1]}…", file=sys.stderr)
        sys.stderr.flush()

    def _tell_others(self, target: str) -> None:
        if others := [name for name in self._failures.pop(target, [])[1:] if name]:
            self.say(f"{target}: and with it {', '.join(others)}")

    def _bar(self, target: str, text: str) -> None:
        """A bar that counts nothing."""
        if target not in self._bars:
            name = harmless(target, NAME)
            name = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
            self._bars[target] = tqdm(desc=name, leave=False, dynamic_ncols=True, bar_format=_UNCOUNTED)
        bar = self._bars[target]
        bar.bar_format, bar.postfix = _UNCOUNTED, text
        bar.refresh()

    def _advance(self, target: str, news: Advanced) -> None:
        if news.done and not news.total:
            self._bar(target, _opening(news))
        elif news.total:
            bar = self._bars[target]
            if bar.total != news.total:
                bar.reset(news.total)
            bar.bar_format, bar.postfix = _COUNTED, _standing(news)
            bar.update(news.done - bar.n)
            bar.refresh()

    def tick(self, every: float) -> None:
        """The time that is left passes."""
        for bar in self._bars.values():
            bar.refresh()

    def close(self) -> None:
        for bar in self._bars.values():
            bar.close()


class _Log:
    """In a file or a pipe."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        #: By target, how far it is.
        self._far: dict[str, str] = {}
        #: By target, the lines since the engine last came to a rest; the first was said.
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def tell(self, target: str, news: News) -> None:
        match news:
            case Began():
                self._far[target] = "loading"
                self.say(f"{target}: begun")
            case Resumed():
                self.say(f"{target}: {_resumed(news)}")
            case Failed() if news.counts:
                self._hold(target, f"{target}: {_failed(news.verdict)}")
            case Settled() if news.counts and news.verdict.smallest:
                self._hold(target, f"{target}: {news.verdict.property}, smallest case: {news.verdict.smallest}")
            case Advanced():
                self._release(target)
                if news.total:
                    self._far[target] = f"{news.done} of {news.total} cases, {_standing(news)}"
                elif news.done:
                    self._far[target] = _opening(news)
            case Judging():
                self._far[target] = "the first case"
            case Diagnosing():
                far = f"diagnosing: {news.step}"
                if far != self._far.get(target):
                    self.say(f"{target}: {far}")
                self._far[target] = far
            case Finished():
                self._release(target)
                self._far.pop(target, None)
                self.say(_finished(target, news))

    def _hold(self, target: str, line: str) -> None:
        """Say the first line of a case at once, and the others when the report's file has them."""
        if not self._waiting[target]:
            self.say(line)
        self._waiting[target].append(line)

    def _release(self, target: str) -> None:
        for line in self._waiting.pop(target, [])[1:]:
            self.say(line)

    def say(self, text: str) -> None:
        """A line, with the seconds that have passed."""
        self._said = time.monotonic()
        line = f"{self._said - self._began:.0f} s: {harmless(text, TEXT)}"
        print(line if len(line) <= LINE else f"{line[: LINE - 1]}…", file=sys.stderr, flush=True)

    def tick(self, every: float) -> None:
        """Say how far it is, if nothing was said for so many seconds."""
        if time.monotonic() - self._said >= every:
            self.say("; ".join(f"{target}: {far}" for target, far in self._far.items()) or "starting")

    def close(self) -> None:
        """Nothing is open."""


def _opening(news: Advanced) -> str:
    """How far it is as long as nobody knows how many cases there are."""
    return f"the first cases, {_standing(news)}"


def _standing(news: Advanced) -> str:
    return f"{news.standing} standing, {news.failing} failing"


def _failed(verdict: Verdict) -> str:
    told = str(verdict.outcome) if verdict.fact is None else english.sentence(verdict.fact).partition("\n")[0]
    return f"{verdict.property} fails: {told}"


def _resumed(news: Resumed) -> str:
    return f"judged anew, since {news.reason}" if news.reason else "goes on from where it was left"


def _finished(target: str, news: Finished) -> str:
    if isinstance(news.judged, BackendReport):
        return f"{standing(news.judged)}: {sentence(news.judged)}"
    return f"{target}: not judged: {str(news.judged).partition(chr(10))[0]}"
