"""The common state of an engine's run: the judge, the cases offered so far, and the properties still to be judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Inquiry, Judge
from conformance.engine.news import Failed, Settled, Tell
from conformance.engine.plan import Plan
from conformance.engine.tally import Tally
from conformance.facts import Evidence, Interruption, Outcome, Recurrence
from conformance.properties.model import GUARDS, Property
from conformance.report.model import spoils


class Session:
    """One run of the engine."""

    def __init__(self, judge: Judge, plan: Plan, tell: Tell) -> None:
        self.judge = judge
        self.plan = plan
        self.tell = tell
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

    def failed(self, p: Property, recipe: Recipe | None, answer: Answer) -> None:
        """Note and tell the first failure of a property: whatever becomes of it, it is not lost."""
        assert answer.outcome is not None
        if p.id not in self.tally.failed:
            verdict = self.tally.fail(p, recipe, answer, self.met())
            self.tell(Failed(verdict, self.counts(p, answer.outcome)))

    def standing(self) -> tuple[int, int]:
        """How many properties that are asked have not failed, and how many make the backend not conformant."""
        failed, strict = self.tally.failed, self.plan.settings.strict
        counted = sum(spoils(id, verdict.outcome, strict) for id, verdict in failed.items())
        return len(self.plan.asked) - len(failed), counted

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
        self.failed(p, recipe, answer)
        if counts and answer.outcome == Outcome.ERROR and p.question != GUARDS:
            self.erring.append(p)
        if counts and self.plan.settings.stop:
            self.interrupted = Interruption("stopped", self.met())
            self.pending.clear()
            self.erring.clear()
        settled = self.tally.conclude(p, recipe, answer, self.met(), recurrence, history)
        if recipe is not None and not answer.outcome.ends:
            settled = self.tally.show(p, self._evidence(p, recipe))
        self.tell(Settled(settled, counts))

    def _evidence(self, p: Property, recipe: Recipe) -> Evidence | None:
        """The call that failed, in numbers; it is made once more if another one was asked last, or came out right."""
        asked, at, answer = self._last or (None, None, None)
        shown = asked is p and at == recipe and answer is not None and answer.wrong
        if shown or self.again(p, recipe, brief=True):
            return self.judge.evidence()
        return None
