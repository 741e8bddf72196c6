"""paddle.nn.LSTM, which has a fused kernel, and a loop for projections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.model import model_of
from implementations.options import refuse
from implementations.others.paddle_parts import KNOWN, available, layer_of, tensor

# Models without biases end the process: docs/findings/paddle-01-no-bias-crash.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
    projection=True,
    lengths=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64"),
    expected_failures=KNOWN,
)


@backend("paddle", CAPABILITIES, available)
def paddle_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """The kernel has a gradient in training only: docs/findings/paddle-03-backward-in-evaluation.md."""
    import paddle

    refuse(CAPABILITIES, config)
    lstm, _ = layer_of(config, params, config.dropout)
    lstm.train() if config.training else lstm.eval()
    # Training without dropout is evaluation.
    twin, variables = layer_of(config, params, config.dropout if config.training else 0.0)

    def run(layer: Any, x: Any, state: Any, lengths: Any) -> Any:
        if config.proj_size and lengths is not None:
            raise Unsupported("lengths with a projection: docs/findings/paddle-05-projection-padding.md")
        return layer(x, state, tensor(lengths))

    @paddle.no_grad()
    def call(x: Any, state: Any, lengths: Any) -> Any:
        output, (h_n, c_n) = run(lstm, tensor(x), state and tuple(map(tensor, state)), lengths)
        return output.numpy(), h_n.numpy(), c_n.numpy()

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        inputs = dict(zip(("x", "h_0", "c_0"), map(tensor, (x, *state)), strict=True))
        for leaf in inputs.values():
            leaf.stop_gradient = False
        wanted = inputs | variables
        output, (h_n, c_n) = run(twin, inputs["x"], (inputs["h_0"], inputs["c_0"]), lengths)
        grads = paddle.grad([output, h_n, c_n], [*wanted.values()], [*map(tensor, cotangents)], allow_unused=True)
        found = {}
        for (name, value), grad in zip(wanted.items(), grads, strict=True):
            grad = np.zeros(value.shape, x.dtype) if grad is None else grad.numpy()
            found[name] = grad.T if name.startswith("weight_hr") else grad
        return (output.numpy(), h_n.numpy(), c_n.numpy()), found

    return model_of(CAPABILITIES, config, call, differentiate)
