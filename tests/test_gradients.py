"""The reference's gradient against two witnesses; the judgement of gradients on correct and on wrong ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch_lstm
from backends import accused, around
from hypothesis import given
from hypothesis import strategies as st

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.backend import Backend
from conformance.bounds import backward as adjoint
from conformance.bounds.forward import Finding
from conformance.bounds.rounding import EXACT, Approx, arithmetic
from conformance.cases.case import realise
from conformance.cases.cotangents import LOSSES, draw
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import DIFFERENT, twin_backend
from conformance.faults.backward import Differentiable
from conformance.faults.different import Different
from conformance.faults.precision import half_accumulated
from conformance.instruments.exact import dyadic
from conformance.instruments.taps import judge_tapped, lower_results, tap
from conformance.properties import catalogue
from conformance.reference.backward import Gradients, vjp
from conformance.reference.forward import lstm
from conformance.report.model import Verdict
from conformance.spec import Array, Params, Result, State, param_shapes, state_shapes
from conformance.trials.trial import Trial


def call_of(
    config: LSTMConfig, ragged: bool, unbatched: bool, rng: np.random.Generator
) -> tuple[Params, Array, State | None, Array | None, tuple[Array, Array, Array]]:
    """params, x, state, lengths and cotangents of one call, in the config's layout."""
    steps, batch = int(rng.integers(1, 6)), 1 if unbatched else int(rng.integers(1, 5))
    params = {name: rng.choice([0.5, 2.0]) * rng.standard_normal(s) for name, s in param_shapes(config).items()}
    shapes = state_shapes(config, batch)
    state = None if rng.random() < 0.2 else (rng.standard_normal(shapes[0]), rng.standard_normal(shapes[1]))
    x = rng.standard_normal((steps, batch, config.input_size))
    output = rng.standard_normal((steps, batch, config.num_directions * config.output_size))
    finals = rng.standard_normal(shapes[0]), rng.standard_normal(shapes[1])
    if unbatched:
        state = None if state is None else (state[0][:, 0], state[1][:, 0])
        return params, x[:, 0], state, None, (output[:, 0], finals[0][:, 0], finals[1][:, 0])
    if config.batch_first:
        x, output = x.swapaxes(0, 1), output.swapaxes(0, 1)
    lengths = rng.integers(1, steps + 1, batch) if ragged else None
    return params, x, state, lengths, (output, *finals)


def configs() -> list[tuple[LSTMConfig, bool, bool]]:
    """Every combination of options, with whether rows are ragged, or there is no batch axis."""
    flags = itertools.product(
        (1, 2, 3), (False, True), (False, True), (0, 2), ("major", "first", "none"), (False, True)
    )
    return [
        (LSTMConfig(2, 3, layers, bias, layout == "first", both, proj, dtype="float64"), ragged, layout == "none")
        for layers, bias, both, proj, layout, ragged in flags
        if not (ragged and layout == "none")
    ]


def test_the_gradient_is_autograds() -> None:
    rng = np.random.default_rng(0)
    for config, ragged, unbatched in configs():
        params, x, state, lengths, cotangents = call_of(config, ragged, unbatched, rng)
        (output, finals), grads = vjp(config, params, x, state, lengths, *cotangents)
        (want_output, want_finals), want = torch_lstm.vjp(config, params, x, state, lengths, *cotangents)
        pairs = [(output, want_output), *zip(finals, want_finals, strict=True)]
        assert list(grads) == ["x", "h_0", "c_0", *params]
        for a, b in (*pairs, *((grads[name], want[name]) for name in want)):
            assert a.shape == b.shape
            assert np.allclose(a, b, rtol=1e-11, atol=1e-11), config


def loss(
    config: LSTMConfig, given: dict[str, Array], lengths: Array | None, cotangents: tuple[Array, Array, Array]
) -> float:
    """Of the reference, ``given`` being params, x, h_0 and c_0 by name."""
    output, finals = lstm(config, given, given["x"], (given["h_0"], given["c_0"]), lengths)
    return sum(float((a * b).sum()) for a, b in zip((output, *finals), cotangents, strict=True))


