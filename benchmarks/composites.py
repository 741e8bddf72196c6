"""Composites: correct LSTMs with several legitimate differences at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from random import Random

from conformance.selftest.faults import DIFFERENT
from conformance.selftest.faults.backward import Differentiable
from conformance.selftest.faults.different import Different

#: So many differences are combined: a few, or as many as go together.
_SIZES = (2, 3, 4, 3, 30)


def composite(*differents: Different) -> Different | None:
    """All of these differences in one LSTM; None if two of them exchange the same piece."""
    plain, pieces = Differentiable(), {}
    for different in differents:
        own = {f.name: getattr(different.twin, f.name) for f in fields(different.twin) if f.name != "shared"}
        own = {name: piece for name, piece in own.items() if piece is not getattr(plain, name)}
        if own.keys() & pieces.keys():
            return None
        pieces |= own
    id = "+".join(different.id for different in differents)
    return Different(id, " ".join(different.description for different in differents), Differentiable(**pieces))


def composites(count: int, seed: int) -> list[str]:
    """The names of so many composites, each of differences chosen by the seed as far as they go together."""
    drawn, rng = dict.fromkeys(_drawn(Random(seed), 50 * count)), Random(seed)
    names = [name for name in drawn if "+" in name]
    return sorted(rng.sample(names, min(count, len(names))))


def _drawn(rng: Random, count: int) -> Iterator[str]:
    for number in range(count):
        together: tuple[Different, ...] = ()
        for different in rng.sample(DIFFERENT, len(DIFFERENT)):
            if len(together) < _SIZES[number % len(_SIZES)] and composite(*together, different) is not None:
                together = (*together, different)
        yield "composite:" + "+".join(sorted(different.id for different in together))
