"""Runs: which targets, held by which processes, into one report."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

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
from conformance.isolation.parent import Isolated
from conformance.processes.keeper import end_children
from conformance.processes.supervisor import Limits
from conformance.processes.wire.client import PROGRAM, program
from conformance.properties import select
from conformance.report.environment import environment, loaded
from conformance.report.model import Asked, BackendReport, Report, TargetError, Verdict
from conformance.targets.find import find
from conformance.version import __version__

#: No failures are expected.
NO_FAILURES: Mapping[str, str] = MappingProxyType({})

#: Told of what happens to each target.
TellOf = Callable[[str, News], None]

#: No target was judged before.
NOTHING: Mapping[str, BackendReport] = MappingProxyType({})


def now() -> str:
    """The time, in the ISO format, with its offset from UTC."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def make_report(
    settings: Settings,
    backends: Iterable[BackendReport],
    missing: Iterable[str] = (),
    asked: Asked | None = None,
    errors: Iterable[TargetError] = (),
) -> Report:
    """The report of a run: with the frameworks that the backends have loaded, and the environment of this process.

    ``asked`` has its targets, its limits, its command line and its start; what follows from the settings is added here.
    Without it, the targets are the backends and those that are missing.
    """
    backends, missing = tuple(backends), tuple(missing)
    asked = asked or Asked((*(backend.backend for backend in backends), *missing))
    asked = replace(
        asked,
        only=settings.only,
        exclude=settings.exclude,
        quick=settings.quick,
        strict=settings.strict,
        stop=settings.stop,
    )
    return Report(
        __version__,
        settings.seed,
        settings.cases,
        loaded(backend.frameworks for backend in backends) | environment(),
        backends,
        missing,
        asked,
        tuple(errors),
        now(),
    )


@dataclass(frozen=True)
class Isolation:
    """How targets are kept apart from the run."""

    limits: Limits = field(default_factory=Limits)
    #: The interpreter for each target, and under "" the one for all others; this one if there is none.
    pythons: Mapping[str, str] = field(default_factory=dict)

    def python(self, target: str) -> str:
        """The interpreter that holds a target; nothing for this one."""
        return self.pythons.get(target, self.pythons.get("", ""))


_APART = Isolation()


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


#: What became of a target: its report, the error for which there is none, or None if it was never begun.
Judged = BackendReport | UsageError | SuiteError | None


def judge_target(
    target: str,
    settings: Settings,
    isolation: Isolation | None = _APART,
    diagnose: float = 0.0,
    tell: Tell = unheard,
    judges: Judges | None = None,
    journals: Journals | None = None,
) -> Judged:
    """Judge one target with given settings, in a process of its own unless there is no ``isolation``.

    If it fails, its causes are looked for, within ``diagnose`` seconds. The first four arguments and the result can be
    pickled, so that any executor can call it; the others are for callers in this process: ``tell`` is told what
    happens, and ``journals`` keep the answers while the target is unfinished. It does not raise, unless it is
    interrupted; an interruption of the diagnosis keeps the report, and ends all ``judges``, as a first failure does
    at which the run stops.
    """
    judges = Judges() if judges is None else judges
    if judges.closed:
        return None
    judged = None
    try:
        tell(Began())
        judged = _judge(target, settings, isolation, diagnose, tell, judges, journals)
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
) -> Judged:
    try:
        judge = judge_of(target, isolation)
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
    if isolation is not None and target.startswith(PROGRAM):
        return Here(program(target, isolation.limits))
    if isolation is None:
        return Here(find(target))
    return Isolated(target, isolation.limits, isolation.python(target))


def _not_started(target: str, settings: Settings, ended: Ended) -> BackendReport:
    """The report of a target whose process ended before its first case: the first property says so."""
    first, *others = select(settings.only, settings.exclude)
    fact = Within("before its first case (import, hello or probe)", Said(str(ended)))
    verdicts = [Verdict(target, first.id, ended.outcome, fact)]
    verdicts += [Verdict(target, p.id, Outcome.NOT_RUN, NotStarted(first.id)) for p in others]
    return BackendReport(target, tuple(verdicts), strict=settings.strict)


@dataclass(frozen=True)
class Run:
    """The record of a run: the report, and the errors of targets that could not be loaded or judged."""

    report: Report
    errors: tuple[UsageError | SuiteError, ...]


