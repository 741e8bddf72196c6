"""The wire protocol: messages are safetensors files, nothing that comes in is trusted, and verdicts are the same."""

from __future__ import annotations

import json
import random
import re
import shlex
import signal
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import ROOT, SAMPLES, Impatient, at_work

from conformance import Capabilities, LSTMConfig, check_backend
from conformance.backend import Backend
from conformance.drivers.run import run
from conformance.drivers.target import Isolation
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import Ended, UsageError
from conformance.processes.message import HEADER_LIMIT, Garbled, Message, Stream, decode, encode
from conformance.processes.supervisor import Limits
from conformance.processes.wire.client import program
from conformance.processes.wire.fields import capabilities_from_fields, capabilities_to_fields
from conformance.processes.wire.server import answer, writable
from conformance.properties import catalogue
from conformance.report.model import Report
from conformance.spec import numpy_dtype, param_shapes
from conformance.targets.find import find

LIMITS = Limits(seconds=600.0)
#: Properties of models that live: a program has none.
LIVING = tuple(p.id for p in catalogue().values() if p.id.endswith((".load", ".load-copies", ".load-apart", ".train")))
#: Properties whose own cases are large.
LARGE = tuple(p.id for p in catalogue().values() if p.cost)
SERVE = f"exec:{shlex.join([sys.executable, '-m', 'conformance', 'serve'])}"
GARBLER = f"exec:{shlex.join([sys.executable, (ROOT / 'tests/garbler.py').as_posix()])}"


class Bytes(Stream):
    """A stream of bytes that are all there."""

    def __init__(self, content: bytes) -> None:
        self._buffer = content

    def read(self, size: int) -> bytes:
        piece, self._buffer = self._buffer[:size], self._buffer[size:]
        return piece


def decoded(content: bytes, limit: int = 1 << 20) -> Message | None:
    return decode(Bytes(content), limit)


