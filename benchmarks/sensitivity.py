"""How small a defect is still seen? ``python -m benchmarks.sensitivity``, resumable.

Defects with a level ε are built into the correct LSTM. Each is judged by a default run of this suite that stops at its
first failure, and by three fixed tolerances on the whole results of that run's cases beside the float64 oracle's.
Going down from ε = 0.1 in steps of √10, the level before the first that escapes is the smallest that is detected.

A fixed tolerance accuses correct LSTMs too. So a judge detects a defect if it accuses it on more cases than any of the
correct implementations, which for this suite is one case.

What is measured is appended to results/sensitivity.jsonl and not measured again; once it is whole, docs/sensitivity.md
and its plot are written.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.false_alarms import recorded
from benchmarks.sensitivity_defects import CORRECT, DEFECTS, DTYPES, OURS, TOLERANCES
from benchmarks.sensitivity_page import Known, limits_of, page, plot, table
from conformance.backend import Backend
from conformance.cases import strategies
from conformance.cases.case import realise
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import Recipe
from conformance.engine.plan import Settings
from conformance.engine.search import search
from conformance.engine.sieve import conform
from conformance.faults import DIFFERENT
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.properties.layout import Oracle, oracle_result
from conformance.spec import Result
from conformance.targets.find import find
from conformance.trials.trial import Trial

RESULTS = Path("results/sensitivity.jsonl")
PAGE = Path("docs/sensitivity.md")
PLOT = Path("docs/sensitivity.svg")

#: Asked for a dtype that it does not declare, an altered twin computes in it, defect and all.
SETTINGS = Settings(shrink=False, stop=True, exclude=("refusals.undeclared",))

Task = tuple[str, str]


def backend(name: str, twin: Twin, dtype: str) -> Backend:
    """An altered twin as a backend of one dtype."""
    return Backend(name, replace(FULL, dtypes=(dtype,)), replace(twin, shared={}).build)


def correct_backend(name: str, dtype: str) -> Backend:
    """One of ``CORRECT``, for one dtype."""
    if name == "twin":
        return backend(name, Twin(), dtype)
    for different in DIFFERENT:
        if different.id == name:
            return backend(name, different.twin, dtype)
    found = find(name)
    return replace(found, capabilities=replace(found.capabilities, dtypes=(dtype,)))


# The cases of a default run, and the fixed tolerances on them


@lru_cache
def recipes(dtype: str) -> tuple[Recipe, ...]:
    """The recipes that a default run of a full backend of ``dtype`` meets, short ones first."""
    drawn: list[Recipe] = []

    def passes(recipe: Recipe) -> bool:
        drawn.append(recipe)
        return False

    twin, settings = backend("twin", Twin(), dtype), Settings()
    search(strategies.recipes(twin), passes, settings.cases, entropy=settings.seed, shrink=False)
    return tuple(
        sorted([*fixed_set(twin, settings.seed), *drawn], key=lambda r: r.L * r.layers * (1 + r.bidirectional))
    )


@lru_cache
def expected(dtype: str) -> tuple[Oracle, ...]:
    """The oracle's result of each."""
    return tuple(oracle_result(realise(recipe)) for recipe in recipes(dtype))


def close(result: Result, want: Oracle, rtol: float, atol: float) -> bool:
    """Whether all parts of a result are within a fixed tolerance."""
    return all(a is not None and np.allclose(a, b, rtol, atol) for a, b in zip(result, want, strict=True))


def accusations(
    one: Backend, dtype: str, limits: Mapping[str, int | None] = dict.fromkeys(TOLERANCES)
) -> tuple[dict[str, int], int]:
    """The cases on which each tolerance accuses a backend, and the cases that it runs.

    Counting ends when it is known of each count whether it exceeds its limit.
    """
    cases = [pair for pair in zip(recipes(dtype), expected(dtype), strict=True) if _runs(one, pair[0])]
    counts = dict.fromkeys(limits, 0)
    for k, (recipe, want) in enumerate(cases):
        left = len(cases) - k
        if all(limit is not None and not counts[t] <= limit < counts[t] + left for t, limit in limits.items()):
            break
        result = Trial(one, recipe).result
        for tolerance in counts:
            counts[tolerance] += not close(result, want, *TOLERANCES[tolerance][dtype])
    return counts, len(cases)


