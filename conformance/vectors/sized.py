"""Candidates of many sizes, past which loops, tiles and counters end: as small as such calls can be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.faults.fault import DEGENERATE, FINAL, GATES, LAYOUT, LENGTHS, REVERSE, SIZES, STACK, STATE
from conformance.vectors.vector import Vector

#: The kinds of faults that may have to do with sizes: not those of values, memory, several calls, of what is refused.
KINDS = frozenset({SIZES, DEGENERATE, LENGTHS, STATE, STACK, REVERSE, FINAL, GATES, LAYOUT})

#: The kinds of faults that may need the largest ones, and no rows at all.
LARGE_KINDS, EMPTY_KINDS = frozenset({SIZES}), frozenset({DEGENERATE})

#: Calls of one size beyond what is usual, the others small. A projection makes many units cheap.
_SIZED = (
    *("I=1 H=1 L=49 N=1 state=both", "I=1 H=1 L=101 N=1 bidirectional state=both", "I=1 H=1 L=257 N=1 state=both"),
    *("I=1 H=1 L=1025 N=1 state=both", "I=2 H=2 L=129 N=3 ragged state=both", "I=1 H=1 L=65 N=64 state=both"),
    *("I=2 H=3 L=2 N=17 state=both", "I=2 H=3 L=3 N=17 ragged state=both", "I=1 H=1 L=2 N=129 state=both"),
    *("I=1 H=1 L=3 N=129 bidirectional ragged state=both", "I=1 H=1 L=2 N=1025 state=both"),
    *("I=129 H=1 L=2 N=1 gain=0.1", "I=1025 H=1 L=2 N=1 gain=0.1", "I=2 H=45 L=2 N=2 gain=0.3"),
    *("I=1 H=65 L=2 N=2 gain=0.3", "I=1 H=72 L=2 N=1 state=both gain=0.3", "I=3 H=129 L=2 N=2 gain=0.3"),
    *("I=8 H=8 L=2 N=8 state=both gain=0.3", "I=64 H=64 L=2 N=8 gain=0.3", "I=64 H=64 proj=1 L=2 N=8 gain=0.3"),
    *("I=128 H=128 L=41 N=1 gain=0.1", "I=128 H=128 proj=1 L=41 N=1 gain=0.1"),
    *("I=1 H=128 proj=1 L=2 N=9 gain=0.3", "I=1 H=128 L=2 N=9 gain=0.3", "I=1 H=257 proj=1 L=2 N=2 gain=0.3"),
    *("I=1 H=257 proj=1 L=3 N=3 ragged state=both gain=0.3", "I=1 H=257 L=2 N=1 gain=0.3"),
    *("I=1 H=257 proj=1 layers=2 L=2 N=2", "I=1 H=513 bidirectional proj=1 L=2 N=1", "I=1 H=513 proj=1 L=2 N=16"),
    *("I=2 H=2 layers=4 L=17 N=2 state=both", "I=2 H=2 layers=5 L=3 N=2 bidirectional", "I=3 H=3 layers=11 L=2 N=2"),
    *("I=64 H=1 bidirectional L=129 N=4", "I=64 H=1 bidirectional ragged L=129 N=4", "I=1 H=16 proj=1 L=1 N=1025"),
    *("I=1 H=16 L=1 N=1025", "I=2 H=33 L=33 N=2 state=both gain=0.3", "I=20 H=20 L=20 N=3 bidirectional gain=0.3"),
    *("I=2 H=4 L=33 N=2 bidirectional ragged state=both", "I=1 H=8 L=2 N=1025"),
)

#: Calls that are larger than a set of vectors may be: they tell what faults one call can show.
_LARGE = (
    *("I=1 H=258 proj=257 L=2 N=1", "I=1 H=258 bidirectional layers=2 proj=257 L=1 N=1", "I=1 H=513 L=2 N=1"),
    *(
        "I=1 H=257 layers=2 L=2 N=1",
        "I=1 H=513 bidirectional L=2 N=1",
        "I=1 H=1025 L=2 N=1",
        "I=65537 H=1 L=1 N=1",
        "I=1 H=65 L=1025 N=1 gain=0.1",
    ),
    *("I=1 H=1 L=1 N=131073 state=both", "I=1 H=1 L=257 N=256", "I=1 H=1 L=65537 N=1"),
)


def sized(dtype: str, seed: int) -> Iterator[Vector]:
    """Those that may become vectors."""
    return _made(_SIZED, dtype, 1000 * seed + 900)


def large(dtype: str, seed: int) -> Iterator[Vector]:
    """Those that are too large."""
    return _made(_LARGE, dtype, 1000 * seed + 1000)


def empty(dtype: str, seed: int) -> Iterator[Vector]:
    """One without any rows, which has no numbers to compare."""
    case = realise(Recipe(2, 3, dtype=dtype, L=2, seed=1000 * seed + 1100))
    yield Vector("no rows", replace(case, x=case.x[:, :0], rule="any"))


def _made(texts: tuple[str, ...], dtype: str, seed: int) -> Iterator[Vector]:
    for number, text in enumerate(texts):
        recipe = replace(parse(text), dtype=dtype, seed=seed + number)
        yield Vector(str(recipe), realise(recipe))
