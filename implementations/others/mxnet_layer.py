"""An mxnet.gluon.rnn.LSTM with nn.LSTM's weights: the same gates and two biases."""

from __future__ import annotations

from typing import Any

from conformance import LSTMConfig
from conformance.spec import Params
from implementations.adapter import finding

KNOWN = {
    **finding("mxnet-01-dropout-ignored", "dropout.elements"),
    **finding("mxnet-02-dropout-in-evaluation", "dropout.idle-gradients"),
    **finding("mxnet-03-dropout-gradient", "dropout.gradients"),
    **finding("mxnet-05-head-gradient-shape", "refusals.cotangents"),
}


def filled(config: LSTMConfig, params: Params) -> tuple[Any, dict[str, Any]]:
    """The layer, and its parameters by nn.LSTM's names."""
    import mxnet as mx

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
    return lstm, leaves
