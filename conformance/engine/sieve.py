"""The sieve: one backend, all properties, each case drawn once and run once.

Every case is offered to all pending properties, which share its memoised runs. The first property that fails on it is
shrunk alone: Hypothesis shrinks the recipe, the simplifier the arrays, and the verdict is settled; the minimal case is
offered to the others, so that one defect is shrunk once; the property leaves the sieve and the rest goes on. So one
slow or failing property never hides another.

The fixed set (every three-way combination of declared choices) comes first, then ``cases`` random ones. A case whose
shared call ends the process is a failure of the first property that asked, and lost to the others: they are judged on
all other cases.

Invariant: every chosen property is either not declared, or pending, or has its verdict; a verdict is never changed.
Termination: the fixed set is finite, and every round of random cases either uses up its cases, or takes a property out
of the pending ones and at least one case from the cases left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from hypothesis.database import ExampleDatabase

from conformance.backend import Backend, unavailable
from conformance.cases import covering, strategies
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Judge, Question
from conformance.engine.plan import Plan, Settings, plan
from conformance.engine.search import Shrink, search
from conformance.engine.simplify import Spent, simplify
from conformance.engine.tally import Tally
from conformance.errors import Closed, Gone
from conformance.facts import Interruption, Outcome, Recurrence, Said
from conformance.properties.model import Property
from conformance.report.model import BackendReport, Verdict

#: After this many suitable cases, a property is offered only one in ``Property.every``.
_FIRST = 12

#: How many runs simplifying one failure may take, and how many seconds shrinking one, and all of a backend's.
_PATIENCE_EDITS = 250
_PATIENCE_SECONDS = 20.0
_PATIENCE_TOTAL = 90.0

#: How many seconds may be lost to cases that end the process, once it is known that some do.
_PATIENCE_LOSSES = 120.0

#: Examples drawn to meet a failure of the fixed set again, from recipes no more complex than its own.
_SIMPLER = 60

#: As many earlier cases are run again, to find those that a failure depends on.
_HISTORY = 64

Progress = Callable[[int, int], None]


def conform(
    backend: Backend | Judge,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    database: ExampleDatabase | None = None,
) -> BackendReport:
    """Judge one backend, in this process unless a judge that holds it elsewhere is given.

    Interrupting it (``KeyboardInterrupt``, or closing the judge) keeps every verdict and says what is missing.
    """
    judge = _held(backend)
    planned = plan(judge.backend, settings)
    if reason := unavailable(judge.backend):
        name = judge.backend.name
        return BackendReport(
            name, tuple(Verdict(name, p.id, Outcome.UNAVAILABLE, Said(reason)) for p in planned.properties)
        )
    return _Sieve(judge, planned, progress, database).run()


def _held(backend: Backend | Judge) -> Judge:
    return Here(backend) if isinstance(backend, Backend) else backend


class _Sieve:
    def __init__(self, judge: Judge, planned: Plan, progress: Progress, database: ExampleDatabase | None) -> None:
        self.judge = judge
        self.plan = planned
        self.settings = planned.settings
        self.progress = progress
        self.database = database
        self.tally = Tally(planned)
        self.pending = list(planned.asked)
        #: Every recipe offered, in order: what a failure that depends on history came after.
        self.offered: list[Recipe] = []
        #: Those whose values were judged.
        self.judged: set[Recipe] = set()
        self.interrupted: Interruption | None = None
        self.started = time.monotonic()
        #: Seconds left for shrinking, and for cases that end the process once more.
        self.patience = _PATIENCE_TOTAL
        self.losses = _PATIENCE_LOSSES

    def run(self) -> BackendReport:
        try:
            fixed = self.plan.fixed_set()
            total = len(fixed) + self.settings.cases
            if self._smoke():
                for done, recipe in enumerate(fixed, 1):
                    self._fixed(recipe)
                    self.progress(done, total)
                self._random(lambda count: self.progress(len(fixed) + count, total))
                self.progress(total, total)
        except (KeyboardInterrupt, Closed):
            self.interrupted = Interruption("interrupted", len(self.offered))
        except (_Enough, Gone) as reason:
            self.interrupted = Interruption("given up", len(self.offered), str(reason))
        return self._report()

    def _report(self) -> BackendReport:
        wanted = self.plan.combinations()
        return BackendReport(
            backend=self.plan.backend.name,
            verdicts=tuple(self.tally.verdict(p, self.interrupted) for p in self.plan.properties),
            note=self.plan.backend.remark(),
            covered=len(wanted & covering.covered(self.judged)),
            combinations=len(wanted),
            cases=len(self.offered),
            steep=sum(recipe.gain >= 3 for recipe in self.offered),
            long=sum(recipe.L >= 100 for recipe in self.offered),
            seconds=time.monotonic() - self.started,
            interrupted=self.interrupted,
            unmet=self.plan.unmet,
        )

    # The three phases

    def _smoke(self) -> bool:
        """Whether the adapter works on the simplest cases; if not, nothing else is run."""
        first, *others = covering.simplest(self.plan.backend)
        for smoke in [p for p in self.pending if p.group == "smoke"]:
            self.pending.remove(smoke)
            for recipe in (first, *others):
                [(_, answer)] = self.judge.ask(recipe, [Question(smoke)])
                self.tally.add(smoke, recipe, answer)
                if answer.shared and recipe != first:
                    # Some cases end the process, and others do not: on these there is more to say.
                    self._meet(smoke, recipe, answer)
                    break
                if answer.wrong:
                    self._conclude(smoke, recipe, answer)
                    self.tally.broken = True
                    return False
            self.tally.settle_passed(smoke)
        return True

    def _fixed(self, recipe: Recipe) -> None:
        """One recipe of the fixed set, and whatever fails on it."""
        for p, met, answer in self._offer(recipe):
            if p in self.pending and not self._depends(p, answer, met):
                self._meet(p, met, answer)

    def _random(self, progress: Callable[[int], None]) -> None:
        """The random cases: each failure ends a search, and another begins for the properties that remain."""
        first, round = len(self.offered), 0
        while self.pending and (left := self.settings.cases + first - len(self.offered)) > 0:
            failure = self._draw(left, round, lambda: progress(len(self.offered) - first))
            round += 1
            if failure is None:
                return
            with self._spending():
                self._settle(*failure)

    def _meet(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """A failure of a case that was not drawn: shrink and settle it, or conclude it as it is."""
        if not self.settings.shrink:
            if answer.outcome != Outcome.TIMEOUT or self._again(p, recipe) is not None:
                self._conclude(p, recipe, answer)
            return
        with self._spending():
            self._settle(p, *self._shrink(p, recipe, answer), recipe)

    # Cases

    def _offer(self, recipe: Recipe) -> list[tuple[Property, Recipe, Answer]]:
        """Run one case for every pending property that is due; those that fail, each with the recipe at its turn."""
        self.offered.append(recipe)
        due = [Question(p, self._turn(p)) for p in self.pending if p.when(recipe) and self._due(p)]
        failures = []
        began = time.monotonic()
        brief = bool(self.tally.ends)
        for (p, turn), answer in self.judge.ask(recipe, due, self.settings.stop, brief) if due else ():
            if answer.shared:
                failures += self._lost(recipe, due, answer, time.monotonic() - began)
                break
            met = replace(recipe, turn=turn)
            self.tally.add(p, met, answer)
            if answer.wrong:
                failures.append((p, met, answer))
            if answer.judged:
                self.judged.add(recipe)
        return failures

    def _due(self, p: Property) -> bool:
        """Whether a case that a property speaks about is one that it is asked about."""
        count = self.tally.counts[p.id]
        count.suitable += 1
        due = count.suitable <= _FIRST or count.suitable % p.every == 0
        return due and not (p.limit and count.passed >= p.limit)

    def _turn(self, p: Property) -> int:
        """Which variant a property asks for next: it takes them round and round, whatever the seed."""
        count = self.tally.counts[p.id]
        count.asked += 1
        return (count.asked - 1) % p.turns

    def _lost(
        self, recipe: Recipe, due: list[Question], answer: Answer, seconds: float
    ) -> list[tuple[Property, Recipe, Answer]]:
        """A case that ended the process says that once, by the first property that asked; it is lost to the others."""
        assert answer.outcome is not None
        known = self.tally.ends.get(answer.outcome)
        for question in due if known else due[1:]:
            self.tally.counts[question.property.id].lost += 1
        if known is None:
            return [(due[0].property, recipe, answer)]
        self.losses -= seconds
        if self.losses < 0:
            raise _Enough(f"too many of them end the process, as {known} tells")
        return []

    def _again(self, p: Property, recipe: Recipe, brief: bool = False) -> Answer | None:
        """What is wrong on a fresh run, if the recipe is one that the property speaks about, and anything is."""
        if not p.when(recipe):
            return None
        [(_, answer)] = self.judge.ask(recipe, [Question(p, recipe.turn)], brief=brief)
        self.tally.note(p, recipe, answer)
        return answer if answer.wrong else None

    # Failures

    def _seconds(self) -> float:
        """How long the failure at hand may be shrunk."""
        return min(_PATIENCE_SECONDS, max(0.0, self.patience))

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """Count the time towards the patience for all failures: many slow ones must not take the day."""
        started = time.monotonic()
        yield
        self.patience -= time.monotonic() - started

    def _draw(
        self, cases: int, round: int, progress: Callable[[], None]
    ) -> tuple[Property, Recipe, Answer, Recipe] | None:
        """Draw random cases until one fails, and let Hypothesis shrink it; last, the case at which it was met.

        Hypothesis draws recipes without a turn: the failure's own is put into each that it tries.
        """
        failure: list[tuple[Property, Recipe]] = []
        shrink = Shrink(lambda recipe: self._again(failure[0][0], at_turn(recipe), brief=True), self._seconds())

        def at_turn(recipe: Recipe) -> Recipe:
            return replace(recipe, turn=failure[0][1].turn)

        def fails(recipe: Recipe) -> bool:
            if failure:
                return shrink.seen(recipe) is not None
            progress()
            for p, met, answer in self._offer(recipe):
                if self._depends(p, answer, met):
                    continue
                if self.settings.shrink:
                    failure.append((p, met))
                    shrink.begin(recipe, answer)
                    return True
                self._conclude(p, met, answer)
            return not self.pending

        entropy = self.settings.seed * 1_000_003 + round
        recipes = strategies.recipes(self.plan.backend)
        minimal = search(recipes, fails, cases, entropy, self.database, self.settings.shrink)
        answer = shrink.seen(minimal) if failure and minimal is not None else None
        if minimal is None or answer is None:
            return None
        p, met = failure[0]
        return p, at_turn(minimal), answer, met

    def _shrink(self, p: Property, recipe: Recipe, answer: Answer) -> tuple[Recipe, Answer]:
        """Meet a failure of the fixed set again among simpler recipes, and let Hypothesis shrink it."""
        shrink = Shrink(lambda recipe: self._again(p, recipe, brief=True), self._seconds(), answer.outcome)
        simpler = strategies.simpler(recipe, self.plan.backend)
        minimal = search(simpler, lambda recipe: shrink.seen(recipe) is not None, _SIMPLER, entropy=0)
        again = None if minimal is None else shrink.seen(minimal)
        return (recipe, answer) if minimal is None or again is None else (minimal, again)

    def _depends(self, p: Property, answer: Answer, recipe: Recipe) -> bool:
        """Whether the failure depends on more than its case; then it is concluded here."""
        # Twice: the first may fail for what ran just before it.
        if self._again(p, recipe, brief=True) and self._again(p, recipe, brief=True):
            return False
        after = None if p.chance else self._after_others(p, recipe)
        if after is not None:
            history, again = after
            self._conclude(p, recipe, again, Recurrence.AFTER_OTHERS, history)
        elif answer.outcome != Outcome.TIMEOUT:
            # A time-out that does not come back was this machine's.
            self._conclude(p, recipe, answer, Recurrence.IN_SOME_DRAWS if p.chance else Recurrence.NEVER)
        return True

    def _after_others(self, p: Property, recipe: Recipe) -> tuple[tuple[Recipe, ...], Answer] | None:
        """The fewest of the last 1, 2, 4 … cases after which a failure comes back, and what is wrong then."""
        before = self.offered[:-1] if self.offered[-1:] == [replace(recipe, turn=0)] else self.offered
        length = 1
        while before:
            history = tuple(before[-length:])
            for earlier in history:
                self.judge.run(earlier)
            if again := self._again(p, recipe, brief=True):
                return history, again
            if length >= min(len(before), _HISTORY):
                break
            length *= 2
        return None

    def _settle(self, p: Property, recipe: Recipe, answer: Answer, met: Recipe) -> None:
        """Simplify a failure, conclude it, and offer the small case to the others: one defect is shrunk once.

        ``met`` is the case at which it was met, before it was shrunk.
        """
        deadline = time.monotonic() + self._seconds()

        def fails(candidate: Recipe) -> Answer | None:
            if time.monotonic() > deadline:
                raise Spent
            return self._again(p, candidate, brief=True)

        declared = self.plan.backend.capabilities
        recipe, answer = simplify(
            recipe, answer, fails, declared.fixed, self.plan.dtypes[0], _PATIENCE_EDITS, declared.compiled
        )
        if answer.outcome == Outcome.TIMEOUT:
            # While shrinking, what took much longer than other cases was taken to hang: here it gets its full time.
            stands = ((one, again) for one in (recipe, met) if (again := self._again(p, one)))
            hanging = next(stands, None)
            if hanging is None:
                return
            recipe, answer = hanging
        elif self._depends(p, answer, recipe):
            return
        self._conclude(p, recipe, answer)
        for other in () if answer.shared else list(self.pending):
            own = replace(recipe, turn=recipe.turn % other.turns)
            also = self._again(other, own, brief=True)
            hung = also is not None and also.outcome == Outcome.TIMEOUT
            if also is not None and not hung and self._again(other, own, brief=True) is not None:
                self._conclude(other, own, also)

    def _conclude(
        self,
        p: Property,
        recipe: Recipe,
        answer: Answer,
        recurrence: Recurrence = Recurrence.ALWAYS,
        history: tuple[Recipe, ...] = (),
    ) -> None:
        if p in self.pending:
            self.pending.remove(p)
        if self.settings.stop:
            self.interrupted = Interruption("stopped", len(self.offered))
            self.pending.clear()
        self.tally.conclude(p, recipe, answer, len(self.offered), recurrence, history)


def replay(backend: Backend | Judge, recipes: list[Recipe], settings: Settings) -> Iterator[tuple[Property, Answer]]:
    """Run recipes one after the other and judge the last: what each declared property says of it."""
    judge = _held(backend)
    for earlier in recipes[:-1]:
        judge.run(earlier)
    for p in plan(judge.backend, settings).asked:
        answer = Answer(None)
        if p.when(recipes[-1]):
            [(_, answer)] = judge.ask(recipes[-1], [Question(p, recipes[-1].turn)])
        yield p, answer
        if answer.shared:
            return


class _Enough(Exception):
    """The cases that end the process take too long."""
