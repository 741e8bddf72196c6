"""brevitas.nn.QuantLSTM with every quantizer off: the float LSTM below quantization-aware training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Array, Params
from implementations.adapter import STATES_UNCHECKED, finding, needs
from implementations.model import one_bias
from implementations.options import refuse, refuse_slots
from implementations.torch_libraries.autograd import model_of

# Stacks are not declared: docs/findings/brevitas-01-state-of-a-stack.md, brevitas-03-more-than-ten-layers.md.
CAPABILITIES = Capabilities(
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    gradients=True,
    expected_failures=finding("brevitas-04-shapes-unchecked", "refusals.rank", *STATES_UNCHECKED),
)
QUANTIZERS = ("weight", "bias", "io", "gate_acc", "sigmoid", "tanh", "cell_state")
GATES = ("input", "forget", "cell", "output")


@backend("brevitas", CAPABILITIES, needs("brevitas", install="pip install brevitas"))
def brevitas_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It loads nn.LSTM's state_dict, and keeps a weight for each gate."""
    from brevitas.nn import QuantLSTM

    from conformance.torch_module import to_torch

    refuse(CAPABILITIES, config)
    sizes = config.input_size, config.hidden_size, config.num_layers, config.bias, config.batch_first
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        off = dict.fromkeys(f"{name}_quant" for name in QUANTIZERS)
        lstm = QuantLSTM(*sizes, bidirectional=config.bidirectional, **off)
    lstm.load_state_dict({name: to_torch(value) for name, value in params.items()})
    lstm.eval()
    leaves: dict[Any, Any] = {}
    places = {"weight_ih": "input_weight.weight", "weight_hh": "hidden_weight.weight"}
    for slot in config.slots():
        layer = lstm.layers[slot.layer][slot.direction]
        for name, place in (places | ({"bias_ih": "bias"} if config.bias else {})).items():
            names = ((name + slot.suffix, gate) for gate in GATES)
            leaves |= {(key, gate): layer.get_parameter(f"{gate}_gate_params.{place}") for key, gate in names}

    def run(x: Any, state: Any) -> Any:
        refuse_slots(config, *(state or ()))
        return lstm(x, *(state or ()))

    def packed(grads: dict[Any, Array]) -> dict[str, Array]:
        return one_bias({name: np.concatenate([grads[name, gate] for gate in GATES]) for name, _ in leaves})

    return model_of(CAPABILITIES, config, run, leaves, packed)
