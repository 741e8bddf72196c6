"""The sizes of the fixed set: candidates, and how much each would add to what occurred so far.

Code may depend on sizes, alone and beside each other: more than 8 steps, a hidden size that is no multiple of
4, as many rows as steps. Such *size features* are named here. A fault may need several of them at once, or together
with options, so the fixed set's sizes are chosen by the combinations of three features that they add.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import combinations

from conformance.cases.recipe import Recipe

#: Sizes of ordinary calls, and of all calls of a backend that compiles for each shape.
COMMON_SIZES = (
    {"I": 3, "H": 5, "L": 4, "N": 2},
    {"I": 7, "H": 4, "L": 6, "N": 3},
    {"I": 2, "H": 9, "L": 5, "N": 4},
    {"I": 1, "H": 8, "L": 3, "N": 5},
    {"I": 17, "H": 6, "L": 8, "N": 2},
    {"I": 5, "H": 16, "L": 7, "N": 3},
)

#: Sizes of which the candidates are made, 2^k and 2^k ± 1 among them; and larger ones, at most one in a candidate.
_SIZES = {
    "I": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 20),
    "H": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20),
    "L": (*(2, 3, 4, 5, 6, 7, 8, 9) * 3, 10, 12, 16, 17),
    "N": (2, 3, 4, 5, 6, 7, 8, 9),
}
_LARGE = {"I": (31, 64), "H": (33, 65, 129), "L": (16, 17), "N": (17, 33)}

#: How many candidates there are, and how much work one may be, as a product of its sizes.
_CANDIDATES, _WORK = 600, 110_000

#: Sizes up to the next of these are of one kind: code handles the rest beyond a vector or a block in another way.
_KINDS = (0, 1, 2, 4, 8, 16)

#: The bits of a set of all features.
_ALL = -1

#: A size that is new, in one row or in several, counts as much as this many new combinations.
_NEW_SIZE = 200


@lru_cache(maxsize=2)
def candidates(equal: bool) -> list[dict[str, int]]:
    """Sizes I, H, L and N, pairwise distinct or two of them ``equal``. Without I, x is to be as wide as the output."""
    rng, chosen = random.Random(0), []
    while len(chosen) < _CANDIDATES:
        sizes = {name: rng.choice(pool) for name, pool in _SIZES.items()}
        if equal:
            one, other = rng.choice(("NH", "NL", "IH", "LH", "NI"))
            sizes[one] = sizes[other]
        elif len(chosen) % 3 == 1:
            name = rng.choice("IHLN")
            sizes = {other: rng.randint(2, 5) for other in sizes} | {name: rng.choice(_LARGE[name])}
        elif len(chosen) % 12 == 6:
            sizes["I"] = 4 * sizes["H"]
        ordinary = [size for size in sizes.values() if size > 1]
        work = sizes["H"] * (sizes["I"] + sizes["H"]) * sizes["L"] * sizes["N"]
        if len(ordinary) - len(set(ordinary)) == int(equal) and work <= _WORK:
            if not equal and len(chosen) % 12 == 0:
                del sizes["I"]
            chosen.append(sizes)
    return chosen


def size_features(recipe: Recipe) -> list[str]:
    """The features of a recipe's sizes on which code may depend, in words that mean the same for every recipe."""
    features = []
    for name in _SIZES:
        size = getattr(recipe, name)
        features.append(f"{name} is {'odd' if size % 2 else 'even'}")
        features.append(f"{name} is {'no' if size % 4 else 'a'} multiple of 4")
        features.append(f"{name} is above {max(kind for kind in _KINDS if kind < size)}")
    for a, b in combinations(_SIZES, 2):
        one, other = getattr(recipe, a), getattr(recipe, b)
        features.append(f"{a} is {'below' if one < other else 'above' if one > other else 'as large as'} {b}")
    # Square weights and equal shapes can be mistaken for each other.
    width = recipe.config.num_directions * recipe.config.output_size
    features += ["I is as wide as the output"] * (width == recipe.I)
    features += ["I is 4H"] * (recipe.I == 4 * recipe.H)
    return features


class Occurred:
    """The sizes, and the combinations of three features, of the recipes that were added.

    Features are numbered as they come, and a set of them is kept as the bits of a number: ``_missing[a, b]`` holds
    those that never occurred in one recipe with a and b, a < b; at first all features, a and b themselves included.
    """

    def __init__(self) -> None:
        self._sizes: set[tuple[str, int, bool]] = set()
        self._numbers: dict[Hashable, int] = {}
        self._missing: dict[tuple[int, int], int] = {}

    def gain(self, recipe: Recipe, features: Sequence[Hashable]) -> int:
        """How much a recipe and its features would add: about the number of new combinations, and more for new sizes.

        Each new combination is counted by its three pairs, hence the division; and each new pair by its two features.
        """
        pairs, bits = self._pairs(features)
        missing = self._missing.get
        new = sum([(bits & missing(pair, _ALL)).bit_count() for pair in pairs])
        return new // 3 + _NEW_SIZE * len(_sizes(recipe) - self._sizes)

    def add(self, recipe: Recipe, features: Sequence[Hashable]) -> None:
        """Remember a recipe's sizes and features."""
        pairs, bits = self._pairs(features)
        self._sizes |= _sizes(recipe)
        for pair in pairs:
            self._missing[pair] = self._missing.get(pair, _ALL) & ~bits

    def _pairs(self, features: Sequence[Hashable]) -> tuple[combinations[tuple[int, int]], int]:
        """Every two features' numbers, and the bits of all features."""
        numbers = sorted(self._numbers.setdefault(feature, len(self._numbers)) for feature in features)
        return combinations(numbers, 2), sum(1 << number for number in numbers)


def _sizes(recipe: Recipe) -> set[tuple[str, int, bool]]:
    """Each size, and whether it occurs in several rows."""
    return {(name, getattr(recipe, name), recipe.N > 1) for name in _SIZES}
