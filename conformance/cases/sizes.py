"""The sizes of the fixed set: candidates, and how much each would add to what occurred so far.

Code may depend on sizes, alone and beside each other: more than 8 steps, a hidden size that is no multiple of
4, as many rows as steps. Such *size features* are named here. A fault may need several of them at once, or together
with options, so the fixed set's sizes are chosen by the combinations of three features that they add.

Code that tells axes, layouts or weights apart by their sizes is wrong where two of these are equal, a *coincidence*.
Each is to meet every option.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, product

from conformance.cases.recipe import Recipe

Coincidence = tuple[str, str]

#: Sizes that can be mistaken for each other where they are equal, the first of which can be made so. "slots" are the
#: layers times the directions, "P" is the size of h, and "width" that of the output.
COINCIDENCES: tuple[Coincidence, ...] = (
    # The axes of x, of the output, of h and of c.
    *(("N", "L"), ("I", "L"), ("I", "N"), ("L", "width"), ("N", "width"), ("N", "P"), ("N", "H"), ("N", "slots")),
    # x and the state, x and the output, W_ih and W_hh.
    *(("L", "slots"), ("I", "width"), ("I", "P"), ("I", "H")),
)

#: Sizes of ordinary calls.
COMMON_SIZES = (
    {"I": 3, "H": 5, "L": 4, "N": 2},
    {"I": 7, "H": 4, "L": 6, "N": 3},
    {"I": 2, "H": 9, "L": 5, "N": 4},
    {"I": 1, "H": 8, "L": 3, "N": 5},
    {"I": 17, "H": 6, "L": 8, "N": 2},
    {"I": 5, "H": 16, "L": 7, "N": 3},
)

#: Of a backend that compiles, the sizes of common calls; a number of steps that 8 bits do not count; sizes of a wide
#: model; and a number of rows that 16 bits do not count, of the smallest model.
COMPILED_SIZES = {"I": 3, "H": 4, "L": 3, "N": 2}
LONG = 257
WIDE = {"I": 132, "H": 128, "L": 3, "N": 35}
MANY_ROWS = {"I": 1, "H": 1, "L": 2, "N": 140_002}

#: Sizes of which the candidates are made, 2^k and 2^k ± 1 among them; and larger ones, at most one in a candidate.
_SIZES = {
    "I": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 20),
    "H": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20),
    "L": (*(2, 3, 4, 5, 6, 7, 8, 9) * 3, 10, 12, 16, 17),
    "N": (2, 3, 4, 5, 6, 7, 8, 9),
}
_LARGE = {"I": (31, 64), "H": (33, 65, 129), "L": (16, 17), "N": (17, 33)}

#: How many candidates there are, and how much work one may be, as a product of its sizes.
_CANDIDATES, WORK = 600, 110_000

#: Sizes up to the next of these are of one kind: code handles the rest beyond a vector or a block in another way.
_KINDS = (0, 1, 2, 4, 8, 16)

#: Equal sizes are found among small ones as well.
_EQUAL_UP_TO = 10

#: The bits of a set of all features.
_ALL = -1

#: A size that is new, in one row or in several, counts as much as this many new combinations; and so much counts a
#: coincidence with an option that it did not meet before.
_NEW_SIZE, _NEW_MEETING = 200, 150


def dimension(recipe: Recipe, name: str) -> int:
    """The size of an axis by its name in ``COINCIDENCES``."""
    return _dimensions(recipe)[name]


def _dimensions(recipe: Recipe) -> dict[str, int]:
    D, P = 1 + recipe.bidirectional, recipe.proj or recipe.H
    own = {"I": recipe.I, "H": recipe.H, "L": recipe.L, "N": recipe.N}
    return own | {"slots": recipe.layers * D, "P": P, "width": D * P}


def coincidences(recipe: Recipe) -> list[Coincidence]:
    """The sizes above 1 that are equal."""
    size = _dimensions(recipe)
    return [(one, other) for one, other in COINCIDENCES if size[one] == size[other] > 1]


def equalled(recipe: Recipe, one: str, other: str) -> Recipe:
    """The recipe with one size made equal to another; a single step or row stays one."""
    single = one in ("L", "N") and getattr(recipe, one) == 1
    size = dimension(recipe, other)
    return recipe if single or size == 1 else replace(recipe, **{one: size})


def keeping(recipe: Recipe, **sizes: int) -> dict[str, int]:
    """Changes of sizes, with those by which sizes that are equal stay equal; steps and rows do not grow again."""
    changed = replace(recipe, **sizes)  # type: ignore[arg-type]
    for one, other in coincidences(recipe):
        if one == "I" or dimension(changed, other) <= dimension(changed, one):
            changed = equalled(changed, one, other)
    return sizes | {name: getattr(changed, name) for name in _SIZES}


@lru_cache(maxsize=2)
def candidates(equal: bool) -> list[tuple[dict[str, int], tuple[Coincidence, ...]]]:
    """Sizes I, H, L and N, pairwise distinct, and what is to be made ``equal``: one coincidence or two."""
    rng, chosen = random.Random(0), []
    while len(chosen) < _CANDIDATES:
        sizes = {name: rng.choice(pool) for name, pool in _SIZES.items()}
        coincident: tuple[Coincidence, ...] = ()
        if equal:
            coincident = _TOGETHER[len(chosen) % len(_TOGETHER)]
        elif len(chosen) % 3 == 1:
            name = rng.choice("IHLN")
            sizes = {other: rng.randint(2, 5) for other in sizes} | {name: rng.choice(_LARGE[name])}
        elif len(chosen) % 12 == 6:
            sizes["I"] = 4 * sizes["H"]
        elif len(chosen) % 12 == 0:
            coincident = (("I", "width"),)
        ordinary = [size for size in sizes.values() if size > 1]
        small = max(ordinary, default=0) <= _EQUAL_UP_TO or not equal
        if len(ordinary) == len(set(ordinary)) and small and work(**sizes) <= WORK:
            chosen.append((sizes, coincident))
    return chosen


def work(I: int, H: int, L: int, N: int) -> int:  # noqa: E741  the field's own name
    """About how much work a case of these sizes is."""
    return H * (I + H) * L * N


def _apart(one: Coincidence, other: Coincidence) -> bool:
    """Whether two coincidences have no size in common: H, P and the width are one size without options."""
    names = [{"P": "H", "width": "H"}.get(name, name) for name in (*one, *other)]
    return len(set(names)) == len(names)


#: Each coincidence alone, and every two that leave others apart.
_TOGETHER = (
    *((one,) for one in COINCIDENCES),
    *(pair for pair in combinations(COINCIDENCES, 2) if _apart(*pair)),
)


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
    features += [f"{one} equals {other}" for one, other in coincidences(recipe) if other not in _SIZES]
    features += ["I is 4H"] * (recipe.I == 4 * recipe.H)
    return features


class Occurred:
    """The sizes, their meetings with options, and the combinations of three features, of the recipes that were added.

    Features are options and size features. They are numbered as they come, and a set of them is kept as the bits of a
    number: ``_missing[a][b]`` holds those that never occurred in one recipe with a and b, a < b. Where it has no b,
    these are all features, a and b themselves included.
    """

    def __init__(self) -> None:
        self._sizes: set[Hashable] = set()
        self._meetings: set[Hashable] = set()
        self._numbers: dict[Hashable, int] = {}
        self._missing: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def gain(self, recipe: Recipe, options: tuple[Hashable, ...]) -> int:
        """How much a recipe would add: about the number of new combinations, and more for new sizes and meetings.

        Each new combination is counted by its three pairs, hence the division; and each new pair by its two features.
        """
        numbers, bits = self._features(recipe, options)
        new = 0
        for at, a in enumerate(numbers, 1):
            missing = self._missing[a].get
            new += sum([(bits & missing(b, _ALL)).bit_count() for b in numbers[at:]])
        sizes, meetings = _sizes(recipe) - self._sizes, _meetings(recipe, options) - self._meetings
        return new // 3 + _NEW_SIZE * len(sizes) + _NEW_MEETING * len(meetings)

    def add(self, recipe: Recipe, options: tuple[Hashable, ...]) -> None:
        """Remember a recipe."""
        numbers, bits = self._features(recipe, options)
        self._sizes |= _sizes(recipe)
        self._meetings |= _meetings(recipe, options)
        for a, b in combinations(numbers, 2):
            self._missing[a][b] = self._missing[a].get(b, _ALL) & ~bits

    def _features(self, recipe: Recipe, options: tuple[Hashable, ...]) -> tuple[list[int], int]:
        """The features' numbers in ascending order, and their bits."""
        features = *options, *size_features(recipe)
        numbers = sorted([self._numbers.setdefault(feature, len(self._numbers)) for feature in features])
        return numbers, sum([1 << number for number in numbers])


def _sizes(recipe: Recipe) -> set[Hashable]:
    """Each size, and whether it occurs in several rows."""
    return {(name, getattr(recipe, name), recipe.N > 1) for name in _SIZES}


def _meetings(recipe: Recipe, options: tuple[Hashable, ...]) -> set[Hashable]:
    """Each coincidence with each option."""
    return {*product(coincidences(recipe), options)}
