"""Notebook 001: LSTM(5→10, batch_first) on one element, with an initial state.

The notebook set no seed, so its numbers cannot be had again; notebook 004 runs the same cells under one. The shapes it
printed are tested, and that the only output is the final hidden state.
"""

from __future__ import annotations

import torch
from printed import build, every_backend
from torch import nn

from conformance import Backend


@every_backend("batch_first")
def test_shapes_of_one_element(backend: Backend) -> None:
    torch.manual_seed(0)
    lstm = build(backend, nn.LSTM(5, 10, 1, batch_first=True))
    out, (h_n, c_n) = lstm(torch.randn(1, 1, 5), (torch.randn(1, 1, 10), torch.randn(1, 1, 10)))
    assert out.shape == h_n.shape == c_n.shape == (1, 1, 10)
    assert torch.equal(out, h_n)


@every_backend("batch_first")
def test_an_output_at_every_time_step(backend: Backend) -> None:
    torch.manual_seed(0)
    out, (h_n, c_n) = build(backend, nn.LSTM(5, 10, 1, batch_first=True))(torch.randn(2, 3, 5))
    assert out.shape == (2, 3, 10)
    assert h_n.shape == c_n.shape == (1, 2, 10)
    assert torch.equal(out[:, -1], h_n[0])