def _runs(one: Backend, recipe: Recipe) -> bool:
    return one.capabilities.lengths or not recipe.ragged


# Measuring


def alarms(task: tuple[str, str]) -> dict[str, tuple[int, int]]:
    """Each judge's false alarms on ``(implementation, dtype)``, and the cases it judged."""
    one = correct_backend(*task)
    report = conform(one, Settings(shrink=False))
    counts, runs = accusations(one, task[1])
    ours = sum(verdict.outcome.bad for verdict in report.verdicts), report.cases
    return {OURS: ours, **{tolerance: (count, runs) for tolerance, count in counts.items()}}


def smallest(task: tuple[str, str], limits: Mapping[str, Mapping[str, int]]) -> dict[str, float | None]:
    """The smallest level of ``(defect, dtype)`` that each judge detects, None if it detects none.

    A tolerance detects what it accuses on more cases than its limit for that dtype.
    """
    name, dtype = task
    defect = next(defect for defect in DEFECTS if defect.name == name)
    found: dict[str, float | None] = dict.fromkeys((OURS, *TOLERANCES))
    searching = set(found)
    for level in defect.levels:
        altered = backend(name, defect.twin(level), dtype)
        asked = {tolerance: limit for tolerance, limit in limits[dtype].items() if tolerance in searching}
        counts, _ = accusations(altered, dtype, asked)
        detecting = {tolerance for tolerance, count in counts.items() if count > asked[tolerance]}
        if OURS in searching:
            report = conform(altered, SETTINGS)
            detecting |= {OURS} if any(verdict.outcome.bad for verdict in report.verdicts) else set()
        searching &= detecting
        found |= dict.fromkeys(searching, level)
        if not searching:
            break
    return found


def _labelled(function: Callable[[Task], Any], task: Task) -> tuple[Task, Any]:
    return task, function(task)


def measure(defects: Sequence[str], dtypes: Sequence[str], jobs: int, results: Path) -> None:
    """Append what is missing to the results, over a pool of processes."""
    with (
        multiprocessing.get_context("spawn").Pool(jobs) as pool,
        results.open("a", encoding="utf-8") as file,
        tqdm(disable=None) as bar,
    ):

        def add(kind: str, function: Callable[[Task], Any], tasks: list[Task]) -> None:
            missing = [task for task in tasks if (kind, *task) not in known(results)]
            bar.reset(len(missing))
            for task, found in pool.imap_unordered(partial(_labelled, function), missing):
                print(json.dumps({"task": [kind, *task], "found": found}, ensure_ascii=False), file=file, flush=True)
                bar.update()

        add("alarms", alarms, [(name, dtype) for dtype in dtypes for name in CORRECT])
        limits = {dtype: limits_of(known(results), dtype) for dtype in dtypes}
        tasks = [(d.name, dtype) for d in DEFECTS for dtype in dtypes if d.name in defects and dtype in d.dtypes]
        add("smallest", partial(smallest, limits=limits), tasks)


def known(results: Path) -> Known:
    """What has been measured."""
    return {tuple(line["task"]): line["found"] for line in recorded(results)}  # type: ignore[misc, arg-type]


def main() -> None:
    """Measure what is missing, print it, and write the page and the plot once it is whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [defect.name for defect in DEFECTS]
    parser.add_argument("--defect", nargs="+", choices=names, default=names, help="only these")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES, help="only these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    measure(options.defect, options.dtype, options.jobs, options.results)
    found = known(options.results)
    for dtype in options.dtype:
        print(table(found, dtype), end="\n\n")
    if all(("smallest", defect.name, dtype) in found for defect in DEFECTS for dtype in defect.dtypes):
        PAGE.write_text(page(found), encoding="utf-8")
        plot(found, PLOT)


if __name__ == "__main__":
    main()
