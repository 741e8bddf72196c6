"""What pytest makes of a backend: items, outcomes, texts, selection and the table."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from xml.etree import ElementTree

import pytest

from conformance import conformance_tests
from conformance.cases.recipe import Recipe
from conformance.drivers import pytest_judging, pytest_progress, pytest_request
from conformance.drivers.last import recall
from conformance.drivers.pytest_judging import Judged, Judgement
from conformance.engine.judging import Answer, Here, Inquiry, Judge
from conformance.engine.plan import Settings, plan
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Degree, Diagnosis, Outcome
from conformance.properties import GROUPS, catalogue
from conformance.report.merging import merged
from conformance.report.model import BackendReport, Verdict
from conformance.targets.find import find
from lstm_conformance_pytest import workers
from lstm_conformance_pytest.workers import part_of

LSTMS = """
    import os

    import numpy as np

    from conformance import Capabilities, backend
    from implementations.numpy_lstm import numpy_lstm

    calls = 0

    def logged():
        with open("judged.txt", "a") as file:
            print("judged", file=file)

    @backend("right", Capabilities(), available=logged)
    def right(config, params):
        return numpy_lstm.build(config, params)

    @backend("wrong", Capabilities(), available=logged)
    def wrong(config, params):
        def forward(x, state=None):
            output, (h_n, c_n) = numpy_lstm.build(config, params)(x, state)
            return output, (h_n, c_n * 2)
        return forward

    @backend("unguarded", Capabilities())
    def unguarded(config, params):
        def forward(x, state=None):
            whole = np.concatenate([x, x], axis=-1)[..., : config.input_size]
            return numpy_lstm.build(config, params)(whole, state)
        return forward

    @backend("known", Capabilities(expected_failures={"values.c_n": "issue 7", "values.h_n": "issue 8"}))
    def known(config, params):
        return wrong.build(config, params)

    @backend("mistaken", Capabilities(expected_failures={"values.cn": "issue 7"}))
    def mistaken(config, params):
        return wrong.build(config, params)

    @backend("broken", Capabilities())
    def broken(config, params):
        raise RuntimeError("no such kernel")

    @backend("crashing", Capabilities())
    def crashing(config, params):
        os._exit(7)

    @backend("absent", Capabilities(), available=lambda: "no CUDA device")
    def absent(config, params):
        raise AssertionError("must not be built")

    @backend("endless", Capabilities())
    def endless(config, params):
        global calls
        calls += 1
        if calls > 20:
            raise KeyboardInterrupt
        return numpy_lstm.build(config, params)
"""


@pytest.fixture(autouse=True)
def _lstms(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(lstms=LSTMS)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Settings]]:
    """Every run of the engine."""
    runs = []
    conform = pytest_judging.conform

    def spy(judge, settings, **options):
        runs.append((judge.backend.name, settings))
        return conform(judge, settings, **options)

    monkeypatch.setattr(pytest_judging, "conform", spy)
    return runs


def write_tests(pytester: pytest.Pytester, target: str) -> Path:
    """A test file of two lines."""
    return pytester.makepyfile(f"from conformance import conformance_tests\ntest_it = conformance_tests({target!r})")


def text(result: pytest.RunResult) -> str:
    return result.stdout.str()


def rows(result: pytest.RunResult) -> list[list[str]]:
    """The table's rows, as words."""
    lines = [line.split() for line in result.outlines if line.startswith("lstms:")]
    return [words for words in lines if words[1:2] == ["—"]]


def nodeids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if re.search(r"(::|\[)[a-z]+\.[A-Za-z0-9_-]+\]?$", line)]


# Items


def test_a_test_file_of_two_lines_has_an_item_for_every_declared_property(pytester: pytest.Pytester) -> None:
    write_tests(pytester, "lstms:right")
    ids = nodeids(pytester.runpytest("--collect-only", "-q"))
    name = "test_a_test_file_of_two_lines_has_an_item_for_every_declared_property.py::test_it"
    assert f"{name}[smoke.runs]" in ids
    assert f"{name}[values.output]" in ids
    assert not any("stack." in nodeid for nodeid in ids), "an undeclared property must not look like a pass"


