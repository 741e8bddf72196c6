"""The engine: every failure is found, shrunk and kept apart from the others, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from backends import WIDE, Forward, around, by_property
from hypothesis.database import InMemoryExampleDatabase

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.backend import Backend
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import parse
from conformance.engine.news import counting
from conformance.engine.plan import Settings, plan
from conformance.engine.sieve import conform, replay
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.properties import catalogue
from conformance.properties.model import registered
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, Params
from conformance.targets.find import find
from conformance.trials.signatures import Signatures, Unaffordable

QUICK = Settings(cases=20)


def failing(report: BackendReport) -> set[str]:
    return {verdict.property for verdict in report.verdicts if verdict.outcome == "failed"}


def output_verdict(backend: Backend, cases: int = 0) -> Verdict:
    """The verdict on the backend's output."""
    return by_property(conform(backend, Settings(cases, only=("smoke", "values.output"))))["values.output"]


def zero_c(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
    output, (h_n, c_n) = forward(x, *state)
    return output, (h_n, 0 * c_n)


def test_a_right_backend_passes_everything_it_declares() -> None:
    seen: list[tuple[int, int]] = []
    backend = replace(find("numpy"), capabilities=WIDE)
    # All groups are asked of the twin (test_properties.py) and, by `lstm-conformance run`, of the built-in backends.
    settings = Settings(cases=5, only=("smoke", "layout", "values", "state", "stack"))
    report = conform(backend, settings, counting(lambda *progress: seen.append(progress)))
    assert report.conformant
    assert report.covered == report.combinations > 0
    assert report.margin is not None
    assert 0 < report.margin < 1
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1], "progress comes to its end"


def test_the_same_seed_gives_the_same_report() -> None:
    settings = Settings(cases=5, only=("values.h_n", "values.c_n", "purity.repeat", "purity.no-leak"))
    first, second = (conform(around(zero_c), settings) for _ in range(2))
    assert first.verdicts == second.verdicts
    assert "values.c_n" in failing(first)


