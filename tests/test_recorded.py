"""Recordings: what answers show is judged as live, what they do not show is never passed, files are read with care."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import Command

from benchmarks.recorded import answered
from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import parse
from conformance.diagnosis.diagnose import diagnose
from conformance.drivers.run import make_report
from conformance.drivers.showing import exit_code
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.facts import Degree, Outcome, Trait, Undeclared, Unshown
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.faults.twin import Twin
from conformance.processes.message import Message, encode
from conformance.processes.wire.server import serve
from conformance.recorded.answers import Answers, answers_in
from conformance.recorded.asking import asked
from conformance.recorded.container import Container, read, write
from conformance.recorded.judging import Judged, judge_recording
from conformance.recorded.playback import Answer, Collector
from conformance.recorded.recording import FORMS, INDEX, WIRE, Recording, held, load, save
from conformance.recorded.target import recorded, target_of
from conformance.report import where
from conformance.spec import LSTMConfig
from conformance.targets.find import find

CAPABILITIES = Capabilities(lengths=True)
SETTINGS = Settings(0, only=("layout", "values.output", "lengths.zero-output", "sequence.chunks", "purity", "refusals"))


@pytest.fixture(scope="module")
def collector() -> Collector:
    return asked(CAPABILITIES, SETTINGS)


@pytest.fixture(scope="module")
def recording(collector: Collector) -> Recording:
    return held(collector, CAPABILITIES, SETTINGS)


@pytest.fixture(scope="module")
def right(collector: Collector) -> Answers:
    return answered(collector, find("numpy"))


@pytest.fixture(scope="module")
def faulty(collector: Collector) -> Answers:
    return answered(collector, backend_of(FAULTS["gate-order-iofg"]))


@pytest.fixture
def few(collector: Collector) -> Collector:
    """The calls of three small models."""
    chosen = sorted(collector.models, key=lambda id: sum(v.nbytes for v in collector.models[id].params.values()))[:3]
    less = Collector(CAPABILITIES)
    less.models = {id: collector.models[id] for id in chosen}
    less.calls = {id: collector.calls[id] for id in chosen}
    return less


def outcomes(judged: Judged) -> dict[str, Outcome]:
    return {verdict.property: verdict.outcome for verdict in judged.report.verdicts}


# What recorded answers show


def test_right_answers_are_conformant_and_no_more(recording: Recording, right: Answers) -> None:
    judged = judge_recording(recording, right, "numpy")
    told = outcomes(judged)
    assert judged.report.conformant
    assert told["values.output"] == told["lengths.zero-output"] == told["layout.final-state"] == Outcome.PASSED
    for verdict in judged.report.verdicts:
        if verdict.property.startswith(("purity", "refusals")):
            assert verdict.outcome == Outcome.NOT_DECLARED, "what is looked up twice is alike, and shows nothing"
            assert isinstance(verdict.fact, Undeclared)


def test_calls_that_take_an_earlier_answer_are_not_shown(recording: Recording, right: Answers) -> None:
    judged = judge_recording(recording, right, "numpy")
    (chunks,) = (verdict for verdict in judged.report.verdicts if verdict.property == "sequence.chunks")
    assert chunks.outcome == Outcome.NOT_RUN
    assert isinstance(chunks.fact, Unshown)
    assert chunks.fact.unrecorded == chunks.fact.cases > 0
    assert not judged.missing


def test_a_fault_fails_as_in_a_live_run(recording: Recording, faulty: Answers) -> None:
    backend = replace(backend_of(FAULTS["gate-order-iofg"]), capabilities=replace(CAPABILITIES, threads=False))
    live = conform(replace(backend, ruled_out=frozenset({"views", "memory"})), replace(SETTINGS, shrink=False))
    judged = judge_recording(recording, faulty, "faulty")
    expected = {verdict.property: verdict.outcome for verdict in live.verdicts}
    told = {id: one for id, one in outcomes(judged).items() if one in (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR)}
    assert told == {id: expected[id] for id in told}
    assert told["values.output"] == Outcome.FAILED


def test_a_cause_is_confirmed_by_recorded_calls_alone(recording: Recording, faulty: Answers) -> None:
    judged = judge_recording(recording, faulty, "faulty")
    found = diagnose(judged.judge, judged.report)
    assert [(cause.degree, cause.alterations[0].fault) for cause in found.causes] == [
        (Degree.CONFIRMED, "gate-order-iofg")
    ]


def spoilt_where(when: Callable[[LSTMConfig, Any], bool]) -> Backend:
    """A correct LSTM whose output is too large where ``when`` says so of its config and lengths."""

    def build(config: LSTMConfig, params: Any) -> Callable[..., Any]:
        model = Twin().build(config, params)

        def forward(x: Any, state: Any = None, lengths: Any = None) -> Any:
            output, finals = model(x, state) if lengths is None else model(x, state, lengths)
            return (output * 1.01 if when(config, lengths) else output), finals

        return forward

    return Backend("spoilt", Capabilities(), build)


def test_conditions_are_told_by_recorded_cases_alone() -> None:
    """No alteration of the catalogue needs lengths and several layers, and no case can be asked again."""
    capabilities, settings = Capabilities(layers=True, lengths=True), Settings(0, only=("values.output",))
    collector = asked(capabilities, settings)
    backend = spoilt_where(lambda config, lengths: config.num_layers > 1 and lengths is not None)
    judged = judge_recording(held(collector, capabilities, settings), answered(collector, backend), "spoilt")
    found = diagnose(judged.judge, judged.report, 60.0, known=judged.cases)
    [cause] = found.causes
    # The case at which it was met has a state, and nothing took it away.
    assert parse(judged.report.bad[0].recipe or "").state == "both"
    assert "without a state" not in found.right
    assert cause.degree == Degree.LOCATED
    assert cause.conditions is not None
    assert {*cause.conditions.traits} == {Trait("layers", ">=", 2), Trait("ragged", "=", True)}
    assert cause.conditions.recorded
    assert cause.conditions.exact
    assert "recorded cases; 0 of" in where.conditions(cause.conditions)


# What dropout makes random


@pytest.fixture(scope="module")
def dropping() -> tuple[Collector, Recording]:
    capabilities, settings = Capabilities(layers=True, dropout=True), Settings(0, only=("dropout",))
    collector = asked(capabilities, settings)
    return collector, held(collector, capabilities, settings)


def test_each_random_call_has_an_answer_of_its_own(
    dropping: tuple[Collector, Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is made twice is recorded twice: one answer to both would be a mask for every call."""
    fresh, seeds = np.random.default_rng, count()
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: fresh([0, next(seeds)] if seed is None else seed))
    collector, recording = dropping
    judged = judge_recording(recording, answered(collector, twin_backend()), "twin")
    told = outcomes(judged)
    assert not judged.missing
    assert judged.report.conformant
    shown = {"evaluation", "nothing", "everything", "first-layer", "elements", "rate", "independence"}
    assert {id for id, outcome in told.items() if outcome == Outcome.PASSED} == {f"dropout.{name}" for name in shown}
    assert told["dropout.threads"] == Outcome.NOT_DECLARED


