"""A judge with helpers: while one case is asked about, others answer the cases that come after it.

The engine stays one: it asks in its order, and draws, shrinks and settles as if it asked a single judge. It only says
what it will probably ask next (``engine/foresight.py``). Helpers, each a judge of the same target in a process of its
own, answer that in advance. An answer about a case depends on the case alone: so the engine is told the same by any
number of helpers. (A failure that needs many earlier calls in one process may show at another case, or not at all: each
process makes a part of the calls.)

While an answer is on its way, the judge itself works ahead too. So there is no idle process, and no case waits for a
helper that is still starting, or gone.

Termination: ``ask`` waits for an entry that a helper has begun, and for no other. A helper ends its entries, one way or
the other, within the limits of its child, or has them taken back as it is dismissed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from conformance.cases.recipe import Recipe
from conformance.engine.forwarding import Forwarding
from conformance.engine.judging import Answer, Coming, Inquiry, Judge
from conformance.errors import Closed, Ended, Gone
from conformance.facts import Evidence

#: So many cases are asked of the judge alone. Most wrong LSTMs show by then, and to start helpers takes what the judge
#: itself needs to answer soon.
ALONE = 20

#: What a judge answers about one case: to each inquiry, or to the first alone if the shared call ended the process.
Answers = list[tuple[Inquiry, Answer]]


@dataclass(frozen=True)
class Question:
    """What will probably be asked about a case."""

    recipe: Recipe
    inquiries: tuple[Inquiry, ...]
    brief: bool


class Helper(Protocol):
    """One that answers questions in advance."""

    #: How many questions it takes at a time. A failure may need what came before it: they are neighbours.
    takes: int

    def answer(self, questions: Sequence[Question]) -> list[Answers]:
        """The answers to each question; any exception if it has none. Called from a thread of its own."""
        ...

    def finish(self) -> Ended | None:
        """Let what holds the backend come to its own end; how it died, if it did."""
        ...

    def close(self) -> None:
        """End its work, at this moment, for good."""
        ...


class Nearby:
    """A helper that is a judge in another process of this machine, which is started as the first questions come."""

    takes = 4

    def __init__(self, start: Callable[[], Judge], ended: Callable[[], None] = lambda: None) -> None:
        self._start = start
        self._ended = ended
        self._judge: Judge | None = None
        self._closed = False

    def answer(self, questions: Sequence[Question]) -> list[Answers]:
        """The answers of its judge."""
        if self._judge is None:
            self._judge = self._start()
            if self._closed:
                self._judge.close()
        return [list(self._judge.ask(q.recipe, q.inquiries, brief=q.brief)) for q in questions]

    def finish(self) -> Ended | None:
        """Let its process come to its own end."""
        return None if self._judge is None else self._judge.finish()

    def close(self) -> None:
        """End its process."""
        if not self._closed:
            self._closed = True
            if self._judge is not None:
                self._judge.close()
            self._ended()


@dataclass(eq=False)
class _Entry:
    """A question, and what has become of it."""

    question: Question
    begun: bool = False
    done: bool = False
    #: None, once it is done, if it must be asked again.
    answers: Answers | None = None


@dataclass
class _Hands:
    """The helpers at work, and what they share with the engine's thread: all of it under ``changed``."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    #: What was foreseen and not asked yet, in order.
    entries: deque[_Entry] = field(default_factory=deque)
    at_work: list[Helper] = field(default_factory=list)
    #: Whether the helpers are to end.
    dismissed: bool = False

    def take(self, count: int) -> list[_Entry]:
        """The next entries that nobody has begun, now begun by the caller."""
        taken = [entry for entry in self.entries if not entry.begun][:count]
        for entry in taken:
            entry.begun = True
        return taken

    def _wait_for(self, count: int) -> list[_Entry]:
        """The next entries, as soon as there are any; none if the helpers are to end."""
        with self.changed:
            while not self.dismissed:
                if taken := self.take(count):
                    return taken
                self.changed.wait()
        return []

    def work(self, helper: Helper) -> None:
        """The life of one helper, in a thread of its own."""
        # Whatever ends a helper, its entries are asked again.
        with suppress(BaseException):
            while taken := self._wait_for(helper.takes):
                answers: Sequence[Answers | None] = [None] * len(taken)
                try:
                    answers = helper.answer([entry.question for entry in taken])
                finally:
                    with self.changed:
                        for entry, told in zip(taken, answers, strict=True):
                            entry.answers, entry.done = told, True
                        self.changed.notify_all()
        with self.changed:
            self.at_work.remove(helper)
            self.changed.notify_all()


