"""What judging costs beside the backend's own work: the measurements of ``benchmarks.speed`` of one run or one case.

A backend's own ``build``, ``forward`` and ``vjp`` are put on a clock; the rest is the suite's: drawing, realising,
oracle, bound, comparison, report. Everything is in CPU time, since other work on the machine changes it little.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.backend import Backend, can_be_called
from conformance.bounds.forward import Expectation, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import handed, realise, tensors
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.reference.forward import lstm
from conformance.spec import LSTMConfig, Params, Result
from conformance.targets.find import find

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


class Counting(Here):
    """The judge of a backend in this process, which counts checks: what a property says about a case, one by one."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        #: By the property's id.
        self.checks = Counter[str]()
        #: How many numbers each case consists of.
        self.numbers = list[int]()

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers, as they are. One without an outcome says nothing about the case, and is no check."""
        for inquiry, answer in super().ask(recipe, inquiries, stop, brief):
            self.checks[inquiry.property.id] += answer.outcome is not None
            yield inquiry, answer
        if self._trial is not None:
            self.numbers.append(sum(part.size for part in tensors(self._trial.case).values()))


def whole(name: str, settings: Settings) -> dict[str, float]:
    """A run: its CPU seconds, those of the backend's own, calls, checks, wall-clock seconds, and MiB that it added."""
    clock = Clock()
    judge = Counting(clocked(find(name), clock))
    before, began, started = _most(), time.monotonic(), time.process_time()
    conform(judge, settings)
    seconds = time.process_time() - started
    return {
        "CPU s": seconds,
        "its own": clock.seconds,
        "all / own": seconds / clock.seconds,
        "calls": clock.calls,
        "suite, ms a call": 1000 * (seconds - clock.seconds) / clock.calls,
        "checks": judge.checks.total(),
        "wall s": time.monotonic() - began,
        "MiB": _most() - before,
    }


def _most() -> float:
    """The most MiB that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def importing(module: str) -> float:
    """CPU seconds of a fresh process that imports a module, without those of Python itself."""
    code = f"import time; started = time.process_time(); import {module}; print(time.process_time() - started)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def large(steps: int, hidden: int, rows: int) -> dict[str, float]:
    """A large case: CPU seconds of the oracle's pass and of judging it, their ratio, the most MiB of judging."""
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
    return {"oracle, CPU s": oracle, "judging": judging, "judging / oracle": judging / oracle, "MiB": most / 2**20}
