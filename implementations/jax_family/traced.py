"""What a backend made of JAX needs: a traced function of nn.LSTM's arrays, compiled, with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Array, Params, State
from implementations.options import refuse, refuse_call, zeros

#: ``run(config, weights, x, state, lengths) -> output, h_n, c_n``, of JAX arrays by nn.LSTM's names and shapes.
Run = Callable[..., Any]


def model_of(run: Run, declared: Capabilities, config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of ``run``; raises ``Unsupported`` for options that are not declared."""
    import jax

    refuse(declared, config)
    jax.config.update("jax_enable_x64", True)
    weights = {name: jax.numpy.array(value) for name, value in params.items()}
    call, differentiate = compiled(run, config)

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        refuse_call(declared, x, lengths)
        # XLA may read the caller's memory after this call has returned: hand it copies.
        arrays = jax.tree.map(np.array, (x, state, lengths))
        output, h_n, c_n = map(np.array, call(weights, *arrays))
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        refuse_call(declared, x, lengths)
        state = zeros(config, x) if state is None else state
        arrays = jax.tree.map(np.array, (x, state, lengths, cotangents))
        found = jax.tree.map(np.array, differentiate(weights, *arrays))
        (output, h_n, c_n), (grads, d_x, (d_h_0, d_c_0)) = found
        return (output, (h_n, c_n)), {"x": d_x, "h_0": d_h_0, "c_0": d_c_0, **grads}

    model: Any = forward
    model.vjp = vjp
    return model


@cache
def compiled(run: Run, config: LSTMConfig) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """``run`` and its gradient, compiled once for all models of a config."""
    import jax

    def call(weights: Any, x: Any, state: Any, lengths: Any) -> Any:
        return run(config, weights, x, state, lengths)

    def differentiate(weights: Any, x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        found, pull = jax.vjp(lambda weights, x, state: call(weights, x, state, lengths), weights, x, state)
        return found, pull(tuple(cotangents))

    return jax.jit(call), jax.jit(differentiate)
