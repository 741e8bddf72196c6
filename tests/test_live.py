"""A run is never lost: its file is readable at each moment, holds what was told, and is where the next run goes on."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from backends import around
from programs import SAMPLES, Command

from conformance.drivers.cli import main
from conformance.drivers.live import Live
from conformance.drivers.progress import Progress
from conformance.engine.news import Advanced, Began, Failed, Finished, Judging, News, Settled
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Outcome, Said
from conformance.report.conclusion import conclusion
from conformance.report.data import from_json
from conformance.report.model import Report, Verdict
from conformance.report.schema import schema

#: An LSTM whose c_n is wrong in some cases, and which ends its process, or interrupts it, at a call.
MORTAL = """
import os, signal
from conformance import Capabilities, backend
from conformance.targets.find import find

calls = 0

@backend("mortal", Capabilities(layers=True))
def build(config, params):
    right = find("numpy").build(config, params)
    def forward(x, state=None):
        global calls
        at = int(os.environ.get("KILL_AT", 0))
        calls = calls + 1 if at else 0
        if calls and calls == at:
            calls = 0
            os.kill(os.getpid(), getattr(signal, os.environ["KILL_BY"]))
        output, (h_n, c_n) = right(x) if state is None else right(x, state)
        if config.num_layers > 1 or x.shape[0] > 4:
            c_n = c_n + 1e-3
        return output, (h_n, c_n)
    return forward
"""

RUN = ("run", "mortal.py:build", "--in-process", "--cases", "12", "--diagnose", "0", "--only")
PROPERTIES = ("smoke", "values.output", "values.c_n", "values.h_n", "state.carry", "purity.repeat")
_FAILS = r"mortal\.py:build: (\S+) fails: "
FILE = ("--json", "report.json")

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(autouse=True)
def _fewer(few_rows: None) -> None:
    """A third of the fixed set shows all of it."""


@pytest.fixture
def mortal(folder: Path) -> None:
    Path("mortal.py").write_text(MORTAL, encoding="utf-8")


def _killed(at: int, *arguments: str) -> str:
    """What a run says on standard error that is killed at a call."""
    pid = os.fork()
    if not pid:
        try:
            os.environ |= {"KILL_AT": str(at), "KILL_BY": "SIGKILL"}
            os.dup2(os.open("err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8")
            main(arguments)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    return Path("err").read_text(encoding="utf-8")


def _read(path: str = "report.json") -> Report:
    """The report in a file, which fits the schema at whatever moment its run was killed."""
    data = json.loads(Path(path).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema()).validate(data)
    return from_json(data)


def _verdicts(report: Report) -> dict[str, Verdict]:
    return {verdict.property: verdict for verdict in report.verdicts}


def _beside() -> set[str]:
    return {path.name for path in Path().iterdir() if path.name.startswith("report.json")}


# Killed, and resumed


@forks
@pytest.mark.parametrize("at", [2, 30, 90])
def test_a_killed_run_leaves_what_it_told_and_goes_on_to_the_same_end(at: int, mortal: None, command: Command) -> None:
    assert command(*RUN, *PROPERTIES, *FILE).code == 1
    whole = _read()
    Path("report.json").unlink()
    told = re.findall(_FAILS, _killed(at, *RUN, *PROPERTIES, *FILE))
    cut = _read()
    assert (cut.complete, cut.conformant) == (False, False)
    assert all(_verdicts(cut)[property].outcome == "failed" for property in told)
    assert "interrupted" in conclusion(cut) or "its run had not ended when this was written" in conclusion(cut)
    code, _, err = command("run", "--resume", "report.json")
    assert code == 1
    assert _verdicts(_read()) == _verdicts(whole)
    assert _read().asked == cut.asked
    assert _beside() == {"report.json"}
    assert ("goes on from where it was left" in err) == bool(cut.backends)


def _answers() -> int:
    """How many lines the journals have."""
    return sum(len(journal.read_bytes().splitlines()) for journal in Path("report.json.answers").iterdir())


@forks
def test_a_run_that_is_killed_again_and_again_comes_to_its_end(mortal: None, command: Command) -> None:
    """Each run goes on from where the one before it was left: it must not lose what that knew."""
    assert command(*RUN, *PROPERTIES, *FILE).code == 1
    whole = _read()
    Path("report.json").unlink()
    _killed(40, *RUN, *PROPERTIES, *FILE)
    cases, answers = [_read().backends[0].cases], [_answers()]
    for _ in range(2):
        _killed(60, "run", "--resume", "report.json")
        cases.append(_read().backends[0].cases)
        answers.append(_answers())
    assert cases == sorted(cases)
    assert answers[0] < answers[1] < answers[2]
    assert command("run", "--resume", "report.json").code == 1
    assert _verdicts(_read()) == _verdicts(whole)


@forks
@pytest.mark.parametrize("torn", [True, False])
def test_without_a_fitting_journal_the_target_is_judged_anew_and_that_is_said(
    torn: bool, mortal: None, command: Command
) -> None:
    _killed(40, *RUN, *PROPERTIES, *FILE)
    [journal] = Path("report.json.answers").iterdir()
    if torn:
        text = journal.read_bytes()
        journal.write_bytes(text[: len(text) - 7])
    else:
        Path("mortal.py").write_text(MORTAL.replace("1e-3", "0.0"), encoding="utf-8")
    sys.modules.pop("mortal", None)
    code, _, err = command("run", "--resume", "report.json")
    if torn:
        assert (code, "goes on from where it was left" in err) == (1, True)
    else:
        told = "judged anew, since its code, its settings or the suite have changed"
        assert (code, told in err) == (0, True)
        assert _read().conformant


def test_an_interrupted_run_says_how_to_go_on(mortal: None, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILL_AT", "40")
    monkeypatch.setenv("KILL_BY", "SIGINT")
    _, out, _ = command(*RUN, *PROPERTIES, *FILE)
    assert out.splitlines()[-1] == "to go on: lstm-conformance run --resume report.json"
    [report] = _read().backends
    assert report.interrupted is not None
    assert report.interrupted.how == "interrupted"
    monkeypatch.delenv("KILL_AT")
    assert command("run", "--resume", "report.json").code == 1
    assert _read().complete
    assert _beside() == {"report.json"}


def test_two_targets_go_on_each_from_where_it_was_left(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is finished and kept, the second was never begun."""
    asked = (f"{SAMPLES}:right", f"{SAMPLES}:swapped")
    words = ("--in-process", "--cases", "0", "--diagnose", "0", "--only", "values.c_n", *FILE)
    tell = Live.tell

    def interrupting(self: Live, target: str, news: News) -> None:
        tell(self, target, news)
        if isinstance(news, Finished):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Live, "tell", interrupting)
        assert command("run", *asked, *words).code == 3
    first = _read()
    assert ([each.backend for each in first.backends], first.missing) == ([asked[0]], (asked[1],))
    code, _, err = command("run", "--resume", "report.json")
    assert (code, f"{asked[0]}: begun" in err, f"{asked[1]}: begun" in err) == (1, False, True)
    both = _read()
    assert (both.backends[0], both.missing, both.asked.targets) == (first.backends[0], (), asked)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("numpy",), "--resume takes its targets from FILE"),
        (("--cases", "3"), "--cases cannot be changed"),
        (("--only", "values"), "--only cannot be changed"),
        (("--json", "other.json"), "--json cannot be changed"),
    ],
)
def test_a_resumed_run_takes_no_other_targets_and_settings(words: tuple[str, ...], told: str, command: Command) -> None:
    assert command("run", f"{SAMPLES}:right", "--in-process", "--cases", "1", "--only", "smoke", *FILE).code == 0
    code, _, err = command("run", *words, "--resume", "report.json")
    assert (code, told in err) == (2, True)


