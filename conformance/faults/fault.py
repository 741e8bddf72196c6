"""What a fault is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conformance.backend import Build, Capabilities
from conformance.faults.twin import Transform, Twin

#: All that the twin can do.
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

#: All that the correct twin can do. A fault declares ``FULL`` and what it is about: time per fault matters.
EVERYTHING = replace(FULL, dropout=True)

LENGTHS = "variable lengths, masks"
STATE = "initial state"
LAYOUT = "axes and layout"
REVERSE = "time order of the reverse direction"
FINAL = "final state"
MEMORY = "memory and strides"
STACK = "bidirectional × stacked"
GATES = "gate arithmetic"
OPTIONS = "refused options silently accepted"
DEGENERATE = "degenerate sizes"
RANGE = "dtype and range"
CALLS = "state between calls"
THREADS = "threads"
DROPOUT = "dropout and mode"
SIZES = "size thresholds"
STALE = "stale packed weights"

#: The classes of defects met in public, but for gradients, which this version does not judge.
CLASSES = (
    *(LENGTHS, STATE, LAYOUT, REVERSE, FINAL, MEMORY, STACK, GATES),
    *(OPTIONS, DEGENERATE, RANGE, CALLS, THREADS, DROPOUT, SIZES, STALE),
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
        """The convention, where the fault is nothing but one: what a diagnosis can search for and make up for."""
        return self.twin.transform if replace(self.twin, transform=Transform(), shared={}) == Twin() else None
