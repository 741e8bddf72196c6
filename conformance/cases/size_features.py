"""What code may depend on in a case: its options, and what its sizes are, alone and beside each other.

A fault may need several of them at once: more than 8 steps, a hidden size that is no multiple of 4, float64. The sizes
of the fixed set are chosen by the combinations of three traits that they add to those that occurred (``covering.py``).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import combinations

from conformance.cases.recipe import Recipe

_SIZES = ("I", "H", "L", "N")

#: Sizes up to the next of these are of one kind: code takes what is beyond a vector or a block in another way.
_STEPS = (0, 1, 2, 4, 8, 16)

#: How many combinations of traits a size is worth that did not occur in as many rows.
_WORTH = 200


def traits(recipe: Recipe) -> list[str]:
    """What a recipe's sizes I, H, L and N are, in words that mean the same for every recipe."""
    found = []
    for name in _SIZES:
        size = getattr(recipe, name)
        found.append(f"{name} is {'odd' if size % 2 else 'even'}")
        found.append(f"{name} is {'no' if size % 4 else 'a'} multiple of 4")
        found.append(f"{name} is above {max(step for step in _STEPS if step < size)}")
    for a, b in combinations(_SIZES, 2):
        one, other = getattr(recipe, a), getattr(recipe, b)
        found.append(f"{a} is {'below' if one < other else 'above' if one > other else 'as large as'} {b}")
    # Square weights and equal shapes can be mistaken for each other.
    width = recipe.config.num_directions * recipe.config.output_size
    found += ["I is as wide as the output"] * (width == recipe.I)
    found += ["I is 4H"] * (recipe.I == 4 * recipe.H)
    return found


class Met:
    """What occurred so far: sizes, and combinations of three traits."""

    def __init__(self) -> None:
        self._sizes: set[tuple[str, int, bool]] = set()
        self._places: dict[Hashable, int] = {}
        #: For every two traits, those that did not occur beside them, as bits.
        self._missing: list[list[int]] = []

    def gain(self, recipe: Recipe, present: Iterable[Hashable]) -> int:
        """What a recipe and its traits would add."""
        places, bits = self._bits(present)
        new = sum((bits & row[b]).bit_count() for a in places for row in (self._missing[a],) for b in places if b > a)
        return new // 3 + _WORTH * len(_sizes(recipe) - self._sizes)

    def add(self, recipe: Recipe, present: Iterable[Hashable]) -> None:
        """Remember a recipe and its traits."""
        places, bits = self._bits(present)
        self._sizes |= _sizes(recipe)
        for a in places:
            for b in places:
                self._missing[a][b] &= ~bits

    def _bits(self, present: Iterable[Hashable]) -> tuple[list[int], int]:
        places = [self._places.setdefault(trait, len(self._places)) for trait in present]
        if len(self._missing) < len(self._places):
            for row in self._missing:
                row += [-1] * (len(self._places) - len(row))
            self._missing += [[-1] * len(self._places) for _ in range(len(self._places) - len(self._missing))]
        return places, sum(1 << place for place in places)


def _sizes(recipe: Recipe) -> set[tuple[str, int, bool]]:
    """Each size, in one row or in several."""
    return {(name, getattr(recipe, name), recipe.N > 1) for name in _SIZES}
