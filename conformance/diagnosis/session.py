"""What all steps of one diagnosis share: the judge and its calls, the failures, the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call
from conformance.diagnosis.sequences import in_sequence
from conformance.engine.judging import Answer, Answering, Inquiry
from conformance.engine.reply import Reply
from conformance.facts import Evidence, Unanswered
from conformance.report.model import BackendReport, Verdict
from conformance.trials.events import Event, Performed


class Counting:
    """The calls and inquiries that a judge is asked for, counted."""

    def __init__(self, judge: Answering) -> None:
        self.judge, self.backend, self.calls = judge, judge.backend, 0

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers of the judge."""
        self.calls += 1
        return self.judge.ask(recipe, inquiries, stop, brief)

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of the judge."""
        self.calls += 1
        return self.judge.call(case, cotangents)

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """What became of the last of some calls."""
        self.calls += sum(event.called for event in events)
        return self.judge.perform(events)

    def evidence(self) -> Evidence | None:
        """The evidence of the judge."""
        return self.judge.evidence()


def answered(judge: Answering, call: Call) -> Reply:
    """A judge's reply to a call."""
    if call.before and "live" in judge.backend.ruled_out:
        return Reply(fact=Unanswered(recorded=False))
    if call.before:
        return in_sequence(judge.perform, call, judge.backend.capabilities)
    return judge.call(call.case, call.cotangents)


@dataclass
class Session:
    """The state of one diagnosis."""

    judge: Counting
    report: BackendReport
    #: All the seconds that it may take.
    seconds: float
    progress: Callable[[str], None]
    #: Faults that no hypothesis may name.
    without: frozenset[str]
    #: The cases of a recording, where no others can be asked.
    known: Sequence[Recipe] = ()
    started: float = field(default_factory=time.monotonic)
    #: The probes that no time was left for.
    untried: list[str] = field(default_factory=list)

    @cached_property
    def predictions(self) -> Predictions:
        """What altered LSTMs return."""
        return Predictions(self.judge.backend)

    @cached_property
    def failed(self) -> list[Verdict]:
        """The failures that have a case."""
        return [verdict for verdict in self.report.bad if verdict.recipe is not None]

    def reply(self, call: Call) -> Reply:
        """The reply to a call."""
        return answered(self.judge, call)

    def after(self, share: float) -> float:
        """When a share of the time has passed, by ``time.monotonic``."""
        return self.started + share * self.seconds

    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.after(1.0)
