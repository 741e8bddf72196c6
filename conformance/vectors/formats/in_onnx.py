"""ONNX backend test data: a folder for each vector, with a model of one LSTM node, as ``onnx.backend.test`` reads them.

The layout is that of https://onnx.ai/onnx/operators/onnx__LSTM.html: gates i, o, f, c; W (D, 4H, I), R (D, 4H, H),
B (D, 8H) with both biases; Y (L, D, N, H), Y_h and Y_c (D, N, H). All arrays are inputs of the graph.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from conformance.backend import reorder
from conformance.spec import Array, LSTMConfig, Params
from conformance.vectors.formats.needed import needed
from conformance.vectors.forms import ONNX_RTOL, onnx_atol
from conformance.vectors.search import Chosen
from conformance.vectors.vector import Vector

#: What operators and files they are of: LSTM has had its layout since 14.
_OPSET, _IR = 14, 8


def write_onnx(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``lstm/test_lstm_NAME/`` for each vector, and ``run.py``, which runs them all by the package's own runner."""
    onnx = needed("onnx", "onnx")
    needed("onnx.numpy_helper", "onnx")
    for one in chosen:
        test = folder / "lstm" / f"test_lstm_{one.name}"
        data = test / "test_data_set_0"
        data.mkdir(parents=True)
        inputs, outputs = _arrays(one.vector)
        (test / "model.onnx").write_bytes(_model(onnx, one, inputs, outputs))
        for kind, arrays in (("input", inputs), ("output", outputs)):
            for number, (name, array) in enumerate(arrays.items()):
                tensor = onnx.numpy_helper.from_array(array, name)
                (data / f"{kind}_{number}.pb").write_bytes(tensor.SerializeToString(deterministic=True))
        tolerance = {"rtol": ONNX_RTOL, "atol": onnx_atol(one.vector)}
        (test / "data.json").write_text(json.dumps(tolerance) + "\n", encoding="utf-8")
    script = resources.files("conformance.vectors.formats").joinpath("run_onnx.py").read_text(encoding="utf-8")
    (folder / "run.py").write_text(script, encoding="utf-8")


def stacked(config: LSTMConfig, params: Params, kind: str, order: str) -> Array:
    """A parameter of all directions (D, 4H, …) with its gates in another order."""
    return np.stack([reorder(params[kind + slot.suffix], order) for slot in config.slots()])


def by_direction(config: LSTMConfig, output: Array) -> Array:
    """An output (L, N, D·P) as (L, D, N, P)."""
    steps, rows, _ = output.shape
    return np.ascontiguousarray(output.reshape(steps, rows, config.num_directions, -1).transpose(0, 2, 1, 3))


def _arrays(vector: Vector) -> tuple[dict[str, Array], dict[str, Array]]:
    """The graph's inputs and outputs by name."""
    config, params, given = vector.case.config, vector.case.params, vector.inputs
    inputs = {"X": given["x"]}
    inputs |= {name: stacked(config, params, kind, "iofg") for name, kind in (("W", "weight_ih"), ("R", "weight_hh"))}
    if config.bias:
        inputs["B"] = np.concatenate([stacked(config, params, kind, "iofg") for kind in ("bias_ih", "bias_hh")], axis=1)
    if "lengths" in given:
        inputs["sequence_lens"] = given["lengths"].astype(np.int32)
    inputs |= {f"initial_{part[0]}": given[part] for part in ("h_0", "c_0") if part in given}
    output, h_n, c_n = vector.expectations.want
    return inputs, {"Y": by_direction(config, output), "Y_h": h_n, "Y_c": c_n}


def _model(onnx: Any, chosen: Chosen, inputs: dict[str, Array], outputs: dict[str, Array]) -> bytes:
    config, helper = chosen.vector.case.config, onnx.helper
    arguments = [name if name in inputs else "" for name in ("X", "W", "R", "B", "sequence_lens")]
    arguments += [name if name in inputs else "" for name in ("initial_h", "initial_c")]
    while not arguments[-1]:
        arguments.pop()
    direction = "bidirectional" if config.bidirectional else "forward"
    node = helper.make_node("LSTM", arguments, [*outputs], hidden_size=config.hidden_size, direction=direction)

    def info(name: str, array: Array) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    graph = helper.make_graph(
        [node], f"lstm_{chosen.name}", [info(*item) for item in inputs.items()], [info(*i) for i in outputs.items()]
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, producer_name="lstm-conformance", opset_imports=opset, ir_version=_IR)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
