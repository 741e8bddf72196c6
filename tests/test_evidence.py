"""What a failing verdict keeps of its smallest case: the arrays of the call, and the results beside the oracle's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from backends import around, by_property
from samples import swapped

from conformance import Capabilities, LSTMConfig
from conformance.backend import Backend
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.news import unheard
from conformance.engine.plan import Settings, plan
from conformance.engine.session import Session
from conformance.engine.sieve import conform
from conformance.facts import Mismatch, Outcome, Recurrence, Said, Within, first_and_worst
from conformance.properties import catalogue
from conformance.report.data import from_json, to_json
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.records import encode
from conformance.spec import Array
from conformance.trials.evidence import given

SOME = Settings(0, only=("smoke", "values", "state.carry", "layout"))


def failing(report: BackendReport) -> list[Verdict]:
    found = [verdict for verdict in report.verdicts if verdict.outcome in (Outcome.FAILED, Outcome.ERROR)]
    assert found
    return found


@pytest.fixture(scope="module")
def judged() -> BackendReport:
    return conform(swapped, SOME)


def test_every_failure_has_the_numbers_of_its_message(judged: BackendReport) -> None:
    for verdict in failing(judged):
        shown = verdict.evidence
        assert shown is not None
        assert shown.call == verdict.smallest
        fact = verdict.fact.fact if isinstance(verdict.fact, Within) else verdict.fact
        if isinstance(fact, Mismatch) and shown.compared:
            told = [each for one in shown.compared if one.tensor == fact.tensor for each in one.elements]
            [same] = [each for each in told if each.index == fact.index and each.wrong]
            assert (same.expected, same.actual) == (fact.expected, fact.actual)
            assert same.share == pytest.approx(abs(fact.expected - fact.actual) / fact.bound)


def test_it_is_small_and_travels_with_the_report(judged: BackendReport) -> None:
    sizes = [len(json.dumps(encode(verdict.evidence))) for verdict in failing(judged)]
    assert max(sizes) < 8_000
    report = _report(judged)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


def _report(backend: BackendReport) -> Report:
    return Report("0.1.0", 0, 0, {}, (backend,))


class Counting(Here):
    """A judge that counts what it is asked."""

    asked = 0

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.asked += 1
        return super().ask(recipe, inquiries, stop, brief)


def test_it_costs_one_more_call_of_the_backend_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Counting(swapped)
    found = len(failing(conform(judge, SOME)))
    with_evidence = judge.asked
    monkeypatch.setattr(Session, "_evidence", lambda self, p, recipe: None)
    judge = Counting(swapped)
    conform(judge, SOME)
    assert with_evidence - judge.asked <= found


def test_a_failure_that_depends_on_history_has_it_too() -> None:
    """Wrong only after a model with H = 9 has been called."""
    before: list[int] = []

    def remembering(forward: Any, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        spoiled = before[-1:] == [9] and config.hidden_size != 9
        before.append(config.hidden_size)
        return output + spoiled, finals

    settings = Settings(0, only=("smoke", "values.output"))
    verdict = by_property(conform(around(remembering), settings))["values.output"]
    assert verdict.recurrence == Recurrence.AFTER_OTHERS
    assert verdict.evidence is not None
    assert any(one.wrong for one in verdict.evidence.compared)


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.TIMEOUT])
def test_a_case_that_ends_the_process_is_not_run_again_for_it(outcome: Outcome) -> None:
    judge = Counting(swapped)
    session = Session(judge, plan(swapped, SOME), unheard)
    p, recipe = catalogue()["values.output"], parse("I=1 H=1 L=1 N=1")
    session.conclude(p, recipe, Answer(outcome, Said("signal 11")))
    assert judge.asked == 0
    assert session.tally.verdicts[p.id].evidence is None


def test_another_answer_in_between_is_not_taken_for_it() -> None:
    judge = Counting(swapped)
    session = Session(judge, plan(swapped, SOME), unheard)
    p, other = catalogue()["values.output"], catalogue()["values.c_n"]
    recipe = parse("I=1 H=1 L=1 N=1 seed=3")
    answer = session.again(p, recipe)
    assert answer is not None
    session.again(other, replace(recipe, seed=4, L=2))
    session.conclude(p, recipe, answer)
    assert judge.asked == 3
    shown = session.tally.verdicts[p.id].evidence
    assert shown is not None
    assert "L=1" in shown.call


def test_of_many_elements_the_first_wrong_ones_and_the_worst_are_enough() -> None:
    assert first_and_worst([0.1] * 9) == [0, 1, 2, 3, 4]
    assert first_and_worst([0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0]) == [2, 3, 4, 5, 6, 8]
    assert first_and_worst([0.0] * 8 + [2.0]) == [4, 5, 6, 7, 8]
    shares = [0.0, 3.0, 0.0, 4.0]
    assert first_and_worst([shares[k] for k in first_and_worst(shares)]) == first_and_worst(shares)


def test_arrays_of_many_numbers_have_their_shape_only() -> None:
    shown = {tensor.name: tensor for tensor in given(realise(parse("I=4 H=4 L=2 N=1")))}
    assert shown["weight_ih_l0"].values is None
    assert shown["weight_ih_l0"].shape == (16, 4)
    assert len(shown["x"].values or ()) == 8


def test_an_error_has_its_traceback() -> None:
    def build(config: LSTMConfig, params: Any) -> Any:
        def forward(x: Array, state: Any = None) -> Any:
            raise ValueError("no such thing")

        return forward

    [verdict] = failing(conform(Backend("raises", Capabilities(), build), Settings(0, only=("smoke",))))
    assert verdict.evidence is not None
    assert "no such thing" in verdict.message
