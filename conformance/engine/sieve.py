"""The sieve: one backend, all properties, each case drawn once and run once.

Every case is offered to all pending properties, which share its memoised runs. The first property that fails on it is
shrunk alone: Hypothesis shrinks the recipe, the simplifier the arrays, and the verdict is settled; the minimal case is
offered to the others, so that one defect is shrunk once; the property leaves the sieve and the rest goes on. So one
slow or failing property never hides another.

The fixed set (every three-way combination of declared choices) comes first, what is cheap before what is costly
(``engine/order.py``), then ``cases`` random ones. A case whose
shared call ends the process is a failure of the first property that asked, and lost to the others: they are judged on
all other cases. A property that ends in an error is asked on for a while: one option that raises must not hide that
all else is right.

Guards come last, on the same cases, in a process of their own: a call that should be refused may leave a heap behind
that breaks a later call, or the process at its very end.

Invariant: every chosen property is either not declared, or pending, or has its verdict; nothing but the death of the
process at its end changes a verdict.
Termination: the fixed set is finite, and every round of random cases either uses up its cases, or takes a property out
of the pending ones and at least one case from the cases left.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from hypothesis.database import ExampleDatabase

from conformance.backend import Backend, unavailable
from conformance.cases.choices import covered
from conformance.cases.common import simplest
from conformance.cases.recipe import Recipe
from conformance.engine.failures import Failures
from conformance.engine.foresight import Offer
from conformance.engine.judging import Answer, Here, Inquiry, Judge
from conformance.engine.lessons import LOOKS, Lessons
from conformance.engine.news import Advanced, Judging, Tell, unheard
from conformance.engine.offers import Enough, Offers, after_refusals
from conformance.engine.order import OPENING, ROWS, Cost, after_opening
from conformance.engine.plan import Settings, plan
from conformance.engine.search import Shrink, drawn, search
from conformance.engine.session import Session
from conformance.errors import Closed, Gone
from conformance.facts import Interruption, Outcome, Quick, Said, Within
from conformance.properties import catalogue
from conformance.properties.model import GUARDS, Property
from conformance.report.model import BackendReport, Verdict
from conformance.trials.outcomes import said


def conform(
    backend: Backend | Judge,
    settings: Settings,
    tell: Tell = unheard,
    database: ExampleDatabase | None = None,
) -> BackendReport:
    """Judge one backend, in this process unless a judge that holds it elsewhere is given.

    ``tell`` is told what happens, as it happens. Interrupting it (``KeyboardInterrupt``, or closing the judge) keeps
    every verdict and says what is missing.
    """
    judge = _held(backend)
    planned = plan(judge.backend, settings)
    if reason := unavailable(judge.backend):
        name = judge.backend.name
        verdicts = tuple(Verdict(name, p.id, Outcome.UNAVAILABLE, Said(reason)) for p in planned.properties)
        return BackendReport(name, verdicts, strict=settings.strict, own_name=judge.backend.own_name)
    try:
        return _Sieve(Session(judge, planned, tell), database).run()
    finally:
        judge.rest()


def _held(backend: Backend | Judge) -> Judge:
    return Here(backend) if isinstance(backend, Backend) else backend


#: So many cases are drawn in one round at most: Hypothesis remembers each of them.
_ROUND = 1000


class _Sieve:
    def __init__(self, session: Session, database: ExampleDatabase | None) -> None:
        self.session = session
        self.failures = Failures(session)
        self.offers = Offers(session)
        self.judge, self.plan, self.settings = session.judge, session.plan, session.plan.settings
        self.tally, self.pending, self.offered = session.tally, session.pending, session.offered
        self.database = database
        #: Cases done, and all of them.
        self.done = self.total = 0
        self.started = time.monotonic()

    def run(self) -> BackendReport:
        self.session.tell(Judging(self._so_far))
        try:
            if self._smoke():
                fixed = self._fixed_set()
                if self.settings.seconds:
                    self._spend()
                else:
                    self._random()
                self._end("at the end of its process, after its last answer")
                if self.session.guards and not self.session.interrupted:
                    self._guards(fixed)
                self._advanced(self.total)
        except (KeyboardInterrupt, Closed):
            self.session.interrupted = Interruption("interrupted", self.session.met())
        except (Enough, Gone) as reason:
            self.session.interrupted = Interruption("given up", self.session.met(), str(reason))
        return self._report(self.session.interrupted)

    def _so_far(self) -> BackendReport:
        """What would be known if nothing came after."""
        return self._report(Interruption("not ended", self.session.met()))

    def _report(self, interrupted: Interruption | None) -> BackendReport:
        wanted, cases = self.plan.combinations(), set(self.offered)
        return BackendReport(
            backend=self.plan.backend.name,
            verdicts=tuple(self.tally.verdict(p, interrupted) for p in self.plan.properties),
            note=self.plan.backend.remark(),
            own_name=self.plan.backend.own_name,
            version=self.plan.backend.version,
            covered=len(wanted & covered(self.offers.judged)),
            combinations=len(wanted),
            cases=len(cases),
            steep=sum(recipe.gain >= 3 for recipe in cases),
            long=sum(recipe.L >= 100 for recipe in cases),
            seconds=time.monotonic() - self.started,
            interrupted=interrupted,
            unmet=self.plan.unmet,
            not_judged=self.plan.backend.not_judged,
            dtypes=self.plan.arithmetics(),
            strict=self.settings.strict,
            quick=self._part(len(cases)) if self.settings.partial else None,
            signatures=self.judge.signatures,
            frameworks=self.judge.frameworks,
            measured=self.offers.measuring.measured(),
            choices=self.offers.measuring.choices,
        )

    def _part(self, cases: int) -> Quick:
        """Of a partial run: so many cases of all."""
        return Quick(cases, len(self.plan.fixed_set()), self.settings.large)

    def _advanced(self, done: int) -> None:
        """Tell that so many cases are done; of those for guards, which come last, that all are."""
        self.done = self.total if self.session.guarding else done
        self.session.tell(Advanced(self.done, self.total, *self.session.standing()))

    # The phases

    def _smoke(self) -> bool:
        """Whether the adapter works in the plainest call; if not, nothing else is run."""
        plainest = simplest(self.plan.backend)[0]
        for smoke in [p for p in self.pending if p.group == "smoke"]:
            self.pending.remove(smoke)
            [(_, answer)] = self.session.ask(plainest, [Inquiry(smoke)])
            self.tally.add(smoke, plainest, answer)
            if answer.wrong:
                self.session.conclude(smoke, plainest, answer)
                self.tally.broken = True
                return False
            self.tally.settle_passed(smoke)
        return True

    def _fixed_set(self) -> Sequence[Recipe]:
        """The fixed set, which is asked here in an order of its own; of a quick run the first rows."""
        whole = self.plan.fixed_set()
        self._in_order((at, row, Cost.SMALL) for at, row in enumerate(islice(whole, OPENING)))
        rows = whole[:ROWS] if self.settings.quick else whole
        self.total = len(rows) + self.settings.cases
        self.offers.expect(Offer(row, cost) for _, row, cost in after_opening(rows))
        self._in_order(after_opening(rows))
        self._advanced(len(rows))
        return rows

    def _in_order(self, order: Iterable[tuple[int, Recipe, Cost]]) -> None:
        """Rows of the fixed set with their places, each for the properties of a cost."""
        for at, recipe, cost in order:
            if not self.offers.wanting():
                return
            if self._spent():
                raise Enough(f"its {self.settings.seconds:g} seconds were over before the fixed set was")
            if cost == Cost.SMALL:
                self.done = at + 1
            self._fixed(recipe, cost)

    def _fixed(self, recipe: Recipe, cost: Cost | None = None) -> None:
        """One recipe of the fixed set for the properties of a cost, or for all, and whatever fails on it."""
        self.failures.turn_to(Cost.LONGEST if cost is None else cost)
        failures = self.offers.offer(recipe, cost)
        self._advanced(self.done)
        self._meet(failures)

    def _meet(self, failures: Sequence[tuple[Property, Recipe, Answer]]) -> None:
        """Give properties that fail on one case their verdicts."""
        for p, met, answer in failures:
            if p in self.pending and not self.failures.depends(p, answer, met):
                self.failures.meet(p, met, answer)
            self._advanced(self.done)

    def _random(self) -> None:
        """The random cases: each failure ends a search, and another begins for the properties that remain."""
        self.failures.turn_to(Cost.LONGEST)
        first, done, round = len(self.offered), self.done, 0
        while self.offers.wanting() and (left := self.settings.cases + first - len(self.offered)) > 0:
            before = len(self.offered)
            # What else fails on the case that failed has been told already, and may not be met again.
            others: list[tuple[Property, Recipe, Answer]] = []
            failure = self._draw(min(left, _ROUND), round, done - first, others)
            round += 1
            if failure is None:
                if left <= _ROUND or len(self.offered) == before:
                    return
                continue
            with self.failures.spending():
                self.failures.settle(*failure)
            self._advanced(self.done)
            self._meet(others)

    def _spent(self) -> bool:
        """Whether there is a time for the target, and it is over."""
        return 0 < self.settings.seconds < time.monotonic() - self.started

    def _spend(self) -> None:
        """Random cases until the time is over: of those that are drawn always the one that teaches most."""
        lessons, round = Lessons(self.offered), 0
        while self.offers.wanting() and not self._spent():
            chosen = lessons.choose(drawn(self.plan.recipes(), LOOKS, self.settings.seed * 1_000_003 + round))
            round += 1
            if not chosen:
                return
            self.offers.expect(map(Offer, chosen))
            for recipe in chosen:
                if not self.offers.wanting() or self._spent():
                    return
                self.done += 1
                self.total = max(self.total, self.done)
                self._fixed(recipe)

    def _guards(self, fixed: Sequence[Recipe]) -> None:
        """The guards, until each has seen its fill; then ordinary calls, which must still be answered."""
        self.session.turn_to_guards()
        for recipe in fixed:
            if not self.offers.wanting():
                break
            self._fixed(recipe)
        if not self.settings.seconds:
            self._random()
        smoke = catalogue()["smoke.runs"]
        for recipe in simplest(self.plan.backend):
            [(_, answer)] = self.session.ask(recipe, [Inquiry(smoke)])
            if answer.shared and answer.outcome not in self.tally.ends:
                self._tell(replace(answer, fact=after_refusals(answer.fact)))
        self._end("at the end of its process, after refused calls")

    def _end(self, when: str) -> None:
        """Let the process come to its end, whose death counts as that of any call."""
        if died := self.judge.finish():
            self._tell(Answer(died.outcome, Within(when, said(str(died))), shared=True))

    def _tell(self, answer: Answer) -> None:
        """Say how the process died, by a property of this phase that nothing is wrong with.

        A guard says it even if it is missing: that alone would not count.
        """
        guarding = self.session.guarding
        phase = [p for p in self.plan.asked if (p.question == GUARDS) == guarding and p.id not in self.plan.expected]
        free = [p for p in phase if p.id not in self.tally.verdicts or not self.tally.verdicts[p.id].outcome.bad]
        for p in (free or (phase if guarding else []))[:1]:
            self.session.conclude(p, None, answer)

    # Random cases

    def _draw(
        self, cases: int, round: int, before: int, others: list[tuple[Property, Recipe, Answer]]
    ) -> tuple[Property, Recipe, Answer, Recipe] | None:
        """Draw random cases until one fails, and let Hypothesis shrink it; last, the case at which it was met.

        So many cases, ``before``, are done and not among those offered. ``others`` takes the failures of other
        properties on the case that fails. Hypothesis draws recipes without a turn: the failure's own is put into each
        that it tries.
        """
        failure: list[tuple[Property, Recipe]] = []
        shrink = Shrink(lambda drawn: self._at_turn(*failure[0], drawn), self.failures.seconds())

        def fails(recipe: Recipe) -> bool:
            if failure:
                return shrink.seen(recipe) is not None
            failures = self.offers.offer(recipe)
            self._advanced(before + len(self.offered))
            for at, (p, met, answer) in enumerate(failures):
                if self.failures.depends(p, answer, met):
                    continue
                if self.settings.shrink:
                    failure.append((p, met))
                    others.extend(failures[at + 1 :])
                    shrink.begin(recipe, answer)
                    return True
                self.session.conclude(p, met, answer)
            return not self.offers.wanting()

        entropy = self.settings.seed * 1_000_003 + round
        recipes = self.plan.recipes()
        if self.judge.works_ahead:
            self.offers.expect(map(Offer, drawn(recipes, cases, entropy)))
        minimal = search(recipes, fails, cases, entropy, self.database, self.settings.shrink)
        answer = shrink.seen(minimal) if failure and minimal is not None else None
        if minimal is None or answer is None:
            return None
        p, met = failure[0]
        return p, replace(minimal, turn=met.turn), answer, met

    def _at_turn(self, p: Property, met: Recipe, drawn: Recipe) -> Answer | None:
        """The wrong answer about a recipe that Hypothesis drew, at the turn at which the failure was met."""
        return self.session.again(p, replace(drawn, turn=met.turn), brief=True)


def replay(backend: Backend | Judge, recipes: list[Recipe], settings: Settings) -> Iterator[tuple[Property, Answer]]:
    """Run recipes one after the other and judge the last: what each declared property says of it."""
    judge = _held(backend)
    for earlier in recipes[:-1]:
        judge.run(earlier)
    for p in plan(judge.backend, settings).asked:
        answer = Answer(None)
        if p.when(recipes[-1]):
            [(_, answer)] = judge.ask(recipes[-1], [Inquiry(p, recipes[-1].turn)])
        yield p, answer
        if answer.shared:
            return
