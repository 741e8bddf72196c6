"""The file of a report: its JSON Schema, its reading and its writing, for every report that a door makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import SAMPLES
from samples import lstm

from conformance import LSTMConfig, check_backend
from conformance.drivers.run import run
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Conditions, Degree, Diagnosis, Place, Trait
from conformance.report import schema as schemas
from conformance.report.data import FORMAT, dumps, loads, to_json
from conformance.report.model import Report
from conformance.report.records import decode, encode
from conformance.report.schema import schema
from conformance.spec import Params

PUBLISHED = Path(__file__).parents[1] / "docs" / "report.schema.json"


# The schema


def test_the_published_schema_is_that_of_the_records() -> None:
    again = "lstm-conformance report --schema > docs/report.schema.json"
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == schema(), again
    jsonschema.Draft202012Validator.check_schema(schema())


def test_every_field_is_described_and_no_other_is_allowed() -> None:
    objects = [schema(), *(each for each in schema()["$defs"].values() if each.get("type") == "object")]
    assert len(objects) > 30
    for each in objects:
        assert each["description"]
        assert each["additionalProperties"] is False
        assert [name for name, told in each["properties"].items() if not told["description"]] == []


def _records(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Every record that a record may hold, by name."""
    for inner in get_args(kind):
        _records(inner, found)
    if is_dataclass(kind) and isinstance(kind, type) and kind.__name__ not in found:
        found[kind.__name__] = kind
        for hint in get_type_hints(kind).values():
            _records(hint, found)
    return found


RECORDS = _records(Report, {})


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(RECORDS)).flatmap(lambda name: st.from_type(RECORDS[name])))
def test_the_writer_the_reader_and_the_schema_keep_to_one_rule(record: Any) -> None:
    """Of any record at all, with numbers that JSON does not have, whatever follows from it for a report left out."""
    data = json.loads(json.dumps(encode(record), allow_nan=False))
    assert encode(decode(type(record), data)) == data
    _bare(type(record).__name__).validate(data)


