"""What adapters of frameworks have in common: the model that they return, from two functions of arrays or tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig
from conformance.spec import Array, State
from implementations.options import refuse_call, zeros

#: ``output, h_n, c_n``, laid out as nn.LSTM's.
Results = tuple[Any, Any, Any]


def model_of(
    declared: Capabilities,
    config: LSTMConfig,
    call: Callable[[Array, State | None, Array | None], Results],
    differentiate: Callable[..., tuple[Results, dict[str, Any]]] | None = None,
) -> Callable[..., Any]:
    """``forward`` by ``call(x, state, lengths)``, and ``forward.vjp`` by ``differentiate``, if it is given.

    ``differentiate(x, state, lengths, cotangents)`` gives the results and the gradients by name; its state is never
    None. A call with an option that is not declared raises ``Unsupported``.
    """

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x in the config's layout -> output in x's layout, (h_n, c_n)."""
        refuse_call(declared, x, state, lengths)
        output, h_n, c_n = call(x, state, lengths)
        return output, (h_n, c_n)

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        assert differentiate
        refuse_call(declared, x, state, lengths)
        (output, h_n, c_n), grads = differentiate(x, state or zeros(config, x), lengths, cotangents)
        return (output, (h_n, c_n)), grads

    model: Any = forward
    if differentiate:
        model.vjp = vjp
    return model


def model_of_layer(
    declared: Capabilities,
    config: LSTMConfig,
    call: Callable[..., Results],
    differentiate: Callable[..., tuple[Results, dict[str, Any]]],
) -> Callable[..., Any]:
    """``model_of`` for a library of one layer, whose states are (N, H), or (H,) without rows."""

    def call_layer(x: Array, state: State | None, lengths: Array | None) -> Results:
        output, h_n, c_n = call(x, state and tuple(part for (part,) in state), lengths)
        return output, h_n[None], c_n[None]

    def differentiate_layer(x: Array, state: State, lengths: Array | None, cotangents: Any) -> Any:
        (h_0,), (c_0,), (d_output, (d_h_n,), (d_c_n,)) = *state, cotangents
        (output, h_n, c_n), grads = differentiate(x, (h_0, c_0), lengths, (d_output, d_h_n, d_c_n))
        return (output, h_n[None], c_n[None]), grads | {name: grads[name][None] for name in ("h_0", "c_0")}

    return model_of(declared, config, call_layer, differentiate_layer)


def on_tensors(
    function: Callable[..., Any], tensor: Callable[[Any], Any], array: Callable[[Any], Any] = np.array
) -> Callable[..., Any]:
    """``function`` of tensors as one of arrays: ``tensor`` makes one of an array, and ``array`` an array of one.

    Arguments and results may be in tuples, lists and dicts, or None.
    """
    return lambda *arguments: _each(array, function(*_each(tensor, arguments)))


def _each(convert: Callable[[Any], Any], parts: Any) -> Any:
    if isinstance(parts, dict):
        return {name: _each(convert, part) for name, part in parts.items()}
    if isinstance(parts, (tuple, list)):
        return tuple(_each(convert, part) for part in parts)
    return None if parts is None else convert(parts)


def one_bias(grads: dict[str, Any]) -> dict[str, Any]:
    """The gradients of a library with one bias, called bias_ih_… here: both of nn.LSTM's have its gradient."""
    same = {name.replace("_ih", "_hh"): grad for name, grad in grads.items() if name.startswith("bias_ih")}
    return grads | same
