"""The diagnosis after a run, for every door: what it may take, and what becomes of it if it does not end well."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Judge
from conformance.engine.news import Diagnosing, Tell, unheard
from conformance.errors import Closed, Gone
from conformance.facts import AdapterBroken, Diagnosis, NotStarted
from conformance.properties.model import GUARDS
from conformance.report.model import BackendReport

#: Seconds for each backend that fails, unless a person says otherwise: after a run, and where it is all that is asked.
USUAL, LONG = 20, 60


def diagnosed(
    judge: Judge, report: BackendReport, seconds: float, tell: Tell = unheard, known: Sequence[Recipe] = ()
) -> BackendReport:
    """The report with the causes of its failures, looked for within ``seconds``; none if there are 0.

    ``known`` are the cases of a recording, which answers no others.
    No verdict changes, whatever comes of it. A defect of the suite is told in the diagnosis, and a judge that is closed
    meanwhile leaves the report as it is. Raises ``KeyboardInterrupt``: the caller has the report that it handed over.
    """
    if not seconds or not _worth_it(report):
        return report
    # Loading it takes part of the time to the first failure, and it is needed after that only.
    from conformance.diagnosis.diagnose import diagnose  # noqa: PLC0415

    try:
        found = diagnose(judge, report, seconds, lambda step: tell(Diagnosing(step)), known=known)
    except Closed:
        return report
    except (Exception, Gone) as error:
        failed = tuple(verdict.property for verdict in report.bad)
        found = Diagnosis(remaining=failed, limit=seconds, defect=_told(error))
    finally:
        judge.rest()
    return replace(report, diagnosis=found)


def _worth_it(report: BackendReport) -> bool:
    """Whether there is a failure that a formula or a condition may explain: it ran, and was not broken off."""
    if report.interrupted is not None and report.interrupted.how != "stopped":
        return False
    if any(isinstance(verdict.fact, AdapterBroken | NotStarted) for verdict in report.verdicts):
        return False
    return any(verdict.question != GUARDS for verdict in report.bad)


def _told(error: BaseException) -> str:
    """An exception in one line: its class, its message, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({Path(last.filename).name}:{last.lineno})"
