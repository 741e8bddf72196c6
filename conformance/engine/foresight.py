"""Foresight: what will be asked next, worked out before the answers are there, for a judge that can work ahead.

Which cases a property is asked about, and at which turn, depends on counts alone (``Pace``). So it can be worked out as
if every answer to come were right. Where one is not, the counts are read anew. Foresight decides nothing: what is asked
in the end is what the engine would ask without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Inquiry
from conformance.properties.model import Cost, Property


@dataclass
class Pace:
    """How often a property was asked so far."""

    #: Cases that it speaks about, those of them that it was asked about, and those that passed.
    suitable: int = 0
    asked: int = 0
    passed: int = 0
    #: After so many suitable cases, it is asked about one in ``Property.every``.
    first: int = 12

    def inquiry(self, p: Property, recipe: Recipe, limit: int) -> Inquiry | None:
        """What is asked of the property about one more case, if it is asked; so many may pass, or any number if 0.

        Variants come round and round, whatever the seed.
        """
        if not p.when(recipe):
            return None
        self.suitable += 1
        rare = self.suitable > self.first and self.suitable % p.every
        if rare or (limit and self.passed >= limit):
            return None
        self.asked += 1
        return Inquiry(p, (self.asked - 1) % p.turns)


class Offer(NamedTuple):
    """A case, and the cost of the properties that it is for; None for all."""

    recipe: Recipe
    cost: Cost | None = None


#: The inquiries that are due at an offer; they count towards the paces that are given.
Due = Callable[[Offer, Mapping[str, Pace]], list[Inquiry]]


class Foresight:
    """The offers that come, and what each will ask.

    Invariant: ``_seen`` and then ``_coming`` are the offers still to be made, in their order, but for those of
    ``_coming`` that are ``_made`` already; ``_paces``, where they are known, are those after all of ``_seen``.
    """

    def __init__(self, due: Due, paces: Mapping[str, Pace]) -> None:
        self._due = due
        self._now = paces
        self._coming: Iterator[Offer] = iter(())
        self._made: list[Offer] = []
        #: Offers that somebody was told about, with what they will ask.
        self._seen: deque[tuple[Offer, list[Inquiry]]] = deque()
        self._paces: dict[str, Pace] | None = None

    def expect(self, offers: Iterable[Offer]) -> None:
        """These offers come next, in this order; others may come between."""
        self._coming, self._paces = iter(offers), None
        self._made.clear()
        self._seen.clear()

    def made(self, offer: Offer, due: list[Inquiry]) -> Iterator[tuple[Recipe, list[Inquiry]]]:
        """An offer is made now, and asks what is ``due``; those that come after it, and what each will ask.

        They are worked out as they are taken.
        """
        at = next((k for k, (seen, _) in enumerate(self._seen) if seen == offer), None)
        if at is None:
            self._made.append(offer)
        if at != 0 or self._seen[0][1] != due:
            self._paces = None
        for _ in range(0 if at is None else at + 1):
            self._seen.popleft()
        return self._next(due)

    def _next(self, due: list[Inquiry]) -> Iterator[tuple[Recipe, list[Inquiry]]]:
        for offer in self._coming:
            if offer in self._made:
                self._made.remove(offer)
                continue
            paces = self._paces = self._paces or self._after(due)
            inquiries = self._right(self._due(offer, paces), paces)
            self._seen.append((offer, inquiries))
            if inquiries:
                yield offer.recipe, inquiries

    def _after(self, due: list[Inquiry]) -> dict[str, Pace]:
        """The paces after the offer at hand and all that were seen, if all answers are right."""
        paces = {id: Pace(pace.suitable, pace.asked, pace.passed, pace.first) for id, pace in self._now.items()}
        self._right(due, paces)
        for offer, _ in self._seen:
            self._right(self._due(offer, paces), paces)
        return paces

    @staticmethod
    def _right(inquiries: list[Inquiry], paces: Mapping[str, Pace]) -> list[Inquiry]:
        for inquiry in inquiries:
            paces[inquiry.property.id].passed += 1
        return inquiries
