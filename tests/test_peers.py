"""Other tests of LSTMs are translated rightly, and what they say of a fault is no accident."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from programs import Command

from conformance.cases.case import canonical, handed
from conformance.conventions.parameters import ORDERS
from conformance.errors import UsageError
from conformance.faults import DIFFERENT, FAULTS
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.reference.forward import lstm
from conformance.selftest.peer import CAUGHT, INEXPRESSIBLE, MISSED, Peer, accepts, reading, verdict
from conformance.selftest.peers import hand_written, onnx_tests, peers
from conformance.selftest.webnn import webnn_tests
from conformance.spec import Result

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'lstm-conformance[peers]'")


@pytest.fixture(scope="module")
def onnx() -> Peer:
    return onnx_tests()


@pytest.fixture(scope="module")
def written() -> Peer:
    return hand_written()


def test_the_oracle_agrees_with_every_vector(onnx: Peer, written: Peer) -> None:
    named = {vector.name for vector in onnx.vectors}
    assert {"test_lstm_defaults", "test_lstm_with_initial_bias", "test_lstm_batchwise"} <= named
    assert onnx.apart == ("test_lstm_with_peepholes",)
    assert (onnx.rtol, onnx.atol) == (1e-3, 1e-7)
    assert written.vectors
    for peer in (onnx, written):
        for vector in peer.vectors:
            case, P = vector.case, vector.case.config.output_size
            x, state, _ = handed(case)
            output, finals = lstm(case.config, case.params, x, state)
            output, h_n, c_n = canonical(case, Result(output, *finals))
            assert output is not None
            assert h_n is not None
            assert c_n is not None
            right = output[..., vector.first * P :], h_n[vector.first :], c_n[vector.first :]
            compared = [(part, want) for part, want in zip(right, vector.want, strict=True) if want is not None]
            assert compared
            for part, want in compared:
                np.testing.assert_allclose(part, want, peer.rtol, peer.atol)


def test_correct_implementations_are_accepted(onnx: Peer, written: Peer) -> None:
    for peer in (onnx, written):
        assert accepts(peer, Twin(), FULL)
        assert all(accepts(peer, different.twin, FULL) for different in DIFFERENT)


def test_onnx_accepts_every_gate_order_and_the_hand_written_test_one(onnx: Peer, written: Peer) -> None:
    assert [order for order in ORDERS if accepts(onnx, reading(order), FULL)] == list(ORDERS)
    assert [order for order in ORDERS if accepts(written, reading(order), FULL)] == ["ifgo"]


@pytest.mark.parametrize(
    ("id", "by_onnx", "by_hand"),
    [
        ("gate-order-iofg", MISSED, CAUGHT),
        ("candidate-linear", CAUGHT, CAUGHT),
        ("cell-in-half", MISSED, CAUGHT),
        ("h-0-ignored", MISSED, CAUGHT),
        # Two layers, lengths, memory: beyond the form of one or both.
        ("upper-gate-order", INEXPRESSIBLE, CAUGHT),
        ("lengths-ignored", MISSED, INEXPRESSIBLE),
        ("reads-contiguous", INEXPRESSIBLE, INEXPRESSIBLE),
        # Only values that neither has: expressible, and missed.
        ("nan-hidden", MISSED, MISSED),
        ("sigmoid-nan-past-88", MISSED, MISSED),
    ],
)
def test_verdicts(onnx: Peer, written: Peer, id: str, by_onnx: str, by_hand: str) -> None:
    assert (verdict(onnx, FAULTS[id]), verdict(written, FAULTS[id])) == (by_onnx, by_hand)


def test_webnn_s_tests_accept_every_gate_order_and_miss_what_relu_hides() -> None:
    webnn = webnn_tests()
    assert accepts(webnn, Twin(), FULL)
    assert all(accepts(webnn, reading(order), FULL) for order in ORDERS)
    assert verdict(webnn, FAULTS["recurrent-bias-ignored"]) == CAUGHT
    assert verdict(webnn, FAULTS["hard-sigmoid"]) == MISSED
    assert verdict(webnn, FAULTS["upper-gate-order"]) == INEXPRESSIBLE
    assert "with ReLU" in webnn.note


def test_webnn_s_expected_numbers_are_farther_off_than_its_tolerance() -> None:
    # An LSTM that is right to the last digit fails: the number expected was rounded on its way, and 1 ulp is allowed.
    webnn = webnn_tests()
    exact = replace(Twin(), precision=lambda twin, config: "float64")
    failed = [v.name for v in webnn.vectors if not accepts(replace(webnn, vectors=(v,)), exact, FULL)]
    assert failed == ["direction=backward", "all options, backward"]
    # By hand, in whole numbers of tenths: W x + b + b is 9, 11 … with R = 0.1 rounded to float32.
    r = Fraction(float(np.float32(0.1)))
    h, c = [Fraction(0)] * 2, [Fraction(0)] * 2
    for x in ((3, 4), (1, 2)):
        a = [max(Fraction(0), k * (x[0] - x[1]) + 2 * k + r * sum(h)) for k in (1, 2)]
        c = [a[k] * c[k] + a[k] ** 2 for k in range(2)]
        h = [a[k] * c[k] for k in range(2)]
    expected = webnn.vectors[-1].want.h_n
    assert expected is not None
    ulps = [
        abs(float(exact - Fraction(float(v)))) / float(np.spacing(v))
        for exact, v in zip(h, expected[0, 0], strict=True)
    ]
    assert 1.6 < max(ulps) < 1.7


def test_the_command_tells_them_side_by_side(command: Command) -> None:
    chosen = "self-test gate-order-iofg --no-fixed-set --cases 3 --jobs 1 --json peers.json --peers"
    code, out, _ = command(*chosen.split())
    assert code == 0
    assert "1 of 24" in out
    assert "24 of 24" in out
    written = json.loads(Path("peers.json").read_text())
    said = {"ONNX node tests": "missed", "WebNN tests": "missed", "hand-written test": "caught"}
    assert written["rows"][0]["peers"] == said
    accepted = {suite: len(orders) for suite, orders in written["orders"].items()}
    assert accepted == {"this suite": 1, "ONNX node tests": 24, "WebNN tests": 24, "hand-written test": 1}


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx.backend.test.case.node.lstm", None)
    with pytest.raises(UsageError, match=r"need onnx.*\n.*lstm-conformance\[peers\]"):
        peers()
