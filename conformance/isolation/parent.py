"""The parent's side of isolation: it has a backend judged in a child process; if the child dies, the run goes on.

The parent draws and shrinks; the child holds the backend, realises each case, runs and judges it. Only recipes and
answers cross, so that views, aliasing, mutation and threads are judged exactly as in one process. The child's
interpreter may belong to another environment, which needs NumPy: the suite comes from here.
"""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Inquiry
from conformance.engine.reply import Reply
from conformance.errors import Closed, Ended, Gone, SuiteError, UsageError
from conformance.facts import Evidence, Fact, NotJudged, Outcome
from conformance.processes.message import Message
from conformance.processes.parcel import pack, pack_events, unpack_events, unpack_performed
from conformance.processes.supervisor import Child, Limits, Patience
from conformance.processes.wire.fields import capabilities_from_fields
from conformance.report.records import decode
from conformance.spec import LSTMConfig, Params, Result
from conformance.targets.probe import Ability
from conformance.targets.registry import located
from conformance.trials.events import ENDED, Event, Performed
from conformance.trials.outcomes import said

#: Loads this very copy of the suite in any interpreter, then runs ``child.py``.
_BOOTSTRAP = """
import sys
sys.path[:1] = []
import importlib.util
if sys.version_info < (3, 11):
    sys.exit("lstm-conformance needs Python 3.11 or newer; this is " + sys.version.split()[0])
for name in ("conformance", "implementations"):
    place = sys.argv[1] + "/" + name
    spec = importlib.util.spec_from_file_location(name, place + "/__init__.py", submodule_search_locations=[place])
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
from conformance.isolation.child import main
main()
"""

#: Bytes of elements that a child may send at once: an answer is text, a fixed model has its params.
_SMALL, _LARGE = 1 << 20, 1 << 30


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
                message = self._next(child, seconds, _LARGE)
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
            while (message := self._next(child, seconds, _LARGE)).type == "events":
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
                return unpack_performed(self._next(child, seconds, _LARGE))
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
        command = [self._python or sys.executable, "-c", _BOOTSTRAP, str(Path(__file__).parents[2])]
        child = Child(command, self.target, self.limits)
        try:
            backend = self._hold(child, command[0])
        except BaseException:
            child.kill()
            raise
        self._child = child
        return backend

    def _hold(self, child: Child, interpreter: str) -> Backend:
        """Have the child find the backend; the backend as it declares itself."""
        try:
            child.receive(self.limits.start, _SMALL)
        except Ended as ended:
            raise UsageError(
                f"the suite does not run in {interpreter}: {ended}", "it needs Python 3.11 or newer, and NumPy"
            ) from None
        path = sys.path if not self._python else _own_path()
        fields = {"type": "hold", "target": self.target, "place": located(self.target), "path": json.dumps(path)}
        child.send(Message(fields | {"replace_path": str(not self._python)}), self.limits.start)
        return self._held(self._probed(child))

    def _probed(self, child: Child) -> Message:
        """What the child has found: its import may take long, and each call of a probe as long as any other call."""
        message = self._next(child, self.limits.start, _LARGE)
        while message.type == "calling":
            call, seconds = message.fields, self.limits.seconds
            try:
                message = self._next(child, seconds, _LARGE)
            except Ended as ended:
                if ended.outcome != Outcome.TIMEOUT:
                    raise
                told = f"{call['call']} did not return within {seconds:g} s on {call['case']}"
                raise Ended(ended.outcome, told) from None
        return message

    def _held(self, message: Message) -> Backend:
        fields = message.fields
        reason = fields.get("unavailable")
        self.frameworks |= json.loads(fields["frameworks"])
        capabilities = capabilities_from_fields(fields, message.tensors)
        # A dtype that the other environment cannot hold is not asked.
        unheld = fields["cannot_hold"].split() if self._python else []
        judged = tuple(dtype for dtype in capabilities.dtypes if dtype not in unheld)
        capabilities = replace(capabilities, dtypes=judged or capabilities.dtypes)
        # The report's own environment is that of this process.
        own = f"held by {self._python}: {fields['environment']}" if self._python else ""
        if self._python and len(judged) < len(fields["dtypes"].split()):
            own += f"; without {fields['cannot_hold']}, which it cannot hold"
        return Backend(
            name=fields["name"],
            capabilities=replace(capabilities, threads=fields["threads"] == "True"),
            build=_elsewhere,
            available=lambda: reason,
            ruled_out=frozenset(fields["ruled_out"].split()),
            note="; ".join(part for part in (fields["note"], own) if part),
            not_judged=tuple(decode(NotJudged, each) for each in json.loads(fields["not_judged"])),
            origin=fields["origin"],
            own_name=fields["own_name"],
            version=fields["version"],
        )

    def _next(self, child: Child, seconds: float, limit: int = _SMALL) -> Message:
        """The next message that says something: beats only say that the child is at work."""
        while True:
            message = child.receive(seconds, limit)
            if message.type == "usage":
                raise UsageError(message.fields["message"], message.fields["hint"])
            if message.type == "defect":
                raise SuiteError(message.fields["message"])
            if message.type != "beat":
                return message

    def _timed(self, child: Child, seconds: float) -> Message:
        with self._patience.measured():
            return self._next(child, seconds)

    def _lost(self) -> None:
        # If the judge was closed, that ended the child: it is no verdict.
        self._child = None
        if self._closed:
            raise Closed


def _elsewhere(config: LSTMConfig, params: Params) -> NoReturn:
    raise AssertionError("an isolated backend is built in its own process")


def _own_path() -> list[str]:
    """The folders of ``sys.path`` that belong to no environment: another one's interpreter finds modules there too."""
    library = sysconfig.get_paths()["stdlib"]
    own = [Path(entry) for entry in sys.path if entry and Path(entry).suffix != ".zip"]
    return [
        str(p) for p in own if not {"site-packages", "dist-packages"} & {*p.parts} and not p.is_relative_to(library)
    ]
