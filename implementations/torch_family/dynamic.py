"""nn.LSTM with its weights quantized by PyTorch's ``quantize_dynamic``: to int8, and to float16."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from conformance.torch_module import call
from implementations.adapter import finding
from implementations.torch_family.tensors import forward_of
from implementations.torch_nn import load


def dynamic(name: str, dtype: torch.dtype, arithmetic: str, expected: dict[str, str]) -> Backend:
    """nn.LSTM with weights of ``dtype``."""

    @backend(
        name,
        Capabilities(
            layers=True,
            bidirectional=True,
            batch_first=True,
            lengths=True,
            arithmetic={"float32": arithmetic},
            expected_failures=expected,
        ),
    )
    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        if config.dtype != "float32" or (config.dropout and config.training):
            raise Unsupported("a quantized LSTM is float32, and for evaluation")
        whole = torch.nn.ModuleDict({"lstm": load(config, params)})
        quantized = torch.ao.quantization.quantize_dynamic(whole, {torch.nn.LSTM}, dtype)
        return forward_of(partial(call, quantized["lstm"], config))

    return build


torch_dynamic_int8 = dynamic("torch-dynamic-int8", torch.qint8, "int8", {})
torch_dynamic_float16 = dynamic(
    "torch-dynamic-float16",
    torch.float16,
    "half-accumulate",
    finding("torch-11-float16-nan-weight", "nonfinite.nan-weight"),
)
