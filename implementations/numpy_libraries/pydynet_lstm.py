"""pydynet.nn.LSTM, in the manner of PyTorch, on NumPy arrays with automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend, reorder
from conformance.spec import Params
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.model import model_of, one_bias
from implementations.options import refuse, refuse_cotangents

KNOWN = finding("pydynet-01-nan-hidden", *NAN_HIDDEN, "gradients.nan-kept")
KNOWN |= finding("pydynet-02-tensors-kept", "purity.memory")
CAPABILITIES = Capabilities(
    layers=True, no_bias=True, gradients=True, dtypes=("float32", "float64"), threads=False, expected_failures=KNOWN
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

    def run(x: Any, state: Any) -> Any:
        leaves = [pdn.Tensor(np.array(part), dtype=config.dtype, requires_grad=True) for part in (x, *(state or ()))]
        output, (h_n, c_n) = lstm(leaves[0], tuple(leaves[1:]) or None)
        return leaves, (output, h_n, c_n), tuple(np.array(part.data) for part in (output, h_n, c_n))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        if len(x) > 500:
            raise Unsupported(f"gradients of {len(x)} steps: docs/findings/pydynet-03-quadratic-backward.md")
        leaves, found, results = run(x, state)
        refuse_cotangents(results, cotangents)
        for place in places.values():
            place.zero_grad()
        upstream = (pdn.Tensor(grad, dtype=config.dtype) for grad in cotangents)
        loss: Any = sum((part * grad).sum() for part, grad in zip(found, upstream, strict=True))
        loss.backward()
        grads = dict(zip(("x", "h_0", "c_0"), (np.array(leaf.grad) for leaf in leaves), strict=True))
        # That order of itself is nn.LSTM's.
        grads |= {name: reorder(np.array(place.grad).T, "fiog") for name, place in places.items()}
        return results, one_bias(grads)

    call = pdn.no_grad()(lambda x, state, lengths: run(x, state)[2])
    return model_of(CAPABILITIES, config, call, differentiate)
