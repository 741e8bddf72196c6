"""mindspore.nn.LSTM on the CPU: oneDNN's kernel, and a loop of MindSpore's where there are lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call, zeros

CAPABILITIES = Capabilities(
    layers=True, bidirectional=True, no_bias=True, batch_first=True, lengths=True, gradients=True, dropout=True
)


@backend("mindspore", CAPABILITIES, needs("mindspore", install="pip install mindspore"))
def mindspore_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` and ``forward.vjp``."""
    import mindspore as ms

    refuse(CAPABILITIES, config)
    ms.set_context(mode=ms.PYNATIVE_MODE, device_target="CPU")
    lstm = ms.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        has_bias=config.bias,
        batch_first=config.batch_first,
        dropout=float(config.dropout),
        bidirectional=config.bidirectional,
    )
    variables = {variable.name: variable for variable in lstm.get_parameters()}
    for name, variable in variables.items():
        variable.set_data(ms.Tensor(np.array(params[name])))
    lstm.set_train(config.training)

    def run(x: Any, h_0: Any, c_0: Any, lengths: Any) -> Any:
        output, (h_n, c_n) = lstm(x, (h_0, c_0), lengths)
        return output, h_n, c_n

    def tensor(array: Array | None) -> Any:
        return None if array is None else ms.Tensor(np.array(array))

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        refuse_call(CAPABILITIES, x, lengths)
        output, (h_n, c_n) = lstm(tensor(x), state and tuple(map(tensor, state)), tensor(lengths))
        return output.asnumpy(), (h_n.asnumpy(), c_n.asnumpy())

    def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        refuse_call(CAPABILITIES, x, lengths)
        given = [tensor(part) for part in (x, *(zeros(config, x) if state is None else state))]
        rows = tensor(lengths)
        found, pull = ms.vjp(lambda x, h_0, c_0: run(x, h_0, c_0, rows), *given, weights=list(variables.values()))
        inputs, of_variables = pull(*map(tensor, cotangents))
        grads = zip(("x", "h_0", "c_0", *variables), (*inputs, *of_variables), strict=True)
        output, h_n, c_n = (part.asnumpy() for part in found)
        return (output, (h_n, c_n)), {name: grad.asnumpy() for name, grad in grads}

    model: Any = forward
    model.vjp = vjp
    return model
