"""A judge and a database of examples that give what a journal holds first, and record what comes after that.

So a resumed run draws, shrinks and settles what the undisturbed one would have. Its backend is in a fresh process,
though: before the first new question, the cases that came last are run there once more, for the marks that they may
have left. A failure that takes more earlier cases than these shows later, or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from hypothesis.database import ExampleDatabase

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe
from conformance.drivers.journal import Journal
from conformance.engine.failures import HISTORY
from conformance.engine.forwarding import Forwarding
from conformance.engine.judging import Answer, Coming, Inquiry, Judge
from conformance.engine.reply import Reply
from conformance.errors import Ended
from conformance.facts import Evidence
from conformance.report.records import decode, encode
from conformance.trials.events import Event, Performed


class Recalled(Forwarding):
    """A judge whose answers are recorded, and are given again where they were recorded."""

    def __init__(self, judge: Judge, journal: Journal) -> None:
        super().__init__(judge)
        self._journal = journal
        #: Whether the judge itself has been asked: the journal holds nothing that this run has not caught up with.
        self.live = False
        #: The last cases that the process at work was asked about in the journal.
        self._before: deque[Recipe] = deque(maxlen=HISTORY)
        #: The last wrong answer's recipe and inquiry, if the journal gave it.
        self._wrong: tuple[Recipe, Inquiry] | None = None

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers of the journal, and from the first that it does not hold those of the judge."""
        text, left = str(recipe), list(inquiries)
        while left and (answer := self._journal.recall_answer(text, left[0])):
            inquiry = left.pop(0)
            self._recalled(recipe, inquiry, answer)
            yield inquiry, answer
            if answer.shared or (stop and answer.wrong):
                return
        if not left:
            return
        self._go_live()
        for inquiry, answer in self._judge.ask(recipe, left, stop, brief):
            self._journal.note_answer(text, inquiry, answer)
            if answer.wrong:
                self._wrong = None
            yield inquiry, answer
        self._journal.note_state(signatures=self.signatures, frameworks=self.frameworks)

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """The judge may work ahead as soon as it is asked itself."""
        if self.live:
            self._judge.foresee(coming, brief, afresh)

    def _recalled(self, recipe: Recipe, inquiry: Inquiry, answer: Answer) -> None:
        if answer.wrong:
            self._wrong = recipe, inquiry
        if answer.outcome is not None and answer.outcome.ends:
            self._before.clear()
        elif not self.live and (not self._before or self._before[-1] != recipe):
            self._before.append(recipe)

    def _go_live(self) -> None:
        self.live = True
        while self._before:
            self._judge.run(self._before.popleft())

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last."""
        if (told := self._journal.recall("evidence")) is not None:
            return decode(Evidence | None, told[0])
        self._go_live()
        if self._wrong is not None:
            for _ in self._judge.ask(self._wrong[0], [self._wrong[1]]):
                pass
        evidence = self._judge.evidence()
        self._journal.note("evidence", encode(evidence))
        return evidence

    def finish(self) -> Ended | None:
        """Let the process that holds it come to its own end."""
        if (told := self._journal.recall("finish")) is not None:
            self._before.clear()
            return None if told[0] is None else Ended(*told[0])
        self._go_live()
        died = self._judge.finish()
        self._journal.note("finish", died and [died.outcome, str(died)])
        return died

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or to its vjp; it is not recorded."""
        self._go_live()
        return self._judge.call(case, cotangents)

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """What became of the last of some calls on fresh models; it is not recorded."""
        self._go_live()
        return self._judge.perform(events)

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave, when it can leave any."""
        if self.live:
            self._judge.run(recipe)
        else:
            self._before.append(recipe)

    @property
    def signatures(self) -> int:
        """How many signatures a backend that compiles was called with: by this process, or by those before."""
        return max(self._journal.state["signatures"], self._judge.signatures)

    @property
    def frameworks(self) -> dict[str, str]:
        """The versions of the frameworks that the processes which held the backend have loaded."""
        return self._journal.state["frameworks"] | self._judge.frameworks


class RecalledExamples(ExampleDatabase):
    """The examples that Hypothesis finds from earlier runs: for a resumed run those that its beginning found."""

    def __init__(self, database: ExampleDatabase, journal: Journal) -> None:
        super().__init__()
        self._database = database
        self._journal = journal

    def save(self, key: bytes, value: bytes) -> None:
        """Keep an example."""
        self._database.save(key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        """The examples under a key: those that were there when the run first asked."""
        asked = f"examples {key.hex()}"
        if (told := self._journal.recall(asked)) is not None:
            return [bytes.fromhex(value) for value in told[0]]
        found = list(self._database.fetch(key))
        self._journal.note(asked, [value.hex() for value in found])
        return found

    def delete(self, key: bytes, value: bytes) -> None:
        """Forget an example."""
        self._database.delete(key, value)