def test_the_gradient_is_the_limit_of_differences() -> None:
    rng, step = np.random.default_rng(1), 1e-5
    for config, ragged, unbatched in configs()[::3]:
        params, x, state, lengths, cotangents = call_of(config, ragged, unbatched, rng)
        if state is None:
            continue
        _, grads = vjp(config, params, x, state, lengths, *cotangents)
        given = {"x": x, "h_0": state[0], "c_0": state[1], **params}
        for name, value in given.items():
            way = rng.standard_normal(value.shape)
            ahead, behind = (
                loss(config, {**given, name: value + sign * step * way}, lengths, cotangents) for sign in (1, -1)
            )
            slope = (ahead - behind) / (2 * step)
            assert slope == pytest.approx(float((grads[name] * way).sum()), rel=1e-6, abs=1e-7), (config, name)


# Judging


#: What the autograd of these tests can do.
EVERYTHING = replace(twin_backend().capabilities, dtypes=("float32", "float64"), arithmetic={}, dropout=False)


def by_autograd(config: LSTMConfig, params: Params) -> Any:
    """The twin's forward, and torch's gradient."""
    model = partial(twin_backend().build(config, params))
    model.vjp = partial(torch_lstm.vjp, config, params)  # type: ignore[attr-defined]
    return model


AUTOGRAD = Backend("autograd", EVERYTHING, by_autograd)

#: One for each way of being observed.
RECIPES = (
    "I=3 H=4 L=5 N=2 state=both seed=1",
    "I=2 H=3 L=40 N=2 gain=10 seed=2",
    "I=3 H=4 L=6 N=3 state=both bidirectional ragged proj=2 float64 seed=3",
    "I=2 H=3 layers=3 L=5 N=2 state=c bidirectional seed=4",
    "I=3 H=3 layers=2 no-bias L=7 N=4 ragged batch-first fill=large-cell seed=5",
    "I=3 H=3 layers=3 no-bias proj=1 L=4 N=1 unbatched view=strided seed=6",
)


def judged(backend: Backend, recipe: Recipe, loss: str = "any") -> list[Finding]:
    """Every comparison of a tapped vjp."""
    trial = Trial(backend, recipe)
    assert trial.arithmetic is not None
    cotangents = draw(trial.case, recipe.seed, loss)
    tapped = tap(trial.case)
    return judge_tapped(tapped, lower_results(tapped, trial.vjp), cotangents, trial.vjp, trial.arithmetic)


@pytest.mark.parametrize("text", RECIPES)
def test_a_tapped_case_computes_what_the_original_does(text: str) -> None:
    recipe = replace(parse(text), unbatched=False, batch_first=False)
    case = realise(recipe)
    tapped, cotangents = tap(case), draw(case, recipe.seed)
    results, grads = vjp(case.config, case.params, case.x, case.state, case.lengths, *cotangents)
    wide = tapped.case
    given = wide.config, wide.params, wide.x, wide.state, wide.lengths, *tapped.cotangents(cotangents)
    (output, finals), found = vjp(*given)
    assert np.allclose(tapped.result(Result(output, *finals)).output, results[0], rtol=1e-12, atol=1e-14)  # type: ignore[arg-type]
    for name, value in tapped.gradients(found).items():
        assert np.allclose(value, grads[name], rtol=1e-9, atol=1e-9 * np.abs(grads[name]).max()), name
    # The sum of what the taps and relays show is the gradient of the bias, which has no other source.
    double = arithmetic("float64", {})
    assert double is not None
    seen = tapped.adjoints(found["x"], double)
    for slot in case.config.slots() if case.config.bias else ():
        bias = grads["bias_ih" + slot.suffix]
        total = seen[slot].value.sum((0, 1))
        assert np.allclose(total, bias, rtol=1e-9, atol=1e-9 * np.abs(bias).max())


