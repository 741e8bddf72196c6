"""The errors a person meets who uses the suite wrongly; what a backend does wrong is a verdict instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from conformance.facts import Outcome

#: How alike two names are, of 1, for one to be taken for a slip of the other: a letter or two of ten. Names that are
#: less alike than the nearest by more than the second number are not worth a line.
_ALIKE, _BEHIND = 0.8, 0.1


class UsageError(Exception):
    """A request the suite cannot carry out: an unknown name, a target that does not load, a bad option.

    ``str(error)`` names the thing, the value and what was expected; ``hint`` says what to try next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.hint = hint

    def __str__(self) -> str:
        message = self.args[0]
        return f"{message}\n  hint: {self.hint}" if self.hint else message


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The known names of which ``name`` may be a slip, the nearest first, at most three; none that is not near."""
    alike = {each: SequenceMatcher(None, name.casefold(), each.casefold()).ratio() for each in known}
    least = max([_ALIKE, *(ratio - _BEHIND for ratio in alike.values())])
    return sorted((each for each, ratio in alike.items() if ratio >= least), key=lambda each: -alike[each])[:3]


class SuiteError(Exception):
    """A defect of the suite itself, which says nothing about the backend: no verdict comes of it."""


class Ended(Exception):
    """The process that holds the implementation died, or had to be ended; ``str(error)`` says why."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        #: The verdict's: CRASHED, TIMEOUT, or ERROR for a process that does not keep to the protocol.
        self.outcome = Outcome(outcome)


class Closed(BaseException):
    """The judge was closed while it was asked: like an interruption, it ends the run."""


class Gone(BaseException):
    """The process that holds the implementation cannot be started again: like an interruption, it ends the run."""
