"""The bound accuses no correct arithmetic, catches small defects, and lets nothing that is not a number pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from backends import Forward, margin
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.backend import Backend, Build, Capabilities
from conformance.bounds.forward import Expectation, Finding
from conformance.bounds.rounding import EXACT, Approx, Arithmetic, arithmetic, dot
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe
from conformance.reference.forward import lstm
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.targets.find import find

LARGEST = (2 - 2.0**-23) * 2.0**127
SINGLE = Arithmetic(
    unit=2.0**-24 + 2.0**-53,
    accumulate=2.0**-24 + 2.0**-53,
    inputs=0.0,
    tiny=2.0**-126,
    largest=LARGEST,
    largest_sum=LARGEST,
)
ALL = Capabilities(layers=True, bidirectional=True, projection=True, dtypes=("float32", "float64"))
FLOATS = st.floats(-100, 100, width=32)


def altered(change: Callable[[dict[str, Array]], None]) -> Backend:
    """The NumPy backend with its parameters changed behind the suite's back."""
    right = find("numpy")

    def build(config: LSTMConfig, params: Params) -> Forward:
        changed = {name: value.copy() for name, value in params.items()}
        change(changed)
        return right.build(config, changed)

    return Backend("altered", ALL, build)


def test_float32_is_what_it_is() -> None:
    assert arithmetic("float32", {}) == SINGLE


@given(a=FLOATS, b=FLOATS, c=FLOATS)
def test_sums_and_products_hold_their_errors(a: float, b: float, c: float) -> None:
    """float32 arithmetic is within the bound of a·b + c, compared exactly as fractions."""
    x, y, z = (Approx(np.asarray(v), EXACT, SINGLE) for v in (a, b, c))
    bounded = x * y + z
    single = np.float32(np.float32(a) * np.float32(b)) + np.float32(c)
    error = abs(Fraction(float(single)) - Fraction(float(bounded.value)))
    assert error <= Fraction(float(bounded.error))


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_a_dot_product_in_any_order_is_within_the_rule_any(terms: list[tuple[float, float]], order: object) -> None:
    order.shuffle(terms)  # type: ignore[attr-defined]
    a, w = (np.array(column, np.float32) for column in zip(*terms, strict=True))
    total = np.float32(0)
    for x, y in zip(a, w, strict=True):
        total = np.float32(total + np.float32(x * y))
    bounded = dot([(Approx(a[None].astype(np.float64), EXACT, SINGLE), w[None].astype(np.float64))], [], "any")
    assert abs(float(total) - bounded.value[0, 0]) <= bounded.error[0, 0]


@pytest.mark.parametrize("order", ["forward", "reversed", "pairwise", "sorted"])
def test_random_dot_products_are_within_the_rule_iid(order: str) -> None:
    """Eight deviations: 4,000 products of 8 to 512 terms, in four orders of summation."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for n in (8, 32, 128, 512):
        a, w = (rng.standard_normal((1000, n)).astype(np.float32) for _ in range(2))
        products = a * w
        if order == "sorted":
            products = np.sort(products, axis=1)
        if order == "pairwise":
            got = products.sum(axis=1, dtype=np.float32)
        else:
            got = np.add.accumulate(products[:, :: -1 if order == "reversed" else 1], axis=1, dtype=np.float32)[:, -1]
        S, Q = ((products.astype(np.float64) ** k).sum(axis=1) for k in (1, 2))
        bound = 8 * SINGLE.unit * np.sqrt(n * (S * S / 9 + Q / 18) + Q / 3)
        exact = (a.astype(np.float64) * w).sum(axis=1)
        worst = max(worst, float((abs(got - exact) / bound).max()))
    # Sorted data are not what the rule is for: they show why structured fills are judged by the rule any.
    assert worst < 1 or order == "sorted"


@given(st.floats(-40, 40), st.floats(0, 1e-3))
@settings(max_examples=200)
def test_activations_cover_every_input_within_reach(a: float, error: float) -> None:
    x = Approx(np.asarray(a), np.asarray(error), SINGLE)
    for activate, exact in ((Approx.sigmoid, lambda v: 1 / (1 + np.exp(-v))), (Approx.tanh, np.tanh)):
        y = activate(x)
        for moved in (a - error, a + error):
            assert abs(exact(moved) - float(y.value)) <= float(y.error)


def test_half_a_tanh_is_a_legitimate_sigmoid() -> None:
    """0.5 + 0.5·tanh(a/2) in float32 is thousands of ulps off near 0 and must not be accused."""
    a = np.linspace(-30, 5, 10_001).astype(np.float32)
    got = np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * a)
    y = Approx(a.astype(np.float64), np.zeros(a.shape), SINGLE).sigmoid()
    assert (abs(got - y.value) <= y.error).all()
    assert (abs(got - y.value) / np.spacing(y.value.astype(np.float32))).max() > 1000


@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_chaos_is_no_alarm(gain: float, dtype: str) -> None:
    """At gain 10 two correct runs differ by 1.0 after 100 steps; teacher-forced, the margin stays what it is at 0.3."""
    recipe = Recipe(I=9, H=12, layers=2, bidirectional=True, L=100, N=2, state="both", gain=gain, dtype=dtype)
    assert margin(find("numpy"), recipe) < 0.6


def _scale_one(params: dict[str, Array]) -> None:
    params["weight_hh_l0"][0, 0] *= 1 + 1e-4


def _drop_a_bias(params: dict[str, Array]) -> None:
    params["bias_hh_l0"] += np.float32(2e-6)


def _half_weights(params: dict[str, Array]) -> None:
    params["weight_ih_l0"][:] = params["weight_ih_l0"].astype(np.float16)


@pytest.mark.parametrize("change", [_scale_one, _drop_a_bias, _half_weights])
def test_small_defects_are_found_within_fifty_cases(change: Callable[[dict[str, Array]], None]) -> None:
    recipes = (Recipe(I=5, H=7, L=12, N=3, state="both", seed=seed) for seed in range(50))
    assert any(margin(altered(change), recipe) > 1 for recipe in recipes)


def computed_in(build: Build, config: LSTMConfig, params: Params, inner: str) -> Forward:
    """A model that computes in another dtype, ``inner``, and returns its config's."""
    model = build(replace(config, dtype=inner), {name: value.astype(inner) for name, value in params.items()})

    def forward(x: Array, state: State | None = None) -> object:
        given = () if state is None else (tuple(part.astype(inner) for part in state),)
        output, finals = model(x.astype(inner), *given)
        return output.astype(config.dtype), tuple(part.astype(config.dtype) for part in finals)

    return forward


