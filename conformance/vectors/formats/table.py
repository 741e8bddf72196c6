"""The formats by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.vectors.formats.in_c import write_c
from conformance.vectors.formats.in_onnx import write_onnx
from conformance.vectors.formats.in_webnn import write_webnn
from conformance.vectors.formats.plain import write_json, write_npz, write_safetensors
from conformance.vectors.forms import ELEMENTWISE, ONNX, WEBNN, Form
from conformance.vectors.search import Chosen


@dataclass(frozen=True)
class Format:
    """One kind of files."""

    write: Callable[[Path, Sequence[Chosen]], None]
    form: Form
    #: What stands in its folder.
    files: str
    #: The module that it needs of another package.
    needs: str = ""


#: Each format by the name of its folder.
FORMATS: dict[str, Format] = {
    "json": Format(write_json, ELEMENTWISE, "a file for each vector: config, arrays with their shapes"),
    "npz": Format(write_npz, ELEMENTWISE, "a file for each vector; `about` is JSON"),
    "c": Format(write_c, ELEMENTWISE, "`lstm_vectors.h` and `check.c`, which compares without a library"),
    "webnn": Format(write_webnn, WEBNN, "`lstm.json`, tests in the form of web-platform-tests"),
    "safetensors": Format(
        write_safetensors, ELEMENTWISE, "a file for each vector; `about` is metadata", "safetensors.numpy"
    ),
    "onnx": Format(
        write_onnx, ONNX, "backend test data, and `run.py`, which calls the `onnx` package's runner", "onnx"
    ),
}
