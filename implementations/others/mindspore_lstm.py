"""mindspore.nn.LSTM on the CPU: oneDNN's kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of, on_tensors
from implementations.options import refuse

EMPTY = ("degenerate.no-rows", "degenerate.no-steps", "degenerate.then-right", "gradients.no-rows")
KNOWN = finding("mindspore-04-empty-crash", *EMPTY) | finding("mindspore-05-calls-leak", "purity.memory")
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

    def run(x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = lstm(x, state or None)
        return output, h_n, c_n

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return run(x, *(state or ()))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        found, pull = ms.vjp(run, x, *state, weights=list(variables.values()))
        inputs, of_variables = pull(*cotangents)
        return found, dict(zip(("x", "h_0", "c_0", *variables), (*inputs, *of_variables), strict=True))

    convert = lambda array: ms.Tensor(np.array(array)), lambda part: part.asnumpy()
    return model_of(CAPABILITIES, config, on_tensors(call, *convert), on_tensors(differentiate, *convert))
