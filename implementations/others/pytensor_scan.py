"""pytensor.scan over the equations of an LSTM, as users of PyTensor write one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of_layer
from implementations.options import refuse, refuse_cotangents, zeros

KNOWN = finding("pytensor-01-empty-product-unchecked", "refusals.state-shape")  # threads: pytensor-02-two-threads
CAPABILITIES = Capabilities(gradients=True, dtypes=("float32", "float64"), threads=False, expected_failures=KNOWN)
NOTE = "the equations of a step are the adapter's; the loop, its compilation and its gradient are PyTensor's"
NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@cache
def compiled(dtype: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The LSTM and its gradient, once for all sizes."""
    import pytensor
    from pytensor import tensor as pt

    x, h_0, c_0, *upstream = (kind(dtype=dtype) for kind in (pt.tensor3, pt.matrix, pt.matrix) * 2)
    w_x, w_h, b_x, b_h = weights = [pt.TensorType(dtype, (None,) * n)() for n in (2, 2, 1, 1)]

    def step(x_t: Any, h: Any, c: Any) -> Any:
        a, H = x_t @ w_x.T + b_x + h @ w_h.T + b_h, w_h.shape[1]
        i, f, g, o = (a[:, gate * H : (gate + 1) * H] for gate in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c

    h, c = pytensor.scan(step, sequences=[x], outputs_info=[h_0, c_0], return_updates=False)
    results, leaves = [h, h[-1], c[-1]], [x, h_0, c_0, *weights]
    loss = sum((part * grad).sum() for part, grad in zip(results, upstream, strict=True))
    grads = pt.grad(loss, leaves)
    return pytensor.function(leaves, results), pytensor.function([*leaves, *upstream], [*results, *grads])


@backend("pytensor-scan", CAPABILITIES, needs("pytensor", install="pip install pytensor"), note=NOTE)
def pytensor_scan(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """One layer, one direction, time-major."""
    refuse(CAPABILITIES, config)
    weights = [np.array(params[name]) for name in NAMES]
    run, gradient = compiled(config.dtype)

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return run(*map(np.array, (x, *(state or (part[0] for part in zeros(config, x))))), *weights)

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        output, h_n, c_n, *grads = gradient(*map(np.array, (x, *state, *weights, *cotangents)))
        refuse_cotangents((output, h_n, c_n), cotangents)
        return (output, h_n, c_n), dict(zip(("x", "h_0", "c_0", *NAMES), grads, strict=True))

    return model_of_layer(CAPABILITIES, config, call, differentiate)
