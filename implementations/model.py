"""What adapters of frameworks have in common: the model that they return, from two functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
