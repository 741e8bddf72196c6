"""Dropout's probe reads off exactly what was dropped, and its tests of chance accuse next to nobody wrongly."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from math import exp, lgamma, log

import numpy as np
import pytest
import torch
from backends import accused

from conformance.backend import Backend
from conformance.bounds.chance import surprise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.plan import Settings
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.faults.fault import DROPOUT, EVERYTHING, GRADIENTS, Fault
from conformance.faults.twin import Place, Twin
from conformance.instruments.masks import ELEMENTS, RATES, read
from conformance.properties import catalogue
from conformance.properties.dropout import pattern, vjps
from conformance.properties.dropout.shared import ALARM, LIMIT
from conformance.spec import Array
from conformance.targets.find import find
from conformance.trials.trial import Trial

#: Wired probes of every kind.
PROBES = (
    "I=3 H=4 layers=2 L=4 N=2",
    "I=1 H=3 layers=2 no-bias L=5 N=3 state=both",
    "I=3 H=9 layers=2 bidirectional proj=2 L=4 N=2 state=both float64",
    "I=3 H=9 layers=2 bidirectional no-bias ragged L=4 N=2 state=h",
    "I=3 H=4 layers=3 bidirectional L=4 N=2 state=both",
    "I=3 H=4 layers=3 proj=2 batch-first L=4 N=2 state=c",
    "I=3 H=4 layers=3 unbatched bidirectional L=4 N=1 state=both",
    "I=3 H=4 layers=3 bidirectional proj=2 L=4 N=2 state=both",
)


@pytest.fixture(autouse=True)
def the_same_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generators that nobody seeds get seeds one after the other, so that a test sees the same every time."""
    fresh, seeds = np.random.default_rng, count()
    monkeypatch.setattr(np.random, "default_rng", lambda seed=None: fresh([0, next(seeds)] if seed is None else seed))
    torch.manual_seed(0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("text", PROBES)
def test_the_probe_reads_off_exactly_what_was_dropped(text: str, seed: int) -> None:
    dropped: list[Array] = []

    def drop(twin: Twin, at: Place, below: Array) -> Array:
        p = at.config.dropout
        mask = np.random.default_rng([seed, len(dropped)]).random(below.shape) < p
        dropped.append(mask)
        return np.where(mask, 0, below / np.asarray(1 - p, below.dtype))

    backend = Backend("recorded", EVERYTHING, Twin(drop=drop).build)
    reading = read(Trial(backend, replace(parse(text), seed=seed)), RATES[seed % len(RATES)])
    boundaries, calls, *_ = reading.dropped.shape
    masks = np.stack(dropped).reshape(calls, boundaries, *dropped[0].shape[:2], *reading.dropped.shape[4:])
    there = reading.valid[..., None, None]
    assert np.array_equal(reading.dropped & there, masks.swapaxes(0, 1) & there)
    assert max(finding.margin() for finding in reading.findings) < 0.5
    assert reading.dropped[0, :, reading.valid, 0].size >= 2000


def test_a_run_accuses_a_correct_implementation_with_next_to_no_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = []

    def counted(count: int, tosses: int, p: float) -> float:
        tests.append(tosses)
        return surprise(count, tosses, p)

    for module in (pattern, vjps):
        monkeypatch.setattr(module, "surprise", counted)
    assert accused(twin_backend(), Settings(cases=100, only=("dropout",))) == {}
    # Two sides, and the bound that tests/test_chance.py holds.
    assert 0 < 2 * len(tests) * exp(-LIMIT) <= ALARM == 1e-9


def _missed(rate: float, p: float, tosses: int) -> float:
    """The exact probability that a rate other than p is not seen in so many tosses."""
    unseen = [k for k in range(tosses + 1) if surprise(k, tosses, p) <= LIMIT]
    return sum(
        exp(lgamma(tosses + 1) - lgamma(k + 1) - lgamma(tosses - k + 1) + k * log(rate) + (tosses - k) * log(1 - rate))
        for k in unseen
    )


@pytest.mark.parametrize("p", RATES)
def test_gross_deviations_are_seen_in_nearly_every_case(p: float) -> None:
    assert _missed(p / 2, p, ELEMENTS) < 1e-6
    assert _missed(1 - p, p, ELEMENTS) < 1e-6


@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS.values() if f.capabilities.dropout and f.kind in (DROPOUT, GRADIENTS)],
    ids=lambda fault: fault.id,
)
def test_a_fault_of_dropout_comes_back(fault: Fault) -> None:
    """Shared masks change the rate by chance, which comes and goes; that they are shared is seen every time."""

    def comes_back(stop: bool) -> bool:
        messages = accused(backend_of(fault), Settings(cases=0, only=("dropout",), stop=stop)).values()
        assert messages
        return any("in some draws only" not in message for message in messages)

    # Mostly the first failure tells.
    assert fault.id == "dropout-a-tenth-less" or comes_back(stop=True) or comes_back(stop=False)


def test_half_precision_is_not_read() -> None:
    asked = catalogue()["dropout.elements"].when
    assert asked(Recipe(layers=2, dtype="float32"))
    assert not any(asked(Recipe(layers=2, dtype=dtype)) for dtype in ("float16", "bfloat16"))


@pytest.mark.parametrize(
    ("fault", "property"),
    [
        ("dropout-unscaled", "elements"),
        ("dropout-of-the-output", "elements"),
        ("dropout-for-each-direction", "elements"),
        ("dropout-for-each-gate", "elements"),
        ("dropout-a-tenth-less", "rate"),
        ("dropout-mask-for-all-steps", "independence"),
        ("dropout-mask-for-both-halves", "independence"),
        ("dropout-seeded-at-each-call", "independence"),
    ],
)
def test_each_kind_of_fault_is_named_for_what_it_is(fault: str, property: str) -> None:
    chosen = ("dropout.elements", "dropout.rate", "dropout.independence")
    failed = accused(backend_of(FAULTS[fault]), Settings(cases=0, only=chosen))
    # Elements that are dropped together can miss the rate too.
    assert f"dropout.{property}" in set(failed) <= {f"dropout.{property}", "dropout.rate"}


@pytest.mark.parametrize("name", ["torch-nn", "torch-nn-step", "torch-loop", "numpy"])
@pytest.mark.usefixtures("few_rows")
def test_the_built_in_backends_drop_as_they_should(name: str) -> None:
    """On a few rows: `lstm-conformance run` judges them on all."""
    assert accused(find(name), Settings(cases=5, only=("dropout",))) == {}
