"""The smallest conjunction of traits that tells the cases that fail from those that do not, of all that were asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from conformance.diagnosis.traits import (
    COUNTS,
    EARLIER_CALLS,
    EQUAL,
    FLAGS,
    SIZES,
    VALUES,
    WORDS,
    Features,
    holds,
    price,
)
from conformance.facts import Trait

#: The multiples that are tried of each size.
_FACTORS = (2, 4, 8, 16, 32, 64, 128)

#: A case on the wrong side of a conjunction costs as much as this share of a trait.
_WRONG_SIDE = 0.5

#: So many thresholds are tried in a dimension.
_THRESHOLDS = 7


@dataclass
class Sample:
    """A case that was asked, and whether it failed."""

    features: Features
    failed: bool


@dataclass
class Table:
    """The samples, and which of them have each trait, as the bits of a number."""

    samples: list[Sample] = field(default_factory=list)
    _masks: dict[Trait, tuple[int, int]] = field(default_factory=dict)

    def add(self, sample: Sample) -> None:
        """Take one more sample in."""
        self.samples.append(sample)

    def having(self, trait: Trait) -> int:
        """The samples that have a trait."""
        mask, count = self._masks.get(trait, (0, 0))
        for k in range(count, len(self.samples)):
            mask |= holds(trait, self.samples[k].features) << k
        self._masks[trait] = mask, len(self.samples)
        return mask

    def smallest(self, given: Sequence[Trait] = (), alike: int = 1) -> tuple[Trait, ...]:
        """The cheapest conjunction: few traits, few cases on the wrong side; better than ``given``, or that itself.

        Where so many cases are ``alike``, they count as one.
        """
        failed = sum(1 << k for k, sample in enumerate(self.samples) if sample.failed)
        every = (1 << len(self.samples)) - 1
        candidates = [
            (self.having(trait), price(trait), trait) for trait in dict.fromkeys((*given, *self._candidates()))
        ]
        known = {trait: (mask, cost, trait) for mask, cost, trait in candidates}

        def cost(chosen: Sequence[tuple[int, float, Trait]]) -> float:
            inside = every
            total = 0.0
            for mask, own, _ in chosen:
                inside &= mask
                total += own
            return total + _WRONG_SIDE / alike * (inside ^ failed).bit_count()

        best: list[tuple[int, float, Trait]] | None = None
        for start in ([], [known[trait] for trait in given], _needed(candidates, failed, cost)):
            grown = _improved(start, candidates, cost)
            if best is None or cost(grown) < cost(best):
                best = grown
        return tuple(trait for _, _, trait in best or ())

    def rivals(self, chosen: Sequence[Trait], count: int) -> list[tuple[Trait, ...]]:
        """Other conjunctions that tell the samples as well: one trait in another's place, the cheapest first.

        Thresholds of one dimension are no rivals: the size before each is asked for anyway.
        """
        failed = sum(1 << k for k, sample in enumerate(self.samples) if sample.failed)
        candidates = sorted(set(self._candidates()) - set(chosen), key=price)

        def wrong(traits: Sequence[Trait]) -> int:
            inside = (1 << len(self.samples)) - 1
            for trait in traits:
                inside &= self.having(trait)
            return (inside ^ failed).bit_count()

        found, least = list[tuple[float, tuple[Trait, ...]]](), wrong(chosen)
        for k, own in enumerate(chosen):
            taken = {own.dimension}
            for trait in candidates:
                rival = (*chosen[:k], trait, *chosen[k + 1 :])
                if trait.dimension not in taken and wrong(rival) <= least:
                    taken.add(trait.dimension)
                    found.append((price(trait) - price(own), rival))
        return [rival for _, rival in sorted(found, key=lambda one: one[0])[:count]]

    def _candidates(self) -> Iterator[Trait]:
        """Every trait that nearly all failing cases have and some other has not."""
        failing = [sample.features for sample in self.samples if sample.failed]
        failed = sum(1 << k for k, sample in enumerate(self.samples) if sample.failed)
        passed = ((1 << len(self.samples)) - 1) & ~failed
        for trait in dict.fromkeys(_possible(failing, [s.features for s in self.samples if not s.failed])):
            mask = self.having(trait)
            if (failed & mask).bit_count() >= 0.6 * len(failing) and passed & ~mask:
                yield trait


def _needed(candidates: list[Any], failed: int, cost: Any) -> list[Any]:
    """Of all traits that every failing case has, those that are left when each that is not needed is dropped.

    Traits that tell something only together are among them; to add one at a time does not find those.
    """
    chosen = [one for one in candidates if not failed & ~one[0]]
    for one in sorted(chosen, key=lambda one: -one[1]):
        fewer = [other for other in chosen if other is not one]
        if cost(fewer) <= cost(chosen):
            chosen = fewer
    return chosen


def _improved(chosen: list[Any], candidates: list[Any], cost: Any) -> list[Any]:
    """Add, drop and exchange traits while that makes the conjunction cheaper."""
    now = cost(chosen)
    while True:
        ways = [[*chosen, one] for one in candidates if one not in chosen]
        ways += [[*chosen[:k], *chosen[k + 1 :]] for k in range(len(chosen))]
        ways += [[*chosen[:k], one, *chosen[k + 1 :]] for k in range(len(chosen)) for one in candidates]
        costs = [cost(way) for way in ways]
        least = min(costs, default=now)
        if least >= now - 1e-9:
            return chosen
        chosen, now = ways[costs.index(least)], least


def _possible(failing: Sequence[Features], passing: Sequence[Features]) -> Iterator[Trait]:
    """The traits that some failing case has, tight where they are thresholds."""
    there = failing[0].keys() if failing else ()
    for name in (*WORDS, *FLAGS, *(name for name in EARLIER_CALLS if name in there)):
        values = {case[name] for case in failing}
        # That no call had two things at once is hard to follow.
        yield from (Trait(name, "=", value) for value in values if value or "+" not in name)
        if name in WORDS:
            yield from (Trait(name, "not", value) for value in {case[name] for case in passing} - values)
            yield from (Trait(name, "not", value) for value in values if len(values) > 1)
    for name in (*COUNTS, *(name for name in ("earlier",) if name in there)):
        values = sorted({case[name] for case in failing})
        yield from (Trait(name, ">=", value) for value in values[:_THRESHOLDS])
        yield from (Trait(name, "<=", value) for value in values[-_THRESHOLDS:])
        yield from (Trait(name, "=", value) for value in values[:_THRESHOLDS])
    # More would only stand for layers and directions.
    yield from (Trait("slots", "=", 1), Trait("slots", ">=", 2))
    for name in SIZES:
        for factor in _FACTORS:
            yield Trait(name, "multiple of", factor)
            yield Trait(name, "not a multiple of", factor)
    for one, other in combinations(EQUAL, 2):
        yield Trait(one, "=", other)
        yield Trait(one, "not", other)
        yield Trait(one, ">", other)
        yield Trait(one, "<", other)
    values = sorted({case["gain"] for case in failing})
    yield from (Trait("gain", ">=", value) for value in values[:_THRESHOLDS])
    yield from (Trait("gain", "<=", value) for value in values[-_THRESHOLDS:])
    for name in VALUES:
        if all(name in case for case in (*failing, *passing)):
            yield from (Trait(name, ">=", v) for v in sorted({case[name][1] for case in failing})[:_THRESHOLDS])
            yield from (Trait(name, "<=", v) for v in sorted({case[name][0] for case in failing})[-_THRESHOLDS:])
