"""What a run measures beside its verdicts, and that many cases do not make it grow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from samples import lstm

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.backend import Backend
from conformance.cases.choices import choices, factors
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.measuring import Measuring
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Measured, Outcome
from conformance.properties import catalogue
from conformance.report.merging import merged
from conformance.report.records import decode, encode
from conformance.spec import Params
from conformance.trials import runs

MINE = Backend("mine", Capabilities(), lstm)
SETTINGS = Settings(cases=5, only=("values.output", "values.h_n", "values.c_n"))


def _took(seconds: float, share: float | None = 0.5) -> list[Answer]:
    return [Answer(Outcome.PASSED, judged=True, took=seconds, share=share)]


def test_the_sizes_of_all_cases_are_told_with_their_largest_error_and_their_median_time() -> None:
    report = conform(MINE, SETTINGS)
    assert sum(each.cases for each in report.measured) == report.cases
    assert {(each.dtype) for each in report.measured} == {"float32"}
    assert max(each.margin or 0 for each in report.measured) == report.margin, "all values are judged, and no others"
    assert all(0 < each.seconds < 60 for each in report.measured)
    for each in report.measured:
        assert (each.steps & (each.steps - 1), each.hidden & (each.hidden - 1)) == (0, 0), "powers of two"


def test_every_declared_choice_is_counted_and_no_other_occurs() -> None:
    report = conform(MINE, SETTINGS)
    assert {name: len(values) for name, values in report.choices.items()} == {
        name: len(values) for name, values in factors(MINE)
    }
    assert {sum(values.values()) for values in report.choices.values()} == {report.cases}
    assert report.choices["bidirectional"] == {"no": report.cases}


def test_a_declared_value_that_no_case_had_is_told_with_0() -> None:
    measuring = Measuring(factors(MINE))
    measuring.add(Recipe(L=1), _took(1.0))
    assert measuring.choices["steps"] == {"one": 1, "several": 0}


def test_a_case_counts_once_however_often_it_is_offered() -> None:
    measuring = Measuring(factors(MINE))
    measuring.add(Recipe(L=3, H=5), [replace(each, judged=False) for each in _took(1.0, None)])
    measuring.add(Recipe(L=3, H=5), _took(9.0, 0.25))
    assert measuring.measured() == (Measured("float32", 4, 8, 1, 0.25, 1.0),)
    assert measuring.choices["dtype"] == {"float32": 1}


def test_many_cases_keep_a_few_numbers_for_each_size() -> None:
    measuring = Measuring(factors(MINE))
    for seed in range(20_000):
        measuring.add(Recipe(seed=seed), _took(float(seed)))
    (size,) = measuring._sizes.values()
    assert len(size.seconds) < 256
    (told,) = measuring.measured()
    assert told.cases == 20_000
    assert told.seconds == pytest.approx(10_000, rel=0.02), "the times that are kept are spread over the whole run"


def test_only_the_call_itself_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the building of the model, nor a call that a property makes after the shared one has raised."""
    now = 0.0
    monkeypatch.setattr(runs, "perf_counter", lambda: now)

    def slow(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        nonlocal now
        now += 100
        forward = lstm(config, params)

        def call(x: Any, *state: Any) -> Any:
            nonlocal now
            now += 1
            if len(x) > 1:
                raise Unsupported("one step alone")
            return forward(x, *state)

        return call

    judge, inquiry = Here(Backend("mine", Capabilities(), slow)), Inquiry(catalogue()["values.output"])
    [(_, answer)] = judge.ask(Recipe(L=1), [inquiry])
    assert answer.took == 1
    assert answer.share == answer.margin
    assert decode(Answer, json.loads(json.dumps(encode(answer)))) == answer, "a child process tells it"
    [(_, answer)] = judge.ask(Recipe(L=2), [inquiry])
    assert (answer.outcome, answer.took, answer.share) == (Outcome.NARROWED, None, None)


def test_two_parts_of_one_backend_have_met_the_same_cases() -> None:
    report = conform(MINE, SETTINGS)
    part = replace(report, measured=report.measured[1:], choices={"dtype": {"float32": 1}, "more": {"yes": 2}})
    assert merged(part, report).measured == report.measured
    assert merged(part, report).choices == {**report.choices, "more": {"yes": 2}}


def test_a_wrong_lstm_shows_how_wrong_it_is() -> None:
    def doubled(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        forward = lstm(config, params)

        def call(*given: Any) -> Any:
            output, state = forward(*given)
            return 2 * output, state

        return call

    report = conform(Backend("mine", Capabilities(), doubled), SETTINGS)
    assert max(each.margin or 0 for each in report.measured) > 1000
    assert {name for name, _ in choices(Recipe())} == {*report.choices}
