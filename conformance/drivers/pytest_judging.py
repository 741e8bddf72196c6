"""The runs of the engine that pytest's items read: a backend's properties in parts, each judged once and timed."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.drivers.diagnosing import USUAL, diagnosed
from conformance.drivers.storage import database
from conformance.engine.forwarding import Forwarding
from conformance.engine.judging import Answer, Inquiry, Judge
from conformance.engine.news import Diagnosing, News, counting
from conformance.engine.plan import Settings, plan
from conformance.engine.sieve import conform
from conformance.properties import catalogue
from conformance.report.model import BackendReport
from lstm_conformance_pytest.workers import part_of

#: Told what is judged at the moment: the property, the cases done, and all of them.
Live = Callable[[str, int, int], None]


class Key(NamedTuple):
    """The name of an engine run: what was judged, and how."""

    backend: str
    #: Where it was defined.
    origin: str
    cases: int
    seed: int
    #: The other settings, as text.
    more: str


class Clocked(Forwarding):
    """A judge that counts the seconds of each property, and tells which one is asked."""

    def __init__(self, judge: Judge, asking: Callable[[str], None]) -> None:
        super().__init__(judge)
        self.seconds: dict[str, float] = defaultdict(float)
        self._asking = asking

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The judge's answers. Until the first comes, the time is that of the call that all who ask share."""
        ids = [inquiry.property.id for inquiry in inquiries]
        answers = self._judge.ask(recipe, inquiries, stop, brief)
        asked = 0
        while True:
            self._asking(ids[min(asked, len(ids) - 1)])
            began = time.perf_counter()
            answer = next(answers, None)
            sharing = ids if asked == 0 else ids[asked : asked + 1]
            for id in sharing:
                self.seconds[id] += (time.perf_counter() - began) / len(sharing)
            if answer is None:
                return
            yield answer
            asked += 1


class Judged(NamedTuple):
    """What came of one part of a backend's properties."""

    report: BackendReport
    #: The seconds of each property, and those of what is no property's: drawing cases, starting processes.
    seconds: dict[str, float]
    rest: float


class Judgement:
    """The judging of one backend; it judges what pytest selected, no more, part by part as items ask."""

    def __init__(
        self, judge: Judge, settings: Settings, progress: Callable[[int, int], None] | None, diagnose: float = USUAL
    ) -> None:
        backend = judge.backend
        self.judge = judge
        self.backend: Backend = backend
        self.settings = settings
        self.progress = progress
        #: Seconds for the causes of what fails.
        self.diagnose = diagnose
        more = (settings.stop, settings.shrink, settings.strict, dict(settings.expected_failures), diagnose)
        self.key = Key(backend.name, backend.origin, settings.cases, settings.seed, json.dumps(more))
        self.declared = {p.id for p in plan(backend, settings).asked}
        self.selected: set[str] = set()

    def judged(self, part: int, parts: int, live: Live) -> Judged:
        """The verdicts on one of so many parts, and on smoke, without which no other says anything.

        Where all that is declared was selected, what is not declared is told too: a level depends on it.
        """
        known = catalogue().keys()
        wanted = known if self.selected == self.declared else self.selected
        mine = sorted(id for id in wanted if part_of(id, parts) == part)
        only = () if len(mine) == len(known) else ("smoke", *mine)
        settings = replace(self.settings, only=only)
        state = ["", 0, 0]

        def asking(property: str) -> None:
            state[0] = property
            live(*state)

        def progress(done: int, total: int) -> None:
            state[1:] = done, total
            if self.progress is not None:
                self.progress(done, total)

        clocked = Clocked(self.judge, asking)
        began = time.perf_counter()
        try:
            kept = database(self.backend.name, settings)
            report = conform(clocked, settings, tell=counting(progress), database=kept)
        finally:
            self.judge.rest()
        rest = time.perf_counter() - began - sum(clocked.seconds.values())
        return Judged(report, dict(clocked.seconds), rest)

    def diagnosed(self, judged: Judged, live: Live) -> Judged:
        """The same with the causes of what fails, for which no property's seconds are spent."""
        began = time.perf_counter()

        def tell(news: News) -> None:
            if isinstance(news, Diagnosing):
                live(f"diagnosing: {news.step}", 0, 0)

        report = diagnosed(self.judge, judged.report, self.diagnose, tell)
        if report is judged.report:
            return judged
        return judged._replace(report=report, rest=judged.rest + time.perf_counter() - began)
