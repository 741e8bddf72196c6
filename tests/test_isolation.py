"""Isolation: whatever a backend does is a verdict with its case, the others are judged, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis.database import InMemoryExampleDatabase
from hypothesis.strategies import builds, integers
from programs import HOSTILE, SAMPLES, Impatient, at_work

from conformance.cases.recipe import Recipe, parse
from conformance.drivers.run import run
from conformance.drivers.target import Isolation
from conformance.engine import failures
from conformance.engine.judging import Inquiry
from conformance.engine.plan import Settings
from conformance.engine.search import search
from conformance.engine.sieve import conform
from conformance.errors import Closed, Ended, Gone, SuiteError, UsageError
from conformance.isolation.parent import Isolated
from conformance.processes import keeper, supervisor
from conformance.processes.message import Message
from conformance.processes.supervisor import Child, Limits
from conformance.properties import select
from conformance.report.model import BackendReport
from conformance.targets.find import find

CHOSEN = ("smoke", "layout.shapes", "values.output")
#: Random cases only, so that the expensive ones are few; all of them small enough for a second.
SETTINGS = Settings(cases=14, fixed=False, only=CHOSEN)
LIMITS = Limits(seconds=600.0, memory=1.0)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals, and limits")


def judged(name: str, settings: Settings = SETTINGS, limits: Limits = LIMITS) -> BackendReport:
    """The report on a hostile backend, in one child process: some count their calls."""
    outcome = run([f"{HOSTILE}:{name}"], settings, jobs=1, isolation=Isolation(limits))
    assert outcome.errors == ()
    [report] = outcome.report.backends
    return report


def bearing(variable: str) -> list[psutil.Process]:
    """The processes that have an environment variable, without this one and the keeper, which ends with this one."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            lives = process.status() != psutil.STATUS_ZOMBIE
            if lives and variable in process.environ() and process.cmdline() != keeper.COMMAND:
                found.append(process)
    return [process for process in found if process.pid != os.getpid()]


