"""The whole diagnosis of one backend: probes, confirmation on fresh cases, grouping, and conditions for what is left.

Nothing is asked of a backend without failures. Of the time that is allowed, half is for the search and the rest for
what follows; a step that no time is left for is named among the untried ones, or leaves its counts smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.conditions import conditions
from conformance.diagnosis.confirmation import Score, Vary, again, forward_call, fresh_cases, score, valued_dtypes
from conformance.diagnosis.following import following
from conformance.diagnosis.gradient_library import gradient_library
from conformance.diagnosis.gradient_probes import gradient_probes, varied
from conformance.diagnosis.grouping import explained, of_gradients
from conformance.diagnosis.library import Library, forward_library
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, Probe, probes
from conformance.diagnosis.pursuit import Hypothesis, Pursuit, Seen
from conformance.diagnosis.right import right_parts
from conformance.diagnosis.traits import features, holds
from conformance.engine.judging import Answer, Answering, Inquiry
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Conditions, Degree, Diagnosis, Evidence
from conformance.faults.families import known
from conformance.properties import catalogue
from conformance.report.model import BackendReport, Verdict

#: The share of its time after which each step of a diagnosis ends.
_SEARCHED, _CONFIRMED, _GROUPED = 0.5, 0.65, 0.8

#: No conditions are looked for after this share of the time, and so many causes are located.
_LAST, _LOCATED = 0.95, 3

#: The share of the time that the forward pass has where gradients are asked about after it.
_FORWARD = 0.5

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
class _Question:
    """What the diagnosis of one pass asks, and the failed verdicts whose cause it looks for."""

    failed: list[Verdict]
    library: Library
    probes: Callable[[Backend, str], Iterable[Probe]]
    #: The dtypes of the probes, of which the first is taken, and of the fresh cases.
    dtypes: list[str]
    vary: Vary
    #: The seconds after which it begins and ends.
    begins: float
    ends: float


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
        causes: tuple[Cause, ...] = ()
        forward, gradients = self._forward(), self._gradients()
        if forward.dtypes and forward.failed:
            causes = self._causes_of(forward)
        if gradients.dtypes and gradients.failed:
            followed = self._following(causes, gradients)
            causes = followed or (*causes, *self._causes_of(gradients))
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

    def _forward(self) -> _Question:
        failed = [v for v in self.failed if not of_gradients(v)]
        both = len(failed) < len(self.failed)
        library = forward_library(self.backend.capabilities)
        ends = self.seconds * (_FORWARD if both else 1.0)
        return _Question(failed, library, probes, valued_dtypes(self.backend), forward_call, 0.0, ends)

    def _gradients(self) -> _Question:
        failed = [v for v in self.failed if of_gradients(v)]
        begins = self.seconds * _FORWARD if len(failed) < len(self.failed) else 0.0
        dtypes = [dtype for dtype in ("float64", "float32") if dtype in valued_dtypes(self.backend)]
        returns = self.backend.capabilities.returns

        def vary(recipe: Recipe, case: Case, rng: Random) -> Call:
            return varied(recipe, case, rng, returns)

        library = gradient_library(self.backend.capabilities)
        return _Question(failed, library, gradient_probes, dtypes, vary, begins, self.seconds)

    def _following(self, causes: tuple[Cause, ...], question: _Question) -> tuple[Cause, ...]:
        """The causes of the forward pass with the failed gradients that follow from it; none if none follow."""
        if not causes or causes[0].degree is Degree.LOCATED:
            return ()
        self.progress("gradients of the altered forward pass")
        altered = tuple(one for cause in causes for one in cause.alterations)
        until = self._until(question, _SEARCHED)
        ids = following(altered, self.predictions, self._ask, question.failed, until)
        return (replace(causes[0], explains=(*causes[0].explains, *ids)), *causes[1:]) if ids else ()

    def _causes_of(self, question: _Question) -> tuple[Cause, ...]:
        pursuit = self._search(question)
        found = self._confirmed(question, pursuit)
        return () if found is None else self._causes(question, found, pursuit)

    def _ask(self, call: Call) -> Reply:
        return self.counting.call(*call)

    def _until(self, question: _Question, share: float) -> float:
        return self.started + question.begins + share * (question.ends - question.begins)

    # The search

    def _search(self, question: _Question) -> Pursuit:
        self.progress("probing")
        deadline = self._until(question, _SEARCHED)
        pursuit = Pursuit(self.predictions, question.library, deadline, self.without)
        for probe in (*question.probes(self.backend, question.dtypes[0]), *self._failures(question)):
            if time.monotonic() > deadline:
                self.untried.append(probe.name)
            else:
                pursuit.meet(Seen(probe, tuple(self._ask(call) for call in probe.calls)))
        return pursuit

    def _failures(self, question: _Question) -> list[Probe]:
        """The smallest failing cases themselves, the plainest first, each once."""
        recipes = sorted({replace(parse(v.recipe), turn=0) for v in question.failed if v.recipe}, key=_size)
        found = []
        for recipe in recipes:
            with suppress(UsageError):
                case, loss = question.vary(recipe, realise(recipe, self.backend.capabilities.fixed), Random(0))
                found.append(Probe("the failing cases", (case,), () if loss is None else (loss,)))
        return found[:24]

    # Confirmation

    def _confirmed(self, question: _Question, pursuit: Pursuit) -> _Found | None:
        """The hypothesis that explains the most fresh cases, if it explains any that show something."""
        hypotheses = [hypothesis for hypothesis in pursuit.kept if hypothesis][:_COMPARED]
        if not hypotheses:
            return None
        self.progress("confirming")
        recipes = [replace(parse(v.recipe), edits=()) for v in question.failed if v.recipe]
        until = self._until(question, _CONFIRMED)
        cases = fresh_cases(self.backend, self._ask, recipes, until, vary=question.vary, dtypes=question.dtypes)
        cases += again(dict.fromkeys(pursuit.found_at[h] for h in hypotheses), self._ask, until)
        scores = {h: score(self.predictions, h, cases) for h in hypotheses}
        best = max(hypotheses, key=lambda h: scores[h].explained)
        if not scores[best].most:
            return None
        as_well = (h for h in hypotheses if h != best and scores[h].explained == scores[best].explained)
        return _Found(best, scores[best], tuple(as_well))

    # Grouping

    def _causes(self, question: _Question, found: _Found, pursuit: Pursuit) -> tuple[Cause, ...]:
        """A cause for each alteration, and the failed properties that it explains."""
        self.progress("grouping")
        left, causes, until = list(question.failed), list[Cause](), self._until(question, _GROUPED)
        for alteration in found.hypothesis:
            ids = explained((alteration,), self.backend, left, until)
            left = [v for v in left if v.property not in ids]
            causes.append(self._cause(alteration, found, pursuit, ids))
        if left and len(causes) > 1:
            together = explained(found.hypothesis, self.backend, left, until)
            causes[0] = replace(causes[0], explains=(*causes[0].explains, *together))
        return tuple(causes)

    # What no alteration explains

    def _located(self, told: set[str]) -> tuple[Cause, ...]:
        """The conditions of the failures that are left, and which of them fail under the same."""
        left, causes = [v for v in self.failed if v.property not in told], list[Cause]()
        while left and len(causes) < _LOCATED:
            first, now = left[0], time.monotonic()
            if now > self.started + _LAST * self.seconds:
                break
            self.progress("looking for conditions")
            until = now + (self.started + self.seconds - now) / min(len(left), _LOCATED - len(causes))
            recipe = parse(first.recipe or "")
            found = conditions(self.counting, catalogue()[first.property], recipe, until) if not first.history else None
            if found is None or not found.traits:
                left = left[1:]
                continue
            ids = tuple(v.property for v in left if v is first or _has(found, v))
            left = [v for v in left if v.property not in ids]
            causes.append(Cause(Degree.LOCATED, conditions=found, explains=ids))
        return tuple(causes)

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
            probe=pursuit.found_at[found.hypothesis].name,
            explained=fares.explained,
            tried=fares.tried,
            unexplained=fares.unexplained,
            explains=ids,
            seen_in=fault.stands_for,
        )


def _has(found: Conditions, verdict: Verdict) -> bool:
    """Whether the smallest case of a failure has all traits, as far as its recipe tells."""
    if verdict.recipe is None or verdict.history:
        return False
    known = features(parse(verdict.recipe))
    return all(trait.dimension in known and holds(trait, known) for trait in found.traits)


def _size(recipe: Recipe) -> tuple[int, str]:
    return recipe.H * recipe.L * recipe.N * recipe.layers * (1 + recipe.bidirectional), str(recipe)
