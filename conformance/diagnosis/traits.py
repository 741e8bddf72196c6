"""Traits of cases, and the smallest conjunction of them that tells cases which fail from cases which do not.

A *dimension* is a field of a recipe, or follows from it. Some hold whole numbers, some words or yes and no, and some,
such as "|c|", the values of a call: there, "at least v" says that some element is, and "at most v" likewise.

===============  =====================================================================================================
dimension        what it is
===============  =====================================================================================================
a recipe's own   ``layers``, ``bidirectional``, ``bias``, ``batch_first``, ``unbatched``, ``proj``, ``dtype``, ``L``,
                 ``N``, ``H``, ``I``, ``state``, ``ragged``, ``view``, ``fill``, ``gain``, ``turn``
``P``            the size of h
``slots``        layers times directions
``width``        the features of the output, D·P
``terms``        the longest sum that W_ih and W_hh make
``shortest``     the shortest row, L without lengths; ``longest`` likewise
``padding``      some row is shorter than L
``equal_lengths``, ``sorted_lengths``   all rows are equally long; none is longer than the one before
``full``         some row has L steps
``contiguous``   x lies in memory as C has it
``h_0``, ``c_0`` given, and not zeros alone
``h_read``,      some step reads an h (a c) that is not zeros: h_0 (c_0) is given, or there are several steps
``c_read``
``earlier``      how many calls of the same model came before
``after_…``      one of them had more, fewer or as many steps or rows, lengths or none, a state or none, or several of
                 these at once: ``after_same_rows+lengths``
``previous_…``   the last of them had
``|x|``, ``|h_0|``, ``|c_0|``, ``|a|``, ``a``, ``|c|``, ``c``, ``|h|``   values of a call; a is the preactivations
===============  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np

from conformance.cases.case import arrange, realise
from conformance.cases.recipe import Recipe
from conformance.facts import Trait

#: A number, a word, yes or no; or the least and the largest of some values.
Features = Mapping[str, Any]

#: Dimensions that hold whole numbers, and those whose multiples and equalities count.
_COUNTS = ("layers", "I", "H", "L", "N", "proj", "P", "width", "terms", "shortest", "longest")
_SIZES = ("I", "H", "L", "N")
_EQUAL = (*_SIZES, "P", "slots", "width")
_WORDS = ("dtype", "state", "view", "fill", "turn")
_FLAGS = (
    "bidirectional",
    "bias",
    "batch_first",
    "unbatched",
    "ragged",
    "padding",
    "equal_lengths",
    "sorted_lengths",
    "full",
    "contiguous",
    "h_0",
    "c_0",
    "h_read",
    "c_read",
)
_VALUES = ("|x|", "|h_0|", "|c_0|", "|a|", "a", "|c|", "c", "|h|")

#: What a call before another is asked, of each kind one thing at most; and all that may be asked of it at once.
_ASKED = (
    ("same_rows", "more_rows", "fewer_rows", "one_row"),
    ("same_steps", "more_steps", "fewer_steps"),
    ("lengths", "no_lengths"),
    ("state", "no_state"),
)
EARLIER = tuple(
    names for chosen in product(*(("", *kind) for kind in _ASKED)) if 0 < len(names := tuple(filter(None, chosen))) <= 3
)

#: Whether some call before of the same model was like that, or the one right before it; and one of another model.
_OF_ONE = tuple(f"{when}_{'+'.join(names)}" for names in EARLIER for when in ("after", "previous"))
_EARLIER = ("after_other_model", *_OF_ONE)

_MODEL = ("layers", "bidirectional", "bias", "slots")

#: The order in which traits are told: the model's, the call's, those of earlier calls, and then values.
ORDER = tuple(dict.fromkeys((*_MODEL, *_COUNTS, *_FLAGS, *_WORDS, "earlier", *_EARLIER, "gain", *_VALUES)))

_FACTORS = (2, 4, 8, 16, 32, 64, 128)

#: What follows from others explains less than these themselves, and what depends on the data less than a structure.
_FARTHER = {
    "contiguous": 0.1,
    "P": 0.2,
    "slots": 0.2,
    "width": 0.4,
    "terms": 0.5,
    "shortest": 0.3,
    "longest": 0.35,
    "equal_lengths": 0.2,
    "sorted_lengths": 0.2,
    "full": 0.2,
    "padding": 0.1,
    "h_read": 0.3,
    "c_read": 0.3,
}
_FARTHER |= {name: 0.1 + 0.1 * name.startswith("previous") + 0.45 * name.count("+") for name in _EARLIER}
_FARTHER |= {"fill": 1.5, "gain": 1.5, **dict.fromkeys(_VALUES, 0.6), "a": 0.7, "c": 0.7}
_PRICES = {">=": 1.0, "<=": 1.05, "=": 1.0, ">": 1.25, "<": 1.25, "not": 1.2}
_PRICES |= {"multiple of": 1.3, "not a multiple of": 1.4}

#: A case on the wrong side of a conjunction costs as much as this share of a trait.
_WRONG_SIDE = 0.5

#: So many thresholds are tried in a dimension.
_THRESHOLDS = 7


def features(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe's dimensions, but for those of the call's values."""
    D, P = 1 + recipe.bidirectional, recipe.proj or recipe.H
    own: dict[str, Any] = {
        name: getattr(recipe, name) for name in (*_SIZES, "layers", "proj", *_WORDS, *_FLAGS[:5], "gain")
    }
    h_0, c_0 = recipe.state in ("both", "h"), recipe.state in ("both", "c")
    lengths = realise(_small(recipe)).row_lengths() if recipe.ragged else np.full(recipe.N, recipe.L)
    shortest, longest = int(lengths.min()), int(lengths.max())
    widest = D * P if recipe.layers > 1 else 1
    return own | {
        **{"P": P, "slots": recipe.layers * D, "width": D * P, "terms": max(recipe.I, widest, P)},
        **{"shortest": shortest, "longest": longest, "padding": shortest < recipe.L},
        **{"equal_lengths": shortest == longest, "sorted_lengths": bool(np.all(np.diff(lengths) <= 0))},
        "full": longest == recipe.L,
        **{"h_0": h_0, "c_0": c_0, "contiguous": _contiguous(recipe)},
        **{"contiguous": _contiguous(recipe)},
        **{"h_read": h_0 or longest > 1, "c_read": c_0 or longest > 1},
    }


