"""The whole diagnosis of one backend: probes, confirmation on fresh cases, grouping, and conditions for what is left.

Nothing is asked of a backend without failures. Of the time that is allowed, half is for the search and the rest for
what follows; a step that no time is left for is named among the untried ones, or leaves its counts smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.conditions import conditions
from conformance.diagnosis.confirmation import Fresh, Score, fresh_cases, score, valued_dtypes
from conformance.diagnosis.grouping import explained
from conformance.diagnosis.location import locate
from conformance.diagnosis.precision import rounded
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Probe, probes
from conformance.diagnosis.pursuit import Hypothesis, Pursuit, Seen
from conformance.diagnosis.remedies import remedy
from conformance.diagnosis.right import right_parts
from conformance.diagnosis.traits import features, holds
from conformance.engine.judging import Answer, Answering, Inquiry
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Conditions, Degree, Diagnosis, Evidence, Place
from conformance.faults.families import known
from conformance.properties import catalogue
from conformance.report.model import BackendReport, Verdict

#: The share of the time after which each step ends.
_SEARCHED, _CONFIRMED, _GROUPED = 0.5, 0.65, 0.8

#: No conditions are looked for after this share of the time, those that are sought end, and so many causes are located.
_LAST, _PLACED, _LOCATED = 0.95, 0.97, 3

#: Hypotheses that are compared on fresh cases.
_COMPARED = 6


def diagnose(
    judge: Answering,
    report: BackendReport,
    seconds: float = 20.0,
    progress: Callable[[str], None] = lambda step: None,
    without: frozenset[str] = frozenset(),
) -> Diagnosis:
    """The causes of the failures in a report, found within ``seconds`` by asking the judge more.

    ``progress`` is told the name of each step as it begins. A backend without failures is asked nothing. ``without``
    are faults that no hypothesis may name.
    """
    if not report.bad:
        return Diagnosis(limit=seconds)
    return _Diagnosing(_Counting(judge), report, seconds, progress, without).run()


class _Counting:
    """The calls and inquiries that a judge is asked for, counted."""

    def __init__(self, judge: Answering) -> None:
        self.judge, self.backend, self.calls = judge, judge.backend, 0

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.calls += 1
        return self.judge.ask(recipe, inquiries, stop, brief)

    def call(self, case: Case, cotangents: Cotangents | None = None) -> Reply:
        self.calls += 1
        return self.judge.call(case, cotangents)

    def evidence(self) -> Evidence | None:
        return self.judge.evidence()


@dataclass(frozen=True)
class _Found:
    """What the search ended with: the hypothesis that fares best on fresh cases, and those that fare as well."""

    hypothesis: Hypothesis
    score: Score
    alternatives: tuple[Hypothesis, ...]


class _Diagnosing:
    def __init__(
        self,
        counting: _Counting,
        report: BackendReport,
        seconds: float,
        progress: Callable[[str], None],
        without: frozenset[str],
    ) -> None:
        self.without = without
        self.counting, self.report, self.seconds, self.progress = counting, report, seconds, progress
        self.backend = counting.backend
        self.started = time.monotonic()
        self.predictions = Predictions(self.backend)
        self.failed = [v for v in report.bad if v.recipe is not None]
        self.untried: list[str] = []

    def run(self) -> Diagnosis:
        found, pursuit = None, None
        dtypes = valued_dtypes(self.backend)
        if dtypes:
            pursuit = self._search(dtypes)
            found = self._confirmed(pursuit)
        causes = () if not dtypes or (found is not None and found.score.whole) else self._rounded()
        if found is not None and pursuit is not None and not causes:
            causes = self._causes(found, pursuit)
        causes += self._located({id for cause in causes for id in cause.explains})
        told = {id for cause in causes for id in cause.explains}
        remaining = tuple(v.property for v in self.report.bad if v.property not in told)
        return Diagnosis(
            causes,
            remaining,
            right_parts(self.report),
            tuple(dict.fromkeys(self.untried)),
            self.counting.calls,
            time.monotonic() - self.started,
            self.seconds,
        )

    def _until(self, share: float) -> float:
        return self.started + share * self.seconds

    # The search

    def _search(self, dtypes: list[str]) -> Pursuit:
        self.progress("probing")
        deadline = self._until(_SEARCHED)
        pursuit = Pursuit(self.predictions, self.backend.capabilities, deadline, self.without)
        several = [probe for dtype in dtypes[:1] for probe in probes(self.backend, dtype)]
        for probe in (*several, *self._failures(self.failed)):
            if time.monotonic() > deadline:
                self.untried.append(probe.name)
            else:
                pursuit.meet(Seen(probe, tuple(self.counting.call(case) for case in probe.cases)))
        return pursuit

    def _failures(self, failed: list[Verdict]) -> list[Probe]:
        """The smallest failing cases themselves, the plainest first, each once."""
        recipes = sorted({replace(parse(v.recipe), turn=0) for v in failed if v.recipe}, key=_size)
        cases = []
        for recipe in recipes:
            with suppress(UsageError):
                cases.append(realise(recipe, self.backend.capabilities.fixed))
        return [Probe("the failing cases", (case,)) for case in cases[:24]]

    # Confirmation

    def _confirmed(self, pursuit: Pursuit) -> _Found | None:
        """The hypothesis that explains the most fresh cases, if it explains any that show something."""
        hypotheses = [hypothesis for hypothesis in pursuit.kept if hypothesis][:_COMPARED]
        if not hypotheses:
            return None
        self.progress("confirming")
        scores = {h: score(self.predictions, h, self._fresh) for h in hypotheses}
        best = max(hypotheses, key=lambda h: scores[h].explained)
        if not scores[best].most:
            return None
        as_well = (h for h in hypotheses if h != best and scores[h].explained == scores[best].explained)
        return _Found(best, scores[best], tuple(as_well))

    @cached_property
    def _fresh(self) -> list[Fresh]:
        recipes = [replace(parse(v.recipe), edits=()) for v in self.failed if v.recipe]
        return fresh_cases(self.backend, self.counting.call, recipes, self._until(_CONFIRMED))

    def _rounded(self) -> tuple[Cause, ...]:
        """A coarser arithmetic, where no alteration explains all."""
        pairs = [(one.case, one.reply) for one in self._fresh]
        found = rounded(self.predictions, self.counting.call, pairs, self._late, self.without)
        if found is None:
            return ()
        alteration = Alteration(found.fault)
        ids = explained((alteration,), self.backend, self.failed, self._until(_GROUPED))
        return (
            Cause(
                degree=Degree.CONFIRMED,
                alterations=(alteration,),
                explained=found.explained,
                tried=found.tried,
                explains=ids,
                seen_in=known()[found.fault].stands_for,
                fix=remedy(alteration),
            ),
        )

    def _late(self) -> bool:
        return time.monotonic() > self._until(1.0)

    # Grouping

    def _causes(self, found: _Found, pursuit: Pursuit) -> tuple[Cause, ...]:
        """A cause for each alteration, and the failed properties that it explains."""
        self.progress("grouping")
        left, causes = list(self.failed), list[Cause]()
        for alteration in found.hypothesis:
            ids = explained((alteration,), self.backend, left, self._until(_GROUPED))
            left = [v for v in left if v.property not in ids]
            causes.append(self._cause(alteration, found, pursuit, ids))
        if left and len(causes) > 1:
            together = explained(found.hypothesis, self.backend, left, self._until(_GROUPED))
            causes[0] = replace(causes[0], explains=(*causes[0].explains, *together))
        return tuple(causes)

    # What no alteration explains

    def _located(self, told: set[str]) -> tuple[Cause, ...]:
        """The conditions of the failures that are left, and which of them fail under the same."""
        left, causes = [v for v in self.failed if v.property not in told], list[Cause]()
        while left and len(causes) < _LOCATED:
            first, now = left[0], time.monotonic()
            if now > self._until(_LAST):
                break
            self.progress("looking for conditions")
            until = now + (self._until(_PLACED) - now) / min(len(left), _LOCATED - len(causes))
            recipe = parse(first.recipe or "")
            found = conditions(self.counting, catalogue()[first.property], recipe, until) if not first.history else None
            if found is None or not found.traits:
                left = left[1:]
                continue
            ids = tuple(v.property for v in left if v is first or _has(found, v))
            left = [v for v in left if v.property not in ids]
            place = self._place([v for v in self.failed if v.property in ids], found)
            causes.append(Cause(Degree.LOCATED, conditions=found, place=place, explains=ids))
        left = [v for v in self.failed if v.property not in told]
        if left and not told and not causes and (place := self._place(left, None)) is not None:
            causes.append(Cause(Degree.LOCATED, place=place))
        return tuple(causes)

    def _place(self, failed: list[Verdict], found: Conditions | None) -> Place | None:
        """The place of failures, of their smallest cases and of fresh ones: the smallest have few steps and rows."""
        if not valued_dtypes(self.backend):
            return None
        cases = (probe.cases[0] for probe in self._failures(failed))
        failing = ((case, self.counting.call(case)) for case in cases)
        fresh = ((one.case, one.reply) for one in self._fresh if found is None or _all_hold(found, one.recipe))
        return locate(self.predictions, self.counting.call, chain(failing, fresh), (), self._late)

    def _cause(self, alteration: Alteration, found: _Found, pursuit: Pursuit, ids: tuple[str, ...]) -> Cause:
        fault, fares = known()[alteration.fault], found.score
        degree = Degree.CONFIRMED if fares.whole and not pursuit.unexplained else Degree.LIKELY
        others = tuple(
            tuple(one for one in h if one not in found.hypothesis) for h in found.alternatives if alteration not in h
        )
        return Cause(
            degree=degree,
            alterations=(alteration,),
            alternatives=tuple(dict.fromkeys(others)),
            probe=pursuit.found_at.get(found.hypothesis, ""),
            explained=fares.explained,
            tried=fares.tried,
            unexplained=fares.unexplained,
            explains=ids,
            seen_in=fault.stands_for,
            fix=remedy(alteration),
        )


def _has(found: Conditions, verdict: Verdict) -> bool:
    """Whether the smallest case of a failure has all traits, as far as its recipe tells."""
    return verdict.recipe is not None and not verdict.history and _all_hold(found, parse(verdict.recipe))


def _all_hold(found: Conditions, recipe: Recipe) -> bool:
    known = features(recipe)
    return all(trait.dimension in known and holds(trait, known) for trait in found.traits)


def _size(recipe: Recipe) -> tuple[int, str]:
    return recipe.H * recipe.L * recipe.N * recipe.layers * (1 + recipe.bidirectional), str(recipe)
