"""Calls that somebody recorded, each judged by itself: can rounding explain it, how far is it off, from where on, why?

Each call is judged by the bound of the suite: the last layer's steps are computed from the recorded ones before them,
the layers below with nothing observed. A cause is looked for among the alterations that the diagnosis knows. It is
confirmed by calls that took no part in the search; one call alone never confirms one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import numpy as np

from conformance.backend import Backend, Capabilities
from conformance.bounds.forward import Expectation, Finding, compare, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case
from conformance.diagnosis.confirmation import Fresh, Score, score
from conformance.diagnosis.library import forward_library
from conformance.diagnosis.location import locate
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, Probe
from conformance.diagnosis.pursuit import Hypothesis, Pursuit, Seen
from conformance.diagnosis.remedies import remedy
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.facts import Cause, Degree, Diagnosis, Difference, NoCase, Outcome, Step, Unanswered
from conformance.faults.families import known
from conformance.recorded.calls import PARTS
from conformance.recorded.given import Given
from conformance.recorded.playback import RULED_OUT
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Array, LSTMConfig, Params, Result, Slot
from conformance.trials.evidence import evidence
from conformance.trials.mismatch import mismatch, telling
from conformance.trials.outcomes import NotAnswered, Violation

#: So many calls are searched for a cause; the others confirm it.
_SEARCHED = 6

#: So many other explanations are told.
_OTHERS = 3


@dataclass(frozen=True, eq=False)
class Compared:
    """A recorded call, its comparisons with the oracle, and what they say."""

    given: Given
    findings: tuple[Finding, ...]
    #: Of each finding, the errors as shares of their bounds.
    shares: tuple[Array, ...]
    difference: Difference


def compared(given: Given) -> Compared:
    """One recorded call against the oracle.

    Raises ``UsageError`` where only the other layout of x, which nothing rules out, makes it right.
    """
    found = _compared(given)
    if given.turned is not None and not found.difference.explained and _compared(given.turned).difference.explained:
        raise UsageError(
            f"{given.path}: its results are right if x is (N, L, I), and wrong if x is (L, N, I)",
            'say which it is in a text config: {"batch_first": true} or {"batch_first": false}',
        )
    return found


def _compared(given: Given) -> Compared:
    case = given.case
    declared = arithmetic(case.config.dtype, {})
    assert declared is not None, "every dtype of a config has an arithmetic"
    with np.errstate(all="ignore"):
        expectation = Expectation(case, declared)
        findings = tuple(judge(expectation, lambda layers: given.result))
        unforced = [_unforced(one, expectation, given.result) for one in findings]
        hidden = [_hidden(one, case) for one in unforced]
        shares = tuple(np.where(nan, np.inf, telling(one)) for one, nan in zip(findings, hidden, strict=True))
        worst = max(range(len(findings)), key=lambda at: float(shares[at].max(initial=0.0)))
        margin = float(shares[worst].max(initial=0.0))
        off = [_off(*pair) | nan for pair, nan in zip(zip(findings, unforced, strict=True), hidden, strict=True)]
        if not any(mask.any() for mask in off):
            off = [share > 1.0 for share in shares]
    wrong = dict[str, tuple[int, int]]()
    for one, mask in zip(findings, off, strict=True):
        count, size = wrong.get(one.tensor, (0, 0))
        wrong[one.tensor] = count + int(mask.sum()), size + mask.size
    silent = margin == 0.0 and all(one.silent() for one in findings)
    first = _first(case, [pair for pair in zip(findings, off, strict=True) if pair[0].tensor == "output"])
    told = Difference(case.describe(), margin, mismatch(findings[worst], case, shares[worst]), wrong, first, silent)
    return Compared(given, findings, shares, told)


def _unforced(found: Finding, expectation: Expectation, result: Result) -> Finding:
    """The same comparison with nothing observed."""
    half = expectation.free_running(found.layer)[found.direction]
    slot, config = Slot(found.layer, found.direction), expectation.case.config
    parts = compare(config, found.layers, slot, half, result.in_float64())
    return next(one for one in parts if one.tensor == found.tensor)


def _hidden(unforced: Finding, case: Case) -> Array:
    """Where a number stands although a NaN that was given leads there. An infinity may become one, or may not."""
    given = [case.x, *(case.state or ()), *case.params.values()]
    if any(np.isinf(part).any() for part in given):
        return np.zeros(unforced.actual.shape, bool)
    return np.isnan(unforced.expected) & ~np.isnan(unforced.actual)


def _off(found: Finding, unforced: Finding) -> Array:
    """Where a tensor is wrong. What is right with nothing observed is wrong only as it follows from what is."""
    forced = telling(found) > 1.0
    # After an output that is no number, nothing follows from what was observed.
    return (telling(unforced) > 1.0) & (forced | ~np.isfinite(found.expected) | ~np.isfinite(found.bound))


def _first(case: Case, outputs: Sequence[tuple[Finding, Array]]) -> Step | None:
    """The first wrong step of the last layer's output; of the direction that goes wrong first."""
    found, lengths = [], case.row_lengths()
    for one, off in outputs:
        steps, rows = np.nonzero(off.any(axis=-1))
        if len(steps):
            read = np.where(steps < lengths[rows], lengths[rows] - 1 - steps, steps) if one.direction else steps
            at = int(read.argmin())
            found.append(Step(one.direction, int(read[at]), int(rows[at])))
    return min(found, key=lambda step: (step.step, step.direction), default=None)


