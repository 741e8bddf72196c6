"""The form of a fault."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.backend import Build, Capabilities
from conformance.conventions import Transform
from conformance.conventions.transform import FINAL, GATES, LAYOUT, LENGTHS, REVERSE, STACK, STATE
from conformance.faults.twin import Twin

#: What most faults declare.
FULL = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    unbatched=True,
    projection=True,
    lengths=True,
    dtypes=("float32", "float64"),
)

#: All that the twin can do: a fault of what FULL leaves out declares what it needs of it.
EVERYTHING = replace(FULL, gradients=True, dropout=True, dtypes=(*FULL.dtypes, "float16", "bfloat16"))

MEMORY = "memory and strides"
OPTIONS = "refused options silently accepted"
DEGENERATE = "degenerate sizes"
RANGE = "dtype and range"
HALF = "half precision"
NONFINITE = "non-finite values"
CALLS = "state between calls"
THREADS = "threads"
DROPOUT = "dropout and mode"
SIZES = "size thresholds"
STALE = "stale packed weights"
GRADIENTS = "gradients"
LIVING = "loaded weights and switched modes"

#: The classes of defects met in public.
CLASSES = (
    *(LENGTHS, STATE, LAYOUT, REVERSE, FINAL, MEMORY, STACK, GATES),
    *(OPTIONS, DEGENERATE, RANGE, HALF, NONFINITE, CALLS, THREADS, DROPOUT, SIZES, STALE, GRADIENTS, LIVING),
)


@dataclass(frozen=True)
class Fault:
    """One way to get an LSTM wrong: an alteration of the correct twin."""

    id: str
    #: One sentence.
    description: str
    #: The framework whose convention it is, or the public bug it stands for.
    stands_for: str
    #: The conditions under which it shows.
    shows_when: str
    #: One of ``CLASSES``.
    kind: str
    twin: Twin
    capabilities: Capabilities = FULL

    @property
    def build(self) -> Build:
        """A backend's ``build``, with memory of its own."""
        return replace(self.twin, shared={}).build

    @property
    def transform(self) -> Transform | None:
        """How its arguments and results are read, where the fault is nothing but that; None elsewhere."""
        return self.twin.transform if replace(self.twin, transform=Transform(), shared={}) == Twin() else None
