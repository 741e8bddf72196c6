"""How quick is the suite? ``python -m benchmarks.speed [PART…]``: all sides in turns, ratios with their spread.

- ``own``: runs of each profile beside the backend's own work, milliseconds of the suite for each call, peak memory.
- ``checks``: checks per CPU second, beside the same properties written as one Hypothesis test each
  (``benchmarks/elementwise.py``). A check is one property judged on one case. Both sides make the same number of checks
  of each property.
- ``first``: CPU time to the first failure of catalogued faults, on both sides.
- ``peers``: the start and each check of other projects' test sets.
- ``start``: imports.
- ``sizes``: large cases beside the oracle's own pass, in L and in H; their memory.

Whatever can be is CPU time, which other work on the machine changes little. Each measurement has a process of its own.
Figures are medians of the rounds, with the lowest and the highest. ``--json`` keeps all of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tabulate import tabulate

from benchmarks import elementwise, peer_checks
from benchmarks.elementwise import Call
from benchmarks.false_alarms import commit
from benchmarks.first_signal import picked
from benchmarks.overhead import IMPORTED, Clock, Counting, clocked, importing, large, whole
from conformance.engine.news import Failed, News
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of
from conformance.faults.fault import CLASSES, DROPOUT, GRADIENTS, OPTIONS, THREADS, Fault
from conformance.report.environment import environment
from conformance.targets.find import find
from conformance.trials.threads import OneThread

T = TypeVar("T")

#: Of each row of a table, its columns.
Rows = dict[str, dict[str, float]]

#: The faults of forward passes that show in what a call returns.
KINDS = tuple(kind for kind in CLASSES if kind not in (GRADIENTS, OPTIONS, DROPOUT, THREADS))

#: Hypothesis's own default.
EXAMPLES = 100

#: Large cases (L, H, N), twice as long or as wide from one to the next.
SIZES = (*((L, 64, 8) for L in (128, 256, 512, 1024, 2048, 4096)), *((16, H, 8) for H in (64, 128, 256, 512, 1024)))


def apart(work: Callable[..., T], *given: Any) -> T:
    """What a function returns in a process of its own, which begins with the modules that are loaded here."""
    context = multiprocessing.get_context("fork")
    told, tell = context.Pipe(duplex=False)
    process = context.Process(target=lambda: tell.send(work(*given)))
    process.start()
    tell.close()
    try:
        return told.recv()
    finally:
        process.join()


def own(options: argparse.Namespace, round: int) -> Rows:
    """Each profile on each backend."""
    profiles = {"quick": Settings(quick=True, seed=round), "default": Settings(options.cases, seed=round)}
    return {
        f"{name}, {profile}": apart(whole, name, settings)
        for profile, settings in profiles.items()
        for name in options.backends
    }


def checks(options: argparse.Namespace, round: int) -> Rows:
    """The suite and element-wise tests on each backend: the same number of checks of the same properties."""
    rows: Rows = {}
    for name in options.backends:
        few, made = apart(_judged, name, Settings(options.cases, round, only=tuple(elementwise.TESTS)))
        tests = apart(_tested, name, made, round)
        rows[f"{name}, suite"] = few
        rows[f"{name}, element-wise"] = tests
        rows[f"{name}, suite with all properties"], _ = apart(_judged, name, Settings(options.cases, round))
        for row in (f"{name}, suite", f"{name}, suite with all properties"):
            rows[row]["× element-wise"] = rows[row]["checks / CPU s"] / tests["checks / CPU s"]
    return rows


def _rates(seconds: float, checks: int, clock: Clock, numbers: Sequence[int]) -> dict[str, float]:
    return {
        "CPU s": seconds,
        "checks": checks,
        "checks / CPU s": checks / seconds,
        "calls / CPU s": clock.calls / seconds,
        "besides the backend, ms a check": 1000 * (seconds - clock.seconds) / checks,
        "numbers in a case": statistics.median(numbers),
    }


def _judged(name: str, settings: Settings) -> tuple[dict[str, float], Counter[str]]:
    """The rates of a run, and its checks of each property."""
    clock = Clock()
    judge = Counting(clocked(find(name), clock))
    started = time.process_time()
    conform(judge, settings)
    seconds = time.process_time() - started
    return _rates(seconds, judge.checks.total(), clock, judge.numbers), +judge.checks


def _tested(name: str, wanted: Counter[str], entropy: int) -> dict[str, float]:
    """The rates of element-wise tests, each of so many checks."""
    clock, numbers = Clock(), list[int]()
    backend = clocked(find(name), clock)
    started = time.process_time()
    with OneThread():
        for test, examples in wanted.items():
            elementwise.test(test, backend.build, examples, entropy, lambda call, _: numbers.append(call.numbers()))
    return _rates(time.process_time() - started, len(numbers), clock, numbers)


def first(options: argparse.Namespace, round: int) -> Rows:
    """The first failure of faults: in a default run, in one of the ten properties alone, by element-wise tests."""
    whole_run = Settings(options.cases, round)
    sides: dict[str, Callable[[str], First]] = {
        "suite": lambda fault: first_judged(fault, whole_run),
        "suite, ten properties": lambda fault: first_judged(fault, replace(whole_run, only=tuple(elementwise.TESTS))),
        "element-wise": lambda fault: first_tested(fault, round),
    }
    faults = [fault.id for fault in picked(len(FAULTS), options.seed, KINDS) if _expressible(fault)][: options.faults]
    return compared({fault: {side: apart(met, fault) for side, met in sides.items()} for fault in faults})


class First(NamedTuple):
    """Whether a fault was seen, and the CPU seconds until then, or until the end of what was tried."""

    seen: bool
    seconds: float


def compared(taken: Mapping[str, Mapping[str, First]], base: str = "element-wise") -> Rows:
    """By side: how many faults it saw; the median over all, and over those that the ``base`` sees too, with ratios."""
    rows: Rows = {}
    for side in next(iter(taken.values())):
        both = [times for times in taken.values() if times[side].seen and times[base].seen]
        rows[side] = {
            "faults": len(taken),
            "seen": sum(times[side].seen for times in taken.values()),
            "median CPU s of all": statistics.median(times[side].seconds for times in taken.values()),
            "× sooner": statistics.median(times[base].seconds / times[side].seconds for times in taken.values()),
        }
        if both:
            rows[side]["seen by both"] = len(both)
            rows[side]["CPU s of these"] = statistics.median(times[side].seconds for times in both)
            rows[side]["× sooner of these"] = statistics.median(
                times[base].seconds / times[side].seconds for times in both
            )
    return rows


def _expressible(fault: Fault) -> bool:
    """Whether it declares what the element-wise tests ask for."""
    return all(getattr(fault.capabilities, name) for name in elementwise.NEEDED)


def first_judged(fault: str, settings: Settings) -> First:
    """The first failure that a run meets; it is not shrunk."""
    met, started = list[float](), time.process_time()

    def tell(news: News) -> None:
        if isinstance(news, Failed):
            met.append(time.process_time() - started)
            raise KeyboardInterrupt

    conform(backend_of(FAULTS[fault]), settings, tell)
    return First(bool(met), (met or [time.process_time() - started])[0])


def first_tested(fault: str, entropy: int) -> First:
    """The first failure of the element-wise tests, one test after the other."""
    build, started = FAULTS[fault].build, time.process_time()

    def met(call: Call, error: Exception | None) -> None:
        if error is not None:
            raise KeyboardInterrupt

    try:
        with OneThread():
            for test in elementwise.TESTS:
                elementwise.test(test, build, EXAMPLES, entropy, met)
    except KeyboardInterrupt:
        return First(True, time.process_time() - started)
    return First(False, time.process_time() - started)


def peers(options: argparse.Namespace, round: int) -> Rows:
    """The start and the checks of other test sets; of one that is not installed nothing."""
    rows: Rows = {}
    for name in peer_checks.SETS:
        cost = peer_checks.cost(name)
        if cost is not None:
            each = 1000 * cost["seconds"] / cost["checks"]
            rows[name] = {"start, CPU s": cost["start"], "checks": cost["checks"], "ms a check": each}
        elif not round:
            print(f"{name}: not installed, not measured", file=sys.stderr)
    return rows


def start(options: argparse.Namespace, round: int) -> Rows:
    """Imports in fresh processes."""
    return {module: {"CPU s": importing(module)} for module in IMPORTED}


def sizes(options: argparse.Namespace, round: int) -> Rows:
    """Large cases on one thread."""

    def judged(*size: int) -> dict[str, float]:
        with OneThread():
            return large(*size)

    return {f"L={L} H={H} N={N}": apart(judged, L, H, N) for L, H, N in options.large or SIZES}


PARTS: dict[str, Callable[[argparse.Namespace, int], Rows]] = {
    part.__name__: part for part in (own, checks, first, peers, start, sizes)
}


def told(values: Sequence[float]) -> str:
    """The median, with the lowest and the highest value where they differ from it as shown."""
    middle, low, high = (_shown(value) for value in (statistics.median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rounds: Sequence[Rows]) -> str:
    """One part's rounds: a line for each row."""
    columns = list(dict.fromkeys(column for rows in rounds for row in rows.values() for column in row))
    lines = [
        [name, *(told(values) if (values := _values(rounds, name, column)) else "" for column in columns)]
        for name in rounds[0]
    ]
    return tabulate(lines, ["", *columns], tablefmt="github", disable_numparse=True)


