"""An LSTM as an ONNX graph, one LSTM node for each layer, and ``forward`` for a runtime that loads it.

The layout is that of https://onnx.ai/onnx/operators/onnx__LSTM.html: gates i, o, f, c; W (D, 4H, I), R (D, 4H, H),
B (D, 8H), which holds both biases.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import LSTMConfig, Unsupported, reorder
from conformance.spec import Array, Params, State
from implementations.states import by_layer, joined

#: Arrays by the graph's input names -> the graph's outputs: Y, then h_n and c_n of each layer.
Run = Callable[[dict[str, Array]], list[Array]]


def lstm_model(config: LSTMConfig, params: Params, state: bool = False, lengths: bool = False, opset: int = 14) -> Any:
    """The ModelProto. Inputs: x; h_0_k, c_0_k (D, N, H) for each layer k if ``state``; lengths int32 if ``lengths``.

    x is (L, N, I), or with ``config.batch_first``, which is the attribute layout=1, (N, L, I), and a state (N, D, H).
    """
    from onnx import helper, numpy_helper

    D, H, layout = config.num_directions, config.hidden_size, int(config.batch_first)
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(config.dtype))
    constants = {"axis": np.array([2 if layout else 1]), "halves": np.array([1, 1])}
    nodes: list[Any] = []
    inputs = {"x": ("N", "L", config.input_size) if layout else ("L", "N", config.input_size)}
    finals: dict[str, tuple[Any, ...]] = {}
    ends = ("N", D, H) if layout else (D, "N", H)
    below = "x"
    for k in range(config.num_layers):
        packed = {"W": ("weight_ih",), "R": ("weight_hh",), "B": ("bias_ih", "bias_hh") if config.bias else ()}
        for name, kinds in packed.items():
            if kinds:
                rows = [[reorder(params[kind + slot.suffix], "iofg") for kind in kinds] for slot in config.slots(k)]
                constants[f"{name}{k}"] = np.stack([np.concatenate(row) for row in rows])
        given = (f"h_0_{k}", f"c_0_{k}") if state else ("", "")
        inputs |= {name: ends for name in given if name}
        arguments = [below, f"W{k}", f"R{k}", f"B{k}" if config.bias else "", "lengths" if lengths else "", *given]
        options: dict[str, Any] = {"hidden_size": H, "direction": "bidirectional" if D == 2 else "forward"}
        options |= {"layout": 1} if layout else {}
        while not arguments[-1]:
            arguments.pop()
        nodes.append(helper.make_node("LSTM", arguments, [f"Y{k}", f"h_n_{k}", f"c_n_{k}"], **options))
        finals |= {f"h_n_{k}": ends, f"c_n_{k}": ends}
        if D == 1:
            nodes.append(helper.make_node("Squeeze", [f"Y{k}", "axis"], [f"y{k}"]))
        else:
            nodes.append(helper.make_node("Split", [f"Y{k}", "halves"], [f"F{k}", f"R_{k}"], axis=2 if layout else 1))
            nodes += [helper.make_node("Squeeze", [half, "axis"], [half.lower()]) for half in (f"F{k}", f"R_{k}")]
            nodes.append(helper.make_node("Concat", [f"f{k}", f"r_{k}"], [f"y{k}"], axis=2))
        below = f"y{k}"
    outputs = {below: (*inputs["x"][:2], D * H), **finals}
    infos = [helper.make_tensor_value_info(name, dtype, shape) for name, shape in inputs.items()]
    if lengths:
        infos.append(helper.make_tensor_value_info("lengths", helper.np_dtype_to_tensor_dtype(np.dtype("i4")), ["N"]))
    graph = helper.make_graph(
        nodes,
        "lstm",
        infos,
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if D == 2 or name != "halves"],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def onnx_forward(config: LSTMConfig, params: Params, load: Callable[[Any], Run], opset: int = 14) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` by ``load(ModelProto) -> run``; one model for each set of arguments."""
    if config.proj_size:
        raise Unsupported("ONNX's LSTM has no projection")
    if config.dropout and config.training:
        raise Unsupported("ONNX's LSTM has no dropout")
    D, axis, models = config.num_directions, 1 if config.batch_first else 0, {}

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        given = (state is not None, lengths is not None)
        if given not in models:
            models[given] = load(lstm_model(config, params, *given, opset))
        feeds = {"x": x}
        if state is not None:
            if any(len(part) != D * config.num_layers for part in state):
                raise ValueError(
                    f"the graph takes {config.num_layers} states of {D}, got {len(state[0])}, {len(state[1])}"
                )
            # ONNX's layout=1 has a batch-first state too.
            names = (f"{name}_{k}" for k in range(config.num_layers) for name in ("h_0", "c_0"))
            feeds |= dict(zip(names, by_layer(config, state, axis), strict=True))
        if lengths is not None:
            feeds["lengths"] = lengths.astype(np.int32)
        output, *finals = models[given](feeds)
        return output, joined(finals, axis)

    return forward