def _small(recipe: Recipe) -> Recipe:
    """A recipe of the same lengths that is cheap to realise: they depend on its sizes only where one is large."""
    large = max(recipe.I, recipe.H) > 33
    return Recipe(I=34 if large else 1, L=recipe.L, N=recipe.N, ragged=True, seed=recipe.seed, turn=0)


def _contiguous(recipe: Recipe) -> bool:
    """Whether x lies in memory as C has it."""
    if recipe.view in ("plain", "readonly", "offset"):
        return True
    rows = () if recipe.unbatched else (recipe.N,)
    steps = (*rows, recipe.L) if recipe.batch_first else (recipe.L, *rows)
    return arrange(np.empty((*steps, recipe.I), np.int8), recipe.view).flags.c_contiguous


def holds(trait: Trait, case: Features) -> bool:
    """Whether a case has a trait."""
    have, relation, want = case[trait.dimension], trait.relation, trait.value
    if trait.dimension in _EQUAL and isinstance(want, str):
        want = case[want]
    if isinstance(have, tuple):
        least, most = have
        return most >= want if relation == ">=" else least <= want
    match relation:
        case "=":
            return have == want
        case "not":
            return have != want
        case ">=":
            return have >= want
        case "<=":
            return have <= want
        case ">":
            return have > want
        case "<":
            return have < want
        case "multiple of":
            return have % want == 0
        case _:
            return have % want != 0


def price(trait: Trait) -> float:
    """How much a trait takes to say; of two conjunctions the cheaper one is told."""
    equal = 0.3 if trait.dimension in _EQUAL and isinstance(trait.value, str) else 0.0
    # One size alone is a stranger thing than all from it on; but for the smallest.
    single = (
        0.2 if trait.relation == "=" and trait.dimension in _COUNTS and not equal and trait.value not in (0, 1) else 0
    )
    none = 0.15 if trait.value is False else 0.0
    return _PRICES[trait.relation] + _FARTHER.get(trait.dimension, 0.0) + equal + single + none


@dataclass
class Sample:
    """A case that was asked, and whether it failed."""

    features: Features
    failed: bool


