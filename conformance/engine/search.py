"""Searching: Hypothesis draws recipes and shrinks the one that fails, with a patience of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.database import ExampleDatabase
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.strategies import SearchStrategy

from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer
from conformance.errors import Closed, Gone
from conformance.facts import Outcome


class Provider(HypothesisProvider):
    """Hypothesis' own source of choices, without two habits.

    It mutates the examples of its own provider, so that one size comes up forty times in a hundred; it does not mutate
    those of others. And it draws constants that it reads from the source of all loaded modules: after any edit, of the
    suite or of a user's code, a seed would draw other recipes.
    """

    def _maybe_draw_constant(self, choice_type: Any, constraints: Any, *, p: float = 0.05) -> None:
        return None


_PROVIDER = "lstm-conformance"
AVAILABLE_PROVIDERS[_PROVIDER] = f"{__name__}.Provider"

Fails = Callable[[Recipe], Answer | None]

#: How many runs shrinking one failure may take. Hypothesis' own limit is 300 seconds, and nothing else.
PATIENCE_RUNS = 400

#: Cases take as long as the backend takes, and hold as much as its sizes ask for.
_UNCHECKED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


class Found(Exception):
    """Tells Hypothesis that the recipe at hand is a counterexample; always raised at one place."""


class Shrink:
    """One failure while Hypothesis shrinks it.

    Every recipe is run at most once. When the patience is spent, recipes already known to fail still do and all others
    pass, so that Hypothesis comes to its end at once.
    """

    def __init__(self, fails: Fails, seconds: float, outcome: Outcome | None = None) -> None:
        self._fails = fails
        self._seconds = seconds
        self._outcome = outcome
        self._known: dict[Recipe, Answer | None] = {}
        self._runs = 0
        self._deadline = time.monotonic() + seconds

    def begin(self, recipe: Recipe, answer: Answer) -> None:
        """Begin with a recipe that fails; the patience counts from here."""
        self._deadline = time.monotonic() + self._seconds
        self._known[recipe] = answer
        self._outcome = answer.outcome

    def seen(self, recipe: Recipe) -> Answer | None:
        """The answer on a recipe; a failure of another outcome is another defect."""
        if recipe not in self._known and self._runs < PATIENCE_RUNS and time.monotonic() < self._deadline:
            self._runs += 1
            answer = self._fails(recipe)
            if answer is not None and self._outcome not in (None, answer.outcome):
                answer = None
            if answer is not None:
                self._outcome = answer.outcome
            self._known[recipe] = answer
        return self._known.get(recipe)


def search(
    strategy: SearchStrategy[Recipe],
    fails: Callable[[Recipe], bool],
    examples: int,
    entropy: int,
    database: ExampleDatabase | None = None,
    shrink: bool = True,
) -> Recipe | None:
    """Draw up to ``examples`` recipes until one fails; the minimal one that Hypothesis finds, or None."""
    last: list[Recipe] = []

    def body(recipe: Recipe) -> None:
        last[:] = [recipe]
        try:
            failed = fails(recipe)
        except (Closed, Gone) as end:
            # Only at a KeyboardInterrupt Hypothesis does not keep the recipe, as a failure, for the next run.
            raise KeyboardInterrupt from end
        if failed:
            raise Found

    phases = [Phase.reuse] * (database is not None) + [Phase.generate] + [Phase.shrink] * shrink
    run = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        derandomize=False,
        database=database,
        phases=phases,
        suppress_health_check=_UNCHECKED,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        backend=_PROVIDER,
    )(hypothesis.seed(entropy)(hypothesis.given(strategy)(body)))
    try:
        run()
    except Found:
        return last[0]
    except KeyboardInterrupt as interrupt:
        raise interrupt.__cause__ or interrupt from None
    return None


def drawn(strategy: SearchStrategy[Recipe], examples: int, entropy: int) -> list[Recipe]:
    """The recipes that ``search`` draws if none of them fails, and no database has examples."""
    recipes: list[Recipe] = []

    def note(recipe: Recipe) -> bool:
        recipes.append(recipe)
        return False

    search(strategy, note, examples, entropy)
    return recipes
