"""``run --resume FILE``: what the run whose report FILE is was asked for, and what it has left."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.drivers.stored import read_report
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.report.model import Report
from conformance.version import __version__

#: The options that decide what is judged, and how: those of a resumed run are its beginning's.
_SETTLED = (
    *("targets", "profile", "seconds", "stop", "cases", "seed", "only", "exclude", "strict", "weights"),
    *("in_process", "python", "timeout", "memory", "diagnose", "json"),
)


def read(path: Path) -> Report:
    """The report in a file that ``run`` has written. Raises ``UsageError`` for any other file."""
    report = read_report(path)
    if report.asked.command[:1] != ("run",):
        raise UsageError(f"--resume {path}: `run` has not written it", "`run TARGET --json FILE` writes one")
    if report.version != __version__:
        told = f"lstm-conformance {report.version} has written it, and this is {__version__}"
        raise UsageError(f"--resume {path}: {told}", "run it again from its beginning")
    return report


def settings(report: Report) -> Settings:
    """The settings of its run."""
    asked = report.asked
    return Settings(
        report.cases,
        report.seed,
        asked.only,
        asked.exclude,
        stop=asked.stop,
        quick=asked.quick,
        large=asked.large,
        seconds=asked.seconds,
        strict=asked.strict,
    )


def options(
    report: Report, words: Sequence[str], parse: Callable[[Sequence[str]], argparse.Namespace]
) -> argparse.Namespace:
    """The options of its run, with those of the command line that resumes it: how many at a time, what is written.

    Raises ``UsageError`` for an option among the ``words`` that would have the run judge something else.
    """
    command = list(report.asked.command)
    # Behind a "--" of the command there are targets alone.
    end = command.index("--") if "--" in command else len(command)
    begun, now = parse(command), parse([*command[:end], *words, *command[end:]])
    if other := [name for name in _SETTLED if getattr(begun, name) != getattr(now, name)]:
        word = "a target" if other[0] == "targets" else f"--{other[0].replace('_', '-')}"
        told = f"--resume goes on with what the run was asked for: {word} cannot be changed"
        raise UsageError(told, "leave it out")
    return now
