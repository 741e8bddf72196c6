"""The textbook loop in torch: four gates, each from its own slice of the packed weights, one time step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Array, Params, Slot, State
from conformance.torch_module import from_torch, to_torch, vjp_of

DTYPES = ("float32", "float64", "float16", "bfloat16")


def leaves(params: Params) -> dict[str, Tensor]:
    """Copies of the weights, each of which may have a gradient."""
    return {name: to_torch(value).clone().requires_grad_() for name, value in params.items()}


@backend(
    "torch-loop",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        lengths=True,
        gradients=True,
        dropout=True,
        dtypes=DTYPES,
    ),
)
def torch_loop(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state, lengths)``, and ``forward.vjp``, one gate at a time, as the equations are written."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    weights, training = leaves(params), config.training
    no_bias = torch.zeros(4 * config.hidden_size, dtype=getattr(torch, config.dtype))

    def scan(x: Tensor, h: Tensor, c: Tensor, valid: Tensor, end: str) -> tuple[Tensor, Tensor, Tensor]:
        """x (L, N, ·), h (N, P), c (N, H), valid (L, N, 1) -> output (L, N, P), h_n (N, P), c_n (N, H)."""
        W_ii, W_if, W_ig, W_io = weights["weight_ih" + end].chunk(4)
        W_hi, W_hf, W_hg, W_ho = weights["weight_hh" + end].chunk(4)
        b_ii, b_if, b_ig, b_io = weights.get("bias_ih" + end, no_bias).chunk(4)
        b_hi, b_hf, b_hg, b_ho = weights.get("bias_hh" + end, no_bias).chunk(4)
        W_hr = weights.get("weight_hr" + end)
        output = []
        for x_t, on in zip(x, valid, strict=True):
            i = torch.sigmoid(x_t @ W_ii.T + b_ii + h @ W_hi.T + b_hi)
            f = torch.sigmoid(x_t @ W_if.T + b_if + h @ W_hf.T + b_hf)
            g = torch.tanh(x_t @ W_ig.T + b_ig + h @ W_hg.T + b_hg)
            o = torch.sigmoid(x_t @ W_io.T + b_io + h @ W_ho.T + b_ho)
            c_t = f * c + i * g
            h_t = o * torch.tanh(c_t)
            if W_hr is not None:
                h_t = h_t @ W_hr.T
            h, c = torch.where(on, h_t, h), torch.where(on, c_t, c)
            output.append(torch.where(on, h_t, 0))
        return torch.stack(output), h, c

    def run(
        x: Tensor, state: tuple[Tensor, Tensor] | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x in the config's layout -> output in x's layout, (h_n, c_n); shaped as ``forward``'s arrays are."""
        guard(config, x, state, lengths)
        batch_first = config.batch_first and x.ndim == 3
        sequence = x.transpose(0, 1) if batch_first else x
        steps, *rows = sequence.shape[:-1]
        if not steps:
            raise ValueError(f"x must have at least one time step, got {tuple(x.shape)}")
        h_shape = (config.num_layers * config.num_directions, *rows, config.output_size)
        c_shape = (config.num_layers * config.num_directions, *rows, config.hidden_size)
        if state is None:
            h_0, c_0 = sequence.new_zeros(h_shape), sequence.new_zeros(c_shape)
        else:
            h_0, c_0 = state
        if lengths is None:
            lengths = torch.full(rows or [1], steps)

        if not rows:
            sequence, h_0, c_0 = sequence[:, None], h_0[:, None], c_0[:, None]
        t = torch.arange(steps)[:, None, None]
        valid = t < lengths[:, None]
        # Zeros in place of the padding: the gradient of what is masked is 0 times it, which may be NaN.
        sequence = torch.where(valid, sequence, 0)
        turned = torch.where(valid, lengths[:, None] - 1 - t, t)
        finals = []
        for layer in range(config.num_layers):
            halves = []
            for direction in range(config.num_directions):
                slot = len(finals)
                order = turned if direction else t
                read = torch.take_along_dim(sequence, order, 0)
                half, *final = scan(read, h_0[slot], c_0[slot], valid, Slot(layer, direction).suffix)
                halves.append(torch.take_along_dim(half, order, 0))
                finals.append(final)
            sequence = torch.cat(halves, dim=2)
            if layer < config.num_layers - 1:
                sequence = torch.nn.functional.dropout(sequence, config.dropout, training)

        h_n, c_n = (torch.stack(parts) for parts in zip(*finals, strict=True))
        if not rows:
            sequence, h_n, c_n = sequence[:, 0], h_n[:, 0], c_n[:, 0]
        return sequence.transpose(0, 1) if batch_first else sequence, (h_n, c_n)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        output, (h_n, c_n) = run(to_torch(x), hx, None if lengths is None else to_torch(lengths))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    def train(mode: bool) -> None:
        """``forward.train``."""
        nonlocal training
        training = mode

    model: Any = forward
    model.vjp = vjp_of(run, config, weights)
    model.load, model.train = lambda params: weights.update(leaves(params)), train
    return model
