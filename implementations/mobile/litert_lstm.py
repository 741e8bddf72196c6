"""LiteRT (TensorFlow Lite): its operator UNIDIRECTIONAL_SEQUENCE_LSTM, whose states are variable tensors.

https://ai.google.dev/edge/litert; TensorFlow's lite/kernels/lstm_shared.h lists the operands: weights and biases of
each gate in the order i, f, c, o, peepholes, a projection, the states.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs


def _flatbuffer(config: LSTMConfig, params: Params, x_shape: tuple[int, ...]) -> tuple[bytes, list[tuple[int, int]]]:
    """The model for one shape of x, and the places of each layer's h and c among its tensors."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    H, P, rows = config.hidden_size, config.output_size, x_shape[0 if config.batch_first else 1]
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers, graph.tensors = 3, [graph], [schema.BufferT()], []

    def tensor(shape: Any, value: Array | None = None, variable: bool = False) -> int:
        made = schema.TensorT()
        made.shape, made.type, made.name, made.isVariable = list(shape), 0, f"t{len(graph.tensors)}", variable
        if value is not None:
            made.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM
    model.operatorCodes, graph.operators, states = [code], [], []
    below = x = tensor(x_shape)
    for k in range(config.num_layers):
        of = {kind: params[f"{kind}_l{k}"] for kind in ("weight_ih", "weight_hh")}
        bias = params[f"bias_ih_l{k}"] + params[f"bias_hh_l{k}"] if config.bias else np.zeros(4 * H, np.float32)
        gates = [part for kind in (*of.values(), bias) for part in np.split(kind, 4)]
        W, R, B = gates[:4], gates[4:8], gates[8:]
        W_hr = [tensor((P, H), params[f"weight_hr_l{k}"])] if config.proj_size else [-1]
        matrices = [tensor(m.shape, m) for m in (*W, *R)]
        biases = [tensor(b.shape, b) for b in B]
        states.append((tensor((rows, P), variable=True), tensor((rows, H), variable=True)))
        operator, options = schema.OperatorT(), schema.UnidirectionalSequenceLSTMOptionsT()
        options.timeMajor, options.fusedActivationFunction = not config.batch_first, schema.ActivationFunctionType.TANH
        operator.builtinOptionsType, operator.builtinOptions = (
            schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions,
            options,
        )
        operator.inputs = [below, *matrices, -1, -1, -1, *biases, *W_hr, -1, *states[-1], -1, -1, -1, -1]
        below = tensor((*x_shape[:2], P))
        operator.outputs = [below]
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [x], [below]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output()), states


@backend(
    "litert",
    Capabilities(
        layers=True,
        no_bias=True,
        batch_first=True,
        projection=True,
        expected_failures=finding("litert-01-nan-hidden", *NAN_HIDDEN),
    ),
    available=needs("ai_edge_litert", install="pip install ai-edge-litert"),
)
def litert(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state)`` of one interpreter for each shape; the state is written to the variable tensors."""
    from ai_edge_litert.interpreter import Interpreter

    if config.dtype != "float32" or config.bidirectional or (config.dropout and config.training):
        raise Unsupported("the operator is float32, of one direction, and has no dropout")
    lock = Lock()

    # A call of another shape needs another model: the shapes of variable tensors are fixed.
    @lru_cache(maxsize=4)
    def loaded(x_shape: tuple[int, ...]) -> tuple[Any, list[tuple[int, int]]]:
        content, states = _flatbuffer(config, params, x_shape)
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        return interpreter, states

    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first -> output in x's layout, (h_n, c_n)."""
        if x.ndim != 3:
            raise ValueError(f"the models have an input of three axes, got {x.shape}")
        with lock:
            interpreter, states = loaded(x.shape)
            if state is not None and any(len(part) != config.num_layers for part in state):
                raise ValueError(f"{config.num_layers} layers, and states of {len(state[0])} and {len(state[1])}")
            interpreter.reset_all_variables()
            for k, places in enumerate(states):
                for place, part in zip(places, state or (), strict=False):
                    interpreter.set_tensor(place, np.ascontiguousarray(part[k]))
            interpreter.set_tensor(0, np.ascontiguousarray(x))
            interpreter.invoke()
            h_n, c_n = (np.stack([interpreter.get_tensor(places[part]) for places in states]) for part in (0, 1))
            return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), (h_n, c_n)

    return forward
