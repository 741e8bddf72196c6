"""The engine: one backend, all properties, each case drawn once and run once.

The sieve. Every case is offered to all pending properties, which share its memoised runs. The first property that fails
on it is hunted alone: Hypothesis shrinks the recipe, the simplifier the arrays, and the verdict is settled; the minimal
case is offered to the others, so that one defect is shrunk once; the property leaves the sieve and the rest goes on. So
one slow or failing property never hides another.

The fixed set (every three-way combination of declared choices) comes first, then ``cases`` random ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from hypothesis.database import ExampleDatabase

from conformance import covering, strategies
from conformance.backend import Backend
from conformance.errors import UsageError
from conformance.hunt import Chase, search
from conformance.properties import select
from conformance.properties.model import Property, missing, undeclared
from conformance.recipe import Recipe
from conformance.report.model import BackendReport, Verdict
from conformance.simplify import simplify
from conformance.spec import lacking
from conformance.trial import BackendError, Discard, Narrowed, Trial, Violation

#: After this many suitable cases, a property is offered only one in ``Property.every``.
_FIRST = 12

#: How many runs simplifying one failure may take, and how many seconds shrinking one, and all of a backend's.
_PATIENCE_EDITS = 250
_PATIENCE_SECONDS = 20.0
_PATIENCE_TOTAL = 90.0

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


#: Why a checkpoint's pending properties have no verdict; whoever ends the run knows better.
PENDING = "not run to its end"


@dataclass
class Tally:
    """What is known of one pending property so far."""

    suitable: int = 0
    checked: int = 0
    margin: float | None = None
    narrowed: int = 0
    reason: str = ""
    worst: float | None = None
    worst_recipe: str | None = None


Progress = Callable[[int, int], None]
#: Is given the report as it stands; what is pending in it has not been run to its end.
Checkpoint = Callable[[BackendReport], None]

#: Seconds between checkpoints, besides one after each failure.
_BETWEEN_CHECKPOINTS = 1.0


def conform(
    backend: Backend,
    settings: Settings,
    progress: Progress = lambda done, total: None,
    database: ExampleDatabase | None = None,
    checkpoint: Checkpoint | None = None,
) -> BackendReport:
    """Judge one backend. Interrupting it (``KeyboardInterrupt``) keeps every verdict and says what is missing.

    ``checkpoint`` is called now and then with the report so far: a process that dies loses a second's work.
    """
    chosen = select(settings.only, settings.exclude)
    _check_expected_failures(backend)
    if reason := backend.available() or (None if covering.judged_dtypes(backend) else _unjudged(backend)):
        verdicts = tuple(Verdict(backend.name, p.id, "unavailable", reason) for p in chosen)
        return BackendReport(backend.name, verdicts, backend.note)
    return _Sieve(backend, settings, chosen, progress, database, checkpoint).run()


def _unjudged(backend: Backend) -> str | None:
    """Why a declared dtype cannot be judged here, or None."""
    return next((reason for dtype in backend.capabilities.dtypes if (reason := lacking(dtype))), None)


def _check_expected_failures(backend: Backend) -> None:
    try:
        select(only=tuple(backend.capabilities.expected_failures))
    except UsageError as error:
        raise UsageError(f"backend {backend.name!r}, expected_failures: {error.args[0]}", error.hint) from None


class _Sieve:
    def __init__(
        self,
        backend: Backend,
        settings: Settings,
        chosen: list[Property],
        progress: Progress,
        database: ExampleDatabase | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.backend = backend
        self.settings = settings
        self.chosen = chosen
        self.progress = progress
        self.database = database
        self.checkpoint = checkpoint
        self.lacking = {p.id: reasons for p in chosen if (reasons := missing(backend, p))}
        self.pending = [p for p in chosen if p.id not in self.lacking]
        self.tallies = {p.id: Tally() for p in chosen}
        self.verdicts: dict[str, Verdict] = {}
        #: Every recipe offered, in order: what a failure that depends on history came after.
        self.offered: list[Recipe] = []
        self.judged: set[Recipe] = set()
        self.interrupted = ""
        self.started = self.saved = time.monotonic()
        #: Seconds left for shrinking.
        self.patience = _PATIENCE_TOTAL

    def run(self) -> BackendReport:
        try:
            fixed = covering.fixed_set(self.backend, self.settings.seed) if self.settings.fixed else []
            total = len(fixed) + self.settings.cases
            if self._smoke():
                self._save()
                for done, recipe in enumerate(fixed, 1):
                    self._fixed(recipe)
                    self.progress(done, total)
                self._random(lambda count: self.progress(len(fixed) + count, total))
                self.progress(total, total)
        except KeyboardInterrupt:
            self.interrupted = f"interrupted after {len(self.offered)} cases"
        return self._report()

    def _report(self) -> BackendReport:
        wanted = covering.combinations_of(covering.factors(self.backend))
        return BackendReport(
            backend=self.backend.name,
            verdicts=tuple(self._verdict(p) for p in self.chosen),
            note=self.backend.note,
            covered=len(wanted & covering.covered(self.judged)),
            combinations=len(wanted),
            cases=len(self.offered),
            steep=sum(recipe.gain >= 3 for recipe in self.offered),
            long=sum(recipe.L >= 100 for recipe in self.offered),
            seconds=time.monotonic() - self.started,
            interrupted=self.interrupted,
            lacking=undeclared(self.backend),
        )

    def _save(self) -> None:
        """Give away the report as it stands, with what is pending as interrupted."""
        if self.checkpoint is None:
            return
        kept, self.interrupted = self.interrupted, self.interrupted or PENDING
        self.checkpoint(self._report())
        self.interrupted = kept
        self.saved = time.monotonic()

    # The three phases

    def _smoke(self) -> bool:
        """Whether the adapter works on the simplest cases; if not, nothing else is run."""
        for smoke in [p for p in self.pending if p.group == "smoke"]:
            self.pending.remove(smoke)
            for recipe in strategies.simplest(self.backend):
                violation = self._check(smoke, Trial(self.backend, recipe))
                if violation is not None:
                    self._conclude(smoke, recipe, violation)
                    return False
            self.verdicts[smoke.id] = self._passed(smoke)
        return True

    def _fixed(self, recipe: Recipe) -> None:
        """One recipe of the fixed set, and whatever fails on it."""
        for p, violation in self._offer(recipe):
            if p not in self.pending or self._history(p, violation, recipe):
                continue
            if self.settings.shrink:
                with self._spending():
                    self._settle(p, *self._hunt(p, recipe, violation))
            else:
                self._conclude(p, recipe, violation)

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

    # Cases

    def _offer(self, recipe: Recipe) -> list[tuple[Property, Violation]]:
        """Run one case for every pending property that is due; those that fail."""
        if time.monotonic() - self.saved > _BETWEEN_CHECKPOINTS:
            self._save()
        self.offered.append(recipe)
        trial = Trial(self.backend, recipe)
        failures = []
        for p in self.pending:
            if not p.when(recipe):
                continue
            tally = self.tallies[p.id]
            tally.suitable += 1
            due = tally.suitable <= _FIRST or tally.suitable % p.every == 0
            if not due or (p.limit and tally.checked >= p.limit):
                continue
            violation = self._check(p, trial)
            if violation is not None:
                failures.append((p, violation))
                if self.settings.stop:
                    break
        if trial.judged:
            self.judged.add(recipe)
        return failures

    def _check(self, p: Property, trial: Trial, counted: bool = True) -> Violation | None:
        """One property on one trial. Whatever goes wrong while judging is an error of this property's own."""
        tally = self.tallies[p.id]
        trial.margin = None
        try:
            with np.errstate(all="ignore"):
                p.check(trial)
        except (Discard, UsageError):
            return None
        except Narrowed as reason:
            tally.narrowed += counted
            tally.reason = tally.reason or str(reason)
            return None
        except Violation as violation:
            found = violation
        except Exception as error:
            found = BackendError(f"the results could not be judged: {type(error).__name__}: {error}")
        else:
            tally.checked += counted
            if trial.margin is not None:
                tally.margin = max(tally.margin or 0.0, trial.margin)
            return None
        if tally.worst is None or found.error > tally.worst:
            tally.worst, tally.worst_recipe = found.error, str(trial.recipe)
        return found

    def _again(self, p: Property, recipe: Recipe) -> Violation | None:
        """The property on a fresh trial, if the recipe is one it speaks about."""
        return self._check(p, Trial(self.backend, recipe), counted=False) if p.when(recipe) else None

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

    def _draw(self, cases: int, round: int, progress: Callable[[], None]) -> tuple[Property, Recipe, Violation] | None:
        """Draw random cases until one fails, and let Hypothesis shrink it."""
        met: list[Property] = []
        chase = Chase(lambda recipe: self._again(met[0], recipe), self._seconds())

        def fails(recipe: Recipe) -> bool:
            if met:
                return chase.seen(recipe) is not None
            progress()
            for p, violation in self._offer(recipe):
                if self._history(p, violation, recipe):
                    continue
                if self.settings.shrink:
                    met.append(p)
                    chase.know(recipe, violation)
                    return True
                self._conclude(p, recipe, violation)
            return not self.pending

        entropy = self.settings.seed * 1_000_003 + round
        recipes = strategies.recipes(self.backend)
        minimal = search(recipes, fails, cases, entropy, self.database, self.settings.shrink)
        violation = chase.seen(minimal) if met and minimal is not None else None
        return None if minimal is None or violation is None else (met[0], minimal, violation)

    def _hunt(self, p: Property, recipe: Recipe, violation: Violation) -> tuple[Recipe, Violation]:
        """Meet a failure of the fixed set again among simpler recipes, and let Hypothesis shrink it."""
        chase = Chase(lambda recipe: self._again(p, recipe), self._seconds(), violation.outcome)
        simpler = strategies.simpler(recipe, self.backend)
        minimal = search(simpler, lambda recipe: chase.seen(recipe) is not None, _HUNT, entropy=0)
        found = None if minimal is None else chase.seen(minimal)
        return (recipe, violation) if minimal is None or found is None else (minimal, found)

    def _history(self, p: Property, violation: Violation, recipe: Recipe) -> bool:
        """Whether the failure depends on what came before; then it is concluded here, with the sequence of calls."""
        # Twice: the first may fail for what ran just before it.
        if self._again(p, recipe) is not None and self._again(p, recipe) is not None:
            return False
        before = self.offered[:-1] if self.offered[-1] == recipe else self.offered
        length, history = 1, tuple[Recipe, ...]()
        while True:
            for earlier in before[-length:]:
                self._replay(earlier)
            again = self._again(p, recipe)
            if again is not None:
                violation, history = again, tuple(before[-length:])
                break
            if length >= min(len(before), 64):
                break
            length *= 2
        if history:
            note = (
                f"only after {len(history)} earlier case{'s' if len(history) > 1 else ''}: the same case alone passes"
            )
        else:
            note = "seen once, and not again when repeated: the backend is not deterministic"
        noted = type(violation)(f"{violation} ({note})", violation.error, violation.case)
        self._conclude(p, recipe, noted, history)
        return True

    def _replay(self, recipe: Recipe) -> None:
        """Run a case for the marks that it may leave."""
        try:
            trial = Trial(self.backend, recipe)
            trial.call(trial.case)
        except (Violation, Narrowed, UsageError):
            return

    def _settle(self, p: Property, recipe: Recipe, violation: Violation) -> None:
        """Simplify a failure, conclude it, and offer the small case to the others: one defect is shrunk once."""
        deadline = time.monotonic() + self._seconds()

        def fails(candidate: Recipe) -> Violation | None:
            return self._again(p, candidate) if time.monotonic() < deadline else None

        capabilities = self.backend.capabilities
        dtype = covering.judged_dtypes(self.backend)[0]
        fixed, compiled = capabilities.fixed, capabilities.compiled
        recipe, violation = simplify(recipe, violation, fails, fixed, dtype, _PATIENCE_EDITS, compiled)
        if self._history(p, violation, recipe):
            return
        self._conclude(p, recipe, violation)
        for other in list(self.pending):
            found = self._again(other, recipe)
            if found is not None and self._again(other, recipe) is not None:
                self._conclude(other, recipe, found)

    def _conclude(self, p: Property, recipe: Recipe, violation: Violation, history: tuple[Recipe, ...] = ()) -> None:
        tally = self.tallies[p.id]
        if p in self.pending:
            self.pending.remove(p)
        if self.settings.stop:
            self.interrupted = "stopped at the first failure"
            self.pending.clear()
        reason = self.backend.capabilities.expected_failures.get(p.id)
        case = violation.case or Trial(self.backend, recipe).case
        self.verdicts[p.id] = Verdict(
            backend=self.backend.name,
            property=p.id,
            outcome="expected failure" if reason is not None else violation.outcome,
            message=f"{violation}" if reason is None else f"{violation} (expected: {reason})",
            recipe=str(recipe),
            margin=tally.margin,
            cases=tally.checked,
            smallest=case.describe(),
            worst=tally.worst,
            worst_recipe=tally.worst_recipe,
            history=tuple(map(str, history)),
            after=len(self.offered),
        )
        self._save()

    # Verdicts

    def _verdict(self, p: Property) -> Verdict:
        tally = self.tallies[p.id]
        if p.id in self.verdicts:
            return self.verdicts[p.id]
        if p.id in self.lacking:
            return self._plain(p, "not declared", "; ".join(self.lacking[p.id]))
        if self.interrupted:
            so_far = f"{tally.checked} cases passed until then" if tally.checked else "no case had been checked"
            return self._plain(p, "not run", f"{self.interrupted}; {so_far}")
        if self._broken():
            return self._plain(p, "not run", "the adapter is broken: see smoke.runs")
        if tally.narrowed:
            return self._narrowed(p)
        if not tally.checked:
            return self._plain(p, "not run", "no case was suitable")
        return self._passed(p)

    def _broken(self) -> bool:
        return any(
            id.startswith("smoke.") and v.outcome not in ("passed", "narrowed") for id, v in self.verdicts.items()
        )

    def _passed(self, p: Property) -> Verdict:
        tally = self.tallies[p.id]
        if tally.narrowed:
            return self._narrowed(p)
        reason = self.backend.capabilities.expected_failures.get(p.id)
        if reason is not None:
            return self._plain(p, "unexpected pass", f"expected to fail: {reason}")
        # The smoke gate asks for one dtype only.
        if p.group != "smoke" and (lost := _unjudged(self.backend)):
            return self._plain(p, "narrowed", f"{tally.checked} cases of other dtypes: {lost}")
        return self._plain(p, "passed", "")

    def _narrowed(self, p: Property) -> Verdict:
        tally = self.tallies[p.id]
        share = f"{tally.narrowed} of {tally.narrowed + tally.checked} cases"
        return self._plain(p, "narrowed", f"{share}, such as {tally.reason}")

    def _plain(self, p: Property, outcome: str, message: str) -> Verdict:
        tally = self.tallies[p.id]
        return Verdict(self.backend.name, p.id, outcome, message, margin=tally.margin, cases=tally.checked)


def replay(backend: Backend, recipes: list[Recipe], settings: Settings) -> Iterator[tuple[Property, str, str]]:
    """Run recipes one after the other and judge the last: each declared property's outcome and message."""
    sieve = _Sieve(backend, settings, select(settings.only, settings.exclude), lambda done, total: None)
    for earlier in recipes[:-1]:
        sieve._replay(earlier)
    for p in sieve.pending:
        violation = sieve._check(p, Trial(backend, recipes[-1])) if p.when(recipes[-1]) else None
        tally = sieve.tallies[p.id]
        if violation is not None:
            yield p, violation.outcome, str(violation)
        elif tally.narrowed:
            yield p, "narrowed", tally.reason
        elif tally.checked:
            yield p, "passed", "" if tally.margin is None else f"margin {tally.margin:.2f}"
        else:
            yield p, "not run", "it says nothing about this case"
