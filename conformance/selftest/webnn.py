"""WebNN's own tests of its operator lstm, and what they say of a fault.

They are those of web-platform-tests, ``webnn/conformance_tests/lstm.https.any.js`` (3-clause BSD licence): twelve
calls of one model. All of them ask for ReLU in place of σ and tanh, and compare within 1 ulp. A faulty LSTM is asked
with ReLU too: a fault in σ or tanh is then out of sight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.backend import Capabilities
from conformance.cases.case import Case
from conformance.selftest.peer import Peer, Vector
from conformance.spec import Array, LSTMConfig, Result

#: One step and two, of two rows and two features.
_X = {1: [1, 2, 2, 1], 2: [1, 2, 2, 1, 3, 4, 1, 2]}

#: h_n, c_n and the output, by the number of steps; two steps are read in reverse.
_WANTED = {
    1: ([1, 8, 27, 216], [1, 4, 9, 36], [1, 8, 27, 216]),
    2: (
        [10.469000816345215, 58.02900695800781, 74.52900695800781, 518.948974609375],
        [5.510000228881836, 20.01000213623047, 19.110000610351564, 75.20999908447266],
        [10.469000816345215, 58.02900695800781, 74.52900695800781, 518.948974609375, 1, 8, 1, 8],
    ),
}


@dataclass(frozen=True)
class _Call:
    """What one of the tests differs in."""

    name: str
    steps: int = 1
    #: A state of zeros is given.
    state: bool = False
    sequence: bool = False


_CALLS = (
    *(_Call("bias, recurrentBias"), _Call("peepholeWeight of zeros"), _Call("initialHiddenState of zeros", state=True)),
    *(_Call("initialCellState of zeros", state=True), _Call("returnSequence=false")),
    *(_Call("returnSequence=true", sequence=True), _Call("direction=forward"), _Call("layout=iofg")),
    *(_Call("layout=ifgo"), _Call("all options", state=True, sequence=True), _Call("direction=backward", steps=2)),
    _Call("all options, backward", steps=2, state=True, sequence=True),
)


def webnn_tests() -> Peer:
    """The tests as calls of an nn.LSTM; its peepholes are zeros, which change nothing."""
    form = Capabilities(bidirectional=True, no_bias=True)
    source = "web-platform-tests of 2025, with ReLU for σ and tanh"
    # One unit in the last place is at most 2^−23 of a number.
    vectors = tuple(map(_vector, _CALLS))
    return Peer("WebNN tests", vectors, 2.0**-23, 0.0, form, source, activation=_relu)


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _vector(call: _Call) -> Vector:
    # Of the reverse direction alone there is no nn.LSTM: the forward one beside it is not compared.
    first = int(call.steps > 1)
    config = LSTMConfig(2, 2, bidirectional=bool(first))
    # Every gate has the same weights, so that any order of the gates is right.
    one = {
        "weight_ih": np.array([[1, -1], [2, -2]] * 4, "float32"),
        "weight_hh": np.full((8, 2), 0.1, "float32"),
        "bias_ih": np.array([1, 2] * 4, "float32"),
        "bias_hh": np.array([1, 2] * 4, "float32"),
    }
    params = {name + slot.suffix: value for slot in config.slots() for name, value in one.items()}
    x = np.array(_X[call.steps], "float32").reshape(call.steps, 2, 2)
    state = np.zeros((1 + first, 2, 2), "float32"), np.zeros((1 + first, 2, 2), "float32")
    h_n, c_n, output = (np.array(part, "float32") for part in _WANTED[call.steps])
    want = Result(
        output.reshape(call.steps, 2, 2) if call.sequence else None, h_n.reshape(1, 2, 2), c_n.reshape(1, 2, 2)
    )
    return Vector(call.name, Case(config, params, x, state if call.state else None), want, first)
