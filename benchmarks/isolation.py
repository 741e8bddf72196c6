"""What does a process of its own cost? ``python -m benchmarks.isolation``.

Three ways of judging one backend side by side, in turns: in this process, isolated in a child process, and served as a
program by the wire protocol. Two tables: a whole run's wall time, as a ratio of that in this process, start of the
child included; and the round trip of one forward call, in milliseconds, for a small, an ordinary and a large model.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import sys
import time
from collections.abc import Callable

from tabulate import tabulate

from conformance.cases.case import handed, realise
from conformance.cases.recipe import parse
from conformance.drivers.run import run
from conformance.drivers.target import Isolation
from conformance.engine.judging import Here, Judge
from conformance.engine.plan import Settings
from conformance.isolation.parent import Isolated
from conformance.processes.wire.client import program
from conformance.targets.find import find
from conformance.trials.calls import call, fresh_params

#: Cases whose forward call makes the round trip.
_CASES = ("I=3 H=5 L=4 N=2", "I=64 H=128 L=50 N=16", "I=256 H=512 L=100 N=32")


def served(target: str) -> str:
    """The target that serves another one by the wire protocol."""
    return f"exec:{shlex.join([sys.executable, '-m', 'conformance', 'serve', target])}"


def whole(target: str, cases: int, repeats: int) -> list[list[object]]:
    """Seconds of a run in each way, the smallest of several taken in turns, and their ratio to the first."""
    settings = Settings(cases)
    ways: dict[str, Callable[[], object]] = {
        "in process": lambda: run([target], settings, isolation=None),
        "isolated": lambda: run([target], settings, isolation=Isolation()),
        "by the protocol": lambda: run([served(target)], settings),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    run([target], Settings(2), isolation=None)
    for _ in range(repeats):
        for way, judge in ways.items():
            started = time.perf_counter()
            judge()
            taken[way].append(time.perf_counter() - started)
    base = min(taken["in process"])
    return [[way, min(seconds), min(seconds) / base] for way, seconds in taken.items()]


def round_trip(target: str, text: str, calls: int) -> list[object]:
    """Median milliseconds of one forward call in process, by the protocol, and of one case in either judge."""
    case = realise(parse(text))
    row: list[object] = [case.describe()]
    backends = [find(target), program(served(target))]
    for backend in backends:
        model = backend.build(case.config, fresh_params(case.params))
        row.append(_median(lambda model=model: call(model, case, *handed(case)), calls))
    judges: list[Judge] = [Here(backends[0]), Isolated(target)]
    for judge in judges:
        row.append(_median(lambda judge=judge: judge.run(parse(text)), calls))
    for judge in (*judges, Here(backends[1])):
        judge.close()
    return row


def _median(work: Callable[[], object], calls: int) -> float:
    work()
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="torch-nn")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = whole(options.target, options.cases, options.repeats)
    print(tabulate(rows, [f"{options.target}, {options.cases} random cases", "wall s", "ratio"], floatfmt=".2f"), "\n")
    trips = [round_trip(options.target, text, options.calls) for text in _CASES]
    headers = ["median ms", "forward here", "by the protocol", "case here", "case isolated"]
    print(tabulate(trips, headers, floatfmt=".2f"))


if __name__ == "__main__":
    main()
