"""The parent's side of isolation: it has a backend judged in a child process; if the child dies, the run goes on.

The parent draws and shrinks; the child holds the backend, realises each case, runs and judges it. Only recipes and
answers cross, so that views, aliasing, mutation and threads are judged exactly as in one process. The child's
interpreter may belong to another environment, which needs NumPy: the suite comes from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Coming, Inquiry
from conformance.engine.reply import Reply
from conformance.errors import Closed, Ended, Gone, UsageError
from conformance.facts import Evidence, Fact
from conformance.isolation.holding import LARGE, hold, received
from conformance.processes.message import Message
from conformance.processes.parcel import pack, pack_events, unpack_events, unpack_performed
from conformance.processes.supervisor import Child, Limits, Patience
from conformance.report.records import decode
from conformance.spec import Result
from conformance.targets.probe import Ability
from conformance.trials.events import ENDED, Event, Performed
from conformance.trials.outcomes import said


class Isolated:
    """The judge of a target in a child process, which is started anew whenever it ends."""

    def __init__(self, target: str, limits: Limits | None = None, python: str = "") -> None:
        self.target = target
        self.limits = limits or Limits()
        self._python = python
        self._child: Child | None = None
        self._closed = False
        #: How a child died after its last answer.
        self._late: Ended | None = None
        #: How many signatures a backend that compiles was called with, by the process that met the most.
        self.signatures = 0
        #: The versions of the frameworks that its processes have loaded, by name.
        self.frameworks: dict[str, str] = {}
        self.backend = self._start()
        self._patience = Patience(self.limits, self.backend.capabilities.compiled)

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """Each property's answer about a case; one during which the process ends says that, and the next goes on."""
        left = list(inquiries)
        while left:
            ran = False
            try:
                child = self._running()
                seconds = self._patience.seconds(brief)
                asked = " ".join(f"{inquiry.property.id}:{inquiry.turn}" for inquiry in left)
                fields = {"type": "ask", "recipe": str(recipe), "inquiries": asked, "stop": str(stop)}
                child.send(Message(fields), seconds)
                while (message := self._timed(child, seconds)).type != "done":
                    if message.type == "ran":
                        ran = True
                        continue
                    inquiry, answer = left.pop(0), decode(Answer, json.loads(message.fields["answer"]))
                    yield inquiry, answer
                    if stop and answer.wrong:
                        left.clear()
                self.signatures = max(self.signatures, int(message.fields["signatures"]))
                self.frameworks |= json.loads(message.fields["frameworks"])
            except Ended as ended:
                self._lost()
                if not left:
                    self._late = ended
                    return
                yield left.pop(0), self._ended(ended, recipe, shared=not ran)
                if stop or not ran:
                    return

    @property
    def works_ahead(self) -> bool:
        """Whether it has others that answer for it what it foresees."""
        return False

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """It answers what it is asked."""

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last; None if the child has ended since."""
        if self._child is None:
            return None
        seconds = self._patience.seconds()
        try:
            self._child.send(Message({"type": "evidence"}), seconds)
            told = json.loads(self._timed(self._child, seconds).fields["evidence"])
        except Ended:
            self._lost()
            return None
        return decode(Evidence | None, told)

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or how the process ended in it."""
        try:
            child = self._running()
            seconds = self._patience.seconds(brief=True)
            child.send(pack(case, cotangents), seconds)
            with self._patience.measured():
                message = received(child, seconds, LARGE)
        except Ended as ended:
            self._lost()
            return Reply(fact=said(str(ended)))
        fact = decode(Fact | None, json.loads(message.fields["fact"]))
        if fact is not None:
            return Reply(fact=fact)
        gradients = {name: message.tensors[f"grad_{name}"] for name in message.fields["gradients"].split()}
        result = Result(*(message.tensors.get(name) for name in Result._fields))
        return Reply(result, gradients if cotangents is not None else None)

    def record(self, recipes: Sequence[Recipe], inquiry: Inquiry) -> tuple[tuple[Event, ...], Answer | None]:
        """The calls that a property makes on the last recipe, after those of the others; and its answer.

        No answer if the process ended, in the last of the calls, or if the calls cannot be told as data.
        """
        events = list[Event]()
        try:
            child, seconds = self._running(), self._patience.seconds()
            told = {"recipes": json.dumps([str(recipe) for recipe in recipes])}
            child.send(Message({"type": "record", "inquiry": f"{inquiry.property.id}:{inquiry.turn}", **told}), seconds)
            while (message := received(child, seconds, LARGE)).type == "events":
                events += unpack_events(message)
        except Ended:
            self._lost()
            return tuple(events), None
        return tuple(events), decode(Answer | None, json.loads(message.fields["answer"]))

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """Make calls again, on fresh models; what became of the last one."""
        try:
            child, seconds = self._running(), self._patience.seconds(brief=True)
            child.send(pack_events(events), seconds)
            with self._patience.measured():
                return unpack_performed(received(child, seconds, LARGE))
        except Ended as ended:
            self._lost()
            return Performed(f"{ENDED}{ended}")

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave; if it ends the process, none are left."""
        try:
            child = self._running()
            seconds = self._patience.seconds(brief=True)
            child.send(Message({"type": "run", "recipe": str(recipe)}), seconds)
            self._timed(child, seconds)
        except Ended:
            self._lost()

    def probe(self) -> list[Ability]:
        """The abilities of the backend, whatever it declares."""
        child = self._running()
        seconds = self._patience.seconds()
        child.send(Message({"type": "probe"}), seconds)
        abilities = json.loads(self._timed(child, seconds).fields["abilities"])
        return [decode(Ability, each) for each in abilities]

    def finish(self) -> Ended | None:
        """Let the child come to its own end; how it died, if it did, now or earlier after its last answer."""
        child, self._child = self._child, None
        died = None if child is None else child.close()
        if self._closed:
            raise Closed
        died, self._late = self._late or died, None
        return died

    def rest(self) -> None:
        """End the child; it is started again when it is asked."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child for good: an inquiry that it is asked at this moment ends in ``Closed``."""
        self._closed = True
        self.rest()

    def _ended(self, ended: Ended, recipe: Recipe, shared: bool) -> Answer:
        case = realise(recipe, self.backend.capabilities.fixed)
        return Answer(ended.outcome, said(str(ended)), smallest=case.describe(), shared=shared)

    def _running(self) -> Child:
        if self._closed:
            raise Closed
        if self._child is None:
            try:
                self._start()
            except (UsageError, Ended) as error:
                if self._closed:
                    raise Closed from None
                raise Gone(f"its process could not be started again: {error}") from None
        assert self._child is not None
        return self._child

    def _start(self) -> Backend:
        self._child, backend, frameworks = hold(self.target, self.limits, self._python)
        self.frameworks |= frameworks
        return backend

    def _timed(self, child: Child, seconds: float) -> Message:
        with self._patience.measured():
            return received(child, seconds)

    def _lost(self) -> None:
        # If the judge was closed, that ended the child: it is no verdict.
        self._child = None
        if self._closed:
            raise Closed