def test_a_test_file_chooses_properties_cases_and_seed(
    pytester: pytest.Pytester, judged: list[tuple[str, Settings]]
) -> None:
    pytester.makepyfile("""
        from conformance import conformance_tests
        test_mine = conformance_tests("lstms:right", cases=1, seed=5, properties=["values.h_n", "layout"])
    """)
    pytester.runpytest().assert_outcomes(passed=4)
    pytester.runpytest("--lstm-seed", "6").assert_outcomes(passed=4)
    ids = ("smoke", "layout.dtypes", "layout.final-state", "layout.shapes", "values.h_n")
    assert judged == [
        ("lstms:right", Settings(1, 5, ids)),
        ("lstms:right", Settings(1, 6, ids)),
    ]


def test_an_option_names_backends_without_a_test_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def passing(judge: Judge, settings: Settings, **options: object) -> BackendReport:
        runs.append((judge.backend.name, settings))
        name, ids = judge.backend.name, [p.id for p in plan(judge.backend, settings).properties]
        return BackendReport(name, tuple(Verdict(name, id, Outcome.PASSED) for id in ids))

    monkeypatch.setattr(pytest_judging, "conform", passing)
    result = pytester.runpytest("--lstm-backend", "lstms.py:right", "--lstm-cases", "1", "-v")
    assert result.ret == pytest.ExitCode.OK
    assert "lstms.py:right::values.output PASSED" in text(result)
    assert runs == [("lstms.py:right", Settings(1, 0))], "one run, of everything, as the command line makes it"


def test_the_ini_list_is_for_a_run_without_path_arguments(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nlstm_backends =\n    lstms:right\n    lstms:absent")
    file = pytester.makepyfile("def test_own(): pass")
    ids = nodeids(pytester.runpytest("--collect-only", "-q"))
    assert {"lstms:right::values.output", "lstms:absent::values.output"} <= set(ids)
    result = pytester.runpytest(file)
    result.assert_outcomes(passed=1)
    assert "lstms" not in text(result)


# Outcomes


def run(pytester: pytest.Pytester, backend: str, *arguments: str | Path) -> pytest.RunResult:
    given = ("--lstm-backend", f"lstms:{backend}", "--lstm-cases", "1", "--lstm-diagnose", "0")
    return pytester.runpytest(*given, *arguments)


def test_a_failure_reads_as_the_finding_alone(pytester: pytest.Pytester) -> None:
    result = run(pytester, "wrong", "-k", "c_n or h_n", "--tb=long")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines_random(
        [
            r"_+ lstms:wrong: values\.c_n _+",
            r"values\.c_n \(failed\): Every layer's and direction's c_n is the oracle's.*",
            r"  result    c_n\[.*\] expected .* got .* bound .*",
            r"  replay    lstm-conformance replay .* --backend lstms:wrong --only values\.c_n",
            r"FAILED lstms:wrong::values\.c_n - c_n\[.*",
        ]
    )
    assert "pytest_plugin.py" not in text(result)
    assert "Traceback" not in text(result)


def test_an_expected_failure_is_an_xfail_and_its_unexpected_pass_a_failure(pytester: pytest.Pytester) -> None:
    result = run(pytester, "known", "-k", "c_n or h_n", "-rfx")
    result.assert_outcomes(xfailed=1, failed=1)
    result.stdout.re_match_lines_random(
        [
            r"XFAIL lstms:known::values\.c_n - (reason: )?issue 7",
            r"values\.h_n \(unexpected pass\): .*",
            r"FAILED lstms:known::values\.h_n - expected to fail: issue 8",
        ]
    )
    run(pytester, "known", "-k", "c_n", "--runxfail").assert_outcomes(failed=1)


def test_a_missing_guard_is_an_xfail_unless_strict(pytester: pytest.Pytester) -> None:
    result = run(pytester, "unguarded", "-k", "h_n or feature-size", "-rx")
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=1, xfailed=1)
    result.stdout.re_match_lines_random(
        [
            r"XFAIL lstms:unguarded::refusals\.feature-size - (reason: )?a guard, which counts if strict: an x .*",
            r"conformant: lstms:unguarded holds .*; guards 0 of 1: accepts an x with another number of features",
        ]
    )
    run(pytester, "unguarded", "-k", "feature-size", "--lstm-strict").assert_outcomes(failed=1)
    pytester.makepyfile("""
        from conformance import conformance_tests
        chosen = {"cases": 1, "only": ["refusals.feature-size"], "strict": True}
        test_strict = conformance_tests("lstms:unguarded", **chosen)
        test_known = conformance_tests("lstms:unguarded", **chosen, expected_failures={"refusals.feature-size": "9"})
    """)
    pytester.runpytest().assert_outcomes(failed=1, xfailed=1)


