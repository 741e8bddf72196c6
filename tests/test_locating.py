"""What no formula explains: what stands in the place of the right values, what does not hold, what is one cause."""

from __future__ import annotations

from itertools import count
from typing import Any

from conformance.backend import Backend, Capabilities
from conformance.diagnosis.diagnose import diagnose
from conformance.diagnosis.locating import TELLING, TELLING_ALONE
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Cause, Degree, Outcome, Trait
from conformance.faults import FAULTS, backend_of
from conformance.faults.twin import Forward, Twin
from conformance.properties import GROUPS, catalogue
from conformance.report import where
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, LSTMConfig, Params, State


def located(backend: Backend, *only: str) -> list[Cause]:
    report = conform(backend, Settings(0, quick=True, shrink=False, only=only))
    assert report.bad
    return [*diagnose(Here(backend), report, 8.0).causes]


def overwritten(config: LSTMConfig, params: Params) -> Forward:
    """Blocks of four steps are views of one buffer: the first holds the numbers of the second, if there is one."""
    forward = Twin().build(config, params)

    def call(*arguments: Any, **more: Any) -> tuple[Array, State]:
        output, state = forward(*arguments, **more)
        time = 1 if config.batch_first and output.ndim == 3 else 0
        steps = output.swapaxes(0, time).copy()
        if len(steps) > 4:
            again = steps[4:8]
            steps[: len(again)] = again
        return steps.swapaxes(0, time), state

    return call


def test_what_stands_where_something_else_belongs_is_told() -> None:
    [cause] = located(Backend("overwritten", Capabilities(), overwritten), "values.output")
    assert (cause.degree, cause.alterations) == (Degree.LOCATED, ())
    assert cause.conditions is not None
    assert cause.conditions.traits == (Trait("L", ">=", 5),)
    assert cause.place is not None
    assert cause.place.tensors == ("output",)
    [misplaced] = cause.place.misplaced
    assert (misplaced.source, misplaced.belongs[0] - misplaced.index[0]) == ("output", 4)
    assert misplaced.alike == misplaced.wrong
    assert "is what output[4, 0] should be" in where.located(cause.place, cause.conditions)


def narrowed(config: LSTMConfig, params: Params) -> Forward:
    """The output is too large with a projection to nine or more."""
    forward = Twin().build(config, params)

    def call(*arguments: Any, **more: Any) -> tuple[Array, State]:
        output, state = forward(*arguments, **more)
        return (output * 1.01 if config.proj_size >= 9 else output), state

    return call


def test_a_projection_wider_than_small_models_is_located() -> None:
    """The place is looked for in models of few units, which had a projection to more features than units."""
    backend, recipe = Backend("narrowed", Capabilities(projection=True), narrowed), "I=2 H=20 proj=10 L=2 N=2"
    report = BackendReport("narrowed", (Verdict("narrowed", "values.output", Outcome.FAILED, recipe=recipe),))
    assert diagnose(Here(backend), report, 8.0).causes


def off(config: LSTMConfig, params: Params) -> Forward:
    """Everything is a little more than it should be, with two layers."""
    forward = Twin().build(config, params)

    def call(*arguments: Any, **more: Any) -> tuple[Array, State]:
        output, (h_n, c_n) = forward(*arguments, **more)
        more_ = output.dtype.type(0.1 * (config.num_layers > 1))
        return output + more_ * output**2, (h_n + more_ * h_n**2, c_n + more_ * c_n**2)

    return call


def test_failures_under_the_same_conditions_are_one_cause_and_nothing_is_called_misplaced() -> None:
    causes = located(Backend("off", Capabilities(layers=True), off), "values.h_n", "values.c_n", "stack")
    assert len(causes) == 1
    assert {"values.h_n", "values.c_n"} <= {*causes[0].explains}
    assert causes[0].place is not None
    assert causes[0].place.misplaced == ()


def tiring(config: LSTMConfig, params: Params) -> Forward:
    """Each call of a model adds a little more to what it returns."""
    forward, calls = Twin().build(config, params), count()

    def call(*arguments: Any, **more: Any) -> tuple[Array, State]:
        output, final = forward(*arguments, **more)
        return output + output.dtype.type(0.01 * next(calls)), final

    return call


def test_a_property_that_says_by_itself_what_is_wrong_is_the_cause() -> None:
    [cause] = located(Backend("tiring", Capabilities(), tiring), "purity.repeat", "purity.no-leak")
    assert (cause.degree, cause.broken) == (Degree.LOCATED, "purity.repeat")
    assert cause.conditions is not None
    assert cause.conditions.traits == (Trait("earlier", ">=", 1),)


def test_what_tells_by_itself_is_there() -> None:
    assert {*TELLING, *TELLING_ALONE} <= {*catalogue(), *GROUPS}


def test_where_values_are_right_a_property_of_nan_says_what_is_wrong() -> None:
    [cause] = located(backend_of(FAULTS["nan-weights-cleaned"]), "nonfinite")
    assert cause.broken == "nonfinite.nan-weight"
