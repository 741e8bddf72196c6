"""The commands of the command line, one function for each; each returns its exit code."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TextIO

from tabulate import tabulate
from tqdm import tqdm

from conformance.backend import Backend
from conformance.cases.case import realise
from conformance.cases.common import simplest
from conformance.cases.recipe import Recipe, parse
from conformance.drivers import console, reproductions
from conformance.drivers.console import show
from conformance.drivers.files import STANDARD_OUTPUT, claimed
from conformance.drivers.last import recall, remember
from conformance.drivers.options import Command, isolation, selection
from conformance.drivers.progress import Progress
from conformance.drivers.run import Run, judge_of, run
from conformance.engine.judging import Answer
from conformance.engine.plan import Settings, plan
from conformance.engine.reproducing import NotShown, Recorder
from conformance.engine.sieve import replay
from conformance.errors import UsageError
from conformance.facts import Outcome, Undeclared
from conformance.faults import FAULTS
from conformance.processes.message import Garbled
from conformance.processes.wire.server import serve
from conformance.properties import catalogue, select
from conformance.properties.model import COMPUTES, Property
from conformance.report import english
from conformance.report.colour import painted, unpainted
from conformance.report.data import dumps
from conformance.report.evidence import arrays
from conformance.report.evidence import evidence as told_of
from conformance.report.levels import level_of
from conformance.report.names import named as short_names
from conformance.report.shell import command_line
from conformance.report.table import notes, table
from conformance.report.text import conclusion, failures, head
from conformance.selftest import diagnosed, diagnosed_table, pairs, peers, score
from conformance.targets import registry
from conformance.targets.find import find
from conformance.trials.evidence import given


def commands() -> dict[str, Command]:
    """Every command by its name."""
    return {
        "run": _run,
        "diagnose": _diagnose,
        "list": _list,
        "explain": _explain,
        "replay": _replay,
        "probe": _probe,
        "serve": _serve,
        "self-test": _self_test,
        "new": _new,
    }


def _join(words: Any) -> str:
    return ", ".join(words)


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
        conclusion(report, paint),
    ]
    show("\n\n".join(part for part in parts if part), stream)
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
    needs = f"needs {_join(p.needs)}" if p.needs else "asked of every backend"
    paragraphs = [
        f"{p.id} ({_place(p)}; {needs})",
        *(textwrap.fill(_plain(text), 98, break_on_hyphens=False) for text in (p.statement, p.why)),
    ]
    return "\n".join([paragraphs[0], *(textwrap.indent(text, "  ") for text in paragraphs[1:] if text)])


@contextlib.contextmanager
def _asked(target: str, options: argparse.Namespace) -> Iterator[Recorder | None]:
    """The judge of one target, or None, after saying why, if it is unavailable."""
    judge = judge_of(target, isolation(options))
    try:
        reason = judge.backend.available()
        if reason:
            show(f"{judge.backend.name} is unavailable: {reason}", sys.stderr)
        yield None if reason else judge
    finally:
        judge.close()


def _replay(options: argparse.Namespace) -> int:
    if bool(options.recipes) == bool(options.last):
        raise UsageError("replay needs the text of a case, or --last ID, and not both", "replay --last values.output")
    if options.last:
        failure = recall(options.last, options.backend)
        options.recipes, options.backend, options.only = failure.recipes, failure.backend, [failure.property]
        show(f"{failure.property}, as it failed in the run of {failure.when} in this folder")
    if options.write is not None:
        reproductions.check(options.write)
    if any(map(reproductions.is_file, options.recipes)):
        return _replay_file(options)
    if options.backend is None:
        raise UsageError("replay needs a backend", "add --backend TARGET")
    recipes = [parse(text) for text in options.recipes]
    with _asked(options.backend, options) as judge:
        return 3 if judge is None else _replayed(judge, recipes, options)


def _replay_file(options: argparse.Namespace) -> int:
    """Judge the calls in a file; and the case that they came from, where the file is as it was written."""
    if len(options.recipes) > 1:
        raise UsageError("replay takes one file, and nothing beside it", f"replay {options.recipes[0]}")
    [name] = options.recipes
    told = reproductions.opened(name)
    with _asked(options.backend or told.target, options) as judge:
        if judge is None:
            return 3
        code = reproductions.judge(judge, told, name)
        if options.write is not None:
            reproductions.write(told, options.write)
            show(f"wrote {options.write}")
        return code


def _replayed(judge: Recorder, recipes: list[Recipe], options: argparse.Namespace) -> int:
    backend = judge.backend
    settings = Settings(0, 0, *selection(options))
    _check_fixed(recipes, backend)
    case = realise(recipes[-1], backend.capabilities.fixed)
    judged = [(p, answer, judge.evidence() if answer.wrong else None) for p, answer in replay(judge, recipes, settings)]
    failed = [evidence for *_, evidence in judged if evidence is not None]
    call, handed = case.describe(), given(case)
    if failed and all((one.call, one.given) == (failed[0].call, failed[0].given) for one in failed):
        # The case as it was recorded is only what this call was derived from.
        call, handed = failed[0].call, failed[0].given
    show(f"{backend.name}: {call}")
    show(textwrap.indent(arrays(handed), "    "))
    if settings.only:
        for id, words in plan(backend, settings).undeclared.items():
            show(f"  {id:<27} {Outcome.NOT_DECLARED}: {english.sentence(Undeclared(words))}")
    outcomes, shown = [answer.outcome for _, answer, _ in judged], set[str]()
    for p, answer, wrong_call in judged:
        if answer.outcome is None:
            continue
        show(textwrap.indent(f"{p.id:<27} {_said(answer)}", "  "))
        told = "" if wrong_call is None else told_of(wrong_call, call, handed)
        if told and told not in shown:
            shown.add(told)
            show(textwrap.indent(told, "    "))
    if silent := outcomes.count(None):
        say = "property says" if len(outcomes) == 1 else "properties say"
        show(f"  {silent} of {len(outcomes)} {say} nothing about this case")
    wrong = [p for p, answer, _ in judged if answer.wrong]
    if options.write is not None:
        _write(judge, recipes, wrong, options.write)
    if not wrong:
        show(textwrap.fill(english.PASSES_HERE, 100))
    return 1 if wrong else 0


def _write(judge: Recorder, recipes: list[Recipe], wrong: list[Property], path: Path) -> None:
    """Write the first failure that can be shown. Raises ``UsageError`` where none can."""
    left = []
    for p in wrong:
        try:
            reproductions.write(reproductions.made(judge, recipes, p), path)
        except NotShown as error:
            left.append(str(error))
            continue
        show(f"wrote {path}, which shows the failure of {p.id}")
        return
    raise UsageError(f"--write {path}: {left[0] if left else 'nothing fails here'}; nothing was written")


def _said(answer: Answer) -> str:
    if answer.fact is not None:
        return f"{answer.outcome}: {english.sentence(answer.fact)}"
    return f"{answer.outcome}" + ("" if answer.margin is None else f": margin {answer.margin:.2f}")


def _check_fixed(recipes: list[Recipe], backend: Backend) -> None:
    """A baked-in model has one structure: a recipe of another would be judged as what it is not."""
    if backend.capabilities.fixed is None:
        return
    own = simplest(backend)[0]
    for recipe in recipes:
        if recipe.config != own.config:
            raise UsageError(f"recipe '{recipe}' is not of {backend.name}'s own model", f'one that is: "{own}"')


def _probe(options: argparse.Namespace) -> int:
    with _asked(options.target, options) as judge:
        return 3 if judge is None else _probed(judge)


def _probed(judge: Recorder) -> int:
    backend = judge.backend
    declared, rows, undeclared = backend.capabilities, [], []
    #: Where it raised, and for which options.
    places: dict[str, list[str]] = {}
    for ability in judge.probe():
        named = ability.option in declared.dtypes or getattr(declared, ability.option, False)
        state = "right" if ability.right else "wrong" if ability.runs else "no"
        reason, _, where = ("" if ability.fact is None else english.sentence(ability.fact)).partition("\n")
        rows.append([ability.option, "yes" if named else "no", state, textwrap.shorten(reason, 90)])
        if where:
            places.setdefault(where, []).append(ability.option)
        if ability.right and not named:
            undeclared.append(ability.option)
    show(tabulate(rows, ["option", "declared", "works", "reason"], tablefmt="simple"))
    for where, options in places.items():
        show(f"\n{_join(options)}:\n{where}")
    asked = plan(backend, Settings()).asked
    these = "this option seems" if len(undeclared) == 1 else "these options seem"
    more = f"; {these} to work too: {_join(undeclared)}" if undeclared else ""
    show(f"\n{len(asked)} of {len(catalogue())} properties apply to what {backend.name} declares{more}")
    if note := backend.remark():
        show(note)
    return 0


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
