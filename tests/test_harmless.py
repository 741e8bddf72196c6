"""A hostile backend through every door: nothing that it says controls a terminal, is read as markup, or has no end."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import Command
from reports import LONG, NASTY, RECIPE, RICH, poisoned
from test_formats import Elements, html_of, schema

from conformance import check_backend
from conformance.drivers import console
from conformance.report import badge, fragment, junit, markdown, page, spreadsheet, text
from conformance.report.colour import painted, unpainted
from conformance.report.conclusion import conclusion
from conformance.report.data import dumps, from_json
from conformance.report.harmless import TEXT, harmless
from conformance.report.model import Report
from conformance.report.names import named
from conformance.report.table import notes, table
from conformance.targets.find import find

#: Each of its texts is hostile. It is wrong, raises for more than three steps, and narrows for more than nine units.
BACKEND = f"""
import sys
import numpy as np
from conformance import Capabilities, Unsupported, backend

NASTY = {NASTY!r}
LONG = NASTY + "n" * 100_000
STRANGE = type(NASTY.replace(chr(0), "").encode("utf-8", "ignore").decode(), (ValueError,), {{}})

def build(config, params):
    if config.hidden_size > 9:
        raise Unsupported(LONG)
    def forward(x, state=None):
        if len(x) > 3:
            raise STRANGE(NASTY + "n" * 1_000_000)
        zeros = np.zeros((len(x), x.shape[1], config.hidden_size), x.dtype)
        return zeros, (zeros[:1].copy(), zeros[:1].copy())
    return forward