def made(header: object, elements: bytes = b"") -> bytes:
    """A message with a header of one's own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + elements


def sample() -> Message:
    """A message with tensors of every dtype, empty ones and scalars."""
    rng = np.random.default_rng(0)
    tensors = {"lengths": np.array([3, 1], np.int64), "none": np.zeros((0, 3), np.float32)}
    for dtype in ("float32", "float64", "float16", "bfloat16"):
        tensors[dtype] = rng.standard_normal((2, 3)).astype(numpy_dtype(dtype))
    tensors["fortran"] = np.asfortranarray(rng.standard_normal((3, 2)))
    tensors["scalar"] = np.array(1.5)
    return Message({"type": "forward", "model": "1", "text": 'σ "quoted"\n'}, tensors)


def test_a_message_comes_back_as_it_was() -> None:
    first, content = sample(), encode(sample())
    stream = Bytes(content * 2)
    for _ in range(2):
        second = decode(stream, 1 << 20)
        assert second is not None
        assert second.fields == first.fields
        assert list(second.tensors) == list(first.tensors)
        for name, value in first.tensors.items():
            np.testing.assert_array_equal(second.tensors[name], value)
            assert second.tensors[name].dtype == value.dtype
    assert decode(stream, 1 << 20) is None


def test_messages_are_safetensors_files() -> None:
    """Judged by the format's own library, in both directions."""
    safetensors = pytest.importorskip("safetensors.numpy")
    message = Message({"type": "x"}, {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1], np.int64)})
    loaded = safetensors.load(encode(message))
    np.testing.assert_array_equal(loaded["a"], message.tensors["a"])
    theirs = decoded(safetensors.save(dict(message.tensors), {"type": "y"}))
    assert theirs is not None
    assert theirs.type == "y"
    np.testing.assert_array_equal(theirs.tensors["b"], message.tensors["b"])


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x01\x02", "it ended after 2 of 8 bytes of the length of the header"),
        (b"Loading weights from disk\n", "something was printed to standard output: 'Loading weights from disk'"),
        ((HEADER_LIMIT + 1).to_bytes(8, "little"), f"cannot be {HEADER_LIMIT + 1} bytes long"),
        (made(b"{}")[:-1], "it ended after 1 of 2 bytes of the header"),
        (made(b"[1, 2]"), "does not begin with {"),
        (made(b'{"a": }'), "is not JSON in UTF-8"),
        (made(b'{"a": "\xff"}'), "is not JSON in UTF-8"),
        (made(b"{" * 100_000), "is not JSON in UTF-8"),
        (made(b'{"__metadata__": {"type": 1}}'), "__metadata__ is not an object of strings"),
        (made(b'{"__metadata__": {"type": "a", "type": "b"}}'), "names 'type' twice"),
        (made(b'{"x": 1, "x": 2}'), "names 'x' twice"),
        (made({"x": 1}), "tensor 'x' must have dtype, shape and data_offsets"),
        (made({"x": {**ENTRY, "more": 1}}), "and nothing else"),
        (made({"x": {**ENTRY, "dtype": "F8"}}), "tensor 'x' has dtype 'F8'"),
        (made({"x": {**ENTRY, "dtype": ["F32"]}}), "tensor 'x' has dtype"),
        (made({"x": {**ENTRY, "shape": [-2]}}), "tensor 'x' has shape [-2]"),
        (made({"x": {**ENTRY, "shape": [True]}}), "tensor 'x' has shape [True]"),
        (made({"x": {**ENTRY, "shape": [1] * 9}}), "at most 8 whole numbers"),
        (made({"x": {**ENTRY, "data_offsets": [0, 2**60]}}), "has data_offsets [0, 1152921504606846976]"),
        (made({"x": {**ENTRY, "data_offsets": [0, 12]}}), "takes 12 bytes; F32 of shape [2] takes 8"),
        (made({"x": {**ENTRY, "data_offsets": [8, 16]}}), "begins at byte 8, expected 0"),
        (made({"x": ENTRY, "y": ENTRY}), "tensor 'y' begins at byte 0, expected 8"),
        (made({"x": {"dtype": "F32", "shape": [10**8], "data_offsets": [0, 4 * 10**8]}}), "no more than 1048576"),
        (made({"x": ENTRY}, b"1234"), "it ended after 4 of 8 bytes of the tensors' elements"),
    ],
)
def test_what_is_not_a_message_is_refused_by_what_is_wrong_with_it(content: bytes, said: str) -> None:
    with pytest.raises(Garbled, match=re.escape(said)):
        decoded(content)


def test_tensors_without_elements_may_share_their_place() -> None:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    message = decoded(made({"x": ENTRY, "none": empty, "end": {**empty, "data_offsets": [8, 8]}}, b"12345678"))
    assert message is not None
    assert message.tensors["none"].shape == (0,)


def test_ten_thousand_spoilt_messages_are_read_or_refused_within_their_limit() -> None:
    """No other exception, and no more memory than the limit allows; what is read is a message like any other."""
    rng = random.Random(0)
    content = encode(sample())
    read = refused = 0
    tracemalloc.start()
    for _ in range(10_000):
        spoilt = _spoilt(content, rng)
        try:
            message = decoded(spoilt, limit=1 << 16)
        except Garbled:
            refused += 1
        else:
            read += 1
            assert message is None or sum(v.nbytes for v in message.tensors.values()) <= 1 << 16
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * HEADER_LIMIT
    assert read > 100
    assert refused > 5_000


