"""Does a minimal recipe accuse a correct LSTM? ``python -m benchmarks.shrunk``, resumable.

A user with one defect gets a minimal recipe, and replays it with other properties, on other implementations. So every
catalogued fault is run and each of its failures shrunk, and every distinct recipe that comes of it is judged by all
properties on all correct LSTMs. Every bad answer is an alarm.

Appends a line of JSON for each fault and for each recipe to ``results/shrunk.jsonl``, and goes on from there. The seed
decides the order of the faults and of the recipes, and on which LSTMs a recipe is judged if ``--each`` asks for a few.
Within a budget, shrinking gets up to half of it, until all faults are done. Prints what was judged and what is left.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.adversary import said
from benchmarks.budget import Line, add_options, record, spent
from benchmarks.composites import composites
from benchmarks.false_alarms import commit, correct, correct_names, recorded
from benchmarks.variations import declares
from conformance.backend import Backend
from conformance.cases.recipe import parse
from conformance.engine.judging import Here, Inquiry
from conformance.engine.plan import Settings, plan
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of
from conformance.report.environment import environment

RESULTS = Path("results/shrunk.jsonl")

#: Random cases on top of the fixed set, in which most faults are caught.
_CASES = 30

_COMPOSITES = 4

#: Pieces of work that are decided on at once.
_WAVE = 16


class Shrinking(NamedTuple):
    """A fault whose failures are shrunk."""

    fault: str
    seed: int


class Replay(NamedTuple):
    """A recipe that is judged on correct LSTMs."""

    recipe: str
    lstms: tuple[str, ...]


def work(task: Shrinking | Replay) -> Line:
    """The line of one piece of work."""
    began = time.process_time()
    line = shrunk(task) if isinstance(task, Shrinking) else replayed(task)
    return {**line, "seconds": round(time.process_time() - began, 2)}


def shrunk(task: Shrinking) -> Line:
    """The minimal recipe of each property that fails on a fault."""
    report = conform(backend_of(FAULTS[task.fault]), Settings(_CASES, task.seed))
    return {"fault": task.fault, "recipes": {v.property: v.recipe for v in report.bad if v.recipe}}


@lru_cache(maxsize=64)
def _backend(name: str) -> Backend:
    return correct(name)


def replayed(task: Replay) -> Line:
    """By LSTM, how many properties judged a recipe, none where it is not declared; and the alarms."""
    recipe, judgements, alarms = parse(task.recipe), dict[str, int](), []
    for lstm in task.lstms:
        backend = _backend(lstm)
        asked = [p for p in plan(backend, Settings()).asked if declares(backend, recipe) and p.when(recipe)]
        inquiries = [Inquiry(p, recipe.turn % p.turns) for p in asked]
        answers = [*Here(backend).ask(recipe, inquiries)] if inquiries else []
        judgements[lstm] = sum(answer.outcome is not None for _, answer in answers)
        alarms += [
            {"property": p.id, "lstm": lstm, "turn": turn, "message": said(answer)}
            for (p, turn), answer in answers
            if answer.wrong
        ]
    return {"recipe": task.recipe, "judgements": judgements, "alarms": alarms}


@dataclass
class Record:
    """What is done, and what is left to do."""

    lstms: list[str]
    faults: list[str]
    seed: int
    #: On how many of the LSTMs each recipe is judged; on all if 0.
    each: int = 0
    #: How much CPU time shrinking may still take, in seconds.
    shrinking: float = float("inf")
    #: By fault, the minimal recipe of each property that failed.
    recipes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: By recipe and LSTM, how many properties judged it.
    judged: dict[tuple[str, str], int] = field(default_factory=dict)
    alarms: list[dict[str, Any]] = field(default_factory=list)

    def add(self, line: Line) -> None:
        """Take in a line."""
        if "fault" in line:
            self.recipes[line["fault"]] = line["recipes"]
            return
        self.judged |= {(line["recipe"], lstm): count for lstm, count in line["judgements"].items()}
        self.alarms += [{"recipe": line["recipe"], **alarm} for alarm in line["alarms"]]

    def distinct(self) -> list[str]:
        """Every minimal recipe once."""
        return sorted({recipe for own in self.recipes.values() for recipe in own.values()})

    def left(self) -> list[Shrinking | Replay]:
        """All that is not done, in an order that the seed decides: faults first, then recipes."""
        faults = [Shrinking(fault, self.seed) for fault in self.faults if fault not in self.recipes]
        replays = [Replay(recipe, missing) for recipe in self.distinct() if (missing := self._missing(recipe))]
        replays.sort(key=lambda replay: Random(f"{self.seed} {replay.recipe}").random())
        return [*Random(self.seed).sample(faults, len(faults)), *replays]

    def _missing(self, recipe: str) -> tuple[str, ...]:
        chosen = self.lstms
        if self.each:
            chosen = Random(f"{self.seed} on {recipe}").sample(self.lstms, min(self.each, len(self.lstms)))
        return tuple(lstm for lstm in chosen if (recipe, lstm) not in self.judged)

    def wave(self) -> Sequence[Shrinking | Replay]:
        """The next pieces of work of one kind."""
        left = self.left()
        faults = [task for task in left if isinstance(task, Shrinking)]
        if faults and self.shrinking > 0:
            return faults[:_WAVE]
        return [task for task in left if isinstance(task, Replay)][:_WAVE]


def summary(found: Record, format: str = "simple") -> str:
    """The totals, and every alarm."""
    left = found.left()
    faults = sum(isinstance(task, Shrinking) for task in left)
    pairs = sum(len(task.lstms) for task in left if isinstance(task, Replay))
    edited = sum("edits=" in recipe for recipe in found.distinct())
    rows = [
        ["faults shrunk", len(found.recipes)],
        ["faults left", faults],
        ["distinct minimal recipes", len(found.distinct())],
        ["of these with edits", edited],
        ["correct LSTMs", len(found.lstms)],
        ["pairs of a recipe and an LSTM judged", len(found.judged)],
        ["pairs left, of the faults shrunk", pairs],
        ["judgements", sum(found.judged.values())],
        ["alarms", len(found.alarms)],
    ]
    alarms = [
        f"{a['property']} (turn {a['turn']}) accuses {a['lstm']}: {a['recipe']}: {a['message']}" for a in found.alarms
    ]
    return "\n".join([tabulate(rows, ["", ""], tablefmt=format, intfmt=","), "", *alarms])


def page(found: Record) -> str:
    """The totals as a page, with what is needed to repeat them."""
    versions = ", ".join(f"{name} {version}" for name, version in environment("torch").items())
    return f"""# Minimal recipes on correct implementations

