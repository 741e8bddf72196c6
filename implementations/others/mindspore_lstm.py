"""mindspore.nn.LSTM on the CPU: oneDNN's kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse

KNOWN = finding(
    "mindspore-04-empty-crash",
    *(f"degenerate.{name}" for name in ("no-rows", "no-steps", "then-right")),
    "gradients.no-rows",
)
KNOWN |= finding("mindspore-05-calls-leak", "purity.memory")
# With lengths it has a loop of its own, and a tanh that errs by 1e-4: docs/findings/mindspore-03-tanh.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    gradients=True,
    dropout=True,
    threads=False,  # docs/findings/mindspore-01-gradients-in-two-threads.md
    expected_failures=KNOWN,
)


@backend("mindspore", CAPABILITIES, needs("mindspore", install="pip install mindspore"))
def mindspore_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has nn.LSTM's arguments and names of parameters."""
    import mindspore as ms

    refuse(CAPABILITIES, config)
    if config.dropout == 1:
        raise Unsupported("dropout of 1: it takes less than 1")
    ms.set_context(mode=ms.PYNATIVE_MODE, device_target="CPU")
    sizes = config.input_size, config.hidden_size, config.num_layers, config.bias, config.batch_first
    lstm = ms.nn.LSTM(*sizes, float(config.dropout), config.bidirectional)
    variables = {variable.name: variable for variable in lstm.get_parameters()}
    for name, variable in variables.items():
        variable.set_data(ms.Tensor(np.array(params[name])))
    lstm.set_train(config.training)

    def tensor(array: Array) -> Any:
        return ms.Tensor(np.array(array))

    def run(x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = lstm(x, state or None)
        return output, h_n, c_n

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return tuple(part.asnumpy() for part in run(*map(tensor, (x, *(state or ())))))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:

        found, pull = ms.vjp(run, *map(tensor, (x, *state)), weights=list(variables.values()))
        inputs, of_variables = pull(*map(tensor, cotangents))
        grads = zip(("x", "h_0", "c_0", *variables), (*inputs, *of_variables), strict=True)
        return tuple(part.asnumpy() for part in found), {name: grad.asnumpy() for name, grad in grads}

    return model_of(CAPABILITIES, config, call, differentiate)
