"""The TensorFlow.js example is conformant, and its messages are read with care."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import ROOT

from conformance import check_backend

EXAMPLE = ROOT / "implementations/tfjs_lstm"

#: npm's codes for a registry that it cannot reach; anything else is a defect of the example.
UNREACHABLE = ("EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND", "ETIMEDOUT")


def _need(tool: str) -> str:
    """The path of a tool; the test is skipped where there is none."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    return path


def _message(tensors: dict[str, Any], elements: bytes = b"", **fields: str) -> bytes:
    header = json.dumps({"__metadata__": fields, **tensors}).encode()
    return len(header).to_bytes(8, "little") + header + elements


def _tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def _echo(messages: bytes) -> subprocess.CompletedProcess[bytes]:
    """What becomes of messages that are read and written again."""
    program = """
        import { readMessage, writeMessage } from "./message.mjs";
        let message;
        while ((message = readMessage(0)) !== null) writeMessage(1, message.fields, message.tensors);
    """
    command = [_need("node"), "--input-type=module", "--eval", program]
    return subprocess.run(command, cwd=EXAMPLE, input=messages, capture_output=True)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example with its dependencies: as it is where they are installed, else a copy in which npm installs them."""
    _need("node")
    if (EXAMPLE / "node_modules").is_dir():
        yield EXAMPLE
        return
    npm = _need("npm")
    copy = tmp_path_factory.mktemp("tfjs") / "lstm"
    shutil.copytree(EXAMPLE, copy)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    installed = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    code = re.search(r"npm (?:error|ERR!) code (\w+)", installed.stderr)
    if code and code[1] in UNREACHABLE:
        pytest.skip(f"npm cannot reach its registry: {code[1]}")
    assert installed.returncode == 0, installed.stderr
    yield copy
    # Some hundred megabytes: pytest itself would keep those of its last three runs.
    shutil.rmtree(copy)


@pytest.mark.usefixtures("few_rows")
def test_tfjs_is_conformant(example: Path) -> None:
    """On a few rows, in the groups that the adapter itself can spoil; a run of all of them takes a minute or two."""
    command = f"exec:node {shlex.quote(str(example / 'main.mjs'))}"
    groups = ("smoke", "layout", "values", "direction", "stack", "state", "degenerate", "refusals")
    report = check_backend(command, cases=0, properties=groups)
    assert report.conformant, report


def test_messages_are_read_and_written() -> None:
    """One after the other, with elements that begin anywhere, none of them in some tensors."""
    tensors = {
        "half": _tensor("F16", [1], 0, 2),
        "x": _tensor("F32", [2, 1], 2, 10),
        "none": _tensor("F64", [0, 3], 10, 10),
        "lengths": _tensor("I64", [1], 10, 18),
    }
    messages = _message(tensors, bytes(range(18)), type="forward", model="σ") + _message({}, type="release")
    echoed = _echo(messages)
    assert echoed.returncode == 0, echoed.stderr.decode()
    # JSON.stringify neither escapes what is not ASCII nor writes spaces.
    compact = {"separators": (",", ":"), "ensure_ascii": False}
    headers = [
        json.dumps({"__metadata__": {"type": "forward", "model": "σ"}, **tensors}, **compact).encode(),
        json.dumps({"__metadata__": {"type": "release"}}, **compact).encode(),
    ]
    first, second = (len(header).to_bytes(8, "little") + header for header in headers)
    assert echoed.stdout == first + bytes(range(18)) + second


def test_tensors_may_be_named_in_any_order() -> None:
    """An empty one may share its place with the beginning or the end of another."""
    named = {"end": _tensor("F32", [0], 8, 8), "x": _tensor("F32", [2], 0, 8), "begin": _tensor("F32", [0], 0, 0)}
    echoed = _echo(_message(named, bytes(8)))
    assert echoed.returncode == 0, echoed.stderr.decode()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"Hello, world", "a header of"),
        (b"\0", "the input ends within a message, 7 bytes early"),
        (_message({"x": _tensor("F32", [2], 0, 8)}, bytes(5)), "the input ends within a message, 3 bytes early"),
        (_message({"x": _tensor("F32", [2**40], 0, 2**42)}), "tensor x: F32"),
        (_message({"x": _tensor("F32", [2**32, 2**32], 0, 0)}), "tensor x: F32"),
        (_message({"x": _tensor("F32", [2], 4, 12)}), "after 0 bytes of others"),
        (_message({"x": _tensor("F32", [-2], 0, -8)}), "tensor x: shape [-2]"),
        (_message({"x": _tensor("C64", [1], 0, 8)}), "tensor x: dtype C64"),
    ],
)
def test_what_is_no_message_ends_the_program(sent: bytes, said: str) -> None:
    """With the reason, and before anything of the size that it claims is allocated."""
    ended = _echo(sent)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert said in ended.stderr.decode()
