"""What a set of vectors is worth beyond the faults it was chosen by: chosen by one half of them, tried on the other.

``python -m benchmarks.vectors`` divides the faults that one call can show into two halves, chooses a set by each, and
counts what it kills of the other half.
"""

from __future__ import annotations

import argparse
import random

from conformance.faults import FAULTS
from conformance.selftest.score import prepare
from conformance.vectors.cover import cover
from conformance.vectors.forms import ELEMENTWISE
from conformance.vectors.search import Asked, stages
from conformance.vectors.trying import Tried, faults_of, try_all, try_one


def main() -> None:
    """Print how many faults of each half the set that was chosen by the other one kills."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="the seed by which the faults are divided (%(default)s)")
    seed = parser.parse_args().seed
    prepare()
    asked = Asked()
    offered = [stage for stage in stages(asked) if not stage.only_shows]
    tried = try_all(offered, faults_of(asked.dtype), [ELEMENTWISE])
    killable = sorted(tried.killed(ELEMENTWISE))
    random.Random(seed).shuffle(killable)
    half = len(killable) // 2
    for mine, others in ((killable[:half], killable[half:]), (killable[half:], killable[:half])):
        places = chosen(tried, frozenset(mine), asked)
        killed = {id for k in places for id in kills(tried, k, others)}
        print(f"{len(places)} vectors chosen by {len(mine)} faults kill {len(killed)} of the {len(others)} others")


def chosen(tried: Tried, faults: frozenset[str], asked: Asked) -> list[int]:
    """The places of the vectors that a set has which is chosen by some faults alone."""
    known = [found & faults for found in tried.kills[ELEMENTWISE.name]]
    return cover(known, [vector.size for vector in tried.candidates], asked.count, asked.size)


def kills(tried: Tried, place: int, faults: list[str]) -> set[str]:
    """Those of some faults that a candidate kills, whether or not it was tried on them before."""
    return try_one(tried.candidates[place], [FAULTS[id] for id in faults], {ELEMENTWISE.name: set()})[ELEMENTWISE.name]


if __name__ == "__main__":
    main()
