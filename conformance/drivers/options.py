"""The command line's options: how they are written, and what they ask for."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from conformance.drivers.diagnosing import LONG, USUAL
from conformance.drivers.outputs import add_outputs
from conformance.drivers.recorded_options import describe_export, describe_judge
from conformance.drivers.saved_options import describe_diff, describe_merge, describe_report
from conformance.drivers.target import Isolation
from conformance.drivers.vectors_options import describe_vectors
from conformance.errors import UsageError
from conformance.processes.supervisor import Limits
from conformance.properties import catalogue
from conformance.report.shell import command_line
from conformance.targets import exported, registry
from conformance.version import __version__

Command = Callable[[argparse.Namespace], int]

_RUN = """\
targets, which stand before --only and --exclude:
  numpy                  a name that `lstm-conformance list` shows
  my_lstm.py:MyLSTM      an nn.Module class, a build function or a Backend in a file
  package.module:build   the same in a module that can be imported
  "exec:node lstm.mjs"   a program in any language that speaks the wire protocol (docs/protocol.md)
  model.onnx             each LSTM of an exported model, in each runtime that is installed (docs/exported.md)

examples:
  lstm-conformance run my_lstm.py:MyLSTM
  lstm-conformance run my_lstm.py:MyLSTM --only values state
  lstm-conformance run "exec:node lstm.mjs" numpy --json report.json
  lstm-conformance run my_lstm.py:MyLSTM --json - | python -m json.tool
  lstm-conformance run exported.onnx --weights trained.safetensors
  lstm-conformance run --resume report.json

exit codes:
  0  conformant
  1  not conformant
  2  wrong usage
  3  interrupted, incomplete, a named backend is unavailable, or the report could not be written
"""

#: The profiles of a run, and the random cases of each.
_PROFILES = {"quick": 0, "default": 100, "thorough": 100_000, "large": 48}

_STRICT = "a missing guard makes a backend not conformant"


def parser(given: Mapping[str, Any], commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of all commands; ``given`` are a project's settings, which are the defaults."""
    about = (sys.modules["conformance"].__doc__ or "").partition("\n")[0]
    whole = argparse.ArgumentParser(prog="lstm-conformance", description=about)
    whole.add_argument("--version", action="version", version=f"lstm-conformance {__version__}")
    added = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, (describe, help) in _COMMANDS.items():
        sub = added.add_parser(name, help=help, description=help)
        sub.set_defaults(command=commands[name])
        describe(sub, given)
    return whole


_DIAGNOSE = """\
The fixed set is judged, as by `run`. If something fails, the backend is asked more, and each cause that is found has a
paragraph: docs/diagnosis.md. `run` does the same in a shorter time.

exit codes: as those of `run`
"""


