"""The activations' allowance holds what published functions of the worst accuracy give, and the forms made of them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from conformance.bounds.backward import SLOPE_ULPS
from conformance.bounds.rounding import ACTIVATION_ULPS, arithmetic
from conformance.cases.recipe import Recipe
from conformance.faults import DIFFERENT, Different
from conformance.faults.composites import composite
from conformance.instruments.exact import dyadic
from conformance.instruments.saturation import saturates
from conformance.properties import catalogue
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

U = 2.0**-24
FIVE = [different for different in DIFFERENT if "5-ulps" in different.id]
PLACES = np.concatenate([-np.geomspace(1e-3, 20, 400), np.geomspace(1e-3, 20, 400)])


def ulp(y: np.ndarray, top: float = np.inf) -> np.ndarray:
    """float32's, of numbers in float64; of numbers below ``top`` that float64 has rounded to it, the one below."""
    return 2.0 ** (np.floor(np.log2(np.minimum(np.abs(y), np.nextafter(top, 0)))) - 23)


def furthest(form: str) -> float:
    """The largest error of a form in u, over the signs of its parts' errors: exp 3 ulps, division 2.5, tanh and σ 5."""
    a, worst = PLACES, 0.0
    sigma, tanh = 1 / (1 + np.exp(-a)), np.tanh(a)
    for s, t, r in product((-1, 1), repeat=3):
        if form == "σ by exp":
            e = np.exp(-a)
            total = 1 + (e + 3 * s * ulp(e))
            y = 1 / np.maximum(total + t * ulp(total) / 2, 1)
            got, want = y + 2.5 * r * ulp(y, 1), sigma
        elif form == "σ by tanh":
            y = np.tanh(a / 2)
            total = 1 + (y + 5 * s * ulp(y, 1))
            got, want = (total + t * ulp(total, 2) / 2) / 2, sigma
        elif form == "tanh by σ":
            y = 2 / (1 + np.exp(-2 * a))
            total = y + 5 * s * ulp(y, 2) - 1
            got, want = total + t * ulp(total, 1) / 2, tanh
        elif form == "tanh by exp":
            e = np.exp(-2 * np.abs(a))
            e = e + 3 * s * ulp(e)
            above, below = 1 - e, 1 + e
            y = (above + r * ulp(above, 1) / 2) / np.maximum(below + t * ulp(below) / 2, 1)
            got, want = y + 2.5 * r * ulp(y, 1), np.abs(tanh)
        else:
            e = np.exp(2 * a)
            total = e + 3 * s * ulp(e) + 1
            y = 2 / np.maximum(total + t * ulp(total) / 2, 1)
            total = 1 - (y + 2.5 * r * ulp(y, 2))
            got, want = total + t * ulp(total, 1) / 2, tanh
        worst = max(worst, float(np.abs(got - want).max() / U))
    return worst


@pytest.mark.parametrize(
    ("form", "most"),
    [("σ by exp", 4.6), ("σ by tanh", 3.1), ("tanh by σ", 10.5), ("tanh by exp", 6.0), ("1 − 2/(e²ᵃ + 1)", 9.7)],
)
def test_every_form_is_as_far_off_as_the_page_says(form: str, most: float) -> None:
    """docs/bounds.md has these numbers; the allowance leaves room above all of them."""
    assert most - 1 < furthest(form) <= most + 1e-6 < ACTIVATION_ULPS


def test_a_slope_from_a_cosh_of_4_ulps_has_room() -> None:
    worst = 0.0
    a = np.linspace(-5, 5, 2001)
    for s, t in product((-1, 1), repeat=2):
        y = np.cosh(a)
        y = (y + 4 * s * ulp(y)) ** 2
        y = 1 / (y + s * ulp(y) / 2)
        worst = max(worst, float((np.abs(y + 2.5 * t * ulp(y) - 1 / np.cosh(a) ** 2) * np.cosh(a) ** 2).max() / U))
    assert worst < 22.1 < SLOPE_ULPS


ASKED = (
    "gradients.dyadic",
    "values.activations",
    "values.gates",
    "state.carry",
    "values.digital",
    "nonfinite.huge-cell",
)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("different", FIVE, ids=lambda different: different.id)
def test_activations_5_ulps_off_are_right(different: Different, seed: int) -> None:
    """And what is left of the bound is room: no margin is 1 by construction."""
    trial = Trial(different.backend, Recipe(I=3, H=4, bidirectional=seed == 1, L=6, N=2, state="both", seed=seed))
    for id in ASKED:
        try:
            catalogue()[id].check(trial)
        except Discard:
            continue
    assert trial.margin is not None
    assert trial.margin < 0.9


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("proj", [0, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_calls_show_whether_activations_are_exact(dtype: str, proj: int, given: bool) -> None:
    """The dyadic gradients are compared bit by bit where they are, with an initial state and without one."""
    single = arithmetic(dtype, {})
    assert single is not None
    state = "both" if given else "none"
    recipe = Recipe(I=2, H=3, proj=proj, bidirectional=proj > 0, L=4, N=2, state=state, dtype=dtype, seed=4)

    def shown(different: Different) -> bool:
        trial = Trial(different.backend, recipe)
        return saturates(dyadic(trial.case, 4, single), trial.run)

    assert shown(DIFFERENT[0])
    assert not any(shown(different) for different in FIVE if different.id.endswith(("near", "in-turn")))


def test_a_composite_differs_in_all_ways_at_once() -> None:
    by_id = {different.id: different for different in DIFFERENT}
    parts = [by_id[id] for id in ("laned-sums", "fused-cell", "gradient-gate-by-gate")]
    both = composite(*parts)
    assert both.id == "laned-sums+fused-cell+gradient-gate-by-gate"
    assert both.twin.dot is parts[0].twin.dot
    assert both.twin.cell is parts[1].twin.cell
    with pytest.raises(ValueError, match="reversed-sums alters what another part does: dot"):
        composite(parts[0], by_id["reversed-sums"])
