"""Judging: the answers of properties about a case, and the judge that is asked for them.

The engine draws recipes, counts and shrinks; a judge holds the backend, realises a recipe's case, runs it and says what
each property finds. One that holds it in this process stands here; ``isolation`` has one in a child process. Only
recipes and answers pass between engine and judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from conformance.backend import Backend
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.engine.reply import Reply, reply
from conformance.errors import Closed, Ended, SuiteError, UsageError
from conformance.facts import Evidence, Fact, Outcome, Undeclared
from conformance.properties.model import Property
from conformance.report.environment import frameworks
from conformance.targets.probe import Ability, abilities
from conformance.trials.events import ENDED, Event, Performed, perform, recording
from conformance.trials.evidence import evidence
from conformance.trials.outcomes import BackendError, Discard, Lacking, Narrowed, NotAnswered, Violation, said
from conformance.trials.signatures import Signatures
from conformance.trials.threads import OneThread
from conformance.trials.trial import Trial


@dataclass(frozen=True)
class Answer:
    """The answer of one property about one case."""

    #: PASSED, NARROWED, NOT_DECLARED (the model lacks what the property asks for), or what is wrong: FAILED, ERROR,
    #: CRASHED, TIMEOUT; None where it says nothing about the case.
    outcome: Outcome | None
    #: What is said beside the outcome.
    fact: Fact | None = None
    #: The largest error as a share of its bound, where the property passed.
    margin: float | None = None
    #: The error as a share of its bound where it did not, infinite where there is no such share.
    error: float = float("inf")
    #: The call that shows what is wrong, in a person's words.
    smallest: str = ""
    #: Whether the property judged the values of the case itself.
    judged: bool = False
    #: The process ended at the call that all properties share: none can say anything about the case.
    shared: bool = False
    #: The wall-clock seconds of the call that all properties share, in the process that holds the backend; None if it
    #: did not come back.
    took: float | None = None
    #: The largest error of the values of the case itself as a share of its bound, where the property judged them.
    share: float | None = None

    @property
    def wrong(self) -> bool:
        """Whether the property does not hold."""
        return self.outcome is not None and self.outcome.bad


class Inquiry(NamedTuple):
    """A property, and the variant that it is to ask for."""

    property: Property
    turn: int = 0


#: What will probably be asked next: each case with its inquiries, worked out as it is taken.
Coming = Iterator[tuple[Recipe, list[Inquiry]]]


class Answering(Protocol):
    """What answers about a backend, whoever holds it."""

    #: Its name, capabilities and the rest; whether it can be built here is the judge's own affair.
    backend: Backend

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answer of each property about a case that it speaks about; to the first that is wrong if ``stop``.

        ``brief`` allows a case that hung before no more time than others like it took.
        """
        ...

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or to its vjp; never an exception."""
        ...

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """Make calls one after another, on fresh models; what became of the last one."""
        ...

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last; None if its process ended."""
        ...


class Judge(Answering, Protocol):
    """The part that holds a backend."""

    @property
    def signatures(self) -> int:
        """How many signatures (config, arguments that are given, shapes) a backend that compiles was called with."""
        ...

    @property
    def frameworks(self) -> dict[str, str]:
        """The versions of the frameworks that the process which holds the backend has loaded, by name."""
        ...

    @property
    def works_ahead(self) -> bool:
        """Whether it has others that answer for it what it foresees."""
        ...

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """Take as many as it likes of what ``coming`` has, and work ahead, if it does.

        A case that hung is asked about in ``brief``. ``afresh``, what was taken before will not be asked.
        """
        ...

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        ...

    def probe(self) -> list[Ability]:
        """The abilities of the backend, whatever it declares."""
        ...

    def finish(self) -> Ended | None:
        """Let the process that holds it come to its own end, and start another when asked; how it died, if it did.

        A heap that a call corrupted may show at the end alone.
        """
        ...

    def rest(self) -> None:
        """End what was started for it, and give back what it held, until it is asked again."""
        ...

    def close(self) -> None:
        """End what was started for it, and whatever is asked of it at this moment, for good."""
        ...


