"""The call that failed, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tensor:
    """An array as plain data; ``values`` row by row, or None where there are too many to show."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nonzero: int
    values: tuple[float, ...] | None


@dataclass(frozen=True)
class Element:
    """One element of a result beside the oracle's."""

    index: tuple[int, ...]
    expected: float
    actual: float
    #: It is beyond its bound.
    wrong: bool


@dataclass(frozen=True)
class Compared:
    """One tensor of a result beside the oracle's: some elements, the first wrong one among them if there is any."""

    tensor: str
    elements: tuple[Element, ...]
    #: How many elements were compared, and how many of them are wrong.
    count: int
    wrong: int


@dataclass(frozen=True)
class Evidence:
    """The call that failed, as ``replay`` shows it."""

    #: The call in short, and all that it was given.
    call: str
    given: tuple[Tensor, ...]
    #: The results beside the oracle's, where these were what was judged.
    compared: tuple[Compared, ...]
    #: Of a backend that raised, the whole traceback.
    traceback: str
