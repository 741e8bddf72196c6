"""The order in which the fixed set is asked: first what is cheap, so that most defects show within a second.

Properties whose own cases are as large as real models follow the others some rows behind; those that take seconds for
one case come last. Every property still meets the rows in the same order. So it is asked about the same cases at the
same turns, and catches what it catches in any other order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.cases.recipe import Recipe
from conformance.properties.model import Cost

#: So many rows the large properties are behind; a quick run has no more, and asks a large property about one of them.
ROWS = 14

#: So many rows are asked before it is worked out how many there are: most defects show there.
OPENING = 8


def ordered(rows: Sequence[Recipe]) -> Iterator[tuple[int, Recipe, Cost]]:
    """The rows in the order in which they are asked, each with its place and the cost of the properties it is for."""
    for at in range(len(rows) + ROWS):
        if at < len(rows):
            yield at, rows[at], Cost.SMALL
        if at >= ROWS:
            yield at - ROWS, rows[at - ROWS], Cost.LARGE
    yield from ((at, row, Cost.LONGEST) for at, row in enumerate(rows))


def after_opening(rows: Sequence[Recipe]) -> Iterator[tuple[int, Recipe, Cost]]:
    """The same, but for the rows that were asked before it was known how many there are."""
    return ((at, row, cost) for at, row, cost in ordered(rows) if at >= OPENING or cost != Cost.SMALL)
