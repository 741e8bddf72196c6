"""Failures: from the case at which one is met to the smallest that shows it, and the verdict."""

from __future__ import annotations

import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import replace

from conformance.cases import strategies
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer
from conformance.engine.search import Shrink, search
from conformance.engine.session import Session
from conformance.engine.simplify import Spent, simplify
from conformance.facts import Outcome, Recurrence
from conformance.properties.model import Cost, Property

#: How many runs simplifying one failure may take, and how many seconds shrinking one, the one at which a run stops,
#: and all of a backend's.
_PATIENCE_EDITS = 250
_PATIENCE_STOPPING = 2.0
_PATIENCE_SECONDS = 20.0
_PATIENCE_TOTAL = 90.0

#: Examples drawn to meet a failure of the fixed set again, from recipes no more complex than its own.
_SIMPLER = 60

#: As many earlier cases are run again, to find those that a failure depends on.
HISTORY = 64


class Failures:
    """The work on the failures of one run, which share a patience."""

    def __init__(self, session: Session) -> None:
        self.session = session
        #: Seconds left for shrinking.
        self.patience = _PATIENCE_TOTAL
        #: The small cases of what has failed, and the cost of the costliest properties that have had their turn.
        self._small: list[Recipe] = []
        self._turn = Cost.SMALL

    def seconds(self) -> float:
        """How long the failure at hand may be shrunk."""
        settings = self.session.plan.settings
        longest = _PATIENCE_STOPPING if settings.stop or settings.quick else _PATIENCE_SECONDS
        return min(longest, max(0.0, self.patience))

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time towards the patience for all failures: many slow ones must not take the day."""
        started = time.monotonic()
        yield
        self.patience -= time.monotonic() - started

    def meet(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """A failure of a case that was not drawn: shrink and settle it, or conclude it as it is."""
        if not self.session.plan.settings.shrink:
            if answer.outcome != Outcome.TIMEOUT or self.session.again(p, recipe) is not None:
                self.session.conclude(p, recipe, answer)
            return
        with self.spending():
            self.settle(p, *self._shrink(p, recipe, answer), recipe)

    def settle(self, p: Property, recipe: Recipe, answer: Answer, met: Recipe) -> None:
        """Simplify a failure, conclude it, and offer the small case to the others: one defect is shrunk once.

        Those that take seconds for a case get it when they have their turn.

        ``met`` is the case at which it was met, before it was shrunk.
        """
        deadline = time.monotonic() + self.seconds()

        def fails(candidate: Recipe) -> Answer | None:
            if time.monotonic() > deadline:
                raise Spent
            return self.session.again(p, candidate, brief=True)

        declared = self.session.plan.backend.capabilities
        recipe, answer = simplify(recipe, answer, fails, declared, self.session.plan.dtypes[0], _PATIENCE_EDITS)
        if answer.outcome == Outcome.TIMEOUT:
            # While shrinking, what took much longer than other cases was taken to hang: here it gets its full time.
            stands = ((one, again) for one in (recipe, met) if (again := self.session.again(p, one)))
            hanging = next(stands, None)
            if hanging is None:
                return
            recipe, answer = hanging
        elif self.depends(p, answer, recipe):
            return
        self.session.conclude(p, recipe, answer)
        if not answer.shared:
            self._small.append(recipe)
            self._share(recipe, range(self._turn + 1))

    def turn_to(self, cost: Cost) -> None:
        """Properties of a cost have their turn: they are asked about the small cases of what failed before."""
        if cost > self._turn:
            due, self._turn = range(self._turn + 1, cost + 1), cost
            with self.spending():
                for recipe in self._small:
                    self._share(recipe, due)

    def _share(self, recipe: Recipe, costs: Container[int]) -> None:
        """Offer a small case to the others: what fails on it is concluded there, and shrunk no more."""
        for other in [p for p in self.session.pending if p.cost in costs]:
            own = replace(recipe, turn=recipe.turn % other.turns)
            also = self.session.again(other, own, brief=True)
            hung = also is not None and also.outcome == Outcome.TIMEOUT
            if also is not None and not hung and self.session.again(other, own, brief=True) is not None:
                self.session.conclude(other, own, also)

    def _shrink(self, p: Property, recipe: Recipe, answer: Answer) -> tuple[Recipe, Answer]:
        """Meet a failure of the fixed set again among simpler recipes, and let Hypothesis shrink it."""
        shrink = Shrink(lambda recipe: self.session.again(p, recipe, brief=True), self.seconds(), answer.outcome)
        simpler = strategies.simpler(recipe, self.session.plan.backend)
        minimal = search(simpler, lambda recipe: shrink.seen(recipe) is not None, _SIMPLER, entropy=0)
        again = None if minimal is None else shrink.seen(minimal)
        return (recipe, answer) if minimal is None or again is None else (minimal, again)

    def depends(self, p: Property, answer: Answer, recipe: Recipe) -> bool:
        """Whether the failure depends on more than its case; then it is concluded here."""
        # Twice: the first may fail for what ran just before it.
        if self.session.again(p, recipe, brief=True) and self.session.again(p, recipe, brief=True):
            return False
        racing = "threads" in p.needs
        after = None if p.chance or racing else self._after_others(p, recipe)
        if after is not None:
            history, again = after
            self.session.conclude(p, recipe, again, Recurrence.AFTER_OTHERS, history)
        elif answer.outcome != Outcome.TIMEOUT:
            # A time-out that does not come back was this machine's.
            rare = Recurrence.AT_SOME_TRIES if racing else Recurrence.IN_SOME_DRAWS if p.chance else Recurrence.NEVER
            self.session.conclude(p, recipe, answer, rare)
        return True

    def _after_others(self, p: Property, recipe: Recipe) -> tuple[tuple[Recipe, ...], Answer] | None:
        """The fewest of the last 1, 2, 4 … cases after which a failure comes back, and what is wrong then."""
        offered = self.session.history()
        before = offered[:-1] if offered[-1:] == [replace(recipe, turn=0)] else offered
        length = 1
        while before:
            history = tuple(before[-length:])
            for earlier in history:
                self.session.judge.run(earlier)
            if again := self.session.again(p, recipe, brief=True):
                return history, again
            if length >= min(len(before), HISTORY):
                break
            length *= 2
        return None
