"""The fixed set: recipes in which every three-way combination of the declared choices occurs at least once.

They are the rows of a covering array with sizes of their own, and the common calls between the first of them. Those of
a backend that compiles come from its pool (``cases/pool.py``).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from conformance.backend import Backend
from conformance.cases.choices import Choice, Factors, choices, combinations_of, factors
from conformance.cases.common import common, simplest
from conformance.cases.covering import covering_rows
from conformance.cases.pool import combinations_in_pool, pool, reusing
from conformance.cases.recipe import Recipe
from conformance.cases.rows import LOOKS, best_recipe, unbatched_layouts
from conformance.cases.sizes import Occurred, candidates
from conformance.cases.unfolding import Unfolding
from conformance.spec import LSTMConfig

#: The steps of the fixed set's last case, at which costly properties are asked.
_LATE = 17


def fixed_set(backend: Backend, seed: int) -> Sequence[Recipe]:
    """The covering rows as recipes with sizes of their own, the common calls between the first, a long one last.

    The values depend on the seed. Each is worked out as it is read, if the backend does not compile.
    """
    c, usual = backend.capabilities, common(backend, seed)
    if c.compiled:
        # What properties make of the common calls serves the others too.
        return usual + [_seeded(*row, seed) for row in enumerate(reusing(tuple(pool(backend)), factors(backend)))]
    sized = _sized(factors(backend), unbatched_layouts(c), None if c.fixed is None else c.fixed[0])
    # Costly properties are asked at a long sequence, so that they come late. Few rows may leave no long one.
    long = replace(simplest(backend)[1], L=_LATE, seed=1000 * seed + 501)
    return Unfolding(_in_order(usual, sized, long, seed), lambda: len(usual) + len(sized) + 1)


def _in_order(usual: Sequence[Recipe], sized: Sequence[Recipe], long: Recipe, seed: int) -> Iterator[Recipe]:
    """The common calls and the first rows in turn: properties that look at a few cases only see both kinds."""
    rows = (_seeded(*row, seed) for row in enumerate(sized))
    for call in usual:
        yield call
        yield from islice(rows, 1)
    yield from rows
    yield long


def _seeded(number: int, recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, seed=1000 * seed + number)


def reachable(backend: Backend) -> frozenset[Choice]:
    """The three-way combinations that a backend's fixed set covers: all feasible ones, if it does not compile."""
    if not backend.capabilities.compiled:
        return combinations_of(factors(backend))
    return combinations_in_pool(backend)


@lru_cache(maxsize=32)
def _sized(factors: Factors, unbatched: tuple[bool, ...], fixed: LSTMConfig | None) -> Sequence[Recipe]:
    """The covering rows as recipes, each with those of several candidate sizes that add most to the rows before it."""
    rows = covering_rows(factors)
    return Unfolding(_sizing(rows, unbatched, fixed), lambda: len(rows))


def _sizing(rows: Sequence[Choice], unbatched: tuple[bool, ...], fixed: LSTMConfig | None) -> Iterator[Recipe]:
    occurred, rng = Occurred(), random.Random(0)
    free = 0
    for number, row in enumerate(rows):
        several = dict(row)["steps"] == dict(row)["rows"] == "several"
        free += several
        # Equal sizes hide swapped axes, and code may mistake one for the other: a third of the rows have them, most of
        # those where steps and rows may be equal.
        looks = candidates(free % 2 == 0 if several else number % 5 == 4)
        first = rng.randrange(len(looks) - LOOKS)
        best = best_recipe(row, looks[first : first + LOOKS], number, unbatched, fixed, occurred)
        occurred.add(best, choices(best))
        yield best
