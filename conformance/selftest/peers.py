"""Other test sets tried on the same faults: those of the ONNX and the WebNN project, and a typical hand-written one.

ONNX's are those of its own package, with its own tolerance (``onnx/backend/test/case/node/lstm.py``). WebNN's are those
of web-platform-tests. The hand-written one compares with ``torch.nn.LSTM``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from itertools import product
from typing import Any

import numpy as np

from conformance.backend import Capabilities
from conformance.cases.case import Case, canonical
from conformance.conventions.parameters import gate_order
from conformance.errors import UsageError
from conformance.selftest.peer import Peer, Vector
from conformance.selftest.webnn import webnn_tests
from conformance.spec import Array, LSTMConfig, Result, Slot, State


def peers() -> tuple[Peer, ...]:
    """All of them; ``UsageError`` without onnx or torch."""
    return onnx_tests(), webnn_tests(), hand_written()


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        needed = f"the peers need {module.partition('.')[0]}, which does not load: {error}"
        raise UsageError(needed, 'pip install "lstm-conformance[peers]"') from None


# The ONNX project's node tests. W (D, 4H, I), R (D, 4H, H), B (D, 8H); gates in the order i, o, f, c


def onnx_tests() -> Peer:
    """The LSTM node tests of the installed ``onnx`` package."""
    _needed("onnx.backend.test.case.node.lstm")
    # Importing the module makes its tests; onnx's own loader reads them here.
    cases = [case for case in _needed("onnx.backend.test.case.node")._NodeTestCases if _node(case).op_type == "LSTM"]
    vectors = {case.name: _vector(case) for case in cases}
    [(rtol, atol)] = {(case.rtol, case.atol) for case in cases}
    form = Capabilities(bidirectional=True, no_bias=True, batch_first=True, lengths=True)
    apart = tuple(name for name, vector in vectors.items() if vector is None)
    source = f"onnx {version('onnx')}"
    return Peer("ONNX node tests", tuple(v for v in vectors.values() if v is not None), rtol, atol, form, source, apart)


def _node(test: Any) -> Any:
    return test.model.graph.node[0]


def _vector(test: Any) -> Vector | None:
    """A node test as a call of an nn.LSTM, or None if it uses more than weights, biases, direction and layout."""
    node = _node(test)
    attributes = {a.name: a.i if a.name in ("hidden_size", "layout") else a.s.decode() for a in node.attribute}
    [(inputs, outputs)] = test.data_sets
    given = dict(zip((name for name in node.input if name), inputs, strict=True))
    wanted = dict(zip((name for name in node.output if name), outputs, strict=True))
    if not given.keys() <= {"X", "W", "R", "B"} or not attributes.keys() <= {"hidden_size", "layout", "direction"}:
        return None

    batch_first, reverse = attributes.get("layout") == 1, attributes.get("direction") == "reverse"
    D, H = given["R"].shape[0], attributes["hidden_size"]
    config = LSTMConfig(
        given["W"].shape[2], H, bias="B" in given, batch_first=batch_first, bidirectional=reverse or D > 1
    )
    params: dict[str, Array] = {}
    for d in range(config.num_directions):
        own = 0 if reverse else d
        packed = {"weight_ih": given["W"][own], "weight_hh": given["R"][own]}
        if config.bias:
            packed["bias_ih"], packed["bias_hh"] = np.split(given["B"][own], 2)
        for name, value in packed.items():
            params[name + Slot(0, d).suffix] = gate_order("iofg")(config, name, value)

    x = given["X"].swapaxes(0, 1) if batch_first else given["X"]
    Y, Y_h, Y_c = (wanted.get(name) for name in ("Y", "Y_h", "Y_c"))
    if Y is not None:
        Y = Y.transpose((1, 0, 2, 3) if batch_first else (0, 2, 1, 3)).reshape(*x.shape[:2], -1)
    want = Result(Y, *(part.swapaxes(0, 1) if batch_first and part is not None else part for part in (Y_h, Y_c)))
    return Vector(test.name, Case(config, params, np.ascontiguousarray(x)), want, int(reverse))


# A typical hand-written test


def hand_written() -> Peer:
    """nn.LSTM as it is initialised, one shape, allclose at 1e-4 and 1e-5, for every choice of five options."""
    torch = _needed("torch")
    vectors = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for bidirectional, bias, batch_first, given, stacked in product((False, True), repeat=5):
            layers = 1 + stacked
            config = LSTMConfig(10, 20, layers, bias, batch_first, bidirectional)
            lstm = torch.nn.LSTM(10, 20, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
            x, shape = torch.randn(5, 3, 10), (layers * config.num_directions, 3, 20)
            state = (torch.randn(shape), torch.randn(shape)) if given else None
            output, (h_n, c_n) = lstm(x.transpose(0, 1) if batch_first else x, state)
            params = {name: value.numpy() for name, value in lstm.state_dict().items()}
            arrays: State | None = None if state is None else (state[0].numpy(), state[1].numpy())
            case = Case(config, params, x.numpy(), arrays)
            want = canonical(case, Result(output.numpy(), h_n.numpy(), c_n.numpy()))
            vectors.append(Vector(case.describe(), case, want))
    form = Capabilities(layers=True, bidirectional=True, no_bias=True, batch_first=True)
    return Peer("hand-written test", tuple(vectors), 1e-4, 1e-5, form, f"torch {torch.__version__}")
