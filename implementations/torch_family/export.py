"""torch.export of nn.LSTM, decomposed to core ATen operators: what runtimes are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.torch_family.signatures import Functional, Run, by_signature


def _export(config: LSTMConfig, *example: torch.Tensor) -> Run:
    program = torch.export.export(Functional(config).eval(), example)
    return program.run_decompositions().module()


@backend(
    "torch-export",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        projection=True,
        dtypes=("float32", "float64"),
        compiled=True,
    ),
)
def torch_export(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` of a program exported for each signature: nn.LSTM's steps are unrolled."""
    return by_signature(config, params, _export, most_steps=1_000)
