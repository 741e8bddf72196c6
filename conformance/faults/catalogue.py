"""The catalogue: every fault, each a small alteration of one correct LSTM, and the backends made from them."""

from __future__ import annotations

from conformance.backend import Backend
from conformance.faults import (
    calls,
    conjunctions,
    dropout,
    equations,
    layouts,
    memory,
    numerics,
    options,
    parameters,
    structure,
)
from conformance.faults.fault import EVERYTHING, Fault
from conformance.faults.twin import Twin

FAULTS: tuple[Fault, ...] = (
    *parameters.FAULTS,
    *layouts.FAULTS,
    *equations.FAULTS,
    *numerics.FAULTS,
    *structure.FAULTS,
    *memory.FAULTS,
    *calls.FAULTS,
    *dropout.FAULTS,
    *options.FAULTS,
    *conjunctions.FAULTS,
)


def backend_of(fault: Fault) -> Backend:
    """A fault as a backend."""
    return Backend(fault.id, fault.capabilities, fault.build)


def twin_backend() -> Backend:
    """The correct LSTM that all of them were made from."""
    return Backend("twin", EVERYTHING, Twin().build)
