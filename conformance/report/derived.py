"""What a file says of a report beside its records, for readers in other languages: messages, answers, levels, counts.

All of it follows from the records, so it is written and never read. Each record here stands beside one of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from conformance.facts import Cause, Diagnosis, Outcome
from conformance.properties.model import COMPUTES, EDGES, GUARDS
from conformance.report import causes, english
from conformance.report.levels import reached
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.text import replay_line
from conformance.report.unjudged import unjudged


class Question(StrEnum):
    """The three questions that a report answers."""

    #: Every ordinary call gives what nn.LSTM gives.
    COMPUTES = COMPUTES
    #: The edges of the numbers and of the sizes: NaN, infinity, no rows, one unit.
    EDGES = EDGES
    #: A call that makes no sense is refused.
    GUARDS = GUARDS


@dataclass(frozen=True)
class Answers:
    """The properties of one question on one backend."""

    #: How many were declared.
    asked: int
    #: Those that passed.
    passed: int
    #: Those that failed as was expected.
    expected_failures: int
    #: Those that do not hold: failed, error, crashed, timeout, unexpected pass.
    failed: int


@dataclass(frozen=True)
class OfVerdict:
    """What follows from a verdict."""

    #: The fact in words: expected against actual, or the reason; nothing of a property that passed.
    message: str
    #: The question that the property helps to answer.
    question: Question
    #: The command that shows the failure again.
    replay: str | None
    #: ``scope`` in words.
    scope_message: str | None


@dataclass(frozen=True)
class OfBackend:
    """What follows from the verdicts of a backend."""

    #: The options that no property judged, each with its reason, or nothing.
    unjudged: str
    #: The highest level reached: "core", "full", "training", with the dtypes behind it if float32 is not among them.
    level: str | None
    #: What is missing for the next level.
    shortfall: str | None
    #: What became of the properties that ask what every ordinary call gives.
    computes: Answers
    #: What became of the properties that ask for the edges of the numbers and of the sizes.
    edges: Answers
    #: What became of the properties that ask whether a call that makes no sense is refused.
    guards: Answers
    #: Whether the run came to its end, all that counts was judged, and nothing of it is wrong. Never of a quick run.
    conformant: bool
    #: The same where a missing guard counts.
    strictly_conformant: bool


@dataclass(frozen=True)
class OfDiagnosis:
    """What follows from a diagnosis."""

    #: How many properties fail, for how many causes.
    message: str


@dataclass(frozen=True)
class OfCause:
    """What follows from a cause."""

    #: The cause in one sentence.
    message: str


@dataclass(frozen=True)
class OfReport:
    """The end of the file: what follows from all of it."""

    #: How many verdicts have each outcome, of those that occur.
    counts: dict[str, int]
    #: Whether every target was begun and came to its end. A file that says false, or that lacks its end, is a part.
    complete: bool
    #: Whether it is complete, every backend that could run is conformant, one at least could, and no weights are wrong.
    conformant: bool


def of_report(report: Report) -> OfReport:
    """The end of the file."""
    outcomes = [verdict.outcome for verdict in report.verdicts]
    counts = {str(outcome): outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
    return OfReport(counts, report.complete, report.conformant)


def of_backend(backend: BackendReport) -> OfBackend:
    """What follows from the verdicts of a backend."""
    level, gap = reached(backend)
    return OfBackend(
        unjudged=unjudged(backend),
        level=level or None,
        shortfall=english.gap(gap) if gap else None,
        computes=_answers(backend.asked(COMPUTES)),
        edges=_answers(backend.asked(EDGES)),
        guards=_answers(backend.asked(GUARDS)),
        conformant=backend.conformant,
        strictly_conformant=replace(backend, strict=True).conformant,
    )


def of_verdict(verdict: Verdict) -> OfVerdict:
    """What follows from a verdict."""
    return OfVerdict(
        message=verdict.message,
        question=Question(verdict.question),
        replay=replay_line(verdict) if verdict.recipe else None,
        scope_message=english.scope(verdict.scope) if verdict.scope else None,
    )


def of_diagnosis(backend: BackendReport) -> OfDiagnosis:
    """What follows from the diagnosis of a backend."""
    return OfDiagnosis(causes.headline(backend))


def of_cause(cause: Cause, backend: BackendReport) -> OfCause:
    """What follows from a cause of a backend's failures."""
    return OfCause(causes.sentence(cause, backend))


def _answers(verdicts: Sequence[Verdict]) -> Answers:
    """How many properties were asked, and what became of them."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return Answers(
        asked=len(outcomes),
        passed=outcomes.count(Outcome.PASSED),
        expected_failures=outcomes.count(Outcome.EXPECTED_FAILURE),
        failed=sum(outcome.bad for outcome in outcomes),
    )


#: The record that stands beside each of the model's in a file.
BESIDE: dict[type, type] = {
    Report: OfReport,
    BackendReport: OfBackend,
    Verdict: OfVerdict,
    Diagnosis: OfDiagnosis,
    Cause: OfCause,
}
