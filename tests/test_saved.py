"""Reports in files: the commands that show, join and compare them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from programs import SAMPLES, Command

from conformance.drivers import stored
from conformance.drivers.run import make_report, run
from conformance.drivers.showing import exit_code
from conformance.drivers.target import Isolation
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.facts import CutShort, Interruption, Measured, Mismatch, Outcome, Said
from conformance.properties import catalogue
from conformance.report.data import dumps, loads
from conformance.report.difference import Change, compare
from conformance.report.difference_text import told
from conformance.report.merging import Part, merge, merged
from conformance.report.model import BackendReport, Report, TargetError, Verdict
from conformance.report.renderings import RENDERINGS, Rendering
from conformance.version import __version__

IDS = ("values.output", "values.h_n", "layout.shapes", "refusals.rank")
ERROR = Mismatch("output", (0, 0, 0), 1.0, 2.0, 1e-7, 0, 0, 0, 0, 1, 1)
TIMES = (Measured("float32", 4, 8, 30, 0.5, 0.002), Measured("float32", 8, 8, 10, 0.5, 0.001))
CUT = Interruption("interrupted", 7)


def _backend(name: str = "mine", outcome: Outcome = Outcome.PASSED, *ids: str, margin: float = 0.5) -> BackendReport:
    """A backend whose first property has an outcome; the others passed."""
    ids = ids or IDS
    first = Verdict(name, ids[0], outcome, None if outcome.good else ERROR, recipe=None if outcome.good else "I=1 H=1")
    verdicts = [Verdict(name, id, Outcome.PASSED, margin=margin, cases=9) for id in ids[1:]]
    first = replace(first, margin=margin, cases=9) if outcome == Outcome.PASSED else first
    return BackendReport(name, (first, *verdicts), dtypes=("float32",), measured=TIMES, frameworks={"torch": "2.4"})


def _report(*backends: BackendReport, seed: int = 0, **asked: object) -> Report:
    report = make_report(Settings(seed=seed), backends)
    return replace(report, asked=replace(report.asked, **asked), ended="2026-01-01T00:00:00+00:00")


def _write(name: str, report: Report) -> str:
    Path(name).write_text(dumps(report), encoding="utf-8")
    return name


# report


def test_a_report_from_a_file_is_told_as_its_run_told_it(command: Command) -> None:
    line = ("run", f"{SAMPLES}:swapped", "--in-process", "--quick", "--only", "values.c_n", "--diagnose", "0")
    ran = command(*line, "--json", "report.json")
    shown = command("report", "report.json")
    assert shown.code == ran.code == 1

    def without_replay(text: str) -> list[str]:
        return [line for line in text.splitlines() if "lstm-conformance replay" not in line]

    assert without_replay(shown.out) == without_replay(ran.out)
    # The last run is another one tomorrow.
    assert f"--backend {SAMPLES}:swapped --only values.c_n" in shown.out


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (_report(_backend()), 0),
        (_report(_backend(outcome=Outcome.FAILED)), 1),
        (_report(replace(_backend(), interrupted=CUT)), 3),
        (replace(_report(_backend()), missing=("late",)), 3),
        (_report(_backend(), _backend("gone", Outcome.UNAVAILABLE, "smoke.runs")), 3),
        (_report(_backend(), _backend("gone", Outcome.UNAVAILABLE, "smoke.runs"), named=False), 0),
        (_report(_backend("gone", Outcome.UNAVAILABLE, "smoke.runs"), named=False), 3),
        (replace(_report(_backend()), errors=(TargetError("typo", "no such target"),)), 2),
        (replace(_report(_backend()), errors=(TargetError("mine", "a defect", defect=True),)), 3),
    ],
)
def test_the_exit_code_of_a_file_is_that_of_its_run(report: Report, code: int) -> None:
    assert exit_code(loads(dumps(report))) == exit_code(report) == code


def test_a_target_that_could_not_be_judged_makes_a_report_incomplete(command: Command) -> None:
    report = replace(_report(_backend()), errors=(TargetError("typo", "there is no typo", "name another"),))
    assert not report.complete
    assert not report.conformant
    code, out, err = command("report", _write("r.json", report))
    assert code == 2
    assert "there is no typo\n  hint: name another" in err
    assert "mine" in out


def test_an_incomplete_report_is_shown_as_incomplete_by_every_command(command: Command) -> None:
    cut = replace(_backend(outcome=Outcome.NOT_RUN), interrupted=CUT)
    cut = replace(cut, verdicts=(replace(cut.verdicts[0], fact=CutShort(CUT, 3), recipe=None), *cut.verdicts[1:]))
    _write("cut.json", _report(cut))
    _write("whole.json", _report(_backend()))
    code, out, _ = command("report", "cut.json")
    assert code == 3
    assert "\ninterrupted: mine" in out
    code, out, _ = command("merge", "cut.json", "--json", "merged.json")
    assert code == 3
    assert "\ninterrupted: mine" in out
    assert json.loads(Path("merged.json").read_text(encoding="utf-8"))["complete"] is False
    code, out, _ = command("diff", "whole.json", "cut.json")
    assert code == 3
    assert out.startswith("incomplete: nothing became worse, as far as both reports tell\n\nNEW is incomplete")


def test_the_schema_is_printed_and_is_about_no_file(command: Command) -> None:
    printed = command("report", "--schema")
    assert printed.code == 0
    assert json.loads(printed.out)["$schema"].endswith("2020-12/schema")
    assert command("report", "--schema", "r.json").code == 2
    assert "report needs a file" in command("report").err


@pytest.mark.parametrize("form", RENDERINGS, ids=lambda form: form.name)
def test_each_form_is_written_as_it_is_made(command: Command, form: Rendering) -> None:
    for suffix in form.functions:
        name = f"out{suffix or '.txt'}"
        assert command("report", _write("r.json", _report(_backend())), f"--{form.name}", name).code == 0
        text = form.of(_report(_backend()), Path(name))
        assert Path(name).read_bytes().decode() == text.removesuffix("\n") + "\n"


def test_files_of_run_are_written_when_it_fails_and_the_text_gives_way_to_a_form_on_standard_output(
    command: Command,
) -> None:
    line = ("run", f"{SAMPLES}:swapped", "--in-process", "--quick", "--only", "values.c_n", "--diagnose", "0")
    code, out, err = command(*line, "--markdown", "-", "--badge", "badge.svg")
    assert code == 1
    assert out.startswith("#")
    assert "not conformant: sample-swapped" in err
    assert Path("badge.svg").read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--csv", "a.txt", "--junit", "./a.txt"), "--junit and --csv both name a.txt"),
        (("--csv", "r.json", "--json", "r.json"), "--json and --csv both name r.json"),
        (("--badge", "badge.png"), "--badge badge.png: the name must end in .svg or .json\n  hint: try badge.svg"),
        (("--csv", "no/such/folder.csv"), "there is no folder no"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_before_anything_is_written(
    command: Command, options: tuple[str, ...], told: str
) -> None:
    code, out, err = command("report", _write("r.json", _report(_backend())), *options)
    assert (code, out) == (2, "")
    assert told in err
    assert [path.name for path in Path().iterdir()] == ["r.json"]


# What is no report


def test_a_file_that_is_no_report_is_named_by_every_command(command: Command) -> None:
    _write("good.json", _report(_backend()))
    text = Path("good.json").read_text(encoding="utf-8")
    Path("cut.json").write_text(text[: len(text) // 2], encoding="utf-8")
    for line in (
        ("report", "cut.json"),
        ("merge", "good.json", "cut.json", "--json", "out.json"),
        ("diff", "good.json", "cut.json"),
    ):
        code, out, err = command(*line)
        assert (code, out) == (2, "")
        assert err.startswith("lstm-conformance: cut.json: it is cut off at line ")
    assert not Path("out.json").exists()
    Path("bytes.json").write_bytes(b"\xff\xfe{")
    assert "bytes.json: no report: byte 0 is not UTF-8" in command("report", "bytes.json").err
    assert "none.json: it cannot be read: No such file or directory" in command("report", "none.json").err
    assert ".: it cannot be read: Is a directory" in command("report", ".").err


def test_a_file_that_is_too_large_for_a_report_is_not_read_to_its_end(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_MOST", 1 << 20)
    with Path("large.json").open("wb") as file:
        file.truncate(200 << 20)
    assert "large.json: no report: it has more than 1 MiB" in command("report", "large.json").err


def test_a_report_may_begin_with_the_mark_of_an_editor(command: Command) -> None:
    Path("marked.json").write_text("\ufeff" + dumps(_report(_backend())), encoding="utf-8")
    assert command("report", "marked.json").code == 0


# merge


def _merge(*reports: Report) -> Report:
    return merge([Part(f"{at}.json", report) for at, report in enumerate(reports, 1)])


def test_shards_of_targets_and_of_properties_make_one_report() -> None:
    one = _report(_backend("a", Outcome.PASSED, *IDS[:2]), only=("values",), started="2026-01-01T09:00:00+00:00")
    two = _report(_backend("a", Outcome.PASSED, *IDS[2:]), only=("layout",), started="2026-01-01T08:00:00+00:00")
    three = _report(_backend("b", Outcome.FAILED))
    whole = _merge(one, two, three)
    assert [verdict.property for verdict in whole.backends[0].verdicts] == [id for id in catalogue() if id in IDS]
    assert [backend.backend for backend in whole.backends] == ["a", "b"]
    assert (whole.asked.targets, whole.asked.only) == (("a", "b"), ()), "b was asked for all"
    assert whole.complete
    assert loads(dumps(whole)) == whole
    assert _merge(one, two).asked.only == ("values", "layout")
    assert _merge(one, two).asked.started == two.asked.started


@pytest.mark.parametrize("common", [{"quick": True}, {"strict": True}, {"large": True}, {"seconds": 60.0}])
def test_what_all_parts_were_asked_for_is_kept(common: dict[str, Any]) -> None:
    one, two = (_report(_backend("a", Outcome.PASSED, *ids), **common) for ids in (IDS[:2], IDS[2:]))
    asked = _merge(one, two).asked
    assert {name: getattr(asked, name) for name in common} == common


def test_a_part_that_came_to_its_end_makes_up_for_one_that_did_not() -> None:
    cut = Verdict("mine", IDS[0], Outcome.NOT_RUN, CutShort(CUT, 3))
    broken_off = replace(_backend(), verdicts=(cut,), interrupted=CUT)
    whole = _report(_backend())
    for parts in ((_report(broken_off), whole), (whole, _report(broken_off))):
        assert _merge(*parts).backends[0].verdicts[0].outcome == Outcome.PASSED
        assert _merge(*parts).complete
    other = _report(_backend("mine", Outcome.PASSED, *IDS[1:]))
    assert not _merge(_report(broken_off), other).complete
    absent = replace(whole, backends=(), missing=("mine",))
    assert _merge(absent, whole).complete
    assert _merge(absent, _report(_backend("other"))).missing == ("mine",)
    lost = replace(absent, missing=(), errors=(TargetError("mine", "no such file"),))
    assert _merge(lost, whole).complete
    assert not _merge(lost, _report(_backend("other"))).complete


def test_a_backend_that_one_machine_lacks_is_as_the_other_judged_it() -> None:
    gone = _report(BackendReport("mine", tuple(Verdict("mine", id, Outcome.UNAVAILABLE, Said("no GPU")) for id in IDS)))
    for parts in ((gone, _report(_backend())), (_report(_backend()), gone)):
        (backend,) = _merge(*parts).backends
        assert backend.available
        assert backend.dtypes == ("float32",)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (_report(_backend(), seed=1), "2.json has seed 1, and 1.json has seed 0"),
        (replace(_report(_backend()), cases=7), "2.json has cases 7, and 1.json has cases 100"),
        (replace(_report(_backend()), version="0.0"), "2.json has version 0.0, and 1.json has version 0."),
        (_report(_backend(), quick=True), "2.json has quick True, and 1.json has quick False"),
        (_report(_backend(), strict=True), "2.json has strict True, and 1.json has strict False"),
        (
            _report(_backend(outcome=Outcome.FAILED)),
            "2.json has of mine: values.output failed, and 1.json has of mine: values.output passed",
        ),
        (
            _report(replace(_backend(), dtypes=("float64",))),
            "2.json has of mine: dtypes float64, and 1.json has of mine: dtypes float32",
        ),
        (
            _report(replace(_backend(), frameworks={"torch": "2.5"})),
            "2.json has of mine: torch 2.5, and 1.json has of mine: torch 2.4",
        ),
    ],
)
def test_parts_that_are_not_of_one_run_are_refused_by_name(other: Report, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        _merge(_report(_backend()), other)
    assert str(raised.value).startswith(message)


def test_merge_writes_what_report_shows_of_the_same_files(command: Command) -> None:
    _write("1.json", _report(_backend("a")))
    _write("2.json", _report(_backend("b", Outcome.FAILED)))
    code, out, _ = command("merge", "1.json", "2.json", "--json", "whole.json")
    assert code == 1
    assert out.startswith("whole.json: 2 reports as one, with 8 verdicts\n\nconformant: a ")
    assert command("report", "1.json", "2.json").out == command("report", "whole.json").out
    assert command("merge", "1.json", "--json", "1.json").code == 0, "a file may take the place of its part"


def test_parts_of_one_backend_keep_the_larger_margin_of_each_size() -> None:
    more = replace(_backend(), measured=(Measured("float32", 4, 8, 40, 0.25, 0.004),))
    assert merged(_backend(), more).measured == (replace(more.measured[0], margin=0.5), TIMES[1])


# diff


def _changes(old: BackendReport, new: BackendReport, strict: bool = False) -> list[tuple[str, Change, bool]]:
    difference = compare(_report(old), _report(replace(new, strict=strict)))
    return [(each.property, each.change, each.worse) for each in difference.changed]


PASSED, FAILED = Outcome.PASSED, Outcome.FAILED


@pytest.mark.parametrize(
    ("old", "new", "change", "worse"),
    [
        (PASSED, FAILED, Change.NEW_FAILURE, True),
        (PASSED, Outcome.CRASHED, Change.NEW_FAILURE, True),
        (PASSED, Outcome.UNEXPECTED_PASS, Change.NEW_FAILURE, True),
        (Outcome.NOT_DECLARED, FAILED, Change.NEW_FAILURE, True),
        (Outcome.EXPECTED_FAILURE, FAILED, Change.NEW_FAILURE, True),
        (PASSED, Outcome.NARROWED, Change.LOST, True),
        (PASSED, Outcome.NOT_DECLARED, Change.LOST, True),
        (PASSED, Outcome.EXPECTED_FAILURE, Change.LOST, True),
        (PASSED, Outcome.NOT_RUN, Change.NOT_JUDGED, False),
        (FAILED, Outcome.NOT_RUN, Change.NOT_JUDGED, False),
        (FAILED, Outcome.NOT_DECLARED, Change.NOT_JUDGED, False),
        (FAILED, PASSED, Change.FIXED, False),
        (Outcome.EXPECTED_FAILURE, PASSED, Change.FIXED, False),
        (FAILED, Outcome.CRASHED, Change.ALTERED, False),
        (FAILED, Outcome.EXPECTED_FAILURE, Change.ALTERED, False),
        (Outcome.NOT_DECLARED, PASSED, Change.NEWLY_JUDGED, False),
        (Outcome.NARROWED, PASSED, Change.NEWLY_JUDGED, False),
    ],
)
def test_what_becomes_of_a_property(old: Outcome, new: Outcome, change: Change, worse: bool) -> None:
    assert _changes(_backend(outcome=old), _backend(outcome=new)) == [(IDS[0], change, worse)]


@pytest.mark.parametrize("outcome", Outcome)
def test_a_report_does_not_differ_from_itself(outcome: Outcome) -> None:
    report = _report(_backend(outcome=outcome))
    difference = compare(report, report)
    assert (difference.changed, difference.grown, difference.versions, difference.settings) == ((), (), (), ())
    assert (difference.worse, difference.whole) == (False, True)
    assert [pace.ratio for pace in difference.paces] == [pytest.approx(1)]


def test_a_guard_that_is_missing_now_counts_with_strict_alone() -> None:
    guard = ("refusals.rank", "values.output")
    old, new = _backend("mine", PASSED, *guard), _backend("mine", FAILED, *guard)
    assert _changes(old, new) == [("refusals.rank", Change.NEW_FAILURE, False)]
    assert _changes(old, new, strict=True) == [("refusals.rank", Change.NEW_FAILURE, True)]
    assert "(a guard, which counts with --strict only)" in told(compare(_report(old), _report(new)))


def test_another_smallest_case_of_a_failure_is_told_and_is_not_worse() -> None:
    new = _backend(outcome=FAILED)
    new = replace(new, verdicts=(replace(new.verdicts[0], recipe="I=2 H=1"), *new.verdicts[1:]))
    difference = compare(_report(_backend(outcome=FAILED)), _report(new))
    assert not difference.worse
    cases = "    case was  I=1 H=1\n    case now  I=2 H=1"
    assert f"fails otherwise (1)\n  mine: values.output  failed\n{cases}" in told(difference)


def test_a_margin_that_grows_no_more_than_by_chance_is_no_change() -> None:
    for old, new, worse in (
        (0.1, 0.3, False),
        (0.1, 0.45, True),
        (0.3, 0.9, False),
        (0.0, 0.2, False),
        (0.0, 0.5, True),
    ):
        difference = compare(_report(_backend(margin=old)), _report(_backend(margin=new)))
        assert difference.worse == worse, (old, new)
        assert bool(difference.grown) == worse
    assert "margins grew more than they do by chance (4)\n  mine: values.output  0 → 0.5" in told(difference)


def test_time_is_told_and_decides_nothing() -> None:
    slow = replace(_backend(), measured=tuple(replace(each, seconds=9 * each.seconds) for each in TIMES))
    difference = compare(_report(_backend()), _report(slow))
    assert not difference.worse
    assert [(pace.ratio, pace.sizes) for pace in difference.paces] == [(pytest.approx(9), 2)]
    assert "time of a call, which decides nothing\n  mine: 9.00 × the time (2 sizes)" in told(difference)
    assert "1/9.00 of the time" in told(compare(_report(slow), _report(_backend())))
    assert compare(_report(replace(_backend(), measured=())), _report(slow)).paces == ()


def test_what_may_be_the_reason_is_told_last() -> None:
    new = _report(replace(_backend(), frameworks={"torch": "2.5"}), seed=3)
    text = told(compare(_report(_backend()), new))
    assert text.startswith("nothing became worse\n")
    assert text.endswith("other settings\n  seed  0 → 3\n\nother versions\n  torch  2.4 → 2.5")


def test_the_exit_code_of_diff_is_for_ci(command: Command) -> None:
    _write("good.json", _report(_backend()))
    _write("bad.json", _report(_backend(outcome=FAILED)))
    _write("two.json", _report(_backend(), _backend("other", FAILED)))
    for old, new, code, first in (
        ("good.json", "good.json", 0, "nothing became worse"),
        ("good.json", "bad.json", 1, "worse: 1 new failure"),
        ("bad.json", "good.json", 0, "nothing became worse"),
        ("bad.json", "bad.json", 0, "nothing became worse"),
        ("two.json", "good.json", 3, "incomplete: nothing became worse, as far as both reports tell"),
        ("good.json", "two.json", 0, "nothing became worse"),
    ):
        printed = command("diff", old, new)
        assert (printed.code, printed.out.splitlines()[0]) == (code, first), (old, new)
    assert "not in OLD: other, of which 1 verdict is wrong" in printed.out
    assert "not in NEW: other" in command("diff", "two.json", "good.json").out


def test_a_difference_is_written_as_data(command: Command) -> None:
    _write("good.json", _report(_backend()))
    _write("bad.json", _report(_backend(outcome=FAILED)))
    printed = command("diff", "good.json", "bad.json", "--json", "-")
    (changed,) = json.loads(printed.out)["changed"]
    assert (changed["change"], changed["worse"], changed["new"]["recipe"]) == ("new failure", True, "I=1 H=1")
    assert printed.err.startswith("worse: 1 new failure\n\nnew failure (1)\n  mine: values.output  passed → failed\n")


def test_two_runs_of_one_lstm_do_not_differ() -> None:
    one, two = (run([f"{SAMPLES}:right"], Settings(cases=3, only=("layout",)), isolation=None).report for _ in "ab")
    difference = compare(one, two)
    assert (difference.changed, difference.grown, difference.worse, difference.whole) == ((), (), False, True)


def test_a_backend_of_an_installed_package_has_its_version_in_whatever_process_it_is() -> None:
    # The second time, its module is loaded and has registered it.
    places = (None, None, Isolation())
    reports = [run(["numpy"], Settings(only=("smoke",)), isolation=apart).report for apart in places]
    assert {report.backends[0].version for report in reports} == {__version__}
    newer = replace(reports[0], backends=(replace(reports[0].backends[0], version="9"),))
    assert told(compare(reports[0], newer)).endswith(f"other versions\n  numpy: version  {__version__} → 9")
