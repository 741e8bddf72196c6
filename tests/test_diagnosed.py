"""The diagnosis tried on the catalogue: what counts as named, what as wrong, and what the command makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import Command

from conformance.errors import UsageError
from conformance.facts import Conditions, Outcome, Trait
from conformance.faults import FAULTS, backend_of
from conformance.report.model import Verdict
from conformance.selftest.diagnosed import CAUSE, CONDITIONS, PROPERTY, Diagnosed, DiagnosedTest, diagnosed, wanted_of
from conformance.selftest.diagnosed_table import table
from conformance.selftest.forecast import Forecast, forecast


def row(id: str, kind: str, named: str, confirmed: bool = False, wrong: bool = False) -> Diagnosed:
    return Diagnosed((id,), kind, named, confirmed, wrong, (f"told of {id}",), 10, 1.0)


def test_a_structural_mistake_is_named_and_confirmed() -> None:
    found = diagnosed(("c-0-ignored",))
    assert (found.named, found.confirmed, found.wrong) == (CAUSE, True, False)


def test_nothing_wrong_is_confirmed_where_the_own_hypothesis_is_left_out() -> None:
    found = diagnosed(("c-0-ignored",), left_out=True, limit=3.0)
    assert not found.wrong
    assert not any("c-0-ignored" in told for told in found.told)


def test_both_of_a_pair_are_named() -> None:
    found = diagnosed(("input-forget", "h-n-zeros"))
    assert (found.kind, found.named, found.wrong) == ("pair", CAUSE, False)


def test_nothing_is_told_of_a_correct_lstm_that_is_said_to_fail() -> None:
    assert diagnosed(("laned-sums",)).told == ()


@pytest.mark.parametrize(("limit", "right"), [(17, True), (9, False)])
def test_conditions_are_right_only_if_they_say_which_fresh_cases_fail(limit: int, right: bool) -> None:
    backend = backend_of(FAULTS["rows-past-16"])
    verdict = Verdict(backend.name, "values.output", Outcome.FAILED, recipe="I=1 H=1 L=2 N=17")
    told = Conditions((Trait("N", ">=", limit),), 1, 1, 0, 1)
    assert forecast(backend, verdict, told).right == right


def test_few_cases_of_a_kind_tell_nothing() -> None:
    assert not Forecast(failed=60, passed=2, told=62).right
    assert Forecast(failed=30, passed=2, told=32, asked=(60, 2)).alike
    assert not Forecast(failed=30, passed=2, told=32, asked=(30, 2)).alike
    assert not Forecast(failed=30, passed=30, told=57).right
    assert Forecast(failed=30, passed=30, told=59).right


def test_the_table_counts_each_claim_apart() -> None:
    rows = (
        row("a", "initial state", CAUSE, confirmed=True),
        row("b", "initial state", "", wrong=True),
        row("c", "size thresholds", CONDITIONS),
        row("d", "threads", PROPERTY),
        row("e", "", ""),
    )
    text = table(DiagnosedTest(rows))
    assert "conventions and structure: named first 1 of 2 (50.0 %), confirmed 1 of 2 (50.0 %)" in text
    assert "cause or conditions told 1 of 1 (100.0 %)" in text
    assert "told by its property alone (1): d" in text
    assert "1 of 5 diagnoses confirmed what is wrong" in text
    assert "told of b" in text
    assert not DiagnosedTest(rows).passed
    assert DiagnosedTest(rows[2:]).passed
    assert not DiagnosedTest(rows[2:], missing=1).passed


def test_the_correct_lstms_run_along() -> None:
    assert {("twin",), ("laned-sums",), ("gate-order-iofg",)} <= set(wanted_of((), 0, 0))
    with pytest.raises(UsageError, match="gate-order-oops"):
        wanted_of(("gate-order-oops",), 0, 0)


def test_the_command_fails_if_a_wrong_cause_is_confirmed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = DiagnosedTest((row("b", "initial state", "", wrong=True),))
    monkeypatch.setattr("conformance.selftest.diagnosed.diagnosed_test", lambda *arguments: wrong)
    code, out, _ = command("self-test", "--diagnose", "--json", "rows.json")
    assert code == 1
    assert "WRONG" in out
    assert json.loads(Path("rows.json").read_text())["rows"][0]["told"] == ["told of b"]


@pytest.mark.parametrize("more", [["--own-left-out"], ["--diagnose", "--peers"], ["--diagnose", "--cases", "3"]])
def test_options_that_would_be_ignored_are_refused(more: list[str], command: Command) -> None:
    code, _, err = command("self-test", *more)
    assert code == 2
    assert "--diagnose" in err
