"""The command line: ``lstm-conformance run``, ``list``, ``explain``, ``replay``, ``probe``, ``new``.

Exit codes: 0 conformant, 1 not conformant, 2 usage, 3 interrupted, incomplete, or a named backend unavailable.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from conformance import __version__
from conformance.backend import Backend
from conformance.cases.case import realise
from conformance.cases.covering import simplest
from conformance.cases.recipe import Recipe, parse
from conformance.drivers.configuration import configured
from conformance.drivers.run import Isolation, Outcome, judge_of, run, write_json
from conformance.engine import sieve as engine
from conformance.engine.judging import Judge
from conformance.engine.sieve import Settings
from conformance.errors import Ended, UsageError
from conformance.processes.supervisor import Limits
from conformance.properties import catalogue, select
from conformance.properties.model import Property, why_not_asked
from conformance.report.levels import level_of
from conformance.report.model import BAD
from conformance.report.table import table
from conformance.report.text import arrays, conclusion, failures, head
from conformance.targets import registry


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    # Small LSTM calls are three times faster on one thread, in every framework that reads this before it loads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        # Whoever ends a run gets what it has found by then, as if it had been interrupted.
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        options = _parser(configured(Path.cwd())).parse_args(arguments)
        return options.command(options)
    except UsageError as error:
        print(f"lstm-conformance: {error}", file=sys.stderr)
        return 2
    except Ended as ended:
        print(f"lstm-conformance: {ended.outcome}: {ended}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lstm-conformance: interrupted", file=sys.stderr)
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3


def _join(words: Any) -> str:
    return ", ".join(words)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    return _above_zero(text, "seconds")


def _gibibytes(text: str) -> float:
    return _above_zero(text, "GiB")


def _above_zero(text: str, unit: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be a number of {unit} above 0, got {text!r}")
    return number


def _isolation(options: argparse.Namespace) -> Isolation | None:
    """How the targets are kept apart; None if they are not."""
    if options.in_process:
        if options.python:
            raise UsageError("--in-process and --python exclude each other", "leave out one of them")
        return None
    pythons = {}
    for word in options.python or options.configured_python:
        target, _, path = ("", "", word) if shutil.which(word) else word.rpartition("=")
        if shutil.which(path) is None:
            raise UsageError(f"--python {word}: {path!r} is no program that can be run", "name an interpreter")
        pythons[target] = path
    return Isolation(Limits(options.timeout, options.memory), pythons)


def _parser(given: dict[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lstm-conformance", description=sys.modules["conformance"].__doc__)
    parser.add_argument("--version", action="version", version=f"lstm-conformance {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(command=function)
        return sub

    def selection(sub: argparse.ArgumentParser) -> None:
        for option in ("--only", "--exclude"):
            sub.add_argument(option, action="extend", nargs="+", metavar="ID", help="properties or groups")
        sub.set_defaults(configured_selection=[given.get(name, []) for name in ("only", "exclude")])

    def isolation(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--in-process", action="store_true", help="judge in this process: a crash ends the run")
        sub.add_argument(
            "--python",
            action="append",
            default=None,
            metavar="[TARGET=]PATH",
            help="the interpreter that holds the backends, or that of one; this one if not given",
        )
        for option, type, what in (("seconds", _seconds, "so many seconds"), ("memory", _gibibytes, "so many GiB")):
            name = "timeout" if option == "seconds" else option
            sub.add_argument(
                f"--{name}",
                type=type,
                metavar="S" if option == "seconds" else "GIB",
                default=given.get(name, getattr(Limits(), option)),
                help=f"end a backend that takes more than {what} (%(default)g)",
            )
        sub.set_defaults(configured_python=given.get("python", []))

    sub = command("run", _run, "judge backends and print the table")
    sub.add_argument(
        "targets", nargs="*", metavar="TARGET", help="name, module:attr or file.py:attr; all names if none"
    )
    sub.add_argument(
        "--cases", type=_count, metavar="N", default=given.get("cases", 100), help="random cases (%(default)s)"
    )
    sub.add_argument(
        "--seed", type=_count, metavar="N", default=given.get("seed", 0), help="of all values (%(default)s)"
    )
    sub.add_argument(
        "--jobs", type=_count, metavar="N", default=given.get("jobs", 0), help="backends at a time (all cores)"
    )
    isolation(sub)
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every verdict")
    selection(sub)
    sub.set_defaults(configured_targets=given.get("targets", []))

    command("list", _list, "list the backends and the properties")

    sub = command("explain", _explain, "what a property requires, and why")
    sub.add_argument("id", metavar="ID", help="a property or a group")

    sub = command("replay", _replay, "run recipes one after the other and judge the last")
    sub.add_argument("recipes", nargs="+", metavar="TEXT", help="a recipe in one argument: 'I=1 H=1 L=2 N=1'")
    sub.add_argument("--backend", required=True, metavar="TARGET")
    selection(sub)
    isolation(sub)

    sub = command("probe", _probe, "find what a backend can do, whatever it declares")
    sub.add_argument("target", metavar="TARGET")
    isolation(sub)

    sub = command("serve", _serve, "serve a backend by the wire protocol, on standard input and output")
    sub.add_argument("target", metavar="TARGET")

    sub = command("self-test", _self_test, "try the suite on the catalogue of faulty LSTMs")
    sub.add_argument("faults", nargs="*", metavar="FAULT", help="ids of faults; all if none")
    sub.add_argument("--attribute", action="store_true", help="run everything: which properties catch what")
    sub.add_argument("--peers", action="store_true", help="beside it ONNX's node tests and a hand-written test")
    sub.add_argument("--pairs", type=_count, metavar="N", default=0, help="N pairs of faults instead: both reported?")
    sub.add_argument("--cases", type=_count, metavar="N", help="random cases (100; if nothing stops at a catch, 0)")
    sub.add_argument("--seed", type=_count, metavar="N", default=0, help="of all values (%(default)s)")
    sub.add_argument("--no-fixed-set", action="store_true", help="random cases only")
    sub.add_argument("--jobs", type=_count, metavar="N", default=0, help="faults at a time (all cores)")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every row")
    sub.add_argument("--list", action="store_true", help="describe the faults instead")

    sub = command("new", _new, "write a commented starter backend that runs, and fails in an instructive way")
    sub.add_argument("file", type=Path, metavar="FILE")
    return parser


def _selection(options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids to judge and to leave out: those of the command line, else the configured ones."""
    only, exclude = options.configured_selection
    return tuple(options.only or only), tuple(options.exclude or exclude)


