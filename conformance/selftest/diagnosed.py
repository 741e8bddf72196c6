"""The diagnosis tried on the catalogue: is the right cause named first, is it confirmed, is a wrong one ever confirmed?

A cause is right if its alterations alone give what the fault gives, within the bound, on cases that took no part in
the diagnosis: it may bear another name. Conditions are right if they say of fresh cases which of them fail. A fault
that has no conditions, such as a refusal that never comes or one of many threads, is told by its property alone.

With ``left_out``, a fault's own hypothesis is taken out of the search: then nothing may be confirmed but what gives the
same results. Of a correct LSTM, which is diagnosed as if it had failed, nothing may be told at all.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from conformance.backend import Backend
from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.conventions.transform import FINAL, GATES, LAYOUT, LENGTHS, REVERSE, STACK, STATE
from conformance.diagnosis.confirmation import Fresh, forward_call, fresh_cases, valued_dtypes
from conformance.diagnosis.diagnose import diagnose
from conformance.diagnosis.gradient_probes import varied
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call
from conformance.diagnosis.rare_gradient_probes import vjp_probes
from conformance.diagnosis.rare_probes import forward_probes
from conformance.diagnosis.session import answered
from conformance.engine.judging import Here
from conformance.engine.plan import Settings
from conformance.engine.reply import Reply
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Degree, Diagnosis, Outcome
from conformance.faults import DIFFERENT, FAULTS, Fault, backend_of, twin_backend
from conformance.faults.fault import FULL, GRADIENTS
from conformance.report.model import BackendReport, Verdict
from conformance.selftest.forecast import forecast
from conformance.selftest.pairs import joined
from conformance.selftest.score import TWIN, asked_first, prepare

#: The kinds of conventions and structural mistakes: of these, alterations must be named.
STRUCTURAL = (GATES, LAYOUT, REVERSE, STACK, STATE, FINAL, LENGTHS, GRADIENTS)

#: By what a fault was told: the alterations that give its results, the conditions under which it fails, or nothing but
#: the property that failed, since it has none.
CAUSE, CONDITIONS, PROPERTY = "cause", "conditions", "property alone"

#: The class of two faults in one LSTM.
PAIR = "pair"

#: Cases by which two LSTMs are compared are drawn with a seed of their own.
_SEED = 20_240

#: The seconds that one diagnosis may take.
LIMIT = 20.0

#: The properties of gradients that one vjp at a time shows.
_OF_ONE_VJP = tuple(
    f"gradients.{name}"
    for name in ("primal", "preactivations", "input", "state", "weights", "biases", "padding", "none-is-zeros")
)

#: What is invented of a correct LSTM: failures that it has not.
_INVENTED = {"values.output": "I=3 H=4 L=5 N=2 layers=2 bidirectional", "gradients.weights": "I=2 H=3 L=4 N=2"}


@dataclass(frozen=True)
class Diagnosed:
    """The record of one fault, of two at once, or of a correct LSTM, which has no kind."""

    faults: tuple[str, ...]
    kind: str
    #: By what the first causes are these faults: ``CAUSE``, ``CONDITIONS``, ``PROPERTY``; nothing if they are not.
    named: str
    #: Whether alterations name them, and were confirmed.
    confirmed: bool
    #: Whether anything else was confirmed: always a defect of the diagnosis.
    wrong: bool
    #: What was told, by its names.
    told: tuple[str, ...]
    calls: int
    #: Seconds of the processor, of the diagnosis alone.
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


def correct() -> dict[str, Backend]:
    """The correct LSTMs, which run along."""
    return {TWIN: twin_backend(), **{different.id: different.backend for different in DIFFERENT}}


def diagnosed_test(
    chosen: Sequence[str] = (),
    pairs: int = 0,
    left_out: bool = False,
    seed: int = 0,
    jobs: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> DiagnosedTest:
    """Diagnose faults (all, and the correct LSTMs, if none are chosen), or ``pairs`` of them, over all cores.

    Interrupting it keeps the rows that are done. ``UsageError`` for a name that is none.
    """
    wanted = wanted_of(chosen, pairs, seed)
    rows: list[Diagnosed] = []
    with multiprocessing.get_context("spawn").Pool(jobs or os.cpu_count(), prepare) as pool:
        try:
            for row in pool.imap_unordered(partial(diagnosed, left_out=left_out), wanted):
                rows.append(row)
                watch(len(rows), len(wanted))
        except KeyboardInterrupt:
            pass
    return DiagnosedTest(tuple(sorted(rows, key=lambda row: row.faults)), len(wanted) - len(rows))


def wanted_of(chosen: Sequence[str], pairs: int, seed: int) -> list[tuple[str, ...]]:
    """What is diagnosed, in an order that is random but the same each time."""
    if pairs:
        return drawn_pairs(pairs, seed)
    names = [*FAULTS, *correct()]
    if unknown := [name for name in chosen if name not in names]:
        raise UsageError(f"no fault is named {unknown[0]!r}", "`lstm-conformance self-test --list` shows them")
    wanted = list(dict.fromkeys(chosen)) or random.Random(seed).sample(names, len(names))
    return [(name,) for name in wanted]


def drawn_pairs(count: int, seed: int) -> list[tuple[str, ...]]:
    """Pairs of structural mistakes of the forward pass that go together, neither of which contains the other."""
    rng = random.Random(seed)
    faults = [fault.id for fault in FAULTS.values() if fault.kind in STRUCTURAL and fault.capabilities == FULL]
    found: dict[tuple[str, ...], None] = {}
    while len(found) < count:
        first, second = rng.sample(faults, 2)
        both = joined(FAULTS[first], FAULTS[second])
        if both is not None and not any(alike((Alteration(one),), both) for one in (first, second)):
            found[first, second] = None
    return list(found)


def diagnosed(ids: tuple[str, ...], left_out: bool = False, limit: float = LIMIT) -> Diagnosed:
    """The diagnosis of a fault, of two in one LSTM, or of a correct one, in ``limit`` seconds at most."""
    if ids[0] not in FAULTS:
        return _of_correct(ids[0], limit)
    faults = [FAULTS[id] for id in ids]
    fault = joined(*faults) if len(faults) == 2 else faults[0]
    assert fault is not None
    backend = backend_of(fault)
    report = _report(fault)
    found, seconds = _timed(backend, report, frozenset(ids) if left_out else frozenset(), limit)
    causes = [cause for cause in found.causes if cause.alterations]
    whole = tuple(one for cause in causes for one in cause.alterations)
    each = [any(alike(cause.alterations, one) for cause in causes[: len(faults)]) for one in faults]
    sure = [cause for cause in causes if cause.degree == Degree.CONFIRMED]
    by_cause = all(each) and len(causes) >= len(faults)
    return Diagnosed(
        ids,
        fault.kind if len(ids) == 1 else PAIR,
        CAUSE if by_cause else _by_conditions(backend, report, found) if len(ids) == 1 else "",
        by_cause and len(sure) == len(causes),
        bool(sure) and not alike(whole, fault),
        tuple(_told(cause) for cause in found.causes),
        found.calls,
        seconds,
    )


def _of_correct(name: str, limit: float) -> Diagnosed:
    backend = correct()[name]
    failed = [Verdict(name, id, Outcome.FAILED, recipe=recipe) for id, recipe in _INVENTED.items()]
    found, seconds = _timed(backend, BackendReport(name, tuple(failed)), frozenset(), limit)
    told = tuple(_told(cause) for cause in found.causes)
    return Diagnosed((name,), "", "", False, bool(told), told, found.calls, seconds)


def _report(fault: Fault) -> BackendReport:
    """The failures of a quick run of the plainest properties, of all that its kind fails, of all, or of a whole run."""
    backend, quick = backend_of(fault), Settings(0, quick=True)
    whole = replace(quick, quick=False, stop=True)
    plainest = (replace(quick, only=_OF_ONE_VJP),) if fault.kind == GRADIENTS else ()
    for settings in (*plainest, replace(quick, only=asked_first(fault.kind)), quick):
        report = conform(backend, settings)
        if report.bad:
            return report
    return conform(backend, whole)


def _timed(backend: Backend, report: BackendReport, without: frozenset[str], limit: float) -> tuple[Diagnosis, float]:
    started = time.process_time()
    found = diagnose(Here(backend), report, limit, without=without)
    return found, time.process_time() - started


def _by_conditions(backend: Backend, report: BackendReport, found: Diagnosis) -> str:
    """Whether the first conditions say where it fails; or whether there are none to tell."""
    alone = [v for v in report.bad if v.recipe is not None and not v.history]
    if not alone:
        return PROPERTY
    first = next((cause for cause in found.causes if cause.conditions is not None), None)
    if first is None:
        foreseen = forecast(backend, alone[0], None)
        stated = any(cause.broken for cause in found.causes[:1]) and not foreseen.both
        return PROPERTY if foreseen.alike or stated else ""
    verdict = next((v for v in alone if v.property in first.explains), alone[0])
    foreseen = forecast(backend, verdict, first.conditions)
    return CONDITIONS if foreseen.right else PROPERTY if foreseen.alike and foreseen.agreed else ""


def _told(cause: Cause) -> str:
    """A cause by its names."""
    names = " + ".join(f"{one.fault}{'@' if one.scope else ''}{','.join(one.scope)}" for one in cause.alterations)
    traits = () if cause.conditions is None else cause.conditions.traits
    where = " & ".join(f"{trait.dimension} {trait.relation} {trait.value}" for trait in traits)
    return " ".join(part for part in (f"{cause.degree}:", names, where and f"where {where}") if part)


def alike(alterations: tuple[Alteration, ...], fault: Fault) -> bool:
    """Whether alterations give what a fault gives, on cases that took no part in any diagnosis."""
    if alterations == (Alteration(fault.id),):
        return True
    predictions = Predictions(backend_of(fault))
    return all(predictions.explains(alterations, one.call, one.reply) for one in _cases(fault))


def _cases(fault: Fault) -> list[Fresh]:
    """Calls with what the fault returns: of its forward pass, or of its vjp if that is what is wrong."""
    backend, judge = backend_of(fault), Here(backend_of(fault))
    of_gradients = fault.kind == GRADIENTS

    def ask(call: Call) -> Reply:
        return answered(judge, call)

    def vjp(recipe: Recipe, case: Case, rng: random.Random) -> Call:
        return varied(recipe, case, rng, backend.capabilities.returns)

    vary, made = (vjp, vjp_probes) if of_gradients else (forward_call, forward_probes)
    dtypes = ["float64", "float32"] if of_gradients else valued_dtypes(backend)
    cases = fresh_cases(backend, ask, (), float("inf"), _SEED, vary, dtypes)
    calls = [(probe.name, call) for probe in made(backend, dtypes[0]) for call in probe.calls]
    return cases + [Fresh(name, call, ask(call)) for name, call in calls]


def to_json(test: DiagnosedTest) -> dict[str, Any]:
    """The record as plain data."""
    return {"format": 1, "passed": test.passed, **asdict(test)}
