"""labml_nn.lstm.LSTM, the annotated implementation: a stack of cells, time-major."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call

CAPABILITIES = Capabilities(layers=True, gradients=True, dtypes=("float32", "float64"))


@backend("labml-nn", CAPABILITIES, needs("labml_nn", install="pip install labml-nn"))
def labml_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has one bias, with the recurrent weights."""
    import torch
    from labml_nn.lstm import LSTM

    from conformance.torch_module import from_torch, to_torch, vjp_of

    refuse(CAPABILITIES, config)
    lstm = LSTM(config.input_size, config.hidden_size, config.num_layers).to(getattr(torch, config.dtype))
    leaves: dict[str, Any] = {}
    for k, cell in enumerate(lstm.cells):
        end = f"_l{k}"
        x, h = cell.input_lin, cell.hidden_lin
        leaves |= {"weight_ih" + end: x.weight, "weight_hh" + end: h.weight, "bias_ih" + end: h.bias}
        with torch.no_grad():
            x.weight.copy_(to_torch(params["weight_ih" + end]))
            h.weight.copy_(to_torch(params["weight_hh" + end]))
            h.bias.copy_(to_torch(params["bias_ih" + end] + params["bias_hh" + end]))

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I) -> output (L, N, H), (h_n, c_n)."""
        refuse_call(CAPABILITIES, x)
        output, (h_n, c_n) = lstm(to_torch(x), state and tuple(map(to_torch, state)))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    differentiate = vjp_of(lstm, config, leaves)

    def vjp(*arguments: Any) -> Any:
        """What ``forward`` returns, and the gradients by name; both biases have that of their sum."""
        found, grads = differentiate(*arguments)
        return found, grads | {f"bias_hh_l{k}": grads[f"bias_ih_l{k}"] for k in range(config.num_layers)}

    model: Any = forward
    model.vjp = vjp
    return model
