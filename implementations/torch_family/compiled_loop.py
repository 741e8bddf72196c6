"""torch.compile of an LSTM that is a loop in Python, as people write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Params
from conformance.torch_module import to_torch, vjp_of
from implementations.torch_family.inductor import compiled
from implementations.torch_family.tensors import forward_of, refuse_many_steps


class Loop(torch.nn.Module):
    """One layer, one direction, time-major."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.weights = torch.nn.ParameterDict({name: to_torch(value.copy()) for name, value in params.items()})

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (L, N, I), hx None or h_0 and c_0 (1, N, H) -> output (L, N, H), (h_n, c_n)."""
        W, R, b_ih, b_hh = (self.weights[name] for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"))
        h, c = (x.new_zeros(x.shape[1], R.shape[1]),) * 2 if hx is None else (hx[0][0], hx[1][0])
        outputs = []
        for x_t in x:
            i, f, g, o = (x_t @ W.T + b_ih + h @ R.T + b_hh).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


@backend("torch-compile-loop", Capabilities(gradients=True, dtypes=("float32", "float64"), compiled=True))
def torch_compile_loop(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of the compiled loop, which is unrolled for each number of steps."""
    if config.slots() != LSTMConfig(1, 1).slots() or not config.bias or config.batch_first or config.proj_size:
        raise Unsupported("the loop is one layer, one direction, time-major, with biases and without a projection")
    if config.dtype not in ("float32", "float64") or (config.dropout and config.training):
        raise Unsupported("compiled in float32 and float64, for evaluation")
    loop = Loop(params)

    def run(x: Tensor, hx: tuple[Tensor, Tensor] | None) -> Any:
        guard(config, x, hx)
        refuse_many_steps(config, x, 64)
        return compiled()(loop, x, hx)

    model = forward_of(run)
    model.vjp = vjp_of(run, config, dict(loop.weights))
    return model