def test_an_unavailable_backend_is_skipped_with_its_reason(pytester: pytest.Pytester) -> None:
    result = run(pytester, "absent", "-rs")
    outcomes = result.parseoutcomes()
    # A pytest inside pytest may warn of modules that are imported already.
    assert set(outcomes) - {"warnings"} == {"skipped"}
    result.stdout.re_match_lines([rf"SKIPPED \[{outcomes['skipped']}\] lstms\.py:\d+: unavailable: no CUDA device"])
    assert "lstms:absent  unavailable: no CUDA device" in text(result)


def test_a_broken_adapter_is_red_whatever_is_selected(pytester: pytest.Pytester) -> None:
    result = run(pytester, "broken", "-rfs")
    assert result.parseoutcomes()["failed"] == 1
    assert "FAILED lstms:broken::smoke.runs - " in text(result)
    assert "not run: the adapter is broken: see smoke.runs" in text(result)

    result = run(pytester, "broken", "-k", "values.output")
    result.assert_outcomes(failed=1)
    assert "no such kernel" in text(result)


def test_an_interrupted_run_stops_pytest_and_shows_what_is_done(pytester: pytest.Pytester) -> None:
    result = run(pytester, "right", "--lstm-backend", "lstms:endless", "--lstm-backend", "lstms:wrong", "-k", "h_n")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(passed=1)
    assert [row[0] for row in rows(result)] == ["lstms:right", "lstms:endless"]
    assert "not judged: lstms:wrong" in text(result)
    assert re.search(r"Exit: lstms:endless: interrupted after \d+ cases", text(result))


