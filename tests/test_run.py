"""Runs: every target in a process of its own, and what becomes of those that die, do not load or are interrupted."""

from __future__ import annotations

import json
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from programs import SAMPLES, at_work

from conformance import check_backend
from conformance.drivers import storage
from conformance.drivers import target as judging
from conformance.drivers.run import run
from conformance.drivers.shards import Pool
from conformance.engine.news import Advanced, Began, Finished, Judging, News
from conformance.engine.plan import Settings
from conformance.errors import SuiteError, UsageError
from conformance.facts import Outcome
from conformance.report.model import BackendReport, Report
from conformance.targets.find import find

SMOKE = Settings(cases=0, only=("smoke", "layout.shapes"))


pytestmark = pytest.mark.usefixtures("folder")


def _outcomes(report: Report) -> dict[str, dict[str, str]]:
    return {b.backend.rpartition(":")[2]: {v.property: v.outcome for v in b.verdicts} for b in report.backends}


def _run(*names: str, jobs: int = 0) -> tuple[Report, tuple[UsageError | SuiteError, ...]]:
    outcome = run([f"{SAMPLES}:{name}" for name in names], SMOKE, jobs)
    return outcome.report, outcome.errors


# Child processes


def test_a_crash_is_a_verdict_and_the_other_backends_keep_theirs() -> None:
    report, errors = _run("crash", "right")
    assert errors == ()
    assert _outcomes(report) == {
        "crash": {"smoke.runs": "crashed", "layout.shapes": "not run"},
        "right": {"smoke.runs": "passed", "layout.shapes": "passed"},
    }
    assert "its process ended with exit code 7" in report.verdicts[0].message
    assert not report.conformant


def test_in_this_process_targets_are_judged_one_after_the_other() -> None:
    outcome = run([f"{SAMPLES}:right", f"{SAMPLES}:swapped"], SMOKE, isolation=None)
    assert list(_outcomes(outcome.report)) == ["right", "swapped"]
    assert "samples" in sys.modules, "the target was loaded here"


def test_a_crash_counts_whatever_properties_were_chosen() -> None:
    """Were it a verdict of smoke alone, a run of other properties would take the backend for merely unfinished."""
    report = run([f"{SAMPLES}:crash"], Settings(cases=0, only=("values.output",))).report
    assert _outcomes(report) == {"crash": {"values.output": "crashed"}}


def test_a_target_that_does_not_load_is_an_error_of_the_run_not_a_verdict() -> None:
    report, errors = _run("rihgt", "right")
    assert list(_outcomes(report)) == ["right"]
    (error,) = errors
    assert isinstance(error, UsageError)
    assert "samples has no attribute 'rihgt'\n  hint: it has right" in str(error)


def test_a_target_named_twice_is_judged_once_and_reports_keep_the_order() -> None:
    report, _ = _run("right", "absent", "right", jobs=2)
    assert list(_outcomes(report)) == ["right", "absent"]


def test_progress_is_told_to_its_end() -> None:
    seen: list[News] = []
    run([f"{SAMPLES}:right"], Settings(cases=3, only=("layout.shapes",)), tell=lambda _, news: seen.append(news))
    assert [type(news) for news in seen[:2]] == [Began, Judging]
    *_, far, end = seen
    assert isinstance(far, Advanced)
    assert (far.done, far.standing, far.failing) == (far.total, 1, 0)
    assert isinstance(end, Finished)


def test_a_defect_of_the_suite_is_never_a_verdict_about_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> BackendReport:
        raise ZeroDivisionError("in the engine")

    monkeypatch.setattr(judging, "conform", broken)
    [error] = run(["numpy"], SMOKE).errors
    assert isinstance(error, SuiteError)
    assert "a defect of lstm-conformance, not of 'numpy'" in str(error)
    assert "ZeroDivisionError: in the engine" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="signals a process group")
def test_an_interruption_keeps_verdicts_and_says_what_is_missing() -> None:
    targets = [f"{SAMPLES}:slow", f"{SAMPLES}:right"]
    process = at_work(Path("ten-calls"), "run", *targets, "--jobs", "1", "--json", "report.json")
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 3
    assert "interrupted: sample-slow: no failure of 6 properties; interrupted after " in out
    assert f"\ninterrupted, not begun: {targets[1]}\n" in out
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert (report["complete"], report["conformant"], report["missing"]) == (False, False, [targets[1]])
    (slow,) = report["backends"]
    assert {v["property"]: v["outcome"] for v in slow["verdicts"]}["smoke.runs"] == "passed"


