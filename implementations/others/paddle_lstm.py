"""paddle.nn.LSTM, which has a fused kernel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.model import model_of, on_tensors
from implementations.options import refuse
from implementations.others.paddle_known import KNOWN
from implementations.others.paddle_parts import array, available, layer_of, tensor

# Models without biases end the process: docs/findings/paddle-01-no-bias-crash.md. With a projection, which is a loop,
# the padding is not 0: docs/findings/paddle-05-projection-padding.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
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
        output, (h_n, c_n) = layer(x, state, lengths)
        return output, h_n, c_n

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        wanted = dict(zip(("x", "h_0", "c_0"), (x, *state), strict=True))
        for leaf in wanted.values():
            leaf.stop_gradient = False
        wanted |= variables
        found = run(twin, x, state, lengths)
        grads = paddle.grad([*found], [*wanted.values()], [*cotangents], allow_unused=True)
        pairs = zip(wanted.items(), grads, strict=True)
        named = {name: paddle.zeros_like(leaf) if grad is None else grad for (name, leaf), grad in pairs}
        return found, named

    call = paddle.no_grad()(partial(run, lstm))
    return model_of(CAPABILITIES, config, on_tensors(call, tensor, array), on_tensors(differentiate, tensor, array))
