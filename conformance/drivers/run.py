"""Runs: which backends, in which processes, into one report."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

from conformance.backend import Backend
from conformance.engine.judging import Here, Judge
from conformance.engine.sieve import Settings, conform
from conformance.errors import Ended, SuiteError, UsageError
from conformance.isolation.parent import Isolated
from conformance.processes.keeper import end_children
from conformance.processes.supervisor import Limits
from conformance.processes.wire.client import PROGRAM, program
from conformance.properties import select
from conformance.report.environment import environment
from conformance.report.model import BackendReport, Report, Verdict
from conformance.targets.find import find
from conformance.version import __version__

#: Told of a target's progress: target, cases done, cases in all.
Watch = Callable[[str, int, int], None]


def check_backend(
    target: str | Backend | Callable[..., Any],
    *,
    cases: int = 100,
    seed: int = 0,
    properties: Sequence[str] | None = None,
) -> Report:
    """Judge one backend in this process: the whole suite as one call.

    ``target`` is a registered name, a ``Backend``, a build function, an nn.Module class or a target string;
    ``properties`` are ids or groups, all if None. Raises ``UsageError`` for names that are none.
    """
    settings = Settings(cases, seed, tuple(properties or ()))
    return make_report(settings, (conform(find(target), settings),))


def make_report(settings: Settings, backends: Iterable[BackendReport], missing: Iterable[str] = ()) -> Report:
    """The report of a run with the environment of this process."""
    return Report(__version__, settings.seed, settings.cases, environment(), tuple(backends), tuple(missing))


class _Prefixed(ExampleDatabase):
    """A database whose keys belong to one backend and one set of properties: all runs share one test function."""

    def __init__(self, database: ExampleDatabase, prefix: str) -> None:
        super().__init__()
        self._database = database
        self._prefix = prefix.encode()

    def save(self, key: bytes, value: bytes) -> None:
        self._database.save(self._prefix + key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._database.fetch(self._prefix + key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._database.delete(self._prefix + key, value)


def database(target: str, settings: Settings) -> ExampleDatabase:
    """Where Hypothesis keeps the counterexamples of a target between runs: ``.hypothesis/lstm-conformance``."""
    folder = Path(os.environ.get("HYPOTHESIS_STORAGE_DIRECTORY", ".hypothesis")) / "lstm-conformance"
    chosen = " ".join(p.id for p in select(settings.only, settings.exclude))
    return _Prefixed(DirectoryBasedExampleDatabase(folder), f"{target}\0{chosen}\0")


# Each target has a judge: a child process that holds it, or this process. Isolated ones are judged a few at a time,
# each by an engine in a thread, whose part is small; those judged here come one after the other.


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


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the report, and the errors of targets that could not be loaded or judged."""

    report: Report
    errors: tuple[UsageError | SuiteError, ...]


def run(
    targets: Sequence[str],
    settings: Settings,
    jobs: int = 0,
    isolation: Isolation | None = _APART,
    watch: Watch = lambda target, done, total: None,
) -> Outcome:
    """Judge targets, at most ``jobs`` at a time (as many as there are cores if 0), each in a process of its own.

    Without ``isolation`` they are judged in this process, one after the other. Whether a target's process dies, hangs
    or is interrupted, every verdict is kept, and the report says which are missing.
    """
    targets = list(dict.fromkeys(targets))
    select(settings.only, settings.exclude)
    if isolation and (programs := [name for name in isolation.pythons if name.startswith(PROGRAM)]):
        raise UsageError(f"an interpreter is given for {programs[0]!r}, which is a program of its own")
    if unknown := [name for name in isolation.pythons if name and name not in targets] if isolation else []:
        raise UsageError(f"an interpreter is given for {unknown[0]!r}, which is no target of this run")
    judging = _Judging(settings, isolation, watch)
    with ThreadPoolExecutor((jobs or os.cpu_count() or 1) if isolation else 1) as pool:
        if isolation is None:
            for target in targets:
                judging.judge(target)
                if isinstance(found := judging.found.get(target), BackendReport) and found.interrupted:
                    break
        else:
            running = [pool.submit(judging.judge, target) for target in targets]
            try:
                while wait(running, timeout=1.0).not_done:
                    continue
            except KeyboardInterrupt:
                _persistently(judging.stop)
    done = [judging.found[target] for target in targets if target in judging.found]
    reports = [found for found in done if isinstance(found, BackendReport)]
    errors = tuple(found for found in done if not isinstance(found, BackendReport))
    missing = [target for target in targets if target not in judging.found]
    return Outcome(make_report(settings, reports, missing), errors)


def _persistently(work: Callable[[], None]) -> None:
    """Do something that whoever interrupts again may not cut short: the report is on its way."""
    while True:
        try:
            return work()
        except KeyboardInterrupt:
            continue


class _Judging:
    """What the threads of a run share."""

    def __init__(self, settings: Settings, isolation: Isolation | None, watch: Watch) -> None:
        self.found: dict[str, BackendReport | UsageError | SuiteError] = {}
        self._settings = settings
        self._isolation = isolation
        self._watch = watch
        self._lock = threading.Lock()
        self._judges: list[Judge] = []
        self._stopped = False

    def judge(self, target: str) -> None:
        """Judge one target, unless the run has been stopped."""
        if self._stopped:
            return
        began = threading.Event()
        try:
            found = self._report(target, began)
        except (UsageError, SuiteError) as error:
            found = error
        except KeyboardInterrupt:
            self._stopped = True
            return
        except Exception:
            told = traceback.format_exc().rstrip()
            found = SuiteError(f"a defect of lstm-conformance, not of {target!r}; please report it:\n{told}")
        # What was still starting when the run was stopped was ended, and counts as not begun.
        if began.is_set() or not self._stopped:
            self.found[target] = found

    def _report(self, target: str, began: threading.Event) -> BackendReport:
        try:
            judge = judge_of(target, self._isolation)
        except Ended as ended:
            return _stillborn(target, self._settings, ended)
        began.set()
        with self._lock:
            self._judges.append(judge)
        if self._stopped:
            judge.close()
        try:
            return conform(judge, self._settings, partial(self._told, target), database(target, self._settings))
        finally:
            judge.close()

    def _told(self, target: str, done: int, total: int) -> None:
        with self._lock:
            self._watch(target, done, total)

    def stop(self) -> None:
        """Begin no other target, and end those at work: each reports what it has."""
        self._stopped = True
        with self._lock:
            judges = list(self._judges)
        for judge in judges:
            judge.close()
        end_children()


def judge_of(target: str, isolation: Isolation | None) -> Judge:
    """Who judges a target: a child process, or this one, which is enough for a program that is a process itself.

    Raises ``Ended`` if the process ends before it can say what it holds.
    """
    if isolation is not None and target.startswith(PROGRAM):
        return Here(program(target, isolation.limits))
    if isolation is None:
        return Here(find(target))
    return Isolated(target, isolation.limits, isolation.python(target))


def _stillborn(target: str, settings: Settings, ended: Ended) -> BackendReport:
    """The report of a target whose process ended at its start: the first property says so."""
    first, *others = select(settings.only, settings.exclude)
    verdicts = [
        Verdict(
            target,
            first.id,
            ended.outcome,
            f"at its start (its import, its hello, or a probe of what it can do): {ended}",
        )
    ]
    verdicts += [Verdict(target, p.id, "not run", f"it does not start: see {first.id}") for p in others]
    return BackendReport(target, tuple(verdicts))


def write_json(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    import json

    from conformance.report.model import to_json

    text = json.dumps(to_json(report), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
