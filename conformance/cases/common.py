"""The calls that stand at the head of every set of cases: the simplest, and those that users make most often."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from conformance.backend import Backend, Capabilities
from conformance.cases.choices import judged_dtypes
from conformance.cases.recipe import Recipe, model_fields
from conformance.cases.sizes import COMMON_SIZES, COMPILED_SIZES


def simplest(backend: Backend) -> list[Recipe]:
    """The smallest case of all, and an ordinary one of several sizes with an initial state."""
    c = backend.capabilities
    smallest = Recipe(dtype=judged_dtypes(backend)[0], batch_first=not c.time_major)
    sizes = {**COMPILED_SIZES} if c.compiled else {"I": 3, "H": 4, "L": 5, "N": 2}
    sizes |= {} if c.batch else {"N": 1}
    ordinary = replace(smallest, **sizes, state="both" if c.initial_state else "none")  # type: ignore[arg-type]
    model = {} if c.fixed is None else model_fields(c.fixed[0])
    return [replace(recipe, **model) for recipe in (smallest, ordinary)]


def common(backend: Backend, seed: int) -> list[Recipe]:
    """The calls that users make most often, as far as they are declared, each once.

    Kernels have paths of their own for one layer and direction with biases; no covering row is ordinary in everything.
    """
    c = backend.capabilities
    base = simplest(backend)[1]
    if c.fixed is not None:
        wished = [{"state": "none"}, {}]
    else:
        wished: list[dict[str, Any]] = [
            {"state": "none"},
            {"state": "none", "batch_first": c.batch_first},
            {},
            {"batch_first": c.batch_first},
            {"unbatched": c.unbatched, "N": 1},
            {
                "layers": 1 + c.layers,
                "bidirectional": c.bidirectional,
                "batch_first": c.batch_first,
                "ragged": c.lengths,
            },
        ]
        if c.compiled:
            wished = _shared(c, wished)
        pool = (COMPILED_SIZES,) if c.compiled else COMMON_SIZES
        rows = {} if c.batch else {"N": 1}
        wished = [{**pool[k % len(pool)], **rows, **changes} for k, changes in enumerate(wished)]
    # Together with the rows they alternate with, their seeds leave every remainder of division by 4.
    recipes = [replace(base, seed=1000 * seed + 502 + k, **changes) for k, changes in enumerate(wished)]  # type: ignore[arg-type]
    # Undeclared options leave some alike but for sizes and seed: the first of each kind stays.
    kinds: dict[Hashable, Recipe] = {}
    for r in recipes:
        kinds.setdefault((r.layers, r.bidirectional, r.batch_first, r.unbatched, r.state, r.ragged), r)
    return list(kinds.values())


def _shared(c: Capabilities, wished: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The common calls of a backend that compiles.

    Those with a state first: what properties make of the first call is shared with later ones.
    """
    bare, _, ordinary, batch_first, unbatched, every = wished
    deep = [every] if c.layers or c.bidirectional else []
    return [ordinary, {"ragged": c.lengths}, batch_first, unbatched, *deep, bare]
