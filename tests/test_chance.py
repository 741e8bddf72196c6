"""The bound on chance is above the exact binomial tail, and not far above."""

from __future__ import annotations

from math import comb, exp, log

import pytest

from conformance.bounds.chance import surprise, threshold


def tail(count: int, tosses: int, p: float) -> float:
    """The exact probability of ``count`` or anything farther from the mean on its side."""
    beyond = range(count, tosses + 1) if count >= tosses * p else range(count + 1)
    return sum(comb(tosses, k) * p**k * (1 - p) ** (tosses - k) for k in beyond)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.48, 0.6, 0.75])
@pytest.mark.parametrize("tosses", [1, 2, 7, 40, 300])
def test_the_bound_holds_for_every_count(tosses: int, p: float) -> None:
    for count in range(tosses + 1):
        bound = exp(-surprise(count, tosses, p))
        assert tail(count, tosses, p) <= bound * (1 + 1e-9)
        assert bound <= 1.0 + 1e-9


def test_a_mean_count_is_no_surprise_and_certainty_is_a_great_one() -> None:
    assert surprise(30, 100, 0.3) == pytest.approx(0.0, abs=1e-12)
    assert surprise(0, 100, 0.3) == pytest.approx(-100 * log(0.7))
    assert surprise(100, 100, 0.3) == pytest.approx(-100 * log(0.3))
    assert surprise(0, 0, 0.3) == 0.0


def test_the_threshold_shares_the_alarm_among_two_sided_tests() -> None:
    assert 2 * 50 * exp(-threshold(1e-9, 50)) == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("population", "drawn", "marked"), [(30, 12, 10), (200, 90, 60), (200, 120, 150), (50, 50, 20)]
)
def test_the_bound_holds_for_draws_without_replacement(population: int, drawn: int, marked: int) -> None:
    ways = [comb(marked, k) * comb(population - marked, drawn - k) for k in range(min(drawn, marked) + 1)]
    for k in range(len(ways)):
        beyond = ways[k:] if k * population >= drawn * marked else ways[: k + 1]
        assert sum(beyond) / comb(population, drawn) <= exp(-surprise(k, drawn, marked / population)) * (1 + 1e-9)


def test_what_is_certain_is_no_surprise() -> None:
    assert surprise(0, 20, 0.0) == surprise(20, 20, 1.0) == 0.0
