"""opacus.layers.DPLSTM, the "drop-in replacement" for nn.LSTM under differential privacy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import STATES_UNCHECKED, finding, needs
from implementations.options import refuse

# Neither dropout nor float64 is declared: docs/findings/opacus-01-dropout-of-the-last-layer.md and
# opacus-02-packed-state-in-float32.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    lengths=True,
    gradients=True,
    expected_failures=finding("opacus-03-unbatched-misread", "refusals.undeclared")
    | finding("opacus-04-shapes-unchecked", *STATES_UNCHECKED),
)


@backend("opacus", CAPABILITIES, needs("opacus", install="pip install opacus"))
def opacus_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has nn.LSTM's constructor and state_dict."""
    from opacus.layers import DPLSTM

    from conformance.torch_module import build_of

    refuse(CAPABILITIES, config)
    return build_of(DPLSTM)(config, params)
