"""Judging one target: which process holds it, what an earlier run has left of it, and what becomes of it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from hypothesis.database import ExampleDatabase

from conformance.drivers.diagnosing import diagnosed
from conformance.drivers.journal import Journals, goes_on
from conformance.drivers.recalled import Recalled, RecalledExamples
from conformance.drivers.storage import database
from conformance.engine.judging import Here, Judge
from conformance.engine.news import Began, Finished, Judging, News, Resumed, Tell, unheard
from conformance.engine.plan import Settings
from conformance.engine.reproducing import Recorder
from conformance.engine.sieve import conform
from conformance.errors import Ended, SuiteError, UsageError
from conformance.facts import NotStarted, Outcome, Said, Within
from conformance.isolation.ahead import Ahead, Helper, Nearby
from conformance.isolation.parent import Isolated
from conformance.processes.supervisor import Limits
from conformance.processes.wire.client import PROGRAM, program
from conformance.properties import select
from conformance.recorded.target import RECORDED, recorded
from conformance.report.model import BackendReport, Verdict
from conformance.targets.find import find


@dataclass(frozen=True)
class Isolation:
    """How targets are kept apart from the run."""

    limits: Limits = field(default_factory=Limits)
    #: The interpreter for each target, and under "" the one for all others; this one if there is none.
    pythons: Mapping[str, str] = field(default_factory=dict)

    def python(self, target: str) -> str:
        """The interpreter that holds a target; nothing for this one."""
        return self.pythons.get(target, self.pythons.get("", ""))


APART = Isolation()


class Judges:
    """The judges at work in this process, so that somebody else can end them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[Judge] = set()
        self.closed = False

    def add(self, judge: Judge) -> None:
        """A judge begins its work; where all have been ended, it is ended too."""
        with self._lock:
            self._open.add(judge)
        if self.closed:
            judge.close()

    def close(self, judge: Judge) -> None:
        """A judge has done its work."""
        with self._lock:
            self._open.discard(judge)
        judge.close()

    def close_all(self, but: Judge | None = None) -> None:
        """End all that are at work, and those that begin later: each report has what is known by then."""
        self.closed = True
        with self._lock:
            judges = [judge for judge in self._open if judge is not but]
        for judge in judges:
            judge.close()


class Places(Protocol):
    """Where more than this process is at work on a target."""

    def judge(self, target: str, isolation: Isolation | None) -> Judge | None:
        """The judge of a target that must be held elsewhere; None for one that is held here."""
        ...

    def helper(self, target: str, isolation: Isolation | None, helpers: int) -> Helper | None:
        """Another helper for a target that has so many; None if there is no place for one at this moment."""
        ...


class Room:
    """The processes that may be at work on this machine: one for each target, and helpers where no target waits."""

    def __init__(self, processes: int, targets: int) -> None:
        self._changed = threading.Condition()
        self._free = processes
        self._waiting = targets

    def begin(self) -> None:
        """A target begins, as soon as there is room."""
        with self._changed:
            while not self._free:
                self._changed.wait()
            self._free -= 1
            self._waiting -= 1

    def judge(self, target: str, isolation: Isolation | None) -> Judge | None:
        """Every target is held here."""
        return None

    def helper(self, target: str, isolation: Isolation | None, helpers: int) -> Helper | None:
        """A helper, where there is room."""
        with self._changed:
            if self._waiting or not self._free:
                return None
            self._free -= 1
        return Nearby(lambda: judge_of(target, isolation), self.leave)

    def leave(self) -> None:
        """A target or a helper has ended."""
        with self._changed:
            self._free += 1
            self._changed.notify_all()


#: What became of a target: its report, the error for which there is none, or None if it was never begun.
Judged = BackendReport | UsageError | SuiteError | None


def judge_target(
    target: str,
    settings: Settings,
    isolation: Isolation | None = APART,
    diagnose: float = 0.0,
    tell: Tell = unheard,
    judges: Judges | None = None,
    journals: Journals | None = None,
    places: Places | None = None,
) -> Judged:
    """Judge one target with given settings, in a process of its own unless there is no ``isolation``.

    If it fails, its causes are looked for, within ``diagnose`` seconds. The first four arguments and the result can be
    pickled, so that any executor can call it; the others are for callers in this process: ``tell`` is told what
    happens, ``journals`` keep the answers while the target is unfinished, and ``places`` have helpers for it. It does
    not raise, unless it is
    interrupted; an interruption of the diagnosis keeps the report, and ends all ``judges``, as a first failure does
    at which the run stops.
    """
    judges = Judges() if judges is None else judges
    if judges.closed:
        return None
    judged = None
    try:
        tell(Began())
        judged = _judge(target, settings, isolation, diagnose, tell, judges, journals, places)
        if judged is not None:
            tell(Finished(judged))
    except KeyboardInterrupt:
        if judged is None:
            raise
        judges.close_all()
    finally:
        if journals is not None:
            journals.leave(target, judged)
    return judged


