"""Working ahead: several processes judge one target, and the report is the one that a single process gives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from backends import around
from programs import SAMPLES

from conformance import Capabilities, Unsupported
from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.drivers.run import run
from conformance.drivers.target import Room
from conformance.engine.judging import Answer, Coming, Here, Inquiry
from conformance.engine.news import Advanced, News
from conformance.engine.order import OPENING
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import Closed, Ended, Gone
from conformance.isolation.ahead import ALONE, Ahead, Answers, Nearby, Question
from conformance.report.model import BackendReport
from conformance.report.records import encode
from conformance.targets.find import find

FEW = Settings(cases=30, only=("smoke", "layout.shapes", "values.output", "values.c_n", "state.carry"))
STACKED = Capabilities(layers=True, batch_first=True)


def some(*helpers: Any) -> Callable[[int], Any]:
    """Helpers that come one after the other, as long as there are any."""
    left = list(helpers)
    return lambda helpers: left.pop(0) if left else None


def helped(backend: Backend, settings: Settings, count: int = 2) -> BackendReport:
    """The report of a judge with so many helpers, each in a thread of this process."""
    return conform(Ahead(Here(backend), some(*(Nearby(lambda: Here(backend)) for _ in range(count)))), settings)


def told(report: BackendReport) -> Any:
    """All that a report says but the time: that of a call, and the whole."""
    report = replace(report, seconds=0.0, measured=tuple(replace(m, seconds=0.0) for m in report.measured))
    return encode(report)


def bad_in_batches(forward: Any, config: Any, x: Any, *state: Any) -> Any:
    output, (h_n, c_n) = forward(x, *state)
    return output, (h_n, c_n + (x.ndim == 3 and x.shape[1 - config.batch_first] == 4))


def without_two_layers(forward: Any, config: Any, x: Any, *state: Any) -> Any:
    if config.num_layers == 2 and config.hidden_size > 3:
        raise Unsupported("two layers of more than three units")
    if config.num_layers == 3:
        raise ValueError("three layers")
    return forward(x, *state)


@pytest.mark.parametrize("how", [None, bad_in_batches, without_two_layers])
def test_helpers_change_nothing_in_a_report(how: Any) -> None:
    backend = replace(find("numpy") if how is None else around(how), capabilities=STACKED)
    alone = conform(backend, FEW)
    assert told(helped(backend, FEW)) == told(alone)
    assert alone.cases > FEW.cases, "both parts of the plan were asked"


def test_the_first_cases_are_asked_of_the_judge_alone() -> None:
    before: list[int] = []

    class Counted(Here):
        def ask(self, *args: Any, **options: Any) -> Iterator[tuple[Inquiry, Answer]]:
            before.append(0)
            return super().ask(*args, **options)

    called: list[int] = []
    conform(Ahead(Counted(find("numpy")), lambda helpers: called.append(len(before))), FEW)
    # The plainest call is asked before, and a case may be for no property.
    assert called[0] > 0.5 * ALONE, "a wrong LSTM shows soon: nothing that starts beside the judge must delay it"


class Watched(Here):
    """A judge that takes the next cases that it is told of, and helps itself to nothing."""

    works_ahead = True  # type: ignore[assignment]

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.foreseen: list[tuple[Recipe, list[Inquiry]]] = []
        self.surprises: list[Recipe] = []
        self.asked = 0

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        if afresh:
            self.foreseen.clear()
        while len(self.foreseen) < 9 and (offer := next(coming, None)):
            self.foreseen.append(offer)

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.asked += 1
        if (recipe, list(inquiries)) in self.foreseen:
            del self.foreseen[: self.foreseen.index((recipe, list(inquiries))) + 1]
        else:
            self.surprises.append(recipe)
        return super().ask(recipe, inquiries, stop, brief)


def test_what_a_right_backend_is_asked_was_foreseen() -> None:
    judge = Watched(replace(find("numpy"), capabilities=STACKED))
    conform(judge, FEW)
    assert judge.asked > FEW.cases
    # The smoke test and the first rows come before anything is known; the first of the random cases as they are drawn.
    assert len(judge.surprises) <= 3 + OPENING
    assert not judge.foreseen, "what was not foreseen in vain"


class Lost:
    """A helper whose process is gone when it is asked."""

    takes = 4

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = threading.Event()

    def answer(self, questions: Sequence[Question]) -> list[Answers]:
        self.asked.set()
        raise self.error

    def finish(self) -> Ended | None:
        return None

    def close(self) -> None:
        """It has no process."""


@pytest.mark.parametrize("error", [Gone("lost"), Closed(), MemoryError()])
def test_what_a_helper_that_is_lost_was_to_answer_is_asked_again(error: BaseException) -> None:
    backend = replace(find("numpy"), capabilities=STACKED)
    lost = Lost(error)
    report = conform(Ahead(Here(backend), some(lost, Nearby(lambda: Here(backend)))), FEW)
    assert lost.asked.is_set()
    assert told(report) == told(conform(backend, FEW))


def test_closing_the_judge_while_a_helper_is_waited_for_keeps_every_verdict() -> None:
    backend = find("numpy")
    begun, answered, ended = threading.Event(), threading.Event(), threading.Event()

    class Hanging(Lost):
        takes = 1000

        def answer(self, questions: Sequence[Question]) -> list[Answers]:
            begun.set()
            ended.wait()
            raise Closed

        def close(self) -> None:
            ended.set()

    judge = Ahead(Here(backend), some(Hanging(Closed())))

    def close() -> None:
        begun.wait()
        answered.wait()
        # By then the engine waits: the helper has taken all that comes.
        time.sleep(0.2)
        judge.close()

    def tell(news: News) -> None:
        if isinstance(news, Advanced) and news.done:
            answered.set()

    threading.Thread(target=close, daemon=True).start()
    report = conform(judge, FEW, tell)
    assert report.interrupted is not None
    assert report.interrupted.how == "interrupted"
    assert ended.is_set()
    assert any(verdict.outcome == "passed" for verdict in report.verdicts)


def test_a_death_at_a_helpers_end_counts() -> None:
    class Dying(Lost):
        def finish(self) -> Ended | None:
            return Ended("crashed", "its process was killed by SIGSEGV")

    report = conform(Ahead(Here(find("numpy")), some(Dying(Gone("lost")))), FEW)
    assert any(verdict.outcome == "crashed" for verdict in report.verdicts)


def test_a_process_that_ends_is_told_as_it_is_without_helpers() -> None:
    settings = Settings(cases=5, only=("smoke", "layout.shapes", "sizes.rows"))
    target = f"{SAMPLES}:late_crash"
    [alone] = run([target], settings, jobs=1, diagnose=0).report.backends
    [many] = run([target], settings, jobs=3, diagnose=0).report.backends
    assert any(verdict.outcome == "crashed" for verdict in alone.verdicts)
    assert [(v.property, v.outcome) for v in many.verdicts] == [(v.property, v.outcome) for v in alone.verdicts]


def test_targets_come_before_helpers() -> None:
    room = Room(processes=2, targets=3)

    def more() -> bool:
        return room.helper("numpy", None, 0) is not None

    room.begin()
    assert not more(), "two targets wait for room"
    room.begin()
    room.leave()
    assert not more(), "one target waits for room"
    room.begin()
    assert not more(), "all processes are at work"
    room.leave()
    assert more()
    assert not more()
