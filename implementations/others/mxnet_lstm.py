"""mxnet.gluon.rnn.LSTM on the CPU. MXNet is archived, and of NumPy 1.23."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.model import model_of, on_tensors
from implementations.options import refuse, refuse_slots
from implementations.others.mxnet_layer import KNOWN, filled

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64"),
    threads=False,  # a parameter keeps its gradient
    expected_failures=KNOWN,
)


@backend("mxnet", CAPABILITIES, needs("mxnet", install="pip install mxnet==1.9.1 'numpy<2'"))
def mxnet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Its states are (h, c), and always wanted."""
    np.bool = bool  # pyright: ignore[reportAttributeAccessIssue]  # MXNet asks for the name that NumPy 1.24 took away
    import mxnet as mx

    refuse(CAPABILITIES, config)
    if config.dropout == 1:
        raise Unsupported("dropout of 1: MXNet wants less")
    lstm, leaves = filled(config, params)

    def run(x: Any, state: Any) -> Any:
        refuse_slots(config, *(state or ()))
        begin = lstm.begin_state(x.shape[0 if config.batch_first else 1], dtype=config.dtype)
        output, (h_n, c_n) = lstm(x, [*(state or begin)])
        return [output, h_n, c_n]

    def call(x: Any, state: Any, lengths: Any) -> Any:
        with mx.autograd.train_mode() if config.training else mx.autograd.predict_mode():
            return run(x, state)

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        for part in (x, *state):
            part.attach_grad()
        with mx.autograd.record(train_mode=config.training):
            found = run(x, state)
        mx.autograd.backward(found, [*cotangents], train_mode=config.training)
        grads = {"x": x.grad, "h_0": state[0].grad, "c_0": state[1].grad}
        return found, grads | {name: place.grad() for name, place in leaves.items()}

    convert = lambda array: mx.nd.array(array, dtype=config.dtype), lambda part: part.asnumpy()
    return model_of(CAPABILITIES, config, on_tensors(call, *convert), on_tensors(differentiate, *convert))
