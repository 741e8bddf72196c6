"""The catalogue: faulty LSTMs, each a small alteration of one correct twin, and correct ones that differ from it.

The self-test tries the suite on them. The diagnosis looks among them for the cause of a failure.
"""

from conformance.faults.catalogue import FAULTS, backend_of, twin_backend
from conformance.faults.composites import DIFFERENT
from conformance.faults.different import Different
from conformance.faults.fault import CLASSES, Fault

__all__ = ["CLASSES", "DIFFERENT", "FAULTS", "Different", "Fault", "backend_of", "twin_backend"]
