"""What there is to say of one recorded call, as data: how far its results are off, and from where on."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.facts.failures import Mismatch


@dataclass(frozen=True)
class Step:
    """Where an output goes wrong first, in the order in which a direction reads."""

    direction: int
    step: int
    row: int


@dataclass(frozen=True)
class Difference:
    """A recorded call against the oracle."""

    #: The call in short.
    call: str
    #: The largest error as a share of its bound; rounding can explain any that is not above 1.
    margin: float
    #: The element that is farthest beyond its bound, or nearest to it.
    worst: Mismatch
    #: By part of the result, how many of its elements are beyond their bounds, and how many it has.
    wrong: dict[str, tuple[int, int]]
    #: None where no output is wrong.
    first: Step | None = None
    #: Nothing is known of any element: its numbers are beyond the dtype's range, or not finite.
    silent: bool = False

    @property
    def explained(self) -> bool:
        """Whether rounding can explain all of it."""
        return self.margin <= 1.0
