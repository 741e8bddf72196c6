"""nn.LSTM's weights and arrays for DyNet, and back: one bias, a forget gate that adds 1 itself, columns for rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig, reorder
from conformance.spec import Array, Params

#: The order of the gates. The same order of itself is nn.LSTM's.
ORDER = "ifog"


def filled(config: LSTMConfig, params: Params) -> tuple[Any, Any, dict[str, Any]]:
    """A builder, the collection with which its weights are freed, and its parameters by nn.LSTM's names.

    docs/findings/dynet-01-collection-freed.md
    """
    import dynet as dy

    H, collection = config.hidden_size, dy.ParameterCollection()
    builder = dy.VanillaLSTMBuilder(config.num_layers, config.input_size, H, collection)
    leaves: dict[str, Any] = {}
    for k, (w_x, w_h, b) in enumerate(builder.get_parameters()):
        bias = reorder(params[f"bias_ih_l{k}"] + params[f"bias_hh_l{k}"], ORDER)
        bias[H : 2 * H] -= 1
        w_x.set_value(reorder(params[f"weight_ih_l{k}"], ORDER))
        w_h.set_value(reorder(params[f"weight_hh_l{k}"], ORDER))
        b.set_value(bias)
        leaves |= {f"weight_ih_l{k}": w_x, f"weight_hh_l{k}": w_h, f"bias_ih_l{k}": b, f"bias_hh_l{k}": b}
    return builder, collection, leaves


def expressions(array: Array) -> list[Any]:
    """(L, N, I) -> L expressions, (I,) for each of N rows."""
    import dynet as dy

    if array.ndim != 3:  # DyNet never sees it: it gets a list of columns, and to it (H, 1) is one too
        raise ValueError(f"three axes are wanted, got {array.shape}")
    return [dy.inputTensor(np.array(part.T), batched=True) for part in array]


def values(parts: list[Any], size: int) -> Array:
    """L expressions, (size,) for each of N rows -> (L, N, size)."""
    return np.stack([part.npvalue().reshape(size, -1).T for part in parts]).astype("float32")


def gradients(leaves: dict[str, Any], inputs: dict[str, list[Any]], rows: int) -> dict[str, Array]:
    """Of the parameters, and of x, h_0 and c_0, which are expressions for each of N ``rows``."""
    grads = {name: reorder(place.grad_as_array(), ORDER) for name, place in leaves.items()}
    grads |= {name: np.stack([part.gradient().reshape(-1, rows).T for part in parts]) for name, parts in inputs.items()}
    # DyNet computes in float32, and hands its arrays over in float64.
    return {name: grad.astype("float32") for name, grad in grads.items()}
