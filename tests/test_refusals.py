"""Refusals: wrong shapes that fit by force, and which dtype an answer may have been computed in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import around

from conformance.backend import Capabilities, Unsupported
from conformance.cases.recipe import Recipe
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of
from conformance.properties import catalogue
from conformance.properties.refusals.shared import ones, reordered, with_ones
from conformance.spec import LSTMConfig
from conformance.targets.find import find
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial


def test_one_row_for_several_of_the_state_is_asked_of_what_compiles_too() -> None:
    wrong = backend_of(FAULTS["x-of-one-row"])
    compiled = replace(wrong, capabilities=replace(wrong.capabilities, compiled=True))
    for seed in range(3):
        report = conform(compiled, Settings(0, seed=seed, only=("refusals.batch-mismatch",)))
        assert {v.property: v.outcome for v in report.verdicts}["refusals.batch-mismatch"] == "failed"


def test_wrong_shapes_keep_the_numbers_or_broadcast() -> None:
    part = np.arange(6.0).reshape(1, 2, 3)
    for wrong in (reordered(part), with_ones(part)):
        assert {value.size for value in wrong.values()} == {part.size}
    for wrong in ones(part).values():
        assert np.broadcast_to(wrong, part.shape).shape == part.shape


@pytest.mark.parametrize("name", ["numpy", "torch-nn", "torch-loop", "torch-cell"])
def test_a_built_in_backend_refuses_them_all(name: str) -> None:
    report = conform(find(name), Settings(20, seed=5, only=("refusals",), fixed=False, shrink=False))
    assert not report.bad


def test_it_is_told_which_part_was_accepted() -> None:
    only = Settings(30, only=("refusals.broadcast-state",), shrink=False)
    [verdict] = conform(backend_of(FAULTS["c-0-of-one-unit"]), only).verdicts
    assert verdict.message.startswith("a c_0 with axis 2 of one")


def test_cotangents_are_told_by_their_results() -> None:
    [verdict] = conform(
        backend_of(FAULTS["cotangent-rows-cut"]), Settings(30, only=("refusals.cotangents",), shrink=False)
    ).verdicts
    assert "with a row too many" in verdict.message


def _computed_in(dtype: str, off: float = 0.0) -> Any:
    """A float64 model that answers an x of float32 in ``dtype``; ``off`` is its relative error."""

    def call(forward: Any, config: LSTMConfig, x: Any, *state: Any) -> Any:
        if config.dtype != "float64" or x.dtype == "float64":
            return forward(x, *state)
        output, (h, c) = forward(x.astype("float64"), *state)
        return output.astype(dtype) * (1 + off), (h.astype(dtype), c.astype(dtype))

    return around(call, Capabilities(dtypes=("float64",)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_answer_in_either_dtype_is_right(dtype: str) -> None:
    trial = Trial(_computed_in(dtype), Recipe(I=3, H=4, L=3, N=2, dtype="float64", seed=1))
    catalogue()["refusals.input-dtype"].check(trial)


def test_of_a_wrong_answer_the_dtype_is_told() -> None:
    trial = Trial(_computed_in("float32", off=1e-3), Recipe(I=3, H=4, L=3, N=2, dtype="float64", seed=1))
    with pytest.raises(Violation, match="with an x of float32 for a model of float64"):
        catalogue()["refusals.input-dtype"].check(trial)


def test_a_declared_call_that_is_broken_is_no_option_accepted() -> None:
    def call(forward: Any, config: LSTMConfig, x: Any, *state: Any) -> Any:
        if config.num_layers > 1 or config.bidirectional or config.proj_size:
            raise Unsupported("one layer and direction")
        output, states = forward(x, *state)
        return np.squeeze(output), states

    squeezing = around(
        call, Capabilities(no_bias=True, unbatched=True, batch_first=True, dtypes=("float32", "float64"))
    )
    catalogue()["refusals.undeclared"].check(Trial(squeezing, Recipe(I=1, H=1, L=1, N=1)))


def test_an_option_that_is_accepted_and_ignored_is_told() -> None:
    def call(forward: Any, config: LSTMConfig, x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        return output, (h_n[:1], c_n[:1])

    with pytest.raises(Violation, match=r"layers is not declared, yet accepted.*tensor='h_n'"):
        catalogue()["refusals.undeclared"].check(Trial(around(call, Capabilities()), Recipe(I=2, H=2, L=2, N=2)))


def test_where_each_call_is_compiled_an_option_that_is_right_does_not_hide_one_that_is_ignored() -> None:
    def call(forward: Any, config: LSTMConfig, x: Any, state: Any = None, lengths: Any = None) -> Any:
        return forward(x, state)

    declared = Capabilities(layers=True, bidirectional=True, no_bias=True, compiled=True)
    settings = Settings(100, only=("refusals.undeclared",), shrink=False)
    [verdict] = conform(around(call, declared), settings).verdicts
    assert verdict.message.startswith("lengths is not declared, yet accepted")
