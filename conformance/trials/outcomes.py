"""The exceptions by which a check ends instead of returning: a counterexample, or nothing to say."""

from __future__ import annotations

from conformance.cases.case import Case


class Violation(Exception):
    """A property does not hold; the exception is the channel of the counterexample."""

    #: The verdict's outcome.
    outcome = "failed"

    def __init__(self, message: str, error: float = float("inf"), case: Case | None = None) -> None:
        super().__init__(message)
        #: The case that shows it, where it is not the trial's own.
        self.case = case
        #: The error as a share of its bound, infinite where there is no such share.
        self.error = error


class BackendError(Violation):
    """The backend raised, or returned what is not a result at all."""

    outcome = "error"


class Narrowed(Exception):
    """The backend raised ``Unsupported`` inside what it declared."""


class Discard(Exception):
    """The property has nothing to say about this case."""