@pytest.mark.parametrize(
    ("fault", "property"),
    [
        ("dropout-seeded-at-each-call", "dropout.independence"),
        ("dropout-keeps-p", "dropout.everything"),
        ("dropout-a-tenth-less", "dropout.rate"),
        ("dropout-of-the-output", "dropout.elements"),
        ("dropout-scaled-in-evaluation", "dropout.evaluation"),
    ],
)
def test_a_fault_of_dropout_shows(dropping: tuple[Collector, Recording], fault: str, property: str) -> None:
    collector, recording = dropping
    judged = judge_recording(recording, answered(collector, backend_of(FAULTS[fault])), fault)
    assert outcomes(judged)[property] == Outcome.FAILED


# What was not answered is never passed


def test_one_call_without_an_answer_spoils_what_needs_it(recording: Recording, right: Answers) -> None:
    shared = next(iter(recording.calls & {*right.found}))
    less = Answers({id: one for id, one in right.found.items() if id != shared})
    judged = judge_recording(recording, less, "numpy")
    assert judged.missing == (shared,)
    assert not judged.report.conformant
    assert exit_code(make_report(judged.settings, [judged.report])) == 3


def test_an_answer_without_one_of_its_results_is_none(recording: Recording, right: Answers) -> None:
    """A call that only the diagnosis takes is not looked at while nothing fails: half an answer to it passed."""
    last = [call for file in recording.files for call in file.calls][-1]
    arrays = {name: value for name, value in right.found[last].arrays.items() if name != "c_n"}
    judged = judge_recording(recording, Answers({**right.found, last: Answer(arrays)}), "numpy")
    assert judged.missing == (last,)
    assert exit_code(make_report(judged.settings, [judged.report])) == 3


