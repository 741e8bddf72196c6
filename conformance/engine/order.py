"""The order in which the fixed set is asked: first what is cheap, so that most defects show within a second.

Properties whose own cases are as large as real models follow the others some rows behind; those that take seconds for
one case come last. Every property still meets the rows in the same order. So it is asked about the same cases at the
same turns, and catches what it catches in any other order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

from conformance.cases.recipe import Recipe
from conformance.properties.model import Property

#: So many rows the large properties are behind; a quick run has no more, and asks a large property about one of them.
ROWS = 14

#: Large properties, and those that take seconds for one case: groups and ids.
_LARGE = frozenset({"sizes", "gradients.large", "gradients.sweep"})
_LONGEST = frozenset({"sizes.steps-past-16-bits", "gradients.many-steps"})


class Cost(IntEnum):
    """The cost of a property's own cases, which says when it has its turn."""

    SMALL = 0
    LARGE = 1
    LONGEST = 2


def cost(p: Property) -> Cost:
    """The cost of a property's own cases."""
    if p.id in _LONGEST:
        return Cost.LONGEST
    return Cost.LARGE if _LARGE & {p.id, p.group} else Cost.SMALL


def ordered(rows: Sequence[Recipe]) -> Iterator[tuple[int, Recipe, Cost]]:
    """The rows in the order in which they are asked, each with its place and the cost of the properties it is for."""
    for at in range(len(rows) + ROWS):
        if at < len(rows):
            yield at, rows[at], Cost.SMALL
        if at >= ROWS:
            yield at - ROWS, rows[at - ROWS], Cost.LARGE
    yield from ((at, row, Cost.LONGEST) for at, row in enumerate(rows))