known = {{"values.h_n": LONG, "layout.shapes": LONG}}
bad = backend(LONG, Capabilities(expected_failures=known))(build)
gone = backend(LONG + "gone", Capabilities(), available=lambda: LONG)(build)
crash = backend("crash" + LONG, Capabilities())(lambda config, params: (print(NASTY, file=sys.stderr), sys.exit(LONG)))
"""

PROGRAM = f"""
import sys
sys.stderr.write({NASTY.encode("utf-8", "backslashreplace").decode()!r})
sys.stdout.write({NASTY.encode("utf-8", "ignore").decode()!r})
"""

TARGET = "odd.py:bad"
FEW = ("--cases", "0", "--only", "smoke", "layout.shapes", "values.output", "values.h_n")


@pytest.fixture
def hostile(folder: Path) -> Path:
    """A folder with a hostile backend and a hostile program."""
    (folder / "odd.py").write_text(BACKEND, encoding="utf-8")
    (folder / "odd_program.py").write_text(PROGRAM, encoding="utf-8")
    return folder


def is_harmless(said: str, most: int = 200_000) -> bool:
    """Whether it holds no character that does not print, and no text that goes on for ever."""
    assert {c for c in said if not c.isprintable()} <= {"\n", "\t"}
    assert "n" * TEXT not in said
    assert len(said) < most
    return True


# The one mechanism


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain → σ 語 é", "plain → σ 語 é"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eretsam\u2066", r"\u202eretsam\u2066"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x00\x7f\x9b\ud800\U000e0041", r"\x00\x7f\x9b\ud800\U000e0041"),
    ],
)
def test_what_does_not_print_is_an_escape(given: str, shown: str) -> None:
    assert harmless(given) == shown
    assert harmless(shown) == shown


def test_a_text_of_several_lines_keeps_their_ends() -> None:
    assert harmless("a\r\n\tb\x1b\n", lines=True) == "a\n\tb\\x1b\n"


def test_of_a_long_text_the_middle_is_left_out_and_its_length_is_told() -> None:
    shown = harmless("a" * 50_000 + "z" * 50_000, 200)
    assert len(shown) <= 200
    assert re.fullmatch(r"a{80} …\[100000 characters\]… z{80}", shown)
    assert harmless("a" * 200, 200) == "a" * 200


def test_every_text_of_a_report_is_made_harmless_wherever_it_stands() -> None:
    """No field is named in the code that does it: one that is added later is made harmless too."""
    assert is_harmless(repr(named(poisoned(RICH))).replace("\\n", "\n"), 1_000_000)
    assert named(named(RICH)) == named(RICH)


# The formats


def _terminal(report: Report) -> str:
    shown = named(report)
    parts = [text.head(shown), table(shown), text.failures(shown), text.failures(shown, verbose=True)]
    return "\n".join([*parts, notes(shown), conclusion(shown)])


FORMS: dict[str, Callable[[Report], str]] = {
    "terminal": _terminal,
    "markdown": markdown.render,
    "junit": junit.render,
    "csv": spreadsheet.render,
    "endpoint": badge.endpoint,
    "svg": badge.svg,
    "notebook": fragment.render,
    "page": page.render,
}


@pytest.mark.parametrize("form", FORMS)
def test_no_format_holds_what_controls_or_has_no_end(form: str) -> None:
    assert is_harmless(FORMS[form](poisoned(RICH)), 1_000_000)


def test_json_keeps_every_text_as_it_is_and_holds_no_control_characters() -> None:
    whole = poisoned(RICH, NASTY)
    written = dumps(whole)
    assert written.isascii()
    assert {c for c in written if not c.isprintable()} == {"\n"}
    assert from_json(json.loads(written)) == whole


@pytest.mark.parametrize("html", [html_of, fragment.render], ids=["markdown", "notebook"])
def test_html_has_no_elements_and_attributes_but_its_own(html: Callable[[Report], str]) -> None:
    tame, wild = Elements(html(RICH)), Elements(html(poisoned(RICH)))
    assert set(wild.tags) <= {*tame.tags, "code"}
    assert set(wild.attributes) <= set(tame.attributes)
    assert wild.tags.count("details") == tame.tags.count("details")
    assert wild.tags.count("td") == tame.tags.count("td"), "no cell is two"
    # GitHub makes links of addresses, names and numbers, except in code.
    prose = " ".join(part for tag, parts in wild.text.items() if tag not in ("code", "pre", "style") for part in parts)
    assert html is not html_of or not re.search(r"octocat|http|evil|www", prose)


def test_xml_and_csv_hold_the_texts_and_no_more_elements_or_cells() -> None:
    wild = junit.render(poisoned(RICH))
    schema().validate(wild)
    count = [[e.tag for e in ET.fromstring(junit.render(report).encode()).iter()] for report in (RICH, poisoned(RICH))]
    assert sorted(count[0]) == sorted(count[1])
    rows = list(csv.reader(io.StringIO(spreadsheet.render(poisoned(RICH)))))
    assert {len(row) for row in rows} == {len(spreadsheet.COLUMNS)}
    assert len(rows) == 1 + len(RICH.verdicts)
    assert not [cell for row in rows for cell in row if cell.lstrip()[:1] in ("=", "+", "-", "@") and cell]


def test_a_colour_is_the_suites_own() -> None:
    shown = named(poisoned(RICH))
    told = table(shown, paint=painted) + conclusion(shown, painted, 100)
    assert console.as_shown(told, painted=True) == told
    assert is_harmless(re.sub(r"\x1b\[(31|32|0)m", "", told))
    assert told.replace("\x1b[31m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") == table(
        shown, paint=unpainted
    ) + conclusion(shown, width=100)
    assert console.as_shown("\x1b[31mred\x1b[0m") == r"\x1b[31mred\x1b[0m"


# The commands


@pytest.mark.parametrize(
    "words",
    [
        ("run", TARGET, *FEW, "--in-process", "--diagnose", "1"),
        ("run", TARGET, "odd.py:gone", *FEW, "--in-process", "--verbose", "--diagnose", "0"),
        ("run", "odd.py:crash", *FEW),
        ("run", f"exec:{sys.executable} odd_program.py", *FEW),
        ("run", LONG),
        ("run", f"{NASTY}.py:build"),
        ("run", TARGET, "--only", NASTY),
        ("run", TARGET, *FEW, "--json", "-", "--in-process", "--diagnose", "0"),
        ("diagnose", TARGET, "--seconds", "1", "--only", "smoke", "values.output", "--in-process"),
        ("probe", TARGET, "--in-process"),
        ("replay", RECIPE, "--backend", TARGET, "--only", "smoke", "values", "--in-process"),
        ("replay", NASTY, "--backend", TARGET),
        ("replay", "--last", NASTY),
        ("explain", NASTY),
        ("new", "a\x1b[2J.py"),
    ],
    ids=lambda words: harmless(" ".join(words), 40),
)
def test_no_command_shows_what_controls_a_terminal(command: Command, hostile: Path, words: tuple[str, ...]) -> None:
    code, out, err = command(*words)
    assert code in (0, 1, 2, 3)
    assert out or err
    assert is_harmless(err)
    if "-" in words:
        assert json.loads(out)["backends"]
        assert out.isascii()
    else:
        assert is_harmless(out)


def test_names_that_are_listed_and_failures_that_are_replayed(command: Command, hostile: Path) -> None:
    assert command("run", TARGET, *FEW, "--in-process", "--diagnose", "0").code == 1
    assert find(TARGET).own_name == LONG
    listed = command("list").out
    assert is_harmless(listed)
    assert "octocat" in listed
    code, out, err = command("replay", "--last", "values.output", "--in-process")
    assert code == 1
    assert is_harmless(out + err)


def test_a_script_that_shows_a_failure_stays_a_script(command: Command, hostile: Path) -> None:
    """A line's end in a name would end the comment that the name stands in."""
    assert command("run", TARGET, *FEW, "--in-process", "--diagnose", "0", "--write", "scripts").code == 1
    scripts = list(Path("scripts").iterdir())
    assert scripts
    for path in scripts:
        written = path.read_text(encoding="utf-8")
        assert is_harmless(written)
        compile(written, str(path), "exec")


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_terminal_gets_no_codes_but_the_suites_own(hostile: Path) -> None:
    import pty  # noqa: PLC0415

    reading, writing = pty.openpty()
    line = [sys.executable, "-m", "conformance", "run", TARGET, *FEW, "--diagnose", "0"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "TERM": "xterm", **os.environ}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(line, env=environment, stdin=writing, stdout=writing, stderr=writing)
    os.close(writing)
    said = b""
    try:
        while piece := os.read(reading, 1 << 16):
            said += piece
    except OSError:
        pass
    assert process.wait() == 1
    shown = said.decode()
    assert "\x1b[31mnot conformant\x1b[0m" in shown
    # Colours, the bars' lines up, and the return to a line's beginning.
    assert is_harmless(re.sub(r"\x1b\[(31|32|0)m|\x1b\[A|\r", "", shown))


