"""The tutorial is tried: its blocks make the program, and each command prints what is quoted below it."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from programs import ROOT, Command

DOC = ROOT / "docs/implementers.md"

#: How the loop that answers requests begins: later blocks go in front of it.
LOOP = "for (let request;"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node: there is no node on the PATH")


def _patched(program: str, diff: str) -> str:
    """A program after a diff, each hunk of which must fit at exactly one place."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
        assert program.count(old) == 1, f"{DOC.name}: found {program.count(old)} times:\n{old}"
        program = program.replace(old, new)
    return program


def _commands() -> list[ParameterSet]:
    """Each command of the page: the program as it is by then, its words, and what is quoted of its output."""
    text, program, found = DOC.read_text(encoding="utf-8"), "", []
    for block in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        kind, content = block.groups()
        if kind == "js":
            before, loop, rest = program.partition(LOOP)
            program = f"{before}{content}\n{loop}{rest}"
        elif kind == "diff":
            program = _patched(program, content)
        elif kind == "console":
            command, *quoted = content.replace("\\\n", "").splitlines()
            line = text.count("\n", 0, block.start()) + 2
            found.append(pytest.param(program, shlex.split(command)[2:], quoted, id=f"line-{line}"))
    return found


def _assert_printed(quoted: list[str], printed: list[str]) -> None:
    """``…`` in a line stands for anything, and a line of its own for any lines."""
    at, gap = 0, False
    for line in quoted:
        if line.strip() == "…":
            gap = True
            continue
        pattern = ".*".join(map(re.escape, line.split("…")))
        within = range(at, len(printed) if gap else at + 1)
        place = next((place for place in within if re.fullmatch(pattern, printed[place])), None)
        assert place is not None, f"{line!r} is not printed{'' if gap else ' next'}, but:\n" + "\n".join(printed[at:])
        at, gap = place + 1, False
    assert gap or at == len(printed), f"not quoted: {printed[at:]}"


COMMANDS = _commands()

#: The program after the page's last change.
FINISHED = COMMANDS[-1].values[0]


@pytest.mark.parametrize(("program", "arguments", "quoted"), COMMANDS)
def test_a_command_prints_what_is_quoted(
    program: str, arguments: list[str], quoted: list[str], command: Command, request: pytest.FixtureRequest
) -> None:
    """And its exit code tells whether anything failed.

    Only the finished program is judged on the whole fixed set.
    """
    if "run" in arguments and "--only" not in arguments and program != FINISHED:
        request.getfixturevalue("few_rows")
    Path("lstm.mjs").write_text(program, encoding="utf-8")
    code, out, _ = command(*arguments)
    _assert_printed(quoted, out.splitlines())
    assert code == any(word in line for line in quoted for word in ("not conformant", "failed:"))


def test_the_finished_program_is_what_is_judged_at_last() -> None:
    """The last block that changes the program comes before the last run of all properties."""
    *_, last = re.findall(r"^```(?:js|diff|console)\n(?:\$ (.*))?", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert "run" in last
    assert "--only" not in last
