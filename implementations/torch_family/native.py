"""torch.nn.LSTM by ATen's own CPU kernels, without oneDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import LSTMConfig, backend
from conformance.backend import OPTIONAL_METHODS
from conformance.spec import Params
from implementations.torch_family.tensors import without_onednn
from implementations.torch_nn import CAPABILITIES, torch_nn


@backend("torch-nn-native", CAPABILITIES)
def torch_nn_native(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` and ``forward.vjp`` of nn.LSTM, each call made with oneDNN switched off."""
    model: Any = torch_nn(config, params)
    forward = without_onednn(model)
    for method in OPTIONAL_METHODS:
        setattr(forward, method, without_onednn(getattr(model, method)))
    return forward
