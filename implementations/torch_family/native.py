"""torch.nn.LSTM by ATen's own CPU kernels, without oneDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from conformance import LSTMConfig, backend
from conformance.backend import OPTIONAL_METHODS
from conformance.spec import Params
from implementations.torch_nn import CAPABILITIES, torch_nn


def _without_onednn(function: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **named: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False):
            return function(*arguments, **named)

    return called


@backend("torch-nn-native", CAPABILITIES)
def torch_nn_native(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` and ``forward.vjp`` of nn.LSTM, each call made with oneDNN switched off."""
    model: Any = torch_nn(config, params)
    forward: Any = _without_onednn(model)
    for method in OPTIONAL_METHODS:
        setattr(forward, method, _without_onednn(getattr(model, method)))
    return forward
