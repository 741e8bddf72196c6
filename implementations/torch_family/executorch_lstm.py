"""ExecuTorch (https://executorch.ai): nn.LSTM exported, lowered and run by its portable or its XNNPACK kernels."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance import Backend, Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.torch_family.signatures import Functional, Run, by_signature


def executorch_backend(name: str, xnnpack: bool) -> Backend:
    """One program for each signature, with the weights as inputs."""

    def compile_(config: LSTMConfig, *example: torch.Tensor) -> Run:
        from executorch.exir import to_edge_transform_and_lower
        from executorch.runtime import Runtime

        partitioners: list[Any] = []
        if xnnpack:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

            partitioners = [XnnpackPartitioner()]
        exported = torch.export.export(Functional(config).eval(), example)
        lowered = to_edge_transform_and_lower(exported, partitioner=partitioners).to_executorch()
        # Not its method, which does not keep the program: docs/findings/executorch-01-method-outlives-program.md.
        program = Runtime.get().load_program(lowered.buffer)
        # The next call writes to the same memory.
        return lambda *tensors: [part.clone() for part in program.load_method("forward").execute(list(tensors))]

    @backend(
        name,
        # A method has one workspace.
        Capabilities(
            layers=True,
            bidirectional=True,
            no_bias=True,
            batch_first=True,
            projection=True,
            compiled=True,
            threads=False,
        ),
        available=needs("executorch", install="pip install executorch"),
    )
    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        return by_signature(config, params, compile_, most_steps=1_000)

    return build


executorch_portable = executorch_backend("executorch", False)
executorch_xnnpack = executorch_backend("executorch-xnnpack", True)
