"""Two faults at once: is each still reported, or does one hide the other?

A ring of faults is drawn; each is judged alone, and each with its neighbour, all properties to their end. A fault is
reported beside another if a property fails that fails for it alone and not for the other alone. Two faults that fail
the same properties cannot be told apart that way, and a bias lost in one place is no second fault where it is lost
everywhere: such pairs are counted by themselves, and never as passed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

from tabulate import tabulate

from conformance.backend import Build
from conformance.cases.case import realise
from conformance.cases.fixed_set import fixed_set
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.faults import FAULTS, Fault, backend_of
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.selftest.peer import equal, result_of
from conformance.selftest.score import prepare

#: How many faults a ring may have: two make a pair, and from far more no ring can be closed.
_FEWEST, _MOST = 2, 100

#: Faults that break the smoke test leave nothing to be judged.
_SMOKE = "smoke."


@dataclass(frozen=True)
class Pair:
    """The record of two faults in one implementation."""

    first: str
    second: str
    #: The properties that fail for the pair, and for only one of the two alone.
    shows_first: tuple[str, ...]
    shows_second: tuple[str, ...]
    #: Whether each of the two fails a property alone that the other does not, and neither contains the other.
    distinct: bool

    @property
    def caught(self) -> bool:
        """Whether both are reported."""
        return bool(self.shows_first and self.shows_second)


@dataclass(frozen=True)
class PairTest:
    """The record of the pairs that were drawn."""

    pairs: tuple[Pair, ...]
    #: How many pairs were asked for and not run, because of an interruption.
    missing: int = 0

    @property
    def distinct(self) -> list[Pair]:
        """The pairs whose two faults fail different properties."""
        return [pair for pair in self.pairs if pair.distinct]

    @property
    def passed(self) -> bool:
        """Whether one fault never hid the other, in at least one pair, and nothing is missing."""
        return not self.missing and bool(self.distinct) and all(pair.caught for pair in self.distinct)


def joined(first: Fault, second: Fault) -> Fault | None:
    """Both faults in one twin; None if they alter the same piece."""
    altered = [_altered(fault.twin) for fault in (first, second)]
    if altered[0].keys() & altered[1].keys():
        return None
    twin = Twin(**altered[0], **altered[1])
    both = (f"{first.id} + {second.id}", f"{first.description} {second.description}")
    return Fault(*both, "two faults", f"{first.shows_when}; {second.shows_when}", first.kind, twin)


def _altered(twin: Twin) -> dict[str, Any]:
    """The pieces in which a twin differs from the correct one."""
    correct = Twin()
    pieces = {field.name: getattr(twin, field.name) for field in fields(Twin)}
    return {name: piece for name, piece in pieces.items() if piece != getattr(correct, name)}


def ring(count: int, seed: int) -> list[Fault]:
    """``count`` faults in an order in which each can be joined with the next, and the last with the first.

    ``UsageError`` for fewer than two, or for too many.
    """
    if not _FEWEST <= count <= _MOST:
        raise UsageError(f"{count} pairs of faults were asked for", f"--pairs takes {_FEWEST} to {_MOST}")
    rng = random.Random(seed)
    # Those of the forward pass: what declares more, or less, has pieces of its own kind.
    forward = [fault for fault in FAULTS.values() if fault.capabilities == FULL]
    rest = rng.sample(forward, len(forward))
    chosen = [rest.pop()]
    while len(chosen) < count:
        ends = chosen[-1:] if len(chosen) < count - 1 else [chosen[-1], chosen[0]]
        fits = [fault for fault in rest if all(joined(end, fault) for end in ends)]
        if not fits:
            rest = rng.sample(forward, len(forward))
            chosen = [rest.pop()]
            continue
        chosen.append(fits[0])
        rest.remove(fits[0])
    return chosen


def pair_test(
    count: int,
    settings: Settings | None = None,
    jobs: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> PairTest:
    """Judge ``count`` pairs of faults over all cores; interrupting it keeps the pairs that are done."""
    settings = replace(settings or Settings(), shrink=False, stop=False)
    faults = ring(count, settings.seed)
    neighbours = list(zip(faults, [*faults[1:], faults[0]], strict=True))
    names = [(fault.id,) for fault in faults] + [(a.id, b.id) for a, b in neighbours]
    failed: dict[tuple[str, ...], frozenset[str]] = {}
    with multiprocessing.get_context("spawn").Pool(jobs or os.cpu_count(), prepare) as pool:
        try:
            for name, bad in pool.imap(partial(_failed, settings=settings), names):
                failed[name] = bad
                watch(len(failed), len(names))
        except KeyboardInterrupt:
            pass
    done = [(a, b) for a, b in neighbours if (a.id, b.id) in failed]
    return PairTest(tuple(_pair(a, b, failed, settings.seed) for a, b in done), len(neighbours) - len(done))


def _failed(names: tuple[str, ...], settings: Settings) -> tuple[tuple[str, ...], frozenset[str]]:
    """The properties that a fault, or two at once, fail."""
    first, *second = (FAULTS[name] for name in names)
    fault = joined(first, *second) if second else first
    assert fault is not None
    report = conform(backend_of(fault), settings)
    return names, frozenset(verdict.property for verdict in report.verdicts if verdict.outcome.bad)


def _pair(first: Fault, second: Fault, failed: dict[tuple[str, ...], frozenset[str]], seed: int) -> Pair:
    a, b, both = failed[first.id,], failed[second.id,], failed[first.id, second.id]
    smoke = any(id.startswith(_SMOKE) for id in a | b)
    distinct = bool(a - b) and bool(b - a) and not smoke
    shows = both & (a - b), both & (b - a)
    if distinct and not all(shows):
        distinct = not contained(first, second, seed)
    return Pair(first.id, second.id, tuple(sorted(shows[0])), tuple(sorted(shows[1])), distinct)


def contained(first: Fault, second: Fault, seed: int) -> bool:
    """Whether two faults at once give the bits of one of them alone in every case of the fixed set, call after call.

    The other one must show somewhere in these cases: a fault of sizes that none of them has would be contained in any.
    """
    both = joined(first, second)
    assert both is not None
    cases = [realise(recipe) for recipe in fixed_set(backend_of(both), seed)]

    def same(one: Build, other: Build) -> bool:
        # Each build has memory of its own, in which a fault of later calls shows.
        return all(equal(result_of(one, case), result_of(other, case)) for case in cases)

    return any(
        same(one.build, both.build) and not same(other.build, Twin().build)
        for one, other in ((first, second), (second, first))
    )


def table(test: PairTest) -> str:
    """The table of pairs and the totals."""
    rows = [
        [
            pair.first,
            pair.second,
            "alike" if not pair.distinct else "both reported" if pair.caught else "HIDDEN",
            ", ".join(pair.shows_first[:2]),
            ", ".join(pair.shows_second[:2]),
        ]
        for pair in test.pairs
    ]
    text = tabulate(rows, ["fault", "and", "", "the one shows in", "the other in"])
    distinct = test.distinct
    text += (
        f"\n\n{sum(pair.caught for pair in distinct)} of {len(distinct)} pairs whose faults fail different properties"
    )
    text += f" are both reported; {len(test.pairs) - len(distinct)} pairs fail the same ones, stop at the smoke test,"
    text += " or are one fault that contains the other"
    return text + (f"; interrupted: {test.missing} missing" if test.missing else "")


def to_json(test: PairTest) -> dict[str, Any]:
    """The pairs as plain data."""
    return {"format": 1, "passed": test.passed, **asdict(test)}
