"""torch.jit.script of torch.nn.LSTM."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Optional, Tuple  # noqa: UP035

import numpy as np
import torch
from torch import Tensor

from conformance import LSTMConfig, Unsupported, backend
from conformance.spec import Params, param_shapes
from implementations.torch_family.tensors import tensor_model
from implementations.torch_nn import CAPABILITIES as NN_LSTM
from implementations.torch_nn import load, load_weights


class Layer(torch.nn.Module):
    """nn.LSTM itself has two forwards, of which script takes neither."""

    def __init__(self, lstm: torch.nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor, hx: Optional[Tuple[Tensor, Tensor]] = None) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:  # noqa: UP006, UP045
        """As nn.LSTM's; script reads these annotations."""
        return self.lstm(x, hx)


@cache
def _scripted(config: LSTMConfig) -> Any:
    """The module, compiled once: the weights may change."""
    zeros = {name: np.zeros(shape, config.dtype) for name, shape in param_shapes(config).items()}
    return torch.jit.script(Layer(load(config, zeros)))


CAPABILITIES = replace(NN_LSTM, lengths=False, dtypes=("float32", "float64"))


@backend("torch-jit-script", CAPABILITIES)
def torch_jit_script(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of the scripted module, which takes no PackedSequence."""
    if config.dtype not in CAPABILITIES.dtypes:
        raise Unsupported(f"dtype {config.dtype}")
    scripted = copy.deepcopy(_scripted(config))
    load_weights(scripted.lstm, params)

    def run(x: Tensor, hx: tuple[Tensor, Tensor] | None) -> Any:
        # The profiling executor would specialize the graph for the shapes of the first calls.
        with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
            return scripted(x, hx)

    model = tensor_model(run, config, scripted.lstm)
    model.train = scripted.train
    return model