# The cause


def causes(several: Sequence[Compared], seconds: float) -> Diagnosis:
    """What alterations explain calls, found within ``seconds``; where none do, the place in which they are wrong."""
    started = time.monotonic()
    if not seconds or all(one.difference.explained for one in several):
        return Diagnosis(limit=seconds)
    backend = _backend(several)
    predictions = Predictions(backend)
    calls = [_called(one.given) for one in sorted(several, key=_size)]
    # Each wrong call shows something; of the right ones, those that a cause must leave alone.
    pursuit = Pursuit(predictions, forward_library(backend.capabilities), started + 0.7 * seconds)
    wrong = [one for one in calls if not predictions.explains((), one.call, one.reply)]
    searched = wrong[: max(1, min(_SEARCHED, len(wrong) // 2))]
    for one in searched:
        pursuit.meet(Seen(Probe(one.words, (one.call,)), (one.reply,)))
    held = [one for one in calls if one not in searched]
    found = _told(pursuit, predictions, held)
    if not found:
        pairs = [(one.call.case, one.reply) for one in wrong]
        missing = Reply(fact=Unanswered(recorded=False))
        place = locate(predictions, lambda case: missing, pairs, (), lambda: time.monotonic() > started + seconds)
        found = () if place is None else (Cause(Degree.LOCATED, place=place),)
    return Diagnosis(found, calls=len(calls), seconds=time.monotonic() - started, limit=seconds)


def _told(pursuit: Pursuit, predictions: Predictions, held: Sequence[Fresh]) -> tuple[Cause, ...]:
    """The simplest hypothesis that explains what was searched, and those that explain as much."""
    kept = [hypothesis for hypothesis in pursuit.kept if hypothesis]
    if not kept:
        return ()
    scores = {hypothesis: score(predictions, hypothesis, held) for hypothesis in kept}
    best = max(kept, key=lambda hypothesis: scores[hypothesis].explained)
    if held and scores[best].telling and not 2 * scores[best].explained_telling > scores[best].telling:
        return ()
    others = tuple(h for h in kept if h != best and scores[h].explained == scores[best].explained)[:_OTHERS]
    sure = scores[best].whole and not pursuit.unexplained
    return tuple(_cause(best, fault, others, scores[best], sure) for fault in dict.fromkeys(one.fault for one in best))


def _cause(best: Hypothesis, fault: str, others: tuple[Hypothesis, ...], fares: Score, sure: bool) -> Cause:
    own = tuple(one for one in best if one.fault == fault)
    return Cause(
        degree=Degree.CONFIRMED if sure else Degree.LIKELY,
        alterations=own,
        alternatives=others,
        together=len({one.fault for one in best}),
        explained=fares.explained,
        tried=fares.tried,
        unexplained=fares.unexplained,
        explains=tuple(f"values.{part}" for part in PARTS),
        seen_in=known()[fault].stands_for,
        fix="\n".join(dict.fromkeys(filter(None, map(remedy, own)))),
    )


def _called(given: Given) -> Fresh:
    # A prediction is computed for the model as a whole.
    return Fresh(given.path.name, Call(replace(given.case, fixed=False)), Reply(given.result))


def _size(one: Compared) -> int:
    case = one.given.case
    return case.x.size * case.config.hidden_size * case.config.num_layers


def _backend(several: Sequence[Compared]) -> Backend:
    """A backend that declares what the calls use, and cannot be called."""
    cases = [one.given.case for one in several]
    configs = [case.config for case in cases]
    capabilities = Capabilities(
        layers=any(config.num_layers > 1 for config in configs),
        bidirectional=any(config.bidirectional for config in configs),
        no_bias=any(not config.bias for config in configs),
        batch_first=any(config.batch_first for config in configs),
        unbatched=any(case.unbatched for case in cases),
        projection=any(config.proj_size for config in configs),
        lengths=any(case.lengths is not None for case in cases),
        initial_state=any(case.state is not None for case in cases),
        dtypes=tuple(dict.fromkeys(config.dtype for config in configs)),
    )
    return Backend("recorded", capabilities, _uncalled, ruled_out=RULED_OUT)


def _uncalled(config: LSTMConfig, params: Params) -> NoReturn:
    raise NotAnswered(Unanswered(recorded=False))


# As a report


def report(several: Sequence[Compared], name: str, found: Diagnosis) -> BackendReport:
    """The verdicts on the values of recorded calls."""
    parts = [part for part in PARTS if any(part in one.given.returns for one in several)]
    verdicts = tuple(_verdict(part, [one for one in several if part in one.given.returns], name) for part in parts)
    failed = {verdict.property for verdict in verdicts if verdict.outcome.bad}
    told = tuple(replace(cause, explains=tuple(id for id in cause.explains if id in failed)) for cause in found.causes)
    explained = {id for cause in told for id in cause.explains}
    found = replace(found, causes=told, remaining=tuple(sorted(failed - explained)))
    dtypes = tuple(dict.fromkeys(one.given.case.config.dtype for one in several))
    return BackendReport(
        name, verdicts, cases=len(several), dtypes=dtypes, diagnosis=found if failed else None, unmet=("live",)
    )


def _verdict(part: str, several: Sequence[Compared], name: str) -> Verdict:
    known = [one for one in several if not one.difference.silent]
    if not known:
        return Verdict(name, f"values.{part}", Outcome.NOT_RUN, NoCase())
    shares = [
        (float(share.max(initial=0.0)), one, finding, share)
        for one in known
        for finding, share in zip(one.findings, one.shares, strict=True)
        if finding.tensor == part
    ]
    margin, one, worst, share = max(shares, key=lambda each: each[0])
    wrong = {id(each) for most, each, *_ in shares if most > 1.0}
    cases = len(known) - len(wrong)
    if not wrong and len(known) < len(several):
        # Of no cases: what is narrowed in some of them only would not count.
        return Verdict(name, f"values.{part}", Outcome.NARROWED, NoCase(), margin=margin)
    if not wrong:
        return Verdict(name, f"values.{part}", Outcome.PASSED, margin=margin, cases=cases)
    case = one.given.case
    fact = mismatch(worst, case, share)
    shown = evidence(Violation(fact, margin, case, one.findings), case)
    told = f"{one.given.path.name}: {case.describe()}"
    return Verdict(
        name, f"values.{part}", Outcome.FAILED, fact, margin=margin, cases=cases, smallest=told, evidence=shown
    )
