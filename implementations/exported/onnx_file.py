"""The LSTM nodes of an ONNX file, each alone in every runtime of ONNX: attributes and weights stay as they are.

https://onnx.ai/onnx/operators/onnx__LSTM.html: gates i, o, f, c; W (D, 4H, I), R (D, 4H, H), B (D, 8H), both biases.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from conformance.backend import Backend
from conformance.errors import UsageError
from conformance.spec import GATES, Array, LSTMConfig, Params, State
from conformance.targets.exported import Exported
from implementations.adapter import require
from implementations.onnx_family import onnxruntime, opencv, openvino_onnx, reference, tract
from implementations.onnx_family.graph import Run
from implementations.options import refuse_slots, zeros

#: The order of the gates in a node.
ORDER = "iofg"

#: The backends of the runtimes, each with the function that loads a ModelProto.
RUNTIMES: tuple[tuple[Backend, Callable[[Any], Run]], ...] = (
    (onnxruntime.onnxruntime_lstm, onnxruntime.load),
    (reference.onnx_reference, reference.load),
    (openvino_onnx.openvino_onnx, openvino_onnx.load),
    (opencv.opencv_dnn, opencv.load),
    (tract.tract_lstm, tract.load),
)

_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
_ACTIVATIONS = ("sigmoid", "tanh", "tanh")


def read(path: Path) -> tuple[Exported, ...]:
    """Its LSTM nodes, in the order of the graph."""
    require("onnx", install="pip install onnx")
    import onnx
    from onnx import inliner

    model = onnx.load(path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    nodes = [node for node in model.graph.node if node.op_type == "LSTM" and node.domain in ("", "ai.onnx")]
    if not nodes:
        raise UsageError(f"no LSTM node is in its graph: {_instead(model)}", _HINT)
    constants = _Constants(model)
    return tuple(_exported(model, node, constants, number) for number, node in enumerate(nodes))


_HINT = "an LSTM in a Loop or an If, or one that an exporter wrote as its single steps, cannot be found"


def _instead(model: Any) -> str:
    operators = Counter(node.op_type for node in model.graph.node)
    listed = ", ".join(f"{count} {name}" for name, count in operators.most_common(6))
    return f"it has {listed}" if listed else "it is empty"


class _Constants:
    """The constant tensors of a graph: initializers, and what is computed of nothing else."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._initializers = {each.name: each for each in model.graph.initializer}
        self._makers = {name: place for place, node in enumerate(model.graph.node) for name in node.output if name}

    def array(self, name: str) -> Array:
        """The values of a tensor. Raises ``UsageError`` for one that depends on the model's inputs."""
        from onnx import helper, numpy_helper
        from onnx.reference import ReferenceEvaluator

        if name in self._initializers:
            return numpy_helper.to_array(self._initializers[name])
        nodes = list(self._ancestors(name, set()))
        used = {given for place in nodes for given in self._model.graph.node[place].input}
        graph = helper.make_graph(
            [self._model.graph.node[place] for place in nodes],
            "constants",
            [],
            [helper.make_tensor_value_info(name, 1, None)],
            [self._initializers[each] for each in used if each in self._initializers],
        )
        opsets = self._model.opset_import
        evaluator: Any = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
        return np.asarray(evaluator.run(None, {})[0])

    def _ancestors(self, name: str, seen: set[str]) -> Iterator[int]:
        """The places of the nodes that compute a tensor and were not ``seen``, the first ones first."""
        if name in self._initializers or not name:
            return
        if name not in self._makers:
            raise UsageError(f"the weights of an LSTM node are not constant: they depend on the input {name!r}")
        node = self._model.graph.node[self._makers[name]]
        if seen.isdisjoint(node.output):
            seen.update(node.output)
            for given in node.input:
                yield from self._ancestors(given, seen)
            yield self._makers[name]


@dataclass(frozen=True)
class _Node:
    """A node with its constants, ready to be put into a model of its own."""

    model: Any
    node: Any
    constants: dict[str, Array]
    config: LSTMConfig
    reverse: bool


def _exported(model: Any, node: Any, constants: _Constants, number: int) -> Exported:
    from onnx import helper

    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    given = dict(zip(_INPUTS, node.input, strict=False))
    name = node.name or next(filter(None, node.output), f"LSTM_{number}")
    if lacks := [each for each in ("W", "R") if not given.get(each)]:
        raise UsageError(f"the node {name!r} has no {lacks[0]}")
    arrays = {each: constants.array(given[each]) for each in ("W", "R", "B", "P") if given.get(each)}
    W, R, B = arrays["W"], arrays["R"], arrays.get("B")
    direction = _text(attributes.get("direction", b"forward"))
    D, H = 2 if direction == "bidirectional" else 1, R.shape[-1] if R.ndim else 0
    if (
        W.ndim != 3
        or W.shape[:2] != (D, 4 * H)
        or R.shape != (D, 4 * H, H)
        or (B is not None and B.shape != (D, 8 * H))
    ):
        told = ", ".join(f"{each} {array.shape}" for each, array in arrays.items())
        raise UsageError(f"the tensors of the node {name!r} ({direction}) do not fit together: {told}")
    config = LSTMConfig(
        W.shape[-1],
        H,
        bias=B is not None,
        batch_first=bool(attributes.get("layout", 0)),
        bidirectional=D == 2,
        dtype=W.dtype.name,
    )
    one = _Node(model, node, arrays, config, direction == "reverse")
    return Exported(name, config, _params(config, W, R, B), _runtimes(one), ORDER, _note(attributes, arrays, D, one))


