"""One search, for the forward pass or for gradients: probes, then fresh cases, then what the findings explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.asking import called as sized
from conformance.diagnosis.asking import evidence_of
from conformance.diagnosis.confirmation import (
    SMALL,
    Fresh,
    Score,
    Vary,
    again,
    forward_call,
    fresh_cases,
    score,
    valued_dtypes,
)
from conformance.diagnosis.gradient_library import gradient_library
from conformance.diagnosis.gradient_probes import varied
from conformance.diagnosis.grouping import explained, of_gradients
from conformance.diagnosis.library import Library, forward_library
from conformance.diagnosis.occasions import OCCASIONS
from conformance.diagnosis.precision import rounded
from conformance.diagnosis.probes import Call, Probe
from conformance.diagnosis.pursuit import Hypothesis, Pursuit, Seen
from conformance.diagnosis.rare_gradient_probes import vjp_probes
from conformance.diagnosis.rare_probes import forward_probes, model_probes
from conformance.diagnosis.remedies import remedy
from conformance.diagnosis.session import Session
from conformance.diagnosis.shared import FRESH
from conformance.errors import UsageError
from conformance.facts import Alteration, Cause, Degree
from conformance.faults.families import known
from conformance.properties import catalogue
from conformance.report.model import Verdict

#: The share of its time after which each step of a search ends.
_SEARCHED, _CONFIRMED, _GROUPED = 0.5, 0.65, 0.8

#: The share of the time that the forward pass has where gradients are asked about after it.
_FORWARD = 0.5

#: Hypotheses that are compared on fresh cases, and failing cases that are probes.
_COMPARED, _FAILING = 6, 24

#: Failures whose own calls are looked at, and the seeds that each is tried with.
_CALLED, _SEEDS = 6, 3


@dataclass(frozen=True)
class Question:
    """What a search asks, and the failures whose cause it looks for."""

    failed: list[Verdict]
    library: Library
    probes: Callable[[Backend, str], Iterable[Probe]]
    #: What is asked before, and alone if it shows what is wrong.
    first: Callable[[Backend, str], Iterable[Probe]]
    #: The dtypes of the probes, of which the first is taken, and of the fresh cases.
    dtypes: list[str]
    vary: Vary
    #: The shares of the diagnosis' time at which it begins and ends.
    begins: float
    ends: float


def of_forward(session: Session) -> Question:
    """The question of the forward pass."""
    backend = session.judge.backend
    failed = [verdict for verdict in session.failed if not of_gradients(verdict)]
    ends = _FORWARD if len(failed) < len(session.failed) else 1.0
    library = forward_library(backend.capabilities)
    shared = any(verdict.property == FRESH for verdict in failed)
    first = model_probes if shared else _nothing
    return Question(failed, library, forward_probes, first, valued_dtypes(backend), forward_call, 0.0, ends)


def _nothing(backend: Backend, dtype: str) -> Iterable[Probe]:
    return ()


def of_vjp(session: Session, told: Collection[str] = ()) -> Question:
    """The question of gradients whose failures are not ``told`` of, in a dtype that leaves their errors small."""
    backend = session.judge.backend
    failed = [verdict for verdict in session.failed if of_gradients(verdict) and verdict.property not in told]
    begins = _FORWARD if len(failed) < len(session.failed) else 0.0
    dtypes = [dtype for dtype in ("float64", "float32") if dtype in valued_dtypes(backend)]

    def vary(recipe: Recipe, case: Case, rng: Random) -> Call:
        return varied(recipe, case, rng, backend.capabilities.returns)

    library = gradient_library(backend.capabilities)
    return Question(failed, library, vjp_probes, _nothing, dtypes, vary, begins, 1.0)


@dataclass(frozen=True)
class _Found:
    """What the search ended with: the hypothesis that fares best on fresh cases, and those that fare as well."""

    hypothesis: Hypothesis
    score: Score
    alternatives: tuple[Hypothesis, ...]


class Search:
    """One search and its findings."""

    def __init__(self, session: Session, question: Question) -> None:
        self.session, self.question = session, question
        self.backend, self.predictions = session.judge.backend, session.predictions
        #: The recipes of failing calls.
        self.recipes = [replace(parse(v.recipe), edits=()) for v in question.failed if v.recipe]
        #: Whether other models' weights have spoiled all calls but those of sizes of their own.
        self.spoiled = False

    def causes(self) -> tuple[Cause, ...]:
        """The causes that a formula tells; none if there is none."""
        if not self.question.dtypes or not self.question.failed:
            return ()
        pursuit = self._pursued()
        found = self._confirmed(pursuit)
        if found is not None and found.score.whole:
            return self._causes(found, pursuit)
        coarser = self._rounded()
        return coarser or (() if found is None else self._causes(found, pursuit))

    def until(self, share: float) -> float:
        """When a share of this search's time has passed."""
        question = self.question
        return self.session.after(question.begins + share * (question.ends - question.begins))

    def _pursued(self) -> Pursuit:
        self.session.progress("probing")
        deadline = self.until(_SEARCHED)
        first, pursuit = (
            Pursuit(self.predictions, self.question.library, deadline, self.session.without) for _ in range(2)
        )
        self._meet(first, self.question.first(self.backend, self.question.dtypes[0]))
        if any(first.kept):
            # What all models share has spoiled every other call.
            self.spoiled = True
            return first
        several = self.question.probes(self.backend, self.question.dtypes[0])
        self._meet(pursuit, (*several, *failing(self.session, self.question.failed, self.question.vary)))
        if len(pursuit.right) == len(pursuit.met) and not pursuit.unexplained:
            # Nothing was wrong so far: properties made calls of other sizes.
            self.recipes = self._called(deadline) or self.recipes
            self._meet(pursuit, called(self.session, self.recipes, self.question.vary))
        return pursuit

    def _meet(self, pursuit: Pursuit, several: Iterable[Probe]) -> None:
        for probe in several:
            if probe.costly and any(pursuit.kept) and not pursuit.unexplained:
                continue
            if time.monotonic() > pursuit.deadline:
                self.session.untried.append(probe.name)
            else:
                seen = Seen(probe, tuple(self.session.reply(call) for call in probe.calls))
                if not any(reply.unanswered for reply in seen.replies):
                    pursuit.meet(seen)

    def _called(self, deadline: float) -> list[Recipe]:
        """Recipes of the sizes that the failing calls of properties had, as far as those are small."""
        found: list[Recipe] = []
        for verdict in self.question.failed[:_CALLED]:
            if time.monotonic() > deadline or verdict.history or verdict.recipe is None:
                continue
            recipe = parse(verdict.recipe)
            evidence = evidence_of(self.session.judge, catalogue()[verdict.property], recipe)
            if evidence is not None:
                found += (replace(sized(recipe, evidence), seed=recipe.seed + k) for k in range(_SEEDS))
        return [one for one in dict.fromkeys(found) if one.H * one.L * one.N * one.layers < SMALL]

    def _confirmed(self, pursuit: Pursuit) -> _Found | None:
        """The hypothesis that explains the most fresh cases, if it explains most of those that show something."""
        hypotheses = [hypothesis for hypothesis in pursuit.kept if hypothesis][:_COMPARED]
        if not hypotheses:
            return None
        self.session.progress("confirming")
        remade = dict.fromkeys(pursuit.found_at[h] for h in hypotheses)
        cases = [*self.fresh, *again(remade, self.session.reply, self.until(_CONFIRMED))]
        scores = {h: score(self.predictions, h, cases) for h in hypotheses}
        best = max(hypotheses, key=lambda h: scores[h].explained)
        # Some occasion suits many a wrong alteration: on occasions, only what explains all is told.
        occasional = any(name in OCCASIONS for one in best for name in one.scope)
        if not (scores[best].whole if occasional else scores[best].most):
            return None
        as_well = [h for h in hypotheses if h != best and scores[h].explained == scores[best].explained]
        seen = [Seen(Probe(one.words, (one.call,)), (one.reply,)) for one in cases if one.call.cotangents is None]
        told = pursuit.without_coincidences(best, seen)
        if told != best:
            return _Found(told, score(self.predictions, told, cases), ())
        return _Found(best, scores[best], tuple(as_well))

    @cached_property
    def fresh(self) -> list[Fresh]:
        """Cases that took no part in the search, with the backend's replies."""
        if self.spoiled:
            return []
        ask, until, question = self.session.reply, self.until(_CONFIRMED), self.question
        return fresh_cases(self.backend, ask, self.recipes, until, vary=question.vary, dtypes=question.dtypes)

    def _rounded(self) -> tuple[Cause, ...]:
        """A coarser arithmetic, where no alteration explains all; of the forward pass alone."""
        if any(one.call.cotangents is not None for one in self.fresh):
            return ()
        pairs = [(one.call.case, one.reply) for one in self.fresh]
        late, without = self.session.late, self.session.without
        found = rounded(self.predictions, self.session.judge.call, pairs, late, without)
        if found is None:
            return ()
        alteration = Alteration(found.fault)
        ids = explained((alteration,), self.backend, self.question.failed, self.until(_GROUPED))
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

    def _causes(self, found: _Found, pursuit: Pursuit) -> tuple[Cause, ...]:
        """A cause for each alteration, in all its scopes, and the failed properties that it explains."""
        self.session.progress("grouping")
        left, causes, until = list(self.question.failed), list[Cause](), self.until(_GROUPED)
        for alterations in _by_fault(found.hypothesis):
            ids = explained(alterations, self.backend, left, until)
            left = [v for v in left if v.property not in ids]
            causes.append(_cause(alterations, found, pursuit, ids))
        if left and len(causes) > 1:
            together = explained(found.hypothesis, self.backend, left, until)
            causes[0] = replace(causes[0], explains=(*causes[0].explains, *together))
        return tuple(causes)


