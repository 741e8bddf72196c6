"""The Rust example: its README's two lines, and what the wire protocol asks of a program beyond the suite's cases."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT
from recorded_programs import answers_of

from conformance.backend import Capabilities
from conformance.drivers.run import run
from conformance.engine.plan import Settings

FOLDER = "implementations/rust_lstm"
PROGRAM = f"{FOLDER}/target/release/rust-lstm"

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="no Rust: there is no cargo on the PATH")

#: A model of two units that reads one feature; in all messages of these tests, every element is zero.
CONFIG = dict.fromkeys(("input_size", "num_layers"), "1") | {"hidden_size": "2", "proj_size": "0", "dropout": "0.0"}
CONFIG |= dict.fromkeys(("bias", "batch_first", "bidirectional", "training"), "false") | {"dtype": "float32"}
WEIGHTS = {"weight_ih_l0": (8, 1), "weight_hh_l0": (8, 2)}
RESULT = {"output": (5, 3, 2), "h_n": (1, 3, 2), "c_n": (1, 3, 2)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where a reader of the README stands after its first line; warnings are errors."""
    root = tmp_path_factory.mktemp("rust")
    shutil.copytree(ROOT / FOLDER, root / FOLDER, ignore=shutil.ignore_patterns("target"))
    (line,) = (line for line in (root / FOLDER / "README.md").read_text().splitlines() if line.startswith("cargo "))
    environment = os.environ | {"CARGO_TARGET_DIR": str(root / FOLDER / "target"), "RUSTFLAGS": "-D warnings"}
    subprocess.run([*line.split(), "--locked"], cwd=root, env=environment, check=True)
    return root


def framed(header: str | bytes) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text)) + text


def framed_x(shape: str, offsets: str) -> bytes:
    """A header with one tensor, its shape and offsets as they are written."""
    return framed(f'{{"x": {{"dtype": "F32", "shape": {shape}, "data_offsets": {offsets}}}}}')


def request(kind: str, shapes: dict[str, tuple[int, ...]] | None = None, /, **fields: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"type": kind} | fields}
    end = 0
    for name, shape in (shapes or {}).items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    return framed(json.dumps(header)) + bytes(end)


def converse(root: Path, *requests: bytes) -> tuple[list[Any], subprocess.CompletedProcess[bytes]]:
    """The responses, each as its type, an error's kind or a result's shapes; and how the program ended."""
    ended = subprocess.run([root / PROGRAM], input=b"".join(requests), capture_output=True, timeout=60)
    responses, rest = [], ended.stdout
    while rest:
        (length,) = struct.unpack("<Q", rest[:8])
        header, rest = json.loads(rest[8 : 8 + length]), rest[8 + length :]
        fields = header.pop("__metadata__")
        rest = rest[max((entry["data_offsets"][1] for entry in header.values()), default=0) :]
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        responses.append(shapes or fields.get("kind") or fields["type"])
    return responses, ended


