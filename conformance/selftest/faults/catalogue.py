"""The catalogue: every fault, each a small alteration of one correct LSTM, and the backends made from them."""

from __future__ import annotations

from conformance.backend import Backend
from conformance.selftest.faults import (
    calls,
    conjunctions,
    dropout,
    equations,
    gradient_calls,
    gradient_conditions,
    gradients,
    half,
    large,
    layouts,
    lengths,
    memory,
    models,
    nonfinite,
    numerics,
    options,
    parameters,
    structure,
)
from conformance.selftest.faults.backward import Differentiable
from conformance.selftest.faults.fault import EVERYTHING, Fault

FAULTS: tuple[Fault, ...] = (
    *parameters.FAULTS,
    *layouts.FAULTS,
    *equations.FAULTS,
    *numerics.FAULTS,
    *half.FAULTS,
    *nonfinite.FAULTS,
    *structure.FAULTS,
    *memory.FAULTS,
    *calls.FAULTS,
    *models.FAULTS,
    *dropout.FAULTS,
    *options.FAULTS,
    *conjunctions.FAULTS,
    *lengths.FAULTS,
    *gradients.FAULTS,
    *gradient_calls.FAULTS,
    *gradient_conditions.FAULTS,
    *large.FAULTS,
)


def backend_of(fault: Fault) -> Backend:
    """A fault as a backend."""
    return Backend(fault.id, fault.capabilities, fault.build)


def twin_backend() -> Backend:
    """The correct LSTM that all of them were made from."""
    return Backend("twin", EVERYTHING, Differentiable().build)
