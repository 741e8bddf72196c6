"""The call that failed, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: So many elements of a large tensor are enough.
_ENOUGH = 5


@dataclass(frozen=True)
class Tensor:
    """An array as plain data; ``values`` row by row, or None where there are too many to show."""

    #: What the call names it: "x", "h_0", "weight_ih_l0" …
    name: str
    #: Its dtype.
    dtype: str
    #: Its shape.
    shape: tuple[int, ...]
    #: How many of its elements are not zero.
    nonzero: int
    #: Its elements row by row, or null where there are too many to show.
    values: tuple[float, ...] | None


@dataclass(frozen=True)
class Element:
    """One element of a result beside the oracle's."""

    #: Where it stands in the tensor.
    index: tuple[int, ...]
    #: The oracle's value.
    expected: float
    #: The backend's value.
    actual: float
    #: Its error as a share of its bound; infinite where something is not a number that should be.
    share: float
    #: It is beyond its bound.
    wrong: bool


@dataclass(frozen=True)
class Compared:
    """One tensor of a result beside the oracle's: all elements, or some, with the first wrong one and the worst."""

    #: Its name: "output", "h_n", "grad x" …
    tensor: str
    #: Elements of it, in order.
    elements: tuple[Element, ...]
    #: How many elements were compared.
    count: int
    #: How many of them are wrong.
    wrong: int


@dataclass(frozen=True)
class Evidence:
    """The call that failed, as ``replay`` shows it."""

    #: The call in short.
    call: str
    #: All that it was given.
    given: tuple[Tensor, ...]
    #: The results beside the oracle's, where these were what was judged.
    compared: tuple[Compared, ...]
    #: Of a backend that raised, the whole traceback.
    traceback: str


def first_and_worst(shares: Sequence[float]) -> list[int]:
    """Which of many elements tell enough, by their errors as shares of their bounds.

    A few from the first wrong one on, and the worst, in their order. Of those alone it takes all.
    """
    first = next((k for k, share in enumerate(shares) if share > 1.0), None)
    start = 0 if first is None else min(first, max(0, len(shares) - _ENOUGH))
    chosen = {*range(start, min(start + _ENOUGH, len(shares)))}
    return sorted(chosen if first is None else chosen | {max(range(len(shares)), key=lambda k: shares[k])})