def test_a_failure_of_the_fixed_set_is_shrunk_to_what_it_needs() -> None:
    def rare(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        h_alone = state and state[0][0].any() and not state[0][1].any()
        return (output + 1e-3 if config.num_layers == 3 and config.bidirectional and h_alone else output), finals

    verdict = output_verdict(around(rare))
    assert verdict.recipe is not None
    recipe = parse(verdict.recipe)
    assert str(replace(recipe, edits=())) == "I=1 H=1 layers=3 bidirectional L=1 N=1 state=h"
    [(_, answer)] = replay(around(rare), [recipe], Settings(only=("values.output",)))
    assert (answer.outcome, answer.fact) == (Outcome.FAILED, verdict.fact)


def test_two_defects_are_both_reported() -> None:
    """One must not hide the other: c_n is off everywhere, and long sequences lose their last step."""

    def both(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        if len(x) > 5:
            output[-1] = output[-2]
        return output, (h_n, c_n + 1)

    chosen = ("values.c_n", "values.output", "layout.final-state")
    assert failing(conform(around(both), Settings(cases=20, only=chosen))) == set(chosen)


@pytest.mark.usefixtures("few_rows")
def test_an_exception_is_an_error_and_not_a_failure() -> None:
    def raising(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        if config.bidirectional:
            raise MemoryError("no room")
        return forward(x, *state)

    found = by_property(conform(around(raising), Settings(cases=5, only=("values.output", "sequence.chunks"))))
    assert found["values.output"].outcome == "error"
    assert "MemoryError: no room" in found["values.output"].message
    assert found["sequence.chunks"].outcome == "passed"


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda output, h, c: output, "numpy.ndarray"),
        (lambda output, h, c: (output, h), "numpy.ndarray as its second part"),
        (lambda output, h, c: (output.tolist(), (h, c)), "output as a list"),
        (lambda output, h, c: (output, h, c), "a tuple of 3"),
    ],
)
def test_a_broken_adapter_is_said_to_be_broken_and_nothing_else_runs(returned: Callable[..., Any], said: str) -> None:
    def broken(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        return returned(output, h_n, c_n)

    report = conform(around(broken), QUICK)
    smoke, *others = report.verdicts
    assert (smoke.property, smoke.outcome) == ("smoke.runs", "error")
    assert said in smoke.message
    assert {verdict.outcome for verdict in others} == {"not run", "not declared"}
    assert not report.conformant


def test_results_that_cannot_be_compared_are_an_error_of_the_backend() -> None:
    """An array of strings is a NumPy array; what breaks while judging it does not bring the run down."""

    def words(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return np.full(output.shape, "much"), finals

    verdict = output_verdict(around(words))
    assert verdict.outcome == "error"
    assert "could not be judged" in verdict.message


def test_unsupported_within_what_is_declared_is_narrowed_and_not_passed() -> None:
    def narrow(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        if config.bidirectional and config.num_layers > 1:
            raise Unsupported("stacks run in one direction only")
        return forward(x, *state)

    report = conform(around(narrow), Settings(cases=5, only=("smoke", "values")))
    verdict = by_property(report)["values.output"]
    assert verdict.outcome == "narrowed"
    assert verdict.cases
    assert "stacks run in one direction only" in verdict.message
    assert report.covered < report.combinations
    assert report.conformant


def test_a_backend_that_supports_nothing_is_not_conformant() -> None:
    def nothing(*call: Any) -> Any:
        raise Unsupported("not today")

    assert not conform(around(nothing), Settings(cases=0, only=("smoke", "values"))).conformant


def test_expected_failures_are_strict() -> None:
    settings = Settings(cases=5, only=("smoke", "values.c_n", "values.h_n"))
    known = Capabilities(expected_failures={"values.c_n": "c_n is not kept, issue 12"})
    report = conform(around(zero_c, known), settings)
    assert by_property(report)["values.c_n"].outcome == "expected failure"
    assert "issue 12" in by_property(report)["values.c_n"].message
    assert report.conformant

    mended = replace(known, expected_failures={**known.expected_failures, "values.h_n": "was wrong once"})
    report = conform(around(zero_c, mended), settings)
    assert by_property(report)["values.h_n"].outcome == "unexpected pass"
    assert not report.conformant


def test_an_expected_failure_of_an_unknown_property_is_an_error() -> None:
    wrong = Capabilities(expected_failures={"values.outptu": "?"})
    with pytest.raises(UsageError, match=r"values\.outptu") as caught:
        conform(around(zero_c, wrong), QUICK)
    assert "values.output" in caught.value.hint


def test_a_failure_that_depends_on_history_is_reported_with_its_calls() -> None:
    """Wrong only after a model with H = 9 has been called: the case alone passes."""
    before: list[int] = []

    def remembering(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        spoiled = before[-1:] == [9] and config.hidden_size != 9
        before.append(config.hidden_size)
        return output + spoiled, finals

    verdict = output_verdict(around(remembering))
    assert verdict.outcome == "failed"
    [earlier] = map(parse, verdict.history)
    assert earlier.H == 9
    assert "only after 1 earlier case" in verdict.message
    recipes = [earlier, parse(verdict.recipe or "")]
    [(_, answer)] = replay(around(remembering), recipes, Settings(only=("values.output",)))
    assert answer.outcome == "failed"


def test_a_failure_that_does_not_come_back_is_still_a_failure() -> None:
    calls: list[Array] = []

    def once(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        calls.append(x)
        output, finals = forward(x, *state)
        return output + (len(calls) == 30), finals

    verdict = output_verdict(around(once), cases=5)
    assert verdict.outcome == "failed"
    assert "not deterministic" in verdict.message


def test_an_interruption_keeps_what_is_done_and_says_what_is_missing() -> None:
    calls: list[Array] = []

    def interrupted(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        calls.append(x)
        if len(calls) == 500:
            raise KeyboardInterrupt
        return zero_c(forward, config, x, *state)

    report = conform(around(interrupted), QUICK)
    found = by_property(report)
    assert not report.complete
    assert found["values.c_n"].outcome == "failed"
    assert found["smoke.runs"].outcome == "passed"
    assert found["layout.dtypes"].outcome == "not run"
    assert "interrupted after" in found["layout.dtypes"].message


def test_an_unavailable_backend_is_not_called() -> None:
    def build(config: LSTMConfig, params: Params) -> Forward:
        raise AssertionError

    report = conform(Backend("absent", WIDE, build, available=lambda: "no device"), QUICK)
    assert {(verdict.outcome, verdict.message) for verdict in report.verdicts} == {("unavailable", "no device")}
    assert not report.available


def test_the_worst_error_is_kept_beside_the_minimal_one() -> None:
    """Shrinking makes a gross error look like rounding."""

    def growing(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return output + np.asarray(1e-6 * 10 ** min(x.shape[2], 5), output.dtype), finals

    verdict = output_verdict(around(growing, Capabilities()), cases=20)
    assert verdict.worst is not None
    assert verdict.worst > 1000
    assert parse(verdict.recipe or "").I == 1


def test_counterexamples_are_kept_and_met_again_first() -> None:
    def large(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return output + (len(x) >= 30), finals

    database, backend = InMemoryExampleDatabase(), around(large)
    chosen = Settings(cases=200, only=("smoke", "values.output"))
    first = conform(backend, chosen, database=database)
    second = conform(backend, replace(chosen, seed=9), database=database)
    assert failing(first) == failing(second) == {"values.output"}
    assert second.cases == len(fixed_set(backend, 9)) + 1


Met = set[tuple[object, ...]]


def _counting(backend: Backend, met: Met) -> Backend:
    """A backend that notes the signature of each call: its config, the arguments that are given, their shapes."""

    def build(config: LSTMConfig, params: Params) -> Any:
        model: Any = backend.build(config, params)

        def noted(x: Array, state: Any = None, lengths: Any = None) -> None:
            given = *(state or (None, None)), lengths
            shapes = [None if part is None else (part.shape, part.dtype.name) for part in given]
            met.add((config, x.shape, x.dtype.name, *shapes))

        def forward(x: Array, *state: Any, **lengths: Any) -> Any:
            noted(x, *state, **lengths)
            return model(x, *state, **lengths)

        def vjp(x: Array, state: Any, lengths: Any, *cotangents: Array) -> Any:
            noted(x, state, lengths)
            return model.vjp(x, state, lengths, *cotangents)

        called: Any = partial(forward)
        called.vjp = vjp
        if hasattr(model, "load"):
            called.load = model.load
        return called

    return replace(backend, build=build)


_OPTIONS: dict[str, Any] = dict.fromkeys(("no_bias", "batch_first", "unbatched", "projection", "lengths"), True)
_STACK: dict[str, Any] = dict.fromkeys(("layers", "bidirectional"), True)


@pytest.mark.usefixtures("fewer_steps")
@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 40),
        ({**_OPTIONS, "gradients": True, "dtypes": ("float32", "float64")}, 40),
        ({**_OPTIONS, **_STACK, "gradients": True, "dtypes": ("float32", "float64")}, 80),
    ],
    ids=["plain", "one layer", "everything"],
)
def test_a_backend_that_compiles_is_asked_all_from_few_signatures(
    options: dict[str, Any], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether each property is asked shows in its first cases.
    for id, p in catalogue().items():
        monkeypatch.setitem(registered, id, replace(p, limit=min(p.limit or 2, 2)))
    met: Met = set()
    judged = replace(find("numpy"), capabilities=Capabilities(compiled=True, **options))
    report = conform(_counting(judged, met), Settings(cases=0, shrink=False))
    # Options that are not declared may take ten more.
    assert len(met) == report.signatures <= limit + 10
    free = replace(judged, capabilities=replace(judged.capabilities, compiled=False))
    asked = {p.id for p in plan(free, Settings()).asked}
    assert {v.property for v in report.verdicts if v.outcome == "passed"} == asked


def test_options_that_are_not_declared_take_no_signature_from_what_is() -> None:
    signatures = Signatures(replace(find("numpy"), capabilities=Capabilities(compiled=True)))
    signatures.asking("refusals.undeclared")
    afforded = [_affords(signatures, ("option", k)) for k in range(30)]
    assert 5 < sum(afforded) < 30
    signatures.asking("values.output")
    free = Signatures(replace(find("numpy"), capabilities=Capabilities(compiled=True)))
    free.asking("values.output")
    rest, all_ = ([_affords(s, k) for k in range(60)] for s in (signatures, free))
    assert rest == all_
    assert True in rest
    assert False in rest


def _affords(signatures: Signatures, signature: Hashable) -> bool:
    try:
        signatures.admit(signature)
    except Unaffordable:
        return False
    return True


@pytest.mark.usefixtures("fewer_steps")
def test_a_failure_of_a_backend_that_compiles_is_shrunk_within_few_signatures() -> None:
    met: Met = set()

    def wrong(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return output + (config.num_layers > 1), finals

    declared = Capabilities(layers=True, bidirectional=True, compiled=True)
    report = conform(_counting(around(wrong, declared), met), Settings(cases=20, only=("values", "sizes")))
    assert "values.output" in failing(report)
    assert len(met) <= 80


def test_final_states_alone_are_judged_without_demanding_equal_bits_of_several_runs() -> None:
    """Its outputs come from runs on x[:t], which a kernel chosen by length computes in another order."""
    right = find("numpy")

    def build(config: LSTMConfig, params: Params) -> Forward:
        plain = right.build(config, params)
        order = np.random.default_rng(0).permutation(config.input_size)
        mixed = {k: v[:, order] if k.startswith("weight_ih") else v for k, v in params.items()}
        other = right.build(config, {k: np.ascontiguousarray(v) for k, v in mixed.items()})

        def forward(x: Array, *state: Any) -> Any:
            _, (h_n, _) = plain(x, *state) if len(x) % 2 else other(np.ascontiguousarray(x[..., order]), *state)
            return None, (h_n, None)

        return forward

    alone = Backend("alone", Capabilities(returns=("h_n",)), build)
    for seed in range(12):
        recipe = parse(f"I=9 H=12 L=17 N=2 gain=10 seed={seed}")
        assert not any(answer.wrong for _, answer in replay(alone, [recipe], Settings(only=("values",))))


def test_to_end_the_process_on_bad_input_is_to_refuse_it() -> None:
    def ending(forward: Forward, config: LSTMConfig, x: Array, *state: Any) -> Any:
        if x.shape[-1] != config.input_size:
            raise SystemExit("bad input")
        return forward(x, *state)

    report = conform(around(ending), Settings(cases=0, only=("refusals.feature-size",)))
    assert [verdict.outcome for verdict in report.verdicts] == ["passed"]
