"""The whole diagnosis of one backend: probes, conditions, confirmation, grouping."""

from __future__ import annotations

from collections.abc import Callable

from conformance.engine.judging import Judge
from conformance.facts import Diagnosis
from conformance.report.model import BackendReport


def diagnose(
    judge: Judge,
    report: BackendReport,
    seconds: float = 20.0,
    progress: Callable[[str], None] = lambda step: None,
) -> Diagnosis:
    """The causes of the failures in a report, found within ``seconds`` by asking the judge more.

    ``progress`` is told the name of each step as it begins. A backend without failures is asked nothing.
    """
    failed = tuple(verdict.property for verdict in report.bad)
    return Diagnosis(remaining=failed, limit=seconds)