@dataclass
class Table:
    """The samples, and which of them have each trait, as the bits of a number."""

    samples: list[Sample] = field(default_factory=list)
    _masks: dict[Trait, tuple[int, int]] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Take one more sample in."""
        self.samples.append(sample)

    def having(self, trait: Trait) -> int:
        """The samples that have a trait."""
        mask, count = self._masks.get(trait, (0, 0))
        for k in range(count, len(self.samples)):
            mask |= holds(trait, self.samples[k].features) << k
        self._masks[trait] = mask, len(self.samples)
        return mask

    def smallest(self, given: Sequence[Trait] = (), alike: int = 1) -> tuple[Trait, ...]:
        """The cheapest conjunction: few traits, few cases on the wrong side; better than ``given``, or that itself.

        Where so many cases are ``alike``, they count as one.
        """
        failed = sum(1 << k for k, sample in enumerate(self.samples) if sample.failed)
        every = (1 << len(self.samples)) - 1
        candidates = [
            (self.having(trait), price(trait), trait) for trait in dict.fromkeys((*given, *self._candidates()))
        ]
        known = {trait: (mask, cost, trait) for mask, cost, trait in candidates}

        def cost(chosen: Sequence[tuple[int, float, Trait]]) -> float:
            inside = every
            total = 0.0
            for mask, own, _ in chosen:
                inside &= mask
                total += own
            return total + _WRONG_SIDE / alike * (inside ^ failed).bit_count()

        best: list[tuple[int, float, Trait]] | None = None
        for start in ([], [known[trait] for trait in given], _needed(candidates, failed, cost)):
            grown = _improved(start, candidates, cost)
            if best is None or cost(grown) < cost(best):
                best = grown
        return tuple(trait for _, _, trait in best or ())

    def _candidates(self) -> Iterator[Trait]:
        """Every trait that nearly all failing cases have and some other has not."""
        failing = [sample.features for sample in self.samples if sample.failed]
        failed = sum(1 << k for k, sample in enumerate(self.samples) if sample.failed)
        passed = ((1 << len(self.samples)) - 1) & ~failed
        for trait in dict.fromkeys(_possible(failing, [s.features for s in self.samples if not s.failed])):
            mask = self.having(trait)
            if (failed & mask).bit_count() >= 0.6 * len(failing) and passed & ~mask:
                yield trait


def _needed(candidates: list[Any], failed: int, cost: Any) -> list[Any]:
    """Of all traits that every failing case has, those that are left when each that is not needed is dropped.

    Traits that tell something only together are among them; to add one at a time does not find those.
    """
    chosen = [one for one in candidates if not failed & ~one[0]]
    for one in sorted(chosen, key=lambda one: -one[1]):
        fewer = [other for other in chosen if other is not one]
        if cost(fewer) <= cost(chosen):
            chosen = fewer
    return chosen


def _improved(chosen: list[Any], candidates: list[Any], cost: Any) -> list[Any]:
    """Add, drop and exchange traits while that makes the conjunction cheaper."""
    now = cost(chosen)
    while True:
        ways = [[*chosen, one] for one in candidates if one not in chosen]
        ways += [[*chosen[:k], *chosen[k + 1 :]] for k in range(len(chosen))]
        ways += [[*chosen[:k], one, *chosen[k + 1 :]] for k in range(len(chosen)) for one in candidates]
        costs = [cost(way) for way in ways]
        least = min(costs, default=now)
        if least >= now - 1e-9:
            return chosen
        chosen, now = ways[costs.index(least)], least


def _possible(failing: Sequence[Features], passing: Sequence[Features]) -> Iterator[Trait]:
    """The traits that some failing case has, tight where they are thresholds."""
    there = failing[0].keys() if failing else ()
    for name in (*_WORDS, *_FLAGS, *(name for name in _EARLIER if name in there)):
        values = {case[name] for case in failing}
        # That no call had two things at once is hard to follow.
        yield from (Trait(name, "=", value) for value in values if value or "+" not in name)
        if name in _WORDS:
            yield from (Trait(name, "not", value) for value in {case[name] for case in passing} - values)
            yield from (Trait(name, "not", value) for value in values if len(values) > 1)
    for name in (*_COUNTS, *(name for name in ("earlier",) if name in there)):
        values = sorted({case[name] for case in failing})
        yield from (Trait(name, ">=", value) for value in values[:_THRESHOLDS])
        yield from (Trait(name, "<=", value) for value in values[-_THRESHOLDS:])
        yield from (Trait(name, "=", value) for value in values[:_THRESHOLDS])
    # More would only stand for layers and directions.
    yield from (Trait("slots", "=", 1), Trait("slots", ">=", 2))
    for name in _SIZES:
        for factor in _FACTORS:
            yield Trait(name, "multiple of", factor)
            yield Trait(name, "not a multiple of", factor)
    for one, other in combinations(_EQUAL, 2):
        yield Trait(one, "=", other)
        yield Trait(one, "not", other)
        yield Trait(one, ">", other)
        yield Trait(one, "<", other)
    values = sorted({case["gain"] for case in failing})
    yield from (Trait("gain", ">=", value) for value in values[:_THRESHOLDS])
    yield from (Trait("gain", "<=", value) for value in values[-_THRESHOLDS:])
    for name in _VALUES:
        if all(name in case for case in (*failing, *passing)):
            yield from (Trait(name, ">=", v) for v in sorted({case[name][1] for case in failing})[:_THRESHOLDS])
            yield from (Trait(name, "<=", v) for v in sorted({case[name][0] for case in failing})[-_THRESHOLDS:])
