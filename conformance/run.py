"""Runs: which backends, in which processes, into one report."""

from __future__ import annotations

import faulthandler
import importlib.metadata
import multiprocessing
import multiprocessing.process
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

import conformance
from conformance.backend import Backend
from conformance.engine import Settings, conform
from conformance.errors import SuiteError, UsageError
from conformance.properties import select
from conformance.registry import find
from conformance.report.model import BackendReport, Report, Verdict

#: The packages whose versions a report names if they are installed.
_PACKAGES = ("numpy", "hypothesis", "torch")

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
    return Report(
        conformance.__version__, settings.seed, settings.cases, environment(), tuple(backends), tuple(missing)
    )


def environment() -> dict[str, str]:
    """Versions and platform."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions | {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}


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


# One child process for each target, a few at a time: backends cannot disturb each other, the cores are used, and one
# that brings its process down takes no other verdict with it.


@dataclass(frozen=True)
class _Child:
    target: str
    process: multiprocessing.process.BaseProcess
    connection: Connection


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the report, and the errors of targets that could not be loaded or judged."""

    report: Report
    errors: tuple[UsageError | SuiteError, ...]


def run(
    targets: Sequence[str], settings: Settings, jobs: int = 0, watch: Watch = lambda t, done, total: None
) -> Outcome:
    """Judge targets, each in a process of its own, at most ``jobs`` at a time (as many as there are cores if 0).

    Interrupting it keeps every verdict; the report says which are missing.
    """
    targets = list(dict.fromkeys(targets))
    select(settings.only, settings.exclude)
    jobs = jobs or os.cpu_count() or 1
    waiting, running = list(targets), list[_Child]()
    reports: dict[str, BackendReport] = {}
    errors: list[UsageError | SuiteError] = []
    cases: dict[str, tuple[int, int]] = {}
    interrupted = False
    while running or (waiting and not interrupted):
        try:
            while waiting and not interrupted and len(running) < jobs:
                running.append(_start(waiting.pop(0), settings))
            for child in _ready(running):
                message = _receive(child)
                if isinstance(message, tuple):
                    cases[child.target] = message
                    watch(child.target, *message)
                    continue
                running.remove(child)
                child.process.join()
                if isinstance(message, BackendReport):
                    reports[child.target] = message
                elif message is not None:
                    errors.append(message)
                elif not interrupted:
                    reports[child.target] = _crashed(child, settings, cases.get(child.target))
        except KeyboardInterrupt:
            # The children hear of it themselves, and send what they have.
            if interrupted:
                for child in running:
                    child.process.terminate()
            interrupted = True
    ordered = [reports[target] for target in targets if target in reports]
    missing = [target for target in targets if target not in reports] if interrupted else []
    return Outcome(make_report(settings, ordered, missing), tuple(errors))


def _start(target: str, settings: Settings) -> _Child:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_judge, args=(target, settings, theirs, sys.path), name=target, daemon=True)
    process.start()
    theirs.close()
    return _Child(target, process, ours)


def _ready(running: list[_Child]) -> list[_Child]:
    ready = wait([child.connection for child in running], timeout=1.0)
    return [child for child in running if child.connection in ready]


def _receive(child: _Child) -> tuple[int, int] | BackendReport | UsageError | SuiteError | None:
    """The child's next message: cases done and in all, or its last one; None if it died without that."""
    try:
        return child.connection.recv()
    except (EOFError, OSError):
        return None


def _crashed(child: _Child, settings: Settings, cases: tuple[int, int] | None) -> BackendReport:
    """The verdicts of a backend that brought its process down: the first property's, in the order of the catalogue."""
    code = child.process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    when = f"after {cases[0]} of {cases[1]} cases" if cases else "at the first cases, or while it was imported"
    reason = f"its process died {when} ({how})"
    first, *others = select(settings.only, settings.exclude)
    verdicts = [Verdict(child.target, first.id, "crashed", reason)]
    verdicts += [Verdict(child.target, p.id, "not run", reason) for p in others]
    return BackendReport(child.target, tuple(verdicts), interrupted=reason)


def _judge(target: str, settings: Settings, connection: Connection, path: list[str]) -> None:
    """In the child: judge one target, and send progress and the report."""
    sys.path[:] = path
    faulthandler.enable()
    try:
        backend = find(target)
        connection.send(conform(backend, settings, lambda *done: connection.send(done), database(target, settings)))
    except UsageError as error:
        connection.send(error)
    except KeyboardInterrupt:
        connection.send(None)
    except Exception:
        told = f"a defect of lstm-conformance, not of {target!r}; please report it:\n{traceback.format_exc().rstrip()}"
        connection.send(SuiteError(told))
    finally:
        connection.close()


def write_json(report: Report, path: Path) -> None:
    """Write the report as JSON."""
    import json

    from conformance.report.model import to_json

    text = json.dumps(to_json(report), indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
