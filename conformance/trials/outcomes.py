"""The exceptions by which a check ends instead of returning: a counterexample, or nothing to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.facts import Mismatch, Misshapen, Outcome, Raised, Said, Unanswered, Unsupported, Within

#: So many characters of a text are kept: some exceptions print whole arrays.
_LONGEST = 1 << 14


class Violation(Exception):
    """A property does not hold; the exception is the channel of the counterexample."""

    #: The verdict's outcome.
    outcome = Outcome.FAILED

    def __init__(
        self,
        fact: str | Mismatch | Misshapen | Raised | Said | Within,
        error: float = float("inf"),
        case: Case | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(fact)
        self.fact = said(fact) if isinstance(fact, str) else fact
        #: The case that shows it, where it is not the one that was called last.
        self.case = case
        #: The comparisons with the oracle that show it, if there are any.
        self.findings = findings
        #: The error as a share of its bound, infinite where there is no such share.
        self.error = error


class BackendError(Violation):
    """The backend raised, or returned what is not a result at all."""

    outcome = Outcome.ERROR


class Narrowed(Exception):
    """The backend raised ``Unsupported`` inside what it declared."""

    def __init__(self, fact: Unsupported) -> None:
        super().__init__(fact)
        self.fact = fact


class Discard(Exception):
    """The property has nothing to say about this case."""


class Lacking(Discard):
    """The model lacks something optional that the property asks for, such as ``forward.load``."""

    def __init__(self, *words: str) -> None:
        super().__init__(*words)
        #: As ``facts.Undeclared`` names them.
        self.words = words


class NotAnswered(Discard):
    """A recording has no answer to the call."""

    def __init__(self, fact: Unanswered) -> None:
        super().__init__(fact)
        self.fact = fact


@contextmanager
def within(context: str, case: Case) -> Iterator[None]:
    """Says of a violation how the call was changed, which its numbers do not show; ``case`` is what was called."""
    try:
        yield
    except Violation as violation:
        fact = violation.fact
        inner = Within(f"{context}: {fact.context}", fact.fact) if isinstance(fact, Within) else Within(context, fact)
        raise type(violation)(inner, violation.error, case, violation.findings) from violation.__cause__


def said(text: str) -> Said:
    """A text of somebody else's as a fact."""
    return Said(shown(text))


def shown(text: str) -> str:
    """A text that can be shown: half of a pair of surrogates cannot, and some would never end."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