@pytest.fixture(autouse=True)
def _nothing_is_left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every process that a test starts has a mark of the test's; none may be left at its end."""
    mark = f"TEST_{os.getpid()}_{folder.name}"
    monkeypatch.setenv(mark, "here")
    monkeypatch.setenv("HOSTILE_MARK", "asleep")
    yield
    deadline = time.monotonic() + 300
    while (left := bearing(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


@pytest.mark.parametrize(
    ("name", "outcome", "said", "needs"),
    [
        ("segfault", "crashed", "died of SIGSEGV", lambda recipe: recipe.L > 3),
        ("abort", "crashed", "died of SIGABRT", lambda recipe: recipe.H > 4),
        ("loop", "timeout", "no answer within 2 seconds", lambda recipe: recipe.N == 2),
        ("sleeper", "timeout", "no answer within 2 seconds", lambda recipe: recipe.L > 8),
        ("glutton", "crashed", "GiB of memory; its limit is 0.25 GiB", lambda recipe: recipe.L > 8),
        ("forker", "crashed", "died of SIGSEGV", lambda recipe: recipe.L > 3),
    ],
)
def test_a_case_that_ends_the_process_is_a_verdict_and_the_others_are_judged(
    name: str, outcome: str, said: str, needs: Callable[[Recipe], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_PATIENCE_SECONDS", 0.5)
    # Only what hangs is to meet the limit of time. Each case that ends the process costs a new one: a few show it.
    limits = Impatient(memory=0.25) if outcome == "timeout" else replace(LIMITS, memory=0.25)
    report = judged(name, replace(SETTINGS, cases=7), limits)
    [verdict] = report.bad
    assert verdict.outcome == outcome
    assert said in verdict.message
    assert needs(parse(verdict.recipe or ""))
    others = [v for v in report.verdicts if v is not verdict]
    assert {v.outcome for v in others} <= {"passed", "narrowed"}, "every other property is judged, on other cases"
    assert all(v.cases for v in others)
    assert any(f"ended the process: see {verdict.property}" in v.message for v in others)
    assert not report.conformant
    assert report.complete


def test_a_crash_shrinks_like_any_failure_and_tells_what_the_process_said_last() -> None:
    [verdict] = judged("segfault").bad
    assert str(replace(parse(verdict.recipe or ""), edits=())) == "I=1 H=1 L=4 N=1"
    assert "Fatal Python error: Segmentation fault" in verdict.message
    assert "in _die" in verdict.message


def test_a_crash_on_every_call_ends_the_run_quickly_with_one_statement() -> None:
    report = judged("always", Settings())
    [verdict] = report.bad
    assert (verdict.property, verdict.outcome) == ("smoke.runs", "crashed")
    assert {v.message for v in report.verdicts if v.outcome == "not run"} == {"the adapter is broken: see smoke.runs"}
    assert report.cases == 0


def test_a_call_of_the_probe_that_hangs_is_told_after_its_own_limit_with_its_case() -> None:
    with pytest.raises(Ended, match=r"^forward did not return within 1 s on LSTM\(3→4\) L=5 N=2$") as caught:
        Isolated(f"{HOSTILE}:never", Limits(seconds=1.0))
    assert caught.value.outcome == "timeout"


def test_a_crash_at_the_start_is_one_statement() -> None:
    Path("mine.py").write_text("import os\nos.abort()\n", encoding="utf-8")
    outcome = run(["mine.py:mine"], SETTINGS)
    first, *others = outcome.report.verdicts
    assert first.outcome == "crashed"
    assert "died of SIGABRT" in first.message
    assert {v.message for v in others} == {"it does not start: see smoke.runs"}
    assert not outcome.report.conformant


def test_a_crash_that_comes_with_the_fiftieth_call_is_reported_with_the_calls_before_it() -> None:
    report = judged("tired", replace(SETTINGS, cases=40, only=("smoke", "layout.shapes")))
    [verdict] = report.bad
    assert verdict.outcome == "crashed"
    assert "exit code 3" in verdict.message
    assert "only after" in verdict.message or "seen once" in verdict.message


def test_a_process_that_was_left_behind_with_the_output_open_holds_nothing_up() -> None:
    """It left the group and has another environment, but was seen while its parent lived."""
    report = judged("stray", replace(SETTINGS, shrink=False))
    [verdict] = report.bad
    assert "exit code 1" in verdict.message


def test_memory_that_forks_share_counts_once() -> None:
    assert judged("family", replace(SETTINGS, cases=2)).conformant


def test_a_backend_that_cannot_be_started_again_keeps_its_verdicts() -> None:
    report = judged("once", replace(SETTINGS, shrink=False))
    assert report.interrupted is not None
    assert "could not be started again" in report.interrupted.reason
    assert "the device is busy" in report.interrupted.reason
    assert not report.conformant
    assert len(report.verdicts) == len(select(CHOSEN))


def test_an_interruption_of_the_backends_own_is_a_crash() -> None:
    [verdict] = judged("interrupter", replace(SETTINGS, shrink=False)).bad
    assert verdict.outcome == "crashed"
    assert "KeyboardInterrupt" in verdict.message


def test_messages_of_any_length_and_kind_are_told() -> None:
    """Half a surrogate pair cannot be printed, nor written as JSON."""
    [verdict] = judged("talker").bad
    assert verdict.message.startswith("forward raised ValueError: bad ? file xxx")
    assert len(verdict.message) < 20_000


@pytest.mark.parametrize("end", [Closed, Gone, KeyboardInterrupt])
def test_a_run_that_was_ended_leaves_no_example_to_the_next_one(end: type[BaseException]) -> None:
    seen: list[Recipe] = []

    def ended(recipe: Recipe) -> bool:
        seen.append(recipe)
        if len(seen) == 4:
            raise end
        return False

    recipes, database = builds(Recipe, I=integers(1, 99)), InMemoryExampleDatabase()
    with pytest.raises(end):
        search(recipes, ended, 10, 0, database)
    assert search(recipes, ended, 10, 0, database) is None
    assert seen[:4] == seen[4:8]


def test_what_ends_after_its_last_answer_had_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Isolated("numpy", LIMITS)
    receive = Child.receive

    def cut(child: Child, seconds: float, limit: int) -> Message:
        message = receive(child, seconds, limit)
        if message.type == "done":
            child.kill()
            raise Ended("crashed", "it was ended")
        return message

    monkeypatch.setattr(Child, "receive", cut)
    [(_, answer)] = judge.ask(parse("I=1 H=1 L=1 N=1"), [Inquiry(p) for p in select(("smoke",))])
    assert answer.outcome == "passed"
    judge.close()


def test_what_a_backend_prints_does_not_mix_with_the_answers() -> None:
    assert judged("printer").conformant


def test_verdicts_are_those_of_one_process() -> None:
    """Views, aliasing, mutation and threads included: the child judges as this process would."""
    for name, settings in (
        # Large sizes take seconds, and are judged like any other.
        ("right", Settings(cases=6, fixed=False, exclude=("sizes",))),
        ("swapped", Settings(cases=6, fixed=False, only=("smoke", "values", "purity"))),
    ):
        target = f"{SAMPLES}:{name}"
        judge = Isolated(target)
        apart, here = conform(judge, settings), conform(find(target), settings)
        judge.close()
        assert apart.verdicts == here.verdicts
        assert (apart.covered, apart.cases, apart.unmet) == (here.covered, here.cases, here.unmet)


def interpreter(*lines: str) -> str:
    """A shell script that stands for a Python interpreter."""
    script = Path("python")
    script.write_text("\n".join(["#!/bin/sh", *lines]), encoding="utf-8")
    script.chmod(0o755)
    return str(script.absolute())


def test_another_interpreter_holds_the_backend() -> None:
    """It needs NumPy and no more, nor the packages that this one has installed."""
    Path("mine.py").write_text(
        "import os\n"
        "from conformance import Capabilities, backend\n"
        "from implementations.numpy_lstm import numpy_lstm\n"
        "mine = backend('held by ' + os.environ['HOLDER'], Capabilities())(numpy_lstm.build)\n",
        encoding="utf-8",
    )
    other = interpreter("export HOLDER=other", f'exec {sys.executable} "$@"')
    settings = Settings(cases=3, fixed=False, only=("smoke", "values.output"))
    [report] = run(["mine.py:mine"], settings, isolation=Isolation(pythons={"": other})).report.backends
    assert report.conformant


def test_an_environment_without_the_framework_makes_the_backend_unavailable_there(tmp_path: Path) -> None:
    """The names of this installation are known to it, and what it holds is named as the target was."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "other"], check=True)
    python = tmp_path / "other" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    # NumPy is all that it has, without its metadata.
    for part in (Path(np.__file__).parent, Path(np.__file__).parents[1] / "numpy.libs"):
        if part.is_dir():
            (packages / part.name).symlink_to(part)
    settings = Settings(cases=1, fixed=False, only=("smoke",))
    outcome = run(["torch-nn", "numpy"], settings, isolation=Isolation(pythons={"": str(python)}))
    assert outcome.errors == ()
    torch_nn, numpy_lstm = outcome.report.backends
    assert torch_nn.verdicts[0].message == "torch is not installed"
    assert (numpy_lstm.backend, numpy_lstm.conformant) == ("numpy", True)
    assert f"held by {python}: python" in numpy_lstm.note


def test_an_interpreter_in_which_the_suite_cannot_run_is_a_usage_error() -> None:
    old = interpreter("echo 'lstm-conformance needs Python 3.11 or newer; this is 3.8' >&2", "exit 1")
    [error] = run(["numpy"], SETTINGS, isolation=Isolation(pythons={"numpy": old})).errors
    assert isinstance(error, UsageError)
    assert "this is 3.8" in str(error)
    with pytest.raises(UsageError, match="'trch-nn', which is not a target"):
        run(["numpy"], SETTINGS, isolation=Isolation(pythons={"trch-nn": sys.executable}))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tells_what_it_has(end: signal.Signals) -> None:
    process = at_work(Path("asleep"), "run", f"{HOSTILE}:sleeper", "--json", "report.json")
    process.send_signal(end)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 3, out
    report = json.loads(Path("report.json").read_text(encoding="utf-8"))
    assert report["backends"][0]["interrupted"]["how"] == "interrupted"


def test_a_run_that_is_killed_leaves_no_process() -> None:
    """The keeper sees the end of its input, and ends what hangs; ``_nothing_is_left`` looks."""
    process = at_work(Path("asleep"), "run", f"{HOSTILE}:sleeper")
    process.kill()
    process.communicate()


# The supervisor alone


def child(code: str, limits: Limits = LIMITS) -> Child:
    """A child that runs some Python."""
    return Child([sys.executable, "-c", code], "a child", limits)


def test_a_child_that_does_not_read_is_ended_in_time() -> None:
    one = child("import time; time.sleep(1000)")
    message = Message({"type": "x" * 10_000_000})
    with pytest.raises(Ended, match=r"no answer within 0\.5 seconds") as caught:
        one.send(message, 0.5)
    assert caught.value.outcome == "timeout"


def test_a_child_that_fills_its_standard_error_is_not_held_up() -> None:
    one = child("import sys\nfor n in range(100000): print('line', n, file=sys.stderr)\nsys.exit(4)")
    with pytest.raises(Ended, match=r"(?s)exit code 4.*line 99999"):
        one.receive(600.0, 0)


def test_a_child_that_closes_its_output_is_ended() -> None:
    one = child("import os, time; os.close(1); time.sleep(1000)")
    with pytest.raises(Ended, match="closed its standard input or output"):
        one.receive(600.0, 0)


def test_a_process_that_was_seen_once_is_known_while_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """It left the group, has another environment, and outlived its parent, which was the child's own child."""
    hidden = ["sleep", "600.5"]
    look = supervisor.family

    def telling(root: int, known: Iterable[psutil.Process] = ()) -> set[psutil.Process]:
        found = look(root, known)
        for process in found:
            with suppress(psutil.Error):
                if process.cmdline() == hidden:
                    Path("seen").touch()
        return found

    monkeypatch.setattr(supervisor, "family", telling)
    wait = "while not os.path.exists('seen'): time.sleep(0.05)"
    start = f"import os, subprocess, time\nsubprocess.Popen({hidden}, env={{}}, start_new_session=True)\n{wait}"
    one = child(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {start!r}])")
    with pytest.raises(Ended, match="exit code 0"):
        one.receive(600.0, 0)
    assert [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == hidden] == []


def test_a_defect_of_the_suite_in_the_child_is_no_verdict() -> None:
    judge = Isolated("numpy", LIMITS)
    unknown = replace(select(("smoke",))[0], id="no.such")
    with pytest.raises(SuiteError, match="a defect of lstm-conformance"):
        list(judge.ask(parse("I=1 H=1 L=1 N=1"), [Inquiry(unknown)]))
    judge.close()
