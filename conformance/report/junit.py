"""The report as JUnit XML, as Jenkins, GitLab and others read it: a suite for each backend, a case for each property.

A model's file whose weights were compared with the trained ones is a suite, too, with a case for each of its LSTMs.

A *failure* is a property that does not hold, an *error* one whose calls did not come back with results. What makes no
backend not conformant is *skipped*, with its reason: what was not asked, what was expected to fail, a missing guard.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from io import BytesIO

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from conformance.facts import Outcome
from conformance.facts.weights import WeightsCompared
from conformance.report.causes import in_short
from conformance.report.conclusion import ending, interruption, standing
from conformance.report.levels import reached
from conformance.report.model import BackendReport, Report, Verdict, spoils
from conformance.report.names import named
from conformance.report.text import explain
from conformance.report.weights import by_file, details, key, sentence, weights

#: The case that a suite has besides if its run did not come to its end.
_COMPLETE = "run.complete"

_ERRORS = (Outcome.ERROR, Outcome.CRASHED, Outcome.TIMEOUT)


def render(report: Report) -> str:
    """The text of an XML file."""
    shown, xml = named(report), JUnitXml("lstm-conformance")
    for own in by_file(shown.asked.weights):
        xml.append(_closed(TestSuite(own.name), [_case(own.name, key(each), _compared(each)) for each in own.compared]))
    for backend in shown.backends:
        xml.append(_suite(shown, backend))
    for name in shown.missing:
        xml.append(
            _closed(TestSuite(name), [_case(name, _COMPLETE, Error("the run ended before it was begun", "not run"))])
        )
    suites = list(xml)
    xml.tests, xml.failures, xml.errors = (
        sum(getattr(suite, name) for suite in suites) for name in ("tests", "failures", "errors")
    )
    text = BytesIO()
    xml.write(text, pretty=True)
    return text.getvalue().decode().rstrip()


def _suite(report: Report, backend: BackendReport) -> TestSuite:
    suite = TestSuite(backend.backend)
    with suppress(ValueError):
        suite.timestamp = datetime.fromisoformat(report.asked.started).strftime("%Y-%m-%dT%H:%M:%S")
    told = {
        "standing": standing(backend),
        "level": reached(backend)[0],
        "complete": str(backend.complete).lower(),
        "seed": report.seed,
        "random cases": report.cases,
        "lstm-conformance": report.version,
        **report.environment,
        "note": backend.note,
    }
    for name, value in told.items():
        if value != "":
            suite.add_property(name, str(value))
    cases = [_case(backend.backend, v.property, _result(backend, v)) for v in backend.verdicts]
    if backend.interrupted is not None:
        # That it stopped as it was told to is nothing wrong.
        kind = Skipped if backend.interrupted.how == "stopped" else Error
        cases.append(_case(backend.backend, _COMPLETE, kind(interruption(backend), "incomplete")))
    return _closed(suite, cases, backend.seconds)


def _closed(suite: TestSuite, cases: list[TestCase], seconds: float = 0.0) -> TestSuite:
    suite.add_testcases(cases)
    # That of a case is not known: properties share their calls.
    suite.time = round(seconds, 3)
    return suite


def _case(backend: str, name: str, result: Failure | Error | Skipped | None) -> TestCase:
    # Before a dot stands the name of a package.
    case = TestCase(name, f"lstm-conformance.{backend.replace('.', '_')}")
    if result is not None:
        case.result = [result]
    return case


def _compared(told: WeightsCompared) -> Failure | None:
    """The element of weights that are not the trained ones."""
    if not told.likeness.wrong:
        return None
    found = details(told)
    failure = Failure("; ".join([sentence(told), *found]), told.likeness)
    failure.text = weights([told])
    return failure


def _result(backend: BackendReport, verdict: Verdict) -> Failure | Error | Skipped | None:
    """The element that says how a property fares; none of one that passed."""
    message, outcome = verdict.message.partition("\n")[0], verdict.outcome
    if outcome == Outcome.PASSED:
        return None
    if spoils(verdict.property, outcome, backend.strict):
        result = Error(message, outcome) if outcome in _ERRORS else Failure(message, outcome)
        result.text = "\n".join([explain(verdict), *_cause(backend, verdict)])
        return result
    if outcome == Outcome.NARROWED and verdict in backend.narrowed:
        # Nothing of what was declared was there: the backend is not conformant, and must not look so.
        return Failure(message, outcome)
    if outcome.bad:
        return Skipped(f"a guard, which counts if strict: {message}", outcome)
    return Skipped(f"{ending(verdict)}: {message}", outcome)


def _cause(backend: BackendReport, verdict: Verdict) -> list[str]:
    """The causes that explain a failure, in a line each."""
    causes = backend.diagnosis.causes if backend.diagnosis else ()
    return [f"  cause     {in_short(cause)}" for cause in causes if verdict.property in cause.explains]
