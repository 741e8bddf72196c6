"""How near to its bound can a correct LSTM be brought? ``python -m benchmarks.adversary``, resumable.

Hill climbing: a climb changes a recipe step by step (sizes, options, fill, gain, seed, edits, the property's turn) and
keeps each change that does not lower the margin of one property on one LSTM. The LSTMs are the built-in ones, the
twin, those that differ from it, and composites of these. A margin is the largest error as a share of its bound. An
accusation is a case of a correct LSTM on which a property does not hold: a defect of the suite. It ends the climbs of
that property on that LSTM.

Every other climb is one of the property that had the fewest. For the others, the property is chosen as by a player at
several slot machines (UCB1, Auer et al. 2002): the more often its climbs reached a new height, and the fewer there
were, the sooner.

Appends a line of JSON for each climb to ``results/adversary.jsonl``, and goes on from there. The seed and the lines so
far decide the next climbs, so a run of as many climbs gives the same ones, except where a judgement depends on time or
chance (threads, dropout); ``--minutes`` decides only when it stops. Prints the highest margin of every property.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.budget import Line, add_options, record, spent
from benchmarks.composites import composites
from benchmarks.false_alarms import commit, correct, correct_names, recorded
from benchmarks.variations import mutated
from conformance.backend import Backend
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings, plan
from conformance.properties import catalogue
from conformance.properties.model import Property
from conformance.report import english
from conformance.report.environment import environment

RESULTS = Path("results/adversary.jsonl")

#: Judgements in a climb, and in one of a property whose own cases are large, which are those with so small a limit.
_STEPS, _FEW_STEPS, _LARGE_LIMIT = 40, 6, 8

#: Cases in a survey, on which all properties without large cases are judged.
_SURVEYED = 6

#: Climbs that are decided on at once, and the weight of curiosity in the decision.
_WAVE, _CURIOSITY = 16, 0.5

_COMPOSITES = 12


class Climb(NamedTuple):
    """One piece of work: a climb of one property on one LSTM, or a survey of all properties if there is none."""

    number: int
    seed: int
    lstm: str
    property: str = ""
    #: The recipe to begin with; a random one if there is none.
    start: str = ""


@lru_cache(maxsize=64)
def _backend(name: str) -> Backend:
    return correct(name)


def climb(task: Climb) -> Line:
    """The highest margins that a climb, or a survey, reached, with their recipes, and its accusations."""
    began = time.process_time()
    rng, judge = Random(f"{task.seed} {task.number}"), Here(_backend(task.lstm))
    seen = _climb(task, judge, rng) if task.property else _survey(task, judge, rng)
    best: dict[str, tuple[float, str]] = {}
    accusations = []
    for p, recipe, answer in seen:
        if answer.wrong:
            accusations.append({"property": p.id, "recipe": str(recipe), "message": said(answer)})
        elif _height(answer) > best.get(p.id, (-1.0, ""))[0]:
            best[p.id] = _height(answer), str(recipe)
    return {
        **task._asdict(),
        "judgements": Counter(p.id for p, _, answer in seen if answer.outcome is not None),
        "best": best,
        "accusations": accusations,
        "seconds": round(time.process_time() - began, 2),
    }


Seen = list[tuple[Property, Recipe, Answer]]


def _height(answer: Answer) -> float:
    """The margin; 0 for a property that has none, less where it says nothing."""
    return -1.0 if answer.outcome is None else answer.margin or 0.0


def said(answer: Answer) -> str:
    """What an answer says beside its outcome."""
    return "" if answer.fact is None else english.sentence(answer.fact)


def _climb(task: Climb, judge: Here, rng: Random) -> Seen:
    p = catalogue()[task.property]
    starts = [recipe for recipe in fixed_set(judge.backend, task.seed) if p.when(recipe)]
    if not task.start and not starts:
        return []
    at = parse(task.start) if task.start else rng.choice(starts)
    recipe, height, seen = at, -1.0, Seen()
    for _ in range(_FEW_STEPS if 0 < p.limit <= _LARGE_LIMIT else _STEPS):
        if p.when(recipe):
            [(_, answer)] = judge.ask(recipe, [Inquiry(p, recipe.turn)])
            seen.append((p, recipe, answer))
            if answer.wrong:
                break
            if _height(answer) >= height:
                at, height = recipe, _height(answer)
        recipe = mutated(at, judge.backend, rng, p.turns)
    return seen


def _survey(task: Climb, judge: Here, rng: Random) -> Seen:
    seen, wild = Seen(), rng.sample(fixed_set(judge.backend, task.seed), _SURVEYED)
    for recipe in (mutated(recipe, judge.backend, rng, 1) for recipe in wild):
        small = [p for p in _asked(judge.backend) if p.when(recipe) and not 0 < p.limit <= _LARGE_LIMIT]
        inquiries = [Inquiry(p, rng.randrange(p.turns)) for p in small]
        seen += [(p, _at_turn(recipe, turn), answer) for (p, turn), answer in judge.ask(recipe, inquiries)]
    return seen


def _at_turn(recipe: Recipe, turn: int) -> Recipe:
    return Recipe(**{**vars(recipe), "turn": turn})


def _asked(backend: Backend) -> tuple[Property, ...]:
    return plan(backend, Settings()).asked


@dataclass
class Record:
    """What all climbs so far have found."""

    #: The ids of the properties that are asked of each LSTM.
    asked: dict[str, list[str]]
    seed: int
    climbs: int = 0
    surveyed: set[str] = field(default_factory=set)
    #: By property and LSTM: the highest margin and its recipe; the number of climbs; the accusations.
    best: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    tried: Counter[tuple[str, str]] = field(default_factory=Counter)
    accusations: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    judgements: Counter[str] = field(default_factory=Counter)
    #: By property, the climbs that ended higher than any before on that LSTM.
    risen: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, line: Line) -> None:
        """Take in the line of a climb."""
        lstm = line["lstm"]
        self.climbs = max(self.climbs, line["number"] + 1)
        self.seconds += line["seconds"]
        self.judgements.update(line["judgements"])
        if line["property"]:
            self.tried[line["property"], lstm] += 1
        else:
            self.surveyed.add(lstm)
        for id, (margin, recipe) in line["best"].items():
            if margin > self.best.get((id, lstm), (-1.0, ""))[0]:
                self.risen[id] += id == line["property"] and margin > 0
                self.best[id, lstm] = margin, recipe
        for accusation in line["accusations"]:
            self.accusations.setdefault((accusation["property"], lstm), accusation)

    def wave(self) -> list[Climb]:
        """The next climbs: surveys of the LSTMs that have had none, then those that promise the most."""
        unseen = [lstm for lstm in self.asked if lstm not in self.surveyed]
        if unseen:
            return [Climb(self.climbs + k, self.seed, lstm) for k, lstm in enumerate(unseen[:_WAVE])]
        planned, chosen = Counter(self.tried), list[Climb]()
        while len(chosen) < _WAVE:
            task = self._next(self.climbs + len(chosen), planned)
            if task is None:
                break
            planned[task.property, task.lstm] += 1
            chosen.append(task)
        return chosen

    def _next(self, number: int, planned: Counter[tuple[str, str]]) -> Climb | None:
        rng = Random(f"{self.seed} next {number}")
        open: dict[str, list[str]] = {}
        for lstm, ids in self.asked.items():
            for id in ids:
                if (id, lstm) not in self.accusations:
                    open.setdefault(id, []).append(lstm)
        if not open:
            return None
        climbs = Counter[str]()
        for (id, _), count in planned.items():
            climbs[id] += count
        total = sum(climbs.values())

        def promise(id: str) -> float:
            n = climbs[id]
            return math.inf if not n else self.risen[id] / n + _CURIOSITY * math.sqrt(math.log(total) / n)

        id = max(open, key=promise) if number % 2 else min(open, key=lambda id: climbs[id])
        height = {lstm: self.best.get((id, lstm), (-1.0, ""))[0] for lstm in open[id]}
        fewest = min(planned[id, lstm] for lstm in open[id])
        if rng.random() < 0.5:
            lstm = max(open[id], key=lambda lstm: height[lstm])
        else:
            lstm = rng.choice([lstm for lstm in open[id] if planned[id, lstm] == fewest])
        starts = [self.best.get((id, lstm), (0.0, ""))[1], ""]
        # What is high on one LSTM often is on another.
        starts.append(max((found for (own, _), found in self.best.items() if own == id), default=(0.0, ""))[1])
        return Climb(number, self.seed, lstm, id, rng.choice(starts))


def table(found: Record, format: str = "simple") -> str:
    """The highest margin of every property, with its LSTM and recipe; the highest first."""
    rows = []
    for id in dict.fromkeys(id for ids in found.asked.values() for id in ids):
        own = {lstm: best for (of, lstm), best in found.best.items() if of == id}
        lstm, (margin, recipe) = max(own.items(), key=lambda item: item[1][0], default=("", (0.0, "")))
        accused = sum(of == id for of, _ in found.accusations)
        top = [margin, lstm, recipe] if margin > 0 else [None, "", ""]
        rows.append([id, top[0], found.judgements[id], accused, *top[1:]])
    rows.sort(key=lambda row: (-row[3], -(row[1] or 0)))
    headers = ["property", "margin", "judgements", "LSTMs accused", "LSTM", "recipe"]
    return tabulate(rows, headers, tablefmt=format, floatfmt=".4f", intfmt=",")


def accusations(found: Record) -> str:
    """Every accusation, with the command that shows it again."""
    lines = []
    for (id, lstm), accusation in found.accusations.items():
        again = f"python -m benchmarks.adversary --replay '{accusation['recipe']}' {lstm} {id}"
        lines.append(f"{id} accuses {lstm}: {accusation['message']}\n    {again}")
    return "\n".join(lines) or "Nothing was accused."


def page(found: Record) -> str:
    """The table as a page, with what is needed to repeat it."""
    versions = ", ".join(f"{name} {version}" for name, version in environment("torch").items())
    return f"""# The highest margins of correct implementations

