"""A LiteRT model of one graph, as it grows: TensorFlow Lite's file format, schema.fbs, by flatbuffers."""

# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.spec import Array


class Graph:
    """Its tensors are float32, its operators all of one kind."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.model, self.graph = schema, schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs, self.model.buffers = 3, [self.graph], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, shape: tuple[int, ...], value: Array | None = None, variable: bool = False) -> int:
        """The place of a new tensor: a constant if it has a value."""
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
        """An operator UNIDIRECTIONAL_ or BIDIRECTIONAL_SEQUENCE_LSTM."""
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

    def written(self, x: int, output: int) -> bytes:
        """The file of a model with this input and output."""
        import flatbuffers

        self.graph.inputs, self.graph.outputs = [x], [output]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
