"""Traits of cases, by which those that fail are told from those that do not (``table.py``).

A *dimension* is a field of a recipe, or follows from it. Some hold whole numbers, some words or yes and no, and some,
such as "|c|", the values of a call: there, "at least v" says that some element is, and "at most v" likewise.

===============  =====================================================================================================
dimension        what it is
===============  =====================================================================================================
a recipe's own   ``layers``, ``bidirectional``, ``bias``, ``batch_first``, ``unbatched``, ``proj``, ``dtype``, ``L``,
                 ``N``, ``H``, ``I``, ``state``, ``ragged``, ``fill``, ``gain``
``P``            the size of h
``slots``        layers times directions
``width``        the features of the output, D·P
``terms``        the longest sum that W_ih and W_hh make
``L·N`` …        sizes multiplied, which offsets and blocks are made of: ``L·N``, ``L·N·I`` (all of x), ``L·P``, ``N·H``
``shortest``     the shortest row, L without lengths; ``longest`` likewise
``padding``      some row is shorter than L
``equal_lengths``, ``sorted_lengths``   all rows are equally long; none is longer than the one before
``full``         some row has L steps
``memory``       how x, h_0 and c_0 lie in memory, where they are large enough to show it: ``plain``, ``permuted`` (not
                 in the order of their axes), ``apart`` (features not side by side), ``gapped`` (steps, rows or slots
                 not), ``backwards``, ``offset``, ``readonly``; ``x_memory`` x alone
``contiguous``   x, h_0 and c_0 lie in memory as C has them; ``x_contiguous`` x alone
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

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from conformance.cases.case import arrange, realise
from conformance.cases.recipe import Recipe
from conformance.facts import Trait

#: A number, a word, yes or no; or the least and the largest of some values.
Features = Mapping[str, Any]

#: Dimensions that hold whole numbers, and those whose multiples and equalities count.
PRODUCTS = ("L·N", "L·N·I", "L·P", "N·H")
COUNTS = ("layers", "I", "H", "L", "N", "proj", "P", "width", "terms", "shortest", "longest", *PRODUCTS)
SIZES = ("I", "H", "L", "N")
EQUAL = (*SIZES, "P", "slots", "width")
WORDS = ("dtype", "state", "memory", "x_memory", "fill")
FLAGS = (
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
    "x_contiguous",
    "h_0",
    "c_0",
    "h_read",
    "c_read",
)
VALUES = ("|x|", "|h_0|", "|c_0|", "|a|", "a", "|c|", "c", "|h|")

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
EARLIER_CALLS = ("after_other_model", *_OF_ONE)

_MODEL = ("layers", "bidirectional", "bias", "slots")

#: The order in which traits are told: the model's, the call's, those of earlier calls, and then values.
ORDER = tuple(dict.fromkeys((*_MODEL, *COUNTS, *FLAGS, *WORDS, "earlier", *EARLIER_CALLS, "gain", *VALUES)))

#: What follows from others explains less than these themselves, and what depends on the data less than a structure.
_FARTHER = {
    "contiguous": 0.1,
    "x_contiguous": 0.15,
    "x_memory": 0.05,
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
_FARTHER |= dict.fromkeys(PRODUCTS, 0.45)
_FARTHER |= {name: 0.1 + 0.1 * name.startswith("previous") + 0.45 * name.count("+") for name in EARLIER_CALLS}
_FARTHER |= {"fill": 1.5, "gain": 1.5, **dict.fromkeys(VALUES, 0.6), "a": 0.7, "c": 0.7}
_PRICES = {">=": 1.0, "<=": 1.05, "=": 1.0, ">": 1.25, "<": 1.25, "not": 1.2}
_PRICES |= {"multiple of": 1.3, "not a multiple of": 1.4}

#: Memory as C has it.
_CONTIGUOUS = ("plain", "readonly", "offset")


def features(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe's dimensions, but for those of the call's values."""
    D, P = 1 + recipe.bidirectional, recipe.proj or recipe.H
    own: dict[str, Any] = {
        name: getattr(recipe, name) for name in (*SIZES, "layers", "proj", "dtype", "state", "fill", *FLAGS[:5], "gain")
    }
    h_0, c_0 = recipe.state in ("both", "h"), recipe.state in ("both", "c")
    lengths = realise(_small(recipe)).row_lengths() if recipe.ragged else np.full(recipe.N, recipe.L)
    shortest, longest = int(lengths.min()), int(lengths.max())
    widest = D * P if recipe.layers > 1 else 1
    x_memory, memory = _memories(recipe)
    return own | {
        **{"P": P, "slots": recipe.layers * D, "width": D * P, "terms": max(recipe.I, widest, P)},
        **{"shortest": shortest, "longest": longest, "padding": shortest < recipe.L},
        **{"equal_lengths": shortest == longest, "sorted_lengths": bool(np.all(np.diff(lengths) <= 0))},
        "full": longest == recipe.L,
        **{"L·N": recipe.L * recipe.N, "L·N·I": recipe.L * recipe.N * recipe.I},
        **{"L·P": recipe.L * P, "N·H": recipe.N * recipe.H},
        **{"h_0": h_0, "c_0": c_0, "memory": memory, "x_memory": x_memory},
        **{"contiguous": memory in _CONTIGUOUS, "x_contiguous": x_memory in _CONTIGUOUS},
        **{"h_read": h_0 or longest > 1, "c_read": c_0 or longest > 1},
    }


