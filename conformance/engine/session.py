"""The common state of an engine's run: the judge, the cases offered so far, and the properties still to be judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Inquiry, Judge
from conformance.engine.plan import Plan
from conformance.engine.tally import Tally
from conformance.facts import Evidence, Interruption, Outcome, Recurrence
from conformance.properties.model import GUARDS, Property
from conformance.report.model import spoils

#: Told of the first failure that counts, the moment it is known: it is shrunk after that.
First = Callable[[Property, Answer], None]


class Session:
    """One run of the engine."""

    def __init__(self, judge: Judge, plan: Plan, first: First) -> None:
        self.judge = judge
        self.plan = plan
        self._first = first
        self._told = False
        self.tally = Tally(plan)
        #: Guards come last: a call that should be refused may leave the process in pieces.
        self.pending = [p for p in plan.asked if p.question != GUARDS]
        self.guards = [p for p in plan.asked if p.question == GUARDS]
        #: Properties that ended in an error, and are asked on: they may be right in all other cases.
        self.erring: list[Property] = []
        #: Every recipe offered, in order, and how many of them came before the guards.
        self.offered: list[Recipe] = []
        self.ordinary = 0
        self.guarding = False
        self.interrupted: Interruption | None = None
        #: The property, its recipe and the answer that were asked last.
        self._last: tuple[Property, Recipe, Answer] | None = None

    def turn_to_guards(self) -> None:
        """Ask the guards from now on, and nothing else."""
        self.pending[:], self.erring = self.guards, []
        self.ordinary, self.guarding = len(self.offered), True

    def history(self) -> list[Recipe]:
        """The recipes offered to the process at work: what a failure may have come after."""
        return self.offered[self.ordinary :]

    def met(self) -> int:
        """How many cases have been offered; most of them for several purposes."""
        return len({*self.offered})

    def counts(self, p: Property, outcome: Outcome) -> bool:
        """Whether an outcome of a property makes the backend not conformant."""
        return p.id not in self.plan.expected and spoils(p.id, outcome, self.plan.settings.strict)

    def tell(self, p: Property, answer: Answer) -> None:
        """Tell of the first failure that counts."""
        assert answer.outcome is not None
        if not self._told and self.counts(p, answer.outcome):
            self._told = True
            self._first(p, answer)

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The judge's answers about a case."""
        for inquiry, answer in self.judge.ask(recipe, inquiries, stop, brief):
            self._last = inquiry.property, replace(recipe, turn=inquiry.turn), answer
            yield inquiry, answer

    def again(self, p: Property, recipe: Recipe, brief: bool = False) -> Answer | None:
        """The wrong answer on a fresh run; None if there is none, or the property does not speak about the recipe."""
        if not p.when(recipe):
            return None
        [(_, answer)] = self.ask(recipe, [Inquiry(p, recipe.turn)], brief=brief)
        self.tally.note(p, recipe, answer)
        return answer if answer.wrong else None

    def conclude(
        self,
        p: Property,
        recipe: Recipe | None,
        answer: Answer,
        recurrence: Recurrence = Recurrence.ALWAYS,
        history: tuple[Recipe, ...] = (),
    ) -> None:
        """Give a property that does not hold its verdict; it leaves the pending ones. Some failures have no case."""
        if p in self.pending:
            self.pending.remove(p)
        assert answer.outcome is not None
        counts = self.counts(p, answer.outcome)
        self.tell(p, answer)
        if counts and answer.outcome == Outcome.ERROR and p.question != GUARDS:
            self.erring.append(p)
        if counts and self.plan.settings.stop:
            self.interrupted = Interruption("stopped", self.met())
            self.pending.clear()
            self.erring.clear()
        self.tally.conclude(p, recipe, answer, self.met(), recurrence, history)
        if recipe is not None and not answer.outcome.ends:
            self.tally.show(p, self._evidence(p, recipe))

    def _evidence(self, p: Property, recipe: Recipe) -> Evidence | None:
        """The call that failed, in numbers; it is made once more if another one was asked last, or came out right."""
        asked, at, answer = self._last or (None, None, None)
        shown = asked is p and at == recipe and answer is not None and answer.wrong
        if shown or self.again(p, recipe, brief=True):
            return self.judge.evidence()
        return None
