"""mxnet.gluon.rnn.LSTM on the CPU. MXNet is archived, and of NumPy 1.23."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse, refuse_slots

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    batch_first=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64"),
    threads=False,  # a parameter keeps its gradient
    expected_failures={
        **finding("mxnet-01-dropout-ignored", "dropout.elements"),
        **finding("mxnet-02-dropout-in-evaluation", "dropout.idle-gradients"),
        **finding("mxnet-03-dropout-gradient", "dropout.gradients"),
        **finding("mxnet-05-head-gradient-shape", "refusals.cotangents"),
    },
)


@backend("mxnet", CAPABILITIES, needs("mxnet", install="pip install mxnet==1.9.1 'numpy<2'"))
def mxnet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has nn.LSTM's gates, two biases, and states (h, c)."""
    np.bool = bool  # pyright: ignore[reportAttributeAccessIssue]  # MXNet asks for the name that NumPy 1.24 took away
    import mxnet as mx

    refuse(CAPABILITIES, config)
    if config.dropout == 1:
        raise Unsupported("dropout of 1: MXNet wants less")
    sizes = config.hidden_size, config.num_layers, "NTC" if config.batch_first else "TNC"
    options = {"bidirectional": config.bidirectional, "dropout": config.dropout, "dtype": config.dtype}
    lstm = mx.gluon.rnn.LSTM(*sizes, input_size=config.input_size, **options)
    lstm.initialize()
    leaves = {}
    for slot in config.slots():
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            kind, way = name.split("_")
            place = getattr(lstm, f"{'lr'[slot.direction]}{slot.layer}_{way[0]}2h_{kind}")
            place.set_data(mx.nd.array(params[name + slot.suffix], dtype=config.dtype))
            leaves[name + slot.suffix] = place

    def tensors(*arrays: Any) -> list[Any]:
        return [mx.nd.array(array, dtype=config.dtype) for array in arrays]

    def run(x: Any, *state: Any) -> list[Any]:
        refuse_slots(config, *state)
        begin = lstm.begin_state(x.shape[0 if config.batch_first else 1], dtype=config.dtype)
        output, (h_n, c_n) = lstm(x, list(state) or begin)
        return [output, h_n, c_n]

    def call(x: Any, state: Any, lengths: Any) -> Any:
        with mx.autograd.train_mode() if config.training else mx.autograd.predict_mode():
            return tuple(part.asnumpy() for part in run(*tensors(x, *(state or ()))))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        given = tensors(x, *state)
        for part in given:
            part.attach_grad()
        with mx.autograd.record(train_mode=config.training):
            found = run(*given)
        mx.autograd.backward(found, tensors(*cotangents), train_mode=config.training)
        grads = dict(zip(("x", "h_0", "c_0"), (part.grad.asnumpy() for part in given), strict=True))
        return tuple(part.asnumpy() for part in found), grads | {n: p.grad().asnumpy() for n, p in leaves.items()}

    return model_of(CAPABILITIES, config, call, differentiate)