def _run(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _RUN
    sub.add_argument("targets", nargs="*", metavar="TARGET", help="see below; all names if none is given")
    profile = "quick: every group, few cases; thorough: 100,000 random cases; large: sizes up to 2,048 units"
    sub.add_argument("--profile", choices=tuple(_PROFILES), default=given.get("profile", "default"), help=profile)
    sub.add_argument("--quick", action="store_const", const="quick", dest="profile", help="the same as --profile quick")
    budget = "spend S seconds on each backend: all of the fixed set, then the random cases that teach most"
    sub.add_argument("--seconds", type=_seconds, metavar="S", default=0.0, help=budget)
    resume = "go on where the run that wrote FILE has ended, with its targets and settings"
    sub.add_argument("--resume", type=Path, metavar="FILE", help=resume)
    held = "the trained weights that a model's file should hold: .safetensors, .npz, .pt, or a model's file"
    sub.add_argument("--weights", metavar="FILE", default="", help=held)
    sub.add_argument("-x", "--stop", action="store_true", help="end at the first failure")
    _number(sub, "--jobs", given.get("jobs", 0), "judge in N processes at a time (one for each core)")
    sub.add_argument("--dask", metavar="ADDRESS", help="have the workers of a Dask scheduler judge: docs/scale.md")
    needs = "what a worker must have for the backends, or for the one that is named: a resource of Dask's"
    sub.add_argument("--needs", action="append", default=[], metavar="[TARGET=]RESOURCE", help=needs)
    causes = "look for the causes of what fails, N seconds at most for each backend (%(default)s); 0 for none"
    _number(sub, "--diagnose", given.get("diagnose", USUAL), causes)
    _add_judging(sub, given, given.get("cases"))
    sub.set_defaults(configured_targets=given.get("targets", []))


def _diagnose(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.formatter_class, sub.epilog = argparse.RawDescriptionHelpFormatter, _DIAGNOSE
    sub.add_argument("target", metavar="TARGET", help="see `run --help`")
    _number(sub, "--seconds", LONG, "look for causes N seconds at most (%(default)s)", to="diagnose")
    _add_judging(sub, given, 0)
    sub.set_defaults(jobs=1, dask=None, needs=[])


def cases(options: argparse.Namespace) -> int:
    """How many random cases are drawn: what was asked for, else what the profile has."""
    if options.profile not in _PROFILES:
        raise UsageError(f"no profile is named {options.profile!r}", f"the profiles are {', '.join(_PROFILES)}")
    if options.seconds and (options.profile == "quick" or options.cases is not None):
        raise UsageError("--seconds decides how many cases are asked", "leave --cases and --profile quick out")
    return _PROFILES[options.profile] if options.cases is None else options.cases


def _add_judging(sub: argparse.ArgumentParser, given: Mapping[str, Any], cases: int | None) -> None:
    """How backends are judged, and how that is told."""
    usual = _PROFILES["default"] if cases is None else cases
    _number(sub, "--cases", cases, f"add N random cases to the fixed set ({usual})")
    _number(sub, "--seed", given.get("seed", 0), "the seed of all values (%(default)s)")
    _add_isolation(sub, given)
    sub.add_argument("--strict", action="store_true", default=given.get("strict", False), help=_STRICT)
    add_outputs(sub)
    sub.add_argument("--write", type=Path, metavar="FOLDER", help="write each failure as a script that stands alone")
    sub.add_argument("--verbose", action="store_true", help="show each failure with its whole replay line")
    _add_selection(sub, given)
    sub.set_defaults(expected=given.get("expected-failures", {}))


def _list(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """It has no options."""


def _explain(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("ids", nargs="+", metavar="ID", help="properties or groups")


def _replay(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument(
        "recipes", nargs="*", metavar="TEXT", help='a recipe in one argument: "I=1 H=1 L=2 N=1"; or a file'
    )
    sub.add_argument("--last", metavar="ID", help="the failure of a property in the last run in this folder")
    sub.add_argument("--backend", metavar="TARGET", help="what to judge: see `run --help`; not needed with --last")
    sub.add_argument("--write", type=Path, metavar="FILE", help="write the failure: a script FILE.py, or .safetensors")
    _add_selection(sub, given)
    _add_isolation(sub, given)


def _probe(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("target", metavar="TARGET", help="see `run --help`")
    _add_isolation(sub, given)


def _serve(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("target", metavar="TARGET", help="see `run --help`")


def _export(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    describe_export(sub)
    _number(sub, "--cases", 0, "add N random cases to the fixed set (%(default)s)")
    _number(sub, "--seed", given.get("seed", 0), "the seed of all values (%(default)s)")
    _add_selection(sub, {})


def _judge(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    describe_judge(sub)
    causes = "look for the causes of what fails, N seconds at most (%(default)s); 0 for none"
    _number(sub, "--diagnose", given.get("diagnose", USUAL), causes)
    sub.add_argument("--strict", action="store_true", default=given.get("strict", False), help=_STRICT)
    add_outputs(sub)
    sub.add_argument("--verbose", action="store_true", help="show each failure")
    _add_selection(sub, {})


def _self_test(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("faults", nargs="*", metavar="FAULT", help="ids of faults; all if none is given")
    sub.add_argument(
        "--attribute", action="store_true", help="go on after the first catch: show what each property catches"
    )
    sub.add_argument("--peers", action="store_true", help="also try ONNX's node tests and a hand-written test")
    _number(sub, "--pairs", 0, "try N pairs of faults instead: how often are both reported, or named?")
    sub.add_argument(
        "--diagnose",
        action="store_true",
        help="try the diagnosis instead: is each fault's cause named, or a wrong one?",
    )
    sub.add_argument(
        "--own-left-out", action="store_true", help="with --diagnose: no hypothesis may bear the fault's own name"
    )
    _number(sub, "--cases", None, "add N random cases to the fixed set (100; with --attribute or --pairs 0)")
    _number(sub, "--seed", 0, "the seed of all values (%(default)s)")
    sub.add_argument("--no-fixed-set", action="store_true", help="take random cases only")
    _number(sub, "--jobs", 0, "try N faults at a time (one for each core)")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every row to FILE; - is standard output")
    sub.add_argument("--list", action="store_true", help="describe the faults instead")


def _new(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("file", type=Path, metavar="FILE", help="a new file that ends in .py")


_COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser, Mapping[str, Any]], None], str]] = {
    "run": (_run, "judge backends and print the table"),
    "diagnose": (_diagnose, "judge a backend, and look longer for the causes of what fails"),
    "report": (describe_report, "show reports that were written to files, and write them in other forms"),
    "merge": (describe_merge, "join the reports of one run that was divided among machines"),
    "diff": (describe_diff, "tell what became worse and what became better from one report to another"),
    "list": (_list, "list the backends and the properties"),
    "explain": (_explain, "say what a property requires, and why"),
    "replay": (_replay, "run recipes one after the other and judge the last"),
    "probe": (_probe, "try each option on a backend, declared or not, and say which ones work"),
    "serve": (_serve, "serve a backend through the wire protocol, on standard input and output"),
    "export": (_export, "write the calls of a run for a program to answer at leisure"),
    "judge": (_judge, "judge what a program answered to exported calls, or one recorded call"),
    "self-test": (_self_test, "try the suite on the catalogue of faulty LSTMs"),
    "vectors": (describe_vectors, "write test vectors to carry: calls, expected results and bounds, in six formats"),
    "new": (_new, "write a commented starter backend, with one mistake in it"),
}


# Options of several commands


def _number(sub: argparse.ArgumentParser, name: str, default: int | None, help: str, to: str = "") -> None:
    sub.add_argument(name, type=_count, metavar="N", default=default, help=help, dest=to or name.removeprefix("--"))


def _add_selection(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    for option, verb in (("--only", "judge"), ("--exclude", "leave out")):
        help = f"{verb} these properties or groups"
        sub.add_argument(option, action="extend", nargs="+", metavar="ID", help=help)
    sub.set_defaults(configured_selection=[given.get(name, []) for name in ("only", "exclude")])


def selection(options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids to judge and to leave out: those of the command line, else the configured ones."""
    only, exclude = options.configured_selection
    _check_for_targets("--only", options.only or ())
    _check_for_targets("--exclude", options.exclude or ())
    return tuple(options.only or only), tuple(options.exclude or exclude)


def _check_for_targets(option: str, words: Sequence[str]) -> None:
    """An option that takes several words takes a target too that stands behind them."""
    ids = {word for id in catalogue() for word in (id, id.partition(".")[0])}
    for word in words:
        target = ":" in word or word.endswith(".py") or word in registry.names() or exported.parse(word)
        if word not in ids and target:
            raise UsageError(
                f"{option} takes all words that follow it, and took the target {word!r}",
                f"put targets first: {command_line([word, option, *(w for w in words if w != word)])}",
            )


def _add_isolation(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("--in-process", action="store_true", help="judge in this process: a crash ends the run")
    sub.add_argument(
        "--python",
        action="append",
        default=None,
        metavar="[TARGET=]PATH",
        help="judge backends, or the one that is named, in another environment: PATH is its interpreter",
    )
    usual = Limits()
    sub.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        default=given.get("timeout", usual.seconds),
        help="end a backend if one call takes more than S seconds (%(default)g)",
    )
    sub.add_argument(
        "--memory",
        type=_gibibytes,
        metavar="GIB",
        default=given.get("memory", usual.memory),
        help="end a backend that takes more than GIB GiB of memory (%(default)g)",
    )
    sub.set_defaults(configured_python=given.get("python", []))


def isolation(options: argparse.Namespace) -> Isolation | None:
    """How the targets are kept apart; None if they are not."""
    if options.in_process:
        if options.python:
            raise UsageError("--in-process and --python exclude each other", "leave one of them out")
        return None
    pythons = {}
    for word in options.python or options.configured_python:
        target, _, path = ("", "", word) if shutil.which(word) else word.rpartition("=")
        if shutil.which(path) is None:
            raise UsageError(f"--python {word}: {path!r} is not a program that can be run", "name an interpreter")
        pythons[target] = path
    return Isolation(Limits(options.timeout, options.memory), pythons)


# Kinds of numbers


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
