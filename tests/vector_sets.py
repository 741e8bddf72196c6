"""Small sets of vectors, which tests write: a dozen candidates, a dozen faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from conformance.faults.fault import CLASSES
from conformance.vectors import candidates, search, sized
from conformance.vectors.search import Asked
from conformance.vectors.trying import Stage
from conformance.vectors.vector import Vector

#: Candidates that go into every format, and some that go into one.
TEXTS = (
    *("both directions and lengths", "an infinity in h_0", "gate f from end to end", "h_0 beyond 8"),
    *(
        "I=3 H=5 L=4 N=2",
        "bidirectional no-bias L=3 N=5",
        "layers=2 bidirectional no-bias",
        "proj=2 L=3 N=2",
        "fill=saturated",
    ),
    *("I=1 H=1 L=49", "unbatched", "state=c ragged"),
)

#: Faults of all kinds, one of which no call shows.
FAULTS = (
    *("gate-order-iofg", "gate-order-ifog", "candidate-linear", "h-0-ignored", "lengths-ignored", "nan-hidden"),
    *("sigmoid-one-past-13", "steps-48", "upper-gate-order", "tf32", "batch-first-ignored", "c-n-is-h-n"),
    *("recurrent-bias-ignored", "reverse-not-flipped-back", "hidden-clipped", "state-leaks", "projection-transposed"),
)


@contextmanager
def few_candidates() -> Iterator[None]:
    """Within it, some of the candidates alone are tried, and not the large ones."""

    def few(asked: Asked) -> tuple[Stage, ...]:
        made = (source(asked.dtype, asked.seed) for source in (candidates.usual, candidates.special, sized.sized))
        every: list[Vector] = [vector for vectors in made for vector in vectors]
        chosen = [next(vector for vector in every if text in vector.text.replace(" float64", "")) for text in TEXTS]
        left_out = set(asked.without)
        kept = tuple(vector for vector in dict.fromkeys(chosen) if not search.uses(vector) & left_out)
        half = len(kept) // 2
        return Stage(kept[:half]), Stage(kept[half:], frozenset(CLASSES))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "stages", few)
        yield
