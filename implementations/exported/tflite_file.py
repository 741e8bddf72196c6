"""The LSTM operators of a .tflite file, UNIDIRECTIONAL_ and BIDIRECTIONAL_SEQUENCE_LSTM, each in a model of its own.

The operands stand in the order that ``implementations/mobile/litert_model.py`` writes.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.backend import Backend
from conformance.errors import UsageError
from conformance.spec import Array, Params
from conformance.targets.exported import Exported
from implementations.adapter import require
from implementations.mobile.litert_lstm import litert, litert_bidirectional

#: ``ActivationFunctionType.TANH`` of the schema.
_TANH = 4

_MADE = "the operator is made again with the file's weights, for each shape of x"


def read(path: Path) -> tuple[Exported, ...]:
    """Its LSTM operators, in the order of the graph."""
    require("ai_edge_litert", install="pip install ai-edge-litert")
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise UsageError("it is no TensorFlow Lite model")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    kinds = {
        schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM: 1,
        schema.BuiltinOperator.BIDIRECTIONAL_SEQUENCE_LSTM: 2,
    }
    codes = [max(each.builtinCode, each.deprecatedBuiltinCode) for each in model.operatorCodes]
    found = [
        _exported(model, graph, operator, kinds[codes[operator.opcodeIndex]])
        for graph in model.subgraphs
        for operator in graph.operators
        if codes[operator.opcodeIndex] in kinds
    ]
    if not found:
        raise UsageError("no LSTM operator is in it", "one that a converter wrote as its single steps cannot be found")
    return tuple(found)


def _exported(model: Any, graph: Any, operator: Any, D: int) -> Exported:
    name = graph.tensors[operator.outputs[0]].name
    name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    operands, options = [int(place) for place in operator.inputs], operator.builtinOptions
    tensors = [_Direction(name, model, graph, operands[1 + 17 * d : 18 + 17 * d]) for d in range(D)]
    first = tensors[0]
    W, hr = first.gates(0), first.array(15)
    config = LSTMConfig(
        W.shape[1],
        W.shape[0] // 4,
        batch_first=not options.timeMajor,
        bidirectional=D == 2,
        proj_size=0 if hr is None else hr.shape[0],
    )
    params: dict[str, Array] = {}
    for slot, each in zip(config.slots(), tensors, strict=True):
        bias = each.gates(11).ravel()
        found = {"weight_ih": each.gates(0), "weight_hh": each.gates(4), "bias_ih": bias, "bias_hh": 0 * bias}
        found |= {} if (value := each.array(15)) is None else {"weight_hr": value}
        params |= {kind + slot.suffix: np.ascontiguousarray(value) for kind, value in found.items()}
    backend: Backend = litert if D == 1 else litert_bidirectional
    runtime = replace(backend, name="litert", build=partial(_build, backend, config, params))
    # Behind the states: coefficients of a normalization, or a second input with weights of its own.
    more = any(place >= 0 for place in operands[20:24] if D == 1) or any(place >= 0 for place in operands[39:48])
    return Exported(name, config, params, (runtime,), note=_note(options, tensors, more))


def _build(backend: Backend, config: LSTMConfig, params: Params, *_: Any) -> Callable[..., Any]:
    return backend.build(config, params)


def _note(options: Any, tensors: Sequence[_Direction], more: bool) -> str:
    """What of an operator nn.LSTM does not have, and how it is run."""
    told = [f"{name}={value:g}" for name in ("cellClip", "projClip") if (value := getattr(options, name, 0.0))]
    told += ["peepholes"] * any(each.array(place) is not None for each in tensors for place in (8, 9, 10))
    told += ["a projection bias"] * any(each.array(16) is not None for each in tensors)
    told += ["layer normalization or an auxiliary input"] * more
    told += ["another activation than tanh"] * (options.fusedActivationFunction != _TANH)
    return "; ".join([f"it has {' and '.join(told)}, which are left out here"] * bool(told) + [_MADE])


class _Direction:
    """The operands of one direction: four matrices for x, four for h, three peepholes, four biases, a projection."""

    def __init__(self, name: str, model: Any, graph: Any, places: Sequence[int]) -> None:
        self._name, self._model, self._graph, self._places = name, model, graph, places

    def array(self, place: int) -> Array | None:
        """One operand, or None if it is left out."""
        at = self._places[place]
        if at < 0:
            return None
        tensor = self._graph.tensors[at]
        data = self._model.buffers[tensor.buffer].data
        if tensor.type != 0 or data is None:
            raise UsageError(f"the weights of {self._name!r} are not constants of float32: it is quantized, or a part")
        return np.frombuffer(bytes(bytearray(data)), np.float32).reshape(tensor.shape)

    def gates(self, place: int) -> Array:
        """The operands of the gates i, f, c, o, one after the other."""
        parts = [self.array(place + gate) for gate in range(4)]
        if any(part is None for part in parts):
            raise UsageError(f"{self._name!r} couples its input and forget gates: it is no LSTM of nn.LSTM's")
        return np.concatenate([part for part in parts if part is not None])
