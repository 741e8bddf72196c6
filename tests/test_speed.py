"""The benchmark of speed: its arithmetic, and its parts at a tiny size. No time decides anything."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from benchmarks import elementwise, peer_checks, speed
from benchmarks.elementwise import TESTS, Call
from benchmarks.overhead import whole
from benchmarks.speed import First, apart, compared, first_judged, first_tested, table, told
from conformance.backend import Build
from conformance.engine.plan import Settings
from conformance.faults import FAULTS
from conformance.targets.find import find

FEW = Settings(cases=2, fixed=False, only=("values.output",))


def test_a_figure_is_a_median_with_its_spread() -> None:
    assert told([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert told([2.0]) == "2"
    assert told([1234.4, 1234.4]) == "1,234"


def test_a_table_tells_what_some_rows_lack_as_nothing() -> None:
    rounds = [{"a": {"s": 1.0, "×": 2.0}, "b": {"s": 4.0}}, {"a": {"s": 3.0, "×": 2.0}, "b": {"s": 4.0}}]
    first, second = [[cell.strip() for cell in line.split("|")] for line in table(rounds).splitlines()[2:]]
    assert first[1:-1] == ["a", "2 (1 to 3)", "2"]
    assert second[1:-1] == ["b", "4", ""]


def test_ratios_are_taken_fault_by_fault() -> None:
    """What one side misses counts with the time that it was looked for, and not where both see the fault."""
    taken = {
        "easy": {"suite": First(True, 2.0), "element-wise": First(True, 1.0)},
        "hard": {"suite": First(True, 2.0), "element-wise": First(True, 8.0)},
        "missed": {"suite": First(True, 4.0), "element-wise": First(False, 80.0)},
    }
    suite, base = compared(taken).values()
    assert (suite["seen"], base["seen"], suite["seen by both"]) == (3, 2, 2)
    assert suite["median CPU s of all"] == 2.0
    assert base["median CPU s of all"] == 8.0
    assert suite["× sooner"] == 4.0  # of 0.5, 4 and 20
    assert suite["× sooner of these"] == 2.25  # of 0.5 and 4
    assert base["× sooner of these"] == 1.0


def met(name: str, build: Build, examples: int = 60) -> tuple[int, bool]:
    """How many checks a test makes, and whether one of them fails."""
    failed: list[bool] = []

    def tell(call: Call, error: Exception | None) -> None:
        failed.append(error is not None)
        if error is not None:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        elementwise.test(name, build, examples, 0, tell)
    return len(failed), any(failed)


@pytest.mark.parametrize("name", TESTS)
def test_a_right_lstm_passes_each_element_wise_test(name: str) -> None:
    assert met(name, find("numpy").build, 10) == (10, False)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("values.output", "gate-order-ifog"),
        ("values.h_n", "h-n-of-first-step"),
        ("values.c_n", "c-n-is-h-n"),
        ("layout.batch-first", "batch-first-reshaped"),
        ("batch.permutation", "row-reads-neighbour"),
        ("sequence.stepwise", "h-0-ignored"),
        ("state.none-is-zeros", "none-is-small"),
        ("direction.reversal", "reverse-not-flipped-back"),
        ("stack.composition", "upper-gate-order"),
        ("lengths.row-alone", "lengths-ignored"),
    ],
)
def test_each_element_wise_test_can_fail(name: str, fault: str) -> None:
    assert met(name, FAULTS[fault].build)[1]


def test_what_is_measured_is_in_a_process_of_its_own() -> None:
    assert apart(os.getpid) != os.getpid()
    assert apart(sum, [1, 2]) == 3


def test_a_run_is_measured_with_its_checks_and_calls() -> None:
    measured = apart(whole, "numpy", FEW)
    assert measured["checks"] == 2
    assert measured["calls"] >= 2
    assert measured["all / own"] == measured["CPU s"] / measured["its own"] > 1


def test_both_sides_make_the_same_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elementwise, "TESTS", {"values.output": TESTS["values.output"]})
    monkeypatch.setattr(speed, "Settings", lambda cases, seed, only=("values.output",): FEW)
    suite, tests, whole_run = speed.checks(argparse.Namespace(backends=["numpy"], cases=2), 0).values()
    assert suite["checks"] == tests["checks"] == whole_run["checks"] == 2
    assert suite["× element-wise"] == suite["checks / CPU s"] / tests["checks / CPU s"]


def test_a_fault_is_met_on_both_sides() -> None:
    fault = "gate-order-ifog"
    assert first_judged(fault, Settings(cases=2, only=("values.output",))).seen
    assert first_tested(fault, 0).seen


def test_large_cases_are_judged_beside_the_oracle() -> None:
    [row] = speed.sizes(argparse.Namespace(large=[(3, 4, 2)]), 0).values()
    assert row["judging / oracle"] == row["judging"] / row["oracle, CPU s"]
    assert row["MiB"] > 0


def missing() -> Callable[[], int]:
    raise ImportError("not here")


@pytest.mark.parametrize(("ready", "expected"), [(missing, None), (lambda: lambda: 7, 7)])
def test_a_set_that_is_not_installed_says_so(
    ready: peer_checks.Ready, expected: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(peer_checks.SETS, "some set", ready)
    monkeypatch.setattr(sys, "argv", ["peer_checks", "some set"])
    peer_checks.main()
    cost = json.loads(capsys.readouterr().out)
    assert (cost and cost["checks"]) == expected


def test_a_set_that_is_not_installed_has_no_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"this suite": peer_checks.Cost(start=1.0, seconds=2.0, checks=4)}
    monkeypatch.setattr(peer_checks, "cost", known.get)
    rows = speed.peers(argparse.Namespace(), 0)
    assert rows == {"this suite": {"start, CPU s": 1.0, "checks": 4, "ms a check": 500.0}}
    assert "scikit-learn: not installed, not measured" in capsys.readouterr().err


def test_the_command_writes_all_rounds(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    file = f"{tmp_path}/speed.json"
    monkeypatch.setitem(speed.PARTS, "own", lambda options, round: {"row": {"s": float(round)}})
    speed.main(["own", "--backends", "numpy", "--rounds", "2", "--json", file])
    with open(file, encoding="utf-8") as written:
        kept = json.load(written)
    assert kept["parts"] == {"own": [{"row": {"s": 0.0}}, {"row": {"s": 1.0}}]}
    assert {"processor", "cores", "versions", "commit", "options"} <= kept.keys()
