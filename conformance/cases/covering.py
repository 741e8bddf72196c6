"""A covering array: rows of choices in which every feasible combination of three occurs at least once.

A greedy one (Cohen, Dalal, Fredman & Patton, "The AETG System", 1997): each new row is the best of several, each built
around a combination that is not covered yet. Faults that need three choices together (layers = 3, reverse direction,
h_0 alone) are met in every run, whatever the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations

from conformance.cases.choices import Choice, Factors, combinations_of, feasible
from conformance.cases.unfolding import Unfolding


@lru_cache(maxsize=32)
def covering_rows(factors: Factors, ways: int = 3, given: tuple[Choice, ...] = ()) -> Sequence[Choice]:
    """Rows of one value for each factor that cover every feasible three-way combination; always the same ones.

    Or every combination of so many ``ways``, but for those in the ``given`` rows. Each is worked out as it is read.
    """
    return Unfolding(_rows(factors, ways, given))


def _rows(factors: Factors, ways: int, given: tuple[Choice, ...]) -> Iterator[Choice]:
    """The rows, one after the other.

    Invariant: ``uncovered`` holds the feasible combinations that are in no row yet. Each round adds a row that contains
    one of them, so ``uncovered`` shrinks in every round and is empty in the end. Such a row exists: each factor has a
    value that goes with everything (time-major or batch-first, one row, several steps, not ragged).
    """
    uncovered = set(combinations_of(factors, ways)).difference(*(combinations(row, ways) for row in given))
    order = sorted(uncovered, key=repr)
    rng = random.Random(0)
    rng.shuffle(order)
    for combination in order:
        if combination in uncovered:
            grown = [_grow(combination, factors, uncovered, rng, ways) for _ in range(6)]
            row = max(grown, key=lambda row: len(uncovered.intersection(combinations(row, ways))))
            uncovered.difference_update(combinations(row, ways))
            yield row


def _grow(combination: Choice, factors: Factors, uncovered: set[Choice], rng: random.Random, ways: int = 3) -> Choice:
    """A whole feasible row around a combination: each further factor takes the value that newly covers the most."""
    row = dict(combination)
    rest = [factor for factor in factors if factor[0] not in row]
    rng.shuffle(rest)
    place = {name: at for at, (name, _) in enumerate(factors)}

    def ordered(choices: Iterable[tuple[str, object]]) -> Choice:
        return tuple(sorted(choices, key=lambda choice: place[choice[0]]))

    for name, values in rest:
        chosen = ordered(row.items())
        before = [choice for choice in chosen if place[choice[0]] < place[name]]
        after = chosen[len(before) :]
        around = [
            (some, others)
            for count in range(ways)
            for some in combinations(before, count)
            for others in combinations(after, ways - 1 - count)
        ]
        gains = {}
        for value in values:
            new = (name, value)
            if feasible((*chosen, new)):
                covered = sum([(*some, new, *others) in uncovered for some, others in around])
                # Less than one more combination: it decides between equals.
                gains[value] = covered + rng.random() / 2
        row[name] = max(gains, key=lambda value: gains[value])
    return ordered(row.items())
