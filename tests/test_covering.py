"""The fixed set covers every three-way combination of what a backend declares, and strategies stay within it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import prod

import pytest
from backends import EVERYTHING, declaring
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.backend import Backend
from conformance.cases import strategies
from conformance.cases.choices import choices, combinations_of, covered, factors, feasible
from conformance.cases.common import simplest
from conformance.cases.fixed_set import fixed_set, reachable
from conformance.cases.pool import pool
from conformance.cases.recipe import OPTIONS, Recipe
from conformance.cases.sizes import COINCIDENCES, coincidences, keeping
from conformance.spec import LSTMConfig

BACKENDS = {
    "plain": declaring(),
    "everything": EVERYTHING,
    "no-state": declaring(initial_state=False, layers=True, dtypes=("float64",)),
    "one-row": declaring(batch=False, bidirectional=True, unbatched=True),
    "compiled": declaring(compiled=True, layers=True, bidirectional=True),
    "fixed": declaring(fixed=(LSTMConfig(3, 4, num_layers=2, batch_first=True), {}), layers=True, batch_first=True),
}


@pytest.mark.parametrize("name", BACKENDS)
def test_every_three_way_combination_occurs(name: str) -> None:
    judged = BACKENDS[name]
    recipes = fixed_set(judged, seed=5)
    assert reachable(judged) <= covered(recipes)
    assert judged.capabilities.compiled or reachable(judged) == combinations_of(factors(judged))
    assert all(feasible(choices(recipe)) for recipe in recipes)


def test_from_few_signatures_all_pairs_occur_and_every_three_with_a_choice_that_costs_nothing() -> None:
    judged = declaring(compiled=True, **dict.fromkeys(OPTIONS, True), dtypes=("float32", "float64"))
    recipes = fixed_set(judged, seed=5)
    pairs = {pair for recipe in recipes for pair in combinations(choices(recipe), 2)}
    assert combinations_of(factors(judged), 2) <= pairs
    free = {three for three in combinations_of(factors(judged)) if any(name == "view" for name, _ in three)}
    assert free <= covered(recipes)

    def signed(recipe: Recipe) -> Recipe:
        return replace(recipe, view="plain", state="none" if recipe.state == "none" else "both", seed=0, gain=1.0)

    met = {signed(recipe) for recipe in recipes}
    assert met == {signed(recipe) for recipe in pool(judged)}
    assert len(met) <= 30
    sizes = {size for r in met for size in (r.I, r.H, r.L, r.N)}
    assert 1 in sizes
    assert max(sizes) > 30


def test_the_fixed_set_is_small_and_always_the_same() -> None:
    # No set of rows covers the three factors with most values in fewer than one row for each of their combinations.
    least = prod(sorted(len(values) for _, values in factors(EVERYTHING))[-3:])
    assert least <= len(fixed_set(EVERYTHING, 0)) <= 2 * least
    assert [*fixed_set(EVERYTHING, 1)] == [*fixed_set(EVERYTHING, 1)]
    assert [*fixed_set(EVERYTHING, 1)] != [*fixed_set(EVERYTHING, 2)]


def test_most_sizes_of_the_fixed_set_are_pairwise_distinct() -> None:
    """Equal sizes hide swapped axes: a third of the rows have some, so that code which mistakes them is met as well."""
    sizes = [[size for size in (r.I, r.H, r.L, r.N) if size > 1] for r in fixed_set(EVERYTHING, 0)]
    equal = [len(row) - len(set(row)) for row in sizes]
    assert 0.2 * len(sizes) < sum(number > 0 for number in equal) < 0.4 * len(sizes)
    assert max(equal) <= 2


def test_nearly_every_coincidence_meets_every_option() -> None:
    """Code that tells axes apart by their sizes may be wrong in one layout, state or dtype only."""
    met = {(pair, option) for r in fixed_set(EVERYTHING, 0) for pair in coincidences(r) for option in choices(r)}
    possible = {
        (pair, (name, value))
        for pair in COINCIDENCES
        for name, values in factors(EVERYTHING)
        for value in values
        if not ({"L", "N"} & {*pair} and value == "one") and not ("N" in pair and value == "unbatched")
    }
    assert len(met & possible) > 0.97 * len(possible)


def test_equal_sizes_stay_equal_where_sizes_are_cut() -> None:
    square = Recipe(I=9, H=9, layers=2, L=8, N=8)
    assert keeping(square, L=3) == {"I": 9, "H": 9, "L": 3, "N": 3}
    assert keeping(Recipe(I=9, H=8, L=8, N=4), L=3) == {"I": 9, "H": 8, "L": 3, "N": 4}, "L = H, and H stays"
    assert keeping(Recipe(I=8, H=8, L=5, N=4), H=2) == {"I": 2, "H": 2, "L": 5, "N": 4}
    assert coincidences(replace(square, bidirectional=True, N=4)) == [("N", "slots"), ("I", "P"), ("I", "H")]


def allowed(judged: Backend, recipe: Recipe) -> bool:
    """Whether a recipe uses nothing but what is declared."""
    c = judged.capabilities
    pairs = [
        (recipe.layers > 1, c.layers),
        (recipe.bidirectional, c.bidirectional),
        (not recipe.bias, c.no_bias),
        (recipe.batch_first, c.batch_first),
        (recipe.unbatched, c.unbatched),
        (recipe.proj > 0, c.projection),
        (recipe.ragged, c.lengths),
        (recipe.N > 1, c.batch),
        (recipe.state != "none", c.initial_state),
    ]
    fixed = c.fixed is not None and recipe.config == c.fixed[0]
    return recipe.dtype in c.dtypes and (fixed or all(declared for used, declared in pairs if used))


@pytest.mark.parametrize("name", BACKENDS)
@given(data=st.data())
@settings(max_examples=60)
def test_only_what_is_declared_is_drawn(name: str, data: st.DataObject) -> None:
    judged = BACKENDS[name]
    recipe = data.draw(strategies.recipes(judged))
    assert allowed(judged, recipe)
    easier = data.draw(strategies.simpler(recipe, judged))
    assert allowed(judged, easier)
    assert all(getattr(easier, size) <= getattr(recipe, size) for size in ("I", "H", "L", "N", "layers", "proj"))
    assert feasible(choices(easier))
    assert all(allowed(judged, fixed) for fixed in fixed_set(judged, 0))
    assert all(allowed(judged, simple) for simple in simplest(judged))


def test_the_hard_cases_are_drawn_often_enough() -> None:
    """At least 10 % at weight gains of 3 and more, 5 % of 100 steps and more, sizes around powers of two."""
    drawn: list[Recipe] = []

    @given(strategies.recipes(EVERYTHING))
    @settings(max_examples=1000)
    def draw(recipe: Recipe) -> None:
        drawn.append(recipe)

    draw()
    assert sum(recipe.gain >= 3 for recipe in drawn) >= 0.10 * len(drawn)
    assert sum(recipe.L >= 100 for recipe in drawn) >= 0.05 * len(drawn)
    assert {1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129} <= {size for recipe in drawn for size in (recipe.I, recipe.H)}
    assert any(recipe.unbatched and recipe.batch_first for recipe in drawn)
    distinct = [r for r in drawn if all(a != b or a == 1 for a, b in combinations((r.I, r.H, r.L, r.N), 2))]
    assert len(distinct) > 0.8 * len(drawn)
