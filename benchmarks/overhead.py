"""What does judging cost beside the backend's own work? ``python -m benchmarks.overhead [BACKEND…]``.

Judges each backend several times in this process, one after the other, and has its own ``build``, ``forward`` and
``vjp`` on a clock. The table tells the CPU seconds of a default run, the backend's own share of them, and what the
suite itself takes for each call: drawing, realising, oracle, bound, comparison, report. Below it stand the CPU seconds
of imports, each in fresh processes; and with ``--large`` what judging a large case takes beside the oracle's own pass,
and the most memory that it holds. Figures are medians, with the lowest and the highest of the rounds: CPU time, since
other work on the machine changes it little.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from tabulate import tabulate

from conformance.backend import Backend, can_be_called
from conformance.bounds.forward import Expectation, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import handed, realise
from conformance.cases.recipe import Recipe
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.reference.forward import lstm
from conformance.spec import LSTMConfig, Params, Result
from conformance.targets.find import find
from conformance.trials.threads import OneThread

#: What a notebook, the command line, pytest and the process of a backend import.
IMPORTED = ("conformance", "conformance.drivers.cli", "lstm_conformance_pytest", "conformance.isolation.child")


class Clock:
    """CPU seconds of this process spent inside the functions that it times, and how often they were called.

    The threads of one property are all counted while one of them is inside; it is one property of many.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self._inside = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with its time added to the clock's, and its attributes, whose calls are timed too."""
        return _Timed(self, function)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time one call. A call within a call is a part of it."""
        self.calls += 1
        self._inside += 1
        started = time.process_time()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self.seconds += time.process_time() - started


class _Timed:
    def __init__(self, clock: Clock, function: Callable[..., Any]) -> None:
        self._clock, self._function = clock, function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with self._clock.running():
            return self._function(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._function, name)
        return _Timed(self._clock, own) if callable(own) else own


def clocked(backend: Backend, clock: Clock) -> Backend:
    """The backend with all of its own work on the clock: ``build``, and what the model that it builds can do."""
    build = clock.timed(backend.build)

    def build_clocked(config: LSTMConfig, params: Params) -> Any:
        model = build(config, params)
        return clock.timed(model) if can_be_called(model) else model

    return replace(backend, build=build_clocked)


def run(name: str, cases: int) -> list[float]:
    """CPU seconds of a run, those of the backend's own, their ratio, calls, and the suite's milliseconds for each."""
    clock = Clock()
    backend = clocked(find(name), clock)
    started = time.process_time()
    conform(backend, Settings(cases=cases))
    seconds = time.process_time() - started
    return [
        seconds,
        clock.seconds,
        seconds / clock.seconds,
        clock.calls,
        1000 * (seconds - clock.seconds) / clock.calls,
    ]


def importing(module: str) -> float:
    """CPU seconds of a fresh process that imports a module, without those of Python itself."""
    code = f"import time; started = time.process_time(); import {module}; print(time.process_time() - started)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def large(steps: int, hidden: int, rows: int) -> list[float]:
    """CPU seconds of the oracle's pass over a large case and of judging it, their ratio, the most MiB of judging."""
    case = realise(Recipe(I=hidden, H=hidden, L=steps, N=rows))
    started = time.process_time()
    output, (h_n, c_n) = lstm(case.config, case.params, *handed(case))
    oracle = time.process_time() - started
    result = Result(*(part.astype(np.float32) for part in (output, h_n, c_n)))
    float32 = arithmetic("float32", {})
    assert float32 is not None
    tracemalloc.start()
    started = time.process_time()
    margins = [finding.margin() for finding in judge(Expectation(case, float32), lambda layers: result)]
    judging = time.process_time() - started
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert max(margins) <= 1
    return [oracle, judging, judging / oracle, most / 2**20]


def spread(rounds: Sequence[Sequence[float]]) -> list[str]:
    """The median of each column, with its lowest and highest value where there are several."""
    told = []
    for values in zip(*rounds, strict=True):
        middle, low, high = (f"{value:.3g}" for value in (statistics.median(values), min(values), max(values)))
        told.append(middle if low == high else f"{middle} ({low} to {high})")
    return told


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", help="torch-nn and numpy if none")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", nargs=3, type=int, action="append", default=[], metavar=("L", "H", "N"))
    options = parser.parse_args()
    chosen = options.backends or ["torch-nn", "numpy"]
    rounds = range(options.rounds)
    # In turn, so that what else the machine does falls on all alike. What is loaded at the first run is no part of it.
    for name in chosen:
        conform(find(name), Settings(cases=0, only=("smoke",)))
    runs = [{name: run(name, options.cases) for name in chosen} for _ in rounds]
    headers = ["backend", "CPU s", "its own", "all/own", "calls", "suite, ms a call"]
    print(tabulate([[name, *spread([made[name] for made in runs])] for name in chosen], headers))
    imports = [{module: [importing(module)] for module in IMPORTED} for _ in rounds]
    print(tabulate([[m, *spread([made[m] for made in imports])] for m in IMPORTED], ["\nimport", "\nCPU s"]))
    with OneThread():
        sizes = [[f"L={L} H={H} N={N}", *spread([large(L, H, N) for _ in rounds])] for L, H, N in options.large]
    if sizes:
        print(tabulate(sizes, ["\nlarge case", "\noracle, CPU s", "\njudging", "\nratio", "\nMiB at most"]))


if __name__ == "__main__":
    main()
