"""Faulty LSTMs to try the suite on, and correct ones that it must not accuse."""

from conformance.faults.catalogue import FAULTS, backend_of, twin_backend
from conformance.faults.different import DIFFERENT, Different
from conformance.faults.fault import CLASSES, Fault

__all__ = ["CLASSES", "DIFFERENT", "FAULTS", "Different", "Fault", "backend_of", "twin_backend"]
