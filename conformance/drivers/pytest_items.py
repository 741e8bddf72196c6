"""The items of a pytest session: one for each property of a backend, and what collects them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import pytest

from conformance.drivers.pytest_judging import Judged, Judgement, Key
from conformance.drivers.pytest_request import ConformanceTests
from conformance.errors import UsageError
from conformance.facts import Outcome
from conformance.report.causes import in_short
from conformance.report.conclusion import ending, interruption
from conformance.report.harmless import NAME, TEXT, harmless
from conformance.report.model import BackendReport, Verdict
from conformance.report.text import explain
from lstm_conformance_pytest.workers import part_of


class Session(Protocol):
    """What items ask of the session that they belong to."""

    #: How many parts a backend's properties are judged in.
    parts: int
    #: What came of each part that was judged in this process.
    judged: dict[tuple[Key, int], Judged]
    #: Node ids of backends and their items given as arguments.
    picked: list[str]

    def judge(self, item: PropertyItem) -> float:
        """Judge the part that an item belongs to, once; the seconds that were no property's."""
        ...

    def items(self, parent: pytest.Collector, tests: ConformanceTests, name: str) -> list[PropertyItem]:
        """The items that a request asks for, in the catalogue's order, named by the pattern ``name``."""
        ...


class PropertyItem(pytest.Item):
    """One property of one backend."""

    def __init__(self, *, suite: Session, judgement: Judgement, property: str, **node: Any) -> None:
        super().__init__(**node)
        self.suite = suite
        self.judgement = judgement
        self.property = property
        self.part = part_of(property, suite.parts)
        self.title = f"{harmless(judgement.backend.name, NAME)}::{property}"
        #: What the outcome tells: its own verdict, or smoke's.
        self.verdict: Verdict | None = None
        #: By phase, the seconds that this property took, wherever they passed.
        self.seconds: dict[str, float] = {}
        self.extra_keyword_matches.add(self.title)

    def setup(self) -> None:
        """Judge the part of the backend's properties that this one belongs to, unless another item of it has done so.

        Here and not in the test, so that the time that is no property's is that of a set-up.
        """
        self.seconds["setup"] = self.suite.judge(self)

    def runtest(self) -> None:
        """Turn the verdict into pytest's outcome."""
        judged = self.suite.judged[self.judgement.key, self.part]
        self.seconds["call"] = judged.seconds.get(self.property, 0.0)
        report = judged.report
        if report.interrupted and report.interrupted.how != "stopped":
            pytest.exit(f"{report.backend}: {interruption(report)}", returncode=pytest.ExitCode.INTERRUPTED)
        verdict = next(verdict for verdict in report.verdicts if verdict.property == self.property)
        self.user_properties += _particulars(verdict)
        if verdict.outcome == Outcome.NOT_RUN:
            # A broken adapter fails smoke, and must not look green where smoke's own item is not selected.
            broken = (v for v in report.bad if v.property not in self.judgement.selected)
            verdict = next(broken, verdict)
        self.verdict = verdict
        if verdict.outcome == Outcome.EXPECTED_FAILURE and not self.config.getoption("runxfail"):
            raise pytest.xfail.Exception(verdict.expected, pytrace=False)
        if verdict in report.missing_guards and not self.config.getoption("runxfail"):
            raise pytest.xfail.Exception(f"a guard, which counts if strict: {verdict.message}", pytrace=False)
        if verdict.outcome.bad or verdict.outcome == Outcome.EXPECTED_FAILURE:
            pytest.fail("\n".join([explain(verdict), *_cause(report, verdict)]), pytrace=False)
        if verdict.outcome != Outcome.PASSED:
            pytest.skip(f"{ending(verdict)}: {verdict.message}")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the backend was defined; ": " because pytest would write the dots of a node id's end as "::"."""
        file, _, line = self.judgement.backend.origin.rpartition(":")
        title = self.title.replace("::", ": ")
        return (Path(file), int(line) - 1, title) if line.isdigit() else (self.path, 0, title)


def _particulars(verdict: Verdict) -> list[tuple[str, object]]:
    """The parts of a verdict that junit.xml keeps."""
    named = {
        "property": verdict.property,
        "outcome": str(verdict.outcome),
        "margin": verdict.margin,
        "recipe": verdict.recipe,
    }
    return [(name, value) for name, value in named.items() if value is not None]


def _cause(report: BackendReport, verdict: Verdict) -> list[str]:
    """The cause of a failure in a line, if one was found; the summary says more."""
    causes = report.diagnosis.causes if report.diagnosis else ()
    return [f"  cause     {in_short(cause)}" for cause in causes if verdict.property in cause.explains][:1]


class BackendCollector(pytest.Collector):
    """A backend that was asked for outside test files; its node id is its name."""

    def __init__(self, *, suite: Session, target: str | UsageError, **node: Any) -> None:
        super().__init__(**node)
        self.suite = suite
        self.target = target

    def collect(self) -> list[PropertyItem]:
        """An item for each property, named by its id."""
        if isinstance(self.target, UsageError):
            raise self.CollectError(harmless(str(self.target), TEXT, lines=True))
        items = {item.nodeid: item for item in self.suite.items(self, ConformanceTests(self.target), "{property}")}
        picked = [pick for pick in self.suite.picked if pick.partition("::")[0] == self.name]
        if unknown := [pick for pick in picked if pick not in (self.nodeid, *items)]:
            raise self.CollectError(f"{self.name} declares no such property: {', '.join(unknown)}")
        return [items[pick] for pick in picked] if picked and self.nodeid not in picked else list(items.values())
