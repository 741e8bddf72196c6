"""The report's file while its run goes on: one whole document at each moment, which says that it is not complete.

Whoever kills the run finds in it each failure that was told, and each target that was finished. It is written when a
failure is met, when the engine comes to a rest with more of them, when a target is finished, and else now and then.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conformance.drivers.console import Unwritten
from conformance.drivers.files import Write
from conformance.drivers.journal import Journals, goes_on
from conformance.drivers.run import make_report, target_error
from conformance.engine.news import Advanced, Failed, Finished, Judging, News, Settled
from conformance.engine.plan import Settings
from conformance.report.data import backend_text, document
from conformance.report.model import Asked, BackendReport, Report, TargetError

#: Seconds from one writing to the next where nothing else is to be written, and how many times as long as one takes.
_PAUSE, _SHARE = 1.0, 25


@dataclass(frozen=True)
class Before:
    """What an earlier run has left of this one: the targets that it finished, and those that go on."""

    finished: Mapping[str, BackendReport]
    unfinished: Mapping[str, BackendReport]


#: Of a run that begins.
UNTOUCHED = Before({}, {})


def left_by(report: Report) -> Before:
    """What a run that ended early has left."""
    done = {backend.backend: backend for backend in report.backends}
    return Before(
        {target: backend for target, backend in done.items() if not goes_on(backend)},
        {target: backend for target, backend in done.items() if goes_on(backend)},
    )


class Live:
    """Keeps the file; ``tell`` is called by one target at a time."""

    def __init__(
        self, path: Path, write: Write, settings: Settings, asked: Asked, before: Before, say: Callable[[str], None]
    ) -> None:
        self._path = path.resolve()
        self._write_text = write
        self._settings = settings
        self._asked = asked
        self._say = say
        self._resumed = bool(before.finished or before.unfinished)
        self.journals = Journals(beside(self._path, "answers"), asked.targets, before.unfinished)
        #: By target, what is known of it, and its text in the file; its text is made anew where that has changed.
        self._known: dict[str, BackendReport] = {**before.finished, **before.unfinished}
        self._texts = {target: backend_text(backend) for target, backend in self._known.items()}
        self._so_far: dict[str, Callable[[], BackendReport]] = {}
        #: By target, why there is no report: it could not be judged.
        self._errors: dict[str, TargetError] = {}
        #: By target, the failures that were told since the engine last came to a rest.
        self._failures: Counter[str] = Counter()
        #: When the next writing is due although nothing has happened.
        self._next = 0.0
        self._tried = self._begun = self._complained = False

    def tell(self, target: str, news: News) -> None:
        """Take note of what happens to a target, and write it if that is due."""
        due = not self._tried
        match news:
            case Judging():
                self._so_far[target] = news.so_far
            case Failed() | Settled() if news.counts:
                # The others that come with the first are told, and written, at the next rest.
                due, self._failures[target] = due or not self._failures[target], self._failures[target] + 1
            case Advanced():
                due = due or self._failures[target] > 1 or time.monotonic() > self._next
                self._failures[target] = 0
            case Finished():
                due = True
                self._finish(target, news)
        if due:
            self._look(target)
            self._write()

    def _finish(self, target: str, news: Finished) -> None:
        self._so_far.pop(target, None)
        self._failures[target] = 0
        if isinstance(news.judged, BackendReport):
            self._note(target, news.judged)
        else:
            self._errors[target] = target_error(target, news.judged)
            self._known.pop(target, None)

    def _look(self, target: str) -> None:
        """See what is known of a target by now."""
        if target in self._so_far:
            self._note(target, self._so_far[target]())

    def _note(self, target: str, report: BackendReport) -> None:
        self._known[target], self._texts[target] = report, backend_text(report)

    def _write(self) -> None:
        """Write what is known; where that fails, the run goes on, and it is said once."""
        began, self._tried = time.monotonic(), True
        known = [target for target in self._asked.targets if target in self._known]
        missing = [target for target in self._asked.targets if target not in {*known, *self._errors}]
        backends = [self._known[target] for target in known]
        report = make_report(self._settings, backends, missing, self._asked, self._errors.values())
        try:
            self._put(document(report, [self._texts[target] for target in known]))
        except Unwritten as error:
            if not self._complained:
                self._complained = True
                self._say(f"{error}; the run goes on")
        now = time.monotonic()
        self._next = now + max(_PAUSE, _SHARE * (now - began))

    def _put(self, text: str) -> None:
        aside = not self._begun and not self._resumed and set_aside(self._path)
        try:
            self._write_text(text)
        except Unwritten:
            if aside:
                beside(self._path, "before").unlink(missing_ok=True)
            raise
        self._begun = True

    def end(self, report: Report) -> bool:
        """Write the report of the run, and clear away what only an unfinished run needs; whether it can go on.

        Raises ``Unwritten``.
        """
        texts = {id(known): self._texts[target] for target, known in self._known.items()}
        self.journals.end()
        self._put(document(report, [texts.get(id(each)) or backend_text(each) for each in report.backends]))
        if report.complete:
            with suppress(OSError):
                beside(self._path, "before").unlink()
        return bool(report.missing) or any(map(goes_on, report.backends))


def beside(path: Path, what: str) -> Path:
    """The file that stands beside a report: ``report.json.before``, ``report.json.answers``."""
    return path.with_name(f"{path.name}.{what}")


def set_aside(path: Path) -> bool:
    """Keep what a file holds beside it, until there is a complete report in its place; whether that was done.

    The older of two incomplete reports is not worth the place of a complete one.
    """
    kept = beside(path, "before")
    if not path.exists() or (kept.exists() and not _complete(path)):
        return False
    with suppress(OSError):
        kept.unlink(missing_ok=True)
        try:
            # The file is never missing: the new one takes its place at once.
            os.link(path, kept)
        except OSError:
            shutil.copy2(path, kept)
        return True
    return False


def _complete(path: Path) -> bool:
    """Whether a file holds something else than a report that says that it is not complete."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return True
    return not isinstance(told, dict) or told.get("complete") is not False
