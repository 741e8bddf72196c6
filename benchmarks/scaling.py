"""How does one target's run grow with workers? ``python -m benchmarks.scaling [BACKEND] [--cases N] [--rounds N]``.

Judges one backend by one process and by several, one after the other in each round, and tells the ratio of the
wall-clock times, with its spread. The verdicts must be the same. With ``--dask N`` N workers of a scheduler on this
machine do the same run, too, and one of them is killed on the way. What is told is good for a machine that does nothing
else: the first line tells its load.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tabulate import tabulate

from conformance.drivers.cluster import Cluster
from conformance.drivers.run import run
from conformance.drivers.target import Places
from conformance.engine.news import Advanced, News
from conformance.engine.plan import Settings
from conformance.report.model import BackendReport

_WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", "--no-dashboard"]


def judged(
    target: str, settings: Settings, jobs: int = 1, places: Places | None = None, tell: Any = lambda *_: None
) -> tuple[float, BackendReport]:
    """The seconds of a run, and its report."""
    began = time.perf_counter()
    [report] = run([target], settings, jobs, tell=tell, places=places).report.backends
    return time.perf_counter() - began, report


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table; 1 if a number of workers changes a verdict."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("backend", nargs="?", default="torch-nn")
    parser.add_argument("--cases", type=int, default=100, help="random cases (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, os.cpu_count() or 1], help="processes")
    parser.add_argument("--dask", type=int, default=0, metavar="N", help="workers on this machine; 0 for none")
    chosen = parser.parse_args(arguments)
    settings = Settings(cases=chosen.cases)
    seconds: dict[str, list[float]] = {}
    verdicts = list[Any]()
    cases = 0
    load = os.getloadavg()[0]
    for _ in range(chosen.rounds):
        for jobs in dict.fromkeys([1, *chosen.jobs]):
            took, report = judged(chosen.backend, settings, jobs)
            seconds.setdefault(f"{jobs} at work", []).append(took)
            verdicts.append(report.verdicts)
            cases = report.cases
    if chosen.dask:
        took, report = on_dask(chosen.backend, settings, chosen.dask)
        seconds[f"{chosen.dask} workers of Dask, one killed"] = [took]
        verdicts.append(report.verdicts)
    alone = seconds["1 at work"]
    rows = [
        (name, f"{statistics.median(each):.1f}", f"{cases / statistics.median(each):.1f}", _ratios(alone, each))
        for name, each in seconds.items()
    ]
    print(f"{chosen.backend}, {cases} cases, {chosen.rounds} rounds, load before it {load:.1f}")
    print(tabulate(rows, headers=("", "seconds", "cases a second", "times faster than one")))
    same = all(each == verdicts[0] for each in verdicts)
    print("verdicts: the same" if same else "verdicts: NOT the same")
    return int(not same)


def _ratios(alone: Sequence[float], together: Sequence[float]) -> str:
    ratios = sorted(one / other for one, other in zip(alone, together, strict=False))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def on_dask(target: str, settings: Settings, count: int) -> tuple[float, BackendReport]:
    """The same run by workers of a scheduler, the first of which is killed when a tenth of the cases is done."""
    from distributed import Client, LocalCluster  # noqa: PLC0415  an extra, for this alone

    started: Any = LocalCluster(n_workers=0, dashboard_address="", protocol="tcp://")
    with started as scheduler:
        address = scheduler.scheduler_address
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
        workers = [
            subprocess.Popen([*_WORKER, address], env=environment, stderr=subprocess.DEVNULL) for _ in range(count)
        ]
        cluster = None
        try:
            with Client(address) as client:
                client.wait_for_workers(count, timeout=120)
            cluster = Cluster(address, {})
            return judged(target, settings, 1, cluster, _killing(workers[0]))
        finally:
            if cluster is not None:
                cluster.close()
            for worker in workers:
                worker.kill()
                worker.wait()


def _killing(worker: subprocess.Popen[bytes]) -> Callable[[str, News], None]:
    def tell(target: str, news: News) -> None:
        if isinstance(news, Advanced) and news.total and news.done > news.total / 10 and worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
            worker.wait()

    return tell


if __name__ == "__main__":
    sys.exit(main())
