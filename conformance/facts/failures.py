"""Facts that a check says of a failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mismatch:
    """One element of a result that is farther from the oracle's than its bound."""

    #: "output", "h_n", "c_n", "grad x", "grad weight_ih_l0" …
    tensor: str
    #: Where it stands in the tensor that was returned, in canonical layout.
    index: tuple[int, ...]
    #: The oracle's value.
    expected: float
    #: The backend's value.
    actual: float
    #: How far it may be off.
    bound: float
    #: The layer that it belongs to, from 0 on.
    layer: int
    #: Its direction: 0 forward, 1 reverse.
    direction: int
    #: The step, where the tensor has steps.
    step: int | None
    #: The row of the batch, where the tensor has rows.
    row: int | None
    #: The model that was run had the first ``layers`` layers of the ``of`` layers of the case's model.
    layers: int
    #: How many layers the case's model has.
    of: int


@dataclass(frozen=True)
class Misshapen:
    """A tensor that came in another shape than the one it must have."""

    #: "output", "grads['x']" …
    tensor: str
    #: The shape that came.
    actual: tuple[int, ...]
    #: The shape that it must have.
    expected: tuple[int, ...]
    #: Why it must, or nothing.
    why: str = ""


@dataclass(frozen=True)
class Frame:
    """A place in a program at which an exception passed."""

    #: As it is named from the folder of the run, or within the package that it belongs to.
    file: str
    #: The line in it, from 1 on.
    line: int
    #: The function.
    function: str
    #: The line itself, or nothing where the file cannot be read.
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True)
class Raised:
    """The backend raised an exception that is not ``Unsupported``."""

    #: "build", "forward" or "forward.vjp".
    what: str
    #: The exception's class.
    type: str
    #: The exception's message.
    text: str
    #: The last places of the author's own code that it passed, the innermost last.
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Said:
    """A text that a property, a backend or a process gives in words of its own."""

    #: What was said.
    text: str


@dataclass(frozen=True)
class Within:
    """A fact, and how the call was changed at which it was met."""

    #: How the call was changed, or when it was made.
    context: str
    #: What was met there.
    fact: Mismatch | Misshapen | Raised | Said


@dataclass(frozen=True)
class Unsupported:
    """The backend raised ``Unsupported`` for a case that it declares."""

    #: The case in short.
    case: str
    #: The backend's reason.
    reason: str


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers as texts, with as many digits as it takes to tell them apart, and six at least."""
    texts = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(6, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (f"{a:.9g}", f"{b:.9g}"))
