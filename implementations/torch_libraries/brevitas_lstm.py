"""brevitas.nn.QuantLSTM with every quantizer off: the float LSTM below quantization-aware training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse, refuse_call, refuse_slots

CAPABILITIES = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True, gradients=True)
QUANTIZERS = ("weight", "bias", "io", "gate_acc", "sigmoid", "tanh", "cell_state")


@backend("brevitas", CAPABILITIES, needs("brevitas", install="pip install brevitas"))
def brevitas_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It loads nn.LSTM's state_dict, and keeps a weight for each gate."""
    import torch
    from brevitas.nn import QuantLSTM

    from conformance.torch_module import from_torch, to_torch, vjp_of

    refuse(CAPABILITIES, config)
    sizes = config.input_size, config.hidden_size, config.num_layers
    options = {"bias": config.bias, "batch_first": config.batch_first, "bidirectional": config.bidirectional}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        off = dict.fromkeys(f"{name}_quant" for name in QUANTIZERS)
        lstm = QuantLSTM(*sizes, **options, **off, dtype=getattr(torch, config.dtype))
    lstm.load_state_dict({name: to_torch(value) for name, value in params.items()})
    lstm.eval()

    def run(x: Any, state: Any) -> Any:
        if state is not None:
            refuse_slots(config, *state)
            if config.num_layers > 1 and not config.bidirectional:
                raise Unsupported("a state for several layers: docs/findings/brevitas-01-state-of-a-stack.md")
        return lstm(x, *(state or ()))

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        refuse_call(CAPABILITIES, x)
        output, (h_n, c_n) = run(to_torch(x), state and tuple(map(to_torch, state)))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    gates = ("input", "forget", "cell", "output")
    places = {"weight_ih": "input_weight.weight", "weight_hh": "hidden_weight.weight", "bias_ih": "bias"}
    places = {name: place for name, place in places.items() if config.bias or name != "bias_ih"}
    leaves = {}
    for slot in config.slots():
        layer = lstm.layers[slot.layer][slot.direction]
        for name, place in places.items():
            leaves |= {(name + slot.suffix, gate): layer.get_parameter(f"{gate}_gate_params.{place}") for gate in gates}
    differentiate = vjp_of(run, config, leaves)  # pyright: ignore[reportArgumentType]

    def vjp(*arguments: Any) -> Any:
        """What ``forward`` returns, and the gradients by name."""
        found, grads = differentiate(*arguments)
        packed = {name: grads[name] for name in ("x", "h_0", "c_0")}
        for name in {name for name, _ in leaves}:
            packed[name] = np.concatenate([grads[name, gate] for gate in gates])
            if name.startswith("bias_ih"):
                packed[name.replace("bias_ih", "bias_hh")] = packed[name]
        return found, packed

    model: Any = forward
    model.vjp = vjp
    return model
