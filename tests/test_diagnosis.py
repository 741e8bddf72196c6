"""The diagnosis names the cause of a mistake, also in a scope that the catalogue lacks, and confirms nothing wrong."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from programs import HOSTILE

from conformance.backend import Backend
from conformance.cases.case import realise
from conformance.cases.cotangents import draw
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.diagnose import diagnose
from conformance.diagnosis.library import twin_of
from conformance.diagnosis.probes import Call
from conformance.diagnosis.session import answered
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.reply import Reply
from conformance.engine.sieve import conform
from conformance.facts import Alteration, Degree, Diagnosis, Outcome
from conformance.faults import DIFFERENT, FAULTS, backend_of, twin_backend
from conformance.faults.fault import FULL
from conformance.faults.twin import Forward, Twin
from conformance.isolation.parent import Isolated
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.targets.find import find

#: Enough to fail, and no more.
FEW = Settings(0, quick=True, shrink=False, only=("values.output", "values.h_n", "values.c_n", "lengths.padding"))


def altered(*alterations: Alteration) -> Backend:
    twin = twin_of(alterations)
    assert twin is not None
    return Backend("altered", FULL, twin.build)


def found(backend: Backend, without: frozenset[str] = frozenset(), seconds: float = 60.0) -> Diagnosis:
    report = conform(backend, replace(FEW, stop=True))
    assert report.bad
    return diagnose(Here(backend), report, seconds, without=without)


def test_weights_that_models_share_are_one_cause_of_all_that_they_spoil() -> None:
    backend = altered(Alteration("stale-by-config"))
    report = conform(backend, replace(FEW, only=("stack.composition", "parameters.fresh", "purity.two-models")))
    assert len(report.bad) == 3
    diagnosis = diagnose(Here(backend), report, 60.0)
    [cause] = diagnosis.causes
    assert (cause.degree, cause.alterations) == (Degree.CONFIRMED, (Alteration("stale-by-config"),))
    assert not diagnosis.remaining


def names(diagnosis: Diagnosis) -> list[Alteration]:
    return [one for cause in diagnosis.causes for one in cause.alterations]


@pytest.mark.parametrize(
    "alteration",
    [
        Alteration("gate-order-iofg"),
        # Not in the catalogue: another order, a scope of one tensor, of a place, and of both.
        Alteration("gate-order-gofi"),
        Alteration("gate-order-figo", ("weight_hh",)),
        Alteration("input-weights-transposed", ("reverse",)),
        Alteration("parameters-ignored", ("bias_ih", "upper-layers")),
        Alteration("candidate-linear", ("top-layer",)),
        Alteration("first-layer-state-for-all", ("c_0",)),
        Alteration("c-0-as-h-0", ("without-lengths",)),
        Alteration("lengths-flip-whole-unflip-whole"),
    ],
    ids=str,
)
def test_one_mistake_is_named_first_and_confirmed(alteration: Alteration) -> None:
    backend = altered(alteration)
    [cause, *more] = found(backend).causes
    assert (cause.degree, more) == (Degree.CONFIRMED, [])
    assert cause.explained == cause.tried
    assert alteration in (*cause.alterations, *(one for several in cause.alternatives for one in several))


@pytest.mark.parametrize(
    ("fault", "property"),
    [
        # Values that code reads something off, a size, and earlier calls.
        ("equal-biases-once", "parameters.equal"),
        ("no-state-past-256", "sizes.aligned"),
        ("lengths-stay", "lengths.after-others"),
        ("state-leaks", "purity.no-leak"),
    ],
)
def test_a_mistake_that_no_plain_call_shows_is_named_and_confirmed(fault: str, property: str) -> None:
    backend = backend_of(FAULTS[fault])
    report = conform(backend, Settings(0, quick=True, shrink=False, stop=True, only=(property,)))
    [cause] = diagnose(Here(backend), report, 60.0).causes
    assert (cause.degree, cause.alterations) == (Degree.CONFIRMED, (Alteration(fault),))


def test_calls_before_are_of_the_same_model_where_weights_are_equal() -> None:
    judge = Here(backend_of(FAULTS["state-leaks"]))
    first, other = (realise(parse(f"I=2 H=3 L=2 N=2 seed={seed}")) for seed in (1, 2))
    same = replace(other, params=first.params)
    fresh, after = answered(judge, Call(first)), answered(judge, Call(first, before=(Call(same),)))
    assert fresh.result is not None
    assert after.result is not None
    assert fresh.result.h_n is not None
    assert after.result.h_n is not None
    assert not np.array_equal(fresh.result.h_n, after.result.h_n)
    apart = answered(judge, Call(first, before=(Call(other),)))
    assert apart.result is not None
    assert apart.result.h_n is not None
    assert np.array_equal(fresh.result.h_n, apart.result.h_n)


def test_two_mistakes_do_not_hide_each_other() -> None:
    both = {Alteration("gate-order-iofg"), Alteration("reverse-not-flipped-back")}
    diagnosis = found(altered(*both))
    assert {*names(diagnosis)} == both
    assert {cause.degree for cause in diagnosis.causes} == {Degree.CONFIRMED}


def test_a_cause_explains_the_properties_that_fail_for_it() -> None:
    backend = altered(Alteration("cell-runs-on"))
    report = conform(backend, FEW)
    diagnosis = diagnose(Here(backend), report, 60.0)
    failed = {verdict.property for verdict in report.bad}
    assert {id for cause in diagnosis.causes for id in cause.explains} == failed
    assert diagnosis.remaining == ()


def test_without_its_own_hypothesis_nothing_wrong_is_confirmed() -> None:
    fault = FAULTS["leaky-forget"]
    diagnosis = found(backend_of(fault), frozenset({fault.id}), 8.0)
    assert all(cause.degree != Degree.CONFIRMED for cause in diagnosis.causes)


def accused(backend: Backend) -> BackendReport:
    """The report of a right backend, in which a failure is invented."""
    verdict = Verdict(backend.name, "values.output", Outcome.FAILED, recipe="I=2 H=3 L=3 N=2")
    return BackendReport(backend.name, (verdict,))


@pytest.mark.parametrize("backend", [twin_backend(), DIFFERENT[0].backend], ids=lambda one: one.name)
def test_a_right_backend_has_no_cause(backend: Backend) -> None:
    assert names(diagnose(Here(backend), accused(backend), 60.0)) == []


def test_a_backend_without_failures_is_asked_nothing() -> None:
    diagnosis = diagnose(Here(twin_backend()), BackendReport("twin", ()))
    assert (diagnosis.causes, diagnosis.calls) == ((), 0)


def test_the_time_limit_holds_and_what_was_not_tried_is_named() -> None:
    def build(config: LSTMConfig, params: Params) -> Forward:
        forward = Twin().build(config, params)

        def slow(*arguments: Any, **more: Any) -> tuple[Array, State]:
            time.sleep(0.02)
            output, state = forward(*arguments, **more)
            return output + np.cos(output).astype(output.dtype), state

        return slow

    backend = Backend("slow", FULL, build)
    diagnosis = diagnose(Here(backend), accused(backend), 1.0)
    assert diagnosis.untried
    assert diagnosis.calls < 200


def test_a_child_gives_the_reply_that_this_process_gives() -> None:
    recipe = parse("I=3 H=4 layers=2 bidirectional L=3 N=2 state=both ragged seed=5")
    case = realise(recipe)
    judge = Isolated("numpy")
    try:
        for cotangents in (None, draw(case, 3)):
            here, there = Here(find("numpy")).call(case, cotangents), judge.call(case, cotangents)
            assert _equal(here, there)
    finally:
        judge.close()


def _equal(one: Reply, other: Reply) -> bool:
    assert one.result is not None
    assert other.result is not None
    results = all(np.array_equal(a, b) for a, b in zip(one.result, other.result, strict=True))  # type: ignore[arg-type]
    ours, theirs = one.gradients or {}, other.gradients or {}
    return results and ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


def test_a_call_that_ends_the_process_is_a_reply_that_says_so() -> None:
    judge = Isolated(f"{HOSTILE}:always")
    try:
        reply = judge.call(realise(Recipe(I=1, H=1)))
        assert reply.result is None
        assert reply.fact is not None
    finally:
        judge.close()


def test_a_tensor_is_called_right_only_where_a_wrong_call_shows_it() -> None:
    assert {"output", "c_n"} <= {*diagnose(Here(altered(Alteration("h-n-zeros"))), told_of("h-n-zeros"), 60.0).right}
    # No call shows a right backend to be wrong: nothing is said of its tensors.
    assert not {"output", "h_n", "c_n"} & {*diagnose(Here(twin_backend()), accused(twin_backend()), 60.0).right}


def told_of(fault: str) -> BackendReport:
    return conform(altered(Alteration(fault)), FEW)
