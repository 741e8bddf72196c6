"""Shards of a plan on an executor: a pool of processes, or a cluster.

A shard is some cases of one target, each with what is asked about it. Workers answer shards, the engine stays here and
asks in its own order (``isolation/ahead.py``): what it is told does not depend on the number of workers. A worker that
dies costs the time of its shard: the cases are asked again.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from conformance.cases.recipe import parse
from conformance.drivers.target import Isolation, judge_of
from conformance.engine.judging import Answer, Inquiry, Judge
from conformance.errors import Closed, Ended, Gone
from conformance.isolation.ahead import Answers, Helper, Question
from conformance.properties import catalogue

#: Seconds after which a worker ends a judge that it was not asked for, and after which the engine's side looks whether
#: any worker is left.
_IDLE, LOOK = 60.0, 5.0


@dataclass(frozen=True)
class Shard:
    """Some cases of one target; everything in it can be pickled."""

    target: str
    isolation: Isolation | None
    #: Of each case the recipe as text, the id and turn of each property that is asked, and whether to be brief.
    questions: tuple[tuple[str, tuple[tuple[str, int], ...], bool], ...]


#: What a worker answers to a shard: of each case, the answers to the first of its inquiries, or to all of them.
Told = list[list[Answer]]


def judge_shard(shard: Shard) -> Told:
    """The answers to a shard. A worker calls it; the judge of its target is kept for the next shard."""
    known = catalogue()
    target, isolation = shard.target, shard.isolation
    with held((target, repr(isolation)), lambda: judge_of(target, isolation)) as judge:
        return [
            [a for _, a in judge.ask(parse(text), [Inquiry(known[id], turn) for id, turn in asked], brief=brief)]
            for text, asked, brief in shard.questions
        ]


class _Kept:
    """The judges of this worker's process that are not at work, by what they are for; each ends after a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str], list[tuple[Judge, threading.Timer]]] = defaultdict(list)

    def take(self, key: tuple[str, str]) -> Judge | None:
        with self._lock:
            while self._idle[key]:
                judge, timer = self._idle[key].pop()
                timer.cancel()
                return judge
        return None

    def keep(self, key: tuple[str, str], judge: Judge) -> None:
        timer = threading.Timer(_IDLE, self._end, (key, judge))
        timer.daemon = True
        with self._lock:
            self._idle[key].append((judge, timer))
        timer.start()

    def _end(self, key: tuple[str, str], judge: Judge) -> None:
        with self._lock:
            left = [kept for kept in self._idle[key] if kept[0] is not judge]
            ends = len(left) < len(self._idle[key])
            self._idle[key] = left
        if ends:
            judge.close()


_kept = _Kept()


@contextmanager
def held(key: tuple[str, str], start: Callable[[], Judge]) -> Iterator[Judge]:
    """A judge that this worker's process keeps under a key; one that failed at its work is not kept."""
    judge = _kept.take(key) or start()
    try:
        yield judge
    except BaseException:
        judge.close()
        raise
    _kept.keep(key, judge)


class Elsewhere:
    """A helper that is one place on an executor: ``submit`` has a function called there, while it is ``reachable``."""

    takes = 10

    def __init__(
        self,
        submit: Callable[..., Future[Any]],
        target: str,
        isolation: Isolation | None,
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        self._submit = submit
        self._reachable = reachable
        self._target = target
        self._isolation = isolation
        self._future: Future[Any] | None = None
        self._closed = False

    def answer(self, questions: Sequence[Question]) -> list[Answers]:
        """The answers of whichever worker is free."""
        asked = [(str(q.recipe), tuple((i.property.id, i.turn) for i in q.inquiries), q.brief) for q in questions]
        future = self._future = self._submit(judge_shard, Shard(self._target, self._isolation, tuple(asked)))
        if self._closed:
            future.cancel()
            raise Closed
        while True:
            try:
                told: Told = future.result(LOOK)
                break
            except TimeoutError:
                if future.done():
                    raise
                if not self._reachable():
                    future.cancel()
                    raise Gone("no worker is left") from None
        return [list(zip(q.inquiries, answers, strict=False)) for q, answers in zip(questions, told, strict=True)]

    def finish(self) -> Ended | None:
        """Its workers are not its own: they go on."""
        return None

    def close(self) -> None:
        """Wait no longer for a worker."""
        self._closed = True
        if self._future is not None:
            self._future.cancel()


class Pool:
    """The places of an executor, of which so many shards are asked for at a time."""

    def __init__(self, executor: Executor, places: int) -> None:
        self._executor = executor
        self._places = places

    def judge(self, target: str, isolation: Isolation | None) -> Judge | None:
        """Every target is held here too."""
        return None

    def helper(self, target: str, isolation: Isolation | None, helpers: int) -> Helper | None:
        """A helper for each place."""
        return Elsewhere(self._executor.submit, target, isolation) if helpers < self._places else None