def test_a_complete_report_has_nothing_to_resume(command: Command) -> None:
    words = ("--in-process", "--cases", "0", "--diagnose", "0", "--only", "values.gates")
    assert command("run", f"{SAMPLES}:swapped", *words, *FILE).code == 1
    text = Path("report.json").read_bytes()
    code, out, _ = command("run", "--resume", "report.json", "--jobs", "1", "--verbose")
    assert (code, "report.json: nothing to resume" in out) == (1, True)
    assert "not conformant: sample-swapped" in out
    assert Path("report.json").read_bytes() == text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 6}'])
def test_a_file_that_is_no_report_cannot_be_resumed(text: str, command: Command) -> None:
    Path("report.json").write_text(text, encoding="utf-8")
    assert command("run", "--resume", "report.json").code == 2
    assert command("run", "--resume", "none.json").code == 2


# The file


def test_each_failure_stands_in_the_file_before_it_is_told(
    mortal: None, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is whole at each moment, and says that the run has not ended."""
    written = set[str]()

    class Told(io.StringIO):
        def write(self, text: str) -> int:
            if found := re.search(_FAILS, text):
                report = _read()
                assert not report.complete
                assert _verdicts(report)[found[1]].outcome == "failed"
                written.add(found[1])
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", Told())
    assert main([*RUN, *PROPERTIES, *FILE]) == 1
    assert written == {v.property for v in _read().failures}


def test_an_older_report_stays_until_there_is_a_complete_one(
    mortal: None, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("report.json").write_text('{"complete": true}', encoding="utf-8")
    monkeypatch.setenv("KILL_AT", "40")
    monkeypatch.setenv("KILL_BY", "SIGINT")
    for _ in range(2):
        assert command(*RUN, *PROPERTIES, *FILE).code in (1, 3)
        assert not _read().complete
        assert Path("report.json.before").read_text(encoding="utf-8") == '{"complete": true}'
    monkeypatch.delenv("KILL_AT")
    assert command(*RUN, *PROPERTIES, *FILE).code == 1
    assert _read().complete
    assert "report.json.before" not in _beside()


def test_a_disk_that_is_full_for_a_while_is_told_once_and_costs_nothing(
    mortal: None, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, left = os.fsync, [3]

    def fail(descriptor: int) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    code, _, err = command(*RUN, *PROPERTIES, *FILE)
    assert code == 1
    assert err.count("report.json cannot be written: No space left on device; the run goes on\n") == 1
    assert _read().complete


def test_a_log_that_nobody_reads_costs_nothing(mortal: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        assert main([*RUN, *PROPERTIES, *FILE]) == 1
        os.dup2(nothing := os.open(os.devnull, os.O_WRONLY), writing)
        os.close(nothing)
    assert _read().complete


# The first failure


@pytest.mark.parametrize("isolated", [True, False])
def test_x_ends_the_run_at_the_first_failure_and_keeps_the_file(isolated: bool, command: Command) -> None:
    targets = (f"{SAMPLES}:swapped", f"{SAMPLES}:right")
    words = ("--cases", "0", "--jobs", "1", "--diagnose", "0", "--only", "values", *["--in-process"] * (not isolated))
    code, out, _ = command("run", *targets, "-x", *words, *FILE)
    report = _read()
    assert (code, len(report.failures), report.missing) == (1, 1, (targets[1],))
    assert "stopped at the first failure" in out
    assert "to go on: " in out, "with the targets that were not begun"


# What is told


def test_what_fails_beside_the_first_on_a_random_case_is_not_lost() -> None:
    """The first is shrunk to a case on which the other is right, and the case is not met again."""
    shapes = list[tuple[int, ...]]()

    def collect(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        shapes.append(x.shape)
        return forward(x, *state)

    settings = Settings(6, only=("values.output", "values.c_n"), fixed=False)
    conform(around(collect), settings)
    last, seen = shapes[-1], False

    def wrong(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        nonlocal seen
        output, (h_n, c_n) = forward(x, *state)
        if x.shape == last:
            seen, c_n = True, c_n + 1
        return output + (x.shape == last or (seen and x.size == 1)), (h_n, c_n)

    told: list[News] = []
    report = conform(around(wrong), settings, told.append)
    failed = {news.verdict.property for news in told if isinstance(news, Failed)}
    assert failed == {v.property for v in report.bad} == {"values.output", "values.c_n"}


def _news(total: int = 209) -> list[News]:
    def failed(name: str) -> Failed:
        return Failed(Verdict("mine", name, Outcome.FAILED, Said("too large\nmore"), "I=1"), True)

    settled = Settled(Verdict("mine", "values.c_n", Outcome.FAILED, Said("large"), "I=1", smallest="LSTM(1→1)"), True)
    far = Advanced(3, total, 98, 2)
    return [Began(), Judging(_nothing), failed("values.c_n"), failed("values.gates"), far, settled, far]


def _nothing() -> Any:
    raise AssertionError("nobody asks")


def test_a_log_has_a_line_for_each_news_and_one_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(every=600.0) as shown:
        for news in _news():
            shown.tell("mine", news)
    told = re.sub(r"(?m)^\d+ s: ", "", capsys.readouterr().err)
    assert told.splitlines() == [
        "mine: begun",
        "mine: values.c_n fails: too large",
        "mine: values.gates fails: too large",
        "mine: values.c_n, smallest case: LSTM(1→1)",
    ]
    for total, far in (209, "3 of 209 cases"), (0, "the first cases"):
        with Progress(every=0.01) as shown:
            shown.tell("mine", Advanced(3, total, 98, 2))
            err = ""
            while "cases" not in err:
                err += capsys.readouterr().err
        assert f"mine: {far}, 98 standing, 2 failing" in err


def test_a_terminal_has_a_line_for_each_backend_and_what_fails_above_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Progress() as shown:
        for news in [*_news(total=0), *_news()[-1:]]:
            shown.tell("a/long/folder/with/mine.py:mine", news)
    lines = re.split(r"[\r\n]+", screen.getvalue())
    assert "a/long/folder/with/mine.py:mine: values.c_n fails: too large" in lines
    assert "a/long/folder/with/mine.py:mine: and with it values.gates" in lines
    early = r"…/folder/with/mine\.py:mine, the first cases, 98 standing, 2 failing"
    line = r"…/folder/with/mine\.py:mine: 3/209 cases, 98 standing, 2 failing, \S+ left"
    for told in early, line:
        assert any(re.fullmatch(told, each.rstrip()) for each in lines), lines
