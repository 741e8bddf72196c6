"""The engine: one backend, all properties, each case drawn once and run once.

The sieve. Every case is offered to all pending properties, which share its memoised runs. The first property that fails
on it is hunted alone: Hypothesis shrinks the recipe, the simplifier the arrays, and the verdict is settled; the minimal
case is offered to the others, so that one defect is shrunk once; the property leaves the sieve and the rest goes on. So
one slow or failing property never hides another.

The fixed set (every three-way combination of declared choices) comes first, then ``cases`` random ones.

A case whose plain call ends the process is a failure of the first property that asked, and lost to the others: they
are judged on all other cases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from hypothesis.database import ExampleDatabase

from conformance.backend import Backend
from conformance.cases import covering, strategies
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer, Here, Judge, Question
from conformance.engine.search import Chase, search
from conformance.engine.simplify import Spent, simplify
from conformance.engine.tally import Ledger, unavailable
from conformance.errors import Gone, UsageError
from conformance.properties import select
from conformance.properties.model import Property, unmet_needs, why_not_asked
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
_HUNT = 60


@dataclass(frozen=True)
class Settings:
    """What to judge and how long: one value for every driver."""

    #: Random cases, on top of the fixed set.
    cases: int = 100
    seed: int = 0
    #: Property ids or groups; all if empty.
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    #: Whether the fixed set comes first.
    fixed: bool = True
    #: Whether failures are shrunk and simplified; without, each verdict carries the case at which it was met.
    shrink: bool = True
    #: Whether the first failure ends the run.
    stop: bool = False


Progress = Callable[[int, int], None]


def conform(
    backend: Backend | Judge,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    database: ExampleDatabase | None = None,
) -> BackendReport:
    """Judge one backend, in this process unless a judge that holds it elsewhere is given.

    Interrupting it (``KeyboardInterrupt``) keeps every verdict and says what is missing.
    """
    judge = _held(backend)
    backend = judge.backend
    chosen = select(settings.only, settings.exclude)
    _check_expected_failures(backend)
    if reason := unavailable(backend):
        verdicts = tuple(Verdict(backend.name, p.id, "unavailable", reason) for p in chosen)
        return BackendReport(backend.name, verdicts)
    return _Sieve(judge, settings, chosen, progress, database).run()


def _held(backend: Backend | Judge) -> Judge:
    return Here(backend) if isinstance(backend, Backend) else backend


def _check_expected_failures(backend: Backend) -> None:
    try:
        select(only=tuple(backend.capabilities.expected_failures))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}, expected_failures: {error.args[0]}", error.hint) from None


class _Sieve:
    def __init__(
        self,
        judge: Judge,
        settings: Settings,
        chosen: list[Property],
        progress: Progress,
        database: ExampleDatabase | None = None,
    ) -> None:
        self.judge = judge
        self.backend = judge.backend
        self.settings = settings
        self.chosen = chosen
        self.progress = progress
        self.database = database
        self.ledger = Ledger(self.backend, chosen)
        self.pending = [p for p in chosen if p.id not in self.ledger.lacking]
        #: Every recipe offered, in order: what a failure that depends on history came after.
        self.offered: list[Recipe] = []
        self.judged: set[Recipe] = set()
        self.interrupted = ""
        self.started = time.monotonic()
        #: Seconds left for shrinking, and for cases that end the process once more.
        self.patience = _PATIENCE_TOTAL
        self.losses = _PATIENCE_LOSSES

    def run(self) -> BackendReport:
        try:
            fixed = covering.fixed_set(self.backend, self.settings.seed) if self.settings.fixed else []
            total = len(fixed) + self.settings.cases
            if self._smoke():
                for done, recipe in enumerate(fixed, 1):
                    self._fixed(recipe)
                    self.progress(done, total)
                self._random(lambda count: self.progress(len(fixed) + count, total))
                self.progress(total, total)
        except KeyboardInterrupt:
            self.interrupted = f"interrupted after {len(self.offered)} cases"
        except (_Enough, Gone) as reason:
            self.interrupted = f"given up after {len(self.offered)} cases: {reason}"
        return self._report()

    def _report(self) -> BackendReport:
        wanted = covering.combinations_of(covering.factors(self.backend))
        return BackendReport(
            backend=self.backend.name,
            verdicts=tuple(self.ledger.verdict(p, self.interrupted) for p in self.chosen),
            note=self.backend.remark(),
            covered=len(wanted & covering.covered(self.judged)),
            combinations=len(wanted),
            cases=len(self.offered),
            steep=sum(recipe.gain >= 3 for recipe in self.offered),
            long=sum(recipe.L >= 100 for recipe in self.offered),
            seconds=time.monotonic() - self.started,
            interrupted=self.interrupted,
            lacking=unmet_needs(self.backend),
        )

    # The three phases

    def _smoke(self) -> bool:
        """Whether the adapter works on the simplest cases; if not, nothing else is run."""
        first, *others = covering.simplest(self.backend)
        for smoke in [p for p in self.pending if p.group == "smoke"]:
            self.pending.remove(smoke)
            for recipe in (first, *others):
                [(_, answer)] = self.judge.ask(recipe, [Question(smoke)])
                self.ledger.count(smoke, recipe, answer)
                if answer.plain and recipe != first:
                    # Some cases end the process, and others do not: on these there is more to say.
                    self._meet(smoke, recipe, answer)
                    break
                if answer.wrong:
                    self._conclude(smoke, recipe, answer)
                    self.ledger.broken = True
                    return False
            self.ledger.verdicts.setdefault(smoke.id, self.ledger.passed(smoke))
        return True

    def _fixed(self, recipe: Recipe) -> None:
        """One recipe of the fixed set, and whatever fails on it."""
        for p, met, answer in self._offer(recipe):
            if p in self.pending and not self._history(p, answer, met):
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
            if answer.outcome != "timeout" or self._again(p, recipe) is not None:
                self._conclude(p, recipe, answer)
            return
        with self._spending():
            self._settle(p, *self._hunt(p, recipe, answer), recipe)

    # Cases

    def _offer(self, recipe: Recipe) -> list[tuple[Property, Recipe, Answer]]:
        """Run one case for every pending property that is due; those that fail, each with the recipe at its turn."""
        self.offered.append(recipe)
        due = [Question(p, self._turn(p)) for p in self.pending if p.when(recipe) and self._due(p)]
        failures = []
        began = time.monotonic()
        brief = bool(self.ledger.ends)
        for (p, turn), answer in self.judge.ask(recipe, due, self.settings.stop, brief) if due else ():
            met = replace(recipe, turn=turn)
            if answer.plain:
                due_properties = [question.property for question in due]
                failures += [(p, met, a) for p, a in self._lost(due_properties, answer, time.monotonic() - began)]
                break
            self.ledger.count(p, met, answer)
            if answer.wrong:
                failures.append((p, met, answer))
            if answer.judged:
                self.judged.add(recipe)
        return failures

    def _due(self, p: Property) -> bool:
        """Whether a case that a property speaks about is one that it is asked about."""
        tally = self.ledger.tallies[p.id]
        tally.suitable += 1
        due = tally.suitable <= _FIRST or tally.suitable % p.every == 0
        return due and not (p.limit and tally.checked >= p.limit)

    def _turn(self, p: Property) -> int:
        """Which variant a property asks for next: it takes them round and round, whatever the seed."""
        tally = self.ledger.tallies[p.id]
        tally.asked += 1
        return (tally.asked - 1) % p.turns

    def _lost(self, due: list[Property], answer: Answer, seconds: float) -> list[tuple[Property, Answer]]:
        """A case that ended the process says that once, by the first property that asked; it is lost to the others."""
        known = answer.outcome in self.ledger.ends
        for p in due if known else due[1:]:
            self.ledger.tallies[p.id].lost += 1
        if known:
            self.losses -= seconds
            if self.losses < 0:
                raise _Enough(f"too many of them end the process, as {self.ledger.ends[answer.outcome]} tells")
        return [] if known else [(due[0], answer)]

    def _again(self, p: Property, recipe: Recipe, brief: bool = False) -> Answer | None:
        """What is wrong on a fresh run, if the recipe is one that the property speaks about, and anything is."""
        if not p.when(recipe):
            return None
        [(_, answer)] = self.judge.ask(recipe, [Question(p, recipe.turn)], brief=brief)
        self.ledger.note(p, recipe, answer)
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
        """Draw random cases until one fails, and let Hypothesis shrink it; last, the case at which it was met."""
        met: list[tuple[Property, Recipe]] = []
        chase = Chase(lambda recipe: self._again(met[0][0], at_turn(recipe), brief=True), self._seconds())

        def at_turn(recipe: Recipe) -> Recipe:
            return replace(recipe, turn=met[0][1].turn)

        def fails(recipe: Recipe) -> bool:
            if met:
                return chase.seen(recipe) is not None
            progress()
            for p, here, answer in self._offer(recipe):
                if self._history(p, answer, here):
                    continue
                if self.settings.shrink:
                    met.append((p, here))
                    chase.know(recipe, answer)
                    return True
                self._conclude(p, here, answer)
            return not self.pending

        entropy = self.settings.seed * 1_000_003 + round
        recipes = strategies.recipes(self.backend)
        minimal = search(recipes, fails, cases, entropy, self.database, self.settings.shrink)
        answer = chase.seen(minimal) if met and minimal is not None else None
        return None if minimal is None or answer is None else (met[0][0], at_turn(minimal), answer, met[0][1])

    def _hunt(self, p: Property, recipe: Recipe, answer: Answer) -> tuple[Recipe, Answer]:
        """Meet a failure of the fixed set again among simpler recipes, and let Hypothesis shrink it."""
        chase = Chase(lambda recipe: self._again(p, recipe, brief=True), self._seconds(), answer.outcome)
        simpler = strategies.simpler(recipe, self.backend)
        minimal = search(simpler, lambda recipe: chase.seen(recipe) is not None, _HUNT, entropy=0)
        found = None if minimal is None else chase.seen(minimal)
        return (recipe, answer) if minimal is None or found is None else (minimal, found)

    def _history(self, p: Property, answer: Answer, recipe: Recipe) -> bool:
        """Whether the failure depends on what came before; then it is concluded here, with the sequence of calls."""
        # Twice: the first may fail for what ran just before it.
        if self._again(p, recipe, brief=True) and self._again(p, recipe, brief=True):
            return False
        before = self.offered[:-1] if self.offered[-1:] == [replace(recipe, turn=0)] else self.offered
        length, history = 1, tuple[Recipe, ...]()
        while not p.chance:
            for earlier in before[-length:]:
                self.judge.run(earlier)
            again = self._again(p, recipe, brief=True)
            if again is not None:
                answer, history = again, tuple(before[-length:])
                break
            if length >= min(len(before), 64):
                break
            length *= 2
        if answer.outcome == "timeout" and not history:
            # Whatever held the machine up: it is no hang.
            return True
        if p.chance:
            note = "in some draws only"
        elif history:
            note = (
                f"only after {len(history)} earlier case{'s' if len(history) > 1 else ''}: the same case alone passes"
            )
        else:
            note = "seen once, and not again when repeated: the backend is not deterministic, or caches by address"
        self._conclude(p, recipe, replace(answer, message=f"{answer.message} ({note})"), history)
        return True

    def _settle(self, p: Property, recipe: Recipe, answer: Answer, met: Recipe) -> None:
        """Simplify a failure, conclude it, and offer the small case to the others: one defect is shrunk once.

        ``met`` is the case at which it was met, before it was shrunk.
        """
        deadline = time.monotonic() + self._seconds()

        def fails(candidate: Recipe) -> Answer | None:
            if time.monotonic() > deadline:
                raise Spent
            return self._again(p, candidate, brief=True)

        capabilities = self.backend.capabilities
        dtype = covering.judged_dtypes(self.backend)[0]
        fixed, compiled = capabilities.fixed, capabilities.compiled
        recipe, answer = simplify(recipe, answer, fails, fixed, dtype, _PATIENCE_EDITS, compiled)
        if answer.outcome == "timeout":
            # While shrinking, what took much longer than other cases was taken to hang: here it gets its full time.
            stands = ((one, again) for one in (recipe, met) if (again := self._again(p, one)))
            hanging = next(stands, None)
            if hanging is None:
                return
            recipe, answer = hanging
        elif self._history(p, answer, recipe):
            return
        self._conclude(p, recipe, answer)
        for other in () if answer.plain else list(self.pending):
            own = replace(recipe, turn=recipe.turn % other.turns)
            found = self._again(other, own, brief=True)
            hung = found is not None and found.outcome == "timeout"
            if found is not None and not hung and self._again(other, own, brief=True) is not None:
                self._conclude(other, own, found)

    def _conclude(self, p: Property, recipe: Recipe, answer: Answer, history: tuple[Recipe, ...] = ()) -> None:
        if p in self.pending:
            self.pending.remove(p)
        if self.settings.stop:
            self.interrupted = "stopped at the first failure"
            self.pending.clear()
        self.ledger.conclude(p, recipe, answer, history, len(self.offered))


def replay(backend: Backend | Judge, recipes: list[Recipe], settings: Settings) -> Iterator[tuple[Property, str, str]]:
    """Run recipes one after the other and judge the last: each declared property's outcome and message."""
    judge = _held(backend)
    asked = [p for p in select(settings.only, settings.exclude) if not why_not_asked(judge.backend, p)]
    for earlier in recipes[:-1]:
        judge.run(earlier)
    for p in asked:
        question = Question(p, recipes[-1].turn)
        [(_, answer)] = judge.ask(recipes[-1], [question]) if p.when(recipes[-1]) else [(question, Answer("silent"))]
        if answer.outcome == "silent":
            yield p, "not run", "it says nothing about this case"
        elif answer.outcome == "passed":
            yield p, "passed", "" if answer.margin is None else f"margin {answer.margin:.2f}"
        else:
            yield p, answer.outcome, answer.message
        if answer.plain:
            return


class _Enough(Exception):
    """The cases that end the process take too long."""
