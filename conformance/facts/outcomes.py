"""The possible ends of a property on a backend, and how a failure comes back."""

from __future__ import annotations

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
    def failed(self) -> bool:
        """Whether the property does not hold, expected or not."""
        return self == Outcome.EXPECTED_FAILURE or (self.bad and self != Outcome.UNEXPECTED_PASS)

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