@pytest.mark.usefixtures("few_rows")
def test_it_conforms(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    report = run([f"exec:{PROGRAM}"], Settings(cases=5)).report
    assert report.conformant, [verdict for verdict in report.verdicts if verdict.outcome != "passed"]


def test_models_come_and_go(root: Path) -> None:
    responses, ended = converse(
        root,
        request("hello", protocol="1"),
        request("build", WEIGHTS, model="a", **CONFIG),
        request("build", WEIGHTS, model="b", **CONFIG | {"batch_first": "true"}),
        request("release", model="a"),
        request("forward", {"x": (5, 3, 1)}, model="a"),
        request("forward", {"x": (3, 5, 1)}, model="b"),
        request("build", WEIGHTS, model="a", **CONFIG),
        request("forward", {"x": (5, 3, 1)}, model="a"),
    )
    batch_first = RESULT | {"output": (3, 5, 2)}
    assert responses == ["hello", "built", "built", "released", "refused", batch_first, "built", RESULT]
    assert ended.returncode == 0
    assert ended.stderr == b""


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (request("hello", protocol="2"), "unsupported"),
        (request("hello"), "refused"),
        (request("sing", model="a"), "unsupported"),
        (request("vjp", {"x": (5, 3, 1)}, model="a"), "unsupported"),
        (request("build", WEIGHTS, model="a", **CONFIG), "refused"),
        (request("build", model="b", **CONFIG), "refused"),
        (request("build", WEIGHTS, model="b"), "refused"),
        (request("build", WEIGHTS | {"weight_hh_l1": (8, 2)}, model="b", **CONFIG), "refused"),
        (request("build", WEIGHTS, model="b", **CONFIG | {"hidden_size": "-2"}), "refused"),
        (request("build", WEIGHTS, model="b", **CONFIG | {"num_layers": "4000000000"}), "refused"),
        (request("build", WEIGHTS, model="b", **CONFIG | {"dtype": "float16"}), "unsupported"),
        (request("build", WEIGHTS, model="b", **CONFIG | {"dtype": "float64"}), "refused"),
        (request("build", WEIGHTS, model="b", **CONFIG | {"training": "true", "dropout": "0.5"}), "unsupported"),
        (request("forward", {"x": (5, 3, 2)}, model="a"), "refused"),
        (request("forward", {"x": (5,)}, model="a"), "refused"),
        (request("forward", {"x": (5, 3, 1), "h_0": (1, 3, 2)}, model="a"), "refused"),
        (request("forward", {"x": (5, 3, 1), "h_0": (3, 2), "c_0": (3, 2)}, model="a"), "refused"),
        (request("forward", {"x": (5, 3, 1), "lengths": (3,)}, model="a"), "refused"),
        (request("forward", {"x": (5, 3, 1), "mask": (5, 3)}, model="a"), "refused"),
        (request("forward", {"x": (0, 1 << 60, 1)}, model="a"), "failed"),
        (request("release", model="b"), "refused"),
    ],
)
def test_after_an_error_it_goes_on(root: Path, wrong: bytes, kind: str) -> None:
    good = request("forward", {"x": (5, 3, 1)}, model="a")
    responses, ended = converse(root, request("build", WEIGHTS, model="a", **CONFIG), wrong, good)
    assert responses == ["built", kind, RESULT]
    assert ended.returncode == 0


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"\x02\x00", "the input ends in a header's length"),
        (struct.pack("<Q", 1 << 62), "a header of 4611686018427387904 bytes"),
        (struct.pack("<Q", 9) + b"{}", "the input ends where 9 bytes were announced"),
        (framed(b'{"\xff": {}}'), "invalid utf-8 sequence"),
        (framed("[" * 100_000), "no '{' at byte 0 of the header"),
        (framed('{"a": {}, "a": {}}'), "tensor a: dtype, shape or data_offsets is missing"),
        (framed('{"__metadata__": {}, "__metadata__": {}}'), "a key that came before"),
        (framed('{"__metadata__": {"type": "\\ud800"}}'), "half a surrogate pair"),
        (framed('{"__metadata__": {"type": "hello}}'), "the end inside a string"),
        (framed('{"__metadata__": {}} {}'), "more than one value"),
        (framed_x("[01]", "[0, 4]"), "no whole number that fits at byte 33"),
        (framed_x("[-1]", "[0, 4]"), "no whole number that fits"),
        (framed_x("[1e0]", "[0, 4]"), "no ']' at byte"),
        (framed_x("[2]", "[0, 4]"), "tensor x: its dtype, shape and"),
        (framed_x("[1]", "[4, 8]"), "tensor x: its dtype, shape and"),
        (framed_x("[4294967296, 4294967296]", "[0, 0]"), "tensor x: its"),
        (framed_x("[1]", "[0, 4]") + b"abc", "the input ends where 4"),
        (framed_x("[262144000]", "[0, 1048576000]"), "the input ends"),
    ],
)
def test_a_malformed_message_ends_it_with_the_reason(root: Path, garbage: bytes, reason: str) -> None:
    responses, ended = converse(root, request("hello", protocol="1"), garbage)
    assert responses == ["hello"]
    assert ended.returncode == 1
    assert ended.stderr.decode().startswith("rust-lstm: ")
    assert reason in ended.stderr.decode()


def test_it_answers_a_recording(root: Path, tmp_path: Path) -> None:
    """A program of the wire protocol needs nothing more."""
    capabilities = Capabilities(lengths=True, projection=True, dtypes=("float32", "float64"))
    judged = answers_of([str(root / PROGRAM)], tmp_path, capabilities)
    assert judged.report.conformant
    assert judged.report.own_name == "rust-lstm"
