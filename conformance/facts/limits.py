"""Facts that the engine says of a property that it could not judge in full."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.facts.failures import Mismatch, Misshapen, Raised, Said, Unsupported, Within
from conformance.facts.outcomes import Outcome


@dataclass(frozen=True)
class Undeclared:
    """The needs of a property that a backend does not meet, as words of ``Property.needs``."""

    #: Options, dtypes, results and the like, such as "layers" or "values".
    words: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Some of a property's cases were not judged."""

    #: All of its cases.
    cases: int
    #: Those for which ``Unsupported`` was raised.
    unsupported: int
    #: The first of them.
    example: Unsupported | None
    #: Those that ended the backend's process.
    lost: int
    #: The properties that tell how.
    see: tuple[str, ...]


@dataclass(frozen=True)
class Unanswered:
    """A recording has no answer to a call."""

    #: Whether the call is in the recording. One whose arguments depend on earlier answers, or that was made of what was
    #: wrong, is in none.
    recorded: bool


@dataclass(frozen=True)
class Unshown:
    """Some of a property's cases were not judged: a recording has no answers to all calls that they take."""

    #: All of its cases.
    cases: int
    #: Those of which a recorded call was not answered.
    unanswered: int
    #: Those that take a call that no recording has: it depends on what earlier calls returned.
    unrecorded: int


@dataclass(frozen=True)
class DtypeUnjudged:
    """Cases of one declared dtype cannot be made here; so many cases of other dtypes were judged."""

    #: Cases of other dtypes.
    cases: int
    #: Why they cannot be made.
    reason: str


@dataclass(frozen=True)
class Interruption:
    """Why a run ended early: it was "interrupted", "given up" for a reason, or "stopped" at the first failure.

    Or it had "not ended" when its report was written. Or some calls of a recording are "unanswered".
    """

    #: "interrupted", "given up", "stopped", "not ended" or "unanswered".
    how: str
    #: Cases offered until then; of a recording, the calls that were not answered.
    cases: int
    #: Why it was given up, or nothing.
    reason: str = ""


@dataclass(frozen=True)
class CutShort:
    """A property was not judged to the end; so many cases of its own had passed."""

    #: Why the run ended early.
    why: Interruption
    #: Cases of its own that had passed.
    passed: int


@dataclass(frozen=True)
class AdapterBroken:
    """Nothing was asked, since the simplest call already fails, as the property ``see`` tells."""

    #: The property that tells how.
    see: str


@dataclass(frozen=True)
class NotStarted:
    """Nothing was asked, since the backend's process ended at its start, as the property ``see`` tells."""

    #: The property that tells how.
    see: str


@dataclass(frozen=True)
class NoCase:
    """No case was one that the property speaks about."""


@dataclass(frozen=True)
class NotJudged:
    """An option that a probe did not take for declared, and why."""

    #: A field of ``Capabilities`` or a dtype.
    option: str
    #: Why.
    fact: Fact


@dataclass(frozen=True)
class Discarded:
    """Every case that the property speaks about was left out: what it builds on is wrong, as ``see`` tells."""

    #: The cases that were left out.
    cases: int
    #: Properties that failed, of the same group if there are any.
    see: tuple[str, ...]


@dataclass(frozen=True)
class Scope:
    """The cases in which a property that ended in an error was right all the same."""

    #: Cases in all. Where it was neither right nor wrong, the backend raised.
    cases: int
    #: Those that were right.
    right: int
    #: Those that were answered wrongly.
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
    """A quick run, or one of large sizes, has no case for the property."""


@dataclass(frozen=True)
class Quick:
    """The part of a plan that a quick run asked, or one of large sizes: too little to say that all is right."""

    #: Cases that were asked.
    cases: int
    #: Cases of the fixed set.
    fixed: int
    #: Whether random cases of large sizes were asked instead.
    large: bool = False


Fact = (
    Mismatch
    | Misshapen
    | Raised
    | Said
    | Within
    | Unsupported
    | Undeclared
    | Part
    | Unanswered
    | Unshown
    | DtypeUnjudged
    | CutShort
    | AdapterBroken
    | NotStarted
    | NoCase
    | LeftOut
    | Discarded
)
