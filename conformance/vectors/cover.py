"""A greedy cover: few vectors that kill as many faults as any of the candidates."""

from __future__ import annotations

from collections.abc import Sequence

#: A candidate that kills this share of what the best one kills is as good, if it is smaller.
_NEARLY = 0.9


def cover(kills: Sequence[frozenset[str]], sizes: Sequence[int], count: int, most: int) -> list[int]:
    """The places of at most ``count`` candidates of at most ``most`` bytes together, the first of which kill most.

    Each candidate that is chosen kills more of what is left than any other that still fits, or nearly as much and is
    the smallest of those. One whose faults later ones kill too is dropped in the end.
    """
    chosen: list[int] = []
    left, room = set().union(*kills), most
    while left and len(chosen) < count:
        new = {k: len(kills[k] & left) for k in range(len(kills)) if sizes[k] <= room and k not in chosen}
        best = max(new.values(), default=0)
        if not best:
            break
        k = min((k for k in new if new[k] >= _NEARLY * best), key=lambda k: (sizes[k], -new[k], k))
        chosen.append(k)
        left -= kills[k]
        room -= sizes[k]
    for k in reversed(chosen.copy()):
        others = [kills[other] for other in chosen if other != k]
        if kills[k] <= set().union(*others):
            chosen.remove(k)
    return chosen
