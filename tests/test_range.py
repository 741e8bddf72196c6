"""Where a correct pass leaves its dtype's range nothing is said, and nothing else is left unsaid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backends import Forward, margin

from conformance.backend import Backend, Capabilities
from conformance.bounds.forward import Expectation, Finding, finding
from conformance.bounds.rounding import EXACT, Approx, Arithmetic, arithmetic, dot
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.faults import DIFFERENT
from conformance.properties import catalogue
from conformance.reference.backward import Gradients
from conformance.report.english import sentence
from conformance.spec import Array, LSTMConfig, Params, Slot
from conformance.targets.find import find
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

#: The first is beyond float32 after some thirty steps back, the second in both directions, each in the other's taps.
OVERFLOW = "I=8 H=17 no-bias proj=8 L=400 N=1 fill=sparse gain=10 seed=564469"
BOTH_WAYS = "I=1 H=1 bidirectional L=60 N=1 state=both fill=subnormal gain=20 seed=227709"

#: All but one whose own case is the same for every recipe.
GRADIENTS = sorted(id for id in catalogue() if id.startswith("gradients.") and id != "gradients.many-steps")


def declared(dtype: str, kind: str = "ieee") -> Arithmetic:
    single = arithmetic(dtype, {dtype: kind})
    assert single is not None
    return single


def number(value: Any, dtype: str = "float32") -> Approx:
    return Approx(np.asarray(value, np.float64), EXACT, declared(dtype))


def check(id: str, trial: Trial) -> str:
    """What becomes of a property on a trial."""
    try:
        catalogue()[id].check(trial)
    except Discard:
        return "discarded"
    except Violation as violation:
        return f"failed: {sentence(violation.fact)}"
    return "passed"


@pytest.mark.parametrize("name", ["torch-nn", "torch-loop", "different"])
@pytest.mark.parametrize("text", [OVERFLOW, BOTH_WAYS])
def test_adjoints_beyond_the_range_accuse_nobody(text: str, name: str) -> None:
    backend = DIFFERENT[0].backend if name == "different" else find(name)
    trial = Trial(backend, parse(text))
    asked = GRADIENTS if text == BOTH_WAYS else ["gradients.zeros", "gradients.linear"]
    if name == "torch-loop":
        # Its own loop over many steps takes ten times as long: the two others are asked about them.
        asked = [id for id in asked if id not in ("gradients.large", "gradients.sweep", "gradients.long")]
    found = {id: check(id, trial) for id in asked if catalogue()[id].when(trial.recipe)}
    assert not {id: outcome for id, outcome in found.items() if outcome.startswith("failed")}
    assert "passed" in found.values()


def spoiled(spoil: Callable[[Gradients], object]) -> Backend:
    """torch-nn, with some gradients replaced."""
    right = find("torch-nn")

    def build(config: LSTMConfig, params: Params) -> Forward:
        forward: Any = right.build(config, params)

        def vjp(*arguments: Any) -> Any:
            result, grads = forward.vjp(*arguments)
            grads = {name: np.array(value) for name, value in grads.items()}
            spoil(grads)
            return result, grads

        def call(*arguments: Any, **more: Any) -> Any:
            return forward(*arguments, **more)

        call.vjp = vjp  # type: ignore[attr-defined]
        return call

    return Backend("spoiled", right.capabilities, build)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l0_reverse", "x", "c_0"])
def test_what_is_not_finite_fails_beside_what_overflows(name: str, value: float) -> None:
    """Under a loss on h_n alone nothing of the very same recipe overflows."""

    def spoil(grads: Gradients) -> None:
        grads[name][...] = value

    assert check("gradients.h_n-loss", Trial(spoiled(spoil), parse(BOTH_WAYS))).startswith("failed")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gradient_of_nothing_but_nan_is_not_its_own_excuse(layers: int) -> None:
    """Each direction's NaN spoils the other's adjoints, and yet none of them may be NaN."""

    def spoil(grads: Gradients) -> None:
        grads["x"][...] = np.nan

    trial = Trial(spoiled(spoil), parse(f"I=2 H=2 layers={layers} bidirectional L=5 N=2 seed=1"))
    found = check("gradients.preactivations", trial)
    assert found.startswith("failed")
    assert "expected nan" not in found


@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_output_that_is_not_a_number_fails_where_it_begins(bidirectional: bool) -> None:
    right = find("numpy")

    def build(config: LSTMConfig, params: Params) -> Forward:
        model = right.build(config, params)

        def forward(x: Array, *state: Any) -> Any:
            output, finals = model(x, *state)
            output[2:] = np.nan
            return output, finals

        return forward

    capabilities = Capabilities(bidirectional=True)
    assert margin(Backend("nan", capabilities, build), Recipe(bidirectional=bidirectional, L=5)) == np.inf


def test_a_trial_of_which_nothing_is_left_is_discarded() -> None:
    trial = Trial(find("numpy"), Recipe())
    unknown = Finding("output", 1, 0, 0, np.full((1, 1, 2), np.nan), np.zeros((1, 1, 2)), np.full((1, 1, 2), np.inf))
    known = replace(unknown, actual=np.zeros((1, 1, 2)), bound=np.array([[[np.inf, 1.0]]]))
    with pytest.raises(Discard):
        trial.require([unknown, unknown])
    trial.require([unknown, known])
    with pytest.raises(Violation):
        trial.require([unknown, replace(known, actual=unknown.actual)])


@np.errstate(invalid="ignore")
def test_beyond_the_range_nothing_is_known_ever_after() -> None:
    large = number([1e38, 1e38])
    product = large * number([2.0, 4.0])
    assert np.isfinite(product.error).tolist() == [True, False]
    zero = product * number([0.0, 0.0])
    for after in (zero, zero + number([1.0, 1.0]), zero.sigmoid(), zero.tanh()):
        assert np.isfinite(after.error).tolist()[1] is False
    # With weights of 0 too, 0 · ∞ is NaN: a matrix product spreads it.
    assert not np.isfinite(dot([(zero[None], np.array([[1.0, 0.0]]))], [], "any").error).any()


@pytest.mark.parametrize(("dtype", "huge"), [("float16", 6e4), ("float32", 3e38), ("bfloat16", 3e38)])
def test_a_sum_is_known_if_no_order_of_it_overflows(dtype: str, huge: float) -> None:
    def summed(*terms: float, activated: bool = False) -> bool:
        x = number([[*terms]], dtype)
        return bool(np.isfinite(dot([(x, np.eye(len(terms)) * 0 + 1)], [], "any", activated).error).all())

    with np.errstate(all="ignore"):
        assert summed(huge, -huge)
        # Sums in float32 are rounded to 16 bits at their end.
        assert summed(huge, huge, -huge) is (dtype == "float16")
        assert not summed(huge, huge)
        # An activation takes an infinity for a large number, but not the sum of two.
        assert summed(huge, huge, activated=True)
        assert summed(huge, huge, -huge, -huge, activated=True) is (dtype == "float16")


def test_sums_of_a_declared_half_precision_end_where_it_ends() -> None:
    half = declared("float32", "half-accumulate")
    x = Approx(np.array([[6e4, 6e4]]), EXACT, half)
    assert not np.isfinite(dot([(x, np.ones((1, 2)))], [], "any").error).any()
    assert np.isfinite((x + x).error).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_case_that_is_not_finite_itself_says_nothing_by_an_infinite_bound(value: float) -> None:
    """Its own NaN or infinity is no overflow: the comparison fails closed."""
    case = realise(Recipe(L=3, N=2))
    x = case.x.copy()
    x[0, 0, 0] = value
    expectation = Expectation(replace(case, x=x), declared("float32"))
    [half] = expectation.layer(0, expectation.x, np.zeros((3, 2, case.config.hidden_size)))
    compared = finding("output", 1, Slot(0, 0), np.zeros(half.output.value.shape), half.output)
    assert np.isnan(compared.bound).any()
    assert not np.isinf(compared.bound).any()
    assert compared.margin() == np.inf
