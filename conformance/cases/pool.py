"""The pool: the signatures of a backend that compiles, few of them, each with many values."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from conformance.backend import Backend
from conformance.cases.choices import Choice, Factors, choices, factors, judged_dtypes
from conformance.cases.common import common, simplest
from conformance.cases.covering import covering_rows
from conformance.cases.recipe import Recipe
from conformance.cases.rows import LOOKS, best_recipe, unbatched_layouts
from conformance.cases.sizes import LONG, Occurred, candidates
from conformance.spec import LSTMConfig

#: How many recipes are compared for each that reuses a signature.
_TRIES = 12


def pool(backend: Backend) -> list[Recipe]:
    """The recipes whose signatures all drawn cases of a backend that compiles have, simplest first.

    The common calls, and rows that cover every pair of the choices that cost a compilation. A stack is observed layer
    by layer, so its first layers cost nothing more and are recipes too.
    """
    c = backend.capabilities
    given = [*simplest(backend), *common(backend, 0)]
    if c.fixed is None:
        # As many rows as steps, with other options than the ordinary call's; and more steps than 8 bits count.
        usual, dtype = given[1], judged_dtypes(backend)[-1]
        layout = {"batch_first": c.batch_first or usual.batch_first, "bias": not c.no_bias, "ragged": c.lengths}
        given += [replace(usual, **layout, N=usual.L, dtype=dtype)] if c.batch else []
        given += [replace(usual, L=LONG)] if "output" in c.returns else []
    of_model = None if c.fixed is None else c.fixed[0]
    rows = _pool(
        factors(backend),
        tuple(replace(r, seed=0) for r in given),
        unbatched_layouts(c),
        of_model,
        "output" in c.returns,
    )
    return [replace(recipe, seed=0) for recipe in rows]


def combinations_in_pool(backend: Backend) -> frozenset[Choice]:
    """The three-way combinations that the pool's signatures allow."""
    return frozenset(_combined(_uses(recipe, factors(backend)) for recipe in pool(backend)))


@lru_cache(maxsize=32)
def _pool(
    factors: Factors, given: tuple[Recipe, ...], unbatched: tuple[bool, ...], fixed: LSTMConfig | None, output: bool
) -> tuple[Recipe, ...]:
    costly = tuple((name, _costly(name, values)) for name, values in factors)
    # Each row from the many layers to the few: what covers three layers covers its first two.
    chosen = [part for recipe in given for part in _parts(recipe, fixed)]
    occurred, rng = Occurred(), random.Random(0)
    for recipe in chosen:
        occurred.add(recipe, choices(recipe))
    while left := covering_rows(costly, 2, tuple(_signed(recipe) for recipe in chosen)):
        number = len(chosen)
        # The deepest stacks first: their parts are covered at no cost.
        row = max(left, key=lambda row: int(str(dict(row)["layers"])))
        looked = rng.sample(candidates(number % 4 == 3), LOOKS)
        # Without outputs, a call takes as many signatures as it has steps.
        looked = looked if output else [({**sizes, "L": min(sizes["L"], 3)}, ()) for sizes, _ in looked]
        best = best_recipe(row, looked, number, unbatched, fixed, occurred)
        for part in _parts(replace(best, gain=1.0, view="plain"), fixed):
            chosen.append(part)
            occurred.add(part, choices(part))
    order = sorted(chosen, key=lambda r: (r.layers, r.bidirectional, r.proj > 0, r.ragged, r.unbatched))
    return tuple(dict.fromkeys(order))


def _costly(name: str, values: tuple[object, ...]) -> tuple[object, ...]:
    """The values of a factor that cost a compilation each: views cost none, nor does which state is given."""
    return values[:1] if name == "view" else tuple(v for v in values if v not in ("h", "c"))


def _signed(recipe: Recipe) -> Choice:
    """The choices of a recipe that cost a compilation."""
    return choices(replace(recipe, view="plain", state="none" if recipe.state == "none" else "both"))


def _parts(recipe: Recipe, fixed: LSTMConfig | None) -> list[Recipe]:
    """A recipe, and those of its first layers."""
    fewest = recipe.layers if fixed is not None else 1
    return [replace(recipe, layers=layers, seed=0) for layers in range(recipe.layers, fewest - 1, -1)]


@lru_cache(maxsize=32)
def reusing(pool: tuple[Recipe, ...], factors: Factors) -> tuple[Recipe, ...]:
    """Recipes of the pool's signatures with every combination of three choices that they allow."""
    uses = [(recipe, frozenset(use)) for recipe in pool for use in _uses(recipe, factors)]
    uncovered = _combined(_uses(recipe, factors) for recipe in pool)
    order, rng, chosen = sorted(uncovered, key=repr), random.Random(0), list[Recipe]()
    rng.shuffle(order)
    for combination in order:
        if combination in uncovered:
            fitting = [(recipe, dict(use)) for recipe, use in uses if use.issuperset(combination)]
            some = [
                replace(recipe, view=str(use["view"]), state=str(use["state"]))
                for recipe, use in rng.sample(fitting, min(len(fitting), _TRIES))
            ]
            chosen.append(max(some, key=lambda r: len(uncovered.intersection(combinations(choices(r), 3)))))
            uncovered.difference_update(combinations(choices(chosen[-1]), 3))
    # Each is drawn, also where others have all of its choices.
    drawn = {replace(recipe, view="plain", state="both" if recipe.state != "none" else "none") for recipe in chosen}
    chosen += [recipe for recipe in pool if recipe not in drawn]
    gains = (1.0, 0.3, 3.0)
    return tuple(replace(recipe, gain=gains[number % 3]) for number, recipe in enumerate(chosen))


def _uses(recipe: Recipe, factors: Factors) -> list[Choice]:
    """The choices of a recipe with every view and every state that leave its signature as it is."""
    if recipe.L == LONG:
        # Views and states are asked of shorter ones.
        return [choices(recipe)]
    values = dict(factors)
    states = [state for state in values["state"] if (state == "none") == (recipe.state == "none")]
    return [choices(replace(recipe, view=str(view), state=str(state))) for view in values["view"] for state in states]


def _combined(rows: Iterable[list[Choice]]) -> set[Choice]:
    return {combination for uses in rows for use in uses for combination in combinations(use, 3)}