class Ahead(Forwarding):
    """A judge with helpers; ``more`` gives another one to a judge that has so many, when there is room for it."""

    def __init__(self, judge: Judge, more: Callable[[int], Helper | None]) -> None:
        super().__init__(judge)
        self._more = more
        self._hands = _Hands()
        self._helpers: list[Helper] = []
        #: How many cases were foreseen from.
        self._cases = 0
        self._closed = False
        #: The question of the wrong answer that was given last, if a helper gave it.
        self._wrong: tuple[Recipe, Inquiry] | None = None

    @property
    def works_ahead(self) -> bool:
        """Its helpers answer what it foresees."""
        return True

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """Have helpers answer what comes: some more cases than they have at hand."""
        self._cases += 1
        if self._cases <= ALONE:
            return
        self._call_for_help()
        wanted = 2 * sum(helper.takes for helper in self._helpers)
        with self._hands.changed:
            if afresh:
                self._hands.entries.clear()
            while len(self._hands.entries) < wanted and (next_ := next(coming, None)):
                recipe, inquiries = next_
                self._hands.entries.append(_Entry(Question(recipe, tuple(inquiries), brief)))
            self._hands.changed.notify_all()

    def _call_for_help(self) -> None:
        while not self._hands.dismissed and (helper := self._more(len(self._helpers))) is not None:
            self._helpers.append(helper)
            self._hands.at_work.append(helper)
            threading.Thread(target=self._hands.work, args=(helper,), daemon=True).start()

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers that were given in advance, and those of the judge itself to what was not foreseen."""
        told = self._told(recipe, inquiries)
        if told is None:
            self._wrong = None
            yield from self._judge.ask(recipe, inquiries, stop, brief)
            return
        if told and told[0][1].shared:
            yield inquiries[0], self._noted(recipe, inquiries[0], told[0][1])
            return
        known = {_key(inquiry): answer for inquiry, answer in told}
        for at, inquiry in enumerate(inquiries):
            if _key(inquiry) not in known:
                missing = [left for left in inquiries[at:] if _key(left) not in known]
                for other, answer in self._judge.ask(recipe, missing, stop, brief):
                    known[_key(other)] = answer
                    if answer.shared:
                        yield inquiry, answer
                        return
            if (answer := known.get(_key(inquiry))) is None:
                return
            yield inquiry, self._noted(recipe, inquiry, answer)
            if stop and answer.wrong:
                return

    def _noted(self, recipe: Recipe, inquiry: Inquiry, answer: Answer) -> Answer:
        if answer.wrong:
            self._wrong = recipe, inquiry
        return answer

    def _told(self, recipe: Recipe, inquiries: Sequence[Inquiry]) -> Answers | None:
        """What a helper says of a case, as soon as it does; None if the judge itself must be asked."""
        hands, wanted = self._hands, {_key(inquiry) for inquiry in inquiries}
        with hands.changed:
            at = next((k for k, entry in enumerate(hands.entries) if _asks(entry.question, recipe, wanted)), None)
            if at is None:
                return None
            for _ in range(at):
                hands.entries.popleft()
            entry = hands.entries[0]
        while True:
            with hands.changed:
                while not entry.done and entry.begun and not self._closed:
                    if taken := hands.take(1):
                        break
                    hands.changed.wait()
                else:
                    if self._closed:
                        raise Closed
                    hands.entries.popleft()
                    return entry.answers if entry.done else None
            # The time until then is used.
            [own] = taken
            q, own.answers = own.question, None
            try:
                own.answers = list(self._judge.ask(q.recipe, q.inquiries, brief=q.brief))
            finally:
                with hands.changed:
                    own.done = True

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last."""
        if self._wrong is not None:
            (recipe, inquiry), self._wrong = self._wrong, None
            for _ in self._judge.ask(recipe, [inquiry]):
                pass
        return self._judge.evidence()

    def finish(self) -> Ended | None:
        """Let each process come to its own end; how the first died that did. The helpers have done their work."""
        hands = self._hands
        with hands.changed:
            hands.dismissed = True
            hands.entries.clear()
            hands.changed.notify_all()
            while hands.at_work and not self._closed:
                hands.changed.wait()
        ends = [one.finish() for one in (self._judge, *self._helpers)]
        self._dismiss()
        return next((died for died in ends if died is not None), None)

    def rest(self) -> None:
        """End what was started for it, until it is asked again; the helpers for good."""
        self._dismiss()
        self._judge.rest()

    def close(self) -> None:
        """End what was started for it, and whatever is asked of it at this moment, for good."""
        self._closed = True
        self._judge.close()
        self._dismiss()

    def _dismiss(self) -> None:
        with self._hands.changed:
            self._hands.dismissed = True
            self._hands.entries.clear()
            self._hands.changed.notify_all()
        while self._helpers:
            with suppress(Closed, Gone):
                self._helpers.pop().close()


def _asks(question: Question, recipe: Recipe, wanted: set[tuple[str, int]]) -> bool:
    """Whether a question is about a recipe, and about one of these inquiries."""
    return question.recipe == recipe and any(_key(inquiry) in wanted for inquiry in question.inquiries)


def _key(inquiry: Inquiry) -> tuple[str, int]:
    return inquiry.property.id, inquiry.turn
