"""The commands of the command line, one function for each; each returns its exit code."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from importlib import resources
from pathlib import Path
from typing import TextIO

from tabulate import tabulate
from tqdm import tqdm

from conformance.drivers import console, replay_probe, reproductions
from conformance.drivers.console import show
from conformance.drivers.files import STANDARD_OUTPUT, claimed
from conformance.drivers.last import remember
from conformance.drivers.options import Command, isolation, selection
from conformance.drivers.progress import Progress
from conformance.drivers.run import Run, run
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.faults import FAULTS
from conformance.processes.message import Garbled
from conformance.processes.wire.server import serve
from conformance.properties import catalogue, select
from conformance.properties.model import COMPUTES, Property
from conformance.report.colour import painted, unpainted
from conformance.report.columns import ENDLESS
from conformance.report.data import dumps
from conformance.report.levels import level_of
from conformance.report.names import named as short_names
from conformance.report.shell import command_line
from conformance.report.table import notes, table
from conformance.report.text import conclusion, failures, head
from conformance.selftest import diagnosed, diagnosed_table, pairs, peers, score
from conformance.targets import registry
from conformance.targets.find import find


def commands() -> dict[str, Command]:
    """Every command by its name."""
    return {
        "run": _run,
        "diagnose": _diagnose,
        "list": _list,
        "explain": _explain,
        "replay": replay_probe.replay,
        "probe": replay_probe.probe,
        "serve": _serve,
        "self-test": _self_test,
        "new": _new,
    }


def _run(options: argparse.Namespace) -> int:
    settings = Settings(
        options.cases,
        options.seed,
        *selection(options),
        strict=options.strict,
        stop=options.stop,
        quick=options.quick,
    )
    named = options.targets or options.configured_targets
    if not named and not registry.names():
        raise UsageError("no backend is installed", "name a target: module:attr or file.py:attr")
    if options.write is not None:
        reproductions.folder(options.write)
    return _exit_code(_judged(named or registry.names(), settings, options), bool(named))


def _diagnose(options: argparse.Namespace) -> int:
    settings = Settings(options.cases, options.seed, *selection(options), strict=options.strict)
    return _exit_code(_judged([options.target], settings, options), named=True)


def _judged(targets: list[str], settings: Settings, options: argparse.Namespace) -> Run:
    """Judge targets, look for the causes of what fails, and show it."""
    apart = isolation(options)
    with claimed("--json", options.json) as write:
        with Progress(settings.cases) as shown:
            outcome = run(
                targets,
                settings,
                options.jobs,
                apart,
                shown.watch,
                expected=options.expected,
                first=shown.first,
                diagnose=options.diagnose,
                step=shown.step,
            )
        try:
            _print(outcome, options.verbose, _stream(options.json))
        finally:
            write(dumps(outcome.report))
    if options.write is not None:
        show(f"\n{reproductions.write_all(outcome.report, options.write, apart)}", _stream(options.json))
    return outcome


def _stream(json: Path | None) -> TextIO:
    """Where a person's text goes: beside JSON on standard output, to standard error."""
    return sys.stderr if json == STANDARD_OUTPUT else sys.stdout


def _print(outcome: Run, verbose: bool, stream: TextIO) -> None:
    report, columns = short_names(outcome.report), console.width()
    paint = painted if console.coloured(stream) else unpainted
    told = failures(report, verbose, last=remember(outcome.report), width=columns)
    # The cause stands as near to the table as it can.
    parts = [
        head(report, columns),
        table(report, columns, paint),
        told,
        notes(report, columns),
        conclusion(report, paint, columns if stream.isatty() else ENDLESS),
    ]
    show("\n\n".join(part for part in parts if part), stream, painted=True)
    for error in outcome.errors:
        show(f"\nlstm-conformance: {error}", sys.stderr)


def _exit_code(outcome: Run, named: bool) -> int:
    report = outcome.report
    if any(isinstance(error, UsageError) for error in outcome.errors):
        return 2
    if any(backend.bad for backend in report.backends):
        return 1
    if outcome.errors:
        return 3
    unavailable = any(not backend.available for backend in report.backends)
    if not report.complete or (named and unavailable) or all(not backend.available for backend in report.backends):
        return 3
    # A quick run claims less: that nothing of what it asked is wrong.
    return 0 if all(backend.sound for backend in report.backends if backend.available) else 1


