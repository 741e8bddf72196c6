"""What a backend made of JAX needs: a traced function of nn.LSTM's arrays, compiled, with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Params
from implementations import model
from implementations.options import refuse

#: ``run(config, weights, x, state, lengths) -> output, h_n, c_n``, of JAX arrays by nn.LSTM's names and shapes.
Run = Callable[..., Any]


def model_of(run: Run, declared: Capabilities, config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of ``run``; raises ``Unsupported`` for options that are not declared."""
    import jax

    refuse(declared, config)
    jax.config.update("jax_enable_x64", True)
    weights = {name: jax.numpy.array(value) for name, value in params.items()}
    run_compiled, gradient = compiled(run, config)

    def on_arrays(function: Callable[..., Any], *arguments: Any) -> Any:
        # XLA may read the caller's memory after the call has returned: hand it copies.
        return jax.tree.map(np.array, function(weights, *jax.tree.map(np.array, arguments)))

    def differentiate(*arguments: Any) -> Any:
        found, (grads, d_x, (d_h_0, d_c_0)) = on_arrays(gradient, *arguments)
        return found, {"x": d_x, "h_0": d_h_0, "c_0": d_c_0, **grads}

    return model.model_of(declared, config, lambda *arguments: on_arrays(run_compiled, *arguments), differentiate)


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
