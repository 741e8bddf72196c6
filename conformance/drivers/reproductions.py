"""Failures written as files that stand alone, and such files replayed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conformance.cases.recipe import Recipe, parse
from conformance.drivers.console import show
from conformance.drivers.files import claimed
from conformance.drivers.target import Isolation, judge_of
from conformance.engine.reproducing import KINDS, NotShown, Recorder, judged, reproduce
from conformance.errors import Ended, SuiteError, UsageError
from conformance.properties import catalogue
from conformance.properties.model import Property
from conformance.report.environment import environment
from conformance.report.evidence import arrays
from conformance.report.model import Report
from conformance.report.saved import SUFFIXES, changed, is_reproduction, read, safetensors
from conformance.report.script import script
from conformance.targets.load import located
from conformance.trials.evidence import shown_arrays
from conformance.trials.reproduction import Reproduction
from conformance.version import __version__


def check(path: Path) -> None:
    """Raise ``UsageError`` for a file that cannot be a reproduction, or holds something else."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--write {path}: the file must end in {' or '.join(SUFFIXES)}", f"try {path}.py")
    if path.is_file() and path.stat().st_size and not is_reproduction(path):
        raise UsageError(f"--write {path}: the file exists, and is no reproduction; it is left as it is")


def made(recorder: Recorder, recipes: Sequence[Recipe], p: Property) -> Reproduction:
    """What shows the failure of a property, with the versions of all that took part. Raises ``NotShown``."""
    told = reproduce(recorder, recipes, p)
    used = environment() | recorder.frameworks
    versions = ", ".join([f"lstm-conformance {__version__}", *(f"{name} {version}" for name, version in used.items())])
    return replace(told, place=located(told.target), versions=versions)


def content(told: Reproduction, suffix: str) -> str | bytes:
    """A reproduction in the form that a suffix names. Raises ``NotShown`` for a target that no script can name."""
    if suffix != ".py":
        return safetensors(told)
    statement = catalogue()[told.property].statement if told.property in catalogue() else ""
    try:
        return script(told, statement).removesuffix("\n")
    except ValueError as error:
        raise NotShown(str(error)) from None


def write(told: Reproduction, path: Path) -> None:
    """Write a reproduction, whole or not at all. Raises ``UsageError``, ``Unwritten`` and ``NotShown``."""
    check(path)
    text = content(told, path.suffix)
    with claimed("--write", path) as writing:
        writing(text)


def folder(path: Path) -> None:
    """Make the folder of ``run --write``, before anything is judged."""
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"--write {path} cannot be a folder: {error.strerror}", "name another one") from None


def write_all(report: Report, path: Path, isolation: Isolation | None) -> str:
    """Write a script for every failure of a run; what was written and what could not be shown, for a person."""
    written, left = 0, list[str]()
    for backend in report.backends:
        failures = [v for v in backend.verdicts if v.outcome.bad and v.recipe is not None]
        if not failures:
            continue
        recorder = judge_of(backend.backend, isolation)
        try:
            for v in failures:
                assert v.recipe is not None
                file = path / f"{v.property}.{_slug(v.backend)}.py"
                try:
                    write(made(recorder, [*map(parse, v.history), parse(v.recipe)], catalogue()[v.property]), file)
                    written += 1
                except (NotShown, UsageError, SuiteError, Ended) as error:
                    left.append(f"{v.property}: {error}")
        finally:
            recorder.close()
    lines = [f"{written} {'script' if written == 1 else 'scripts'} in {path}"]
    lines += [f"not written: {len(left)}"] * bool(left)
    return "\n".join(
        [*lines, *(textwrap.fill(text, 98, initial_indent="  ", subsequent_indent="    ") for text in left)]
    )


def _slug(target: str) -> str:
    """A target as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", target.replace(".py:", "-")).strip("-")


def is_file(word: str) -> bool:
    """Whether a word that ``replay`` is given names a file and is no text of a case."""
    return word.endswith(SUFFIXES)


def opened(word: str) -> Reproduction:
    """The reproduction in a file."""
    return read(Path(word))


def judge(recorder: Recorder, told: Reproduction, name: str) -> int:
    """Judge the calls of a file as they stand in it, and say what came of them; the exit code."""
    kinds = (told.kind, *(kind for kind in KINDS if kind != told.kind))
    last = told.last
    count = f"{len(told.events)} calls" if len(told.events) > 2 else "the call"
    show(f"{recorder.backend.name}: {count} in {name}, for {told.property}")
    show(textwrap.indent(arrays(shown_arrays(last.arrays)), "    "))
    if changed(told):
        show("  the arrays are not those that were written: they are judged as they are now")
    found = judged(recorder, told.events, kinds)
    show(f"  {told.property:<27} {'passed' if found is None else f'failed: {found[1]}'}")
    return 0 if found is None else 1
