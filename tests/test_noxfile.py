"""The matrix goes on where it ended, and neither an environment nor a backend that fails stops the others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from programs import ROOT

pytest.importorskip("nox")

#: What the commands of a matrix return: by the word that tells which it is.
Ends = dict[str, int]


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the session with three environments, of which no command is really run; what was run, and what was told."""
    monkeypatch.syspath_prepend(str(ROOT))
    import noxfile  # noqa: PLC0415

    environments = {
        "first": {"requirements": ["first-package"], "backends": ["one", "two"]},
        "second": {"requirements": ["second-package"], "backends": ["three"], "options": ["--timeout", "9"]},
        "subset": {"requirements": [], "backends": ["one"]},
    }
    for name, value in {"ENVIRONMENTS": environments, "HERE": tmp_path, "BUILT": tmp_path / "built"}.items():
        monkeypatch.setattr(noxfile, name, value)
    monkeypatch.setattr(noxfile, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(noxfile, "COSTS", tmp_path / "costs.json")

    def session(ends: Ends, *arguments: str) -> tuple[list[str], str]:
        ran, told = list[str](), list[str]()

        def run(command: list[Any], **_: Any) -> Any:
            words = [*map(str, command)]
            ran.append(" ".join(words[1:]))
            if "--json" in words:
                Path(words[-1]).touch()
            if "--take" in words:
                (tmp_path / "reports").mkdir(exist_ok=True)
                (tmp_path / "reports" / Path(words[words.index("--take") + 1]).name).touch()
            return SimpleNamespace(returncode=next((end for word, end in ends.items() if word in words), 0))

        monkeypatch.setattr(subprocess, "run", run)
        stub = SimpleNamespace(posargs=[*arguments], log=lambda text: None, error=told.append)
        noxfile.matrix(stub)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return [each for each in ran if " run " in each], "".join(told)

    return session


def judged(ran: list[str]) -> list[str]:
    return [words.split(" run ")[1].split()[0] for words in ran]


def test_everything_is_judged_in_its_environment(matrix: Callable[..., Any]) -> None:
    ran, told = matrix({})
    assert (judged(ran), told) == (["one", "two", "three"], "")
    assert "--timeout 9" in ran[2]
    assert "first-" in ran[0].partition("--python")[2]
    assert "second-" in ran[2].partition("--python")[2]


def test_an_environment_that_does_not_install_stops_no_other(matrix: Callable[..., Any]) -> None:
    ran, told = matrix({"first-package": 1})
    assert judged(ran) == ["three"]
    assert "first: not installed" in told
    again, told = matrix({})
    assert (judged(again), told) == (["one", "two"], ""), "it is tried again, and what is judged is not"


@pytest.mark.parametrize("end", [-6, 2, 3])
def test_a_backend_that_dies_stops_no_other(matrix: Callable[..., Any], end: int) -> None:
    ran, told = matrix({"one": end})
    assert judged(ran) == ["one", "two", "three"]
    assert f"one ended with {end}" in told
    assert judged(matrix({})[0]) == ["one"], "it has no report, so it is judged again"


def test_a_backend_that_fails_has_a_report(matrix: Callable[..., Any]) -> None:
    assert matrix({"one": 1})[1] == ""
    assert judged(matrix({})[0]) == []


def test_some_may_be_named(matrix: Callable[..., Any]) -> None:
    assert judged(matrix({}, "second", "first:two")[0]) == ["three", "two"]


def test_packages_of_this_process_are_not_those_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import noxfile  # noqa: PLC0415

    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    assert "PYTHONPATH" not in noxfile._environment()
