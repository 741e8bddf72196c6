"""An ONNX model in MNN's own format, and as a Module."""

# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

CONVERTING = Lock()


def module_of(model: Any, names: list[str], precision: str) -> Any:
    """The ModelProto, converted, as an MNN Module for changing shapes, on one thread; ``names`` are its inputs."""
    import _tools
    import MNN

    outputs = [info.name for info in model.graph.output]
    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder, "lstm.onnx")), str(Path(folder, "lstm.mnn"))
        Path(source).write_bytes(model.SerializeToString())
        # MNN.tools would start a package installation; this is the converter that it calls.
        # It writes a file of a fixed name to the current folder.
        with CONVERTING, contextlib.chdir(folder):
            _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", target])
        manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": precision},))
        options = {"runtime_manager": manager, "dynamic": False, "shape_mutable": True}
        return MNN.nn.load_module_from_file(target, names, outputs, **options)