def _run(options: argparse.Namespace) -> int:
    settings = Settings(options.cases, options.seed, *_selection(options))
    named = options.targets or options.configured_targets
    if not named and not registry.names():
        raise UsageError("no backend is installed", "name a target: module:attr or file.py:attr")
    _check_writable(options.json)
    bars: dict[str, Any] = {}

    def watch(target: str, done: int, total: int) -> None:
        bar = bars.get(target)
        if bar is None:
            bar = bars[target] = tqdm(
                desc=target, total=total, unit="case", leave=False, position=len(bars), disable=None
            )
        bar.update(done - bar.n)

    outcome = run(named or registry.names(), settings, options.jobs, _isolation(options), watch)
    for bar in bars.values():
        bar.close()
    if options.json is not None:
        write_json(outcome.report, options.json)
    _print(outcome)
    return _exit_code(outcome, bool(named))


def _check_writable(json: Path | None) -> None:
    """What is found after minutes must not be lost to a slip in a file's name."""
    if json is not None and not json.parent.is_dir():
        raise UsageError(f"--json {json}: there is no folder {json.parent}")
    if json is not None and json.is_dir():
        raise UsageError(f"--json {json} is a folder", f"name a file, such as {json / 'report.json'}")


def _print(outcome: Outcome) -> None:
    report = outcome.report
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    parts = [head(report), table(report, columns), failures(report), conclusion(report)]
    print("\n\n".join(part for part in parts if part))
    for error in outcome.errors:
        print(f"\nlstm-conformance: {error}", file=sys.stderr)


def _exit_code(outcome: Outcome, named: bool) -> int:
    report = outcome.report
    if any(isinstance(error, UsageError) for error in outcome.errors):
        return 2
    if any(verdict.outcome in BAD for verdict in report.verdicts):
        return 1
    if outcome.errors:
        return 3
    unavailable = any(not backend.available for backend in report.backends)
    if not report.complete or (named and unavailable) or all(not backend.available for backend in report.backends):
        return 3
    return 0 if report.conformant else 3


def _list(options: argparse.Namespace) -> int:
    print("backends")
    for name in registry.names():
        print(f"  {name}")
    properties = catalogue().values()
    print(f"\nproperties ({len(properties)})")
    for p in properties:
        print(f"  {p.id:<27} {level_of(p) or '–':<9} {p.statement}")
    return 0


def _explain(options: argparse.Namespace) -> int:
    print("\n\n".join(_explanation(p) for p in select(only=(options.id,))))
    return 0


def _explanation(p: Property) -> str:
    needs = f"needs {_join(p.needs)}" if p.needs else "asked of every backend"
    paragraphs = [
        f"{p.id} ({level_of(p) or 'no level'}; {needs})",
        *(textwrap.fill(text, 100) for text in (p.statement, p.why)),
    ]
    return "\n".join([paragraphs[0], *(textwrap.indent(text, "  ") for text in paragraphs[1:] if text)])


@contextlib.contextmanager
def _asked(target: str, options: argparse.Namespace) -> Iterator[Judge | None]:
    """The judge of one target, or None, after saying why, if it is unavailable."""
    judge = judge_of(target, _isolation(options))
    try:
        reason = judge.backend.available()
        if reason:
            print(f"{judge.backend.name} is unavailable: {reason}", file=sys.stderr)
        yield None if reason else judge
    finally:
        judge.close()


