"""From a function on tensors to the model that the suite calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from conformance import LSTMConfig, Unsupported
from conformance.spec import Array, State
from conformance.torch_module import from_torch, to_torch, vjp_of
from implementations.torch_nn import load_weights


def forward_of(run: Callable[..., Any]) -> Any:
    """``forward(x, state, lengths)`` by ``run(x, hx) -> output, (h_n, c_n)`` on tensors, hx None or (h_0, c_0).

    No gradients are recorded. Lengths are the third argument of ``run`` where they are given.
    """

    @torch.no_grad()
    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        output, (h_n, c_n) = run(to_torch(x), hx, *(() if lengths is None else (to_torch(lengths),)))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    return forward


def tensor_model(run: Callable[..., Any], config: LSTMConfig, lstm: torch.nn.LSTM) -> Any:
    """``forward_of(run)`` with ``vjp``, ``load`` and ``train``, where ``run`` reads the weights of ``lstm``."""
    model = forward_of(run)
    model.vjp = vjp_of(run, config, dict(lstm.named_parameters()))
    model.load, model.train = partial(load_weights, lstm), lstm.train
    return model


def without_onednn(function: Callable[..., Any]) -> Any:
    """``function``, each call made with oneDNN switched off."""

    def called(*arguments: Any, **named: Any) -> Any:
        with torch.backends.mkldnn.flags(enabled=False):
            return function(*arguments, **named)

    return called


def refuse_many_steps(config: LSTMConfig, x: torch.Tensor, most: int) -> None:
    """Raise ``Unsupported`` for more than ``most`` steps: each is written out, and compiling takes minutes."""
    steps = x.shape[1 if config.batch_first and x.ndim == 3 else 0]
    if steps > most:
        raise Unsupported(f"{steps} steps: each is written out, and more than {most} take minutes to compile")