def _spoilt(content: bytes, rng: random.Random) -> bytes:
    """A message after a few changes of bits, bytes, lengths and words of its header."""
    changed = bytearray(content)
    header = int.from_bytes(content[:8], "little")
    for _ in range(rng.randint(1, 3)):
        kind, at = rng.randrange(6), rng.randrange(len(changed)) if changed else 0
        if kind == 0 and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = rng.randbytes(rng.randint(1, 20))
        elif kind == 3:
            changed[:8] = rng.choice((0, 1, 2, header - 1, header + 1, 2**20, 2**63, 2**64 - 1)).to_bytes(8, "little")
        elif kind == 4:
            number = rng.choice((b"-1", b"1e9", b"99999999999999999999", b"null", b"[]", b'""', b"true", b"NaN"))
            changed = bytearray(re.sub(rb"(?<=[\[,:])\d+", number, bytes(changed), count=rng.randint(1, 3)))
        elif kind == 5:
            changed = changed.replace(rng.choice((b"F32", b"data_offsets", b'"', b"}", b"shape")), b"", 1)
    return bytes(changed)


# Capabilities


def test_capabilities_survive_the_journey() -> None:
    config = LSTMConfig(2, 3, dropout=1e-5, dtype="float64")
    params = {name: np.zeros(shape) for name, shape in param_shapes(config).items()}
    for given in (
        Capabilities(),
        Capabilities(
            layers=True,
            dropout=True,
            batch=False,
            returns=("h_n", "c_n"),
            dtypes=("float32", "float64"),
            arithmetic={"float32": "tf32"},
            deterministic=False,
            fixed=(config, params),
            expected_failures={"values.c_n": "see https://example.org: a = b"},
        ),
    ):
        back = capabilities_from_fields(capabilities_to_fields(given), params)
        assert back == given


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"layers": "yes"}, "its field layers is 'yes': expected true or false"),
        ({"dtypes": "float31"}, "Capabilities.dtypes names 'float31'"),
        ({"arithmetic": "tf32"}, "expected words like float32=tf32"),
        ({"fixed:hidden_size": "3"}, "its field input_size is missing"),
        ({"fixed:hidden_size": str(10**12), "fixed:input_size": "1"}, "it sent 0 params"),
        ({"fixed:hidden_size": "1", "fixed:input_size": "1", "fixed:num_layers": str(10**9)}, "it sent 0 params"),
        ({"fixed:hidden_size": "3", "fixed:input_size": "x"}, "its field input_size is 'x'"),
    ],
)
def test_capabilities_that_are_wrong_are_named(fields: dict[str, str], said: str) -> None:
    with pytest.raises(Garbled, match=re.escape(said)):
        capabilities_from_fields(fields, {})


# Programs


def judged(how: str, limits: Limits = LIMITS) -> Report:
    """The report on a program that garbles."""
    settings = Settings(cases=4, fixed=False, only=("smoke", "layout.shapes", "layout.dtypes"), shrink=False)
    outcome = run([f"{GARBLER} {how}"], settings, isolation=Isolation(limits))
    assert outcome.errors == ()
    return outcome.report


def test_verdicts_of_a_served_backend_are_those_of_one_process() -> None:
    """On everything that is declared for it."""
    for name, settings in (
        # A program has no methods beyond the protocol's. Large sizes take seconds, and travel like any other.
        ("torch-nn", Settings(cases=3, fixed=False, exclude=("dropout", *LIVING, *LARGE))),
        (f"{SAMPLES}:swapped", Settings(cases=8, fixed=False, only=("smoke", "values", "state"))),
    ):
        served = program(f"{SERVE} {name}")
        here = find(name)
        bytewise = replace(served, build=here.build, ruled_out=served.ruled_out | here.ruled_out, process=None)
        judge = Here(served)
        found, expected = conform(judge, settings), conform(bytewise, settings)
        judge.close()
        assert found.verdicts == expected.verdicts


