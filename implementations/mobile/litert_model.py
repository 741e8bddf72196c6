"""An LSTM as a LiteRT model: an operator UNIDIRECTIONAL_ or BIDIRECTIONAL_SEQUENCE_LSTM for each layer.

TensorFlow's lite/kernels/lstm_shared.h and bidirectional_sequence_lstm.cc list the operands: for each direction the
weights and biases of each gate in the order i, f, c, o, peepholes and a projection; the states are variable tensors.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params, Slot

#: An operand that is left out.
NONE = -1


class Model:
    """A graph of one subgraph, as it grows."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.model, self.graph = schema, schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.buffers = 3, [self.graph], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape: tuple[int, ...], value: Array | None = None, variable: bool = False) -> int:
        """The place of a new float32 tensor: a constant if it has a value."""
        made = self.schema.TensorT()
        made.shape, made.type, made.name, made.isVariable = list(shape), 0, f"t{len(self.graph.tensors)}", variable
        if value is not None:
            made.buffer = len(self.model.buffers)
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, kind: str, inputs: list[int], output: int, **options: Any) -> None:
        """An operator UNIDIRECTIONAL or BIDIRECTIONAL, all of one kind in a model."""
        operator, code, name = self.schema.OperatorT(), self.schema.OperatorCodeT(), f"{kind}SequenceLSTMOptions"
        code.builtinCode = code.deprecatedBuiltinCode = getattr(
            self.schema.BuiltinOperator, f"{kind.upper()}_SEQUENCE_LSTM"
        )
        self.model.operatorCodes = [code]
        operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, name)
        operator.builtinOptions = getattr(self.schema, f"{name}T")()
        for option, value in options.items():
            setattr(operator.builtinOptions, option, value)
        operator.inputs, operator.outputs = inputs, [output]
        self.graph.operators.append(operator)

    def written(self) -> bytes:
        """The file."""
        import flatbuffers

        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _weights(model: Model, config: LSTMConfig, params: Params, slot: Slot) -> list[int]:
    """The operands of one direction."""
    bias = np.zeros(4 * config.hidden_size, np.float32)
    if config.bias:
        bias = params["bias_ih" + slot.suffix] + params["bias_hh" + slot.suffix]
    parts = params["weight_ih" + slot.suffix], params["weight_hh" + slot.suffix], bias
    W, R, B = ([model.tensor(gate.shape, gate) for gate in np.split(part, 4)] for part in parts)
    W_hr = params.get("weight_hr" + slot.suffix)
    return [*W, *R, NONE, NONE, NONE, *B, NONE if W_hr is None else model.tensor(W_hr.shape, W_hr), NONE]


def litert_model(config: LSTMConfig, params: Params, x_shape: tuple[int, ...]) -> tuple[bytes, list[tuple[int, int]]]:
    """The file for one shape of x, and the places of h and c of each layer and direction among its tensors."""
    model, N, D = Model(), x_shape[0 if config.batch_first else 1], config.num_directions
    states: list[tuple[int, int]] = []
    x = below = model.tensor(x_shape)
    kind, options = ("Bidirectional", {"mergeOutputs": True}) if D == 2 else ("Unidirectional", {})
    options |= {
        "timeMajor": not config.batch_first,
        "fusedActivationFunction": model.schema.ActivationFunctionType.TANH,
    }
    for k in range(config.num_layers):
        weights = [operand for slot in config.slots(k) for operand in _weights(model, config, params, slot)]
        sizes = [(N, config.output_size), (N, config.hidden_size)] * D
        own = [model.tensor(size, variable=True) for size in sizes]
        states += zip(own[::2], own[1::2], strict=True)
        # A normalization of one direction, or a second input of both, is left out.
        inputs = [below, *weights, *own, *[NONE] * (9 if D == 2 else 4)]
        below = model.tensor((*x_shape[:2], D * config.output_size))
        model.operator(kind, inputs, below, **options)
    model.graph.inputs, model.graph.outputs = [x], [below]
    return model.written(), states
