"""Runs: which targets, held by which processes, into one report."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from types import MappingProxyType

from conformance.drivers.journal import Journals
from conformance.drivers.target import APART, Isolation, Judged, Judges, Places, Room, judge_target
from conformance.engine.news import News
from conformance.engine.plan import Settings
from conformance.errors import SuiteError, UsageError
from conformance.processes.keeper import end_children
from conformance.processes.wire.client import PROGRAM
from conformance.properties import select
from conformance.report.environment import environment, loaded
from conformance.report.model import Asked, BackendReport, Report, TargetError
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
        large=settings.large,
        seconds=settings.seconds,
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
class Run:
    """The record of a run: the report, and the errors of targets that could not be loaded or judged."""

    report: Report
    errors: tuple[UsageError | SuiteError, ...]


def run(
    targets: Sequence[str],
    settings: Settings,
    jobs: int = 0,
    isolation: Isolation | None = APART,
    tell: TellOf = lambda target, news: None,
    places: Places | None = None,
    expected: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    diagnose: float = 0.0,
    journals: Journals | None = None,
    finished: Mapping[str, BackendReport] = NOTHING,
    asked: Asked | None = None,
) -> Run:
    """Judge targets, at most ``jobs`` at a time (as many as there are cores if 0), each in a process of its own.

    Processes that no target needs help with the others; so do ``places``, if there are any, instead: those of an
    executor (``shards.Pool``) or of a cluster. Without ``isolation`` targets are judged in this process, one after the
    other, without help. ``tell`` is told what happens, by one target at a time. ``expected`` are, by target, the
    failures that are expected beside those of ``settings`` and of the backend. The causes of a target's failures are
    looked for within ``diagnose`` seconds. ``journals`` keep the answers about each target until it is finished.
    Targets that were ``finished`` before are not judged again, and stand in the report as they are. ``asked`` is what
    the report says of the run's targets and limits. Whether a target's process dies, hangs or is interrupted, every
    verdict is kept, and the report says which are missing.
    """
    targets = list(dict.fromkeys(targets))
    select(settings.only, settings.exclude)
    _check_pythons(targets, isolation)
    own = {t: _expecting(settings, expected.get(t, NO_FAILURES)) for t in targets if t not in finished}
    if isolation is None and places is None:
        results = _in_turn(own, diagnose, tell, journals)
    else:
        results = _in_threads(own, jobs, isolation, diagnose, tell, journals, places)
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
    isolation: Isolation | None,
    diagnose: float,
    tell: TellOf,
    journals: Journals | None,
    places: Places | None,
) -> dict[str, Judged]:
    """Judge targets a few at a time, each with its settings, by an engine in a thread, whose part is small."""
    judges, lock, processes = Judges(), threading.Lock(), jobs or os.cpu_count() or 1
    room = Room(processes, len(targets))

    def judged(target: str) -> Judged:
        def told(news: News) -> None:
            with lock:
                tell(target, news)

        room.begin()
        try:
            return judge_target(target, targets[target], isolation, diagnose, told, judges, journals, places or room)
        finally:
            room.leave()

    def stop() -> None:
        judges.close_all()
        end_children()

    with ThreadPoolExecutor(processes) as pool:
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
