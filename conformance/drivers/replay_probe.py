"""The commands that ask one backend outside a run: ``replay`` and ``probe``; each returns its exit code."""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from conformance.backend import Backend
from conformance.cases.case import realise
from conformance.cases.common import simplest
from conformance.cases.recipe import Recipe, parse
from conformance.drivers import reproductions
from conformance.drivers.console import show
from conformance.drivers.last import recall
from conformance.drivers.options import isolation, selection
from conformance.drivers.target import judge_of
from conformance.engine import sieve
from conformance.engine.judging import Answer
from conformance.engine.plan import Settings, plan
from conformance.engine.reproducing import NotShown, Recorder
from conformance.errors import UsageError
from conformance.facts import Outcome, Undeclared
from conformance.properties import catalogue
from conformance.properties.model import Property
from conformance.report import english
from conformance.report.evidence import arrays
from conformance.report.evidence import evidence as told_of
from conformance.trials.evidence import given


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


def replay(options: argparse.Namespace) -> int:
    """Judge cases, or the calls in a file, again, and say what came of it."""
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
    judged = [
        (p, answer, judge.evidence() if answer.wrong else None) for p, answer in sieve.replay(judge, recipes, settings)
    ]
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


def probe(options: argparse.Namespace) -> int:
    """Say what a backend declares, and what works."""
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
        show(f"\n{', '.join(options)}:\n{where}")
    asked = plan(backend, Settings()).asked
    these = "this option seems" if len(undeclared) == 1 else "these options seem"
    more = f"; {these} to work too: {', '.join(undeclared)}" if undeclared else ""
    show(f"\n{len(asked)} of {len(catalogue())} properties apply to what {backend.name} declares{more}")
    if note := backend.remark():
        show(note)
    return 0