def _list(options: argparse.Namespace) -> int:
    lines = ["backends", *(f"  {name}" for name in registry.names())]
    properties = catalogue().values()
    lines += [
        "",
        f"properties ({len(properties)})",
        *(f"  {p.id:<27} {_place(p):<9} {_plain(p.statement)}" for p in properties),
    ]
    show("\n".join(lines))
    return 0


def _plain(text: str) -> str:
    """Text of docstrings for a terminal, where code stands in single backticks."""
    return text.replace("``", "`")


def _place(p: Property) -> str:
    """The level that a property belongs to, or the other question that it helps to answer."""
    return level_of(p) or (p.question if p.question != COMPUTES else "no level")


def _explain(options: argparse.Namespace) -> int:
    show("\n\n".join(_explanation(p) for p in select(only=tuple(options.ids))))
    return 0


def _explanation(p: Property) -> str:
    needs = f"needs {', '.join(p.needs)}" if p.needs else "asked of every backend"
    paragraphs = [
        f"{p.id} ({_place(p)}; {needs})",
        *(textwrap.fill(_plain(text), 98, break_on_hyphens=False) for text in (p.statement, p.why)),
    ]
    return "\n".join([paragraphs[0], *(textwrap.indent(text, "  ") for text in paragraphs[1:] if text)])


def _self_test(options: argparse.Namespace) -> int:
    if options.list:
        rows = [[fault.id, fault.kind, fault.shows_when, fault.description] for fault in FAULTS.values()]
        show(tabulate(rows, ["fault", "class", "shows when", "description"]))
        return 0
    if options.pairs and (options.faults or options.attribute or options.peers):
        raise UsageError("--pairs draws its own faults", "leave the faults' ids, --attribute and --peers out")
    if options.own_left_out and not options.diagnose:
        raise UsageError("--own-left-out is about hypotheses, which nothing has without --diagnose", "add --diagnose")
    if options.diagnose and (options.attribute or options.peers or options.no_fixed_set or options.cases is not None):
        others = "--attribute, --peers, --cases and --no-fixed-set"
        raise UsageError("--diagnose judges each fault by a quick run", f"leave {others} out")
    # To the end of all cases it takes an hour; what a property catches at all it catches in the fixed set.
    usual = 0 if options.attribute or options.pairs else Settings.cases
    settings = Settings(usual if options.cases is None else options.cases, options.seed, fixed=not options.no_fixed_set)
    beside = peers.peers() if options.peers else ()
    with claimed("--json", options.json) as write:
        with tqdm(unit="fault", leave=False, disable=None) as bar:

            def watch(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            if options.diagnose:
                faults, left_out = options.faults, options.own_left_out
                test = diagnosed.diagnosed_test(faults, options.pairs, left_out, options.seed, options.jobs, watch)
                text, data = diagnosed_table.table(test), diagnosed.to_json(test)
            elif options.pairs:
                test = pairs.pair_test(options.pairs, settings, options.jobs, watch)
                text, data = pairs.table(test), pairs.to_json(test)
            else:
                test = score.self_test(options.faults, settings, options.attribute, options.jobs, watch, beside)
                text, data = score.table(test, options.attribute), score.to_json(test)
        try:
            show(text, _stream(options.json))
        finally:
            write(json.dumps(data, indent=1))
    return 3 if test.missing else 0 if test.passed else 1


def _serve(options: argparse.Namespace) -> int:
    if sys.stdin.isatty():
        raise UsageError(
            "serve speaks the wire protocol on standard input and output, which is no place for a person",
            command_line(["lstm-conformance", "run", f"exec:lstm-conformance serve {options.target}"]),
        )
    try:
        serve(find(options.target))
    except Garbled as error:
        raise UsageError(f"standard input is not a stream of messages: {error}", "see docs/protocol.md") from None
    return 0


def _new(options: argparse.Namespace) -> int:
    path: Path = options.file
    if path.suffix != ".py":
        raise UsageError(f"new {path}: the file must end in .py", f"try {path.name}.py")
    text = resources.files("conformance.targets").joinpath("starter.py").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text.replace("THIS_FILE.py", path.as_posix()))
    except FileExistsError:
        raise UsageError(f"new {path}: the file exists and is left as it is", "give another name") from None
    except OSError as error:
        raise UsageError(f"new {path} cannot be written: {error.strerror}") from None
    line = command_line(["lstm-conformance", "run", f"{path.as_posix()}:my_lstm"])
    show(f"wrote {path}; now: {line}")
    return 0
