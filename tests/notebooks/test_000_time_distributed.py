"""Notebook 000: an LSTM(5→3) stepped through six elements, in bulk, and under a Linear layer.

The notebook set no seed and shows only a part of its weights, so its numbers cannot be had again. What it claims is
tested: the two ways agree, the last output is the final hidden state, the weights' shapes, and that a Linear layer over
the whole output is the layer applied time step by time step.
"""

from __future__ import annotations

import torch
from printed import assert_same, build, every_backend
from torch import nn

from conformance import Backend, LSTMConfig
from conformance.spec import param_shapes


@every_backend()
def test_stepping_with_the_state_carried_is_the_bulk_run(backend: Backend) -> None:
    torch.manual_seed(0)
    lstm = build(backend, nn.LSTM(5, 3))
    inputs = [torch.randn(1, 5) for _ in range(6)]
    initial = (torch.randn(1, 1, 3), torch.randn(1, 1, 3))

    hidden = initial
    outputs = []
    for i in inputs:
        out, hidden = lstm(i.view(1, 1, -1), hidden)
        outputs.append(out)

    bulk, (h_n, c_n) = lstm(torch.cat(inputs).view(len(inputs), 1, -1), initial)
    assert bulk.shape == (6, 1, 3)
    assert h_n.shape == c_n.shape == (1, 1, 3)
    assert_same(bulk, torch.cat(outputs))
    assert_same(h_n, hidden[0])
    assert_same(c_n, hidden[1])


@every_backend()
def test_the_last_output_is_the_final_hidden_state(backend: Backend) -> None:
    torch.manual_seed(0)
    out, (h_n, _) = build(backend, nn.LSTM(5, 3))(torch.randn(6, 1, 5), (torch.randn(1, 1, 3), torch.randn(1, 1, 3)))
    assert torch.equal(out[-1:], h_n)


@every_backend()
def test_a_linear_layer_over_the_output_is_applied_step_by_step(backend: Backend) -> None:
    torch.manual_seed(0)
    out, _ = build(backend, nn.LSTM(5, 3))(torch.randn(6, 2, 5))
    linear = nn.Linear(3, 4)
    with torch.no_grad():
        assert_same(linear(out), torch.stack([linear(step) for step in out]))


def test_the_weights_are_four_gates_high() -> None:
    printed = {"weight_ih_l0": (12, 5), "weight_hh_l0": (12, 3), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    assert {name: tuple(value.shape) for name, value in nn.LSTM(5, 3).state_dict().items()} == printed
    assert param_shapes(LSTMConfig(5, 3)) == printed
