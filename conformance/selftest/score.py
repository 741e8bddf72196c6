"""The suite tried on itself: is every catalogued fault caught, by which property first, after how many cases?

A fault counts as caught only if a property fails that its correct twin passes: the twin runs along. A run stops at the
first catch and does not shrink. It begins with the properties that a fault of its kind is most likely to fail, and asks
all only if they pass: so the one that is named is the first of those that were asked by then. With ``attribute`` all
are asked to the end, and the table says which properties catch what. With ``peers``, other people's tests are tried on
the same faults, side by side.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from tabulate import tabulate

from conformance.backend import Backend
from conformance.cases.fills import keep_large
from conformance.conventions.parameters import ORDERS
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError, nearest
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.faults.fault import (
    CALLS,
    DEGENERATE,
    DROPOUT,
    FULL,
    GRADIENTS,
    LENGTHS,
    LIVING,
    MEMORY,
    NONFINITE,
    OPTIONS,
    RANGE,
    SIZES,
    THREADS,
    Fault,
)
from conformance.report.model import BackendReport
from conformance.selftest.peer import CAUGHT, INEXPRESSIBLE, Peer, accepts, reading, verdict

#: The name under which the correct twin runs beside its faults.
TWIN = "twin"

#: The groups that judge every result, which most faults fail. They are asked first,
_FIRST = ("layout", "values")

#: or instead, for some kinds, the groups that are about them.
_OF_KIND = {
    LENGTHS: (*_FIRST, "lengths"),
    MEMORY: ("purity",),
    OPTIONS: ("refusals",),
    DEGENERATE: (*_FIRST, "degenerate"),
    RANGE: (*_FIRST, "numerics"),
    NONFINITE: ("nonfinite",),
    CALLS: ("purity",),
    THREADS: ("purity",),
    DROPOUT: ("dropout",),
    SIZES: (*_FIRST, "sizes"),
    GRADIENTS: ("gradients", "dropout"),
    LIVING: ("purity", "gradients"),
}

#: This suite's name beside its peers'.
OURS = "this suite"


@dataclass(frozen=True)
class Row:
    """The record of one fault."""

    fault: str
    kind: str
    #: The properties that caught it: the first one, or all of them in the order in which they did.
    caught_by: tuple[str, ...]
    #: Cases offered until the first catch.
    cases: int | None
    seconds: float
    #: Properties that accuse the correct twin: always a defect of the suite.
    alarms: tuple[str, ...] = ()
    #: What each peer says of it, by the peer's name.
    peers: Mapping[str, str] = field(default_factory=dict)

    @property
    def caught(self) -> bool:
        """Whether some property caught it."""
        return bool(self.caught_by)


@dataclass(frozen=True)
class SelfTest:
    """The record of the faults, and of their correct twin."""

    rows: tuple[Row, ...]
    #: What was never begun or never ended.
    missing: tuple[str, ...] = ()
    #: The gate orders that each suite accepts, by its name, if peers ran along; one of 24 is right.
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: What each peer is.
    notes: tuple[str, ...] = ()

    @property
    def faults(self) -> list[Row]:
        """The rows of faults."""
        return [row for row in self.rows if row.kind]

    @property
    def score(self) -> float:
        """The share of faults that were caught."""
        return sum(row.caught for row in self.faults) / len(self.faults) if self.faults else 0.0

    @property
    def passed(self) -> bool:
        """Whether every fault was caught, nothing correct accused and nothing is missing."""
        return not self.missing and all(row.caught for row in self.faults) and not any(row.alarms for row in self.rows)


def names() -> list[str]:
    """The correct twin, and every fault's id."""
    return [TWIN, *FAULTS]


def self_test(
    chosen: Sequence[str] = (),
    settings: Settings | None = None,
    attribute: bool = False,
    jobs: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
    peers: Sequence[Peer] = (),
) -> SelfTest:
    """Run the suite against faults (all if none are chosen) and their correct twin, over all cores; peers beside it.

    Interrupting it keeps the rows that are done. ``UsageError`` for a name that is no fault's.
    """
    for name in chosen:
        if name not in names():
            near = nearest(name, names())
            hint = f"did you mean {' or '.join(near)}?" if near else "`lstm-conformance self-test --list` shows them"
            raise UsageError(f"no fault is named {name!r}", hint)
    wanted = list(dict.fromkeys(chosen)) or names()
    settings = replace(settings or Settings(), shrink=False, stop=not attribute, strict=True)
    rows: dict[str, Row] = {}
    orders = ORDERS if peers else ()
    readers: dict[str, tuple[str, ...]] = {}
    total = len(wanted) + len(orders)
    context = multiprocessing.get_context("spawn")
    # Leaving the pool ends its processes, so that an interruption stops at once.
    with context.Pool(jobs or os.cpu_count(), prepare) as pool:
        try:
            for row in pool.imap_unordered(partial(_judge, settings=settings, peers=peers), wanted):
                rows[row.fault] = row
                watch(len(rows), total)
            for order, suites in pool.imap_unordered(partial(_readers, settings=settings, peers=peers), orders):
                readers[order] = suites
                watch(len(rows) + len(readers), total)
        except KeyboardInterrupt:
            pass
    return SelfTest(
        tuple(rows[name] for name in wanted if name in rows),
        (*(n for n in wanted if n not in rows), *(f"gate order {o}" for o in orders if o not in readers)),
        {
            suite: tuple(order for order in orders if suite in readers.get(order, ()))
            for suite in (OURS, *(peer.name for peer in peers))
            if peers
        },
        tuple(peer.note for peer in peers),
    )