# Python's doors


def test_a_notebook_and_a_script_show_nothing_else(hostile: Path) -> None:
    report = check_backend(TARGET, cases=0, only=("smoke", "values.output"), diagnose=0)
    assert is_harmless(repr(report))
    assert is_harmless(str(report))
    assert is_harmless(report._repr_html_())
    assert len(report.to_dataframe()) == len(report.verdicts)


def test_pytest_shows_and_writes_nothing_else(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(odd=BACKEND.lstrip())
    pytester.makepyfile(
        "from conformance import conformance_tests\nfrom odd import bad\n"
        "test_odd = conformance_tests(bad, cases=0, only=('smoke', 'values.output', 'values.h_n'), diagnose=0)"
    )
    result = pytester.runpytest(
        "--lstm-backend",
        "odd.py:gone",
        "--lstm-cases",
        "0",
        "-v",
        "-rA",
        "--junit-xml",
        "junit.xml",
        "--lstm-diagnose",
        "0",
    )
    assert result.ret == 1
    assert is_harmless(str(result.stdout))
    assert is_harmless(str(result.stderr))
    xml = (pytester.path / "junit.xml").read_text(encoding="utf-8")
    assert is_harmless(xml, 3_000_000)
    assert len(list(ET.fromstring(xml.encode()).iter("testcase"))) > 5
