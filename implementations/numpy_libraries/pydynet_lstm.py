"""pydynet.nn.LSTM, in the manner of PyTorch, on NumPy arrays with automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend, reorder
from conformance.spec import Params
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.model import model_of
from implementations.options import refuse, refuse_cotangents
from implementations.torch_libraries.autograd import one_bias

#: Of the steps that a backward pass goes through: their square decides its time.
_MOST_STEPS = 2_000
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
    sizes = config.input_size, config.hidden_size, config.num_layers, config.bias
    lstm = LSTM(*sizes, dtype=config.dtype)
    places: dict[str, Any] = {}
    for k, cell in enumerate(lstm.LSTMCells):
        places |= {f"weight_ih_l{k}": cell.Wx, f"weight_hh_l{k}": cell.Wh}
        cell.Wx.data[...] = reorder(params[f"weight_ih_l{k}"], "fiog").T
        cell.Wh.data[...] = reorder(params[f"weight_hh_l{k}"], "fiog").T
        if config.bias:
            places[f"bias_ih_l{k}"] = cell.bias
            cell.bias.data[...] = reorder(params[f"bias_ih_l{k}"] + params[f"bias_hh_l{k}"], "fiog")

    def run(x: Any, state: Any) -> Any:
        leaves = [pdn.Tensor(np.array(part), dtype=config.dtype, requires_grad=True) for part in (x, *(state or ()))]
        output, (h_n, c_n) = lstm(leaves[0], tuple(leaves[1:]) or None)
        return leaves, (output, h_n, c_n)

    @pdn.no_grad()
    def call(x: Any, state: Any, lengths: Any) -> Any:
        return tuple(np.array(part.data) for part in run(x, state)[1])

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        if len(x) > _MOST_STEPS:
            raise Unsupported(f"gradients of {len(x)} steps: docs/findings/pydynet-03-quadratic-backward.md")
        leaves, found = run(x, state)
        refuse_cotangents(found, cotangents)
        for place in places.values():
            place.zero_grad()
        loss: Any = sum(
            (part * pdn.Tensor(grad, dtype=config.dtype)).sum() for part, grad in zip(found, cotangents, strict=True)
        )
        loss.backward()
        grads: dict[str, Any] = dict(zip(("x", "h_0", "c_0"), (np.array(leaf.grad) for leaf in leaves), strict=True))
        for name, place in places.items():
            grad = np.array(place.grad)
            grads[name] = reorder(grad.T if grad.ndim == 2 else grad, "fiog")  # that order of itself is nn.LSTM's
        return tuple(np.array(part.data) for part in found), one_bias(grads)

    return model_of(CAPABILITIES, config, call, differentiate)