@pytest.mark.parametrize("text", RECIPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_autograd_is_within_the_bound(text: str, loss: str) -> None:
    findings = judged(AUTOGRAD, parse(text), loss)
    assert max(finding.margin() for finding in findings) <= 1.0
    config = parse(text).config
    tensors = {finding.tensor for finding in findings}
    assert {f"grad preactivations{slot.suffix}" for slot in config.slots()} <= tensors
    assert {f"grad {name}" for name in ("x", "h_0", "c_0", *param_shapes(config))} <= tensors


@pytest.mark.parametrize("id", ["activations-3-ulps-off", "gradient-from-preactivations", "float64-inside"])
def test_other_arithmetic_is_within_the_bound(id: str) -> None:
    backend = next(different.backend for different in DIFFERENT if different.id == id)
    for seed in range(20):
        recipe = Recipe(I=3, H=4, L=6, N=2, state="both", gain=(1.0, 5.0)[seed % 2], bidirectional=True, seed=seed)
        assert max(finding.margin() for finding in judged(backend, recipe)) <= 1.0


def test_a_first_step_without_its_forget_gate_is_right() -> None:
    """A NaN in x reaches the forget gate's weights only where there is a cell to forget."""
    backend = next(different.backend for different in DIFFERENT if different.id == "first-step-apart")
    chosen = ("gradients.nan-kept", "gradients.zeros", "gradients.none-is-zeros")
    assert accused(backend, Settings(cases=20, only=chosen)) == {}


def test_sums_in_16_bits_are_not_asked_for_linearity() -> None:
    """Cotangents times 2^24 overflow in them, and small ones underflow."""
    capabilities = replace(twin_backend().capabilities, dtypes=("float32",), arithmetic={"float32": "half-accumulate"})
    backend = Backend("half sums", capabilities, Differentiable(dot=half_accumulated).build)
    assert accused(backend, Settings(cases=20, only=("gradients.linear",))) == {}


def test_the_bound_is_that_of_the_arithmetic() -> None:
    """float32 passed off as float64 is far outside."""

    def build(config: LSTMConfig, params: Params) -> Any:
        single = by_autograd(replace(config, dtype="float32"), params)
        right = single.vjp

        def vjp(*arguments: Any) -> Any:
            (output, finals), grads = right(*arguments)
            wide = {name: value.astype("float64") for name, value in grads.items()}
            return (output.astype("float64"), tuple(part.astype("float64") for part in finals)), wide

        single.vjp = vjp
        return single

    findings = judged(Backend("single", EVERYTHING, build), parse("I=3 H=4 L=5 N=2 state=both float64 seed=1"))
    assert max(f.margin() for f in findings if f.tensor.startswith("grad preactivations")) > 1e3


def altered(change: Callable[[Gradients], object], capabilities: Capabilities = EVERYTHING) -> Backend:
    """Autograd, with its gradients changed."""

    def build(config: LSTMConfig, params: Params) -> Any:
        model = by_autograd(config, params)
        right = model.vjp

        def wrong(*arguments: Any) -> Any:
            results, grads = right(*arguments)
            grads = {name: value.copy() for name, value in grads.items()}
            change(grads)
            return results, grads

        model.vjp = wrong
        return model

    return Backend("altered", capabilities, build)


@pytest.mark.parametrize(
    "name", ["x", "h_0", "c_0", "weight_ih_l0", "weight_hh_l0_reverse", "bias_hh_l0", "weight_hr_l0"]
)
def test_what_is_not_a_number_does_not_pass(name: str) -> None:
    def spoil(grads: Gradients) -> None:
        grads[name].flat[0] = np.nan

    findings = judged(altered(spoil), parse("I=2 H=3 proj=2 L=3 N=2 bidirectional seed=1"))
    assert max(finding.margin() for finding in findings if finding.tensor == f"grad {name}") == float("inf")


def test_nothing_may_stand_in_the_padding() -> None:
    recipe = parse("I=2 H=3 L=6 N=4 ragged seed=3")
    lengths = realise(recipe).row_lengths()
    row = int(np.argmin(lengths))
    assert lengths[row] < 6

    def spoil(grads: Gradients) -> None:
        grads["x"][-1, row] += 1e-30

    findings = judged(altered(spoil), recipe)
    wrong = {finding.tensor for finding in findings if not finding.margin() <= 1.0}
    assert wrong == {"grad x", "grad preactivations_l0"}


@given(a=st.floats(-40, 40, width=32), ways=st.integers(0, 3))
def test_slopes_hold_the_ways_of_computing_them(a: float, ways: int) -> None:
    """float32 σ′ and tanh′, from the value or from the argument, are within the bound of the exact ones."""
    single = arithmetic("float32", {})
    assert single is not None
    at, one = Approx(np.asarray(a), EXACT, single), np.float32(1)
    x = np.float32(a)
    with np.errstate(all="ignore"):
        if ways < 2:
            y = one / (one + np.exp(-x))
            e = np.exp(-np.abs(x))
            got = y * (one - y) if ways else e / ((one + e) * (one + e))
            want = adjoint.sigmoid_slope(at, at.sigmoid())
        else:
            y = np.tanh(x)
            e = np.exp(np.float32(-2) * np.abs(x))
            got = one - y * y if ways == 2 else np.float32(4) * e / ((one + e) * (one + e))
            want = adjoint.tanh_slope(at, at.tanh())
    assert abs(float(got) - float(want.value)) <= float(want.error) + single.tiny


@pytest.mark.parametrize("seed", range(12))
def test_the_dyadic_gradient_is_the_references(seed: int) -> None:
    recipe = Recipe(
        I=2, H=3, L=5, N=3, state="both", bidirectional=seed % 2 > 0, bias=seed % 3 > 0, proj=2 * (seed % 4 > 1)
    )
    original = realise(replace(recipe, ragged=seed % 5 > 2, seed=seed, dtype=("float32", "float64")[seed % 2]))
    declared = arithmetic(original.config.dtype, {})
    assert declared is not None
    probe = dyadic(original, seed, declared)
    case = probe.case
    given = case.config, case.params, case.x, case.state, case.lengths, *probe.cotangents
    (output, finals), grads = vjp(*given)
    for a, b in zip((output, *finals), probe.result, strict=True):
        assert np.allclose(a, b, rtol=0, atol=1e-30)  # type: ignore[arg-type]
    for name, value in grads.items():
        assert np.array_equal(np.rint(value * 2**30) / 2**30, probe.grads[name]), name
        assert probe.exact[name].any()
    assert any(grads[name].any() for name in ("weight_hh_l0", "x"))


# Verdicts


def verdict(backend: Backend, property: str) -> Verdict:
    [found] = conform(backend, Settings(cases=10, only=(property,), shrink=False, stop=True)).verdicts
    return found


def test_a_missing_vjp_is_an_error_that_says_so() -> None:
    without = around(lambda forward, config, *call: forward(*call), Capabilities(gradients=True))
    found = verdict(without, "gradients.layout")
    assert found.outcome == "error"
    assert "has no attribute vjp" in found.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda grads: grads.pop("c_0"), "grads has no 'c_0'"),
        (lambda grads: grads.update(weight_hh_l0=grads["weight_hh_l0"].T[:-1]), "grads['weight_hh_l0'] has shape"),
        (lambda grads: grads.update(x=grads["x"].astype("float16")), "grads['x'] has dtype float16"),
        (lambda grads: grads.update(bias=grads["x"]), "grads has 'bias', which is neither"),
        (lambda grads: grads.update(x=[1.0]), "returned grads['x'] as a list"),
    ],
)
def test_what_is_wrong_with_the_gradients_layout_is_named(change: Callable[[Gradients], None], message: str) -> None:
    assert message in verdict(altered(change), "gradients.layout").message


