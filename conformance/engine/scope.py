"""The reach of an error: what is common to the cases in which a backend raised, and to no case that was right."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import combinations

from conformance.cases.recipe import Recipe
from conformance.spec import DTYPES

#: Traits of a case by their names, which ``report/english.py`` puts into words.
_HOLD: dict[str, Callable[[Recipe], bool]] = {
    "initial_state": lambda r: r.state != "none",
    "layers": lambda r: r.layers > 1,
    "bidirectional": lambda r: r.bidirectional,
    "no_bias": lambda r: not r.bias,
    "batch_first": lambda r: r.batch_first and not r.unbatched,
    "unbatched": lambda r: r.unbatched,
    "projection": lambda r: r.proj > 0,
    "lengths": lambda r: r.ragged,
    **{dtype: lambda r, dtype=dtype: r.dtype == dtype for dtype in DTYPES},
    "batch": lambda r: r.N > 1,
    "steps": lambda r: r.L > 1,
    "view": lambda r: r.view != "plain",
}

#: Every trait, and its contrary, the likelier ones first.
TRAITS = (*_HOLD, *(f"not {name}" for name in _HOLD))

#: Fewer errors than this have much in common by chance.
_FEWEST = 4


def traits(recipe: Recipe) -> frozenset[str]:
    """The traits of a case."""
    return frozenset(name if holds(recipe) else f"not {name}" for name, holds in _HOLD.items())


def wherever(erred: Collection[frozenset[str]], right: Collection[frozenset[str]]) -> tuple[str, ...]:
    """One trait, or else two, that all cases of an error have and no right one has together; none if there are none."""
    if len(erred) < _FEWEST or not right:
        return ()
    common = [trait for trait in TRAITS if all(trait in case for case in erred)]
    found = (some for count in (1, 2) for some in combinations(common, count))
    return next((some for some in found if not any(case.issuperset(some) for case in right)), ())
