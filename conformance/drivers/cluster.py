"""A cluster of ``dask.distributed``: its workers answer shards, and hold the targets that need what only they have."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe, parse
from conformance.drivers.shards import LOOK, Elsewhere, held
from conformance.drivers.target import Isolation
from conformance.engine.judging import Answer, Coming, Here, Inquiry, Judge
from conformance.engine.reply import Reply
from conformance.errors import Closed, Ended, Gone, UsageError
from conformance.facts import Evidence
from conformance.isolation.ahead import Helper
from conformance.isolation.parent import Isolated
from conformance.properties import catalogue
from conformance.targets.find import find
from conformance.targets.probe import Ability
from conformance.trials.events import Event, Performed

#: Seconds in which a scheduler answers, and for which it is believed what workers it has.
_CONNECT, _FRESH = 20, 1.0


class Cluster:
    """The workers of a scheduler, and what each target needs of them."""

    def __init__(self, address: str, needs: Mapping[str, str]) -> None:
        try:
            distributed = importlib.import_module("distributed")
        except ImportError:
            raise UsageError("--dask needs distributed", 'pip install "lstm-conformance[dask]"') from None
        try:
            self._client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(f"no scheduler answers at {address!r}: {error}", "start one: dask scheduler") from None
        self._needs = needs
        self._known: tuple[float, Mapping[str, Any]] = (-_FRESH, {})
        for target, resource in needs.items():
            if not self.workers(target):
                raise UsageError(
                    f"{target!r} needs {resource!r}, and no worker has it",
                    f"start one: dask worker {address} --resources {resource}=1",
                )

    def need(self, target: str) -> str:
        """The resource that a target needs; nothing if any worker will do."""
        return self._needs.get(target, self._needs.get("", ""))

    def workers(self, target: str) -> dict[str, int]:
        """The addresses of the workers that a target can use, with their threads."""
        need, (at, known) = self.need(target), self._known
        if time.monotonic() > at + _FRESH:
            known = self._client.scheduler_info(n_workers=-1)["workers"]
            self._known = time.monotonic(), known
        return {at: told["nthreads"] for at, told in known.items() if not need or told["resources"].get(need)}

    def helper(self, target: str, isolation: Isolation | None, helpers: int) -> Helper | None:
        """Another helper of a target that has so many, if there are workers for it: two for each thread of theirs."""
        if helpers >= 2 * sum(self.workers(target).values()):
            return None

        def submit(call: Any, shard: Any) -> Any:
            return self.submit(target, call, shard)

        return Elsewhere(submit, target, isolation, lambda: bool(self.workers(target)))

    def submit(self, target: str, call: Any, *arguments: Any, at: str | None = None) -> Any:
        """Have a function called by a worker that a target can use, or by the one at an address."""
        need = self.need(target)
        resources = {need: 1} if need else None
        return self._client.submit(call, *arguments, pure=False, resources=resources, workers=at)

    def judge(self, target: str, isolation: Isolation | None) -> Judge | None:
        """The judge of a target that needs what workers have; None if it can be held here."""
        return Afar(self, target, isolation) if self.need(target) else None

    def close(self) -> None:
        """Leave the scheduler and its workers as they are."""
        self._client.close()


class Afar:
    """The judge of a target at one worker, and at another one if that is lost."""

    works_ahead = False

    def __init__(self, cluster: Cluster, target: str, isolation: Isolation | None) -> None:
        self._cluster = cluster
        self._target = target
        self._isolation = isolation
        self._at: str | None = None
        self._future: Any = None
        self._closed = False
        self.backend = self._done("backend")

    def _done(self, name: str, *arguments: Any) -> Any:
        """What a worker's judge returns; a worker that is lost has another one begin anew."""
        for _ in range(3):
            if self._closed:
                raise Closed
            workers = self._cluster.workers(self._target)
            if self._at not in workers:
                self._at = next(iter(workers), None)
            if self._at is None:
                raise Gone(f"no worker has {self._cluster.need(self._target)!r} any more")
            key = self._target, self._isolation
            self._future = self._cluster.submit(self._target, operate, key, name, arguments, at=self._at)
            while self._at in self._cluster.workers(self._target):
                try:
                    return self._future.result(timeout=LOOK)
                except TimeoutError:
                    if self._future.done():
                        raise
                except BaseException:
                    # Closing it cancels what is asked of it at this moment.
                    if self._closed:
                        raise Closed from None
                    raise
            self._future.cancel()
        raise Gone("three workers were lost")

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers of the worker's judge."""
        asked = [(inquiry.property.id, inquiry.turn) for inquiry in inquiries]
        yield from zip(inquiries, self._done("ask", str(recipe), asked, stop, brief), strict=False)

    def foresee(self, coming: Coming, brief: bool, afresh: bool) -> None:
        """It answers what it is asked."""

    def evidence(self) -> Evidence | None:
        """The call that failed, of the wrong answer that was given last."""
        return self._done("evidence")

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        """The reply of a fresh model to a case of the caller's own making, or to its vjp."""
        return self._done("call", case, cotangents)

    def perform(self, events: tuple[Event, ...]) -> Performed:
        """Make calls one after another, on fresh models; what became of the last one."""
        return self._done("perform", events)

    def run(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        self._done("run", str(recipe))

    def probe(self) -> list[Ability]:
        """The abilities of the backend."""
        return self._done("probe")

    def finish(self) -> Ended | None:
        """Let the process that holds it come to its own end."""
        return self._done("finish")

    def rest(self) -> None:
        """End what was started for it, until it is asked again."""
        if not self._closed:
            self._done("rest")

    def close(self) -> None:
        """Ask no more; the worker's judge ends when it has not been asked for a while."""
        if not self._closed:
            self._closed = True
            if self._future is not None:
                self._future.cancel()

    @property
    def signatures(self) -> int:
        """How many signatures a backend that compiles was called with."""
        return self._done("signatures")

    @property
    def frameworks(self) -> dict[str, str]:
        """The versions of the frameworks that the worker's processes have loaded."""
        return self._done("frameworks")


@contextmanager
def places(options: argparse.Namespace) -> Iterator[Cluster | None]:
    """The cluster that ``--dask`` names; None if there is none."""
    if options.dask is None:
        if options.needs:
            raise UsageError("--needs is for the workers of --dask", "name a scheduler: --dask tcp://HOST:8786")
        yield None
        return
    needs = {target: resource for target, _, resource in (word.rpartition("=") for word in options.needs)}
    cluster = Cluster(options.dask, needs)
    try:
        yield cluster
    finally:
        cluster.close()


def operate(key: tuple[str, Isolation | None], name: str, arguments: tuple[Any, ...]) -> Any:
    """What a judge of this worker's process returns; a worker calls it."""
    target, isolation = key
    # It is not one of those that answer shards: what it was asked before is what its engine asked.
    with held((target, f"engine's {isolation}"), lambda: _judge(target, isolation)) as judge:
        if name == "ask":
            text, asked, stop, brief = arguments
            known = catalogue()
            inquiries = [Inquiry(known[id], turn) for id, turn in asked]
            return [answer for _, answer in judge.ask(parse(text), inquiries, stop, brief)]
        if name == "run":
            return judge.run(parse(arguments[0]))
        told = getattr(judge, name)
        return told(*arguments) if callable(told) and name != "backend" else told


def _judge(target: str, isolation: Isolation | None) -> Judge:
    """A judge whose backend can be sent: that of a child process, which a program is in, too."""
    if isolation is None:
        return Here(find(target))
    return Isolated(target, isolation.limits, isolation.python(target))
