"""Notebook 003: every weight 1, hidden size 1: what stacked layers and two directions return, and where."""

from __future__ import annotations

import pytest
import torch
from printed import assert_printed, build, every_backend
from torch import nn

from conformance import Backend, LSTMConfig
from conformance.spec import param_shapes

INPT = torch.tensor([0.7050, 0.9573]).view(2, 1, 1)


def ones(num_layers: int, bidirectional: bool) -> nn.LSTM:
    model = nn.LSTM(1, 1, num_layers, bidirectional=bidirectional)
    for param in model.parameters():
        nn.init.ones_(param)
    return model


@every_backend()
def test_one_layer(backend: Backend) -> None:
    o, (h, _) = build(backend, ones(1, False))(INPT)
    assert_printed(o, [[[0.6844]], [[0.9300]]])
    assert_printed(h, [[[0.9300]]])


@every_backend()
def test_one_layer_element_by_element_forwards_and_backwards(backend: Backend) -> None:
    lstm = build(backend, ones(1, False))
    for sequence, printed in ((INPT, (0.6844, 0.9300)), (INPT.flip(0), (0.7013, 0.9239))):
        o, hidden = lstm(sequence[:1])
        assert_printed(o, [[[printed[0]]]])
        assert_printed(hidden[0], [[[printed[0]]]])
        o, hidden = lstm(sequence[1:], hidden)
        assert_printed(o, [[[printed[1]]]])
        assert_printed(hidden[0], [[[printed[1]]]])


@every_backend("layers")
def test_two_layers(backend: Backend) -> None:
    lstm = build(backend, ones(2, False))
    o, (h, _) = lstm(INPT)
    assert_printed(o, [[[0.6828]], [[0.9290]]])
    assert_printed(h, [[[0.9300]], [[0.9290]]])


@every_backend("layers")
def test_two_layers_element_by_element(backend: Backend) -> None:
    lstm = build(backend, ones(2, False))
    o, hidden = lstm(INPT[:1])
    assert_printed(o, [[[0.6828]]])
    assert_printed(hidden[0], [[[0.6844]], [[0.6828]]])
    o, hidden = lstm(INPT[1:], hidden)
    assert_printed(o, [[[0.9290]]])
    assert_printed(hidden[0], [[[0.9300]], [[0.9290]]])


@every_backend("bidirectional")
def test_two_directions(backend: Backend) -> None:
    o, (h1, _) = build(backend, ones(1, True))(INPT)
    assert_printed(o, [[[0.6844, 0.9239]], [[0.9300, 0.7013]]])
    assert_printed(h1, [[[0.9300]], [[0.9239]]])
    assert_printed(h1[-2, :, :], [[0.9300]])
    assert_printed(h1[-1, :, :], [[0.9239]])


@every_backend("layers", "bidirectional")
def test_two_layers_of_two_directions(backend: Backend) -> None:
    o, (h2, _) = build(backend, ones(2, True))(INPT)
    assert_printed(o, [[[0.7299, 0.9477]], [[0.9480, 0.7306]]])
    assert_printed(o[:, :, :1], [[[0.7299]], [[0.9480]]])
    assert_printed(o[:, :, 1:], [[[0.9477]], [[0.7306]]])
    assert_printed(h2, [[[0.9300]], [[0.9239]], [[0.9480]], [[0.9477]]])

    num_layers, num_directions, batch, hidden_size = 2, 2, 1, 1
    first_layer, second_layer = h2.view(num_layers, num_directions, batch, hidden_size)
    assert_printed(first_layer, [[[0.9300]], [[0.9239]]])
    assert_printed(second_layer, [[[0.9480]], [[0.9477]]])


@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "ends"),
    [(1, False, ["l0"]), (2, False, ["l0", "l1"]), (1, True, ["l0", "l0_reverse"])],
)
def test_parameter_names_in_the_printed_order(num_layers: int, bidirectional: bool, ends: list[str]) -> None:
    shapes = (("weight_ih", (4, 1)), ("weight_hh", (4, 1)), ("bias_ih", (4,)), ("bias_hh", (4,)))
    printed = [(f"{name}_{end}", shape) for end in ends for name, shape in shapes]
    model = ones(num_layers, bidirectional)
    assert [(name, tuple(param.shape)) for name, param in model.named_parameters()] == printed
    config = LSTMConfig(1, 1, num_layers, bidirectional=bidirectional)
    assert list(param_shapes(config).items()) == printed
