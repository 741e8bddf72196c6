"""The textbook loop in torch: four gates, each from its own slice of the packed weights, one time step at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State, suffix
from conformance.torch_module import to_torch

DTYPES = ("float32", "float64")


@backend(
    "torch-loop",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        dropout=True,
        dtypes=DTYPES,
    ),
)
def torch_loop(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` that computes one gate at a time, as the equations are written."""
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    weights = {name: to_torch(value) for name, value in params.items()}
    no_bias = torch.zeros(4 * config.hidden_size, dtype=getattr(torch, config.dtype))

    def scan(x: Tensor, h: Tensor, c: Tensor, end: str) -> tuple[Tensor, Tensor, Tensor]:
        """x (L, N, ·), h (N, P), c (N, H) -> output (L, N, P), h_n (N, P), c_n (N, H)."""
        W_ii, W_if, W_ig, W_io = weights["weight_ih" + end].chunk(4)
        W_hi, W_hf, W_hg, W_ho = weights["weight_hh" + end].chunk(4)
        b_ii, b_if, b_ig, b_io = weights.get("bias_ih" + end, no_bias).chunk(4)
        b_hi, b_hf, b_hg, b_ho = weights.get("bias_hh" + end, no_bias).chunk(4)
        W_hr = weights.get("weight_hr" + end)
        output = []
        for x_t in x:
            i = torch.sigmoid(x_t @ W_ii.T + b_ii + h @ W_hi.T + b_hi)
            f = torch.sigmoid(x_t @ W_if.T + b_if + h @ W_hf.T + b_hf)
            g = torch.tanh(x_t @ W_ig.T + b_ig + h @ W_hg.T + b_hg)
            o = torch.sigmoid(x_t @ W_io.T + b_io + h @ W_ho.T + b_ho)
            c = f * c + i * g
            h = o * torch.tanh(c)
            if W_hr is not None:
                h = h @ W_hr.T
            output.append(h)
        return torch.stack(output), h, c

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        if x.ndim not in (2, 3) or x.shape[-1] != config.input_size:
            raise ValueError(f"x must have 2 or 3 axes, the last of {config.input_size} features, got {x.shape}")
        sequence = to_torch(x)
        batch_first = config.batch_first and x.ndim == 3
        if batch_first:
            sequence = sequence.transpose(0, 1)
        rows = sequence.shape[1:-1]
        h_shape = (config.num_layers * config.num_directions, *rows, config.output_size)
        c_shape = (config.num_layers * config.num_directions, *rows, config.hidden_size)
        if state is None:
            h_0, c_0 = sequence.new_zeros(h_shape), sequence.new_zeros(c_shape)
        else:
            h_0, c_0 = to_torch(state[0]), to_torch(state[1])
        for name, given, shape in (("h_0", h_0, h_shape), ("c_0", c_0, c_shape)):
            if given.shape != shape or given.dtype != sequence.dtype:
                raise ValueError(f"{name} must be {sequence.dtype} {shape}, got {given.dtype} {tuple(given.shape)}")

        if not rows:
            sequence, h_0, c_0 = sequence[:, None], h_0[:, None], c_0[:, None]
        finals = []
        for layer in range(config.num_layers):
            halves = []
            for direction in range(config.num_directions):
                slot = len(finals)
                steps = sequence.flip(0) if direction else sequence
                half, *final = scan(steps, h_0[slot], c_0[slot], suffix(layer, direction))
                halves.append(half.flip(0) if direction else half)
                finals.append(final)
            sequence = torch.cat(halves, dim=2)
            if layer < config.num_layers - 1:
                sequence = torch.nn.functional.dropout(sequence, config.dropout, config.training)

        h_n, c_n = (torch.stack(parts) for parts in zip(*finals, strict=True))
        if not rows:
            sequence, h_n, c_n = sequence[:, 0], h_n[:, 0], c_n[:, 0]
        output = sequence.transpose(0, 1) if batch_first else sequence
        return output.numpy(), (h_n.numpy(), c_n.numpy())

    return forward
