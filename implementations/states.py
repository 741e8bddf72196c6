"""nn.LSTM's states, (layers·D, N, H), as libraries take and give them: h and c of layer 0, h and c of layer 1, …"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, State


def by_layer(config: LSTMConfig, state: State, axis: int = 0) -> list[Array]:
    """h and c of each layer, (D, N, H), or (N, D, H) if the directions' ``axis`` is 1."""
    D = config.num_directions
    return [part[D * k : D * (k + 1)].swapaxes(0, axis) for k in range(config.num_layers) for part in state]


def joined(parts: Sequence[Array], axis: int = 0) -> State:
    """(h_n, c_n) of what ``by_layer`` gives."""
    h_n, c_n = (np.concatenate(own, axis).swapaxes(0, axis) for own in (parts[::2], parts[1::2]))
    return h_n, c_n
