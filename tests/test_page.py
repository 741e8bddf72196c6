"""The page without a browser: it is one file, it is whole, and nothing in it is markup that somebody else wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import page_reports as reports
import pytest

from conformance.facts import Outcome
from conformance.report import page
from conformance.report.model import Report, Verdict
from conformance.report.page.backends import MARKS, mark_of, plain

#: Elements that have no end, and those whose text is no markup.
VOID = {"meta", "link", "input", "br", "rect", "circle", "path"}


class Parsed(HTMLParser):
    """The elements of a page in order, with what is wrong about their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> has no end" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> ends nothing")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def having(self, name: str) -> list[str]:
        """The values of an attribute, of all elements."""
        return [value or "" for _, attrs in self.tags for key, value in attrs.items() if key == name]


def data_of(text: str) -> dict[str, object]:
    """What the page's script draws from."""
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found)


@pytest.fixture(scope="module")
def small() -> str:
    return page.render(reports.small())


@pytest.fixture(scope="module")
def hostile() -> str:
    return page.render(reports.hostile())


def test_it_is_html_whose_elements_nest_and_whose_ids_are_unique(small: str, hostile: str) -> None:
    for text in (small, hostile, page.render(reports.incomplete())):
        parsed = Parsed(text)
        assert not parsed.wrong
        ids = parsed.having("id")
        assert len(ids) == len(set(ids))
        for name in ("aria-labelledby",):
            assert set(parsed.having(name)) <= set(ids)


def test_it_loads_nothing(small: str, hostile: str) -> None:
    """One file that a project puts on its site, or a person opens from a disk without a network."""
    for text in (small, hostile):
        parsed = Parsed(text)
        assert not [tag for tag, _ in parsed.tags if tag in ("img", "iframe", "object", "embed", "base", "form action")]
        assert not parsed.having("src")
        assert all(href.startswith(("#", "data:")) for href in parsed.having("href"))
        assert not re.search(r"@import|url\((?!data:)", text)
        assert "default-src 'none'" in text, "a browser would not load anything either"


def test_no_text_of_a_backend_becomes_markup(hostile: str) -> None:
    parsed = Parsed(hostile)
    #: The data, the page's own script, and no third.
    assert [attrs.get("type") for tag, attrs in parsed.tags if tag == "script"] == ["application/json", None]
    names = {name for _, attrs in parsed.tags for name in attrs}
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", hostile)
    assert hostile.encode(), "no half of a pair of surrogates"
    assert "49" not in "".join(each for each in parsed.texts if "{{" in each), "a template's own signs are text, too"


def test_names_of_100_kb_are_shown_shortened(hostile: str) -> None:
    assert "x" * 6001 not in hostile
    assert len(hostile) < 1_500_000


def test_signs_stand_for_what_is_no_text() -> None:
    assert plain("\x1b[31mred\x07") == "␛[31mred␇"
    assert plain("a\u202eb\u2028c") == "a⟨U+202E⟩b⟨U+2028⟩c"
    assert plain("two\nlines\tand a tab") == "two\nlines\tand a tab"
    assert plain("x" * 100, 10) == "x" * 9 + "…"


def test_backends_of_one_shortened_name_have_keys_of_their_own() -> None:
    names = ["y" * 70 + end for end in "abc"]
    text = page.render(reports.report(*map(reports.backend, names)))
    keys = [backend["key"] for backend in data_of(text)["backends"]]  # type: ignore[union-attr, index]
    assert len(set(keys)) == 3


def test_every_outcome_has_a_mark_of_its_own() -> None:
    verdicts = [Verdict("mine", "values.output", outcome) for outcome in Outcome]
    assert len({mark_of(verdict, strict=False) for verdict in verdicts}) == len(Outcome)
    guard = Verdict("mine", "refusals.rank", Outcome.FAILED)
    assert (mark_of(guard, strict=False), mark_of(guard, strict=True)) == ("g", "f")
    assert len({mark.sign for key, mark in MARKS.items() if key != "g"}) == len(MARKS) - 1, "colour is not all"


def test_an_incomplete_report_says_so_loudly() -> None:
    text = page.render(reports.incomplete())
    assert 'role="alert"' in text
    assert "This report is incomplete" in text
    assert "cut: interrupted after 3 cases" in text
    assert "not begun: never" in text
    assert "This report is incomplete" not in page.render(reports.small())


def test_a_failure_has_its_case_its_numbers_and_its_commands(small: str) -> None:
    data = data_of(small)
    swapped = data["backends"][1]  # type: ignore[index]
    detail = next(iter(swapped["details"].values()))
    assert detail["replay"].startswith("lstm-conformance replay 'I=1 H=3 L=2 N=1 state=both")
    assert detail["write"] == f"{detail['replay']} --write failure.py"
    assert ["input_size", "1"] in detail["config"]
    assert ["state", "h_0, c_0"] in detail["config"]
    numbers = {"at": "output[0, 0, 1]", "expected": "0.1", "actual": "0.101", "bound": "3e-07", "share": "3.33e+03"}
    assert detail["numbers"] == numbers
    output = detail["evidence"]["compared"][0]
    assert output[3][1] == [[0, 0, 1], "0.1", "0.101", "3.2e+03", 1]
    assert detail["cause"] == 0


def test_the_plots_have_their_numbers_as_tables(small: str) -> None:
    parsed = Parsed(small)
    charts = [attrs for tag, attrs in parsed.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(charts) == 5 + 2 * 4, "margins, error and time by two sizes; and those four of each backend"
    assert all(attrs.get("aria-label") for attrs in charts)
    assert small.count("<summary>Numbers</summary>") == len(charts)


@pytest.mark.parametrize("changed", [{"measured": ()}, {"choices": {}}, {"diagnosis": None}])
def test_a_report_that_lacks_something_has_a_page(changed: dict[str, object]) -> None:
    backend = replace(reports.backend("mine", ("values.output",)), **changed)  # type: ignore[arg-type]
    assert not Parsed(page.render(reports.report(backend))).wrong
    empty = Report("0.1.0", 0, 0, {}, ())
    assert not Parsed(page.render(empty)).wrong


def test_a_large_report_is_a_small_file() -> None:
    """40 backends, all properties, 500 failures with their arrays: under 5 MB."""
    large = reports.large()
    assert len(large.failures) == 500
    assert len(large.backends) * len(reports.IDS) >= 6000
    assert len(page.render(large).encode()) < 5_000_000
