"""torch.jit.script of torch.nn.LSTM."""

import copy
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Optional, Tuple  # noqa: UP035

import numpy as np
import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State, param_shapes
from conformance.torch_module import from_torch, to_torch, vjp_of
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
def _compiled(config: LSTMConfig) -> Any:
    """The module, compiled once: the weights may change."""
    shapes = param_shapes(config)
    return torch.jit.script(
        Layer(load(config, {name: np.zeros(shape, config.dtype) for name, shape in shapes.items()}))
    )


@backend(
    "torch-jit-script",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        gradients=True,
        dropout=True,
        dtypes=("float32", "float64"),
    ),
)
def torch_jit_script(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of the scripted module, which takes no PackedSequence."""
    if config.dtype not in ("float32", "float64"):
        raise Unsupported(f"dtype {config.dtype}")
    scripted = copy.deepcopy(_compiled(config))
    lstm = scripted.lstm
    load_weights(lstm, params)

    def run(x: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        # The profiling executor would specialize the graph for the shapes of the first calls.
        with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
            return scripted(x, hx)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        output, (h_n, c_n) = run(to_torch(x), hx)
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    model: Any = forward
    model.vjp = vjp_of(run, config, dict(lstm.named_parameters()))
    model.load, model.train = partial(load_weights, lstm), scripted.train
    return model
