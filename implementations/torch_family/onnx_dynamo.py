"""nn.LSTM written to ONNX by PyTorch's exporter that torch.export carries, and run by ONNX Runtime."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from conformance.torch_module import to_torch
from implementations.adapter import needs
from implementations.onnx_family.onnxruntime import EXPECTED, session
from implementations.torch_family.signatures import Functional, Run, by_signature


def _compile(config: LSTMConfig, *example: torch.Tensor) -> Run:
    program = torch.onnx.export(Functional(config).eval(), example, dynamo=True, verbose=False)
    assert program is not None
    loaded = session(program.model_proto.SerializeToString())
    names = [given.name for given in loaded.get_inputs()]
    return lambda *tensors: [
        to_torch(part)
        for part in loaded.run(None, {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)})
    ]


@backend(
    "torch-onnx-dynamo",
    # A projection is written as a node that cannot run: docs/findings/torch-12-onnx-dynamo-projection.md
    Capabilities(
        layers=True, bidirectional=True, no_bias=True, batch_first=True, compiled=True, expected_failures=EXPECTED
    ),
    available=needs("onnx", "onnxruntime", "onnxscript", install="pip install onnx onnxruntime onnxscript"),
)
def torch_onnx_dynamo(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of what ``torch.onnx.export(…, dynamo=True)`` writes for each signature."""
    return by_signature(config, params, _compile)
