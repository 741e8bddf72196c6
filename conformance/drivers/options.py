"""The command line's options: how they are written, and what they ask for."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conformance.drivers.run import Isolation
from conformance.errors import UsageError
from conformance.processes.supervisor import Limits
from conformance.version import __version__

Command = Callable[[argparse.Namespace], int]

_TARGETS = "name, module:attr or file.py:attr; all names if none"


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


def _run(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("targets", nargs="*", metavar="TARGET", help=_TARGETS)
    sub.add_argument("--quick", action="store_true", help="a few seconds: every group, few cases, no large sizes")
    sub.add_argument("-x", "--stop", action="store_true", help="end at the first failure")
    _number(sub, "--cases", given.get("cases", 100), "random cases after the fixed set (%(default)s)")
    _number(sub, "--seed", given.get("seed", 0), "of all values (%(default)s)")
    _number(sub, "--jobs", given.get("jobs", 0), "backends at a time (all cores)")
    _add_isolation(sub, given)
    sub.add_argument("--strict", action="store_true", default=given.get("strict", False), help="missing guards count")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every verdict")
    sub.add_argument("--verbose", action="store_true", help="a paragraph for each failure, with its whole replay line")
    _add_selection(sub, given)
    sub.set_defaults(configured_targets=given.get("targets", []), expected=given.get("expected-failures", {}))


def _list(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    """It has no options."""


def _explain(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("id", metavar="ID", help="a property or a group")


def _replay(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("recipes", nargs="*", metavar="TEXT", help="a recipe in one argument: 'I=1 H=1 L=2 N=1'")
    sub.add_argument("--last", metavar="ID", help="the failure of a property in the last run in this folder")
    sub.add_argument("--backend", metavar="TARGET", help="not needed with --last")
    _add_selection(sub, given)
    _add_isolation(sub, given)


def _probe(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("target", metavar="TARGET")
    _add_isolation(sub, given)


def _serve(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("target", metavar="TARGET")


def _self_test(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("faults", nargs="*", metavar="FAULT", help="ids of faults; all if none")
    sub.add_argument("--attribute", action="store_true", help="run everything: which properties catch what")
    sub.add_argument("--peers", action="store_true", help="beside it ONNX's node tests and a hand-written test")
    _number(sub, "--pairs", 0, "N pairs of faults instead: both reported?")
    _number(sub, "--cases", None, "random cases (100; if nothing stops at a catch, 0)")
    _number(sub, "--seed", 0, "of all values (%(default)s)")
    sub.add_argument("--no-fixed-set", action="store_true", help="random cases only")
    _number(sub, "--jobs", 0, "faults at a time (all cores)")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write every row")
    sub.add_argument("--list", action="store_true", help="describe the faults instead")


def _new(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("file", type=Path, metavar="FILE")


_COMMANDS: dict[str, tuple[Callable[[argparse.ArgumentParser, Mapping[str, Any]], None], str]] = {
    "run": (_run, "judge backends and print the table"),
    "list": (_list, "list the backends and the properties"),
    "explain": (_explain, "what a property requires, and why"),
    "replay": (_replay, "run recipes one after the other and judge the last"),
    "probe": (_probe, "find what a backend can do, whatever it declares"),
    "serve": (_serve, "serve a backend by the wire protocol, on standard input and output"),
    "self-test": (_self_test, "try the suite on the catalogue of faulty LSTMs"),
    "new": (_new, "write a commented starter backend that runs, and fails in an instructive way"),
}


# Options of several commands


def _number(sub: argparse.ArgumentParser, name: str, default: int | None, help: str) -> None:
    sub.add_argument(name, type=_count, metavar="N", default=default, help=help)


def _add_selection(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    for option in ("--only", "--exclude"):
        sub.add_argument(option, action="extend", nargs="+", metavar="ID", help="properties or groups")
    sub.set_defaults(configured_selection=[given.get(name, []) for name in ("only", "exclude")])


def selection(options: argparse.Namespace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids to judge and to leave out: those of the command line, else the configured ones."""
    only, exclude = options.configured_selection
    return tuple(options.only or only), tuple(options.exclude or exclude)


def _add_isolation(sub: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    sub.add_argument("--in-process", action="store_true", help="judge in this process: a crash ends the run")
    sub.add_argument(
        "--python",
        action="append",
        default=None,
        metavar="[TARGET=]PATH",
        help="the interpreter that holds the backends, or that of one; this one if not given",
    )
    usual = Limits()
    sub.add_argument(
        "--timeout",
        type=_seconds,
        metavar="S",
        default=given.get("timeout", usual.seconds),
        help="end a backend that takes more than so many seconds (%(default)g)",
    )
    sub.add_argument(
        "--memory",
        type=_gibibytes,
        metavar="GIB",
        default=given.get("memory", usual.memory),
        help="end a backend that takes more than so many GiB (%(default)g)",
    )
    sub.set_defaults(configured_python=given.get("python", []))


def isolation(options: argparse.Namespace) -> Isolation | None:
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
