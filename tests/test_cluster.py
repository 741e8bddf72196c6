"""A cluster: a real scheduler and workers in processes of their own give the verdicts of a run on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest
from programs import SAMPLES, Command

from conformance.drivers import shards
from conformance.drivers.cluster import Cluster
from conformance.drivers.run import run
from conformance.engine.news import Advanced, News
from conformance.engine.plan import Settings
from conformance.errors import Gone, UsageError

distributed = pytest.importorskip("distributed", reason='needs distributed: pip install "lstm-conformance[dask]"')

pytestmark = [
    pytest.mark.usefixtures("folder"),
    # Dask's own: of sockets that it closes late, and of names that it will drop.
    pytest.mark.filterwarnings("ignore"),
]

FEW = Settings(cases=40, only=("smoke", "layout.shapes", "values.output", "state.carry"))

_WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1", "--no-dashboard"]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with two workers, of which the second has the resource CHIP."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, protocol="tcp://") as cluster:
        command = [*_WORKER, cluster.scheduler_address]
        workers = [
            subprocess.Popen([*command, *more], env=environment, stderr=subprocess.DEVNULL)
            for more in ([], ["--resources", "CHIP=1"])
        ]
        try:
            with distributed.Client(cluster.scheduler_address) as client:
                client.wait_for_workers(2, timeout=60)
            yield cluster.scheduler_address
        finally:
            for worker in workers:
                worker.terminate()
                worker.wait()


@pytest.fixture
def cluster(scheduler: str) -> Iterator[Cluster]:
    cluster = Cluster(scheduler, {})
    yield cluster
    cluster.close()


def test_a_clusters_verdicts_are_those_of_this_machine(cluster: Cluster) -> None:
    targets = ["numpy", f"{SAMPLES}:swapped"]
    far, near = run(targets, FEW, places=cluster), run(targets, FEW)
    assert far.report.verdicts == near.report.verdicts
    assert not far.report.conformant


def test_a_worker_that_is_killed_costs_nothing_but_time(scheduler: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    third = subprocess.Popen([*_WORKER, scheduler], env=environment, stderr=subprocess.DEVNULL)
    cluster = Cluster(scheduler, {})
    deadline = time.monotonic() + 60
    while len(cluster.workers("numpy")) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)

    def tell(target: str, news: News) -> None:
        if isinstance(news, Advanced) and news.done > 20 and third.poll() is None:
            # As it works at a shard, with a judge of its own.
            while not psutil.Process(third.pid).children():
                time.sleep(0.05)
            os.kill(third.pid, signal.SIGKILL)
            third.wait()

    try:
        far = run(["numpy"], FEW, tell=tell, places=cluster)
    finally:
        cluster.close()
        third.kill()
    assert third.returncode == -signal.SIGKILL
    near = run(["numpy"], FEW)
    assert far.report.verdicts == near.report.verdicts
    assert [b.cases for b in far.report.backends] == [b.cases for b in near.report.backends]


def test_a_target_is_held_where_what_it_needs_is(scheduler: str) -> None:
    target = f"{SAMPLES}:swapped"
    cluster = Cluster(scheduler, {target: "CHIP"})
    try:
        assert len(cluster.workers(target)) == 1
        assert len(cluster.workers("numpy")) == 2
        judge = cluster.judge(target, None)
        assert judge is not None
        assert judge.frameworks.keys() >= set()
        far = run([target], FEW, places=cluster)
    finally:
        cluster.close()
    assert far.report.verdicts == run([target], FEW).report.verdicts


def test_a_shard_whose_workers_are_all_gone_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "LOOK", 0.01)
    waiting: Future[Any] = Future()
    left = [True, True, False]
    helper = shards.Elsewhere(lambda call, shard: waiting, "numpy", None, lambda: left.pop(0))
    with pytest.raises(Gone, match="no worker is left"):
        helper.answer([])
    assert left == []
    assert waiting.cancelled()


def test_the_command_line_takes_a_scheduler(command: Command, scheduler: str) -> None:
    words = ["--cases", "5", "--only", "smoke", "values.output"]
    code, out, _ = command("run", "numpy", "--dask", scheduler, *words)
    assert code == 0, out
    code, _, err = command("run", "numpy", "--dask", scheduler, "--needs", "numpy=GPU", *words)
    assert code == 2
    assert "'numpy' needs 'GPU', and no worker has it" in err
    assert "--resources GPU=1" in err


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    code, _, err = command("run", "numpy", "--needs", "GPU")
    assert code == 2
    assert "--needs is for the workers of --dask" in err

    def absent(*_: Any, **__: Any) -> Any:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed, "Client", absent)
    with pytest.raises(UsageError, match="no scheduler answers"):
        Cluster("tcp://127.0.0.1:1", {})
