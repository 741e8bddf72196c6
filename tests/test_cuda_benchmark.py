"""The measurement on a GPU, tried without one: it goes on where it stopped, stops in time, and loses nothing."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from programs import SAMPLES

from benchmarks import cuda, cuda_sizes, cuda_throughput
from benchmarks.cuda_page import page, summary
from conformance.backend import Capabilities
from conformance.cases.recipe import Recipe, parse
from conformance.engine.plan import Settings
from conformance.targets.find import find

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _little_is_judged(few_rows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about what is recorded: few rows and properties will do."""
    little = partial(Settings, only=("smoke", "layout", "values", "sizes.rows"))
    monkeypatch.setattr(cuda, "Settings", little)
    monkeypatch.setattr(cuda_throughput, "Settings", little)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results" / "cuda.jsonl"


@pytest.fixture
def run(results: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command on one of the samples, where git knows of no commit."""
    monkeypatch.setenv(cuda.WORKSPACE, ":4096:8")

    def run_it(sample: str, *options: str) -> int:
        given = [f"{SAMPLES}:{sample}", "--seeds=2", "--cases=2", "--jobs=2", f"--results={results}", *options]
        return cuda.main(given)

    return run_it


def lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_device_it_says_why_and_writes_nothing(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cuda.main(["torch-cell-cuda", "--results", str(results)]) == 3
    assert capfd.readouterr().err == f"torch-cell-cuda  unavailable: no CUDA device (torch {torch.__version__})\n"
    assert list(results.parent.iterdir()) == []


def test_what_is_recorded_is_not_judged_again(run: Run, results: Path) -> None:
    assert run("right", "--seeds=1") == 0
    first = lines(results)
    assert [line["seed"] for line in first] == [20_000]
    for line in first:
        assert line["judgements"] > line["cases"] > 0
        assert line["declared"] == line["passed"] > 0
        assert (line["interrupted"], line["alarms"], line["undecided"]) == ("", [], {})
        assert line["commit"] == "unknown"
        assert {"torch", "numpy", "python", "CUBLAS_WORKSPACE_CONFIG", "note"} <= set(line)
    assert run("right", "--seeds=1") == 0
    assert lines(results) == first
    assert run("right", "--seeds=2") == 0
    assert lines(results)[:1] == first
    assert len(lines(results)) == 2


def test_it_stops_in_time_and_keeps_what_was_judged(run: Run, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[int] = Counter()

    def late(measurement: cuda.Measurement) -> bool:
        """The time is over once both seeds have had some cases, however long that takes."""
        asked[threading.get_ident()] += 1
        return measurement.stopped or (len(asked) == 2 and min(asked.values()) > 3)

    with monkeypatch.context() as patched:
        patched.setattr(cuda.Measurement, "late", late)
        assert run("right", "--cases=100000") == 3
    stopped = lines(results)
    assert {line["seed"] for line in stopped} == {20_000, 20_001}
    assert all(line["interrupted"].startswith("interrupted after ") and line["cases"] > 0 for line in stopped)
    assert "interrupted" not in results.with_suffix(".md").read_text().partition("## Where")[0]
    # Nothing is begun once the time is over, and what there is is shown all the same.
    assert run("right", "--cases=100000", "--minutes=0") == 3
    assert lines(results) == stopped


def test_a_complete_line_replaces_what_was_interrupted() -> None:
    line = {"backend": "b", "seed": 1, "random_cases": 5, "cases": 3, "interrupted": "interrupted after 3 cases"}
    later, whole = line | {"cases": 4}, line | {"cases": 9, "interrupted": ""}
    assert cuda.latest([line, later]) == [later]
    assert cuda.latest([line, whole]) == cuda.latest([whole, line]) == [whole]
    other = line | {"seed": 2}
    assert cuda.latest([line, other]) == [line, other]


def test_a_backend_that_ends_its_process_is_a_finding(run: Run, results: Path) -> None:
    assert run("late_crash", "--seeds=1") == 1
    (line,) = lines(results)
    assert {"crashed", "failed"} <= {alarm["outcome"] for alarm in line["alarms"]}
    text = results.with_suffix(".md").read_text()
    assert ", layout.dtypes** (failed, 1 times): LSTM(" in text
    assert "lstm-conformance replay '" in text


def test_large_cases_are_recorded_one_by_one(run: Run, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [Recipe(I=3, H=5, L=4, N=2, seed=k) for k in range(3)] + [Recipe(layers=2)]
    monkeypatch.setattr(cuda_sizes, "recipes", lambda: few[:2])
    assert run("right", "--large") == 0
    first = lines(results)
    monkeypatch.setattr(cuda_sizes, "recipes", lambda: few)
    assert run("right", "--large") == 0
    assert lines(results)[:2] == first
    # The sample has one layer only.
    assert sorted(line["recipe"] for line in lines(results)) == [str(recipe) for recipe in few[:3]]
    assert all(line["judgements"] and line["margin"] < 1 for line in first)
    assert run("swapped", "--large") == 1
    assert "Large cases" in results.with_suffix(".md").read_text()


def test_the_page_of_a_gpu_names_it() -> None:
    where = {"device": "A Device", "driver": "580.1", "cuda": "13.0", "cudnn": "9.10.2", "torch": "2.13.0"}
    line = {"backend": "b", "seed": 1, "random_cases": 5, "cases": 3, "judgements": 7, "declared": 4, "passed": 3}
    line |= {"margin": 0.25, "seconds": 1.0, "interrupted": "", "alarms": [], "note": "cuDNN 9.10.2; A Device", **where}
    line |= {"undecided": {"purity.repeat": "narrowed: why"}, "commit": "c0ffee", "CUBLAS_WORKSPACE_CONFIG": ":16:8"}
    text = page([line])
    told = "device A Device, driver 580.1, cuda 13.0, cudnn 9.10.2, torch 2.13.0; ':16:8' for cuBLAS; commit c0ff"
    assert f"- {told}" in text
    assert "- b: cuDNN 9.10.2; A Device\n" in text
    assert "None: every verdict is that the property holds." in text
    assert "- b, purity.repeat: narrowed: why\n" in text
    assert summary([line]).startswith("random cases\n")


# The large cases


def test_large_cases_reach_the_sizes_they_promise() -> None:
    found = cuda_sizes.recipes()
    assert [max(getattr(r, size) for r in found) for size in ("I", "H", "N", "L")] == [2048, 2048, 256, 4096]
    assert len(set(found)) == len(found) == len({str(recipe) for recipe in found})
    assert all(parse(str(recipe)) == recipe for recipe in found)
    assert all(r.L * r.N * 4 * r.H <= cuda_sizes.MOST for r in found)
    assert {r.dtype for r in found} == set(cuda_sizes.JUDGED_DTYPES)


def test_large_cases_are_asked_within_what_is_declared() -> None:
    found = cuda_sizes.recipes()
    nn, cell = (find(name) for name in ("torch-nn", "torch-cell"))
    assert all(cuda_sizes.declared(recipe, nn.capabilities) for recipe in found)
    own = [recipe for recipe in found if cuda_sizes.declared(recipe, cell.capabilities)]
    assert 0 < len(own) < len(found)
    assert all(r.layers == 1 and not (r.bidirectional or r.proj or r.ragged) for r in own)
    assert not any(cuda_sizes.declared(recipe, Capabilities()) for recipe in found if recipe.dtype != "float32")
    asked = [p.id for p in cuda_sizes.asked(found[0], nn)]
    assert {"values.output", "values.accumulation", "gradients.untapped", "purity.repeat"} <= set(asked)
    assert "gradients.untapped" not in [p.id for p in cuda_sizes.asked(found[0], cell)]


# Throughput


def test_throughput_is_measured_without_a_device_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "page.md"
    cuda_throughput.main([f"{SAMPLES}:right", "--cases=2", "--longest=16", f"--page={file}"])
    printed = capsys.readouterr().out
    assert printed == file.read_text()
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in printed.splitlines() if "samples.py" in row]
    runs, cases = rows[:1], rows[1:]
    assert float(runs[0][2]) > 0
    assert [row[2:6] for row in cases] == [
        [str(size) for size in (*shape, L)] for shape in cuda_throughput.SHAPES for L in (1, 16)
    ]
    assert all(float(row[6]) > 0 and float(row[8]) > 0 for row in cases)
