"""Faulty LSTMs to try the suite on, and correct ones that it must not accuse."""

from conformance.selftest.faults.catalogue import FAULTS, backend_of, twin_backend
from conformance.selftest.faults.composites import DIFFERENT
from conformance.selftest.faults.different import Different
from conformance.selftest.faults.fault import CLASSES, Fault

__all__ = ["CLASSES", "DIFFERENT", "FAULTS", "Different", "Fault", "backend_of", "twin_backend"]
