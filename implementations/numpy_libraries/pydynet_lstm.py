"""pydynet.nn.LSTM, in the manner of PyTorch, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend, reorder
from conformance.spec import Params
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.model import model_of
from implementations.options import refuse

KNOWN = finding("pydynet-01-nan-hidden", *NAN_HIDDEN) | finding("pydynet-02-tensors-kept", "purity.memory")
# No gradients, which would take hours: docs/findings/pydynet-02-tensors-kept.md, pydynet-03-quadratic-backward.md.
CAPABILITIES = Capabilities(
    layers=True, no_bias=True, dtypes=("float32", "float64"), threads=False, expected_failures=KNOWN
)


@backend("pydynet", CAPABILITIES, needs("pydynet", install="pip install pydynet"))
def pydynet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Matrices are nn.LSTM's transposed, gates f, i, o, g, with one bias."""
    import pydynet as pdn
    from pydynet.nn import LSTM

    refuse(CAPABILITIES, config)
    lstm = LSTM(config.input_size, config.hidden_size, config.num_layers, config.bias, dtype=config.dtype)
    places: dict[str, Any] = {}
    for k, cell in enumerate(lstm.LSTMCells):
        places |= {f"weight_ih_l{k}": cell.Wx, f"weight_hh_l{k}": cell.Wh}
        places |= {f"bias_ih_l{k}": cell.bias} if config.bias else {}
    for name, place in places.items():
        value = params[name] if name.startswith("weight") else params[name] + params[name.replace("_ih", "_hh")]
        place.data[...] = reorder(value, "fiog").T

    @pdn.no_grad()
    def call(x: Any, state: Any, lengths: Any) -> Any:
        given = [pdn.Tensor(np.array(part), dtype=config.dtype) for part in (x, *(state or ()))]
        output, (h_n, c_n) = lstm(given[0], tuple(given[1:]) or None)
        return tuple(np.array(part.data) for part in (output, h_n, c_n))

    return model_of(CAPABILITIES, config, call)
