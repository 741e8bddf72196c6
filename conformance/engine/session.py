"""The common state of an engine's run: the judge, the cases offered so far, and the properties still to be judged."""

from __future__ import annotations

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Judge, Question
from conformance.engine.plan import Plan
from conformance.engine.tally import Tally
from conformance.facts import Interruption, Recurrence
from conformance.properties.model import Property


class Session:
    """One run of the engine."""

    def __init__(self, judge: Judge, plan: Plan) -> None:
        self.judge = judge
        self.plan = plan
        self.tally = Tally(plan)
        self.pending = list(plan.asked)
        #: Every recipe offered, in order: what a failure that depends on history came after.
        self.offered: list[Recipe] = []
        self.interrupted: Interruption | None = None

    def again(self, p: Property, recipe: Recipe, brief: bool = False) -> Answer | None:
        """The wrong answer on a fresh run; None if there is none, or the property does not speak about the recipe."""
        if not p.when(recipe):
            return None
        [(_, answer)] = self.judge.ask(recipe, [Question(p, recipe.turn)], brief=brief)
        self.tally.note(p, recipe, answer)
        return answer if answer.wrong else None

    def conclude(
        self,
        p: Property,
        recipe: Recipe,
        answer: Answer,
        recurrence: Recurrence = Recurrence.ALWAYS,
        history: tuple[Recipe, ...] = (),
    ) -> None:
        """Give a property that does not hold its verdict; it leaves the pending ones."""
        if p in self.pending:
            self.pending.remove(p)
        if self.plan.settings.stop:
            self.interrupted = Interruption("stopped", len(self.offered))
            self.pending.clear()
        self.tally.conclude(p, recipe, answer, len(self.offered), recurrence, history)
