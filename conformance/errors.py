"""The errors a person meets who uses the suite wrongly; what a backend does wrong is a verdict instead."""

from __future__ import annotations

from conformance.facts import Outcome


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
