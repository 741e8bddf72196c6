"""Apache TVM (https://tvm.apache.org): nn.LSTM exported by torch.export, translated to Relax and built by LLVM."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.torch_family.signatures import Functional, Run, by_signature


def _compile(config: LSTMConfig, *example: torch.Tensor) -> Run:
    import tvm
    from tvm.relax.frontend.torch import from_exported_program

    module = from_exported_program(torch.export.export(Functional(config).eval(), example))
    machine = tvm.relax.VirtualMachine(tvm.relax.build(module, tvm.target.Target("llvm")), tvm.cpu())

    def run(*tensors: torch.Tensor) -> list[torch.Tensor]:
        found = machine["main"](*(tvm.runtime.tensor(tensor.numpy()) for tensor in tensors))
        return [torch.from_numpy(np.array(part.numpy())) for part in found]

    return run


@backend(
    "tvm",
    # A virtual machine holds the call that it is at.
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        projection=True,
        dtypes=("float32", "float64"),
        threads=False,
        compiled=True,
    ),
    available=needs("tvm", install="pip install apache-tvm torch"),
)
def tvm_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of a program for each signature, with the weights as inputs."""
    return by_signature(config, params, _compile, most_steps=1_000)
