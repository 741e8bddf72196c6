"""Notebook 002: a (seq, 1, features) input given to a batch_first model is a batch of sequences of length one.

The notebook ran its cells out of order; the random stream that reproduces every number below was found by search and
is written out in ``first_session`` and ``second_session``. Only cell 19's ``cell_state`` comes from a run whose seed
is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from printed import State, assert_printed, assert_same, build, every_backend
from torch import Tensor, nn

from conformance import Backend


class Session(NamedTuple):
    """A batch_first LSTM(3→5), inputs (7, 1, 3), and hidden and cell (7, 1, 5): one state for each element."""

    lstm: nn.LSTM
    inputs: Tensor
    hidden: Tensor
    cell: Tensor

    def state_of(self, element: int) -> State:
        return self.hidden[element].unsqueeze(0), self.cell[element].unsqueeze(0)

    def state_of_all(self) -> State:
        return self.hidden.view(1, 7, 5), self.cell.view(1, 7, 5)


def first_session() -> Session:
    """Cells 25, 26, 35 and 58; other cells drew 165 and 20 numbers in between."""
    torch.manual_seed(1)
    lstm = nn.LSTM(3, 5, batch_first=True)
    torch.empty(165).uniform_()
    inputs = torch.randn(7, 1, 3)
    torch.empty(20).uniform_()
    return Session(lstm, inputs, torch.randn(7, 1, 5), torch.randn(7, 1, 5))


def second_session() -> Session:
    """Cell 96, then 95, then 96 again, which seeds anew, and 97."""
    torch.manual_seed(0)
    torch.randn(7, 1, 3)
    lstm = nn.LSTM(3, 5, batch_first=True)
    torch.manual_seed(0)
    return Session(lstm, torch.randn(7, 1, 3), torch.randn(7, 1, 5), torch.randn(7, 1, 5))


def test_the_inputs_are_the_printed_ones() -> None:
    printed = [
        [[-0.6490, -0.0774, -0.6042]],
        [[-0.5731, 0.9578, 1.5043]],
        [[-1.3950, 0.8008, -0.6619]],
        [[1.2563, 0.5000, 0.0402]],
        [[0.4647, -0.0312, -0.0939]],
        [[-0.6191, -0.6363, -0.4242]],
        [[-2.0272, 1.3015, -0.6293]],
    ]
    assert_printed(first_session().inputs, printed)
    printed = [
        [[-1.1258, -1.1524, -0.2506]],
        [[-0.4339, 0.8487, -1.5551]],
        [[-0.3414, 1.8530, 0.4681]],
        [[-0.1577, 1.4437, 0.2660]],
        [[0.1665, 1.5863, 0.9463]],
        [[-0.8437, 0.9318, 1.2590]],
        [[2.0050, 0.0537, 0.6181]],
    ]
    assert_printed(second_session().inputs, printed)


@every_backend("batch_first")
def test_cells_61_and_82(backend: Backend) -> None:
    session = first_session()
    lstm = build(backend, session.lstm)

    out1, (hid1, cell1) = lstm(session.inputs[0].unsqueeze(0), session.state_of(0))
    assert_printed(out1, [[[0.0014, -0.3442, -0.3233, 0.1272, 0.0628]]])
    assert_printed(hid1, [[[0.0014, -0.3442, -0.3233, 0.1272, 0.0628]]])
    assert_printed(cell1, [[[0.0031, -0.4773, -0.7585, 0.2320, 0.1027]]])

    out, (hidden_state, cell_state) = lstm(session.inputs, session.state_of_all())
    assert hidden_state.shape == cell_state.shape == (1, 7, 5)
    printed = [
        [[0.0014, -0.3442, -0.3233, 0.1272, 0.0628]],
        [[0.1822, -0.1008, -0.1856, 0.2728, -0.1620]],
        [[-0.3205, -0.0206, 0.1476, 0.2962, -0.0751]],
        [[-0.3481, -0.1549, 0.2820, -0.0994, 0.3369]],
        [[-0.0077, 0.0343, -0.2153, 0.0807, 0.1262]],
        [[-0.1799, 0.0330, 0.1802, 0.1951, 0.3317]],
        [[-0.0519, 0.0721, 0.2354, -0.2404, 0.1540]],
    ]
    assert_printed(out, printed)


@every_backend("batch_first")
def test_bulk_mode_prints_a_batch_of_sequences_of_length_one(backend: Backend) -> None:
    session = second_session()
    out, _ = build(backend, session.lstm)(session.inputs, session.state_of_all())
    printed = [
        [[-0.0229, 0.0760, 0.0806, 0.0651, 0.4780]],
        [[-0.0631, -0.3371, -0.1404, -0.3782, 0.0775]],
        [[0.1218, 0.5558, 0.0761, -0.3177, -0.3491]],
        [[0.0722, 0.0822, 0.2336, -0.0847, -0.2263]],
        [[0.0533, 0.0153, 0.1362, -0.3684, -0.1344]],
        [[0.0011, -0.0427, -0.1056, 0.1165, 0.2600]],
        [[-0.0602, -0.1055, 0.0908, 0.1777, -0.0081]],
    ]
    assert_printed(out, printed)


@every_backend("batch_first")
@pytest.mark.parametrize("session", [first_session, second_session])
def test_each_row_of_the_bulk_run_is_a_call_of_its_own(backend: Backend, session: Callable[[], Session]) -> None:
    at = session()
    lstm = build(backend, at.lstm)
    out, (h_n, c_n) = lstm(at.inputs, at.state_of_all())
    for element in range(7):
        own, (own_h, own_c) = lstm(at.inputs[element].unsqueeze(0), at.state_of(element))
        assert_same(out[element], own[0])
        assert_same(h_n[:, element], own_h[:, 0])
        assert_same(c_n[:, element], own_c[:, 0])


@every_backend("batch_first")
def test_the_second_element_with_its_own_state_or_with_the_first_one_s(backend: Backend) -> None:
    session = second_session()
    lstm = build(backend, session.lstm)
    first, second = session.inputs[0].unsqueeze(0), session.inputs[1].unsqueeze(0)

    out_1, (hid_1, cell_1) = lstm(first, session.state_of(0))
    assert_printed(out_1, [[[-0.0229, 0.0760, 0.0806, 0.0651, 0.4780]]])
    assert_printed(hid_1, [[[-0.0229, 0.0760, 0.0806, 0.0651, 0.4780]]])
    assert_printed(cell_1, [[[-0.0422, 0.1172, 0.1255, 0.3234, 0.8920]]])

    out_2, (hid_2, cell_2) = lstm(second, session.state_of(1))
    assert_printed(out_2, [[[-0.0631, -0.3371, -0.1404, -0.3782, 0.0775]]])
    assert_printed(hid_2, [[[-0.0631, -0.3371, -0.1404, -0.3782, 0.0775]]])
    assert_printed(cell_2, [[[-0.1009, -0.5193, -0.2378, -1.1299, 0.2654]]])

    out_2, (hid_2, cell_2) = lstm(second, (hid_1, cell_1))
    assert_printed(out_2, [[[-0.0721, 0.0187, -0.0858, -0.0551, -0.0058]]])
    assert_printed(hid_2, [[[-0.0721, 0.0187, -0.0858, -0.0551, -0.0058]]])
    assert_printed(cell_2, [[[-0.2038, 0.0295, -0.2052, -0.1197, -0.0175]]])


@every_backend()
def test_cells_156_and_157_of_the_official_tutorial(backend: Backend) -> None:
    torch.manual_seed(0)
    lstm = build(backend, nn.LSTM(3, 3))
    inputs = [torch.randn(1, 3) for _ in range(5)]
    hidden = (torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    printed = [
        ([-0.1815, 0.0289, 0.5399], [-0.3697, 0.0903, 1.3455]),
        ([0.0569, 0.1538, 0.0446], [0.1005, 0.3668, 1.2979]),
        ([0.0991, -0.0257, -0.0674], [0.1282, -0.0523, -0.1263]),
        ([0.1365, -0.2060, 0.0026], [0.2138, -0.3261, 0.0117]),
        ([0.2096, 0.0675, 0.0626], [0.3354, 0.2321, 0.4211]),
    ]
    for i, (printed_h, printed_c) in zip(inputs, printed, strict=True):
        out, hidden = lstm(i.view(1, 1, -1), hidden)
        assert_printed(out, [[printed_h]])
        assert_printed(hidden[0], [[printed_h]])
        assert_printed(hidden[1], [[printed_c]])

    hidden = (torch.randn(1, 1, 3), torch.randn(1, 1, 3))
    out, hidden = lstm(torch.cat(inputs).view(len(inputs), 1, -1), hidden)
    bulk = [
        [[-0.3341, 0.1119, 0.2212]],
        [[-0.0564, 0.2298, 0.0374]],
        [[-0.0412, 0.0749, -0.0919]],
        [[0.0481, -0.1281, -0.0022]],
        [[0.1721, 0.0864, 0.0560]],
    ]
    assert_printed(out, bulk)
    assert_printed(hidden[0], [[[0.1721, 0.0864, 0.0560]]])
    assert_printed(hidden[1], [[[0.2710, 0.2993, 0.4017]]])