def test_single_precision_passed_off_as_double_is_far_outside() -> None:
    right = find("numpy").build
    single = Backend("single", ALL, lambda config, params: computed_in(right, config, params, "float32"))
    assert margin(single, Recipe(I=4, H=3, L=3, dtype="float64")) > 1e6


@pytest.mark.parametrize(
    ("actual", "bound"), [(np.nan, 1.0), (1.0, np.nan), (np.inf, 1.0), (np.nan, np.nan), (2.0, 1.0)]
)
def test_what_is_not_a_number_never_passes(actual: float, bound: float) -> None:
    """`err > bound` is false for NaN and `max` drops it: the comparison fails closed."""
    finding = Finding("output", 1, 0, 0, np.array([actual, 0.0]), np.zeros(2), np.array([bound, 1.0]))
    assert not finding.margin() <= 1.0


def test_an_exact_value_needs_no_bound() -> None:
    assert Finding("c_n", 1, 0, 0, np.ones(1), np.ones(1), np.zeros(1)).margin() == 0


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("proj", [0, 2])
def test_the_teacher_forced_oracle_is_the_oracle(proj: int, ragged: bool) -> None:
    """Forced on the oracle's own outputs, and running free, the bound's equations give the oracle's very numbers."""
    double = arithmetic("float64", {})
    assert double is not None
    recipe = Recipe(I=3, H=4, bidirectional=True, proj=proj, L=6, N=3, state="both", ragged=ragged, dtype="float64")
    case = realise(recipe)
    output, (h_n, c_n) = lstm(case.config, case.params, case.x, case.state, case.lengths)
    expectation = Expectation(case, double)
    for halves in (expectation.layer(0, expectation.x, output), expectation.free_running(0)):
        got = np.concatenate([half.output.value for half in halves], axis=2)
        np.testing.assert_allclose(got, output, rtol=0, atol=1e-14)
        for d, half in enumerate(halves):
            np.testing.assert_allclose(half.h_n.value, h_n[d], rtol=0, atol=1e-14)
            np.testing.assert_allclose(half.c_n.value, c_n[d], rtol=0, atol=1e-14)


def test_a_stack_that_differs_from_its_prefix_by_rounding_is_not_accused() -> None:
    """A compiler may fuse two layers into other instructions than one: its prefix is then off by rounding."""
    right = find("numpy").build

    def build(config: LSTMConfig, params: Params) -> Forward:
        return right(config, params) if config.num_layers == 1 else computed_in(right, config, params, "float64")

    for seed in range(10):
        for gain in (1.0, 5.0):
            recipe = Recipe(I=5, H=6, layers=3, bidirectional=True, L=20, N=2, state="both", seed=seed, gain=gain)
            assert margin(Backend("fused", ALL, build), recipe) < 1


@pytest.mark.parametrize("layers", [1, 2])
def test_a_fixed_model_is_judged_without_its_prefixes(layers: int) -> None:
    recipe = Recipe(I=3, H=4, layers=layers, bidirectional=True, L=8, N=2, state="both", seed=3)
    case = realise(recipe)
    right = find("numpy").build(case.config, case.params)
    trained = replace(ALL, fixed=(case.config, case.params))
    assert margin(Backend("trained", trained, lambda config, params: right), recipe) < 1
    wrong = {name: value * (1 + 1e-3 * name.startswith("weight_hh_l0")) for name, value in case.params.items()}
    wrong = {name: value.astype(np.float32) for name, value in wrong.items()}
    other = find("numpy").build(case.config, wrong)
    assert margin(Backend("retrained", trained, lambda config, params: other), recipe) > 1


def test_declared_arithmetic_widens_the_bound_and_nothing_else_does() -> None:
    """TF32 inputs are accused of nothing where TF32 is declared, and of being TF32 where it is not."""
    right = find("numpy")

    def rounded(values: Array) -> Array:
        """To TF32's ten bits, by truncation."""
        return (values.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)

    def build(config: LSTMConfig, params: Params) -> Forward:
        weights = {k: rounded(v) if k.startswith("weight") else v for k, v in params.items()}
        model = right.build(config, weights)
        return lambda x: model(rounded(x))

    recipe = Recipe(I=20, H=5, L=1, N=3)
    declared = replace(ALL, arithmetic={"float32": "tf32"})
    assert margin(Backend("tf32", ALL, build), recipe) > 10
    assert margin(Backend("tf32", declared, build), recipe) < 1
