"""keras.layers.LSTM and Bidirectional on torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.keras_family.layers import (
    CAPABILITIES,
    call,
    checked,
    gradients_of,
    layers_of,
    unavailable,
    variables_of,
)
from implementations.options import refuse, refuse_call, zeros

PADDING = {"gradients.padding": "docs/findings/keras-05-torch-nan-padding-gradient.md"}
FLOAT32 = replace(CAPABILITIES, dtypes=("float32",), expected_failures=PADDING)
FLOAT64 = replace(CAPABILITIES, dtypes=("float64",))
available = partial(unavailable, "torch", "torch")


def model_of(declared: Capabilities, unroll: bool, config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward`` and ``forward.vjp`` of the layers."""
    import torch

    from conformance.torch_module import from_torch, to_torch

    refuse(declared, config)
    layers = layers_of(config, unroll)
    matrices = {name: value.T for name, value in params.items()}
    for k, layer in enumerate(layers):
        layer.set_weights(variables_of(config, matrices, k))
    run = partial(call, layers, config)

    def tensors(x: Array, state: State | None, lengths: Array | None) -> Any:
        refuse_call(declared, x, lengths)
        return to_torch(x), state and tuple(map(to_torch, state)), None if lengths is None else to_torch(lengths)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (N, L, I) -> output (N, L, D·H), (h_n, c_n)."""
        output, h_n, c_n = map(from_torch, run(*tensors(x, state, lengths)))
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        x_t, state_t, rows = tensors(x, zeros(config, x) if state is None else state, lengths)
        leaves = [part.detach().requires_grad_() for part in (x_t, *state_t)]
        found = run(leaves[0], tuple(leaves[1:]), rows)
        variables = [variable.value for layer in layers for variable in layer.trainable_variables]
        wanted, upstream = [*leaves, *variables], [to_torch(np.array(part)) for part in cotangents]
        grads = torch.autograd.grad(found, wanted, upstream, allow_unused=True, materialize_grads=True)
        output, h_n, c_n = map(from_torch, found)
        inputs = dict(zip(("x", "h_0", "c_0"), map(from_torch, grads), strict=False))
        return (output, (h_n, c_n)), inputs | gradients_of(config, list(map(from_torch, grads[3:])))

    model: Any = forward
    model.vjp = vjp
    return checked(config, model)


@backend("keras-torch", FLOAT32, available)
def keras_torch(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Keras' own loop over the steps; with lengths, its loop with a mask."""
    return model_of(FLOAT32, False, config, params)


@backend("keras-torch-unroll", FLOAT32, available)
def keras_torch_unroll(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """With unroll=True, which with lengths is another loop."""
    return model_of(FLOAT32, True, config, params)


@backend("keras-torch-float64", FLOAT64, available)
def keras_torch_float64(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``keras_torch`` with dtype="float64"."""
    return model_of(FLOAT64, False, config, params)
