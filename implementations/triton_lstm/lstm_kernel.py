"""One step of one LSTM layer as a Triton kernel: float32, products without TF32, one program for each block of h."""

# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl


@triton.jit
def product(total, x, w, rows, units, N, H, K, BLOCK_K: tl.constexpr, TAIL: tl.constexpr):
    """``total`` (rows, units) + x (N, K) · w (H, K)ᵀ, block by block of K; the last may reach past its end."""
    blocks = K // BLOCK_K
    if TAIL:
        blocks = tl.cdiv(K, BLOCK_K)
    for block in range(0, blocks):
        k = block * BLOCK_K + tl.arange(0, BLOCK_K)
        left = tl.load(x + rows[:, None] * K + k[None, :], (rows[:, None] < N) & (k[None, :] < K), other=0.0)
        right = tl.load(w + units[None, :] * K + k[:, None], (units[None, :] < H) & (k[:, None] < K), other=0.0)
        total += tl.dot(left, right, input_precision="ieee")
    return total


@triton.jit
def preactivation(
    gate, x, h, w_ih, w_hh, bias, rows, units,
    N, I, H,  # noqa: E741
    BLOCK_K: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """x W_ihᵀ + h W_hhᵀ + b of one gate."""
    total = tl.zeros((rows.shape[0], units.shape[0]), tl.float32)
    total += tl.load(bias + gate * H + units, units < H, other=0.0)[None, :]
    total = product(total, x, w_ih + gate * H * I, rows, units, N, H, I, BLOCK_K, True)
    return product(total, h, w_hh + gate * H * H, rows, units, N, H, H, BLOCK_K, TAIL)


@triton.jit
def sigmoid(a):
    """1 / (1 + e^−a), by an exact division: the default one is off by two units."""
    return tl.div_rn(1.0, 1.0 + tl.exp(-a))


@triton.jit
def tanh(a):
    """(1 − e^−2|a|) / (1 + e^−2|a|) with the sign of a: nothing overflows."""
    e = tl.exp(-2.0 * tl.abs(a))
    y = tl.div_rn(1.0 - e, 1.0 + e)
    return tl.where(a < 0, -y, y)


@triton.jit(do_not_specialize=["N", "I", "H"])
def step(
    x, h, c, w_ih, w_hh, bias, h_new,
    N, I, H,  # noqa: E741
    BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_K: tl.constexpr, TAIL: tl.constexpr,
):  # fmt: skip
    """h_new (N, H) from x (N, I), h (N, H) and c (N, H); c is updated in place, by the program that alone reads it."""
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    units = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    i = sigmoid(preactivation(0, x, h, w_ih, w_hh, bias, rows, units, N, I, H, BLOCK_K, TAIL))
    f = sigmoid(preactivation(1, x, h, w_ih, w_hh, bias, rows, units, N, I, H, BLOCK_K, TAIL))
    g = tanh(preactivation(2, x, h, w_ih, w_hh, bias, rows, units, N, I, H, BLOCK_K, TAIL))
    o = sigmoid(preactivation(3, x, h, w_ih, w_hh, bias, rows, units, N, I, H, BLOCK_K, TAIL))
    place = rows[:, None] * H + units[None, :]
    inside = (rows[:, None] < N) & (units[None, :] < H)
    cell = f * tl.load(c + place, inside, other=0.0) + i * g
    tl.store(c + place, cell, inside)
    tl.store(h_new + place, o * tanh(cell), inside)


def lstm(
    x: torch.Tensor,
    h_0: torch.Tensor,
    c_0: torch.Tensor,
    w_ih: torch.Tensor,
    w_hh: torch.Tensor,
    bias: torch.Tensor,
    tail: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """All outputs (L, N, H) and the last cell (N, H) of one layer: a launch for each step of x (L, N, I).

    ``tail=False`` is a bug to be found: products with h leave out the units past the last whole block.
    """
    L, N, I = x.shape  # noqa: E741
    H = h_0.shape[1]
    output = x.new_empty((L, N, H))
    h, c = h_0, c_0.clone()
    for t in range(L):
        grid = (triton.cdiv(N, BLOCK), triton.cdiv(H, BLOCK))
        step[grid](x[t], h, c, w_ih, w_hh, bias, output[t], N, I, H, BLOCK, BLOCK, BLOCK, tail)
        h = output[t]
    return output, c


#: The side of every block: the smallest that Triton multiplies.
BLOCK = 16
