"""Fresh cases, which took no part in the search: does what was found explain them too?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from random import Random

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.choices import judged_dtypes
from conformance.cases.recipe import STATES, Recipe
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call, Probe
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.facts import Alteration

#: Fresh cases, and those that are made of the recipes that failed.
_FRESH, _LIKE_FAILURES = 40, 16

#: So many elements of all layers' outputs are few.
SMALL = 4000

#: Fewer cases than this, in which the backend is wrong, confirm nothing.
TELLING = 4


@dataclass(frozen=True, eq=False)
class Fresh:
    """A call, what it is in words, and the backend's reply."""

    words: str
    call: Call
    reply: Reply
    #: The recipe, if it has one.
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Score:
    """How many fresh cases a hypothesis explains, of all, and of those in which the backend is wrong."""

    explained: int
    tried: int
    telling: int
    explained_telling: int
    unexplained: str | None

    @property
    def whole(self) -> bool:
        """Whether it explains every case, and enough of them show something."""
        return self.explained == self.tried and self.telling >= TELLING

    @property
    def most(self) -> bool:
        """Whether it explains most of the cases that show something."""
        return self.telling >= TELLING and 2 * self.explained_telling > self.telling


#: What is called for a recipe and its case.
Vary = Callable[[Recipe, Case, Random], Call]


def forward_call(recipe: Recipe, case: Case, rng: Random) -> Call:
    """The forward call of a case."""
    return Call(case)


def fresh_cases(
    backend: Backend,
    ask: Callable[[Call], Reply],
    failed: Sequence[Recipe],
    deadline: float,
    seed: int = 0,
    vary: Vary = forward_call,
    dtypes: Sequence[str] | None = None,
) -> list[Fresh]:
    """Cases over all that is declared, and others like those that failed, with the backend's replies.

    ``vary`` makes the call; in ``dtypes`` alone, if they are given.
    """
    rng = Random(seed)
    dtypes = valued_dtypes(backend) if dtypes is None else dtypes
    recipes = [_random(backend, rng, dtypes) for _ in range(_FRESH)]
    small = [recipe for recipe in failed if recipe.H * recipe.L * recipe.N * recipe.layers < SMALL]
    recipes += islice(chain.from_iterable(zip(*map(reseeded, small), strict=True)), _LIKE_FAILURES)
    found = []
    for recipe in recipes:
        if time.monotonic() > deadline:
            break
        try:
            case = realise(recipe, backend.capabilities.fixed)
        except UsageError:
            continue
        # What is made of a recipe depends on nothing else: so it can be made beforehand.
        call = vary(recipe, case, Random(recipe.seed))
        found.append(Fresh(str(recipe), call, ask(call), recipe))
    return answered(found)


def reseeded(recipe: Recipe) -> Iterator[Recipe]:
    """The same again with other values, lying plainly in memory."""
    rng = Random(recipe.seed)
    for _ in range(_LIKE_FAILURES):
        yield replace(recipe, seed=rng.randrange(2**32), edits=(), turn=0, view="plain")


def answered(found: Iterable[Fresh]) -> list[Fresh]:
    """Those of which a recording has the answer."""
    return [one for one in found if not one.reply.unanswered]


def again(probes: Iterable[Probe], ask: Callable[[Call], Reply], deadline: float) -> list[Fresh]:
    """Probes that can be made again from other seeds, with the backend's replies."""
    found = []
    for probe in probes:
        for seed in range(probe.times if probe.again is not None else 0):
            if probe.again is not None and time.monotonic() < deadline:
                call = probe.again(100 + seed)
                found.append(Fresh(f"{call.case.describe()}, {probe.name}", call, ask(call)))
    return answered(found)


def _random(backend: Backend, rng: Random, dtypes: Sequence[str]) -> Recipe:
    c = backend.capabilities

    def option(declared: bool) -> bool:
        return declared and rng.random() < 0.5

    features, units, steps, rows = rng.sample(range(2, 9), 4)
    rows = rows % 5 or 1 if c.batch else 1
    unbatched = c.unbatched and rng.random() < 0.2
    proj = rng.randrange(1, units) if option(c.projection) else 0
    return Recipe(
        I=features,
        H=units,
        layers=rng.choice((1, 1, 2, 3)) if c.layers else 1,
        bidirectional=option(c.bidirectional),
        bias=not (c.no_bias and rng.random() < 0.25),
        batch_first=not c.time_major or option(c.batch_first),
        unbatched=unbatched,
        proj=proj,
        dtype=rng.choice(dtypes),
        L=steps,
        N=1 if unbatched else rows,
        state=rng.choice(STATES) if c.initial_state else "none",
        ragged=not unbatched and option(c.lengths),
        gain=rng.choice((0.5, 1.0, 2.0)),
        seed=rng.randrange(2**32),
    )


def valued_dtypes(backend: Backend) -> list[str]:
    """The declared dtypes whose values can be judged here."""
    return [d for d in judged_dtypes(backend) if backend.capabilities.arithmetic.get(d) != "int8"]


def score(predictions: Predictions, hypothesis: tuple[Alteration, ...], cases: Sequence[Fresh]) -> Score:
    """How a hypothesis fares on fresh cases."""
    explained, telling, both, unexplained = 0, 0, 0, None
    for one in cases:
        right = predictions.explains(hypothesis, one.call, one.reply)
        wrong = not predictions.explains((), one.call, one.reply)
        explained, telling, both = explained + right, telling + wrong, both + (right and wrong)
        if not right and unexplained is None:
            unexplained = one.words
    return Score(explained, len(cases), telling, both, unexplained)
