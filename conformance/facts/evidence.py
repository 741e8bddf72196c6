"""The call that failed, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


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
    #: It is beyond its bound.
    wrong: bool


@dataclass(frozen=True)
class Compared:
    """One tensor of a result beside the oracle's: some elements, the first wrong one among them if there is any."""

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
