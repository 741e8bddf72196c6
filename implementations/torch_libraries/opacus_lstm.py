"""opacus.layers.DPLSTM, the "drop-in replacement" for nn.LSTM under differential privacy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.install import needs
from implementations.options import refuse

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    lengths=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64"),
)


@backend("opacus", CAPABILITIES, needs("opacus", install="pip install opacus"))
def opacus_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has nn.LSTM's constructor and state_dict."""
    from opacus.layers import DPLSTM

    from conformance.torch_module import build_of

    refuse(CAPABILITIES, config)
    return build_of(DPLSTM)(config, params)
