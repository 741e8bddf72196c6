"""The catalogue: every fault, each a small alteration of one correct LSTM, and the backends made from them."""

from __future__ import annotations

from conformance.backend import Backend
from conformance.faults import (
    activations,
    calls,
    conjunctions,
    conventions,
    degenerate,
    dropout,
    equal_sizes,
    equations,
    gradient_calls,
    gradient_layers,
    gradient_sizes,
    gradients,
    half,
    histories,
    lengths,
    living,
    memory,
    models,
    nonfinite,
    options,
    packing,
    precision,
    shapes,
    sizes,
    structure,
)
from conformance.faults.fault import EVERYTHING, Fault
from conformance.faults.living import Living

_MODULES = (
    *(conventions, packing, equations, activations, precision, half, nonfinite, structure, sizes, degenerate, lengths),
    *(memory, calls, models, living, options, shapes, dropout, conjunctions),
    *(gradients, gradient_layers, gradient_calls, gradient_sizes),
    *(equal_sizes, histories),
)

#: Every fault by its id.
FAULTS: dict[str, Fault] = {fault.id: fault for module in _MODULES for fault in module.FAULTS}


def backend_of(fault: Fault) -> Backend:
    """A fault as a backend."""
    return Backend(fault.id, fault.capabilities, fault.build)


def twin_backend() -> Backend:
    """The correct LSTM that all of them were made from."""
    return Backend("twin", EVERYTHING, Living().build)