# Mistakes


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tornh-nn", "no backend is named 'tornh-nn'"),
        ("lstms:rigth", "it has right"),
        ("lstms:mistaken", "no property or group is named 'values.cn'"),
        ("faulty:build", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_a_target_that_does_not_load_is_a_collection_error_in_words(
    pytester: pytest.Pytester, target: str, message: str
) -> None:
    pytester.makepyfile(faulty="import nowhere")
    write_tests(pytester, target)
    for arguments in (["--lstm-backend", target, "-k", "::"], []):
        result = pytester.runpytest(*arguments)
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert message in text(result)
        assert "pytest_plugin.py" not in text(result)
        assert "load.py" not in text(result)


# Selection


def test_what_is_not_selected_is_not_judged(pytester: pytest.Pytester, judged: list[tuple[str, Settings]]) -> None:
    run(pytester, "right", "--lstm-backend", "lstms:wrong", "-k", "lstms:right::values.output").assert_outcomes(
        passed=1
    )
    assert judged == [("lstms:right", Settings(1, 0, ("smoke", "values.output")))]


def test_a_node_id_selects(pytester: pytest.Pytester, judged: list[tuple[str, Settings]]) -> None:
    pytester.makeini("[pytest]\nlstm_backends = lstms:right")
    file = write_tests(pytester, "lstms:right")
    pytester.runpytest("lstms:right::values.output", "--lstm-cases=1").assert_outcomes(passed=1)
    pytester.runpytest(f"{file}::test_it[values.h_n]", "--lstm-cases=1").assert_outcomes(passed=1)
    assert [settings.only for _, settings in judged] == [("smoke", "values.output"), ("smoke", "values.h_n")]

    result = pytester.runpytest("lstms:right::values.outptu")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "lstms:right declares no such property: lstms:right::values.outptu" in text(result)


def test_the_last_failures_can_be_repeated(pytester: pytest.Pytester) -> None:
    write_tests(pytester, "lstms:wrong")
    run(pytester, "wrong", "-k", "c_n or h_n").assert_outcomes(passed=2, failed=2)
    run(pytester, "wrong", "--lf").assert_outcomes(failed=2)


# Isolation


def test_an_isolated_backend_that_crashes_fails_its_items_and_the_session_goes_on(pytester: pytest.Pytester) -> None:
    result = run(pytester, "crashing", "--lstm-backend=lstms:right", "--lstm-isolate", "-k", "smoke or values.output")
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    assert "its process ended with exit code 7" in text(result)


def test_what_exists_in_the_test_file_alone_cannot_be_isolated(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import lstms
        from conformance import conformance_tests
        test_it = conformance_tests(lstms.right)
    """)
    result = pytester.runpytest("--lstm-isolate")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "another process cannot hold 'lstms:right'" in text(result) or "cannot hold 'right'" in text(result)


# pytest-xdist


def test_workers_share_a_backend_and_the_controller_has_the_whole_table(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from conformance import conformance_tests
        test_it = conformance_tests("lstms:right")
        def test_plain(): pass
    """)
    result = pytester.runpytest_subprocess(
        *("-n2", "-v", "--junitxml=junit.xml", "--lstm-cases=1", "-k", "h_n or c_n or hidden-range or plain"),
        *("--lstm-backend=lstms:right", "--lstm-backend=lstms:wrong", "--lstm-diagnose=0"),
    )
    assert result.parseoutcomes()["failed"] == 1
    ran = [line.split() for line in result.outlines if line.startswith("[gw")]
    for place in ("test_it[", "lstms:right::", "lstms:wrong::"):
        for group in ("values", "numerics"):
            used = {words[0] for words in ran if place + group in words[-1]}
            assert len(used) == 1, "a group is whole, on one worker"
    assert part_of("values", 2) != part_of("numerics", 2)
    assert [(row[0], *row[2:4]) for row in rows(result)] == [
        ("lstms:right", "2/2", "1/1"),
        ("lstms:wrong", "1/2", "1/1"),
    ]

    cases = {
        (case.get("classname"), case.get("name")): case for case in ElementTree.parse("junit.xml").iter("testcase")
    }
    kept = {each.get("name"): each.get("value") for each in cases["lstms:wrong", "values.c_n"].iter("property")}
    assert kept.keys() - {"margin"} == {"property", "outcome", "recipe"}, "the verdicts' parcel is not for junit.xml"
    assert kept["outcome"] == "failed"


def test_workers_share_a_backend_of_a_test_file(pytester: pytest.Pytester) -> None:
    """Without an option, the controller learns from the workers' node ids alone that there is something to share."""
    write_tests(pytester, "lstms:right")
    result = pytester.runpytest_subprocess("-n2", "-v", "--lstm-cases=0", "-k", "c_n or hidden-range")
    result.assert_outcomes(passed=2)
    assert len(Path("judged.txt").read_text().splitlines()) == 2
    assert [(row[0], *row[2:4]) for row in rows(result)] == [("lstms:right", "1/1", "1/1")]


@pytest.mark.parametrize("count", [1, 2, 3, 16, 40])
def test_every_group_has_its_part(count: int) -> None:
    assert set(workers.SHARES) == set(GROUPS)
    used = {part_of(group, count) for group in GROUPS}
    assert used == set(range(min(count, len(GROUPS))))
    assert workers.unit("lstms:right::values.c_n", count) == f"lstms:right#{part_of('values', count)}"
    assert workers.unit("test_a.py::test_it[values.c_n]", count) == f"test_a.py::test_it#{part_of('values', count)}"


def test_a_backend_that_refuses_what_it_declares_is_no_success(pytester: pytest.Pytester) -> None:
    """Its items are skipped, of which pytest alone makes a success."""
    pytester.makepyfile(
        refusing="""
        from conformance import Capabilities, Unsupported, backend

        @backend("refusing", Capabilities())
        def build(config, params):
            raise Unsupported("not here")
    """
    )
    write_tests(pytester, "refusing:build")
    result = pytester.runpytest("--lstm-cases", "0", "-k", "values or smoke")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "failed" not in result.parseoutcomes()


def test_one_name_may_stand_alone() -> None:
    request = conformance_tests("numpy", only="values", exclude="values.gates")
    assert (request.only, request.exclude) == (("values",), ("values.gates",))


def test_parts_make_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not declared is in it too, for a level depends on it; what is seen twice is as the worse says."""
    report = BackendReport("numpy", (), cases=3, seconds=2.0)

    def failing(judge: Judge, settings: Settings, **options: object) -> BackendReport:
        verdicts = [Verdict("numpy", p.id, Outcome.PASSED) for p in plan(judge.backend, settings).properties]
        bad = Verdict("numpy", "smoke.runs", Outcome.FAILED) if "values.c_n" in settings.only else verdicts[0]
        return replace(report, verdicts=(bad, *verdicts[1:]))

    monkeypatch.setattr(pytest_judging, "conform", failing)
    judgement = Judgement(Here(find("numpy")), Settings(0), None)
    judgement.selected = judgement.declared
    judged = [judgement.judged(part, 3, lambda *told: None).report for part in range(3)]
    whole = reduce(merged, judged)
    assert [verdict.property for verdict in whole.verdicts] == list(catalogue())
    assert [verdict.property for verdict in whole.bad] == ["smoke.runs"]
    assert (whole.cases, whole.seconds) == (3, 6.0)


@pytest.mark.parametrize("nodeid", ["test_a.py::test_it", "test_a.py::test_it[np.float32]"])
def test_other_tests_are_nobodys_part(nodeid: str) -> None:
    assert workers.unit(nodeid, 2) is None


# The first failure


def test_x_ends_at_the_first_failure_and_shrinks_no_other(
    pytester: pytest.Pytester, judged: list[tuple[str, Settings]]
) -> None:
    result = run(pytester, "wrong", "-x")
    assert result.parseoutcomes()["failed"] == 1
    assert [settings.stop for _, settings in judged] == [True]
    assert "stopped at the first failure" in text(result)


def test_what_was_seen_to_hold_is_not_called_not_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, "wrong", "-rs", "-k", "values", "--maxfail=1")
    assert "not judged to the end: stopped at the first failure; no failure in" in text(result)


def test_replay_finds_the_failures_of_pytests_last_run(pytester: pytest.Pytester) -> None:
    run(pytester, "wrong", "-k", "c_n")
    failure = recall("values.c_n", None)
    assert failure.backend == "lstms:wrong"
    assert failure.recipes


# Durations


class Slow:
    """A judge whose clock moves on by a second in the call that properties share, and by three in each property."""

    backend = find("numpy")

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.now += 1
        for inquiry in inquiries:
            self.now += 3 * (inquiry is not inquiries[0])
            yield inquiry, Answer(Outcome.PASSED)


def test_a_property_is_given_its_own_seconds_and_its_share_of_the_common_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, asked = Slow(), []
    monkeypatch.setattr(pytest_judging, "time", slow)
    clocked = pytest_judging.Clocked(cast(Judge, slow), asked.append)
    known = catalogue()
    inquiries = [Inquiry(known[id]) for id in ("layout.shapes", "values.output", "values.h_n", "values.c_n")]
    for _ in clocked.ask(Recipe(), inquiries):
        slow.now += 100  # The engine's own, between answers.
    assert clocked.seconds == {"layout.shapes": 0.25, **dict.fromkeys(asked[1:4], 3.25)}
    assert asked[:4] == [inquiry.property.id for inquiry in inquiries]


def test_durations_belong_to_their_property(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(judgement: Judgement, part: int, parts: int, live: object) -> Judged:
        return Judged(conform(judgement.judge, Settings(0, only=tuple(judgement.selected))), dict(known), 50.0)

    known = {"values.output": 3.0, "values.h_n": 4.0, "values.c_n": 5.0}
    monkeypatch.setattr(Judgement, "judged", judged)
    ran = pytester.inline_run("--lstm-backend=lstms:right", "-k", "output or h_n or c_n")
    reports = ran.getreports("pytest_runtest_logreport")
    spent = {(report.nodeid.partition("::")[2], report.when): report.duration for report in reports}
    assert {id: spent[id, "call"] for id in known} == known
    assert [spent[id, "setup"] for id in known] == [50.0, 0.0, 0.0], "what is no property's is the first one's set-up"


# Causes


def test_the_cause_stands_at_the_end_once_and_in_a_line_at_each_failure(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def diagnose(judge: Judge, report: BackendReport, seconds: float, progress: object, known: object) -> Diagnosis:
        asked.append(seconds)
        explains = tuple(verdict.property for verdict in report.bad)
        return Diagnosis((Cause(Degree.CONFIRMED, (Alteration("final-c-doubled"),), explains=explains),), limit=seconds)

    monkeypatch.setattr("conformance.diagnosis.diagnose.diagnose", diagnose)
    result = pytester.runpytest("--lstm-backend=lstms:wrong", "--lstm-backend=lstms:right", "-k", "c_n or carry")
    text = result.stdout.str()
    assert asked == [20], "once for the backend that fails"
    assert text.count("properties fail, for 1 cause") == 1
    assert text.count("  cause     final-c-doubled\n") == 2 < text.count("  cause     final-c-doubled")
    pytester.runpytest("--lstm-backend=lstms:wrong", "-k", "c_n", "--lstm-diagnose=0").assert_outcomes(failed=1)
    assert asked == [20]


# What is seen meanwhile


class Terminal:
    """A terminal reporter's part that progress knows, 40 columns wide."""

    showfspath, showlongtestinfo, fullwidth, width_of_current_line = True, False, 40, 13

    def __init__(self, isatty: bool) -> None:
        self.isatty = isatty
        self.config = self

    def getplugin(self, name: str) -> object:
        return self if name == "terminalreporter" else None

    pluginmanager = property(lambda self: self)

    def get_terminal_writer(self) -> Terminal:
        return self

    def ensure_newline(self) -> None: ...

    def flush(self) -> None: ...

    def write_line(self, text: str) -> None:
        print(text)

    def write_fspath_result(self, nodeid: str, result: str) -> None:
        print(nodeid, result)


def shown(terminal: Terminal, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while four properties are asked, each after so many seconds."""
    now = iter(seconds * k for k in range(9))
    monkeypatch.setattr(pytest_progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    progress = pytest_progress.Progress(cast(pytest.Config, terminal), "mine", "test_mine.py")
    for done, id in enumerate(("smoke.runs", "values.output", "gradients.of-a-long-name", "values.c_n")):
        progress(id, done, 60 if done else 0)
    progress.done()


def test_on_a_terminal_the_line_is_pytests_own_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(Terminal(isatty=True), 0.3, monkeypatch)
    texts = [part for part in capsys.readouterr().out.split("\b") if part]
    assert [text.rstrip() for text in texts] == [
        "smoke.runs",
        "1 of 60 cases, values.outp",
        "2 of 60 cases, gradients.o",
        "3 of 60 cases, values.c_n",
        "",
    ]
    assert len(texts[-1]) == len("3 of 60 cases, values.c_n"), "what was shown last is blotted out"


def test_in_a_file_there_is_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(Terminal(isatty=False), 6.0, monkeypatch)
    assert capsys.readouterr().out.splitlines() == [
        "judging mine: 1 of 60 cases, values.output",
        "judging mine: 3 of 60 cases, values.c_n",
        "test_mine.py ",
    ]


# A folder with another module of the suite's name


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """A folder whose conformance.py is another module, with a test of it."""
    (tmp_path / "conformance.py").write_text("answer = 42")
    (tmp_path / "test_own.py").write_text("import conformance\ndef test_own(): assert conformance.answer == 42")
    return tmp_path


def alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder, which is on its path from the start."""
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True)


def test_a_module_of_the_suites_name_is_its_folders_own(hidden: Path) -> None:
    ran = alone(hidden, "-W", "error")
    assert ran.returncode == pytest.ExitCode.OK, ran.stdout + ran.stderr
    assert f"lstm-conformance: warning: stands aside, for {hidden / 'conformance.py'} hides its package" in ran.stdout


def test_backends_are_not_passed_over_where_the_suite_is_hidden(hidden: Path) -> None:
    ran = alone(hidden, "--lstm-backend=numpy")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"lstm-conformance cannot judge here: {hidden / 'conformance.py'} hides its package" in ran.stderr


# Without pytest


def test_without_pytest_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest_request, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs no pytest"):
        conformance_tests("numpy")