@pytest.mark.parametrize(
    ("how", "outcome", "said"),
    [
        ("print", "error", "something was printed to standard output: 'Loading the model ...'"),
        ("truncated", "timeout", "no answer within 2 seconds"),
        ("long-header", "error", "cannot be 1099511627776 bytes long"),
        ("oversized", "error", "its tensors take 4000000000 bytes; its request accounts for no more than"),
        ("twice", "error", "its header names 'output' twice"),
        ("wrong-type", "error", "it answered 'forward' by a message of type 'built'; expected 'result' or 'error'"),
        ("wrong-shape", "failed", "output has shape"),
        ("wrong-dtype", "failed", "float64"),
        ("silent", "timeout", "no answer within 2 seconds"),
        ("exit", "crashed", "its process ended with exit code 5\nits standard error ends:\n  | I have had enough"),
    ],
)
def test_whatever_a_program_does_is_a_verdict_that_says_so(how: str, outcome: str, said: str) -> None:
    # Only what falls silent is to meet the limit of time.
    report = judged(how, Impatient() if outcome == "timeout" else LIMITS)
    found = [v for v in report.verdicts if v.outcome == outcome]
    assert found, [(v.property, v.outcome, v.message) for v in report.verdicts]
    assert said in found[0].message
    assert found[0].recipe is not None
    assert not report.conformant


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("at-start", "its process ended with exit code 1"),
        ("no-hello", "printed to standard output: 'usage: garbler FILE'"),
    ],
)
def test_a_program_that_does_not_start_is_one_statement(how: str, said: str) -> None:
    first, *others = judged(how).verdicts
    assert first.outcome in ("crashed", "error")
    assert said in first.message
    assert {v.outcome for v in others} == {"not run"}


def test_a_program_that_never_says_hello_is_asked_whether_it_flushes() -> None:
    code = "import sys, time; sys.stdin.buffer.read(1); time.sleep(1000)"
    with pytest.raises(Ended, match=r"no answer within 1 seconds to hello: does it flush its output") as caught:
        program(f"exec:{shlex.join([sys.executable, '-c', code])}", Limits(seconds=0.2))
    assert caught.value.outcome == "timeout"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program", "'no-such-program' cannot be started"),
        ("", "names no command"),
        ("foo 'bar", "No closing quotation"),
        ("false", "its process ended with exit code 1"),
    ],
)
def test_a_command_that_is_none_is_a_usage_error(command: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_backend(f"exec:{command}")


def test_an_interruption_does_not_wait_for_a_program_that_hangs(tmp_path: Path) -> None:
    """Within the minutes that this test waits, not within the hours of the limit; and what had been judged is told."""
    silent = tmp_path / "silent"
    process = at_work(silent, "run", f"{GARBLER} silent {silent.as_posix()}", "--timeout", "36000")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 3
    assert "interrupted" in out


def test_what_the_server_cannot_send_is_an_error_and_no_crash() -> None:
    for results in ([0.0], np.zeros(3, np.int32)):
        odd = Backend("odd", Capabilities(), lambda config, params, results=results: lambda x: (results, (None, None)))
        models: dict[str, Any] = {"1": odd.build(LSTMConfig(1, 1), {})}
        response = writable(answer(odd, models, Message({"type": "forward", "model": "1"}, {"x": np.zeros((1, 1, 1))})))
        assert (response.type, response.fields["kind"]) == ("error", "failed")
        encode(response)


def test_the_protocol_page_shows_messages_as_they_are() -> None:
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    dumps = re.findall(r"```\n((?:[0-9a-f]{8}  .*\n)+)```", page)
    request, response = (bytes.fromhex("".join(line[10:58] for line in dump.splitlines())) for dump in dumps)
    x = np.array([[[0.5]], [[-1.0]]], np.float32)
    assert request == encode(Message({"type": "forward", "model": "7"}, {"x": x}))
    assert f"{int.from_bytes(request[:8], 'little')} bytes of header, {x.nbytes} of elements" in page
    message = decoded(response)
    assert message is not None
    assert {name: value.shape for name, value in message.tensors.items()} == {
        **{"output": (2, 1, 1)},
        **dict.fromkeys(("h_n", "c_n"), (1, 1, 1)),
    }
