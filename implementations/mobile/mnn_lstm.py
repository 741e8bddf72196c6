"""MNN (https://github.com/alibaba/MNN) on the CPU, from LSTM nodes of ONNX, converted and run as a Module."""

# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs
from implementations.onnx_family.graph import Run, onnx_forward

CONVERTING = Lock()


def mnn_backend(name: str, precision: str) -> Backend:
    """The converted model as a Module for changing shapes."""

    @backend(
        name,
        # One direction fails with an initial state: docs/findings/mnn-01-initial-state.md
        Capabilities(
            layers=True,
            bidirectional=True,
            no_bias=True,
            initial_state=False,
            expected_failures={
                **finding("mnn-08-nan-hidden", "nonfinite.nan-kept", "nonfinite.nan-weight"),
                **finding("mnn-09-no-steps-crash", "degenerate.no-steps", "degenerate.then-right"),
                **finding(
                    "mnn-10-errors-are-empty",
                    "refusals.feature-size",
                    "refusals.rank",
                    "refusals.reshaped-x",
                    "refusals.undeclared",
                ),
            },
        ),
        available=needs("onnx", "MNN", install="pip install onnx MNN"),
    )
    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        import _tools
        import MNN

        def load(model: Any) -> Run:
            names, outputs = ([info.name for info in part] for part in (model.graph.input, model.graph.output))
            with tempfile.TemporaryDirectory() as folder:
                source, target = str(Path(folder, "lstm.onnx")), str(Path(folder, "lstm.mnn"))
                Path(source).write_bytes(model.SerializeToString())
                # MNN.tools would start a package installation; this is the converter that it calls.
                # It writes a file of a fixed name to the current folder.
                with CONVERTING, contextlib.chdir(folder):
                    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", source, "--MNNModel", target])
                manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": precision},))
                module = MNN.nn.load_module_from_file(
                    target, names, outputs, runtime_manager=manager, dynamic=False, shape_mutable=True
                )
            lock = Lock()

            def run(feeds: dict[str, Array]) -> list[Array]:
                given = [
                    MNN.expr.const(np.ascontiguousarray(feeds[n]), list(feeds[n].shape), MNN.expr.NCHW) for n in names
                ]
                with lock:
                    return [np.array(part.read()) for part in module.forward(given)]

            return run

        return onnx_forward(config, params, load)

    return build


mnn_dynamic = mnn_backend("mnn", "high")
mnn_default = mnn_backend("mnn-default", "normal")
