"""Alterations on some occasions only: they hold there alone, the search finds them, and their fix says when."""

from __future__ import annotations

import time

import numpy as np

from conformance.backend import Backend
from conformance.diagnosis.library import forward_library, twin_of
from conformance.diagnosis.occasions import OCCASIONS
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import probes
from conformance.diagnosis.pursuit import Pursuit, Seen
from conformance.diagnosis.remedies import remedy
from conformance.engine.judging import Here
from conformance.facts import Alteration
from conformance.faults.fault import FULL
from conformance.report.causes import altered
from conformance.spec import LSTMConfig, param_shapes


def test_an_alteration_holds_on_its_occasion_alone() -> None:
    twin = twin_of([Alteration("c-n-is-h-n", ("with-lengths",))])
    assert twin is not None
    config = LSTMConfig(3, 4, dtype="float64")
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape) for name, shape in param_shapes(config).items()}
    x = rng.normal(size=(5, 2, 3))
    _, (h_n, c_n) = twin.build(config, params)(x, None, np.array([5, 5]))
    assert np.array_equal(h_n, c_n)
    _, (h_n, c_n) = twin.build(config, params)(x)
    assert not np.array_equal(h_n, c_n)


def test_a_mistake_with_one_option_alone_is_found() -> None:
    cause = Alteration("c-n-is-h-n", ("with-lengths",))
    twin = twin_of([cause])
    assert twin is not None
    judge = Here(Backend("one option", FULL, twin.build))
    pursuit = Pursuit(Predictions(judge.backend), forward_library(FULL), time.monotonic() + 60)
    for probe in probes(judge.backend, "float64"):
        if probe.name in ("step", "rows", "lengths"):
            pursuit.meet(Seen(probe, tuple(judge.call(call.case, call.cotangents) for call in probe.calls)))
    assert pursuit.kept[0] == (cause,)


def test_the_fix_and_the_words_say_when() -> None:
    swapped = Alteration("final-states-swapped", ("two-directions",))
    assert "if config.bidirectional:" in remedy(swapped)
    assert altered([swapped]).endswith("only in models of two directions")
    for name in OCCASIONS:
        for fault in ("batch-first-ignored", "gate-order-ifog", "initial-state-swapped", "h-0-ignored"):
            text = remedy(Alteration(fault, (name,)))
            if "return " not in text:
                compile(text, fault, "exec")
        words = altered([Alteration("h-0-ignored", (name,))])
        assert "only in " in words
        assert " calls " in words or "models" in words
