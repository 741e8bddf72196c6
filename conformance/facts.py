"""Judgements as data: outcomes, and the facts that are said beside them.

Facts travel from a check to a report as they are. ``report/english.py`` alone puts them into words, and nothing reads
words back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The possible ends of one property on one backend; the values are the public contract's words."""

    PASSED = "passed"
    FAILED = "failed"
    #: The backend raised, or returned what is not a result at all.
    ERROR = "error"
    #: The backend's process died.
    CRASHED = "crashed"
    TIMEOUT = "timeout"
    EXPECTED_FAILURE = "expected failure"
    #: It was expected to fail.
    UNEXPECTED_PASS = "unexpected pass"
    #: Some cases that the backend declares could not be judged, or it raised ``Unsupported`` there.
    NARROWED = "narrowed"
    NOT_DECLARED = "not declared"
    NOT_RUN = "not run"
    #: The backend cannot run here.
    UNAVAILABLE = "unavailable"

    @property
    def bad(self) -> bool:
        """Whether the property does not hold as was declared."""
        return self in _BAD

    @property
    def ends(self) -> bool:
        """Whether the implementation did not come back from a call."""
        return self in (Outcome.CRASHED, Outcome.TIMEOUT)

    @property
    def good(self) -> bool:
        """Whether the property holds, or does not hold as was expected."""
        return self in (Outcome.PASSED, Outcome.EXPECTED_FAILURE)


_BAD = frozenset({Outcome.FAILED, Outcome.ERROR, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.UNEXPECTED_PASS})


class Recurrence(StrEnum):
    """How a failure comes back when its case is run again."""

    ALWAYS = "always"
    #: What is random differs from run to run.
    IN_SOME_DRAWS = "in some draws"
    #: Only after the cases of ``Verdict.history``.
    AFTER_OTHERS = "after others"
    #: Calls from two threads meet now and then.
    AT_SOME_TRIES = "at some tries"
    NEVER = "never"


# What a check says of a failure


@dataclass(frozen=True)
class Mismatch:
    """One element of a result that is farther from the oracle's than its bound."""

    #: "output", "h_n", "c_n", "grad x", "grad weight_ih_l0" …
    tensor: str
    #: Where it stands in the tensor that was returned, in canonical layout.
    index: tuple[int, ...]
    expected: float
    actual: float
    bound: float
    layer: int
    direction: int
    #: The step and the row of the batch, where the tensor has them.
    step: int | None
    row: int | None
    #: The model that was run had the first ``layers`` layers of the ``of`` layers of the case's model.
    layers: int
    of: int


@dataclass(frozen=True)
class Misshapen:
    """A tensor that came in another shape than the one it must have."""

    #: "output", "grads['x']" …
    tensor: str
    actual: tuple[int, ...]
    expected: tuple[int, ...]
    #: Why it must, or nothing.
    why: str = ""


@dataclass(frozen=True)
class Frame:
    """A place in a program at which an exception passed."""

    #: As it is named from the folder of the run, or within the package that it belongs to.
    file: str
    line: int
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
    #: The exception's class and message.
    type: str
    text: str
    #: The last places of the author's own code that it passed, the innermost last.
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True)
class Said:
    """A text that a property, a backend or a process gives in words of its own."""

    text: str


@dataclass(frozen=True)
class Within:
    """A fact, and how the call was changed at which it was met."""

    context: str
    fact: Mismatch | Misshapen | Raised | Said


# The call that failed, in numbers


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


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers as texts, with as many digits as it takes to tell them apart, and six at least."""
    texts = ((f"{a:.{digits}g}", f"{b:.{digits}g}") for digits in range(6, 18))
    return next((pair for pair in texts if pair[0] != pair[1]), (f"{a:.9g}", f"{b:.9g}"))


@dataclass(frozen=True)
class Unsupported:
    """The backend raised ``Unsupported`` for a case that it declares."""

    #: The case in short, and the backend's reason.
    case: str
    reason: str


# What the engine says of a property that it could not judge in full


@dataclass(frozen=True)
class Undeclared:
    """The needs of a property that a backend does not meet, as words of ``Property.needs``."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Some of a property's cases were not judged."""

    #: All of its cases.
    cases: int
    #: Those for which ``Unsupported`` was raised, with the first of them.
    unsupported: int
    example: Unsupported | None
    #: Those that ended the backend's process, and the properties that tell how.
    lost: int
    see: tuple[str, ...]


@dataclass(frozen=True)
class DtypeUnjudged:
    """Cases of one declared dtype cannot be made here; so many cases of other dtypes were judged."""

    cases: int
    reason: str


@dataclass(frozen=True)
class Interruption:
    """Why a run ended early: it was "interrupted", "given up" for a reason, or "stopped" at the first failure."""

    how: str
    #: Cases offered until then.
    cases: int
    reason: str = ""


@dataclass(frozen=True)
class CutShort:
    """A property was not judged to the end; so many cases of its own had passed."""

    why: Interruption
    passed: int


@dataclass(frozen=True)
class AdapterBroken:
    """Nothing was asked, since the simplest call already fails, as the property ``see`` tells."""

    see: str


@dataclass(frozen=True)
class NotStarted:
    """Nothing was asked, since the backend's process ended at its start, as the property ``see`` tells."""

    see: str


@dataclass(frozen=True)
class NoCase:
    """No case was one that the property speaks about."""


@dataclass(frozen=True)
class NotJudged:
    """An option that a probe did not take for declared, and why."""

    #: A field of ``Capabilities`` or a dtype.
    option: str
    fact: Fact


@dataclass(frozen=True)
class Discarded:
    """Every case that the property speaks about was left out: what it builds on is wrong, as ``see`` tells."""

    cases: int
    #: Properties that failed, of the same group if there are any.
    see: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """The cases in which a property that ended in an error was right all the same."""

    #: Cases in all; those that were right, and those that were answered wrongly. In the others the backend raised.
    cases: int
    right: int
    wrong: int
    #: Traits of a case (``engine/scope.py``) that hold together wherever it raised, and nowhere else; none if unknown.
    wherever: tuple[str, ...]


@dataclass(frozen=True)
class Gap:
    """The reasons that keep a backend from a level, the levels below taken for granted."""

    level: str
    interrupted: Interruption | None = None
    #: Whether only part of the properties was asked, or only a quick run's part of the cases.
    partial: bool = False
    quick: bool = False
    #: The level's words that do not hold, and those that no property judges.
    unmet: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    #: Its properties that did not pass, by outcome.
    short: tuple[tuple[Outcome, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A quick run has no case for the property."""


@dataclass(frozen=True)
class Quick:
    """The part of the fixed set that a quick run asked: so many cases of all that it has."""

    cases: int
    fixed: int


Fact = (
    Mismatch
    | Misshapen
    | Raised
    | Said
    | Within
    | Unsupported
    | Undeclared
    | Part
    | DtypeUnjudged
    | CutShort
    | AdapterBroken
    | NotStarted
    | NoCase
    | LeftOut
    | Discarded
)
