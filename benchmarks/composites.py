"""Composites: correct LSTMs with several legitimate differences at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random

from conformance.faults import DIFFERENT, Different
from conformance.faults.composites import composite

#: So many differences are combined: a few, or as many as go together.
_SIZES = (2, 3, 4, 3, 30)


def composites(count: int, seed: int) -> list[str]:
    """The names of so many composites, each of differences chosen by the seed as far as they go together."""
    drawn, rng = dict.fromkeys(_drawn(Random(seed), 50 * count)), Random(seed)
    names = [name for name in drawn if "+" in name]
    return sorted(rng.sample(names, min(count, len(names))))


def _drawn(rng: Random, count: int) -> Iterator[str]:
    single = [different for different in DIFFERENT if "+" not in different.id]
    for number in range(count):
        together: tuple[Different, ...] = ()
        for different in rng.sample(single, len(single)):
            # Two that alter the same piece do not go together.
            with suppress(ValueError):
                if len(together) < _SIZES[number % len(_SIZES)] and composite(*together, different):
                    together = (*together, different)
        yield "composite:" + "+".join(sorted(different.id for different in together))
