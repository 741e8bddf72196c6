"""What a run has found is not lost at the last step: full disks, closed pipes, consoles of other encodings."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from programs import SAMPLES, Command

from conformance.drivers import console
from conformance.drivers.cli import main
from conformance.drivers.files import claimed
from conformance.drivers.storage import counterexamples, database
from conformance.engine.plan import Settings
from conformance.errors import UsageError

RUN = ("run", f"{SAMPLES}:swapped", "--in-process", "--cases", "0", "--diagnose", "0", "--only", "values.gates")

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def _is_the_report(path: Path) -> bool:
    return json.loads(path.read_text(encoding="utf-8"))["backends"][0]["verdicts"][0]["property"] == "values.gates"


def _complaint(err: str) -> str:
    """What the command complains of last, beside all that it tells of the run."""
    told = [line for line in err.splitlines() if line.startswith("lstm-conformance: ")]
    return told[-1].removeprefix("lstm-conformance: ") if told else ""


# Files


def test_a_disk_that_fills_up_leaves_the_old_file_and_the_printed_report(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    Path("report.json").write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", fail)
    code, out, err = command(*RUN, "--json", "report.json")
    assert (code, _complaint(err)) == (3, "report.json cannot be written: No space left on device")
    assert "not conformant: sample-swapped" in out
    assert [(path.name, path.read_text(encoding="utf-8")) for path in Path().iterdir()] == [("report.json", "old")]


@full
def test_a_device_is_written_as_it_is(command: Command) -> None:
    code, out, err = command(*RUN, "--json", "/dev/full")
    assert (code, _complaint(err)) == (3, "/dev/full cannot be written: No space left on device")
    assert "not conformant: sample-swapped" in out


def test_a_report_replaces_the_old_one_and_leaves_nothing_beside_it(command: Command) -> None:
    """A symbolic link stays one; what a killed run left beside is no hindrance."""
    Path("real.json").write_text("old", encoding="utf-8")
    Path("report.json").symlink_to("real.json")
    Path("real.json.part").write_text("what a killed run left", encoding="utf-8")
    assert command(*RUN, "--json", "report.json").code == 1
    assert Path("report.json").is_symlink()
    assert _is_the_report(Path("real.json"))
    assert not Path("real.json.part").exists()


def test_a_second_run_on_one_file_says_so_before_it_begins(command: Command) -> None:
    with claimed("--json", Path("report.json")) as write:
        code, out, err = command(*RUN, "--json", "report.json")
        assert (code, out) == (2, "")
        assert "--json report.json: another run is about to write it" in err
        write("first")
    assert Path("report.json").read_text(encoding="utf-8") == "first\n"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("name", ["read-only.json", "folder/report.json"])
def test_a_file_that_cannot_be_written_is_told_before_the_run(command: Command, name: str) -> None:
    Path("read-only.json").touch(0o400)
    Path("folder").mkdir(0o500)
    code, out, err = command(*RUN, "--json", name)
    assert (code, out) == (2, "")
    assert f"--json {name} cannot be written: " in err


def test_a_folder_in_which_nothing_can_be_made_is_told_before_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, mode: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with (
        pytest.raises(UsageError, match=r"--json report\.json cannot be written: Permission denied"),
        claimed("--json", Path("report.json")),
    ):
        pass


def test_a_command_that_fails_leaves_no_file(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), claimed("--json", Path("report.json")):
        raise KeyboardInterrupt
    assert list(folder.iterdir()) == []


def test_json_on_standard_output_stands_alone(command: Command) -> None:
    code, out, err = command(*RUN, "--json", "-")
    assert code == 1
    assert json.loads(out)["conformant"] is False
    assert "not conformant: sample-swapped" in err


# Streams


@full
def test_a_full_standard_output_does_not_cost_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch, open("/dev/full", "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdout", stream)
        code = main([*RUN, "--json", "report.json"])
    assert code == 3
    assert _complaint(capsys.readouterr().err) == "standard output cannot be written: No space left on device"
    assert _is_the_report(Path("report.json"))


def test_a_pipe_that_is_closed_ends_quietly_and_keeps_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.MonkeyPatch.context() as patch, open(writing, "w", encoding="utf-8") as stream:
        patch.setattr(sys, "stdout", stream)
        code = main([*RUN, "--json", "report.json"])
    assert (code, _complaint(capsys.readouterr().err)) == (3, "")
    assert _is_the_report(Path("report.json"))


@pytest.mark.parametrize(("encoding", "arrow"), [("cp1252", "->"), ("ascii", "->"), ("utf-8", "→")])
def test_a_console_of_any_encoding_shows_the_report(folder: Path, encoding: str, arrow: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        assert main(RUN) == 1
    stream.seek(0)
    out = stream.read()
    assert f"smallest  LSTM(1{arrow}1)" in out
    assert "\\u" not in out


def test_characters_without_a_plain_form_are_escaped() -> None:
    console.prepare()
    assert "σ ≤ 1 · 語 \udcff".encode("ascii", "plain") == rb"sigma <= 1 * \u8a9e \udcff"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_whose_owner_has_not_said_no() -> None:
    assert console.coloured(_Terminal(), {"TERM": "xterm", "WT_SESSION": "1"})
    assert not console.coloured(_Terminal(), {"TERM": "xterm", "WT_SESSION": "1", "NO_COLOR": "1"})
    assert not console.coloured(_Terminal(), {"TERM": "dumb"})
    assert not console.coloured(io.StringIO(), {"TERM": "xterm"})


def test_colours_may_be_asked_for_and_refused_with_more_weight() -> None:
    assert console.coloured(io.StringIO(), {"FORCE_COLOR": "1"})
    assert not console.coloured(io.StringIO(), {"FORCE_COLOR": "1", "NO_COLOR": "1"})


# What is kept between runs


def test_counterexamples_lie_in_the_users_cache_or_where_hypothesis_is_told_to_keep_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, home = tmp_path / "cache", tmp_path / "home"
    monkeypatch.setattr(Path, "home", lambda: home)
    named = {"HYPOTHESIS_STORAGE_DIRECTORY": "kept"}
    assert counterexamples(named) == Path("kept/lstm-conformance")
    for platform, environment, folder in [
        ("linux", {}, home / ".cache"),
        ("linux", {"XDG_CACHE_HOME": str(cache)}, cache),
        ("linux", {"XDG_CACHE_HOME": "relative"}, home / ".cache"),
        ("darwin", {}, home / "Library" / "Caches"),
        ("win32", {"LOCALAPPDATA": str(cache)}, cache),
        ("win32", {}, home / "AppData" / "Local"),
    ]:
        monkeypatch.setattr(sys, "platform", platform)
        assert counterexamples(environment) == folder / "lstm-conformance" / "counterexamples"


def test_nothing_is_kept_in_the_folder_that_a_run_is_started_in(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setattr(Path, "home", lambda: home)
    for name in ("HYPOTHESIS_STORAGE_DIRECTORY", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    database("mine.py:build", Settings(only=("smoke",))).save(b"key", b"value")
    assert list(folder.iterdir()) == []
    assert any(path.is_file() for path in home.rglob("*"))


def test_folders_with_targets_of_one_name_keep_their_own_counterexamples(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = database("mine.py:build", Settings(only=("smoke",)))
    kept.save(b"key", b"value")
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    assert list(kept.fetch(b"key")) == [b"value"]
    assert list(database("mine.py:build", Settings(only=("smoke",))).fetch(b"key")) == []