# check_backend


def test_check_backend_takes_a_name_a_target_a_backend_or_a_function() -> None:
    backend = find(f"{SAMPLES}:right")
    bare = find(f"{SAMPLES}:bare").build
    for target in ("numpy", f"{SAMPLES}:right", backend, bare):
        report = check_backend(target, cases=1, properties=["smoke", "layout.dtypes"])
        assert report.conformant
        assert [verdict.property for verdict in report.verdicts] == ["smoke.runs", "layout.dtypes"]


def test_check_backend_survives_a_backend_that_would_end_the_process() -> None:
    report = check_backend(f"{SAMPLES}:system_exit", cases=0, properties=["smoke"], diagnose=0)
    assert [(v.outcome, v.message.splitlines()[0]) for v in report.verdicts] == [
        ("error", "build raised SystemExit: bye")
    ]


def test_backends_do_not_share_counterexamples() -> None:
    """All runs share one Hypothesis test, so without a prefix one backend would begin with another's failures."""
    first, second = (storage.database(target, SMOKE) for target in ("first", "second"))
    first.save(b"key", b"value")
    assert list(first.fetch(b"key")) == [b"value"]
    assert list(second.fetch(b"key")) == []
    first.delete(b"key", b"value")
    assert list(first.fetch(b"key")) == []


def test_a_shared_database_gives_one_machines_examples_to_the_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = {"LSTM_CONFORMANCE_EXAMPLES": str(tmp_path / "shared")}
    storage.database("one", SMOKE, shared).save(b"key", b"value")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert list(storage.database("one", SMOKE, shared).fetch(b"key")) == [b"value"]
    assert list(storage.database("another", SMOKE, shared).fetch(b"key")) == []


def test_examples_are_kept_in_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = pytest.importorskip("redis", reason='needs redis: pip install "lstm-conformance[redis]"')
    fake = pytest.importorskip("fakeredis", reason="needs fakeredis, which stands in for a server")
    server = fake.FakeServer()
    monkeypatch.setattr(redis.Redis, "from_url", lambda url: fake.FakeRedis(server=server))
    shared = {"LSTM_CONFORMANCE_EXAMPLES": "redis://machine:6379/0"}
    storage.database("one", SMOKE, shared).save(b"key", b"value")
    assert list(storage.database("one", SMOKE, shared).fetch(b"key")) == [b"value"]
    assert list(storage.database("another", SMOKE, shared).fetch(b"key")) == []


@pytest.mark.parametrize("named", ["redis://127.0.0.1:1/0", "nonsense://there"])
def test_a_database_that_is_not_there_is_told(named: str) -> None:
    pytest.importorskip("redis", reason='needs redis: pip install "lstm-conformance[redis]"')
    with pytest.raises(UsageError, match="LSTM_CONFORMANCE_EXAMPLES=") as told:
        storage.database("one", SMOKE, {"LSTM_CONFORMANCE_EXAMPLES": named})
    assert "redis://HOST:PORT/NUMBER" in told.value.hint


def test_any_executor_may_help() -> None:
    """Its workers get a function and its arguments as bytes, and give back the result as bytes."""
    settings = Settings(cases=30, only=("smoke", "values.output"))
    target = f"{SAMPLES}:swapped"
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        apart = run([target, "nobody"], settings, places=Pool(pool, 1))
    here = run([target, "nobody"], settings)
    assert [verdict.outcome for verdict in apart.report.verdicts] == [Outcome.PASSED, Outcome.FAILED]
    assert apart.report.verdicts == here.report.verdicts
    assert [str(error) for error in apart.errors] == [str(error) for error in here.errors]
    assert "no backend is named 'nobody'" in str(apart.errors[0])


def test_an_executor_that_loses_a_shard_loses_no_verdict() -> None:
    lost: list[Any] = []

    class Lossy(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            lost.append(args)
            return super().submit(lambda *args: 1 / 0, *args, **kwargs)

    settings = Settings(cases=10, only=("smoke", "values.output"))
    with Lossy(1) as pool:
        outcome = run(["numpy"], settings, places=Pool(pool, 2))
    assert lost
    assert outcome.report.verdicts == run(["numpy"], settings, jobs=1).report.verdicts
