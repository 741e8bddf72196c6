"""How often are correct implementations accused? ``python -m benchmarks.false_alarms``, resumable.

Judges backends on seeds nobody used before, in chunks of ``--cases`` random cases on top of the fixed set. One random
case in four gets edits, such as the simplifier makes. Appends a line of JSON for each chunk to
``results/false_alarms.jsonl``. Chunks already there are not run again, so an
interrupted measurement goes on where it stopped. A judgement is one property on one case of one implementation; every
bad verdict is an alarm. Prints the totals of the whole file, and writes them beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tabulate import tabulate
from tqdm import tqdm

from benchmarks.variations import edited
from conformance.backend import Backend
from conformance.cases.common import simplest
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings, plan
from conformance.engine.sieve import conform
from conformance.faults import DIFFERENT, twin_backend
from conformance.faults.composites import composite
from conformance.report.conclusion import interruption
from conformance.report.environment import environment
from conformance.report.records import encode
from conformance.targets.find import find
from conformance.targets.registry import usual

RESULTS = Path("results/false_alarms.jsonl")

#: Seeds below are for development; a measurement takes its own.
FIRST_SEED = 1_000

#: The share of the random cases that get edits.
_EDITED = 0.25


def correct(name: str) -> Backend:
    """A backend by its name.

    ``twin`` is what the faults were made from, ``different:NAME`` computes in another way, ``composite:NAME+NAME`` in
    several other ways at once.
    """
    kind, _, own = name.partition(":")
    if name == "twin":
        return twin_backend()
    if kind not in ("different", "composite"):
        return find(name)
    known = {different.id: different for different in DIFFERENT}
    different = known[own] if own in known else composite(*(known[id] for id in own.split("+")))
    return replace(different.backend, name=name)


def correct_names() -> list[str]:
    """The names of all correct LSTMs, composites apart. The adapters of libraries are judged, not taken as correct."""
    return [*usual(), "twin", *(f"different:{d.id}" for d in DIFFERENT)]


class Editing(Here):
    """Judges a share of the random recipes with edits, chosen by the recipe alone: as the simplifier might leave it."""

    def __init__(self, backend: Backend, settings: Settings) -> None:
        super().__init__(backend)
        self._plain = {*plan(backend, settings).fixed_set(), *simplest(backend)}
        #: The recipes that were judged with edits.
        self.edited: set[Recipe] = set()

    def asked(self, recipe: Recipe) -> Recipe:
        """The recipe that is judged in place of the one that was drawn."""
        drawn = replace(recipe, turn=0)
        rng = Random(str(drawn))
        if recipe.edits or drawn in self._plain or rng.random() >= _EDITED:
            return recipe
        return edited(recipe, self.backend, rng)

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers of properties about a case, which may have edits that were not asked for."""
        asked = self.asked(recipe)
        if asked.edits:
            self.edited.add(replace(asked, turn=0))
        yield from super().ask(asked, inquiries, stop, brief)

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        super().run(self.asked(recipe))


def commit() -> str:
    """The commit that is measured, with a mark if files differ from it: alarms are zero for one version of the code."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def measure(chunk: tuple[str, int, int], only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Judge one backend on one seed, by all properties or ``only`` some."""
    target, seed, cases = chunk
    settings = Settings(cases, seed, only)
    judge = Editing(correct(target), settings)
    report = conform(judge, settings)
    accused = (replace(v, recipe=v.recipe and str(judge.asked(parse(v.recipe)))) for v in report.bad)
    alarms = [encode(verdict) for verdict in accused]
    return {
        "backend": target,
        "seed": seed,
        "random_cases": cases,
        "cases": report.cases,
        "edited": len(judge.edited),
        "steep": report.steep,
        "long": report.long,
        "judgements": sum(verdict.cases for verdict in report.verdicts),
        "margin": report.margin,
        "seconds": round(report.seconds, 1),
        "interrupted": interruption(report),
        "alarms": alarms,
    }


def recorded(path: Path) -> Iterator[dict[str, object]]:
    """The lines of a results file; a last line cut short by an interruption is left out."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def summary(lines: list[dict], format: str = "simple") -> str:
    """Totals for each backend."""
    rows = []
    for backend in dict.fromkeys(line["backend"] for line in lines):
        own = [line for line in lines if line["backend"] == backend]
        cases = sum(line["cases"] for line in own)
        shares = [100 * sum(line.get(key, 0) for line in own) / max(cases, 1) for key in ("steep", "long", "edited")]
        alarms, margin = sum(len(line["alarms"]) for line in own), max(line["margin"] or 0 for line in own)
        rows.append([backend, cases, sum(line["judgements"] for line in own), *shares, margin, alarms])
    total = [sum(row[column] for row in rows) for column in (1, 2, 7)]
    rows.append(["all", total[0], total[1], "", "", "", max((row[6] for row in rows), default=0), total[2]])
    headers = ["backend", "cases", "judgements", "% gain ≥ 3", "% L ≥ 100", "% edited", "margin", "alarms"]
    return tabulate(rows, headers, tablefmt=format, floatfmt=".2f", intfmt=",")


def page(lines: list[dict]) -> str:
    """The totals as a page, with what is needed to repeat them."""
    versions = ", ".join(f"{name} {version}" for name, version in environment("torch").items())
    return f"""# False alarms on correct implementations

`python -m benchmarks.false_alarms` judges backends on seeds from {FIRST_SEED:,} on, which nothing else uses; every
property counts, and every bad verdict is an alarm. A judgement is one property on one case. "edited" cases are those
with edits, such as the simplifier makes. The chunks are in [false_alarms.jsonl](false_alarms.jsonl).

{summary(lines, "github")}

{versions}
"""


def main() -> int:
    """Run what is missing, print the totals; 1 if anything was accused."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", help="all built-in ones, twin, and different:NAME, if none")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds (%(default)s)")
    parser.add_argument("--cases", type=int, default=400, help="random cases for each seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", default=(), metavar="ID", help="some properties; nothing is recorded then")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wanted = options.backends or correct_names()
    available = [name for name in wanted if not correct(name).available()]
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    chunks = [(name, seed, options.cases) for seed in seeds for name in available]
    if options.only:
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            asked = pool.imap_unordered(partial(measure, only=tuple(options.only)), chunks)
            lines = list(tqdm(asked, total=len(chunks), unit="chunk"))
        print(summary(lines))
        return 1 if any(line["alarms"] for line in lines) else 0
    done = {(line["backend"], line["seed"], line["random_cases"]) for line in recorded(options.results)}
    missing = [chunk for chunk in chunks if chunk not in done]
    version = commit()
    options.results.parent.mkdir(exist_ok=True)
    with (
        multiprocessing.get_context("spawn").Pool(options.jobs) as pool,
        options.results.open("a", encoding="utf-8") as file,
    ):
        for line in tqdm(pool.imap_unordered(measure, missing), total=len(missing), unit="chunk"):
            if not line["interrupted"]:
                print(json.dumps({**line, "commit": version}), file=file, flush=True)
    lines = list(recorded(options.results))
    print(summary(lines))
    options.results.with_suffix(".md").write_text(page(lines), encoding="utf-8")
    return 1 if any(line["alarms"] for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
