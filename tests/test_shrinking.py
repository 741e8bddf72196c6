"""Shrink quality: each fault ends at the very smallest case that shows it, as exact recipes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conformance.cases.recipe import parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of

#: A fault, the property that catches it, and the structure it needs: nothing else is left.
MINIMAL = [
    ("gate-order-iofg", "values.output", "I=1 H=1 L=1 N=1"),
    ("h-0-ignored", "state.h-alone", "I=1 H=1 L=1 N=1"),
    ("c-0-ignored", "state.c-alone", "I=1 H=1 L=1 N=1"),
    ("reverse-not-flipped-back", "direction.reversal", "I=1 H=1 bidirectional L=2 N=1"),
    ("halves-swapped", "direction.forward-half", "I=1 H=1 bidirectional L=1 N=1"),
    ("upper-biases-of-layer-below", "stack.composition", "I=1 H=1 layers=2 L=1 N=1"),
    ("first-layer-state-for-all", "state.slots", "I=1 H=1 layers=2 L=1 N=1"),
    ("recurrent-bias-ignored", "parameters.bias-sum", "I=1 H=1 L=1 N=1"),
    ("c-n-is-h-n", "values.c_n", "I=1 H=1 L=1 N=1"),
    ("h-n-of-first-step", "layout.final-state", "I=1 H=1 L=2 N=1"),
    ("c-n-clipped", "numerics.no-clipping", "I=1 H=1 L=1 N=1"),
    ("units-past-a-multiple-of-8", "values.output", "I=1 H=9 L=1 N=1"),
    ("units-past-64", "values.output", "I=1 H=65 float64 L=1 N=1"),
    ("rows-past-a-tile-of-4", "values.output", "I=1 H=1 L=1 N=5"),
    ("looks-ahead", "sequence.causality", "I=1 H=1 L=2 N=1"),
    ("one-step-ignores-h-0", "sequence.stepwise", "I=1 H=1 L=2 N=1"),
    ("third-layer-h-0-ignored", "values.output", "I=1 H=1 layers=3 L=1 N=1 state=both"),
    ("float32-for-float64", "values.output", "I=1 H=1 float64 L=1 N=1"),
    ("projection-twice", "values.output", "I=1 H=2 proj=1 L=1 N=1"),
    ("final-states-direction-major", "layout.state-order", "I=1 H=1 layers=2 bidirectional L=1 N=1"),
]


@pytest.mark.parametrize(("fault", "property", "structure"), MINIMAL)
def test_the_smallest_case_has_only_what_the_fault_needs(fault: str, property: str, structure: str) -> None:
    backend = backend_of(FAULTS[fault])
    [verdict] = conform(backend, Settings(cases=30, only=(property,))).verdicts
    assert verdict.outcome == "failed"
    assert verdict.recipe is not None
    assert str(replace(parse(verdict.recipe), edits=())) == structure