def _replay(options: argparse.Namespace) -> int:
    recipes = [parse(text) for text in options.recipes]
    with _asked(options.backend, options) as judge:
        return 3 if judge is None else _replayed(judge, recipes, options)


def _replayed(judge: Judge, recipes: list[Recipe], options: argparse.Namespace) -> int:
    backend = judge.backend
    settings = Settings(0, 0, *_selection(options))
    _check_fixed(recipes, backend)
    case = realise(recipes[-1], backend.capabilities.fixed)
    print(f"{backend.name}: {case.describe()}")
    if numbers := arrays(case):
        print(textwrap.indent(numbers, "    "))
    asked = select(settings.only, settings.exclude)
    if settings.only and (lacking := [p for p in asked if why_not_asked(backend, p)]):
        print("\n".join(f"  {p.id:<27} not declared: {'; '.join(why_not_asked(backend, p))}" for p in lacking))
    verdicts = list(engine.replay(judge, recipes, settings))
    silent = [p for p, outcome, _ in verdicts if outcome == "not run"]
    for p, outcome, message in verdicts:
        if p not in silent:
            print(f"  {p.id:<27} {outcome}" + (f": {message}" if message else ""))
    if silent:
        print(f"  {len(silent)} of {len(verdicts)} properties say nothing about this case")
    return 1 if any(outcome in BAD for _, outcome, _ in verdicts) else 0


def _check_fixed(recipes: list[Recipe], backend: Backend) -> None:
    """A baked-in model has one structure: a recipe of another would be judged as what it is not."""
    if backend.capabilities.fixed is None:
        return
    own = simplest(backend)[0]
    for recipe in recipes:
        if recipe.config != own.config:
            raise UsageError(f"recipe '{recipe}' is not of {backend.name}'s own model", f"one that is: '{own}'")


def _probe(options: argparse.Namespace) -> int:
    with _asked(options.target, options) as judge:
        return 3 if judge is None else _probed(judge)


def _probed(judge: Judge) -> int:
    backend = judge.backend
    declared, rows, undeclared = backend.capabilities, [], []
    for ability in judge.probe():
        named = ability.option in declared.dtypes or getattr(declared, ability.option, False)
        state = "right" if ability.right else "wrong" if ability.runs else "no"
        rows.append([ability.option, "yes" if named else "no", state, textwrap.shorten(ability.reason, 90)])
        if ability.right and not named:
            undeclared.append(ability.option)
    print(tabulate(rows, ["option", "declared", "works", "reason"], tablefmt="simple"))
    asked = sum(not why_not_asked(backend, p) for p in catalogue().values())
    print(f"\n{backend.name} declares {asked} of {len(catalogue())} properties", end="")
    print(f"; these seem to work too: {_join(undeclared)}" if undeclared else "")
    if note := backend.remark():
        print(note)
    return 0


def _self_test(options: argparse.Namespace) -> int:
    from conformance.selftest import pairs, peers, selftest
    from conformance.selftest.faults import FAULTS

    if options.list:
        rows = [[fault.id, fault.kind, fault.shows_when, fault.description] for fault in FAULTS]
        print(tabulate(rows, ["fault", "class", "shows when", "description"]))
        return 0
    if options.pairs and (options.faults or options.attribute or options.peers):
        raise UsageError("--pairs draws its own faults", "leave out the faults' ids, --attribute and --peers")
    _check_writable(options.json)
    # To the end of all cases it takes an hour; what a property catches at all it catches in the fixed set.
    usual = 0 if options.attribute or options.pairs else Settings.cases
    settings = Settings(usual if options.cases is None else options.cases, options.seed, fixed=not options.no_fixed_set)
    beside = peers.peers() if options.peers else ()
    with tqdm(unit="fault", leave=False, disable=None) as bar:

        def watch(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        if options.pairs:
            test = pairs.pair_test(options.pairs, settings, options.jobs, watch)
            text, data = pairs.table(test), pairs.to_json(test)
        else:
            test = selftest.self_test(options.faults, settings, options.attribute, options.jobs, watch, beside)
            text, data = selftest.table(test, options.attribute), selftest.to_json(test)
    print(text)
    if options.json is not None:
        options.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return 3 if test.missing else 0 if test.passed else 1


def _serve(options: argparse.Namespace) -> int:
    from conformance.processes.wire.message import Garbled
    from conformance.processes.wire.server import serve

    if sys.stdin.isatty():
        raise UsageError(
            "serve speaks the wire protocol on standard input and output, which is no place for a person",
            f"lstm-conformance run 'exec:lstm-conformance serve {options.target}'",
        )
    try:
        serve(registry.find(options.target))
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
        raise UsageError(f"new {path}: the file exists, and is left as it is", "give another name") from None
    except OSError as error:
        raise UsageError(f"new {path}: {error.strerror}") from None
    print(f"wrote {path}; now: lstm-conformance run {path.as_posix()}:my_lstm")
    return 0