def prepare() -> None:
    """Ready a process that tries many faults.

    Faulty LSTMs divide by zero and average nothing: what NumPy has to say of that is no news.
    """
    warnings.simplefilter("ignore", RuntimeWarning)
    keep_large()


def _judge(name: str, settings: Settings, peers: Sequence[Peer]) -> Row:
    started = time.perf_counter()
    if name == TWIN:
        report = conform(twin_backend(), replace(settings, stop=False))
        return Row(name, "", (), None, time.perf_counter() - started, _bad(report))
    fault = FAULTS[name]
    report = _report(fault, settings)
    seconds = time.perf_counter() - started
    first = min((v.after for v in report.verdicts if v.after is not None), default=None)
    beside = {peer.name: verdict(peer, fault) for peer in peers}
    return Row(name, fault.kind, _bad(report), first, seconds, peers=beside)


def asked_first(kind: str) -> tuple[str, ...]:
    """The groups of properties that a fault of a kind is most likely to fail."""
    return _OF_KIND.get(kind, _FIRST)


def _report(fault: Fault, settings: Settings) -> BackendReport:
    """The report on a fault: on what is asked first if that catches it, else on all.

    Large sizes come late in a whole run, and guards last.
    """
    everything = settings.fixed and not (settings.only or settings.exclude)
    if everything and settings.stop:
        report = conform(backend_of(fault), replace(settings, only=asked_first(fault.kind), cases=0))
        if report.bad:
            return report
    return conform(backend_of(fault), settings)


def _readers(order: str, settings: Settings, peers: Sequence[Peer]) -> tuple[str, tuple[str, ...]]:
    """Which suites accept the correct LSTM if it reads its gates in ``order``."""
    twin = reading(order)
    backend = Backend(order, FULL, twin.build)
    ours = () if _bad(conform(backend, replace(settings, stop=True))) else (OURS,)
    return order, (*ours, *(peer.name for peer in peers if accepts(peer, twin, FULL)))


def _bad(report: BackendReport) -> tuple[str, ...]:
    """The properties that failed, in the order in which they did."""
    bad = [verdict for verdict in report.verdicts if verdict.outcome.bad]
    return tuple(verdict.property for verdict in sorted(bad, key=lambda verdict: verdict.after or 0))


def table(test: SelfTest, attribute: bool = False) -> str:
    """The table of faults and the totals."""
    parts = [_faults(test.faults, attribute)] if test.faults else []
    parts += [f"the correct {row.fault} is ACCUSED by {', '.join(row.alarms)}" for row in test.rows if row.alarms]
    if test.faults:
        parts.append(_totals(test))
    if attribute and test.faults:
        parts.append(_sole_catchers(test.faults))
    if test.orders and test.faults:
        parts.append(_comparison(test))
    if test.missing:
        parts.append(f"interrupted: {len(test.missing)} missing, {', '.join(test.missing[:5])} …")
    return "\n\n".join(parts)


def _faults(rows: list[Row], attribute: bool) -> str:
    beside = list(rows[0].peers)
    shown = [
        [
            row.fault,
            row.kind,
            "caught" if row.caught else "ESCAPED",
            (", ".join(row.caught_by) if attribute else row.caught_by[0]) if row.caught else "",
            row.cases if row.caught else None,
            row.seconds,
            *(row.peers[name] for name in beside),
        ]
        for row in rows
    ]
    return tabulate(shown, ["fault", "class", "", "by", "cases", "s", *beside], floatfmt=".1f")


def _totals(test: SelfTest) -> str:
    caught = [row for row in test.faults if row.caught]
    text = f"{len(caught)} of {len(test.faults)} faults caught, a mutation score of {100 * test.score:.1f} %"
    counts = [row.cases for row in caught if row.cases is not None]
    if counts:
        median, high = np.percentile(counts, [50, 95], method="higher")
        text += f"; cases to first detection: median {median}, 95th percentile {high}, at most {max(counts)}"
    return text


def _sole_catchers(rows: list[Row]) -> str:
    """Which properties catch how many faults, and which faults nothing else catches."""
    catches: dict[str, list[Row]] = {}
    for row in rows:
        for id in row.caught_by:
            catches.setdefault(id, []).append(row)
    shown = [
        [
            id,
            len(own),
            sum(row.caught_by[0] == id for row in own),
            ", ".join(r.fault for r in own if len(r.caught_by) == 1),
        ]
        for id, own in sorted(catches.items(), key=lambda item: -len(item[1]))
    ]
    return tabulate(shown, ["property", "catches", "first", "alone"])


def _comparison(test: SelfTest) -> str:
    """Each suite's score over all faults and over those it can express, and the gate orders it accepts."""
    shown = []
    for suite, orders in test.orders.items():
        said = [CAUGHT if row.caught else "" for row in test.faults]
        if suite != OURS:
            said = [row.peers[suite] for row in test.faults]
        caught, able = said.count(CAUGHT), len(said) - said.count(INEXPRESSIBLE)
        scores = [f"{100 * caught / of:.1f} %" if of else "" for of in (len(said), able)]
        shown.append([suite, caught, scores[0], able, scores[1], f"{len(orders)} of {len(ORDERS)}"])
    headers = ["", "caught", f"of all {len(test.faults)}", "can express", "of those", "gate orders accepted"]
    return "\n".join([tabulate(shown, headers, colalign=("left", *["right"] * 5)), "", *test.notes])


def to_json(test: SelfTest) -> dict[str, Any]:
    """The self-test as plain data."""
    return {"format": 1, "score": test.score, "passed": test.passed, **asdict(test)}
