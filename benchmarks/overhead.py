"""What does judging cost beside the backend's own work? ``python -m benchmarks.overhead``.

Runs the default run of each backend in this process and times its own ``build`` and ``forward`` calls: the ratio of the
whole to that share, cases per second, and the harness's own milliseconds per case (drawing, realising, judging by every
property, without the backend's calls).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from conformance.backend import Backend, can_be_called
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.spec import LSTMConfig, Params
from conformance.targets.find import find
from conformance.targets.registry import names


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
