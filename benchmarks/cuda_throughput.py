"""How fast is judging on a GPU, and what takes the time? ``python -m benchmarks.cuda_throughput``.

Two tables for each backend. A default run: cases per second, and the share of the time that is the backend's own calls,
which include copying to the device and back. Single cases of growing length: the backend's call, the time of it that
kernels run (by torch's profiler; only on a CUDA device), and the harness's own for making and judging the case.
Measured in one process, side by side; the first case of each shape is not counted.
``--page FILE`` writes what is printed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate

from benchmarks.cuda import TARGETS
from benchmarks.overhead import Clock, clocked
from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.drivers.run import environment
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.targets.find import find
from conformance.trials.trial import Trial
from implementations.cuda import ONE_SIZE, WORKSPACE, device

LENGTHS = (1, 16, 64, 256, 1024, 4096)

#: (I, H, N): a small model, as random cases have it, a medium one, and one that fills a device.
SHAPES = ((16, 32, 4), (64, 128, 4), (256, 512, 32))

#: Preactivations beyond which a length is left out for a shape: the oracle holds some twenty arrays of them.
_MOST = 2**23

_TIMES = 3


def default_run(backend: Backend, cases: int) -> list[object]:
    """One row: what a default run takes."""
    clock = Clock()
    timed = clocked(backend, clock)
    conform(timed, Settings(2, fixed=False))
    clock.seconds, clock.calls = 0.0, 0
    report = conform(timed, Settings(cases))
    share = 100 * clock.seconds / report.seconds
    each = 1000 * clock.seconds / max(clock.calls, 1)
    return [backend.name, report.cases, report.cases / report.seconds, report.seconds, clock.calls, each, share]


def one_case(backend: Backend, recipe: Recipe) -> list[object]:
    """One row: the medians of what the call of a case takes, its kernels, and making and judging it."""
    calls, harness = [], []
    for _ in range(_TIMES + 1):
        clock = Clock()
        began = time.perf_counter()
        Trial(clocked(backend, clock), recipe).findings()
        calls.append(clock.seconds)
        harness.append(time.perf_counter() - began - clock.seconds)
    call, own = (1000 * sorted(seconds[1:])[_TIMES // 2] for seconds in (calls, harness))
    kernels = kernel_seconds(backend, recipe)
    shown = "–" if kernels is None else f"{1000 * kernels:.2f}"
    sizes = [recipe.I, recipe.H, recipe.N, recipe.L]
    return [backend.name, recipe.dtype, *sizes, call, shown, own, 100 * call / (call + own)]


def kernel_seconds(backend: Backend, recipe: Recipe) -> float | None:
    """Seconds that kernels run during one call, copies included; None where there is no CUDA device."""
    if not torch.cuda.is_available():
        return None
    trial = Trial(backend, recipe)
    model = trial.model(trial.case)
    trial.call(trial.case, model)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        trial.call(trial.case, model)
        torch.cuda.synchronize()
    # In microseconds; older versions of torch say cuda for device.
    events = profile.key_averages()
    return sum(getattr(e, "self_device_time_total", getattr(e, "self_cuda_time_total", 0.0)) for e in events) / 1e6


def cases(dtypes: Sequence[str], longest: int) -> list[Recipe]:
    """The single cases: each shape in each length that its oracle has memory for."""
    return [
        Recipe(I=I, H=H, L=L, N=N, state="both", dtype=dtype)
        for dtype in dtypes
        for I, H, N in SHAPES  # noqa: E741
        for L in LENGTHS
        if longest >= L and L * N * 4 * H <= _MOST
    ]


def main(given: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "backends", nargs="*", help=f"names or targets; those of {', '.join(TARGETS)} that can run here"
    )
    parser.add_argument("--cases", type=int, default=100, help="random cases of the default run; 0 leaves it out")
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="the longest sequence (%(default)s)")
    parser.add_argument("--dtypes", nargs="*", default=["float32"])
    parser.add_argument("--page", type=Path, help="a file for what is printed")
    options = parser.parse_args(given)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault(WORKSPACE, ONE_SIZE[0])
    found = [find(TARGETS.get(name, name)) for name in options.backends or TARGETS]
    backends = [backend for backend in found if not backend.available()]
    named = ", ".join(f"{name} {value}" for name, value in (device() | environment("torch")).items())
    parts = ["# Throughput on a CUDA device" if device() else "# Throughput without a CUDA device", named]
    if options.cases:
        headers = ["backend", "cases", "cases/s", "wall s", "calls", "ms/call", "% in calls"]
        rows = [default_run(backend, options.cases) for backend in backends]
        parts.append(tabulate(rows, headers, tablefmt="github", floatfmt=".2f"))
    headers = ["backend", "dtype", "I", "H", "N", "L", "call ms", "kernels ms", "harness ms", "% in call"]
    recipes = cases(options.dtypes, options.longest)
    rows = [
        one_case(backend, recipe)
        for backend in backends
        for recipe in recipes
        if recipe.dtype in backend.capabilities.dtypes
    ]
    parts.append(tabulate(rows, headers, tablefmt="github", floatfmt=".2f", disable_numparse=[7]))
    text = "\n\n".join(parts)
    print(text)
    if options.page:
        options.page.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
