"""nn.LSTM written to ONNX by PyTorch's two exporters, and run by ONNX Runtime."""

# pyright: reportMissingImports=false

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from conformance.torch_module import to_torch
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.torch_family.signatures import Functional, Run, by_signature
from implementations.torch_nn import load

#: Those of onnxruntime, for what the exported graph has of it.
ORT_FAILURES = {
    **finding("onnxruntime-01-no-rows-aborts", "degenerate.no-rows", "degenerate.then-right"),
    **finding("onnxruntime-02-no-steps", "degenerate.no-steps"),
    **finding("onnxruntime-03-nan-hidden", *NAN_HIDDEN),
}
NEEDS = needs("onnx", "onnxruntime", "onnxscript", install="pip install onnx onnxruntime onnxscript")


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])


@backend(
    "torch-onnx-legacy",
    # The exporter has state for the whole process.
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        threads=False,
        expected_failures=ORT_FAILURES,
    ),
    available=NEEDS,
)
def torch_onnx_legacy(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` of the model that ``torch.onnx.export(…, dynamo=False)`` writes, with dynamic axes."""
    if config.dtype != "float32" or config.proj_size or (config.dropout and config.training):
        raise Unsupported("ONNX Runtime's LSTM is float32, without projection and dropout")
    lstm = load(config, params)

    @cache
    def session(state: bool) -> Any:
        x = torch.zeros(2, 3, config.input_size)
        rows, steps = (0, 1) if config.batch_first else (1, 0)
        h = torch.zeros(config.num_layers * config.num_directions, x.shape[rows], config.hidden_size)
        axes = {"x": {rows: "N", steps: "L"}, "h_0": {1: "N"}, "c_0": {1: "N"}}
        names = list(axes) if state else ["x"]
        content = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                lstm,
                (x, (h, h)) if state else (x,),
                content,  # pyright: ignore[reportArgumentType]
                input_names=names,
                output_names=["output", "h_n", "c_n"],
                dynamic_axes={name: axes[name] for name in names},
                dynamo=False,
            )
        return _session(content.getvalue())

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        feeds = {"x": x} if state is None else {"x": x, "h_0": state[0], "c_0": state[1]}
        output, h_n, c_n = session(state is not None).run(None, feeds)
        return output, (h_n, c_n)

    return forward


def _dynamo(config: LSTMConfig, *example: torch.Tensor) -> Run:
    program = torch.onnx.export(Functional(config).eval(), example, dynamo=True, verbose=False)
    assert program is not None
    session = _session(program.model_proto.SerializeToString())
    names = [given.name for given in session.get_inputs()]
    return lambda *tensors: [
        to_torch(part)
        for part in session.run(None, {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
    ]


@backend(
    "torch-onnx-dynamo",
    # A projection is written as a node that cannot run: docs/findings/torch-12-onnx-dynamo-projection.md
    Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True, compiled=True),
    available=NEEDS,
)
def torch_onnx_dynamo(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of what ``torch.onnx.export(…, dynamo=True)`` writes for each signature."""
    return by_signature(config, params, _dynamo)
