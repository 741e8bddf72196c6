"""Cases around one that fails, within what a backend declares: simple variations of it, and random mixtures."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from conformance.backend import Backend
from conformance.cases.choices import judged_dtypes
from conformance.cases.pool import pool
from conformance.cases.recipe import SHAPING, STATES, VIEWS, Recipe, model_fields
from conformance.cases.sizes import COINCIDENCES, dimension, equalled, work
from conformance.diagnosis.traits import features

#: The fills at which values differ most: the rest is much like one of these.
FILLS = ("normal", "large-cell", "saturated", "gate-o", "gate-i", "carry", "sparse", "digital", "zero-weights")

_SIZES = ("I", "H", "L", "N")
_SMALL = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17)

#: Sizes that are multiples of a tile, and others beside them.
_TILED = (1, 2, 3, 4, 5, 8, 9, 12, 16, 17, 24, 31, 32, 33, 48, 64, 65, 128)

_GAINS = (1.0, 1.0, 1.0, 0.3, 3.0, 10.0)

#: The most work that a case around a smaller one may be, as a product of its sizes; around a larger one, its own.
_WORK = 60_000

#: The fields that decide a signature, which costs a backend that compiles a compilation.
_SIGNED = (*SHAPING, "batch_first", "unbatched", "dtype", "ragged")

#: The fields of a base in the order in which they are made simple.
SIMPLE = {"L": 1, "N": 1, "I": 1, "H": 1, "layers": 1, "bidirectional": False, "proj": 0, "ragged": False}
SIMPLE |= {"state": "none", "view": "plain", "unbatched": False, "batch_first": False, "bias": True}
SIMPLE |= {"fill": "normal", "gain": 1.0}


class Draws:
    """Cases of one backend around one recipe, asked in its own variant of a property; the same ones each time."""

    def __init__(self, backend: Backend, base: Recipe, seed: int = 0) -> None:
        self._c = backend.capabilities
        self._dtypes = judged_dtypes(backend)
        self._views = VIEWS if "views" not in backend.ruled_out else ("plain",)
        self._pool = pool(backend) if self._c.compiled else []
        self._model = {} if self._c.fixed is None else model_fields(self._c.fixed[0])
        self.base = base
        #: The values that random cases have, and the dtypes.
        self.fills: Sequence[str] = FILLS
        self.gains: Sequence[float] = _GAINS
        self.dtypes = self._dtypes
        self.rng = random.Random(seed)

    def possible(self, recipe: Recipe) -> Recipe | None:
        """The recipe, where it contradicts itself set right; None if the backend does not declare it."""
        c = self._c
        if recipe.unbatched:
            recipe = replace(recipe, N=1, ragged=False)
        recipe = replace(recipe, proj=min(recipe.proj, recipe.H - 1))
        if self._pool and not any(_signature(recipe) == _signature(one) for one in (*self._pool, self.base)):
            return None
        declared = (
            *(c.layers or recipe.layers == 1, c.bidirectional or not recipe.bidirectional, c.no_bias or recipe.bias),
            *(c.batch_first or not recipe.batch_first, c.time_major or recipe.batch_first or recipe.unbatched),
            *(c.unbatched or not recipe.unbatched, c.projection or not recipe.proj, c.lengths or not recipe.ragged),
            *(c.batch or recipe.N == 1, c.initial_state or recipe.state == "none", recipe.dtype in self._dtypes),
            *(recipe.view in self._views, all(getattr(recipe, name) == own for name, own in self._model.items())),
            work(recipe.I, recipe.H, recipe.L, recipe.N) <= max(_WORK, 3 * _work(self.base)),
        )
        return recipe if all(declared) else None

    def variations(self) -> Iterator[Recipe]:
        """The base with one field changed, to each of its values; a size to small ones, and near its own."""
        values: dict[str, Sequence[Any]] = {
            **{"layers": (1, 2, 3, 4), "state": STATES, "bidirectional": (False, True), "bias": (True, False)},
            **{"batch_first": (False, True), "unbatched": (False, True), "ragged": (False, True), "proj": (0, 1, 2)},
            **{"dtype": self._dtypes, "view": self._views},
        }
        values |= {name: self._near(name) for name in _SIZES}
        values |= {"gain": self.gains, "fill": self.fills}
        for name, options in values.items():
            for value in options:
                changed = self.possible(replace(self.base, **{name: value}))
                if changed is not None and changed != self.base:
                    yield changed

    def _near(self, name: str) -> list[int]:
        own = getattr(self.base, name)
        known = features(self.base)
        others = (known[other] for other in (*_SIZES, "width", "terms"))
        return sorted({*_TILED, *others, own - 1, own + 1, own + 2, 2 * own, 2 * own + 1, own // 2, 4 * own} - {0})

    def any(self) -> Recipe | None:
        """A random case."""
        rng, base = self.rng, self.base
        if self._pool:
            chosen = rng.choice(self._pool)
            state = chosen.state if chosen.state == "none" else rng.choice(STATES[1:])
            return self._valued(replace(chosen, state=state))
        recipe = replace(
            base,
            **{name: self._size(name) for name in _SIZES},
            layers=rng.choice((1, 1, 2, 2, 3, base.layers)),
            proj=rng.choice((0, 0, 0, 1, 2, base.proj)),
            dtype=rng.choice(self.dtypes),
            state=rng.choice(STATES),
            **{name: rng.random() < 0.5 for name in ("bidirectional", "bias", "batch_first", "ragged")},
            unbatched=rng.random() < 0.2,
        )
        if rng.random() < 0.25:
            one, other = rng.choice(COINCIDENCES)
            recipe = equalled(recipe, one, other) if dimension(recipe, other) <= 20 else recipe
        return self._valued(recipe)

    def _valued(self, recipe: Recipe) -> Recipe | None:
        rng = self.rng
        return self.possible(
            replace(
                recipe,
                view=rng.choice(self._views) if rng.random() < 0.3 else "plain",
                fill=rng.choice(self.fills) if rng.random() < 0.3 else self.fills[0],
                gain=rng.choice(self.gains),
                seed=rng.randrange(2**32),
                **self._model,
            )
        )

    def _size(self, name: str) -> int:
        rng, own = self.rng, getattr(self.base, name)
        if own > 17 and rng.random() < 0.7:
            return rng.choice((own, own - 1, own + 1, own + 2, own + rng.randrange(1, 9), 2 * own, own // 2))
        return rng.choice(_SMALL[:6] if rng.random() < 0.5 else _SMALL)

    def near(self, other: Recipe) -> Recipe | None:
        """A random case that has some of another's fields."""
        fresh, share = self.any(), self.rng.choice((0.3, 0.6, 0.85))
        if fresh is None:
            return None
        if self._pool:
            kept = {name: getattr(other, name) for name in ("view", "fill", "gain")}
            return self.possible(replace(fresh if self.rng.random() < share else other, **kept, seed=fresh.seed))
        names = [field.name for field in fields(Recipe) if field.name not in ("seed", "edits", "turn")]
        kept = {name: getattr(other, name) for name in names if self.rng.random() < share}
        mixed = replace(fresh, **kept, **({} if "proj" in kept else {"proj": min(fresh.proj, kept.get("H", 99) - 1)}))
        return self.possible(mixed)


def _work(recipe: Recipe) -> int:
    return work(recipe.I, recipe.H, recipe.L, recipe.N)


def _signature(recipe: Recipe) -> tuple[Any, ...]:
    """What decides whether a call costs a compilation."""
    return (*(getattr(recipe, name) for name in _SIGNED), recipe.state == "none")


def likely(recipes: Sequence[Recipe]) -> Iterator[Recipe]:
    """Recipes whose one call may show what a property found: as they are, or with something changed."""
    for recipe in recipes:
        ways = [replace(recipe, ragged=not recipe.ragged)]
        ways += [replace(recipe, layers=layers) for layers in range(recipe.layers - 1, 0, -1)]
        ways += [replace(recipe, view=view, L=max(recipe.L, 3), N=max(recipe.N, 2)) for view in VIEWS]
        ways += [replace(recipe, fill=fill, ragged=ragged) for fill in FILLS for ragged in (False, True)]
        for way in dict.fromkeys((recipe, *ways)):
            yield from (way, replace(way, seed=way.seed + 1))
