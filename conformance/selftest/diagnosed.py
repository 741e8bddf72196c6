"""The diagnosis tried on the catalogue: is the right cause named first, is it confirmed, is a wrong one ever confirmed?

A cause is right if its alterations alone give what the fault gives, within the bound, on cases that took no part in
the diagnosis: it may bear another name. With ``left_out``, a fault's own hypothesis is taken out of the search: then
nothing may be confirmed but what gives the same results.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
from tabulate import tabulate

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.diagnosis.confirmation import Fresh, forward_call, fresh_cases, valued_dtypes
from conformance.diagnosis.diagnose import diagnose
from conformance.diagnosis.gradient_probes import gradient_probes, varied
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, probes
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.reply import Reply, reply
from conformance.engine.sieve import conform
from conformance.facts import Alteration, Cause, Degree
from conformance.faults import FAULTS, Fault, backend_of
from conformance.faults.fault import GRADIENTS
from conformance.selftest.pairs import joined, ring
from conformance.selftest.score import prepare

#: Cases by which two LSTMs are compared are drawn with a seed of their own.
_SEED = 20_240

#: The seconds that one diagnosis may take.
LIMIT = 20.0


@dataclass(frozen=True)
class Diagnosed:
    """The record of one fault, or of two at once."""

    faults: tuple[str, ...]
    kind: str
    #: Whether the first causes are these faults.
    named: bool
    #: Whether they are, and were confirmed.
    confirmed: bool
    #: Whether anything else was confirmed: always a defect of the diagnosis.
    wrong: bool
    #: What was told, by its names.
    told: tuple[str, ...]
    calls: int
    #: Seconds of the diagnosis alone.
    seconds: float


@dataclass(frozen=True)
class DiagnosedTest:
    """The record of all faults that were tried."""

    rows: tuple[Diagnosed, ...]
    missing: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing wrong was confirmed, and nothing is missing."""
        return not self.missing and not any(row.wrong for row in self.rows)


def diagnosed_test(
    chosen: Sequence[str] = (),
    pairs: int = 0,
    left_out: bool = False,
    seed: int = 0,
    jobs: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> DiagnosedTest:
    """Diagnose faults (all if none are chosen), or ``pairs`` of them, over all cores; interrupting keeps the rows."""
    wanted: list[tuple[str, ...]] = [(id,) for id in chosen or FAULTS]
    if pairs:
        faults = ring(pairs, seed)
        wanted = [(a.id, b.id) for a, b in zip(faults, [*faults[1:], faults[0]], strict=True)]
    rows: list[Diagnosed] = []
    with multiprocessing.get_context("spawn").Pool(jobs or os.cpu_count(), prepare) as pool:
        try:
            for row in pool.imap_unordered(partial(diagnosed, left_out=left_out), wanted):
                rows.append(row)
                watch(len(rows), len(wanted))
        except KeyboardInterrupt:
            pass
    return DiagnosedTest(tuple(sorted(rows, key=lambda row: row.faults)), len(wanted) - len(rows))


def diagnosed(ids: tuple[str, ...], left_out: bool = False) -> Diagnosed:
    """The diagnosis of a fault, or of two in one LSTM, from the failures of a quick run, or else of a whole one."""
    faults = [FAULTS[id] for id in ids]
    fault = joined(*faults) if len(faults) == 2 else faults[0]
    assert fault is not None
    backend = backend_of(fault)
    settings = Settings(0, quick=True)
    report = conform(backend, settings)
    if not report.bad:
        report = conform(backend, replace(settings, quick=False, stop=True))
    started = time.monotonic()
    found = diagnose(Here(backend), report, LIMIT, without=frozenset(ids) if left_out else frozenset())
    seconds = time.monotonic() - started
    causes = [cause for cause in found.causes if cause.alterations]
    whole = tuple(one for cause in causes for one in cause.alterations)
    each = [any(alike(cause.alterations, one) for cause in causes[: len(faults)]) for one in faults]
    sure = [cause for cause in causes if cause.degree == Degree.CONFIRMED]
    named = all(each) and len(causes) >= len(faults)
    return Diagnosed(
        ids,
        fault.kind,
        named,
        named and len(sure) == len(causes),
        bool(sure) and not alike(whole, fault),
        tuple(f"{cause.degree}: {_told(cause)}" for cause in found.causes),
        found.calls,
        seconds,
    )


def _told(cause: Cause) -> str:
    return " + ".join(f"{one.fault}{'@' if one.scope else ''}{','.join(one.scope)}" for one in cause.alterations)


def alike(alterations: tuple[Alteration, ...], fault: Fault) -> bool:
    """Whether alterations give what a fault gives, on cases that took no part in any diagnosis."""
    predictions = Predictions(backend_of(fault))
    return all(predictions.explains(alterations, one.call, one.reply) for one in _cases(fault))


def _cases(fault: Fault) -> list[Fresh]:
    """Calls with what the fault returns: of its forward pass, or of its vjp if that is what is wrong."""
    backend = backend_of(fault)
    of_gradients = fault.kind == GRADIENTS

    def ask(call: Call) -> Reply:
        return reply(backend, *call)

    def vjp(recipe: Recipe, case: Case, rng: Random) -> Call:
        return varied(recipe, case, rng, backend.capabilities.returns)

    vary, made = (vjp, gradient_probes) if of_gradients else (forward_call, probes)
    dtypes = ["float64", "float32"] if of_gradients else valued_dtypes(backend)
    cases = fresh_cases(backend, ask, (), float("inf"), _SEED, vary, dtypes)
    calls = [(probe.name, call) for probe in made(backend, dtypes[0]) for call in probe.calls]
    return cases + [Fresh(name, call, ask(call)) for name, call in calls]


def table(test: DiagnosedTest) -> str:
    """The faults whose cause was not named, or wrongly confirmed, and the totals by kind."""
    missed = [
        [" + ".join(row.faults), row.kind, "WRONG" if row.wrong else "", "; ".join(row.told)[:80], row.seconds]
        for row in test.rows
        if row.wrong or not row.named
    ]
    parts = [tabulate(missed, ["not named first", "class", "", "told", "s"], floatfmt=".1f")] if missed else []
    kinds = list(dict.fromkeys(row.kind for row in test.rows))
    groups = [(kind, [row for row in test.rows if row.kind == kind]) for kind in kinds] + [("all", list(test.rows))]
    totals = [
        [
            kind,
            len(rows),
            sum(row.named for row in rows),
            sum(row.confirmed for row in rows),
            sum(row.wrong for row in rows),
            *np.percentile([row.seconds for row in rows], [50, 95]),
        ]
        for kind, rows in groups
    ]
    heads = ["class", "faults", "named first", "confirmed", "wrongly confirmed", "median s", "95 % s"]
    parts.append(tabulate(totals, heads, floatfmt=".1f"))
    return "\n\n".join(parts) + (f"\n\ninterrupted: {test.missing} missing" if test.missing else "")


def to_json(test: DiagnosedTest) -> dict[str, Any]:
    """The record as plain data."""
    return {"format": 1, "passed": test.passed, **asdict(test)}
