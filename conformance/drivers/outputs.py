"""The files that a command writes a report to, beside its JSON: one for each form that was asked for."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from conformance.drivers.files import STANDARD_OUTPUT, claimed
from conformance.errors import UsageError
from conformance.report.model import Report
from conformance.report.renderings import RENDERINGS, Rendering


def add_outputs(sub: argparse.ArgumentParser) -> None:
    """The options that name files."""
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every verdict to FILE; - is standard output")
    for form in RENDERINGS:
        sub.add_argument(f"--{form.name}", type=Path, metavar="FILE", help=form.help)


@contextlib.contextmanager
def outputs(options: argparse.Namespace) -> Iterator[Callable[[Report], None]]:
    """Claim the file of every form that was asked for; the function that is given writes each, whole or not at all.

    Raises ``UsageError`` for a file that cannot be written, and for two options that name one file; the function raises
    ``Unwritten`` for one that could not be written, after it has tried the others.
    """
    _check_distinct(options)
    with contextlib.ExitStack() as files:
        writes = [(form, path, files.enter_context(claimed(f"--{form.name}", path))) for form, path in _asked(options)]

        def write(report: Report) -> None:
            with contextlib.ExitStack() as tried:
                for form, path, put in writes:
                    tried.callback(lambda form=form, path=path, put=put: put(_lines(form.of(report, path))))

        yield write


def _lines(text: str) -> str:
    """A text that UTF-8 has, though a name in it may not be; the end of its last line is added where it is written."""
    return text.encode("utf-8", "backslashreplace").decode().removesuffix("\n")


def _asked(options: argparse.Namespace) -> list[tuple[Rendering, Path]]:
    """The forms that were asked for, each with its file."""
    given = [(form, getattr(options, form.name)) for form in RENDERINGS]
    asked = [(form, path) for form, path in given if path is not None]
    for form, path in asked:
        form.check(path)
    return asked


def _check_distinct(options: argparse.Namespace) -> None:
    """``UsageError`` for two options that name one file."""
    named: dict[Path, str] = {}
    for option, path in [("json", options.json), *((form.name, path) for form, path in _asked(options))]:
        if path is not None:
            place = path if path == STANDARD_OUTPUT else path.resolve()
            if place in named:
                raise UsageError(f"--{named[place]} and --{option} both name {path}", "name two files")
            named[place] = option


def stream(options: argparse.Namespace) -> TextIO:
    """Where a person's text goes: beside a file on standard output, to standard error."""
    files = [options.json, *(path for _, path in _asked(options))]
    return sys.stderr if STANDARD_OUTPUT in files else sys.stdout
