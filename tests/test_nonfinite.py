"""Non-finite values: what is found, what is not accused, and what may be refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import around, only

from conformance.backend import Backend, Capabilities
from conformance.bounds.forward import Finding
from conformance.cases.recipe import Recipe
from conformance.conventions.layouts import states
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Mismatch
from conformance.faults import DIFFERENT, FAULTS, Different, Fault, backend_of, twin_backend
from conformance.faults.fault import FULL, NONFINITE
from conformance.faults.nonfinite import infinity_hidden, nan_hidden
from conformance.faults.twin import Forward, Twin
from conformance.properties import catalogue
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.targets.find import find
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

GROUP = Settings(6, only=("nonfinite",), fixed=False, shrink=False)


def outcomes(backend: Backend, settings: Settings = GROUP) -> dict[str, str]:
    """Each property's outcome, with its message where it is bad."""
    verdicts = conform(backend, settings).verdicts
    return {v.property: v.message if v.outcome.bad else v.outcome for v in verdicts}


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.kind == NONFINITE], ids=lambda fault: fault.id)
def test_the_group_alone_catches_its_faults(fault: Fault) -> None:
    report = conform(backend_of(fault), replace(GROUP, cases=30, fixed=True, stop=True))
    assert report.bad


@pytest.mark.parametrize("different", DIFFERENT, ids=lambda different: different.id)
def test_a_different_lstm_is_not_accused(different: Different) -> None:
    found = outcomes(only(different.backend, "float32"))
    # A NaN within a single row of one step has nowhere to go.
    assert {"passed"} <= set(found.values()) <= {"passed", "not run"}


@pytest.mark.parametrize("name", ["numpy", "torch-nn", "torch-loop", "torch-nn-step"])
def test_a_built_in_backend_is_not_accused(name: str) -> None:
    assert set(outcomes(find(name)).values()) == {"passed"}


def test_to_refuse_is_an_answer() -> None:
    def careful(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        if not all(np.isfinite(value).all() for value in params.values()):
            raise ValueError("a parameter is not finite")

        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
            parts = (x, *(state or ()))
            if not all(np.isfinite(part).all() and (np.abs(part) < 1e9).all() for part in parts):
                raise ValueError("an argument is not finite")
            return forward(x, state, lengths)

        return call

    capabilities = replace(twin_backend().capabilities, dtypes=("float32",))
    assert set(outcomes(Backend("careful", capabilities, Twin(around=careful).build)).values()) == {"not run"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_that_is_not_finite_fails_where_a_finite_one_is_expected(value: float) -> None:
    """The stand-in's bound is finite and the comparison fails closed."""

    def spoilt(forward: Any, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        return (output if np.isfinite(x).all() else np.full_like(output, value)), finals

    backend = around(spoilt, Capabilities())
    report = conform(backend, replace(GROUP, only=("nonfinite.infinite-input",)))
    assert [v.outcome for v in report.verdicts] == ["failed"]


def test_the_stand_in_of_an_infinity_saturates_every_gate() -> None:
    """The bound of the step that reads it is the activations' allowance, not the rounding of a huge sum."""
    seen: list[Finding] = []

    class Watched(Trial):
        def derived(self, **changes: Any) -> Trial:
            return Watched(self.backend, replace(self.recipe, **changes), self)

        def require(self, findings: list[Finding], case: Any = None) -> None:
            seen.extend(findings)
            super().require(findings, case)

    for seed in range(10):
        recipe = Recipe(I=3, H=4, L=1, N=1, gain=10, seed=seed)
        catalogue()["nonfinite.infinite-input"].check(Watched(find("numpy"), recipe))
    assert {finding.tensor for finding in seen} == {"output", "h_n", "c_n"}
    assert max(float(finding.bound.max()) for finding in seen) < 1e-5


def test_rows_are_asked_apart_where_nn_lstm_keeps_them_apart() -> None:
    asked = catalogue()["nonfinite.nan-kept"].when
    assert asked(Recipe(L=100, N=9))
    assert asked(Recipe(L=8, N=2, dtype="bfloat16"))
    assert not asked(Recipe(L=17, dtype="bfloat16"))


def test_a_nan_in_the_wrong_place_is_named() -> None:
    backend = backend_of(FAULTS["nan-masked-by-zero"])
    recipes = (Recipe(I=2, H=3, L=5, N=3, ragged=True, seed=seed) for seed in range(20))

    def found(recipe: Recipe) -> str:
        try:
            catalogue()["nonfinite.nan-kept"].check(Trial(backend, recipe))
        except Violation as violation:
            return str(violation)
        return ""

    messages = {found(recipe) for recipe in recipes} - {""}
    assert messages
    assert all(re.fullmatch(r"output\[\d, \d, \d\] is nan where the equations give 0", text) for text in messages)


@pytest.mark.parametrize("part", ["h_0", "c_0"])
def test_a_nan_in_one_part_of_the_state_alone_is_asked(part: str) -> None:
    backend = Backend("reset", FULL, Twin(transform=states(lambda config, value: nan_hidden(value), part)).build)
    assert outcomes(backend, replace(GROUP, cases=12, only=("nonfinite.nan-state",)))["nonfinite.nan-state"] != "passed"


@pytest.mark.parametrize("part", ["h_0", "c_0"])
def test_an_infinity_in_one_part_of_the_state_alone_is_asked(part: str) -> None:
    hidden = Twin(transform=states(lambda config, value: infinity_hidden(config, value), part))
    told = outcomes(Backend("hidden", FULL, hidden.build), replace(GROUP, only=("nonfinite.infinite-state",)))
    assert f"with an infinite {part}[" in told["nonfinite.infinite-state"]


def test_a_nan_that_follows_from_an_earlier_one_is_not_what_is_told() -> None:
    """In reverse the first element in memory is the last one read, whose expectation is NaN by then."""

    def spoilt(forward: Any, config: LSTMConfig, x: Array, *state: Any) -> Any:
        output, finals = forward(x, *state)
        output[..., config.hidden_size :] = np.nan
        return output, finals

    backend = around(spoilt, Capabilities(bidirectional=True))
    trial = Trial(backend, Recipe(I=2, H=3, L=5, N=2, bidirectional=True, seed=1))
    with pytest.raises(Violation) as raised:
        trial.require_right()
    fact = raised.value.fact
    assert isinstance(fact, Mismatch)
    assert np.isfinite([fact.expected, fact.bound]).all()


def test_a_case_that_is_not_finite_by_itself_says_nothing() -> None:
    trial = Trial(find("numpy"), Recipe(I=2, H=3, L=2, N=2, seed=1))
    with pytest.raises(Discard):
        trial.require_right(replace(trial.case, x=np.full_like(trial.case.x, np.nan)))