class Here:
    """The judge of a backend in this process."""

    def __init__(self, backend: Backend, ran: Callable[[], None] = lambda: None, trials: type[Trial] = Trial) -> None:
        self.backend = backend
        self._trials = trials
        self._signatures = Signatures(backend) if backend.capabilities.compiled else None
        self._called = backend if self._signatures is None else self._signatures.counting(backend)
        #: Told when the call of a case that its properties share has come back.
        self._ran = ran
        self._closed = False
        #: The trial that was asked last.
        self._trial: Trial | None = None
        self._threads = OneThread()

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answer of each property about a case, on one trial whose runs they share."""
        self._threads.limit()
        if self.backend.process is not None:
            self.backend.process.brief = brief
        if self._signatures is not None and inquiries:
            self._signatures.case()
            self._signatures.asking(inquiries[0].property.id)
        trial = self._trial = self._trials(self._called, recipe)
        ended = shared_call(trial)
        # Where it raised, a later call is another one.
        took = trial.took
        self._open()
        if ended is not None:
            yield inquiries[0], ended
            return
        self._ran()
        for inquiry in inquiries:
            if self._signatures is not None:
                self._signatures.asking(inquiry.property.id)
            answer = replace(check(inquiry, trial), took=took, share=trial.share())
            self._open()
            if self._signatures is not None and answer.outcome is not None:
                self._signatures.answered(inquiry.property.id)
            yield inquiry, answer
            if stop and answer.wrong:
                return

    @property
    def works_ahead(self) -> bool:
        """Whether it has others that answer for it what it foresees."""
        return False

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """It answers what it is asked."""

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last."""
        trial = self._trial
        if trial is None or trial.violation is None:
            return None
        return evidence(trial.violation, trial.violation.case or trial.called)

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or to its vjp."""
        self._threads.limit()
        told = reply(self.backend, case, cotangents)
        self._open()
        return told

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        self._threads.limit()
        with suppress(Violation, Narrowed, Discard, UsageError, Ended):
            trial = Trial(self._called, recipe)
            trial.call(trial.case)

    def record(
        self, recipes: Sequence[Recipe], inquiry: Inquiry, tell: Callable[[Event | None], None] = lambda event: None
    ) -> tuple[tuple[Event, ...], Answer | None]:
        """The calls that a property makes on the last recipe, after those of the others; and its answer.

        Each is told before it is made. No answer where the calls cannot be told as data.
        """
        self._threads.limit()
        events = list[Event | None]()

        def told(event: Event | None) -> None:
            events.append(event)
            tell(event)

        recorded = recording(self.backend, told)
        for recipe in recipes[:-1]:
            with suppress(Violation, Narrowed, Discard, UsageError, Ended):
                trial = Trial(recorded, recipe)
                trial.call(trial.case)
        trial = Trial(recorded, recipes[-1])
        ended = shared_call(trial)
        answer = check(inquiry, trial) if ended is None else None
        self._open()
        return tuple(event for event in events if event is not None), None if None in events else answer

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """Make calls again, on fresh models; what became of the last one."""
        self._threads.limit()
        try:
            performed = perform(self.backend, events)
        except Ended as ended:
            performed = Performed(f"{ENDED}{ended}")
        self._open()
        return performed

    def probe(self) -> list[Ability]:
        """The abilities of the backend, whatever it declares."""
        self._threads.limit()
        return abilities(self.backend)

    def finish(self) -> Ended | None:
        """Let the process that may hold the backend come to its own end; how it died, if it did."""
        self._threads.release()
        return None if self.backend.process is None else self.backend.process.close()

    def rest(self) -> None:
        """End the process that may hold the backend, until it is asked again; threads are free again."""
        self.finish()

    @property
    def signatures(self) -> int:
        """How many signatures a backend that compiles was called with."""
        return 0 if self._signatures is None else self._signatures.count()

    @property
    def frameworks(self) -> dict[str, str]:
        """The versions of the frameworks that this process has loaded; those of a program are its own affair."""
        return frameworks() if self.backend.process is None else {}

    def close(self) -> None:
        """End the process that may hold the backend, and whatever is asked of it at this moment."""
        self._closed = True
        self.rest()

    def _open(self) -> None:
        """Closing this judge interrupts the inquiry at hand: that its program ended then is no verdict."""
        if self._closed:
            raise Closed


def shared_call(trial: Trial) -> Answer | None:
    """Make the call of a case that its properties share; what is said of it if it ended the process."""
    try:
        _ = trial.result
    except Ended as ended:
        return Answer(ended.outcome, said(str(ended)), smallest=trial.called.describe(), shared=True)
    except Exception:
        # Each property finds the same, and says it in its own way.
        return None
    return None


def check(inquiry: Inquiry, trial: Trial) -> Answer:
    """One property on one trial. Any other exception while judging is an error of this property's own.

    Raises ``SuiteError`` where the property itself has a defect.
    """
    trial.margin, trial.turn, trial.called, trial.violation = None, inquiry.turn, trial.case, None
    trial.judged = False
    try:
        with np.errstate(all="ignore"):
            inquiry.property.check(trial)
    except Lacking as lacking:
        return Answer(Outcome.NOT_DECLARED, Undeclared(lacking.words), judged=trial.judged)
    except NotAnswered as missing:
        return Answer(Outcome.NARROWED, missing.fact, judged=trial.judged)
    except (Discard, UsageError):
        return Answer(None, judged=trial.judged)
    except Narrowed as narrowed:
        return Answer(Outcome.NARROWED, narrowed.fact, judged=trial.judged)
    except Ended as ended:
        return Answer(ended.outcome, said(str(ended)), smallest=trial.called.describe())
    except Violation as violation:
        failure = violation
    except SuiteError:
        raise
    except Exception as error:
        failure = BackendError(f"the results could not be judged: {type(error).__name__}: {error}")
    else:
        return Answer(Outcome.PASSED, margin=trial.margin, judged=trial.judged)
    trial.violation, case = failure, failure.case or trial.called
    return Answer(failure.outcome, failure.fact, error=failure.error, smallest=case.describe(), judged=trial.judged)
