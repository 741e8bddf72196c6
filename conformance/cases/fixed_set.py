"""The fixed set: recipes in which every three-way combination of the declared choices occurs at least once.

They are the rows of a covering array with sizes of their own, and the common calls between the first of them. Those of
a backend that compiles come from its pool (``cases/pool.py``).
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache

from conformance.backend import Backend
from conformance.cases.choices import Choice, Factors, choices, combinations_of, factors
from conformance.cases.common import common, simplest
from conformance.cases.covering import covering_rows
from conformance.cases.pool import combinations_in_pool, pool, reusing
from conformance.cases.recipe import Recipe
from conformance.cases.rows import LOOKS, best_recipe, unbatched_layouts
from conformance.cases.sizes import Occurred, candidates
from conformance.spec import LSTMConfig

#: The steps of the fixed set's last case, at which costly properties are asked.
_LATE = 17


def fixed_set(backend: Backend, seed: int, first: int | None = None) -> list[Recipe]:
    """The covering rows as recipes with sizes of their own, the common calls between the first, a long one last.

    The values depend on the seed. So many of the ``first`` are known before the others are worked out.
    """
    c = backend.capabilities
    if c.compiled:
        sized = reusing(tuple(pool(backend)), factors(backend))
    else:
        sized = _sized(factors(backend), unbatched_layouts(c), None if c.fixed is None else c.fixed[0], first)
    recipes = [replace(recipe, seed=1000 * seed + number) for number, recipe in enumerate(sized)]
    if c.compiled:
        # What properties make of the common calls serves the others too.
        return (common(backend, seed) + recipes)[:first]
    # Properties that look at a few cases only see both kinds.
    for k, recipe in enumerate(common(backend, seed)):
        recipes.insert(2 * k, recipe)
    if first is not None and len(recipes) >= first:
        return recipes[:first]
    # Costly properties are asked at a long sequence, so that they come late. Few rows may leave no long one.
    return [*recipes, replace(simplest(backend)[1], L=_LATE, seed=1000 * seed + 501)]


def reachable(backend: Backend) -> frozenset[Choice]:
    """The three-way combinations that a backend's fixed set covers: all feasible ones, if it does not compile."""
    if not backend.capabilities.compiled:
        return combinations_of(factors(backend))
    return combinations_in_pool(backend)


@lru_cache(maxsize=32)
def _sized(
    factors: Factors, unbatched: tuple[bool, ...], fixed: LSTMConfig | None, first: int | None
) -> tuple[Recipe, ...]:
    """The covering rows as recipes, each with those of several candidate sizes that add most to the rows before it."""
    occurred, rng, chosen = Occurred(), random.Random(0), []
    free = 0
    for number, row in enumerate(covering_rows(factors)[:first]):
        several = dict(row)["steps"] == dict(row)["rows"] == "several"
        free += several
        # Equal sizes hide swapped axes, and code may mistake one for the other: a third of the rows have them, most of
        # those where steps and rows may be equal.
        looks = candidates(free % 2 == 0 if several else number % 5 == 4)
        first = rng.randrange(len(looks) - LOOKS)
        looked = looks[first : first + LOOKS]
        chosen.append(best_recipe(row, looked, number, unbatched, fixed, occurred))
        occurred.add(chosen[-1], choices(chosen[-1]))
    return tuple(chosen)
