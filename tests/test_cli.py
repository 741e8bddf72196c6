"""The command line as a person meets it: exit codes, what is printed, and what every mistake is answered with."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from programs import ROOT, SAMPLES, Command

from conformance import __version__
from conformance.report.data import FORMAT
from conformance.targets import registry

# run


def test_a_conformant_backend_exits_0_and_says_so(command: Command) -> None:
    code, out, err = command("run", f"{SAMPLES}:right", "--cases", "3", "--only", "smoke", "values.output")
    assert code == 0
    assert [line.partition(" s: ")[2].partition(" ")[0] for line in err.splitlines()] == [
        f"{SAMPLES}:right:",
        "conformant:",
    ]
    assert out.startswith(f"lstm-conformance {__version__} · seed 0 · fixed set + 3 random cases · numpy ")
    assert out.endswith("\nconformant: sample-right holds 2 of 2 chosen properties of what nn.LSTM computes\n")


def test_a_wrong_backend_exits_1_and_its_replay_line_shows_the_failure_again(command: Command) -> None:
    code, out, _ = command("run", f"{SAMPLES}:swapped", "--cases", "0", "--only", "values.c_n", "--diagnose", "0")
    assert code == 1
    assert "values.c_n (failed): Every layer's and direction's c_n is the oracle's, within the bound." in out
    assert "smallest  LSTM(1→1) L=1 N=1" in out
    assert "result    c_n[0, 0, 0] expected 0 got -0.38079" in out
    told = "does not compute what nn.LSTM computes: 0 of 1 properties hold"
    assert out.endswith(f"\nnot conformant: sample-swapped {told}\n")
    (line,) = (line for line in out.splitlines() if line.startswith("    replay "))
    code, replayed, _ = command(*shlex.split(line)[2:])
    assert code == 1
    assert "values.c_n                  failed: c_n[0, 0, 0] expected 0 got -0.38079" in replayed


def test_a_named_backend_that_is_unavailable_exits_3(command: Command) -> None:
    code, out, _ = command("run", f"{SAMPLES}:absent", f"{SAMPLES}:no_driver", "--only", "smoke")
    assert code == 3
    assert "sample-absent  unavailable: no such device" in out
    assert "sample-no-driver  unavailable: available() raised OSError: driver not loaded" in out


def test_an_unavailable_backend_that_was_not_named_does_not_count(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "names", lambda: [f"{SAMPLES}:absent", f"{SAMPLES}:right"])
    assert command("run", "--cases", "0", "--only", "smoke").code == 0


def test_a_bad_target_exits_2_and_the_others_are_judged_all_the_same(command: Command) -> None:
    code, out, err = command("run", f"{SAMPLES}:rihgt", f"{SAMPLES}:right", "--cases", "0", "--only", "smoke")
    assert code == 2
    assert f"target '{SAMPLES}:rihgt': samples has no attribute 'rihgt'\n  hint: it has right" in err
    assert "conformant: sample-right " in out


def test_the_json_file_holds_every_verdict_and_what_is_needed_to_repeat_the_run(command: Command) -> None:
    target = f"{SAMPLES}:swapped"
    assert command("run", target, "--cases", "2", "--seed", "7", "--only", "values.c_n", "--json", "r.json").code == 1

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    report = json.loads(Path("r.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert (report["format"], report["seed"], report["cases"], report["version"]) == (FORMAT, 7, 2, __version__)
    assert (report["conformant"], report["complete"], report["missing"]) == (False, True, [])
    (verdict,) = report["backends"][0]["verdicts"]
    assert (verdict["backend"], verdict["property"], verdict["outcome"]) == (target, "values.c_n", "failed")
    assert verdict["recipe"].startswith("I=1 H=1 L=1 N=1")
    assert {"numpy", "python", "platform"} <= set(report["environment"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--cases", "many"], "argument --cases: must be a whole number of at least 0, got 'many'"),
        (["run", "--cases=-1"], "argument --cases: must be a whole number of at least 0, got '-1'"),
        (["run", "numpy", "--only", "vaules"], "named 'vaules'\n  hint: did you mean values"),
        (["run", "numpy", "--only", "values,state"], "named 'values,state'\n  hint: give each by itself: values state"),
        (["run", "numpy", "--exclude", "values.c"], "named 'values.c'\n  hint: did you mean values.c_n"),
        (["run", "numpy", "--json", "no/such/folder.json"], "there is no folder no"),
        (["self-test", "tf32", "--json", "no/such/folder.json"], "there is no folder no"),
        (["run", "numpy", "--json", "."], "--json . is a folder\n  hint: name a file"),
        (
            ["run", "--only", "values", "mine.py:f"],
            "took the target 'mine.py:f'\n  hint: put targets first: mine.py:f ",
        ),
        (["run", "--exclude", "numpy"], "--exclude takes all words that follow it, and took the target 'numpy'"),
        (["run", "numpi"], "no backend is named 'numpi'; known are "),
        (["run", "no_such.py:build"], "there is no file 'no_such.py'"),
        (["run", "no_such:build"], "No module named 'no_such'\n  hint: name a module that can be imported"),
        (["run", "math:pi"], "target 'math:pi' is a float, not a Backend, a build function"),
        (["explain", "values.otput"], "hint: did you mean values.output"),
        (["replay", "I=1 H=two", "--backend", "numpy"], "'H=two': H must be a whole number of at least 1"),
        (["replay", "I=1 W=2", "--backend", "numpy"], "recipe word 'W=2' is not known\n  hint: known words are I=…"),
        (["replay", "I=1 L=1 edits=-t4", "--backend", "numpy"], "recipe edit '-t4' does not fit its case"),
        (["new", "mine.txt"], "the file must end in .py\n  hint: try mine.txt.py"),
        (["new", "no/folder/mine.py"], "No such file or directory"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
    ],
)
def test_a_slip_exits_2_names_the_thing_and_says_what_to_try(command: Command, arguments: list[str], told: str) -> None:
    code, _, err = command(*arguments)
    assert code == 2
    assert told in err
    assert "Traceback" not in err


# Settings


def _configure(*lines: str) -> None:
    Path("pyproject.toml").write_text("\n".join(["[tool.lstm-conformance]", *lines]), encoding="utf-8")


def test_pyproject_gives_the_settings_and_targets_are_named_from_its_folder(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(SAMPLES, "mine.py")
    _configure('targets = ["mine.py:right", "mine:right"]', "cases = 2", 'only = ["smoke"]')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    code, out, _ = command("run")
    assert code == 0
    assert " · fixed set + 2 random cases · " in out
    # Both are one backend of one name: so their targets tell them apart.
    assert "mine.py:right holds" in out
    assert "conformant: mine:right " in out


def test_the_command_line_outdoes_pyproject(command: Command) -> None:
    _configure('targets = ["no_such.py:build"]', "cases = 99", 'only = ["smoke"]')
    code, out, _ = command("run", f"{SAMPLES}:right", "--cases", "1")
    assert code == 0
    assert " · fixed set + 1 random case · " in out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("cases = true", "cases must be a whole number of at least 0, got True"),
        ("seed = -1", "seed must be a whole number of at least 0, got -1"),
        ('only = "values"', "only must be a list of words, got 'values'"),
        ("exclude = [1]", "exclude must be a list of words, got [1]"),
        ("case = 1", "[tool.lstm-conformance] has no setting 'case'\n  hint: it has targets, cases"),
        ("cases =", "is not valid TOML"),
    ],
)
def test_a_bad_setting_names_the_file_and_what_was_expected(
    command: Command, folder: Path, line: str, told: str
) -> None:
    _configure(line)
    code, _, err = command("list")
    assert code == 2
    assert str(folder / "pyproject.toml") in err
    assert told in err


# The other commands


def test_list_names_every_backend_and_property(command: Command) -> None:
    code, out, _ = command("list")
    assert code == 0
    assert "  torch-loop\n" in out
    assert "  values.output               core      Every output of every layer is the oracle's" in out


def test_explain_gives_statement_reason_and_needs_of_a_property_or_a_group(command: Command) -> None:
    _, out, _ = command("explain", "direction.swap")
    assert out.startswith("direction.swap (full; needs bidirectional, output, values, params)\n  Swapping the ")
    assert "candle" in out
    assert "\ndirection.reversal (" in "\n" + command("explain", "direction").out


def test_replay_shows_the_numbers_of_a_small_case_and_what_is_not_declared(command: Command) -> None:
    code, out, _ = command("replay", "I=1 H=1 L=1 N=1 edits=0:x,1:bias_ih_l0", "--backend", f"{SAMPLES}:right")
    assert code == 0
    assert "LSTM(1→1) L=1 N=1" in out
    assert "bias_ih_l0            [" in out
    assert "zero                  x" in out
    assert "properties say nothing about this case" in out
    out = command("replay", "I=1", "--backend", f"{SAMPLES}:right", "--only", "direction.swap").out
    assert "direction.swap              not declared: bidirectional is not declared" in out


def test_replay_refuses_a_recipe_of_another_model_than_the_baked_in_one(command: Command) -> None:
    """It would be judged by the baked-in params as what it is not, and a correct model accused."""
    target = f"{SAMPLES}:baked"
    code, _, err = command("replay", "I=3 H=2 layers=2 L=2 N=1", "--backend", target)
    assert code == 2
    assert 'one that is: "I=3 H=2 L=1 N=1"' in err
    assert command("replay", "I=3 H=2 L=2 N=1", "--backend", target).code == 0


def test_replay_of_an_unavailable_backend_exits_3(command: Command) -> None:
    assert command("replay", "I=1", "--backend", f"{SAMPLES}:absent").code == 3


def test_probe_tells_what_works_beside_what_is_declared(command: Command) -> None:
    code, out, _ = command("probe", f"{SAMPLES}:right")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:3] for line in out.splitlines() if line}
    assert rows["initial_state"] == ["yes", "right"]
    assert rows["float64"] == ["no", "right"]
    assert rows["layers"] == ["no", "no"]
    assert "these options seem to work too: float64" in out


def test_the_help_of_run_shows_targets_examples_and_exit_codes(command: Command) -> None:
    out = command("run", "--help").out
    assert '  "exec:node lstm.mjs"   a program' in out
    assert "\n  lstm-conformance run my_lstm.py:MyLSTM --only values state\n" in out
    assert [f"\n  {code}  " in out for code in range(4)] == [True] * 4


def test_new_writes_a_backend_that_runs_and_fails_for_its_gates(command: Command) -> None:
    code, out, _ = command("new", "mine.py")
    assert (code, out) == (0, "wrote mine.py; now: lstm-conformance run mine.py:my_lstm\n")
    assert "lstm-conformance run mine.py:my_lstm" in Path("mine.py").read_text(encoding="utf-8")
    code, out, _ = command("run", "mine.py:my_lstm", "--cases", "0", "--only", "values.output", "values.gates")
    assert code == 1
    assert "my-lstm: 2 properties fail, for 1 cause\n  cause     The gates are read in the order i, o, f, g." in out
    # README.md shows the whole run, which has more failures.
    [quoted] = re.findall(r"^```\n(my-lstm: .*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    told = out.splitlines()
    for line in quoted.splitlines():
        if line.startswith(("  seen in ", "  fix ", "            params = ", "  smallest ", "  replay ")):
            assert line in told


def test_new_leaves_a_file_that_exists_as_it_is(command: Command) -> None:
    Path("mine.py").write_text("precious")
    assert command("new", "mine.py").code == 2
    assert Path("mine.py").read_text() == "precious"


def test_the_package_runs_as_a_module() -> None:
    line = [sys.executable, "-m", "conformance", "--version"]
    printed = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert printed == f"lstm-conformance {__version__}\n"
