"""Offers: one case run once for all properties that are due, and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from conformance.cases.choices import factors
from conformance.cases.recipe import Recipe
from conformance.engine.foresight import Foresight, Offer, Pace
from conformance.engine.judging import Answer, Inquiry
from conformance.engine.measuring import Measuring
from conformance.engine.session import Session
from conformance.facts import Fact, Outcome, Said, Within
from conformance.properties.model import Cost, Property

#: How many seconds may be lost to cases that end the process, once it is known that some do.
_PATIENCE_LOSSES = 120.0


class Enough(Exception):
    """The cases that end the process take too long."""


class Offers:
    """The cases of one run: which properties are due at each, and what they answer."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.plan.settings
        #: The recipes whose values were judged.
        self.judged: set[Recipe] = set()
        self.measuring = Measuring(factors(session.plan.backend))
        self._foresight = Foresight(self._inquiries, session.tally.counts)
        #: Whether the judge has not heard yet that other offers come.
        self._afresh = False
        #: Seconds left for cases that end the process once more.
        self._losses = _PATIENCE_LOSSES

    def expect(self, offers: Iterable[Offer]) -> None:
        """These offers come next: a judge may work ahead."""
        self._foresight.expect(offers)
        self._afresh = True

    def offer(self, recipe: Recipe, cost: Cost | None = None) -> list[tuple[Property, Recipe, Answer]]:
        """Run one case for every pending property that is due; those that fail, each with the recipe at its turn.

        Only for those of a ``cost``, if one is given.
        """
        offer = Offer(recipe, cost)
        due = self._inquiries(offer, self._session.tally.counts)
        if due or not cost:
            self._session.offered.append(recipe)
        coming, afresh, self._afresh = self._foresight.made(offer, due), self._afresh, False
        self._session.judge.foresee(coming, bool(self._session.tally.ends), afresh)
        failures, answers = [], []
        brief = bool(self._session.tally.ends)
        while due:
            began, left = time.monotonic(), due
            for (p, turn), answer in self._session.ask(recipe, due, self._settings.stop, brief):
                if answer.shared:
                    failures += self._lost(recipe, left, answer, time.monotonic() - began)
                    left = []
                    break
                left = left[1:]
                answers.append(answer)
                met = replace(recipe, turn=turn)
                self._session.tally.add(p, met, answer)
                if answer.wrong and p in self._session.pending:
                    failures.append((p, met, answer))
                    if answer.outcome != Outcome.TIMEOUT:
                        # One that does not come back would be this machine's.
                        self._session.failed(p, met, answer)
                if answer.judged:
                    self.judged.add(recipe)
            counts = any(self._session.counts(p, a.outcome) for p, _, a in failures if a.outcome is not None)
            # The judge stopped at a failure: at one that does not count, the others are asked all the same.
            due = [] if counts or len(left) == len(due) else left
        self.measuring.add(recipe, answers)
        self._session.erring = [p for p in self._session.erring if self._session.tally.counts[p.id].asked_on()]
        return failures

    def wanting(self) -> bool:
        """Whether some property has not seen as many cases as it may."""
        return bool(self._session.erring) or any(not self._sated(p) for p in self._session.pending)

    def _sated(self, p: Property) -> bool:
        """Whether a property has seen as many cases as it may."""
        limit = self._limit(p)
        return bool(limit) and self._session.tally.counts[p.id].passed >= limit

    def _limit(self, p: Property) -> int:
        """How many cases a property is asked about at most; 0 for no limit."""
        return 1 if self._settings.quick and p.cost else p.limit

    def _inquiries(self, offer: Offer, paces: Mapping[str, Pace]) -> list[Inquiry]:
        """What is asked at an offer."""
        asked = [p for p in (*self._session.pending, *self._session.erring) if offer.cost in (None, p.cost)]
        due = (paces[p.id].inquiry(p, offer.recipe, self._limit(p)) for p in asked)
        return [inquiry for inquiry in due if inquiry is not None]

    def _lost(
        self, recipe: Recipe, due: list[Inquiry], answer: Answer, seconds: float
    ) -> list[tuple[Property, Recipe, Answer]]:
        """A case that ended the process says that once, by the first property that asked; it is lost to the others."""
        assert answer.outcome is not None
        known = self._session.tally.ends.get(answer.outcome)
        for inquiry in due if known else due[1:]:
            self._session.tally.counts[inquiry.property.id].lost += 1
        if known is None:
            told = after_refusals(answer.fact) if self._session.guarding else answer.fact
            answer = replace(answer, fact=told)
            if answer.outcome != Outcome.TIMEOUT:
                self._session.failed(due[0].property, recipe, answer)
            return [(due[0].property, recipe, answer)]
        self._losses -= seconds
        if self._losses < 0:
            raise Enough(f"too many of them end the process, as {known} tells")
        return []


def after_refusals(fact: Fact | None) -> Fact | None:
    """The fact of a call that ended the process, and that calls to refuse came before it."""
    return Within("an ordinary call, after calls to refuse", fact) if isinstance(fact, Said) else fact
