"""Judging a recording: the engine asks a backend that looks up what a program answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.news import Tell, unheard
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Interruption
from conformance.recorded.answers import Answers
from conformance.recorded.playback import played
from conformance.recorded.recording import Recording
from conformance.report.model import BackendReport


@dataclass(frozen=True, eq=False)
class Judged:
    """What became of a recording: the report, and the judge that may be asked for causes."""

    report: BackendReport
    judge: Here
    settings: Settings
    #: The recorded calls that were not answered, in their order.
    missing: tuple[str, ...]
    #: The cases of which the recording has calls.
    cases: tuple[Recipe, ...]


class _Remembering(Here):
    """A judge that remembers what it was asked about."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.cases = dict[Recipe, None]()

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers of the judge."""
        self.cases[recipe] = None
        return super().ask(recipe, inquiries, stop, brief)


def playing(recording: Recording, answers: Answers, name: str) -> Backend:
    """The backend that gives the answers to a recording."""
    backend = played(name, recording.capabilities, answers.found, recording.calls)
    return replace(backend, own_name=answers.name, version=answers.version)


def judge_recording(
    recording: Recording, answers: Answers, name: str, tell: Tell = unheard, strict: bool = False
) -> Judged:
    """Judge the answers to a recording, as a run under its settings judges a backend of that name.

    A call without an answer leaves each property that needs it not judged in that case, or at all. If a recorded
    call is not answered, the report is not complete. Nothing is shrunk, for that takes new calls.
    """
    judge = _Remembering(playing(recording, answers, name))
    settings = replace(recording.settings, shrink=False, strict=strict)
    report = conform(judge, settings, tell)
    missing = answers.missing(recording)
    if missing and report.interrupted is None:
        report = replace(report, interrupted=Interruption("unanswered", len(missing)))
    return Judged(report, judge, settings, missing, tuple(judge.cases))