`python -m benchmarks.shrunk --seed {found.seed}` shrinks every failure of every catalogued fault, and judges each
minimal recipe by all properties on correct LSTMs, composites among them. A judgement is one property on one recipe.
The lines are in [shrunk.jsonl](shrunk.jsonl).

{summary(found, "github")}

{versions}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is left within the budget, print the totals; 1 if anything was accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help="all if none")
    add_options(parser, RESULTS)
    parser.add_argument("--each", type=int, default=0, metavar="N", help="LSTMs that judge each recipe; all if 0")
    options = parser.parse_args(arguments)
    if unknown := [fault for fault in options.faults if fault not in FAULTS]:
        parser.error(f"no fault is named {unknown[0]!r}")
    wanted = [*correct_names(), *composites(_COMPOSITES, options.seed)]
    missing = {name: reason for name in wanted if (reason := correct(name).available())}
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    lstms = [name for name in wanted if name not in missing]
    half = float("inf") if options.minutes is None else 30 * options.minutes
    found = Record(lstms, options.faults or [*FAULTS], options.seed, options.each, half)
    for line in recorded(options.results):
        found.add(line)
    lines = spent(found.wave, work, options.jobs, options.minutes)
    for line in tqdm(record(lines, options.results, commit()), unit="line"):
        found.add(line)
        if "fault" in line:
            found.shrinking -= line["seconds"]
        for alarm in line.get("alarms", ()):
            tqdm.write(f"{alarm['property']} accuses {alarm['lstm']}: {line['recipe']}")
    print(summary(found))
    options.results.with_suffix(".md").write_text(page(found), encoding="utf-8")
    return 1 if found.alarms else 0


if __name__ == "__main__":
    sys.exit(main())