def run(
    targets: Sequence[str],
    settings: Settings,
    jobs: int = 0,
    isolation: Isolation | None = _APART,
    tell: TellOf = lambda target, news: None,
    executor: Executor | None = None,
    expected: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    diagnose: float = 0.0,
    journals: Journals | None = None,
    finished: Mapping[str, BackendReport] = NOTHING,
    asked: Asked | None = None,
) -> Run:
    """Judge targets, at most ``jobs`` at a time (as many as there are cores if 0), each in a process of its own.

    Without ``isolation`` they are judged in this process, one after the other. An ``executor``, such as a pool of
    processes or a cluster's, calls ``judge_target`` for each; then nothing is told, and no journal is kept. Otherwise
    ``tell`` is told what happens, by one target at a time. ``expected`` are, by target, the failures that are expected
    beside those of ``settings`` and of the backend. The causes of a target's failures are looked for within
    ``diagnose`` seconds. ``journals`` keep the answers about each target until it is finished. Targets that were
    ``finished`` before are not judged again, and stand in the report as they are. ``asked`` is what the report says of
    the run's targets and limits. Whether a target's process dies,
    hangs or is interrupted, every verdict is kept, and the report says which are missing.
    """
    targets = list(dict.fromkeys(targets))
    select(settings.only, settings.exclude)
    _check_pythons(targets, isolation)
    own = {t: _expecting(settings, expected.get(t, NO_FAILURES)) for t in targets if t not in finished}
    if executor is not None:
        results = _collected({t: executor.submit(judge_target, t, own[t], isolation, diagnose) for t in own})
    elif isolation is None:
        results = _in_turn(own, diagnose, tell, journals)
    else:
        results = _in_threads(own, jobs, isolation, diagnose, tell, journals)
    results |= finished
    done = {target: judged for target in targets if (judged := results.get(target)) is not None}
    reports = [judged for judged in done.values() if isinstance(judged, BackendReport)]
    errors = tuple(judged for judged in done.values() if not isinstance(judged, BackendReport))
    missing = [target for target in targets if target not in done]
    told = [target_error(target, judged) for target, judged in done.items() if not isinstance(judged, BackendReport)]
    return Run(make_report(settings, reports, missing, asked or Asked(tuple(targets)), told), errors)


def target_error(target: str, error: UsageError | SuiteError) -> TargetError:
    """The error for which there is no report of a target, as data."""
    hint = error.hint if isinstance(error, UsageError) else ""
    return TargetError(target, str(error.args[0]), hint, isinstance(error, SuiteError))


def _expecting(settings: Settings, failures: Mapping[str, str]) -> Settings:
    return replace(settings, expected_failures={**settings.expected_failures, **failures})


def _check_pythons(targets: Sequence[str], isolation: Isolation | None) -> None:
    named = [name for name in isolation.pythons if name] if isolation else []
    if programs := [name for name in named if name.startswith(PROGRAM)]:
        raise UsageError(f"an interpreter is given for {programs[0]!r}, which is a program of its own")
    if unknown := [name for name in named if name not in targets]:
        raise UsageError(f"an interpreter is given for {unknown[0]!r}, which is not a target of this run")


def _in_turn(
    targets: Mapping[str, Settings], diagnose: float, tell: TellOf, journals: Journals | None
) -> dict[str, Judged]:
    """Judge targets in this process, each with its settings, one after the other, until one is interrupted."""
    results: dict[str, Judged] = {}
    judges = Judges()
    for target, settings in targets.items():
        try:
            judged = judge_target(target, settings, None, diagnose, partial(tell, target), judges, journals)
        except KeyboardInterrupt:
            break
        results[target] = judged
        if isinstance(judged, BackendReport) and judged.interrupted and judged.interrupted.how == "interrupted":
            break
    return results


def _in_threads(
    targets: Mapping[str, Settings],
    jobs: int,
    isolation: Isolation,
    diagnose: float,
    tell: TellOf,
    journals: Journals | None,
) -> dict[str, Judged]:
    """Judge targets a few at a time, each with its settings, by an engine in a thread, whose part is small."""
    judges, lock = Judges(), threading.Lock()

    def judged(target: str) -> Judged:
        def told(news: News) -> None:
            with lock:
                tell(target, news)

        return judge_target(target, targets[target], isolation, diagnose, told, judges, journals)

    def stop() -> None:
        judges.close_all()
        end_children()

    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        running = {target: pool.submit(judged, target) for target in targets}
        try:
            while wait(running.values(), timeout=1.0).not_done:
                continue
        except KeyboardInterrupt:
            _persistently(stop)
    return _collected(running)


def _collected(running: Mapping[str, Future[Judged]]) -> dict[str, Judged]:
    """The report or the error of each target; an executor that lost one does not lose the others."""
    results: dict[str, Judged] = {}
    for target, future in running.items():
        try:
            results[target] = future.result()
        except KeyboardInterrupt:
            break
        except Exception as error:
            results[target] = SuiteError(f"the executor lost {target!r}: {type(error).__name__}: {error}")
    return results


def _persistently(work: Callable[[], None]) -> None:
    """Do something that a second interruption may not cut short: the report is on its way."""
    while True:
        try:
            return work()
        except KeyboardInterrupt:
            continue
