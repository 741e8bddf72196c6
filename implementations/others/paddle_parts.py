"""What the layer and the cell of Paddle share: tensors, and weights by nn.LSTM's names; and what is known to fail."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params
from implementations.adapter import STATES_BROADCAST, STATES_UNCHECKED, finding, needs

available = needs("paddle", install="pip install paddlepaddle")
GRADIENTS = ("weights", "dyadic", "long", "untapped", "sums", "large", "equal-sizes")
NAN = ("nan-kept", "nan-state", "nan-weight", "infinite-state")
#: What fails in paddle.nn.LSTM.
KNOWN = {
    **finding("paddle-04-no-steps-crash", "degenerate.no-steps", "degenerate.then-right"),
    **finding("paddle-06-dropout-in-float32", "dropout.elements"),
    **finding("paddle-07-two-threads-crash", "gradients.threads", "dropout.threads"),
    **finding("paddle-08-nan-padding", "lengths.padding", "gradients.padding", *(f"nonfinite.{name}" for name in NAN)),
    **finding("paddle-09-reverse-gradient", *(f"gradients.{name}" for name in GRADIENTS)),
    **finding("paddle-09-reverse-gradient", "dropout.everything-gradients"),
    **finding("paddle-10-one-dropout-mask", "dropout.independence"),
    **finding("paddle-11-no-rows-crash", "degenerate.no-rows", "gradients.no-rows"),
    **finding("paddle-12-cotangent-shape", "refusals.cotangents"),
    **finding("paddle-13-states-unchecked", "refusals.rank", *STATES_UNCHECKED),
    **finding("paddle-14-lengths-beyond-the-end", "refusals.lengths"),
}
#: What fails in paddle.nn.LSTMCell.
KNOWN_OF_CELL = finding("paddle-13-states-unchecked", *STATES_BROADCAST)


def tensor(array: Array | None) -> Any:
    """A tensor of its own memory."""
    import paddle

    return None if array is None else paddle.to_tensor(np.array(array))


def filled(cell: Any, params: Params, end: str) -> dict[str, Any]:
    """Copy one slot's weights into a cell, whose projection has nn.LSTM's transposed; its variables by our names."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    variables = {name + end: getattr(cell, name) for name in names if name + end in params}
    for name, variable in variables.items():
        variable.set_value(np.array(params[name]))
    if "weight_hr" + end in params:
        cell.weight_ho.set_value(params["weight_hr" + end].T.copy())
        variables["weight_hr" + end] = cell.weight_ho
    return variables


def layer_of(config: LSTMConfig, params: Params, dropout: float) -> tuple[Any, dict[str, Any]]:
    """An nn.LSTM in training, and its variables by our names."""
    import paddle

    paddle.set_device("cpu")
    paddle.set_default_dtype(config.dtype)
    way, time_major = "bidirect" if config.bidirectional else "forward", not config.batch_first
    sizes = config.input_size, config.hidden_size, config.num_layers
    lstm = paddle.nn.LSTM(*sizes, way, time_major, dropout, proj_size=config.proj_size)
    parts = ("cell_fw", "cell_bw") if config.bidirectional else ("cell",)
    cells = [getattr(layer, part) for layer in lstm for part in parts]
    variables: dict[str, Any] = {}
    for slot, cell in zip(config.slots(), cells, strict=True):
        variables |= filled(cell, params, slot.suffix)
    return lstm, variables