def _judge(
    target: str,
    settings: Settings,
    isolation: Isolation | None,
    diagnose: float,
    tell: Tell,
    judges: Judges,
    journals: Journals | None,
    places: Places | None,
) -> Judged:
    try:
        judge = _helped(target, settings, isolation, places)
    except Ended as ended:
        # A target that was still starting when the run was stopped was ended by that, and counts as not begun.
        return None if judges.closed else _not_started(target, settings, ended)
    except (UsageError, SuiteError) as error:
        return None if judges.closed else error
    judges.add(judge)
    try:
        report = _conform(judge, target, settings, tell, journals)
        if report.interrupted is not None and report.interrupted.how == "stopped":
            judges.close_all(but=judge)
        try:
            return diagnosed(judge, report, diagnose, tell)
        except KeyboardInterrupt:
            judges.close_all()
            return report
    except (UsageError, SuiteError) as error:
        return error
    except Exception:
        told = traceback.format_exc().rstrip()
        return SuiteError(f"a defect of lstm-conformance, not of {target!r}; please report it:\n{told}")
    finally:
        judges.close(judge)


def _conform(judge: Judge, target: str, settings: Settings, tell: Tell, journals: Journals | None) -> BackendReport:
    """What comes of a target; of one that was judged in part before, from where it was left."""
    examples = database(target, settings)
    if journals is None:
        return conform(judge, settings, tell, examples)
    journal, before = journals.open(target, settings, judge.backend), journals.before.get(target)
    recalled = Recalled(judge, journal)
    examples = RecalledExamples(examples, journal)
    if before is None or journal.unfit:
        if before is not None:
            tell(Resumed(journal.unfit))
        return conform(recalled, settings, tell, examples)
    tell(Resumed())
    return _resume(recalled, settings, tell, examples, before)


def _resume(
    recalled: Recalled, settings: Settings, tell: Tell, examples: ExampleDatabase, before: BackendReport
) -> BackendReport:
    """Go on with a target. As long as the engine meets what it had met before, more is known than it knows."""

    def known(report: BackendReport) -> BackendReport:
        if not recalled.live and goes_on(report):
            return before
        return replace(report, seconds=before.seconds + report.seconds)

    def told(news: News) -> None:
        if isinstance(news, Judging):
            so_far = news.so_far
            news = Judging(lambda: known(so_far()))
        tell(news)

    return known(conform(recalled, settings, told, examples))


def judge_of(target: str, isolation: Isolation | None) -> Recorder:
    """The judge of a target: in a child process, or in this one, which is enough for a program, a process itself.

    Raises ``Ended`` if the process ends before it can say what it holds.
    """
    if target.startswith(RECORDED):
        return Here(recorded(target))
    if isolation is not None and target.startswith(PROGRAM):
        return Here(program(target, isolation.limits))
    if isolation is None:
        return Here(find(target))
    return Isolated(target, isolation.limits, isolation.python(target))


def _helped(target: str, settings: Settings, isolation: Isolation | None, places: Places | None) -> Judge:
    """The judge of a target, with helpers where these are of use: a quick run is over before they have started.

    Each process of a backend that compiles would compile everything.
    """
    if places is None:
        return judge_of(target, isolation)
    judge = places.judge(target, isolation) or judge_of(target, isolation)
    if settings.quick or judge.backend.capabilities.compiled:
        return judge
    return Ahead(judge, lambda helpers: places.helper(target, isolation, helpers))


def _not_started(target: str, settings: Settings, ended: Ended) -> BackendReport:
    """The report of a target whose process ended before its first case: the first property says so."""
    first, *others = select(settings.only, settings.exclude)
    fact = Within("before its first case (import, hello or probe)", Said(str(ended)))
    verdicts = [Verdict(target, first.id, ended.outcome, fact)]
    verdicts += [Verdict(target, p.id, Outcome.NOT_RUN, NotStarted(first.id)) for p in others]
    return BackendReport(target, tuple(verdicts), strict=settings.strict)
