"""The weights of a model's file beside the trained ones, in every form of a report: none is greener than another."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import page_reports
import pytest
import xmlschema
from programs import Command
from reports import NASTY, judged, report
from test_page import Parsed, data_of

from conformance.drivers.showing import exit_code
from conformance.errors import UsageError
from conformance.facts.weights import Likeness, Taken, WeightsCompared
from conformance.report import badge, junit, markdown, page, spreadsheet
from conformance.report.conclusion import conclusion
from conformance.report.data import dumps
from conformance.report.difference import compare
from conformance.report.difference_text import told
from conformance.report.difference_weights import Became
from conformance.report.merging import Part, merge
from conformance.report.model import Report
from conformance.report.names import named

EQUAL = WeightsCompared("m.onnx", "/enc/LSTM", "t.npz", "enc", Likeness.EQUAL)
ROUNDED = replace(EQUAL, likeness=Likeness.ROUNDED, dtype="float16", largest=1e-4)
GATES = Taken(("weight_ih_l0",), gates="ifgo")
WRONG = replace(EQUAL, likeness=Likeness.DIFFERENT, gates="iofg", taken=(GATES,))
NEAR = replace(EQUAL, likeness=Likeness.NEAR, largest=0.01)
UPPER = WeightsCompared("m.onnx", "/enc/LSTM_1", "t.npz", "enc, layer 1", Likeness.EQUAL)
MISSING = WeightsCompared("m.onnx", "", "t.npz", "enc, layer 1", Likeness.MISSING)
GATES_TOLD = "weight_ih_l0: the gates stand in the order i, f, g, o, the format has i, o, f, g"


def _with(*weights: WeightsCompared) -> Report:
    """A report of a run in which every runtime is right."""
    whole = report(judged())
    return replace(whole, asked=replace(whole.asked, weights=weights))


def _junit(*weights: WeightsCompared) -> dict[str, ET.Element]:
    text = junit.render(_with(*weights))
    xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd")).validate(text)
    root = ET.fromstring(text.encode())
    cases = {case.attrib["name"]: case for case in root.iter("testcase")}
    assert root.attrib["tests"] == str(len(cases))
    assert root.attrib["failures"] == str(sum(case.find("failure") is not None for case in cases.values()))
    return {name: case for name, case in cases.items() if name.startswith("weights.")}


def _rows(*weights: WeightsCompared) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(spreadsheet.render(_with(*weights))))
    return [row for row in rows if row["group"] == "weights"]


@pytest.mark.parametrize("wrong", [WRONG, NEAR, MISSING, replace(EQUAL, likeness=Likeness.UNMATCHED)])
def test_wrong_weights_are_red_in_every_form_as_they_make_the_exit_code_1(wrong: WeightsCompared) -> None:
    """Also where every runtime is right: no form says that all is well."""
    whole = _with(UPPER, wrong)
    assert exit_code(whole) == 1
    assert not whole.conformant
    assert conclusion(whole).startswith("not conformant: the weights of m.onnx are not those of t.npz: ")
    assert markdown.render(whole).startswith("## LSTM conformance: not conformant, the weights are not the trained")
    assert json.loads(badge.endpoint(whole))["isError"]
    assert "misconverted" in Parsed(page.render(whole)).having("class")
    assert sum(case.find("failure") is not None for case in _junit(UPPER, wrong).values()) == 1
    assert [row["spoils"] for row in _rows(UPPER, wrong)] == ["false", "true"]


@pytest.mark.parametrize(
    ("right", "how"),
    [
        (EQUAL, "equal to the last bit"),
        (replace(EQUAL, merged=True), "equal, with biases merged or exchanged"),
        (ROUNDED, "1 of them rounded to float16"),
    ],
)
def test_right_weights_are_one_quiet_line(right: WeightsCompared, how: str) -> None:
    whole = _with(right, UPPER)
    assert exit_code(whole) == 0
    assert "weights" not in conclusion(whole)
    summary = markdown.render(whole)
    assert f"\n✅ the weights of `m.onnx` are those of `t.npz`: 2 LSTMs, {how}.\n" in summary
    assert summary.startswith("## LSTM conformance: conformant\n")
    assert "not conformant" not in badge.endpoint(whole)
    text = page.render(whole)
    assert text.count(f"the weights of m.onnx are those of t.npz: 2 LSTMs, {how}") == 1
    assert "misconverted" not in Parsed(text).having("class")


def test_a_wrong_conversion_is_named_with_its_tensors_in_every_form() -> None:
    whole = _with(WRONG)
    assert GATES_TOLD in markdown.render(whole)
    assert GATES_TOLD in page.render(whole)
    [case] = _junit(WRONG).values()
    failure = case.find("failure")
    assert failure is not None
    assert failure.attrib == {"message": f"enc, converted wrongly; {GATES_TOLD}", "type": "different"}
    [row] = _rows(WRONG)
    assert (row["backend"], row["property"], row["outcome"]) == ("m.onnx:t.npz", "weights./enc/LSTM", "failed")
    assert row["message"] == f"enc, converted wrongly; {GATES_TOLD}"


def test_the_ids_in_junit_are_the_same_whatever_came_of_the_weights() -> None:
    """A CI service tells by them that a test fails now which passed."""
    for one, other in ((EQUAL, WRONG), (EQUAL, NEAR), (ROUNDED, EQUAL)):
        assert [case.attrib for case in _junit(one).values()] == [case.attrib for case in _junit(other).values()]
    [case] = _junit(EQUAL).values()
    assert case.attrib == {"name": "weights./enc/LSTM", "classname": "lstm-conformance.m_onnx:t_npz"}
    assert [*_junit(EQUAL, MISSING)] == ["weights./enc/LSTM", "weights.enc, layer 1"]


def test_on_the_page_the_lstm_has_its_weights_in_its_own_view() -> None:
    whole = page_reports.misconverted()
    text = page.render(whole)
    assert text.index("not those of") < text.index('class="hero"'), "it is the first thing on the page"
    shown = [dict(one["facts"]).get("weights", "") for one in data_of(text)["backends"]]  # type: ignore[union-attr, index]
    assert [each[:5] for each in shown] == ["✕ enc", "✓ dec", "✓ enc"]


def test_no_name_in_a_models_file_is_markup() -> None:
    bad = replace(WRONG, file=NASTY, lstm=NASTY, weights=NASTY, trained=NASTY, unrelated=(NASTY,))
    for own in (_with(bad), _with(replace(bad, likeness=Likeness.EQUAL))):
        parsed = Parsed(page.render(own))
        assert not parsed.wrong
        assert not [tag for tag, _ in parsed.tags if tag == "img"]
        junit.render(own)
        assert "\x1b" not in markdown.render(own) + conclusion(named(own))


def test_a_summary_says_that_it_leaves_weights_out() -> None:
    many = [replace(WRONG, lstm=f"{'x' * 100}{k}") for k in range(2000)]
    text = markdown.render(_with(*many))
    assert len(text.encode()) < markdown.MOST
    assert "**Left out here: what else is known of weights**" in text


# merge and diff


def test_parts_of_a_run_must_have_found_the_same_weights() -> None:
    parts = [Part("a.json", _with(EQUAL, UPPER)), Part("b.json", _with(WRONG, UPPER))]
    assert merge([parts[0], parts[0]]).asked.weights == (EQUAL, UPPER)
    with pytest.raises(UsageError, match=r"b\.json and a\.json differ in weights\./enc/LSTM of m\.onnx"):
        merge(parts)


@pytest.mark.parametrize(
    ("old", "new", "became", "worse", "whole"),
    [
        ((EQUAL,), (EQUAL,), [], False, True),
        ((EQUAL,), (WRONG,), [Became.WRONG], True, True),
        ((ROUNDED,), (NEAR,), [Became.WRONG], True, True),
        ((WRONG,), (EQUAL,), [Became.RIGHT], False, True),
        ((WRONG,), (NEAR,), [Became.ALTERED], False, True),
        ((EQUAL,), (ROUNDED,), [Became.ALTERED], False, True),
        ((EQUAL, UPPER), (EQUAL, MISSING), [Became.NOT_COMPARED, Became.WRONG], True, False),
        ((EQUAL, MISSING), (EQUAL, UPPER), [Became.RIGHT, Became.NEWLY_COMPARED], False, True),
        ((EQUAL,), (), [Became.NOT_COMPARED], False, False),
        ((MISSING,), (), [Became.NOT_COMPARED], False, False),
        ((), (EQUAL,), [Became.NEWLY_COMPARED], False, True),
        ((), (WRONG,), [Became.WRONG], False, True),
    ],
)
def test_what_becomes_of_weights(
    old: tuple[WeightsCompared, ...], new: tuple[WeightsCompared, ...], became: list[Became], worse: bool, whole: bool
) -> None:
    """Of a file that is new, wrong weights are told and do not count, as failures of a new backend do not."""
    difference = compare(_with(*old), _with(*new))
    assert [each.became for each in difference.weights] == became
    assert (difference.worse, difference.whole) == (worse, whole)


def test_a_difference_begins_with_the_weights_that_became_wrong() -> None:
    text = told(compare(_with(EQUAL, UPPER), _with(WRONG, UPPER)))
    assert text.splitlines()[:5] == [
        "worse: 1 LSTM that got wrong weights",
        "",
        "weights are wrong now (1)",
        "  m.onnx: /enc/LSTM  equal → different",
        "    enc, converted wrongly",
    ]
    text = told(compare(_with(EQUAL), _with(ROUNDED)))
    assert text.startswith("nothing became worse\n")
    assert "    was  enc, equal to the last bit\n    now  enc, rounded to float16" in text


@pytest.mark.parametrize(("old", "new", "code"), [(EQUAL, WRONG, 1), (WRONG, EQUAL, 0), (EQUAL, None, 3)])
def test_the_exit_code_of_diff_counts_weights(
    command: Command, old: WeightsCompared, new: WeightsCompared | None, code: int
) -> None:
    for name, whole in (("old.json", _with(old)), ("new.json", _with(*filter(None, [new])))):
        Path(name).write_text(dumps(whole), encoding="utf-8")
    printed = command("diff", "old.json", "new.json", "--json", "d.json")
    assert printed.code == code
    assert len(json.loads(Path("d.json").read_text(encoding="utf-8"))["weights"]) == 1
