"""The conclusion: whether each backend is conformant, and its answers to the three questions in a sentence."""

from __future__ import annotations

from collections import Counter

from conformance.facts import AdapterBroken, CutShort, LeftOut, NotStarted, Outcome, Quick
from conformance.properties import catalogue
from conformance.properties.model import COMPUTES, QUESTIONS
from conformance.report import english
from conformance.report.colour import Paint, unpainted
from conformance.report.columns import ENDLESS, wrapped
from conformance.report.levels import reached, whole
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.weights import by_file, in_a_line

#: Of the words with which the conclusion begins, the good ones and the bad ones.
GOOD = {"conformant": True, "not conformant": False}

#: How a person is told of what a run that was cut short had seen hold.
NOT_TO_THE_END = "not judged to the end"


def conclusion(report: Report, paint: Paint = unpainted, width: int = ENDLESS) -> str:
    """A sentence for each backend, which begins with whether it is conformant: the last thing that a person reads.

    Before them stands one for each model's file whose weights are not the trained ones: that counts, too.

    Unless a ``width`` is given it is a line, for programs that look for it.
    """
    bad = paint("not conformant", False)
    wrong = (in_a_line(own) for own in by_file(report.asked.weights) if own.wrong)
    lines = [wrapped(f"not conformant: {told}", "  ", width).replace("not conformant", bad, 1) for told in wrong]
    for backend in report.backends:
        first = standing(backend)
        told = wrapped(f"{first}: {sentence(backend)}", "  ", width)
        lines.append(told.replace(first, paint(first, GOOD.get(first)), 1))
    if report.missing:
        lines.append(wrapped(f"interrupted, not begun: {', '.join(report.missing)}", "  ", width))
    return "\n".join(lines)


def sentence(backend: BackendReport) -> str:
    """A backend's answers to the three questions, as far as they were asked; what was seen where the run has no end."""
    if not backend.available:
        return backend.backend
    if backend.interrupted is not None:
        open = sum(map(so_far, backend.verdicts))
        return f"{backend.backend}: {english.cut_short(backend.interrupted, len(backend.bad), open)}"
    if gate := next((v for v in backend.verdicts if isinstance(v.fact, AdapterBroken | NotStarted)), None):
        return f"{backend.backend}: {gate.message}"
    if backend.quick:
        return f"{backend.backend}: {_quick(backend.quick, backend)}"
    parts = []
    for question in QUESTIONS:
        asked = backend.asked(question)
        good = sum(verdict.outcome.good for verdict in asked)
        bad = [verdict for verdict in asked if verdict.outcome.bad]
        expected = sum(verdict.outcome == Outcome.EXPECTED_FAILURE for verdict in asked)
        if asked and question == COMPUTES:
            level = reached(backend)[0]
            unexpected = sum(verdict.outcome == Outcome.UNEXPECTED_PASS for verdict in bad)
            told = english.computes(good, len(bad), len(asked), level, whole(backend), expected, unexpected)
            parts.append(told)
        elif asked:
            parts.append(english.others(question, good, len(asked), [_in_short(v) for v in bad], expected))
    return backend.backend + (" " if backend.asked(COMPUTES) else ": ") + "; ".join(parts)


def _quick(quick: Quick, backend: BackendReport) -> str:
    """What a quick run found and left out; a missing guard counts where it would count elsewhere."""
    left, missing = [v for v in backend.verdicts if isinstance(v.fact, LeftOut)], backend.missing_guards
    asked = [v for question in QUESTIONS for v in backend.asked(question) if v not in left and v not in missing]
    count = Counter(v.outcome for v in asked)
    hold, expected = count[Outcome.PASSED], count[Outcome.EXPECTED_FAILURE]
    return english.quick(quick, hold, expected, len(asked), len(left), len(missing))


def _in_short(verdict: Verdict) -> str:
    """What fails, in the property's few words; what they do not say, by its id."""
    fails = catalogue()[verdict.property].fails
    if verdict.outcome == Outcome.FAILED:
        return fails or verdict.property
    return f"{verdict.property} {verdict.outcome}"


def standing(backend: BackendReport) -> str:
    """Whether a backend is conformant, in the words with which its conclusion begins."""
    if not backend.available:
        return "unavailable"
    if not backend.complete and not backend.bad:
        return "interrupted"
    if backend.quick and backend.sound:
        return "large sizes" if backend.quick.large else "quick"
    return "conformant" if backend.conformant else "not conformant"


def interruption(backend: BackendReport) -> str:
    """Why a backend's run ended early, or nothing."""
    return "" if backend.interrupted is None else english.interruption(backend.interrupted)


def ending(verdict: Verdict) -> str:
    """The outcome of a verdict; of what a run that was cut short had seen hold, that it was not judged to the end."""
    return NOT_TO_THE_END if so_far(verdict) else str(verdict.outcome)


def so_far(verdict: Verdict) -> bool:
    """Whether a run that was cut short had seen the property hold by then."""
    return isinstance(verdict.fact, CutShort) and verdict.fact.passed > 0
