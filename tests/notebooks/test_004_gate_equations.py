"""Notebook 004: the gate equations written out by hand, next to nn.LSTM under ``torch.manual_seed(1)``."""

from __future__ import annotations

import torch
from printed import State, assert_printed, assert_same, build, every_backend
from torch import Tensor, nn

from conformance import Backend


def by_hand(lstm: nn.LSTM, sequence: Tensor, state: State) -> tuple[Tensor, State]:
    """The notebook's loop: sequence (L, N, I), state ((1, N, H), (1, N, H)) -> output (L, N, H), (h_n, c_n)."""
    packed = lstm.state_dict()
    wii, wif, wig, wio = packed["weight_ih_l0"].split(lstm.hidden_size)
    whi, whf, whg, who = packed["weight_hh_l0"].split(lstm.hidden_size)
    bii, bif, big, bio = packed["bias_ih_l0"].split(lstm.hidden_size)
    bhi, bhf, bhg, bho = packed["bias_hh_l0"].split(lstm.hidden_size)
    hid, c = state[0][0], state[1][0]
    output = []
    for x in sequence:
        i = torch.sigmoid((x @ wii.T + bii) + (hid @ whi.T + bhi))
        f = torch.sigmoid((x @ wif.T + bif) + (hid @ whf.T + bhf))
        g = torch.tanh((x @ wig.T + big) + (hid @ whg.T + bhg))
        o = torch.sigmoid((x @ wio.T + bio) + (hid @ who.T + bho))
        c = (f * c) + (i * g)
        hid = o * torch.tanh(c)
        output.append(hid)
    return torch.stack(output), (hid.unsqueeze(0), c.unsqueeze(0))


@every_backend()
def test_time_major_from_zeros(backend: Backend) -> None:
    torch.manual_seed(1)
    inpt = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).view(2, 1, 3)
    module = nn.LSTM(3, 5)
    outs, (ht, ct) = build(backend, module)(inpt)
    assert_printed(outs, [[[0.1558, -0.1345, 0.1861, 0.1100, 0.0798]], [[0.2747, -0.0403, 0.3198, 0.3457, 0.1773]]])
    assert_printed(ht, [[[0.2747, -0.0403, 0.3198, 0.3457, 0.1773]]])
    assert_printed(ct, [[[0.4520, -0.9810, 0.7305, 0.3731, 0.2464]]])

    output, (hid, c) = by_hand(module, inpt, (torch.zeros(1, 1, 5), torch.zeros(1, 1, 5)))
    assert_same(outs, output)
    assert_same(ht, hid)
    assert_same(ct, c)


@every_backend("batch_first")
def test_batch_first_from_a_state(backend: Backend) -> None:
    torch.manual_seed(1)
    module = nn.LSTM(5, 10, 1, batch_first=True)
    inp = torch.randn(1, 1, 5)
    state = (torch.randn(1, 1, 10), torch.randn(1, 1, 10))
    out, hidden = build(backend, module)(inp, state)
    printed_h = [-0.0853, -0.3509, -0.1043, 0.1794, 0.1093, 0.2788, -0.1967, -0.3151, -0.1653, -0.0048]
    printed_c = [-0.1763, -1.0270, -0.3605, 0.2844, 0.1600, 0.5662, -0.5406, -0.4369, -0.2489, -0.0196]
    assert_printed(out, [[printed_h]])
    assert_printed(hidden[0], [[printed_h]])
    assert_printed(hidden[1], [[printed_c]])

    output, (hid, c) = by_hand(module, inp, state)
    assert_same(out, output)
    assert_same(hidden[0], hid)
    assert_same(hidden[1], c)


def test_the_printed_slices() -> None:
    torch.manual_seed(1)
    whi = nn.LSTM(3, 5).state_dict()["weight_hh_l0"][:5]
    printed = [
        [-0.2891, 0.2905, 0.2715, 0.3966, -0.2507],
        [-0.0736, -0.0087, 0.0653, -0.3394, -0.3174],
        [0.2433, -0.1049, 0.2185, 0.0255, 0.1468],
        [0.0983, 0.1626, 0.2217, -0.4142, 0.2251],
        [-0.3144, -0.3374, 0.0272, -0.0762, 0.2627],
    ]
    assert_printed(whi, printed)