def test_nothing_passes_without_answers(recording: Recording) -> None:
    judged = judge_recording(recording, Answers(), "nobody")
    assert {*outcomes(judged).values()} <= {Outcome.NOT_RUN, Outcome.NOT_DECLARED}
    assert len(judged.missing) == len(recording.calls)
    assert exit_code(make_report(judged.settings, [judged.report])) == 3


def test_an_error_is_an_answer(recording: Recording, right: Answers) -> None:
    """A program that does not have something is narrowed, and one that fails is wrong."""
    for kind, outcome in (("unsupported", Outcome.NARROWED), ("failed", Outcome.ERROR)):
        broken = Answers({id: Answer(error=kind, message="no memory left") for id in right.found})
        judged = judge_recording(recording, broken, kind)
        assert outcomes(judged)["values.output"] == outcome
        assert not judged.report.conformant


# Files


@pytest.mark.parametrize("form", FORMS)
def test_calls_and_answers_pass_through_files(form: str, few: Collector, tmp_path: Path) -> None:
    recording = load(save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, form).folder)
    expected = answered(few, find("numpy"))
    if form == WIRE:
        requests, responses = (tmp_path / f"calls/calls{end}" for end in (".requests", ".responses"))
        responses.write_bytes(respond(requests.read_bytes()))
    else:
        arrays = {f"{id}.{part}": v for id, one in expected.found.items() for part, v in one.arrays.items()}
        write(tmp_path / f"calls/answers.{form}", Container({"name": "mine"}, arrays))
    answers = answers_in(recording)
    assert recording.calls == {*expected.found} == {*answers.found}
    for id, one in answers.found.items():
        for part, value in one.arrays.items():
            np.testing.assert_array_equal(value, expected.found[id].arrays[part])
    assert answers.name in ("mine", "numpy")


def respond(requests: bytes) -> bytes:
    """What the reference server answers to a file of requests."""
    incoming, outgoing = os.memfd_create("in"), os.memfd_create("out")
    os.write(incoming, requests)
    os.lseek(incoming, 0, 0)
    serve(find("numpy"), incoming, outgoing)
    os.lseek(outgoing, 0, 0)
    found = os.read(outgoing, 1 << 24)
    os.close(incoming)
    os.close(outgoing)
    return found


