"""The self-test says what caught a fault and after how many cases, and never passes for want of trying."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import Command

from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.selftest.score import TWIN, Row, SelfTest, self_test, table

FEW = ("gate-order-iofg", "c-n-is-h-n")


def test_faults_are_caught_and_the_twin_is_not_accused() -> None:
    test = self_test((*FEW, TWIN), Settings(cases=0, only=("smoke", "values")), jobs=1)
    assert test.passed
    assert test.score == 1.0
    assert {row.fault: row.caught_by[:1] for row in test.faults} == {
        "gate-order-iofg": ("values.output",),
        "c-n-is-h-n": ("values.c_n",),
    }
    assert all(row.cases == 1 for row in test.faults)


def test_attribution_names_every_property_that_catches() -> None:
    test = self_test(("c-n-is-h-n",), Settings(cases=0, only=("smoke", "values", "state")), attribute=True, jobs=1)
    [row] = test.rows
    assert {"values.c_n", "values.gates", "state.carry"} <= set(row.caught_by)
    assert "values.output" not in row.caught_by
    assert "state.carry" in table(test, attribute=True)


def test_an_escape_an_accusation_and_a_missing_row_are_no_pass() -> None:
    caught, escaped = Row("a", "class", ("values.output",), 3, 0.1), Row("b", "class", (), None, 0.1)
    accused = Row(TWIN, "", (), None, 0.1, alarms=("values.output",))
    assert SelfTest((caught,)).passed
    assert not SelfTest((caught, escaped)).passed
    assert not SelfTest((caught, accused)).passed
    assert not SelfTest((caught,), missing=("b",)).passed
    assert "ESCAPED" in table(SelfTest((caught, escaped)))
    assert "ACCUSED" in table(SelfTest((caught, accused)))
    assert "1 of 2 faults caught, a mutation score of 50.0 %" in table(SelfTest((caught, escaped)))


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(UsageError, match="gate-order-oops"):
        self_test(("gate-order-oops",))


def test_the_command_writes_json(command: Command) -> None:
    chosen = ("gate-order-iofg", "--no-fixed-set", "--cases", "5", "--jobs", "1")
    code, out, _ = command("self-test", *chosen, "--json", "scores.json")
    assert code == 0
    assert "mutation score of 100.0 %" in out
    assert [row["fault"] for row in json.loads(Path("scores.json").read_text())["rows"]] == ["gate-order-iofg"]


def test_the_command_fails_if_a_fault_escapes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    escaped = SelfTest((Row("b", "class", (), None, 0.1),))
    monkeypatch.setattr("conformance.selftest.score.self_test", lambda *arguments: escaped)
    assert command("self-test").code == 1


def test_the_faults_are_listed(command: Command) -> None:
    assert "gate-order-iofg" in command("self-test", "--list").out
