"""An LSTM as a LiteRT model: an operator UNIDIRECTIONAL_ or BIDIRECTIONAL_SEQUENCE_LSTM for each layer.

TensorFlow's lite/kernels/lstm_shared.h and bidirectional_sequence_lstm.cc list the operands: for each direction the
weights and biases of each gate in the order i, f, c, o, peepholes and a projection; the states are variable tensors.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params
from implementations.mobile.litert_graph import Graph
from implementations.weights import of_layer

#: An operand that is left out.
NONE = -1


def _weights(graph: Graph, W: Array, R: Array, B: Array, W_hr: Array | None) -> list[int]:
    """The operands of one direction."""
    w, r, b = ([graph.tensor(gate.shape, gate) for gate in np.split(part, 4)] for part in (W, R, B))
    return [*w, *r, NONE, NONE, NONE, *b, NONE if W_hr is None else graph.tensor(W_hr.shape, W_hr), NONE]


def litert_model(config: LSTMConfig, params: Params, x_shape: tuple[int, ...]) -> tuple[bytes, list[tuple[int, int]]]:
    """The file for one shape of x, and the places of h and c of each layer and direction among its tensors."""
    graph, N, D = Graph(), x_shape[0 if config.batch_first else 1], config.num_directions
    states: list[tuple[int, int]] = []
    x = below = graph.tensor(x_shape)
    kind, options = ("Bidirectional", {"mergeOutputs": True}) if D == 2 else ("Unidirectional", {})
    tanh = graph.schema.ActivationFunctionType.TANH
    options |= {"timeMajor": not config.batch_first, "fusedActivationFunction": tanh}
    for k in range(config.num_layers):
        W, R, B, W_hr = of_layer(config, params, k, "ifgo")
        directions = zip(W, R, B, [None] * D if W_hr is None else W_hr, strict=True)
        weights = [operand for parts in directions for operand in _weights(graph, *parts)]
        sizes = [(N, config.output_size), (N, config.hidden_size)] * D
        own = [graph.tensor(size, variable=True) for size in sizes]
        states += zip(own[::2], own[1::2], strict=True)
        # A normalization of one direction, or a second input of both, is left out.
        inputs = [below, *weights, *own, *[NONE] * (9 if D == 2 else 4)]
        below = graph.tensor((*x_shape[:2], D * config.output_size))
        graph.operator(kind, inputs, below, **options)
    return graph.written(x, below), states


def interpreter(config: LSTMConfig, params: Params, x_shape: tuple[int, ...]) -> tuple[Any, list[tuple[int, int]]]:
    """An interpreter of that file, on one thread, and the same places."""
    from ai_edge_litert.interpreter import Interpreter

    content, states = litert_model(config, params, x_shape)
    loaded = Interpreter(model_content=content, num_threads=1)
    loaded.allocate_tensors()
    return loaded, states
