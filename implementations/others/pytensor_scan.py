"""pytensor.scan over the equations of an LSTM, as users of PyTensor write one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call, zeros

CAPABILITIES = Capabilities(gradients=True, dtypes=("float32", "float64"))
NOTE = "the equations of a step are the adapter's; the loop, its compilation and its gradient are PyTensor's"
NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


@cache
def compiled(dtype: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The LSTM and its gradient, once for all sizes."""
    import pytensor
    from pytensor import tensor as pt

    x, h_0, c_0 = pt.tensor3(dtype=dtype), pt.matrix(dtype=dtype), pt.matrix(dtype=dtype)
    w_x, w_h, b_x, b_h = weights = [pt.TensorType(dtype, (None,) * n)() for n in (2, 2, 1, 1)]

    def step(x_t: Any, h: Any, c: Any) -> Any:
        a, H = x_t @ w_x.T + b_x + h @ w_h.T + b_h, w_h.shape[1]
        i, f, g, o = (a[:, gate * H : (gate + 1) * H] for gate in range(4))
        c = pt.sigmoid(f) * c + pt.sigmoid(i) * pt.tanh(g)
        return pt.sigmoid(o) * pt.tanh(c), c

    h, c = pytensor.scan(step, sequences=[x], outputs_info=[h_0, c_0], return_updates=False)
    results, leaves = [h, h[-1], c[-1]], [x, h_0, c_0, *weights]
    upstream = [pt.tensor3(dtype=dtype), pt.matrix(dtype=dtype), pt.matrix(dtype=dtype)]
    loss = sum((part * grad).sum() for part, grad in zip(results, upstream, strict=True))
    grads = pt.grad(loss, leaves)
    return pytensor.function(leaves, results), pytensor.function([*leaves, *upstream], [*results, *grads])


@backend("pytensor-scan", CAPABILITIES, needs("pytensor", install="pip install pytensor"), note=NOTE)
def pytensor_scan(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp``."""
    refuse(CAPABILITIES, config)
    weights = [np.array(params[name]) for name in NAMES]
    run, differentiate = compiled(config.dtype)

    def arrays(x: Array, state: State | None) -> list[Array]:
        refuse_call(CAPABILITIES, x)
        (h_0,), (c_0,) = zeros(config, x) if state is None else state
        return [np.array(part) for part in (x, h_0, c_0)]

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I) -> output (L, N, H), (h_n, c_n)."""
        output, h_n, c_n = run(*arrays(x, state), *weights)
        return output, (h_n[None], c_n[None])

    def vjp(x: Array, state: State | None, lengths: None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        upstream = [np.array(part) for part in (cotangents[0], cotangents[1][0], cotangents[2][0])]
        output, h_n, c_n, d_x, d_h_0, d_c_0, *grads = differentiate(*arrays(x, state), *weights, *upstream)
        inputs = {"x": d_x, "h_0": d_h_0[None], "c_0": d_c_0[None]}
        return (output, (h_n[None], c_n[None])), inputs | dict(zip(NAMES, grads, strict=True))

    model: Any = forward
    model.vjp = vjp
    return model