@cache
def _bare(record: str) -> jsonschema.Draft202012Validator:
    """The validator of a record as ``encode`` writes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas, "BESIDE", {})
        whole: dict[str, Any] = {}
        told = schemas._of(RECORDS[record], whole)
    return jsonschema.Draft202012Validator({**told, "$defs": {"number": schemas.schema()["$defs"]["number"], **whole}})


# What the doors write


def _valid(report: Report) -> dict[str, Any]:
    """The data of a file, which must keep to the published schema and come back from the model as they are."""
    text = dumps(report)
    data = json.loads(text)
    published = jsonschema.Draft202012Validator(json.loads(PUBLISHED.read_text(encoding="utf-8")))
    error = next(published.iter_errors(data), None)
    assert error is None, f"{error.json_path}: {error.message[:200]}"
    assert to_json(loads(text)) == data
    return data


def test_the_report_of_a_wrong_lstm_with_its_diagnosis() -> None:
    data = _valid(check_backend(f"{SAMPLES}:swapped", cases=5, only=["values", "refusals.rank"], diagnose=1))
    (backend,) = data["backends"]
    assert backend["diagnosis"]["message"]
    assert data["counts"]["failed"] > 1
    assert (data["complete"], data["conformant"]) == (True, False)


def test_a_quick_run_of_one_that_is_right_one_that_is_unavailable_and_one_that_there_is_not() -> None:
    targets = [f"{SAMPLES}:{name}" for name in ("right", "absent", "rihgt")]
    data = _valid(run(targets, Settings(only=("layout",), quick=True), isolation=None).report)
    assert [backend["backend"] for backend in data["backends"]] == targets[:2]
    assert (data["asked"]["targets"], data["asked"]["quick"]) == (targets, True)
    (error,) = data["errors"]
    assert (error["target"], error["defect"], data["complete"]) == (targets[2], False, False)
    assert "has no attribute 'rihgt'" in error["text"]


def test_the_report_of_an_isolated_backend_that_crashes() -> None:
    data = _valid(run([f"{SAMPLES}:crash"], Settings(cases=0, only=("values.output",))).report)
    assert data["counts"] == {"crashed": 1}


def test_an_interrupted_report() -> None:
    calls = iter(range(30))

    def interrupted(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        forward = lstm(config, params)

        def call(*given: Any) -> Any:
            if next(calls) == 29:
                raise KeyboardInterrupt
            return forward(*given)

        return call

    data = _valid(check_backend(interrupted, cases=0, only=["values", "layout"]))
    assert (data["complete"], data["backends"][0]["interrupted"]["how"]) == (False, "interrupted")
    assert data["counts"]["not run"] > 1


# What is no report


@cache
def _text() -> str:
    """The file of a backend that fails, for two causes."""
    report = check_backend(f"{SAMPLES}:swapped", cases=0, only=["values.output", "values.c_n"], diagnose=0)
    place = Place(
        tensors=("output",), gates=("i",), layers=(0,), first_step=1, steps=(1,), in_roundoffs={"float32": 9.0}
    )
    traits = Conditions((Trait("N", "=", "L"), Trait("H", ">=", 2)), failed=3, inside=3, failed_outside=0, outside=4)
    causes = (
        Cause(Degree.CONFIRMED, (Alteration("gate-order-iofg"),), explained=9, tried=9, explains=("values.output",)),
        Cause(Degree.LOCATED, conditions=traits, place=place, explains=("values.c_n",)),
    )
    (backend,) = report.backends
    return dumps(replace(report, backends=(replace(backend, diagnosis=Diagnosis(causes, calls=7)),)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no report: it is empty"),
        (" \n", "no report: it is empty"),
        ("[]", "no report: expected an object with the key 'format'"),
        ('"format"', "no report: expected an object with the key 'format'"),
        ('{"a": 1}', "no report: expected an object with the key 'format'"),
        ("<html>", "no JSON: expecting value at line 1, column 1"),
        ('{"format": 5}', f"the report has format 5, expected {FORMAT}"),
        ('{"format": true}', f"the report has format true, expected {FORMAT}"),
        (f'{{"format": {FORMAT}}}', f"no report of format {FORMAT}: the whole: expected an object with 'version'"),
        ('{"format": NaN}', "no JSON: NaN is no number of JSON"),
        ("[" * 100_000, "no report: it is nested too deep"),
        (f'{{"format": {"9" * 5000}}}', "no report: Exceeds the limit"),
    ],
    ids=lambda value: value[:20],
)
def test_what_is_no_report_is_refused_with_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        loads(text)
    assert str(raised.value).startswith(told)
    assert raised.value.hint


def test_a_report_that_is_cut_anywhere_says_so() -> None:
    text = _text()
    for end in range(1, len(text) - 2, 211):
        with pytest.raises(UsageError, match=r"it is cut off at line [0-9]+, column [0-9]+: its end is missing"):
            loads(text[:end])


def _places(data: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each part of data."""
    parts = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place, *(inner for step, part in parts for inner in _places(part, (*place, step)))]


def _changed(place: tuple[str | int, ...], value: object) -> str:
    data = json.loads(_text())
    at = data
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    return json.dumps(data)


@pytest.mark.parametrize("wrong", [[[]], {"kind": "Nothing"}, -1.5, "other", True, None], ids=str)
def test_a_wrong_type_in_any_field_is_refused_with_its_place_or_does_no_harm(wrong: object) -> None:
    data = json.loads(_text())
    refused = 0
    for place in _places(data)[1:]:
        told = _refusal(_changed(place, wrong))
        assert not told or "expected" in told, place
        refused += bool(told)
    assert refused > 20


def _refusal(text: str) -> str:
    """Why a text is no report; nothing if it is one, of which everything can be told."""
    try:
        to_json(loads(text))
    except UsageError as error:
        return str(error)
    return ""


def test_the_place_of_a_wrong_type_is_told() -> None:
    told = "no report of format 6: backends[0].verdicts[1].outcome: expected \"passed\" or .*, got 'fine'"
    with pytest.raises(UsageError, match=rf"^{told}".replace("[", r"\[").replace("]", r"\]")):
        loads(_changed(("backends", 0, "verdicts", 1, "outcome"), "fine"))
    with pytest.raises(UsageError, match=r"property: expected a property that lstm-conformance .* has, got 'no.such'"):
        loads(_changed(("backends", 0, "verdicts", 1, "property"), "no.such"))
    with pytest.raises(UsageError, match=r"verdicts\[1\].property: expected one verdict on each property, got"):
        loads(_changed(("backends", 0, "verdicts", 1, "property"), "values.output"))