`python -m benchmarks.adversary --seed {found.seed}` climbed {found.climbs:,} times in {found.seconds / 3600:.1f} hours
of CPU time, with {found.judgements.total():,} judgements, over {len(found.asked)} correct LSTMs. A margin is the
largest error as a share of its bound; a property without one passes or fails. The climbs are in
[adversary.jsonl](adversary.jsonl).

{accusations(found)}

{table(found, "github")}

{versions}
"""


def again(text: str, lstm: str, id: str) -> int:
    """Judge one recipe on one LSTM by one property; 1 if it is accused."""
    recipe = parse(text)
    [(_, answer)] = Here(_backend(lstm)).ask(recipe, [Inquiry(catalogue()[id], recipe.turn)])
    print(f"{id} on {lstm}: {answer.outcome or 'says nothing'}, margin {answer.margin} {said(answer)}")
    return int(answer.wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """Climb until the time is spent, print the highest margins; 1 if anything was accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lstms", nargs="*", help="all correct ones, and composites, if none")
    add_options(parser, RESULTS)
    parser.add_argument("--only", nargs="+", default=(), metavar="ID", help="some properties or groups")
    parser.add_argument("--replay", nargs=3, metavar=("RECIPE", "LSTM", "ID"), help="judge one recipe; records nothing")
    options = parser.parse_args(arguments)
    if options.replay:
        return again(*options.replay)
    wanted = options.lstms or [*correct_names(), *composites(_COMPOSITES, options.seed)]
    missing = {name: reason for name in wanted if (reason := correct(name).available())}
    for name, reason in missing.items():
        print(f"{name} is left out: {reason}")
    chosen = [name for name in wanted if name not in missing and correct(name).capabilities.fixed is None]
    settings = Settings(only=tuple(options.only))
    found = Record({name: [p.id for p in plan(correct(name), settings).asked] for name in chosen}, options.seed)
    for line in recorded(options.results):
        found.add(line)
    lines = spent(found.wave, climb, options.jobs, options.minutes)
    for line in tqdm(record(lines, options.results, commit()), unit="climb"):
        found.add(line)
        for accusation in line["accusations"]:
            tqdm.write(f"{accusation['property']} accuses {line['lstm']}: {accusation['recipe']}")
    print(table(found), accusations(found), sep="\n\n")
    options.results.with_suffix(".md").write_text(page(found), encoding="utf-8")
    return 1 if found.accusations else 0


if __name__ == "__main__":
    sys.exit(main())
