"""A judge that hands everything on to another: the common part of those that do one thing more, or otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Coming, Inquiry, Judge
from conformance.engine.reply import Reply
from conformance.errors import Ended
from conformance.facts import Evidence
from conformance.targets.probe import Ability
from conformance.trials.events import Event, Performed


class Forwarding:
    """Hands on what a judge is asked, and what it says; ``Judge`` says what each of it means."""

    def __init__(self, judge: Judge) -> None:
        self.backend = judge.backend
        self._judge = judge

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The judge's answers about a case."""
        return self._judge.ask(recipe, inquiries, stop, brief)

    @property
    def works_ahead(self) -> bool:
        """Whether the judge has others that answer for it what it foresees."""
        return self._judge.works_ahead

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """The judge may work ahead."""
        self._judge.foresee(coming, brief, afresh)

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last."""
        return self._judge.evidence()

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or to its vjp."""
        return self._judge.call(case, cotangents)

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """Make calls one after another, on fresh models; what became of the last one."""
        return self._judge.perform(events)

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        self._judge.run(recipe)

    def probe(self) -> list[Ability]:
        """The abilities of the backend."""
        return self._judge.probe()

    def finish(self) -> Ended | None:
        """Let the process that holds it come to its own end."""
        return self._judge.finish()

    def rest(self) -> None:
        """End what was started for it, until it is asked again."""
        self._judge.rest()

    def close(self) -> None:
        """End what was started for it, for good."""
        self._judge.close()

    @property
    def signatures(self) -> int:
        """How many signatures a backend that compiles was called with."""
        return self._judge.signatures

    @property
    def frameworks(self) -> dict[str, str]:
        """The versions of the frameworks that the process which holds the backend has loaded."""
        return self._judge.frameworks