def test_unsupported_narrows() -> None:
    def unsupported(grads: Gradients) -> None:
        raise Unsupported("no gradients on Sundays")

    assert verdict(altered(unsupported), "gradients.input").outcome == "narrowed"


@pytest.mark.parametrize(
    ("property", "name", "factor", "more"),
    [
        ("gradients.weights", "weight_hh_l0", 1 + 1e-4, 0.0),
        ("gradients.input", "x", 1 + 1e-4, 0.0),
        ("gradients.state", "h_0", 1 + 1e-4, 0.0),
        # Something is there even if nothing is asked.
        ("gradients.linear", "c_0", 1.0, 1e-20),
    ],
)
def test_a_wrong_vjp_is_accused_of_what_is_wrong(property: str, name: str, factor: float, more: float) -> None:
    def change(grads: Gradients) -> None:
        grads[name] = (grads[name] * factor + more).astype(grads[name].dtype)

    assert verdict(altered(change), property).outcome == "failed"


def test_a_tanh_that_is_not_quite_0_at_0_strays_through_the_relays_and_no_error_hides_behind_it() -> None:
    [inexact] = [one for one in DIFFERENT if one.id == "tanh-by-sigmoid-5-ulps-off"]
    recipe = parse("I=1 H=9 layers=3 L=4 N=10 state=h ragged gain=0.3 seed=28")

    def primal(different: Different) -> Answer:
        [(_, answer)] = Here(different.backend).ask(recipe, [Inquiry(catalogue()["gradients.primal"], 2)])
        return answer

    assert not primal(inexact).wrong
    tanh = inexact.twin.tanh
    worse = replace(inexact, twin=replace(inexact.twin, tanh=lambda a: tanh(a) - a.dtype.type(1e-5)))
    assert primal(worse).wrong