def _params(config: LSTMConfig, W: Array, R: Array, B: Array | None) -> Params:
    """The tensors of a node as nn.LSTM has them."""
    params = {}
    for slot in config.slots():
        halves = () if B is None else zip(("bias_ih", "bias_hh"), np.split(B[slot.direction], 2), strict=True)
        for kind, value in (("weight_ih", W[slot.direction]), ("weight_hh", R[slot.direction]), *halves):
            blocks = value.reshape(4, -1, *value.shape[1:])[[ORDER.index(gate) for gate in GATES]]
            params[kind + slot.suffix] = np.ascontiguousarray(blocks.reshape(value.shape))
    return params


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _note(attributes: dict[str, Any], arrays: dict[str, Array], D: int, one: _Node) -> str:
    """What of a node nn.LSTM does not have, and how it is called."""
    told = []
    activations = [_text(each).lower() for each in attributes.get("activations", ())]
    if activations and activations != [*_ACTIVATIONS] * D:
        told.append(f"the activations {', '.join(activations)}")
    if attributes.get("clip"):
        told.append(f"clip={attributes['clip']:g}")
    if attributes.get("input_forget"):
        told.append("input_forget=1")
    if "P" in arrays and np.any(arrays["P"]):
        told.append("peepholes")
    words = [f"it has {' and '.join(told)}, and nn.LSTM has not"] if told else []
    words += ["it reads from the last step to the first: x is handed to it reversed"] if one.reverse else []
    return "; ".join(words)


def _runtimes(one: _Node) -> tuple[Backend, ...]:
    made = []
    for runtime, load in RUNTIMES:
        # Turning x round would leave the padding in front.
        declared = replace(runtime.capabilities, lengths=runtime.capabilities.lengths and not one.reverse)
        always = runtime is tract.tract_lstm  # whose node refuses batches without a state
        made.append(replace(runtime, capabilities=declared, build=partial(_build, one, load, always)))
    return tuple(made)


def node_model(one: _Node, state: bool, lengths: bool) -> Any:
    """The ModelProto of the node alone: X and what is given are its inputs, Y, Y_h and Y_c its outputs."""
    from onnx import NodeProto, helper, numpy_helper

    D, H, layout = one.config.num_directions, one.config.hidden_size, one.config.batch_first
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(one.constants["W"].dtype))
    ends = ("N", D, H) if layout else (D, "N", H)
    inputs: dict[str, tuple[Any, ...]] = {"X": (*(("N", "L") if layout else ("L", "N")), one.config.input_size)}
    inputs |= {"sequence_lens": ("N",)} if lengths else {}
    inputs |= {"initial_h": ends, "initial_c": ends} if state else {}
    outputs = {"Y": ("N", "L", D, H) if layout else ("L", D, "N", H), "Y_h": ends, "Y_c": ends}
    node = NodeProto()
    node.CopyFrom(one.node)
    names = [name if name in inputs or name in one.constants else "" for name in _INPUTS]
    while not names[-1]:
        names.pop()
    for field, value in (("input", names), ("output", [*outputs])):
        node.ClearField(field)
        getattr(node, field).extend(value)
    lengths_type = helper.np_dtype_to_tensor_dtype(np.dtype(np.int32))
    graph = helper.make_graph(
        [node],
        "lstm",
        [
            helper.make_tensor_value_info(name, lengths_type if name == "sequence_lens" else dtype, shape)
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, dtype, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in one.constants.items()],
    )
    opsets = [each for each in one.model.opset_import if each.domain in ("", "ai.onnx")]
    return helper.make_model(graph, opset_imports=opsets, ir_version=one.model.ir_version)


def _build(one: _Node, load: Callable[[Any], Run], always: bool, *_: Any) -> Callable[..., Any]:
    """``forward(x, state, lengths)`` of the node, one model for each set of arguments."""
    config, models = one.config, {}
    D, H, axis = config.num_directions, config.hidden_size, 0 if config.batch_first else 1

    def turned(value: Array) -> Array:
        return np.flip(value, 1 - axis) if one.reverse else value

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        if state is None and always and x.ndim == 3:
            state = zeros(config, x)
        refuse_slots(config, *(state or ()))
        given = (state is not None, lengths is not None)
        if given not in models:
            models[given] = load(node_model(one, *given))
        feeds = {"X": np.ascontiguousarray(turned(x)) if one.reverse and x.ndim == 3 else x}
        for name, part in zip(("initial_h", "initial_c"), state or (), strict=False):
            # With layout=1, a node's state is batch-first too.
            feeds[name] = np.ascontiguousarray(part.swapaxes(0, 1)) if config.batch_first else part
        if lengths is not None:
            feeds["sequence_lens"] = lengths.astype(np.int32)
        Y, *finals = models[given](feeds)
        output = Y if config.batch_first else Y.swapaxes(1, 2)
        h_n, c_n = (part.swapaxes(0, 1) if config.batch_first else part for part in finals)
        return turned(output.reshape(*output.shape[:2], D * H)), (h_n, c_n)

    return forward
