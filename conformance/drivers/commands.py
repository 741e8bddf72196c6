"""The commands of the command line, one function for each; each returns its exit code."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from pkgutil import resolve_name

from conformance.drivers import replay_probe, reproductions, resume
from conformance.drivers.cluster import places
from conformance.drivers.configuration import configured
from conformance.drivers.console import show
from conformance.drivers.expanding import expanded
from conformance.drivers.files import claimed, rewritable
from conformance.drivers.last import remember
from conformance.drivers.live import UNTOUCHED, Before, Live, left_by
from conformance.drivers.options import Command, cases, isolation, parser, selection
from conformance.drivers.outputs import outputs, stream
from conformance.drivers.progress import Progress
from conformance.drivers.run import now, run
from conformance.drivers.saved_reports import diff, merge, report
from conformance.drivers.showing import exit_code, show_report
from conformance.engine.news import News
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.facts.weights import WeightsCompared
from conformance.processes.message import Garbled
from conformance.processes.wire.server import serve
from conformance.properties import catalogue, select
from conformance.properties.model import COMPUTES, Property
from conformance.report.conclusion import conclusion
from conformance.report.data import dumps
from conformance.report.levels import level_of
from conformance.report.model import Asked, Report
from conformance.report.names import named as short_names
from conformance.report.shell import command_line
from conformance.targets import registry
from conformance.targets.find import find


def commands() -> dict[str, Command]:
    """Every command by its name."""
    return {
        "run": _run,
        "diagnose": _diagnose,
        "report": report,
        "merge": merge,
        "diff": diff,
        "list": _list,
        "explain": _explain,
        "replay": replay_probe.replay,
        "probe": replay_probe.probe,
        "serve": _serve,
        "export": _later("recordings:export"),
        "judge": _later("recordings:judge"),
        "self-test": _later("self_test:self_test"),
        "vectors": _later("vectors:vectors"),
        "new": _new,
    }


def _later(name: str) -> Command:
    """A command of another module of this room, which is loaded when it is asked for: a run need not wait for it."""
    return lambda options: resolve_name(f"conformance.drivers.{name}")(options)


def _run(options: argparse.Namespace) -> int:
    if options.resume is not None:
        return _resume(options)
    settings = Settings(
        cases(options),
        options.seed,
        *selection(options),
        strict=options.strict,
        stop=options.stop,
        quick=options.profile == "quick",
        large=options.profile == "large",
        seconds=options.seconds,
    )
    named = options.targets or options.configured_targets
    if not named and not registry.usual():
        raise UsageError("no backend is installed", "name a target: module:attr or file.py:attr")
    targets, compared = expanded(named or registry.usual(), options.weights, isolation(options))
    return exit_code(_judged(_asked(targets, options, bool(named), compared), settings, options))


def _asked(
    targets: Sequence[str],
    options: argparse.Namespace,
    named: bool = True,
    weights: Sequence[WeightsCompared] = (),
) -> Asked:
    apart = isolation(options)
    limits = (None, None) if apart is None else (apart.limits.seconds, apart.limits.memory)
    return Asked(
        tuple(dict.fromkeys(targets)),
        named,
        command=tuple(options.words),
        started=now(),
        timeout=limits[0],
        memory=limits[1],
        diagnose=options.diagnose,
        weights=tuple(weights),
    )


def _resume(options: argparse.Namespace) -> int:
    """Go on where the run that wrote a report has ended, if there is anything left to judge."""
    path, words = options.resume, options.words
    report = resume.read(path)
    if options.targets:
        raise UsageError("--resume takes its targets from FILE", f"leave {options.targets[0]} out")
    options = resume.options(report, words[1:], parser(configured(Path.cwd()), commands()).parse_args)
    options.json, before = path, left_by(report)
    if set(report.asked.targets) <= set(before.finished):
        show(f"{path}: nothing to resume: each target was judged to its end\n\n{conclusion(short_names(report))}")
        return exit_code(report)
    return exit_code(_judged(report.asked, resume.settings(report), options, before))


def _diagnose(options: argparse.Namespace) -> int:
    settings = Settings(options.cases, options.seed, *selection(options), strict=options.strict, expecting=False)
    return exit_code(_judged(_asked([options.target], options), settings, options))


def _judged(asked: Asked, settings: Settings, options: argparse.Namespace, before: Before = UNTOUCHED) -> Report:
    """Judge targets, look for the causes of what fails, and show it. The report's file has it first."""
    apart, path = isolation(options), options.json
    if options.write is not None:
        reproductions.folder(options.write)
    with claimed("--json", path) as write, outputs(options) as write_others:
        with Progress() as shown:
            live = Live(path, write, settings, asked, before, shown.say) if path and rewritable(path) else None

            def tell(target: str, news: News) -> None:
                if live is not None:
                    live.tell(target, news)
                shown.tell(target, news)

            with places(options) as elsewhere:
                report = run(
                    asked.targets,
                    settings,
                    options.jobs,
                    apart,
                    tell,
                    elsewhere,
                    options.expected,
                    options.diagnose,
                    live and live.journals,
                    before.finished,
                    asked,
                ).report
        left = False
        try:
            if live is None:
                write(dumps(report))
            else:
                left = live.end(report)
        finally:
            try:
                show_report(report, options.verbose, stream(options), last=remember(report))
            finally:
                write_others(report)
    if left and asked.command[:1] == ("run",):
        show(f"\nto go on: {command_line(['lstm-conformance', 'run', '--resume', str(path)])}", stream(options))
    if options.write is not None:
        show(f"\n{reproductions.write_all(report, options.write, apart)}", stream(options))
    return report


def _list(options: argparse.Namespace) -> int:
    usual = registry.usual()
    adapters = [name for name in registry.names() if name not in usual]
    lines = ["backends", *(f"  {name}" for name in usual)]
    if adapters:
        told = textwrap.wrap(", ".join(adapters), 96, break_on_hyphens=False)
        lines += ["", "backends that are judged when they are named", *(f"  {line}" for line in told)]
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