def test_two_exports_are_alike(few: Collector, tmp_path: Path) -> None:
    """Files can be compared, cached and checksummed."""
    for name in "ab":
        save(tmp_path / name, few, CAPABILITIES, SETTINGS, "npz")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_the_documented_reader_reads_a_file_of_calls(
    few: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program of docs/recorded.md, around NumPy alone."""
    save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, "npz")
    page = (Path(__file__).parents[1] / "docs/recorded.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    numpy = find("numpy")
    given: dict[str, Any] = {"my_lstm": lambda config, params: numpy.build(configured(config), params)}
    exec(code, given)
    assert {*answers_in(load(tmp_path / "calls")).found} == {call for calls in few.calls.values() for call in calls}


def configured(config: dict[str, Any]) -> LSTMConfig:
    return LSTMConfig(**config)


@pytest.mark.parametrize("kind", [".npz", ".safetensors", ".json"])
def test_every_number_comes_back(kind: str, tmp_path: Path) -> None:
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45, 0.1, 3.4e38], np.float32)
    arrays = {
        "a.x": values,
        "a.y": values.astype(np.float64).reshape(7, 1),
        "n": np.array([2**53 + 1]),
        "e": np.zeros((0, 3)),
    }
    write(tmp_path / f"file{kind}", Container({"name": "σ\n"}, arrays))
    back = read(tmp_path / f"file{kind}")
    assert back.fields == {"name": "σ\n"}
    for name, value in arrays.items():
        assert back.arrays[name].dtype == value.dtype
        assert back.arrays[name].shape == value.shape
        assert back.arrays[name].tobytes() == value.tobytes()


def npz(*entries: tuple[str, bytes]) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name, data in entries:
                file.writestr(name, data)

    return made


def array(shape: str, dtype: str = "<f4", data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    return with_header(f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}", data, version)


def with_header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    head = text.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(head)) + head + data


def pickled(path: Path) -> None:
    np.savez(path, x=np.array([{"a": 1}], object))


def cut(path: Path) -> None:
    np.savez(path, x=np.zeros(99))
    path.write_bytes(path.read_bytes()[:-60])


def spoilt(path: Path) -> None:
    np.savez(path, x=np.zeros(99))
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)


HOSTILE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("a.npz", lambda path: path.write_bytes(b"PK nothing"), "it is no .npz file, or not whole"),
    ("a.npz", cut, "it is no .npz file, or not whole"),
    ("a.npz", spoilt, "it is no .npz file, or not whole"),
    ("a.npz", pickled, "entry 'x' holds Python objects (a pickle), which are never loaded"),
    ("a.npz", npz(("x.npy", array("(4,)", data=bytes(16))), ("x.npy", b"")), "entry 'x' comes twice"),
    ("a.npz", npz(("x.npy", array("(1000000000000,)"))), "entry 'x' has 0 bytes of elements"),
    ("a.npz", npz(("x.npy", array("(2,)", "<U3", bytes(24)))), "entry 'x' is an array of texts"),
    ("a.npz", npz(("x.npy", array("(2,)", "<c8", bytes(16)))), "entry 'x' is complex64"),
    ("a.npz", npz(("x.npy", array("(2,)", "<f4", bytes(8), b"\x09\x00"))), "of version (9, 0)"),
    ("a.npz", npz(("x.npy", b"nothing")), "entry 'x' is no array"),
    ("a.npz", npz(("x.npy", with_header("{'descr': ((("))), "entry 'x' is no array"),
    ("a.npz", npz(("x.npy", with_header("{'descr': (), 'fortran_order': True, 'shape': ()}"))), "'x' is no array"),
    ("a.npz", npz(("x.npy", array("(-1, -4)", data=bytes(16)))), "entry 'x' has shape (-1, -4)"),
    ("a.npz", npz(("x.npy", array("(True, 4)", data=bytes(16)))), "entry 'x' has shape (True, 4)"),
    ("a.npz", npz(("x.npy", array(f"(0, {10**30})"))), "entry 'x' has shape (0, 1000"),
    ("a.npz", npz(("x.npy", array(f"({'1,' * 65})", data=bytes(4)))), "entry 'x' has shape (1, 1, 1"),
    ("a.npz", npz(("../../x", b"")), "entry '../../x' is no .npy file"),
    ("a.safetensors", lambda path: path.write_bytes(b""), "it is empty"),
    ("a.safetensors", lambda path: path.write_bytes(b"\xff" * 16), "header cannot be"),
    ("a.safetensors", lambda path: path.write_bytes(encode(Message({}, {"x": np.zeros(9)}))[:-8]), "it ended after"),
    ("a.safetensors", lambda path: path.write_bytes(2 * encode(Message({}, {"x": np.zeros(9)}))), "it goes on after"),
    ("a.json", lambda path: path.write_text("["), "it is not JSON in UTF-8"),
    ("a.json", lambda path: path.write_text("[" * 100_000), "it is not JSON in UTF-8"),
    ("a.json", lambda path: path.write_text("[]"), 'it is not {"fields"'),
    ("a.json", lambda path: path.write_text('{"arrays": {"x": 1}}'), "array 'x' must have dtype, shape and data"),
    ("a.json", lambda path: path.write_text('{"fields": {}, "fields": {}}'), "the name 'fields' comes twice"),
    (
        "a.json",
        lambda path: path.write_text('{"arrays": {"x": {"dtype": "float32", "shape": [2], "data": [1]}}}'),
        "array 'x' has data of 1; shape [2] takes 2 numbers",
    ),
    (
        "a.json",
        lambda path: path.write_text('{"arrays": {"x": {"dtype": "float32", "shape": [1], "data": [[1]]}}}'),
        "array 'x': expected numbers",
    ),
    ("a.txt", lambda path: path.write_text(""), "expected a name that ends in .npz"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("name", "make", "told"), HOSTILE)
def test_a_file_that_is_none_is_refused_by_name(
    name: str, make: Callable[[Path], Any], told: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(UsageError) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert told in str(caught.value)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", bytes(1 << 28))
    with pytest.raises(UsageError, match="its entries take 268435456 bytes unpacked; no more than 1000 are expected"):
        read(tmp_path / "a.npz", 1000)


def test_a_text_that_is_none_can_still_be_shown(tmp_path: Path) -> None:
    """Half of a pair of surrogates, and a number that is no character."""
    texts = struct.pack("<4I", 0x61, 0xD800, 0x110000, 0x62)
    npz(("name.npy", array("()", "<U4", texts)))(tmp_path / "a.npz")
    (tmp_path / "a.json").write_text(r'{"fields": {"name": "a\ud800b"}}')
    for name in ("a.npz", "a.json"):
        found = read(tmp_path / name).fields["name"]
        assert found.encode().startswith(b"a")
        assert found.endswith("b")


# Answers that do not belong to the calls


def test_answers_to_other_calls_are_refused(few: Collector, tmp_path: Path) -> None:
    recording = save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, "npz")
    call, value = next(iter(recording.calls)), np.zeros(3, np.float32)
    for arrays, told in (
        ({"renamed.output": value}, "answers a call 'renamed', which the recording does not have"),
        ({f"{call}.outputs": value}, "is no part of an answer"),
        ({"output": value}, "is no part of an answer"),
    ):
        write(tmp_path / "calls/answers.npz", Container({}, arrays))
        with pytest.raises(UsageError, match=told):
            answers_in(recording)
    write(tmp_path / "calls/answers.npz", Container({"errors": "[1]"}, {}))
    with pytest.raises(UsageError, match="its field errors is no JSON object"):
        answers_in(recording)
    write(tmp_path / "calls/answers.npz", Container({}, {f"{call}.output": value}))
    write(tmp_path / "calls/more.npz", Container({"errors": json.dumps({call: "too late"})}, {}))
    with pytest.raises(UsageError, match=f"answers call {call} as"):
        answers_in(recording)


def test_a_bomb_of_answers_is_not_unpacked(few: Collector, tmp_path: Path) -> None:
    """No more is expected than the calls can have: four gigabytes of zeros are four megabytes in a file."""
    recording = save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, "npz")
    path = tmp_path / "calls/answers.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", b"nothing")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(UsageError, match="take 2147483648 bytes unpacked; no more than 268435456 are expected"):
        answers_in(recording)


def test_a_file_of_answers_may_be_named_twice(few: Collector, tmp_path: Path) -> None:
    recording = save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, "npz")
    path = tmp_path / "answers.npz"
    write(path, Container({"errors": json.dumps({next(iter(recording.calls)): "no memory"})}))
    assert len(answers_in(recording, [path, path]).found) == 1


def test_a_stream_of_responses_is_read_in_order(few: Collector, tmp_path: Path) -> None:
    recording = save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, WIRE)
    whole = respond((tmp_path / "calls/calls.requests").read_bytes())
    hello, path = encode(Message({"type": "hello", "protocol": "1"})), tmp_path / "calls/calls.responses"
    for data, told in (
        (whole[:-3], "it ended after"),
        (whole + hello, "goes on after its last response"),
        (hello + hello, "response 2 is of type 'hello'; expected 'built' or 'error'"),
        (b"Segmentation fault\n", "something was printed to standard output"),
    ):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=told):
            answers_in(recording)
    path.write_bytes(hello)
    assert not answers_in(recording).found, "the program ended after its hello: all else is missing"
    path.rename(tmp_path / "calls/other.responses")
    with pytest.raises(UsageError, match=r"name it calls\.responses"):
        answers_in(recording)


@pytest.mark.parametrize("name", ["calls", "a:b", "C:\\calls", "my calls", "it's", "-"])
def test_a_recording_is_found_by_its_target(name: str, few: Collector, tmp_path: Path) -> None:
    """A colon is a letter of a folder's name, and stands in every path of a Windows drive."""
    save(tmp_path / name, few, CAPABILITIES, SETTINGS, "npz")
    for answers in (tmp_path / name / "answers.npz", tmp_path / f"{name} answers.npz"):
        write(answers, Container({"name": answers.parent.name}))
    plain, apart = f"recorded:{tmp_path / name}", target_of([tmp_path / name, tmp_path / f"{name} answers.npz"])
    assert recorded(plain).own_name == recorded(target_of([tmp_path / name])).own_name == name
    assert recorded(apart).own_name == tmp_path.name


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("recorded:", "names no folder"),
        ("recorded:'calls", "No closing quotation"),
        ("recorded:nowhere", "nowhere is no recording"),
        ("recorded:calls:answers.npz", "calls:answers.npz is no recording"),
    ],
)
def test_a_target_that_names_no_recording_is_an_error(target: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        recorded(target)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data | {"version": "0.0.1"}, "was written by lstm-conformance 0.0.1"),
        (lambda data: data | {"files": [{"name": "../x", "models": [], "bytes": 0}]}, "leads elsewhere"),
        (lambda data: data | {"capabilities": {"layers": "perhaps"}}, "expected true or false"),
        (
            lambda data: data | {"settings": data["settings"] | {"cases": 3}, "hypothesis": "1"},
            "pip install hypothesis==1",
        ),
        (lambda data: [], "no index of a recording"),
    ],
)
def test_an_index_is_not_trusted(change: Callable[[Any], Any], told: str, few: Collector, tmp_path: Path) -> None:
    path = save(tmp_path / "calls", few, CAPABILITIES, SETTINGS, "npz").folder / INDEX
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "calls")
    assert told in str(caught.value)


# The command line


def test_export_and_judge(command: Command, tmp_path: Path) -> None:
    folder = str(tmp_path / "calls")
    exported = command("export", folder, "--capabilities", "--form", "wire", "--only", "layout.shapes", "layout.dtypes")
    assert exported.code == 0, exported.err
    assert "in 1 file with" in exported.out
    assert command("export", folder).code == 2
    assert command("judge", folder).code == 2, "there are no answers"
    responses = respond((tmp_path / "calls/calls.requests").read_bytes())
    (tmp_path / "calls/calls.responses").write_bytes(responses)
    elsewhere = (tmp_path / "calls/calls.responses").rename(tmp_path / "calls.responses")
    judged = command("judge", str(elsewhere), folder, "--json", str(tmp_path / "report.json"))
    assert judged.code == 0, judged.out + judged.err
    assert "conformant: numpy holds 2 of 2 chosen properties" in judged.out
    assert command("report", str(tmp_path / "report.json")).code == 0
    assert command("export", str(tmp_path / "more"), "--capabilities", "speed").code == 2
