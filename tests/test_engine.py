"""The engine: every failure is found, shrunk and kept apart from the others, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis.database import InMemoryExampleDatabase

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.backend import Backend
from conformance.cases.covering import fixed_set
from conformance.cases.recipe import parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform, replay
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, Params
from conformance.targets.find import find

Forward = Callable[..., Any]
WIDE = Capabilities(layers=True, bidirectional=True, dtypes=("float32", "float64"))
QUICK = Settings(cases=20)


def around(wrap: Callable[[Forward, LSTMConfig], Forward], capabilities: Capabilities = WIDE) -> Backend:
    """The NumPy backend with something around its calls."""
    right = find("numpy")
    return Backend("around", capabilities, lambda config, params: wrap(right.build(config, params), config))


def verdicts(report: BackendReport) -> dict[str, Verdict]:
    return {verdict.property: verdict for verdict in report.verdicts}


def failing(report: BackendReport) -> set[str]:
    return {verdict.property for verdict in report.verdicts if verdict.outcome == "failed"}


def test_a_right_backend_passes_everything_it_declares() -> None:
    report = conform(replace(find("numpy"), capabilities=WIDE), Settings(cases=5))
    assert report.conformant
    assert report.covered == report.combinations > 500
    assert report.margin is not None
    assert 0 < report.margin < 1


def test_the_same_seed_gives_the_same_report() -> None:
    """Whoever reads a report can run it again."""

    def zero_c(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, (h_n, c_n) = forward(x, *state)
            return output, (h_n, c_n * (config.hidden_size != 5))

        return wrapped

    first, second = (conform(around(zero_c), Settings(cases=5, only=("values", "purity"))) for _ in range(2))
    assert first.verdicts == second.verdicts
    assert {"values.c_n"} <= failing(first)


def _rare(forward: Forward, config: LSTMConfig) -> Forward:
    """Wrong only with three layers, in both directions and h_0 given alone."""

    def wrapped(x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        alone = state and state[0][0].any() and not state[0][1].any()
        return (output + 1e-3 if config.num_layers == 3 and config.bidirectional and alone else output), finals

    return wrapped


def test_a_failure_of_the_fixed_set_is_shrunk_to_what_it_needs() -> None:
    report = conform(around(_rare), Settings(cases=0, only=("values.output",)))
    verdict = verdicts(report)["values.output"]
    assert verdict.recipe is not None
    recipe = parse(verdict.recipe)
    assert (recipe.layers, recipe.bidirectional, recipe.state) == (3, True, "h")
    assert (recipe.I, recipe.H, recipe.L, recipe.N, recipe.dtype) == (1, 1, 1, 1, "float32")
    [(_, answer)] = replay(around(_rare), [recipe], Settings(only=("values.output",)))
    assert (answer.outcome, answer.fact) == (Outcome.FAILED, verdict.fact)


def test_two_defects_are_both_reported() -> None:
    """One must not hide the other: c_n is off everywhere, and long sequences lose their last step."""

    def both(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, (h_n, c_n) = forward(x, *state)
            if len(x) > 5:
                output[-1] = output[-2]
            return output, (h_n, c_n + 1)

        return wrapped

    chosen = ("values.c_n", "values.output", "layout.final-state")
    assert failing(conform(around(both), Settings(cases=20, only=chosen))) == set(chosen)


def test_an_exception_is_an_error_and_not_a_failure() -> None:
    def raising(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            if config.bidirectional:
                raise MemoryError("no room")
            return forward(x, *state)

        return wrapped

    found = verdicts(conform(around(raising), QUICK))
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
    def wrap(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, (h_n, c_n) = forward(x, *state)
            return returned(output, h_n, c_n)

        return wrapped

    report = conform(around(wrap), QUICK)
    found = verdicts(report)
    assert found["smoke.runs"].outcome == "error"
    assert said in found["smoke.runs"].message
    assert report.count(Outcome.NOT_RUN) == len(report.verdicts) - 1 - report.count(Outcome.NOT_DECLARED)
    assert not report.conformant


def test_results_that_cannot_be_compared_are_an_error_of_the_backend() -> None:
    """An array of strings is a NumPy array; whatever breaks while judging it must not bring the run down."""

    def words(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, (h_n, c_n) = forward(x, *state)
            return np.full(output.shape, "much"), (h_n, c_n)

        return wrapped

    found = verdicts(conform(around(words), QUICK))
    assert found["values.output"].outcome == "error"
    assert "could not be judged" in found["values.output"].message


def test_unsupported_within_what_is_declared_is_narrowed_and_not_passed() -> None:
    def narrow(forward: Forward, config: LSTMConfig) -> Forward:
        if config.bidirectional and config.num_layers > 1:
            raise Unsupported("stacks run in one direction only")
        return forward

    report = conform(around(narrow), Settings(cases=5, only=("smoke", "values")))
    found = verdicts(report)
    assert found["values.output"].outcome == "narrowed"
    assert "stacks run in one direction only" in found["values.output"].message
    assert report.covered < report.combinations
    assert report.conformant


def test_a_backend_that_supports_nothing_is_not_conformant() -> None:
    def nothing(forward: Forward, config: LSTMConfig) -> Forward:
        raise Unsupported("not today")

    assert not conform(around(nothing), QUICK).conformant


def test_expected_failures_are_strict() -> None:
    def zero_c(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, (h_n, c_n) = forward(x, *state)
            return output, (h_n, 0 * c_n)

        return wrapped

    reasons = {"values.c_n": "c_n is not kept, issue 12", "values.h_n": "was wrong once"}
    plain = Capabilities(expected_failures=reasons)
    report = conform(
        around(zero_c, plain), Settings(cases=5, only=("smoke", "values.c_n", "values.h_n", "layout.shapes"))
    )
    found = verdicts(report)
    assert found["values.c_n"].outcome == "expected failure"
    assert "issue 12" in found["values.c_n"].message
    assert found["values.h_n"].outcome == "unexpected pass"
    assert not report.conformant
    only_expected = replace(plain, expected_failures={"values.c_n": "c_n is not kept"})
    chosen = Settings(cases=5, only=("smoke", "values.c_n", "values.h_n"))
    assert conform(around(zero_c, only_expected), chosen).conformant


def test_an_expected_failure_of_an_unknown_property_is_an_error() -> None:
    wrong = Capabilities(expected_failures={"values.outptu": "?"})
    with pytest.raises(UsageError, match=r"values\.outptu") as caught:
        conform(around(lambda forward, config: forward, wrong), QUICK)
    assert "values.output" in caught.value.hint


def test_a_failure_that_depends_on_history_is_reported_with_its_calls() -> None:
    """Wrong only after a model with H = 9 has been called: the case alone passes, and the verdict says after what."""
    seen: list[int] = []

    def remembering(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, finals = forward(x, *state)
            spoiled = bool(seen) and seen[-1] == 9 and config.hidden_size != 9
            seen.append(config.hidden_size)
            return output + (1.0 if spoiled else 0.0), finals

        return wrapped

    verdict = verdicts(conform(around(remembering), Settings(cases=0, only=("smoke", "values.output"))))[
        "values.output"
    ]
    assert verdict.outcome == "failed"
    assert len(verdict.history) == 1
    assert "H=9" in verdict.history[0]
    assert "only after 1 earlier case" in verdict.message
    recipes = [parse(text) for text in (*verdict.history, verdict.recipe or "")]
    [(_, answer)] = replay(around(remembering), recipes, Settings(only=("values.output",)))
    assert answer.outcome == "failed"


def test_a_failure_that_does_not_come_back_is_still_a_failure() -> None:
    calls = 0

    def once(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            nonlocal calls
            calls += 1
            output, finals = forward(x, *state)
            return output + (calls == 30), finals

        return wrapped

    verdict = verdicts(conform(around(once), Settings(cases=5, only=("smoke", "values.output"))))["values.output"]
    assert verdict.outcome == "failed"
    assert "not deterministic" in verdict.message


def test_an_interruption_keeps_what_is_done_and_says_what_is_missing() -> None:
    calls = 0

    def interrupted(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 500:
                raise KeyboardInterrupt
            output, (h_n, c_n) = forward(x, *state)
            return output, (h_n, 0 * c_n)

        return wrapped

    report = conform(around(interrupted), QUICK)
    found = verdicts(report)
    assert not report.complete
    assert found["values.c_n"].outcome == "failed"
    assert found["smoke.runs"].outcome == "passed"
    assert found["layout.dtypes"].outcome == "not run"
    assert "interrupted after" in found["layout.dtypes"].message


def test_an_unavailable_backend_is_not_called() -> None:
    def build(config: LSTMConfig, params: Params) -> Forward:
        raise AssertionError

    report = conform(Backend("absent", WIDE, build, available=lambda: "no device"), QUICK)
    assert {verdict.outcome for verdict in report.verdicts} == {"unavailable"}
    assert {verdict.message for verdict in report.verdicts} == {"no device"}
    assert not report.available


def test_the_worst_error_is_kept_beside_the_minimal_one() -> None:
    """Shrinking makes a gross error look like rounding."""

    def growing(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, finals = forward(x, *state)
            return output + np.asarray(1e-6 * 10 ** min(x.shape[2], 5), output.dtype), finals

        return wrapped

    verdict = verdicts(conform(around(growing, Capabilities()), Settings(cases=20, only=("values.output",))))
    worst = verdict["values.output"].worst
    assert worst is not None
    assert worst > 1000
    assert "I=1" in (verdict["values.output"].recipe or "")


def test_counterexamples_are_kept_and_met_again_first() -> None:
    database = InMemoryExampleDatabase()
    calls: list[int] = []

    def large(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            output, finals = forward(x, *state)
            return (output + 1 if len(x) >= 30 else output), finals

        return wrapped

    def count(done: int, total: int) -> None:
        calls.append(done)

    chosen = Settings(cases=200, only=("smoke", "values.output"))
    fixed = len(fixed_set(around(large), 0))
    first = conform(around(large), chosen, database=database)
    second = conform(around(large), replace(chosen, seed=9), count, database)
    assert failing(first) == failing(second) == {"values.output"}
    assert second.cases == fixed + 1


def test_progress_comes_to_its_end() -> None:
    seen: list[tuple[int, int]] = []
    conform(
        around(lambda forward, config: forward),
        Settings(cases=10, only=("smoke", "layout.shapes")),
        lambda *done: seen.append(done),
    )
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_compiled_backend_sees_few_shapes() -> None:
    """Each new shape would cost it a compilation: sizes come from a small pool, in its failures too."""
    shapes: set[tuple[object, ...]] = set()

    def noting(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            shapes.add((config.input_size, config.hidden_size, x.shape))
            return forward(x, *state)

        return wrapped

    compiled = Capabilities(compiled=True)
    assert conform(around(noting, compiled), Settings(cases=40, exclude=("refusals",))).conformant
    assert len(shapes) < 60
    assert max(x[0] for _, _, x in shapes) < 10  # type: ignore[index]


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
    recipes = [parse(f"I=9 H=12 L=17 N=2 gain=10 seed={seed}") for seed in range(12)]
    for recipe in recipes:
        assert not any(answer.wrong for _, answer in replay(alone, [recipe], Settings(only=("values",))))


def test_whoever_ends_the_process_on_bad_input_has_refused_it() -> None:
    def ending(forward: Forward, config: LSTMConfig) -> Forward:
        def wrapped(x: Array, *state: Any) -> Any:
            if x.shape[-1] != config.input_size:
                raise SystemExit("bad input")
            return forward(x, *state)

        return wrapped

    report = conform(around(ending), Settings(cases=0, only=("refusals.feature-size",)))
    assert verdicts(report)["refusals.feature-size"].outcome == "passed"