@pytest.mark.usefixtures("few_rows")
def test_a_nondeterministic_backend_is_asked_for_no_bits() -> None:
    rng = np.random.default_rng(0)

    def jitter(grads: Gradients) -> None:
        for name, value in grads.items():
            if name != "x":
                grads[name] = np.where(rng.random(value.shape) < 0.5, value, np.nextafter(value, 0 * value))

    capabilities = replace(EVERYTHING, deterministic=False)
    assert accused(altered(jitter, capabilities), Settings(cases=5, only=("gradients",))) == {}
    assert "when repeated" in verdict(altered(jitter), "gradients.repeat").message


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize(
    "changes",
    [
        {"compiled": True},
        {"initial_state": False},
        {"batch": False},
        {"returns": ("output",)},
        {"returns": ("h_n", "c_n")},
        {"arithmetic": {"float32": "tf32"}},
    ],
    ids=str,
)
def test_a_narrower_declaration_is_asked_no_more(changes: dict[str, Any]) -> None:
    capabilities = replace(EVERYTHING, layers=False, dtypes=("float32",), **changes)
    report = conform(Backend("narrow", capabilities, by_autograd), Settings(cases=5, only=("gradients",), shrink=False))
    outcomes = {v.outcome for v in report.verdicts}
    assert outcomes <= {"passed", "not declared"}, [v.message for v in report.verdicts if v.outcome == "failed"]
    assert any(v.outcome == "passed" for v in report.verdicts)


@pytest.mark.usefixtures("few_rows")
def test_a_model_that_is_baked_in_is_judged() -> None:
    config = LSTMConfig(3, 4, 2, bidirectional=True)
    params = realise(Recipe(I=3, H=4, layers=2, bidirectional=True, seed=3)).params
    capabilities = replace(EVERYTHING, fixed=(config, params))

    def build(given: LSTMConfig, unused: Params) -> Any:
        return by_autograd(config, params)

    report = conform(Backend("baked", capabilities, build), Settings(cases=5, only=("gradients",), shrink=False))
    passed = {v.property for v in report.verdicts if v.outcome == "passed"}
    assert {"gradients.untapped", "gradients.layout", "gradients.linear"} <= passed
    assert {v.outcome for v in report.verdicts} <= {"passed", "not declared", "not run"}
