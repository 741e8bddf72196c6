"""Runs: which backends, in which processes, into one report."""

from __future__ import annotations

import faulthandler
import importlib.metadata
import multiprocessing
import multiprocessing.process
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase

import conformance
from conformance.backend import Backend
from conformance.engine import PENDING, Settings, conform
from conformance.errors import SuiteError, UsageError
from conformance.properties import select
from conformance.registry import find
from conformance.report.model import BackendReport, Report, Verdict

#: The packages whose versions a report names if they are installed.
_PACKAGES = ("numpy", "hypothesis", "torch", "ml_dtypes")

#: Seconds without a word after which a process is taken to hang: no case takes that long, nor does shrinking.
TIMEOUT = 600.0

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


@dataclass
class _Child:
    target: str
    process: multiprocessing.process.BaseProcess
    connection: Connection
    #: When it was last heard of, how far it was, and the report as it stood.
    heard: float
    cases: tuple[int, int] | None = None
    saved: BackendReport | None = None


@dataclass(frozen=True)
class _Saved:
    """A checkpoint on its way to the parent."""

    report: BackendReport


_Message = tuple[int, int] | _Saved | BackendReport | UsageError | SuiteError | None


@dataclass(frozen=True)
class Outcome:
    """What became of a run: the report, and the errors of targets that could not be loaded or judged."""

    report: Report
    errors: tuple[UsageError | SuiteError, ...]


def run(
    targets: Sequence[str],
    settings: Settings,
    jobs: int = 0,
    timeout: float = TIMEOUT,
    watch: Watch = lambda target, done, total: None,
) -> Outcome:
    """Judge targets, each in a process of its own, at most ``jobs`` at a time (as many as there are cores if 0).

    A process of which nothing is heard for ``timeout`` seconds is ended. Whether it dies, hangs or is interrupted,
    every verdict that it had is kept, and the report says which are missing.
    """
    targets = list(dict.fromkeys(targets))
    select(settings.only, settings.exclude)
    jobs = jobs or os.cpu_count() or 1
    waiting, running = list(targets), list[_Child]()
    reports: dict[str, BackendReport] = {}
    errors: list[UsageError | SuiteError] = []
    interrupted = False
    try:
        while running or (waiting and not interrupted):
            try:
                while waiting and not interrupted and len(running) < jobs:
                    running.append(_start(waiting.pop(0), settings))
                for child in _ready(running):
                    message = _receive(child)
                    if isinstance(message, tuple):
                        watch(child.target, *message)
                    if isinstance(message, tuple | _Saved):
                        continue
                    running.remove(child)
                    child.process.join()
                    if isinstance(message, BackendReport):
                        reports[child.target] = message
                    elif message is not None:
                        errors.append(message)
                    elif not interrupted:
                        reports[child.target] = _ended(child, settings, "crashed", _death(child))
                for child in [child for child in running if time.monotonic() - child.heard > timeout]:
                    running.remove(child)
                    child.process.kill()
                    child.process.join()
                    why = f"nothing was heard of it for {timeout:g} seconds"
                    reports[child.target] = _ended(child, settings, "timeout", why)
            except KeyboardInterrupt:
                # The children hear of it themselves, and send what they have.
                if interrupted:
                    for child in running:
                        child.process.terminate()
                interrupted = True
    finally:
        for child in running:
            child.process.kill()
    ordered = [reports[target] for target in targets if target in reports]
    missing = [target for target in targets if target not in reports] if interrupted else []
    return Outcome(make_report(settings, ordered, missing), tuple(errors))


def _start(target: str, settings: Settings) -> _Child:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_judge, args=(target, settings, theirs, sys.path), name=target)
    process.start()
    theirs.close()
    return _Child(target, process, ours, time.monotonic())


def _ready(running: list[_Child]) -> list[_Child]:
    ready = wait([child.connection for child in running], timeout=1.0)
    return [child for child in running if child.connection in ready]


def _receive(child: _Child) -> _Message:
    """The child's next message: cases done and in all, a checkpoint, or its last one; None if it died without that."""
    child.heard = time.monotonic()
    try:
        message: _Message = child.connection.recv()
    except (EOFError, OSError):
        return None
    if isinstance(message, tuple):
        child.cases = message
    elif isinstance(message, _Saved):
        child.saved = message.report
    return message


def _death(child: _Child) -> str:
    code = child.process.exitcode or 0
    return f"its process died (signal {-code})" if code < 0 else f"its process died (exit code {code})"


def _ended(child: _Child, settings: Settings, outcome: str, why: str) -> BackendReport:
    """The report of a child that sent none: what it had saved; the first property that is missing has the outcome."""
    when = (
        f"after {child.cases[0]} of {child.cases[1]} cases" if child.cases else "at the first cases, or in its import"
    )
    reason = f"{why} {when}"
    saved = child.saved
    if saved is None:
        chosen = select(settings.only, settings.exclude)
        saved = BackendReport(child.target, tuple(Verdict(child.target, p.id, "not run", PENDING) for p in chosen))
    verdicts, guilty = [], outcome
    for verdict in saved.verdicts:
        if verdict.outcome == "not run":
            verdict = replace(verdict, outcome=guilty, message=verdict.message.replace(PENDING, reason))
            guilty = "not run"
        verdicts.append(verdict)
    return replace(saved, verdicts=tuple(verdicts), interrupted=reason)


def _judge(target: str, settings: Settings, connection: Connection, path: list[str]) -> None:
    """In the child: judge one target, and send progress, checkpoints and the report."""
    sys.path[:] = path
    faulthandler.enable()
    try:
        backend = find(target)
        report = conform(
            backend,
            settings,
            lambda *done: connection.send(done),
            database(target, settings),
            lambda report: connection.send(_Saved(report)),
        )
        connection.send(report)
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
