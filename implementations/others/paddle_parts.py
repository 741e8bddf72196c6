"""What the layer and the cell of Paddle share: tensors, and weights by nn.LSTM's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params
from implementations.adapter import needs

available = needs("paddle", install="pip install paddlepaddle")


def tensor(array: Array) -> Any:
    """A tensor of its own memory."""
    import paddle

    return paddle.to_tensor(np.array(array))


def array(tensor: Any) -> Array:
    """An array of a tensor."""
    return tensor.numpy()


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
