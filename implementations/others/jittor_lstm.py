"""jittor.nn.LSTM on the CPU. Jittor compiles its operators by a C++ compiler when they are first used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call, zeros

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    projection=True,
    gradients=True,
    dropout=True,
    compiled=True,
    threads=False,
)


@backend("jittor", CAPABILITIES, needs("jittor", install="pip install jittor 'numpy<2', and g++"))
def jittor_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp``."""
    os.environ.setdefault("nvcc_path", "")  # else it takes a CUDA compiler for a GPU
    os.environ.setdefault("use_mkl", "0")  # else it downloads oneDNN
    import jittor as jt

    refuse(CAPABILITIES, config)
    lstm = jt.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        config.bias,
        config.batch_first,
        config.dropout,
        config.bidirectional,
        config.proj_size,
    )
    variables = dict(lstm.named_parameters())
    for name, variable in variables.items():
        variable.assign(np.array(params[name]))
    lstm.train() if config.training else lstm.eval()

    def run(x: Array, state: State | None) -> Any:
        refuse_call(CAPABILITIES, x)
        leaves = [jt.array(np.array(part)) for part in (x, *(state or ()))]
        output, (h_n, c_n) = lstm(leaves[0], tuple(leaves[1:]) or None)
        return leaves, (output, h_n, c_n)

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        _, found = run(x, state)
        output, h_n, c_n = (part.numpy() for part in found)
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        leaves, found = run(x, zeros(config, x) if state is None else state)
        upstream = (jt.array(np.array(part)) for part in cotangents)
        loss = sum((part * grad).sum() for part, grad in zip(found, upstream, strict=True))
        grads = jt.grad(loss, [*leaves, *variables.values()])
        output, h_n, c_n = (part.numpy() for part in found)
        pairs = zip(("x", "h_0", "c_0", *variables), grads, strict=True)
        return (output, (h_n, c_n)), {name: grad.numpy() for name, grad in pairs}

    model: Any = forward
    model.vjp = vjp
    return model
