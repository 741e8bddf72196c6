"""Three questions: guards come last and count only if strict, errors do not hide what is right, deaths are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backends import WIDE, Forward, around, by_property
from programs import HOSTILE, Command

from conformance import Backend, Capabilities, LSTMConfig, check_backend
from conformance.cases.common import simplest
from conformance.cases.recipe import Recipe, parse
from conformance.drivers.run import run
from conformance.drivers.target import Isolation
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.scope import traits, wherever
from conformance.engine.sieve import conform
from conformance.errors import Ended
from conformance.facts import Discarded, Outcome
from conformance.properties import catalogue
from conformance.properties.model import GUARDS, QUESTIONS
from conformance.spec import Array
from conformance.targets.find import find

#: A module without input checks: right in all that makes sense.
UNGUARDED = """
import numpy as np

def build(config, params):
    from conformance import Unsupported
    if config.num_layers > 1 or config.bidirectional or config.batch_first or config.proj_size or not config.bias:
        raise Unsupported("one layer")
    if config.dropout:
        raise Unsupported("no dropout")
    w, u = params["weight_ih_l0"].T, params["weight_hh_l0"].T
    b = params["bias_ih_l0"] + params["bias_hh_l0"]
    sigmoid = lambda a: 0.5 + 0.5 * np.tanh(0.5 * a)

    def forward(x, state=None):
        zeros = np.zeros((1, x.shape[1], config.hidden_size), x.dtype)
        h, c = (zeros[0], zeros[0]) if state is None else (state[0][0], state[1][0])
        output = []
        for x_t in x:
            i, f, g, o = np.split(x_t @ w + h @ u + b, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            output.append(h)
        return np.stack(output), (h[None].copy(), c[None].copy())

    return forward
"""
CHOSEN = ("smoke", "values.output", "values.h_n", "refusals.broadcast-state", "refusals.rank")


def test_every_property_answers_one_question_and_edges_and_guards_say_what_fails_them() -> None:
    assert {p.question for p in catalogue().values()} == {*QUESTIONS}
    assert [p.id for p in catalogue().values() if p.question != QUESTIONS[0] and not p.fails] == []


@pytest.fixture
def unguarded(folder: Path) -> str:
    """The target of a module without input checks."""
    Path("mine.py").write_text(UNGUARDED, encoding="utf-8")
    return "mine.py:build"


def test_a_module_right_in_all_but_input_checks_exits_0_and_with_strict_1(unguarded: str, command: Command) -> None:
    line = ("run", unguarded, "--cases", "0", "--in-process", "--only", *CHOSEN)
    code, out, _ = command(*line)
    assert code == 0
    assert f"conformant: {unguarded} holds " in out
    assert "broadcasts a state with an axis of one" in " ".join(out.split())
    assert "2 guards fail. They count with --strict only:" in out
    assert "replay" not in out, "a missing guard is a line, not a paragraph"
    code, out, _ = command(*line, "--strict")
    assert code == 1
    assert f"not conformant: {unguarded} " in out
    assert "  replay    lstm-conformance replay" in out

    Path("pyproject.toml").write_text("[tool.lstm-conformance]\nstrict = true\n", encoding="utf-8")
    assert command(*line).code == 1


def test_check_backend_is_strict_on_demand_and_knows_expected_failures(unguarded: str) -> None:
    settings: dict[str, Any] = {"cases": 0, "only": ["smoke", "refusals.broadcast-state"], "diagnose": 0}
    known = {"refusals.broadcast-state": "issue 7"}
    assert check_backend(unguarded, **settings).conformant
    assert not check_backend(unguarded, **settings, strict=True).conformant
    report = check_backend(unguarded, **settings, strict=True, expected_failures=known)
    assert report.conformant
    assert by_property(report.backends[0])["refusals.broadcast-state"].outcome == "expected failure"
    report = check_backend("numpy", **settings, expected_failures=known)
    assert by_property(report.backends[0])["refusals.broadcast-state"].outcome == "unexpected pass"


def test_check_backend_takes_what_the_contract_names() -> None:
    told: list[tuple[int, int]] = []
    report = check_backend(
        "numpy", cases=1, only=["layout"], exclude=["layout.shapes"], progress=lambda *done: told.append(done)
    )
    assert [v.property for v in report.verdicts] == [
        id for id in catalogue() if id.startswith("layout.") and id != "layout.shapes"
    ]
    assert told[-1][0] == told[-1][1]


def test_expected_failures_of_a_bare_target_stand_in_pyproject(unguarded: str, command: Command) -> None:
    line = ("run", unguarded, "--cases", "0", "--in-process", "--strict", "--only", "refusals.broadcast-state")
    table = f'[tool.lstm-conformance.expected-failures."{unguarded}"]\n'
    Path("pyproject.toml").write_text(table + '"refusals.broadcast-state" = "issue 7"\n', encoding="utf-8")
    assert command(*line).code == 0
    Path("pyproject.toml").write_text(table + '"refusals.batch" = "issue 7"\n', encoding="utf-8")
    code, _, err = command(*line)
    assert code == 2
    assert "no property or group is named 'refusals.batch'" in err
    Path("pyproject.toml").write_text(
        '[tool.lstm-conformance.expected-failures]\n"values.output" = "why"\n', encoding="utf-8"
    )
    code, _, err = command(*line)
    assert code == 2
    assert "a table of tables, one for each target" in err


# Guards come last


class Noting(Here):
    """A judge that notes what it is asked, and whether it rested."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.noted: list[str] = []
        self.dies: list[Ended | None] = [None, None]

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.noted += [inquiry.property.question for inquiry in inquiries]
        return super().ask(recipe, inquiries, stop, brief)

    def finish(self) -> Ended | None:
        self.noted.append("end")
        return self.dies.pop(0) if self.dies else None


MIXED = Settings(
    cases=5, only=("smoke", "values.output", "nonfinite.huge-cell", "refusals.rank", "refusals.then-right")
)


def test_guards_are_asked_last_in_a_process_of_their_own_that_ends_with_ordinary_calls() -> None:
    judge = Noting(replace(find("numpy"), capabilities=WIDE))
    assert conform(judge, MIXED).conformant
    # It rests when all is judged.
    first, second = judge.noted.index("end"), len(judge.noted) - 2
    assert judge.noted[second:] == ["end", "end"]
    assert GUARDS not in judge.noted[:first]
    calls = len(simplest(judge.backend))
    assert set(judge.noted[first + 1 : second - calls]) == {GUARDS}
    assert judge.noted[second - calls : second] == ["computes"] * calls


@pytest.mark.parametrize(("end", "property"), [(0, "smoke.runs"), (1, "refusals.then-right")])
def test_a_death_at_the_end_of_the_process_counts(end: int, property: str) -> None:
    judge = Noting(replace(find("numpy"), capabilities=WIDE))
    judge.dies[end] = Ended("crashed", "its process died of SIGABRT")
    report = conform(judge, MIXED)
    [verdict] = report.bad
    assert (verdict.property, verdict.outcome, verdict.recipe) == (property, "crashed", None)
    assert verdict.message.startswith("at the end of its process, after ")
    assert "SIGABRT" in verdict.message
    assert not report.conformant


@pytest.mark.parametrize("name", ["corrupted", "corrupted_to_the_end"])
def test_a_heap_that_a_refused_call_corrupts_is_told_of_the_guards(name: str, folder: Path) -> None:
    settings = Settings(cases=0, shrink=False, only=("smoke", "values.output", "refusals.feature-size"))
    outcome = run([f"{HOSTILE}:{name}"], settings, isolation=Isolation())
    [report] = outcome.report.backends
    [verdict] = report.bad
    assert (verdict.property, verdict.outcome) == ("refusals.feature-size", "crashed")
    assert "SIGABRT" in verdict.message
    assert by_property(report)["values.output"].outcome == "passed"


# Errors do not hide what is right


def _raising(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
    if state and config.num_layers > 1:
        raise ValueError("no state for a stack")
    return forward(x, *state)


def test_an_option_that_raises_does_not_hide_that_all_else_is_right() -> None:
    settings = Settings(cases=60, shrink=False, only=("smoke", "values", "layout"))
    report = conform(around(_raising), settings)
    verdicts = [v for v in report.verdicts if v.outcome == "error"]
    assert {v.property for v in verdicts} >= {"values.output", "layout.shapes", "layout.dtypes"}
    verdict = by_property(report)["layout.shapes"]
    assert verdict.scope is not None
    assert verdict.scope.wherever == ("initial_state", "layers")
    assert verdict.scope.right > verdict.scope.cases / 2
    assert verdict.scope.wrong == 0
    assert verdict.cases == verdict.scope.right


def test_an_error_on_every_call_is_not_asked_for_ever() -> None:
    calls: list[int] = []

    def broken(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise ValueError("only once")
        return forward(x, *state)

    report = conform(around(broken), Settings(cases=100, shrink=False, only=("smoke", "layout.shapes")))
    assert by_property(report)["layout.shapes"].scope is None
    assert len(calls) < 40


def test_the_traits_of_an_error_are_those_that_no_right_case_has_together() -> None:
    texts = (
        "layers=2 L=2 N=1",
        "layers=3 bidirectional L=1 N=2",
        "layers=2 L=3 N=3 state=h",
        "layers=2 L=1 N=1 no-bias",
    )
    erred = {traits(parse(f"I=1 H=1 {text}")) for text in texts}
    right = {traits(Recipe(L=2)), traits(Recipe(state="both"))}
    assert wherever(erred, right) == ("layers",)
    assert wherever(erred, {*right, traits(Recipe(layers=2, view="strided"))}) == ("layers", "not view")
    assert wherever(set(list(erred)[:2]), right) == (), "two cases have much in common by chance"
    assert wherever(erred, set()) == ()


def test_the_adapter_is_not_broken_where_only_a_later_case_fails() -> None:
    def no_state(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        if state:
            raise ValueError("no state")
        return forward(x)

    found = by_property(conform(around(no_state), Settings(cases=0, shrink=False, only=("smoke", "values.output"))))
    assert found["smoke.runs"].outcome == "passed"
    verdict = found["values.output"]
    assert verdict.outcome == "error"
    assert verdict.scope is not None
    assert verdict.scope.wherever == ("initial_state",)


# Not run


def test_what_was_left_out_since_its_ground_is_wrong_says_where_that_is_told() -> None:
    def wrong(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return output + 1, finals

    settings = Settings(cases=5, shrink=False, only=("smoke", "values.output", "parameters"))
    report = conform(around(wrong, Capabilities()), settings)
    facts = [v.fact for v in report.verdicts if v.outcome == Outcome.NOT_RUN]
    assert facts
    assert any(isinstance(fact, Discarded) and fact.cases and fact.see for fact in facts)
    told = next(v.message for v in report.verdicts if isinstance(v.fact, Discarded))
    assert "what it builds on is wrong already: see " in told
    # What is expected to fail is wrong all the same.
    known = Capabilities(expected_failures={v.property: "known" for v in report.bad})
    again = conform(around(wrong, known), settings)
    assert not again.bad
    assert [v.fact for v in again.verdicts if v.outcome == Outcome.NOT_RUN] == facts


def test_a_missing_guard_is_no_error_of_the_values(unguarded: str) -> None:
    report = check_backend(unguarded, cases=0, only=CHOSEN)
    [backend] = report.backends
    assert backend.missing_guards
    assert not backend.bad
    assert {v.question for v in backend.missing_guards} == {GUARDS}
