"""What does judging cost beside the backend's own work? ``python -m benchmarks.overhead``.

Runs the default run of each backend in this process and times its own ``build`` and ``forward`` calls: the ratio of the
whole to that share, cases per second, and the harness's own milliseconds per case (drawing, realising, judging by every
property, without the backend's calls).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from conformance.backend import Backend
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.spec import LSTMConfig, Params
from conformance.targets.find import find
from conformance.targets.registry import names


class Clock:
    """Seconds spent inside the functions it wraps, and how often they were called."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with its time added to the clock's."""

        def wrapped(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.perf_counter() - started
                self.calls += 1

        return wrapped


def clocked(backend: Backend, clock: Clock) -> Backend:
    """The backend with all of its own work on the clock. The threads of one property count twice; it is one of many."""
    build = clock.timed(backend.build)

    def build_clocked(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        return clock.timed(build(config, params))

    return replace(backend, build=build_clocked)


def measure(name: str, cases: int) -> list[object]:
    """One row of the table."""
    clock = Clock()
    backend = clocked(find(name), clock)
    conform(backend, Settings(cases=2))
    clock.seconds, clock.calls = 0.0, 0
    report = conform(backend, Settings(cases=cases))
    own = 1000 * (report.seconds - clock.seconds) / report.cases
    ratio = report.seconds / clock.seconds
    return [name, report.cases, clock.calls, report.seconds, clock.seconds, ratio, report.cases / report.seconds, own]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", help="all installed names if none")
    parser.add_argument("--cases", type=int, default=100)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    available = [name for name in options.backends or names() if not find(name).available()]
    rows = [measure(name, options.cases) for name in available]
    headers = ["backend", "cases", "calls", "wall s", "own s", "wall/own", "cases/s", "harness ms/case"]
    print(tabulate(rows, headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