def _small(recipe: Recipe) -> Recipe:
    """A recipe of the same lengths that is cheap to realise: they depend on its sizes only where one is large."""
    large = max(recipe.I, recipe.H) > 33
    return Recipe(I=34 if large else 1, L=recipe.L, N=recipe.N, ragged=True, seed=recipe.seed, turn=0)


def _memories(recipe: Recipe) -> tuple[str, str]:
    """How x lies in memory, and how all of x and the state do: the first that does not lie as C has it."""
    if recipe.view in _CONTIGUOUS:
        return recipe.view, recipe.view
    rows = () if recipe.unbatched else (recipe.N,)
    slots = recipe.layers * (1 + recipe.bidirectional)
    steps = (*rows, recipe.L) if recipe.batch_first else (recipe.L, *rows)
    state = ((slots, *rows, recipe.proj or recipe.H), (slots, *rows, recipe.H)) if recipe.state != "none" else ()
    x, *others = (_memory(shape, recipe.view) for shape in ((*steps, recipe.I), *state))
    return x, next((one for one in (x, *others) if one != "plain"), "plain")


def _memory(shape: tuple[int, ...], view: str) -> str:
    """How an array of a shape lies in memory under a view, of which axes of one element show nothing."""
    array = arrange(np.empty([min(size, 3) for size in shape], np.int8), view)
    strides = [stride for stride, size in zip(array.strides, shape, strict=True) if size > 1]
    if array.flags.c_contiguous:
        return "plain"
    if min(strides) < 0:
        return "backwards"
    if strides != sorted(strides, reverse=True):
        return "permuted"
    return "apart" if shape[-1] > 1 and array.strides[-1] > 1 else "gapped"


def holds(trait: Trait, case: Features) -> bool:
    """Whether a case has a trait."""
    have, relation, want = case[trait.dimension], trait.relation, trait.value
    if trait.dimension in EQUAL and isinstance(want, str):
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
    equal = 0.3 if trait.dimension in EQUAL and isinstance(trait.value, str) else 0.0
    # One size alone is a stranger thing than all from it on; but for the smallest.
    single = (
        0.2 if trait.relation == "=" and trait.dimension in COUNTS and not equal and trait.value not in (0, 1) else 0
    )
    none = 0.15 if trait.value is False else 0.0
    return _PRICES[trait.relation] + _FARTHER.get(trait.dimension, 0.0) + equal + single + none
