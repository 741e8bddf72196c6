"""thinc.layers.LSTM on NumpyOps, spaCy's layer in Cython: it begins with zeros, and returns its output alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend, guard, reorder
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse

NAMES = ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
# No gradients: docs/findings/thinc-02-gradient.md.
CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    lengths=True,
    initial_state=False,
    returns=("output",),
    expected_failures=finding(
        "thinc-04-features-unchecked", "refusals.feature-size", "refusals.rank", "refusals.reshaped-x"
    ),
)


@backend("thinc", CAPABILITIES, needs("thinc", install="pip install thinc"))
def thinc_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """All weights are one vector, gates f, i, o, g. Thinc pads a list of sequences."""
    from thinc.api import LSTM, NumpyOps

    refuse(CAPABILITIES, config)
    ops = NumpyOps()
    sizes = config.num_directions * config.hidden_size, config.input_size
    lstm = LSTM(*sizes, bi=config.bidirectional, depth=config.num_layers).initialize()
    lstm.ops = ops
    order = [name + slot.suffix for slot in config.slots() for name in NAMES]
    lstm.set_param("LSTM", np.concatenate([reorder(params[name], "fiog").ravel() for name in order]))

    def call(x: Any, state: Any, lengths: Any) -> Any:
        if lengths is not None:
            guard(config, x, None, lengths)  # once the sequences are cut, lengths that do not fit cannot be seen
        rows = [len(x)] * x.shape[1] if lengths is None else lengths
        padded = ops.list2padded([np.ascontiguousarray(x[:length, row]) for row, length in enumerate(rows)])
        sequences = ops.padded2list(lstm.predict(padded))
        return np.stack([np.pad(one, ((0, len(x) - len(one)), (0, 0))) for one in sequences], axis=1), None, None

    return model_of(CAPABILITIES, config, call)
