"""A pytest session that judges backends: what it collects, the runs of the engine, and the table at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from functools import cached_property, reduce
from typing import Any

import pytest

from conformance.backend import Backend
from conformance.drivers import console
from conformance.drivers.diagnosing import USUAL
from conformance.drivers.last import remember
from conformance.drivers.pytest_items import BackendCollector, PropertyItem
from conformance.drivers.pytest_judging import Judged, Judgement, Key
from conformance.drivers.pytest_progress import Progress
from conformance.drivers.pytest_request import ConformanceTests
from conformance.drivers.run import make_report
from conformance.drivers.target import Isolation, judge_of
from conformance.engine.judging import Here, Judge
from conformance.engine.plan import Settings
from conformance.errors import Ended, UsageError
from conformance.properties import select
from conformance.report.conclusion import conclusion
from conformance.report.harmless import NAME, TEXT, harmless, legible
from conformance.report.merging import merged
from conformance.report.model import BackendReport
from conformance.report.names import targeted
from conformance.report.records import decode, encode
from conformance.report.table import notes, table
from conformance.report.text import diagnoses, head
from conformance.targets.find import find
from lstm_conformance_pytest import PARCEL


class Suite:
    """The plugin's hooks, and what they remember of one session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        workerinput = getattr(config, "workerinput", {})
        #: The name of this worker of pytest-xdist; none in a controller or without one.
        self.worker: str = workerinput.get("workerid", "")
        #: How many parts a backend's properties are judged in.
        self.parts: int = workerinput.get("lstm_parts", 1)
        #: Whether the first failure ends the session.
        self.stop: bool = workerinput.get("lstm_stop", config.getoption("maxfail") == 1)
        #: What came of each part that was judged in this process, for a person's eyes.
        self.judged: dict[tuple[Key, int], Judged] = {}
        self.judgements: dict[Key, Judgement] = {}
        #: Every report made in this process or sent by a worker, by backend and part.
        self.kept: dict[Key, dict[str, BackendReport]] = {}
        self._judges: dict[str, Judge] = {}
        #: Node ids of backends and their items given as arguments.
        self.picked: list[str] = []

    # Which backends

    @property
    def targets(self) -> list[str]:
        """The backends asked for outside test files, or that node ids given as arguments may name."""
        return self.config.getoption("lstm_backend") or self.config.getini("lstm_backends")

    @property
    def in_play(self) -> bool:
        """Whether targets are to be judged: the ini list is meant for a run without path arguments."""
        plain = self.config.args_source is not pytest.Config.ArgsSource.ARGS
        return bool(self.picked or self.config.getoption("lstm_backend") or (plain and self.targets))

    @cached_property
    def named(self) -> dict[str, str | UsageError]:
        """The targets by their backends' names, or why there is none by target."""
        named: dict[str, str | UsageError] = {}
        for target in self.targets:
            try:
                named[harmless(self.judge_of(target).backend.name, NAME)] = target
            except UsageError as error:
                named[harmless(target, NAME)] = error
        return named

    def judge_of(self, target: str | Backend | Callable[..., Any]) -> Judge:
        """The judge of a target, in this process or in a child at rest until then; the same one whenever asked."""
        if not isinstance(target, str):
            return self._new_judge(target)
        if target not in self._judges:
            self._judges[target] = self._new_judge(target)
        return self._judges[target]

    def _new_judge(self, target: str | Backend | Callable[..., Any]) -> Judge:
        if not self.config.getoption("lstm_isolate"):
            return Here(find(target))
        if not isinstance(target, str):
            raise UsageError(
                f"--lstm-isolate: another process cannot hold {getattr(target, 'name', target)!r}, which exists here",
                'name the target as text, such as conformance_tests("my_lstm:build")',
            )
        try:
            judge = judge_of(target, Isolation())
        except Ended as ended:
            raise UsageError(f"{target}: {ended}") from None
        judge.rest()
        return judge

    # Collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Take node ids of backends from the arguments: pytest would look for files of that name."""
        here = self.config.invocation_params.dir
        strangers = [argument for argument in self.config.args if not (here / argument.partition("::")[0]).exists()]
        if strangers and self.targets:
            self.picked = [argument for argument in strangers if argument.partition("::")[0] in self.named]
            self.config.args = [argument for argument in self.config.args if argument not in self.picked]

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the backends to what the session collects, after its files."""
        report = yield
        if isinstance(collector, pytest.Session) and report.passed and self.in_play:
            nodes = [
                BackendCollector.from_parent(collector, name=name, nodeid=name, suite=self, target=target)
                for name, target in self.named.items()
                if not self.picked or name in {pick.partition("::")[0] for pick in self.picked}
            ]
            report.result = [*report.result, *nodes]
        return report

    def items(self, parent: pytest.Collector, tests: ConformanceTests, name: str) -> list[PropertyItem]:
        """The items that a request asks for, in the catalogue's order, named by the pattern ``name``."""
        try:
            return list(self._items(parent, tests, name))
        except UsageError as error:
            raise parent.CollectError(harmless(str(error), TEXT, lines=True)) from None

    def _items(self, parent: pytest.Collector, tests: ConformanceTests, name: str) -> Iterator[PropertyItem]:
        judge = self.judge_of(tests.target)
        cases, seed = (
            next((value for value in (self.config.getoption(option), given) if value is not None), default)
            for option, given, default in (
                ("lstm_cases", tests.cases, Settings.cases),
                ("lstm_seed", tests.seed, Settings.seed),
            )
        )
        limits = (self.config.getoption("lstm_diagnose"), tests.diagnose, USUAL)
        diagnose = next(seconds for seconds in limits if seconds is not None)
        settings = Settings(
            cases,
            seed,
            stop=tests.stop or self.stop,
            shrink=tests.shrink,
            strict=tests.strict or bool(self.config.getoption("lstm_strict")),
            expected_failures=tests.expected_failures,
        )
        judgement = Judgement(judge, settings, tests.progress, diagnose)
        judgement = self.judgements.setdefault(judgement.key, judgement)
        for p in select(tests.only, tests.exclude):
            if p.id in judgement.declared:
                own = name.format(property=p.id)
                # As text: then pytest 9.2 parses the brackets, as it does in the ids that --lf remembers.
                nodeid = f"{parent.nodeid}::{own}"
                yield PropertyItem.from_parent(
                    parent, name=own, nodeid=nodeid, suite=self, judgement=judgement, property=p.id
                )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Now that -k and the like have spoken: what is there to judge?"""
        for item in session.items:
            if isinstance(item, PropertyItem):
                item.judgement.selected.add(item.property)

    # Judging

    def judge(self, item: PropertyItem) -> float:
        """Judge the part that an item belongs to, once; the seconds that were no property's.

        A worker sends the report along with the item that made it.
        """
        judgement, part = item.judgement, (item.judgement.key, item.part)
        if part in self.judged:
            return 0.0
        progress = Progress(self.config, harmless(judgement.backend.name, NAME), item.nodeid)
        try:
            judged = judgement.judged(item.part, self.parts, progress)
            if not self.worker:
                # An interruption of the diagnosis does not cost the verdicts.
                self.keep(judgement.key, str(item.part), judged.report)
            judged = judgement.diagnosed(judged, progress)
        finally:
            progress.done()
        self.judged[part] = judged._replace(report=legible(judged.report))
        if self.worker:
            parcel = judgement.key, f"{self.worker}.{item.part}", encode(judged.report)
            item.user_properties.append((PARCEL, json.dumps(parcel)))
        else:
            self.keep(judgement.key, str(item.part), judged.report)
        return judged.rest

    def keep(self, key: Key, part: str, report: BackendReport) -> None:
        """Remember the report on a part; a worker's comes with each phase of its item."""
        self.kept.setdefault(key, {})[part] = report

    @property
    def reports(self) -> dict[Key, BackendReport]:
        """What the table shows: each backend's parts as one report."""
        return {key: reduce(merged, parts.values()) for key, parts in self.kept.items()}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A skip is shown where the backend was defined, and a failure in one line by what came out."""
        report = yield
        if isinstance(item, PropertyItem):
            report.duration = item.seconds.get(report.when or "", report.duration)
            if isinstance(report.longrepr, tuple):
                path, line, _ = item.reportinfo()
                report.longrepr = str(path), line + 1, report.longrepr[2]
            elif item.verdict is not None and report.failed and (crash := getattr(report.longrepr, "reprcrash", None)):
                crash.message = item.verdict.message
        return report

    # Across pytest-xdist

    def unpack(self, parcel: str) -> None:
        """Keep the report that a worker has sent to the controller."""
        key, part, report = json.loads(parcel)
        self.keep(Key(*key), part, decode(BackendReport, report))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """The failures are kept for ``replay --last``. A backend that has nothing of what it declares is no success."""
        if self.reports and not self.worker:
            remember(make_report(Settings(), self.reports.values()))
        if exitstatus == pytest.ExitCode.OK and any(report.narrowed for report in self.reports.values()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    # The table

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table of all backends judged, and a sentence for each; one table for each number of cases and seed."""
        if not self.reports:
            return
        columns = console.width()
        rank = {name: place for place, name in enumerate(self.targets)}
        ordered = sorted(self.reports.items(), key=lambda each: rank.get(each[0].backend, len(rank)))
        terminalreporter.section("lstm-conformance")
        for cases, seed in dict.fromkeys((key.cases, key.seed) for key, _ in ordered):
            reports = [report for key, report in ordered if (key.cases, key.seed) == (cases, seed)]
            whole = targeted(make_report(Settings(cases, seed), reports))
            parts = [head(whole, columns), table(whole, columns), diagnoses(whole, columns), notes(whole, columns)]
            parts.append(conclusion(whole))
            terminalreporter.write_line("\n\n".join(filter(None, parts)) + "\n")
        left = [
            harmless(key.backend, NAME)
            for key, judgement in self.judgements.items()
            if judgement.selected and key not in self.reports
        ]
        if left:
            terminalreporter.write_line(f"not judged: {', '.join(left)}")
