"""The forms of a report for CI, for spreadsheets, for a README and for a notebook: valid, and true to the verdicts."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from junitparser import JUnitXml
from markdown_it import MarkdownIt
from reports import CAUSE, EVERY_OUTCOME, FAILED, RECIPE, RICH, backend, judged, report, verdict

from conformance.drivers import notebook
from conformance.drivers.notebook import ShownReport
from conformance.errors import UsageError
from conformance.facts import Diagnosis, Interruption, LeftOut, NoCase, Outcome, Quick, Said
from conformance.properties import catalogue
from conformance.report import badge, fragment, junit, markdown, spreadsheet
from conformance.report.model import BackendReport, Report

RIGHT = judged()
WRONG = replace(RIGHT, verdicts=(FAILED, *(v for v in RIGHT.verdicts if v.property != FAILED.property)))
CUT = backend(verdict("smoke.runs", Outcome.PASSED), interrupted=Interruption("interrupted", 3))
GONE = judged(Outcome.UNAVAILABLE, "gone")


def _shown(report: Report) -> ShownReport:
    return ShownReport(*(getattr(report, field.name) for field in fields(Report)))


# JUnit XML


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def _cases(report: Report) -> dict[str, ET.Element]:
    text = junit.render(report)
    schema().validate(text)
    return {case.attrib["name"]: case for case in ET.fromstring(text.encode()).iter("testcase")}


def test_each_property_of_a_backend_is_a_case_whose_ids_do_not_change() -> None:
    text = junit.render(report(replace(RIGHT, backend="my.py:MyLSTM")))
    schema().validate(text)
    [suite] = ET.fromstring(text.encode())
    assert suite.attrib["name"] == "my.py:MyLSTM"
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == list(catalogue())
    # Readers take what stands before a dot for a package.
    assert {case.attrib["classname"] for case in cases} == {"lstm-conformance.my_py:MyLSTM"}
    assert suite.attrib["time"] == "1.25"
    assert suite.attrib["timestamp"] == "2026-11-30T09:00:00"
    told = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert told["seed"] == "7"
    assert told["numpy"] == "2.0"
    assert told["complete"] == "true"


@pytest.mark.parametrize(
    ("id", "element", "kind", "message"),
    [
        ("smoke.runs", None, "", ""),
        ("values.output", "failure", "failed", "output[0, 0, 0] expected 1 got 2 bound 1.0e-07"),
        ("values.h_n", "error", "error", "forward raised ValueError: two"),
        ("values.c_n", "error", "crashed", "its process died"),
        ("sequence.long", "error", "timeout", "in a thread: no answer within 60 seconds"),
        ("values.gates", "skipped", "expected failure", "(expected: known: https://example.org/1)"),
        ("values.digital", "failure", "unexpected pass", "expected to fail: known"),
        ("layout.shapes", "skipped", "narrowed", "no bias"),
        ("dropout.rate", "skipped", "not declared", "dropout is not declared"),
        ("sizes.rows", "skipped", "not run", "left out by the profile"),
        ("refusals.rank", "skipped", "failed", "a guard, which counts if strict: output has shape (1,)"),
    ],
)
def test_each_outcome_is_the_element_that_readers_take_it_for(
    id: str, element: str | None, kind: str, message: str
) -> None:
    found = list(_cases(report(backend(*EVERY_OUTCOME)))[id])
    assert [(each.tag, each.attrib["type"]) for each in found] == ([(element, kind)] if element else [])
    assert all(message in each.attrib["message"] for each in found)


def test_a_missing_guard_is_a_failure_if_strict() -> None:
    [result] = _cases(report(backend(*EVERY_OUTCOME, strict=True)))["refusals.rank"]
    assert result.tag == "failure"


def test_a_failure_has_its_case_its_cause_and_the_line_that_replays_it() -> None:
    [result] = _cases(report(backend(FAILED, diagnosis=Diagnosis((CAUSE,)))))["values.output"]
    told = result.text or ""
    assert "smallest  LSTM(1→1) L=2 N=1" in told
    assert f"replay    lstm-conformance replay '{RECIPE}' --backend mine --only values.output" in told
    assert "cause     The reverse half of the output stays in reverse time" in told


def test_what_makes_a_backend_not_conformant_is_never_green() -> None:
    """Nothing of what was declared was there, so that nothing failed either."""
    narrowed = replace(verdict("values.output", Outcome.NARROWED, NoCase()), cases=0)
    whole = report(backend(verdict("smoke.runs", Outcome.PASSED), narrowed))
    assert not whole.conformant
    assert [each.tag for each in _cases(whole)["values.output"]] == ["failure"]


@pytest.mark.parametrize(("how", "element"), [("interrupted", "error"), ("given up", "error"), ("stopped", "skipped")])
def test_a_run_without_an_end_says_so(how: str, element: str) -> None:
    cut = replace(CUT, interrupted=Interruption(how, 3, "it died"))
    [result] = _cases(report(cut))["run.complete"]
    assert (result.tag, result.attrib["type"]) == (element, "incomplete")
    [result] = _cases(report(RIGHT, missing=("late",)))["run.complete"]
    assert (result.tag, result.attrib["type"]) == ("error", "not run")


def test_the_counts_are_those_that_another_reader_counts() -> None:
    text = junit.render(RICH)
    schema().validate(text)
    read = JUnitXml.fromstring(text.encode())
    told = [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read]
    for suite in read:
        suite.update_statistics()
    assert told == [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in read]
    assert (read.tests, read.failures, read.errors) == tuple(sum(each) for each in zip(*told, strict=True))[:3]


# Badges


def _partly() -> BackendReport:
    return replace(RIGHT, verdicts=RIGHT.verdicts[:5])


@pytest.mark.parametrize(
    ("told", "message", "color"),
    [
        (report(RIGHT), f"training · {len(catalogue())}/{len(catalogue())}", "brightgreen"),
        (report(WRONG), f"not conformant · 1 of {len(catalogue())} fail", "red"),
        (report(CUT), "incomplete", "lightgrey"),
        (report(RIGHT, missing=("late",)), "incomplete", "lightgrey"),
        (report(replace(CUT, verdicts=(FAILED,))), "not conformant · 1 of 1 fail", "red"),
        (report(_partly()), "in part · 5 of 5 hold", "lightgrey"),
        (
            report(replace(RIGHT, quick=Quick(9, 60))),
            f"in part · {len(catalogue())} of {len(catalogue())} hold",
            "lightgrey",
        ),
        (
            report(backend(FAILED, verdict("sizes.rows", Outcome.NOT_RUN, LeftOut()), quick=Quick(9, 60))),
            "not conformant · 1 of 1 fail",
            "red",
        ),
        (report(GONE), "unavailable", "lightgrey"),
        (report(), "unavailable", "lightgrey"),
        (report(RIGHT, replace(RIGHT, backend="other"), GONE), "conformant · 2 of 2 backends", "brightgreen"),
        (report(RIGHT, replace(WRONG, backend="other")), "not conformant · 1 of 2 backends", "red"),
        (report(RIGHT, replace(_partly(), backend="other")), "conformant · 1 of 2 backends", "lightgrey"),
        (report(backend(replace(verdict("smoke.runs", Outcome.NARROWED, NoCase()), cases=0))), "not conformant", "red"),
    ],
)
def test_a_badge_claims_no_more_than_was_judged(told: Report, message: str, color: str) -> None:
    written = json.loads(badge.endpoint(told))
    assert written == {
        "schemaVersion": 1,
        "label": "LSTM conformance",
        "message": message,
        "color": color,
        "isError": color == "red",
    }


def test_the_picture_can_be_heard_and_needs_nothing_from_elsewhere() -> None:
    text = badge.svg(report(WRONG))
    root = ET.fromstring(text.encode())
    name = f"LSTM conformance: not conformant · 1 of {len(catalogue())} fail"
    assert root.attrib["aria-label"] == root.findtext("{http://www.w3.org/2000/svg}title") == name
    assert root.attrib["role"] == "img"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"\bid=|href|url\(", text), "two of them on one page do not meet"
    assert badge.svg(report(WRONG)) == text


# CSV and data frames


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_each_verdict_is_a_row() -> None:
    rows = _rows(spreadsheet.render(RICH))
    assert list(rows[0]) == list(spreadsheet.COLUMNS)
    assert [(row["backend"], row["property"], row["outcome"]) for row in rows] == [
        (b.backend, v.property, str(v.outcome)) for b in RICH.backends for v in b.verdicts
    ]
    failed = next(row for row in rows if row["property"] == "values.output")
    assert failed["message"] == "output[0, 0, 0] expected 1 got 2 bound 1.0e-07"
    assert (failed["spoils"], failed["worst"], failed["margin"], failed["complete"]) == (
        "true",
        "2000000.0",
        "",
        "true",
    )
    assert {row["complete"] for row in rows if row["backend"] == "third"} == {"false"}


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "  =", "\n=", "＝"])
def test_no_cell_is_a_formula(begin: str) -> None:
    told = report(backend(replace(verdict("smoke.runs", Outcome.ERROR, Said(f"{begin}1+1")), smallest="=2")))
    [row] = _rows(spreadsheet.render(told))
    assert row["message"][0] in "'\\"
    assert row["smallest"] == "'=2"


def test_a_data_frame_has_the_columns_of_the_file_with_their_types() -> None:
    frame = _shown(RICH).to_dataframe()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == spreadsheet.COLUMNS
    assert len(frame) == len(RICH.verdicts)
    assert list(frame.loc[frame["spoils"], "outcome"]).count("failed") == 1
    assert max(frame["margin"].dropna()) == 0.1
    assert len(_shown(report()).to_dataframe()) == 0


def test_a_data_frame_without_pandas_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="to_dataframe needs pandas") as error:
        _shown(RICH).to_dataframe()
    assert "pip install pandas" in error.value.hint


# Markdown and the notebook


class Elements(HTMLParser):
    """What stands in HTML: the elements in their order, their attributes, and the text of each kind of element."""

    _VOID = ("br", "img", "hr", "input", "meta", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self._VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self._open[-1:]:
            self.text.setdefault(tag, []).append(data)


def html_of(told: Report) -> str:
    """The Markdown of a report as GitHub would read it, but for its sanitizer: raw HTML stays."""
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown.render(told))


def test_markdown_begins_with_the_answer_and_folds_the_rest() -> None:
    found = Elements(html_of(RICH))
    assert found.text["h2"] == [
        "LSTM conformance: 2 not conformant, 1 interrupted, 1 unavailable; 1 with expected failures"
    ]
    assert found.tags.index("h2") < found.tags.index("table") < found.tags.index("details")
    assert found.tags.count("details") == len(RICH.backends)
    assert found.tags.count("tr") == 1 + len(RICH.backends)
    assert found.text["strong"][0] == "Incomplete:"
    assert any(CAUSE.fix in text for text in found.text["code"])
    assert ("code", "class", "language-python") in found.attributes
    assert any("replay" in text and "--only values.c_n" in text for text in found.text["code"])


def test_a_summary_stays_below_the_size_at_which_it_would_be_cut() -> None:
    said = Said(("é" * 60 + "\n") * 15)
    wrong = judged(Outcome.FAILED, note="é" * 7000)
    wrong = replace(wrong, verdicts=tuple(replace(v, fact=said) for v in wrong.verdicts))
    text = markdown.render(report(*(replace(wrong, backend=f"backend-{k}") for k in range(40))))
    assert len(text.encode()) < 1 << 20
    found = Elements(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))
    assert found.tags.count("details") == 40
    left = re.findall(r"\*\*Left out here: (\d+) of (\d+)\*\*", text)
    assert len(left) == 40
    shown = len(re.findall(r"^\w[\w.-]+ \(failed\): ", text, re.MULTILINE))
    assert shown == sum(int(all) - int(out) for out, all in left) > 40


def test_a_small_summary_leaves_nothing_out() -> None:
    text = markdown.render(report(WRONG))
    assert "Left out" not in text
    assert len(text) < 3000


FORMS: list[Callable[[Report], str]] = [markdown.render, fragment.render]


@pytest.mark.parametrize("render", FORMS)
def test_what_was_not_judged_is_told(render: Callable[[Report], str]) -> None:
    left_out = verdict("sizes.rows", Outcome.NOT_RUN, LeftOut())
    assert "left out by the profile" in render(report(backend(verdict("smoke.runs", Outcome.PASSED), left_out)))
    assert "Incomplete" in render(report(CUT))
    assert "Incomplete" not in render(report(RIGHT))


def test_a_notebook_shows_the_report_as_html_that_loads_and_runs_nothing() -> None:
    told = _shown(RICH)._repr_html_()
    found = Elements(told)
    assert found.text["th"][: len(RICH.backends)][:2] == ["backend", "level"]
    assert set(found.tags) <= {
        *("div", "style", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "span"),
        *("pre", "code", "details", "summary", "ul", "li"),
    }
    assert {name for _, name, _ in found.attributes} <= {"class", "scope", "aria-hidden"}
    rules = re.findall(r"^(.*?) \{", "".join(found.text["style"]), re.MULTILINE)
    assert all(rule.startswith(".lstm-conformance") for rule in rules)
    assert any(CAUSE.fix in text for text in found.text["code"])


def test_a_notebook_stays_small() -> None:
    told = fragment.render(report(*(judged(Outcome.FAILED, f"b{k}") for k in range(10))))
    assert len(told) < 200_000
    assert f"And {len(judged(Outcome.FAILED).bad) - 20} more" in told


def test_reports_of_no_backends_have_every_form() -> None:
    renderings: list[Callable[[Any], str]] = [junit.render, markdown.render, fragment.render, spreadsheet.render]
    assert all(render(report()) for render in [*renderings, badge.svg, badge.endpoint])