def _values(rounds: Sequence[Rows], name: str, column: str) -> list[float]:
    return [rows[name][column] for rows in rounds if column in rows.get(name, {})]


def machine() -> dict[str, Any]:
    """What the figures are true of."""
    cpu = Path("/proc/cpuinfo")
    models = [line.partition(": ")[2] for line in cpu.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "commit": commit(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "load before": [round(load, 1) for load in os.getloadavg()],
        "versions": environment("torch", "onnx", "scikit-learn"),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none")
    parser.add_argument("--backends", nargs="+", default=["torch-nn", "numpy"])
    parser.add_argument("--cases", type=int, default=100, help="random cases of a default run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--faults", type=int, default=60, help="how many are looked for (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faults (%(default)s)")
    parser.add_argument("--large", nargs=3, type=int, action="append", metavar=("L", "H", "N"), help="instead of many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    parts, about = options.parts or [*PARTS], machine()
    # What is loaded or made at the first use is no part of any side.
    for name in options.backends:
        conform(find(name), Settings(cases=2, fixed=False, only=("values.output",)))
    elementwise.test("values.output", find(options.backends[0]).build, 2, 0, lambda call, error: None)
    measured: dict[str, list[Rows]] = {part: [] for part in parts}
    for round in range(options.rounds):
        for part in parts:
            print(f"round {round + 1} of {options.rounds}: {part}", file=sys.stderr, flush=True)
            measured[part].append(PARTS[part](options, round))
    for part, rounds in measured.items():
        print(f"\n{part}\n\n{table(rounds)}")
    if options.json:
        said = {name: value for name, value in vars(options).items() if name not in ("json", "parts")}
        options.json.write_text(json.dumps({**about, "options": said, "parts": measured}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