def _by_fault(hypothesis: Hypothesis) -> list[Hypothesis]:
    """The alterations of each fault: one mistake that is met in two scopes is one cause."""
    faults = dict.fromkeys(one.fault for one in hypothesis)
    return [tuple(one for one in hypothesis if one.fault == fault) for fault in faults]


def _cause(alterations: Hypothesis, found: _Found, pursuit: Pursuit, ids: tuple[str, ...]) -> Cause:
    fares = found.score
    others = tuple(
        tuple(one for one in h if one not in found.hypothesis) for h in found.alternatives if not {*alterations} <= {*h}
    )
    fixes = dict.fromkeys(filter(None, map(remedy, alterations)))
    return Cause(
        degree=Degree.CONFIRMED if fares.whole and not pursuit.unexplained else Degree.LIKELY,
        alterations=alterations,
        alternatives=tuple(dict.fromkeys(others)),
        together=len(_by_fault(found.hypothesis)),
        probe=pursuit.found_at[found.hypothesis].name,
        explained=fares.explained,
        tried=fares.tried,
        unexplained=fares.unexplained or next(map(_told, pursuit.unexplained), None),
        explains=ids,
        seen_in=known()[alterations[0].fault].stands_for,
        fix="\n".join(fixes),
    )


def _told(seen: Seen) -> str:
    """A probe that is not explained, by its first call."""
    return f"{seen.probe.calls[0].case.describe()}, {seen.probe.name}"


def failing(session: Session, failed: Iterable[Verdict], vary: Vary = forward_call) -> list[Probe]:
    """The smallest failing cases themselves, the plainest first, each once."""
    return called(session, {replace(parse(v.recipe), turn=0) for v in failed if v.recipe}, vary)


def called(session: Session, recipes: Iterable[Recipe], vary: Vary) -> list[Probe]:
    """A probe for each recipe, the smallest first."""
    found = []
    for recipe in sorted(recipes, key=_size):
        with suppress(UsageError):
            call = vary(recipe, realise(recipe, session.judge.backend.capabilities.fixed), Random(0))
            found.append(Probe("the failing cases", (call,)))
    return found[:_FAILING]


def _size(recipe: Recipe) -> tuple[int, str]:
    return recipe.H * recipe.L * recipe.N * recipe.layers * (1 + recipe.bidirectional), str(recipe)
