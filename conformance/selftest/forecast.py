"""Do the conditions that a diagnosis tells say where a fault fails? Asked of fresh cases, half of which fail.

They are drawn with a seed of their own around a case that failed, and judged as the diagnosis judges them: by one whole
call where that shows the fault, else by the property that failed. Where the conditions are of values, random cases
rarely have them: then fresh values are tabulated too, over their whole range and around the ends of the window.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace

import numpy as np

from conformance.backend import Backend
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.asking import Asker, Late
from conformance.diagnosis.conditions import Experiments
from conformance.diagnosis.confirmation import valued_dtypes
from conformance.diagnosis.draws import FILLS
from conformance.diagnosis.earlier import Sequences, of_earlier_calls
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.thresholds import QUANTITIES, largest, wrong_values
from conformance.diagnosis.traits import features, holds
from conformance.engine.judging import Here
from conformance.facts import Conditions
from conformance.properties import catalogue
from conformance.report.model import Verdict

#: So many cases of each kind are wanted, of so many draws, in so many seconds; fewer than the least tell nothing. The
#: seconds are many: a busy machine must not decide what a diagnosis is worth.
_EACH, _DRAWS, _SECONDS, _LEAST = 30, 600, 120.0, 5

#: A fault of which that many cases in a row say the same has no conditions.
_ALIKE = 40

#: After so many, of which hardly any differ, no more are asked.
_MANY = 120

#: Values that are tabulated over their range, and around each end of a window.
_VALUES = 40

#: Sequences of calls, where earlier ones matter.
_SEQUENCES = 200

#: The seeds at which a case is asked.
_SEEDS = 4

#: The share of cases that the conditions must tell.
SHARE = 0.97

_SEED = 20_241


@dataclass(frozen=True)
class Forecast:
    """How many fresh cases failed, how many passed, and of how many the conditions said so."""

    failed: int = 0
    passed: int = 0
    told: int = 0
    #: Cases that were asked until there were enough: those that failed, and those that passed.
    asked: tuple[int, int] = (0, 0)

    @property
    def right(self) -> bool:
        """Whether the conditions tell where it fails."""
        enough = min(self.failed, self.passed) >= _LEAST
        return enough and self.agreed

    @property
    def agreed(self) -> bool:
        """Whether the conditions said what came out."""
        return self.told >= SHARE * (self.failed + self.passed)

    @property
    def both(self) -> bool:
        """Whether there is something to tell: enough cases fail, and enough pass."""
        return min(self.asked) >= _LEAST

    @property
    def alike(self) -> bool:
        """Whether there is nothing to tell: (nearly) all cases fail, or none but the one that was found."""
        return not self.both and sum(self.asked) >= _ALIKE

    def __add__(self, other: Forecast) -> Forecast:
        asked = self.asked[0] + other.asked[0], self.asked[1] + other.asked[1]
        return Forecast(self.failed + other.failed, self.passed + other.passed, self.told + other.told, asked)


def forecast(backend: Backend, verdict: Verdict, told: Conditions | None) -> Forecast:
    """What the conditions of a failure say of fresh cases."""
    assert verdict.recipe is not None
    deadline = time.monotonic() + _SECONDS
    if told is not None and any(of_earlier_calls(trait) for trait in told.traits):
        return _in_sequence(backend, parse(verdict.recipe), told, deadline)
    experiments = Experiments(Here(backend), catalogue()[verdict.property], parse(verdict.recipe), deadline)
    try:
        drawn = _asked(experiments, parse(verdict.recipe), told)
        return drawn if told is None else drawn + _tabulated(experiments, told)
    except Late:
        return Forecast()


def _asked(experiments: Experiments, recipe: Recipe, told: Conditions | None) -> Forecast:
    base = experiments.base(recipe)
    asker, draws = experiments.asker, experiments.draws
    if base is None:
        if experiments.threshold is None:
            return Forecast()
        # Of values alone: whatever they are.
        base, draws.fills, draws.gains = recipe, FILLS, (1.0, 3.0, 10.0)
    else:
        draws = experiments.drawn_around(base)
    draws.rng = random.Random(_SEED)
    near, counts, asked, right = [base], [0, 0], [0, 0], 0
    for _ in range(_DRAWS):
        if min(counts) >= _EACH:
            break
        drawn = draws.near(draws.rng.choice(near))
        if drawn is None:
            continue
        try:
            failed = _fails(asker, drawn, told)
        except Late:
            break
        if failed is None:
            continue
        asked[failed] += 1
        if min(asked) < _LEAST and sum(asked) >= _MANY:
            break
        if counts[failed] >= _EACH:
            continue
        counts[failed] += 1
        if failed:
            near.append(drawn)
        right += told is not None and _said(told, drawn, asker) == failed
    return Forecast(counts[True], counts[False], right, (asked[True], asked[False]))


def _fails(asker: Asker, recipe: Recipe, told: Conditions | None) -> bool | None:
    """Whether a case fails; a call at one of a few seeds, since rounding hides some errors, or of values at its own."""
    if not asker.whole:
        return asker.fails(recipe)
    own = features(recipe)
    count = _SEEDS if told is None or all(trait.dimension in own for trait in told.traits) else 1
    seeds = [replace(recipe, seed=recipe.seed + k) for k in range(count)]
    said = [asker.fails(one) for one in seeds if features(one) == own]
    return True if True in said else said[0]


def _said(told: Conditions, recipe: Recipe, asker: Asker) -> bool:
    """Whether conditions say that a case fails; a value that no case tells of is in none."""
    case = {**features(recipe), **asker.ranges(recipe)}
    return all(trait.dimension in case and holds(trait, case) for trait in told.traits)


def _in_sequence(backend: Backend, recipe: Recipe, told: Conditions, deadline: float) -> Forecast:
    """What conditions of earlier calls say of the last of fresh sequences."""
    sequences = Sequences(Here(backend), Predictions(backend), recipe, valued_dtypes(backend)[0], _SEED)
    samples = sequences.ask(_SEQUENCES, deadline)
    failed = sum(one.failed for one in samples)
    right = sum(all(holds(trait, one.features) for trait in told.traits) == one.failed for one in samples)
    return Forecast(failed, len(samples) - failed, right, (failed, len(samples) - failed))


def _tabulated(experiments: Experiments, told: Conditions) -> Forecast:
    """What conditions of values, in a dtype or in all, say of fresh values; nothing where they are of anything else."""
    windows = [trait for trait in told.traits if trait.dimension.strip("|") in (*QUANTITIES, "a")]
    names = {trait.dimension for trait in windows}
    if len(names) != 1 or any(t.dimension != "dtype" or t.relation != "=" for t in told.traits if t not in windows):
        return Forecast()
    own = {str(trait.value) for trait in told.traits if trait.dimension == "dtype"}
    name = names.pop()
    quantities = [q for q in QUANTITIES if q.startswith("a_")] if name.strip("|") == "a" else [name.strip("|")]
    rng, found = np.random.default_rng(_SEED), Forecast()
    for dtype in experiments.draws.dtypes:
        for quantity in quantities:
            ends = [float(trait.value) for trait in windows]
            reach = largest(quantity, dtype)
            spread = [
                10 ** rng.uniform(-4, np.log10(reach), _VALUES),
                *(end * 4 ** rng.uniform(-1, 1, _VALUES) for end in ends),
            ]
            values = np.concatenate(spread)
            values = values[values < reach]
            wrong = wrong_values(experiments.asker.judge, quantity, dtype, values, experiments.asker.in_time)
            # Not every gate need have the window: those that are never wrong are no part of it.
            if wrong is None or (len(quantities) > 1 and not wrong.any()):
                continue
            within = np.all(
                [values >= float(t.value) if t.relation == ">=" else values <= float(t.value) for t in windows], axis=0
            )
            within = np.stack([within, within & name.startswith("|")]) & (not own or dtype in own)
            found += Forecast(int(wrong.sum()), int((~wrong).sum()), int((wrong == within).sum()))
    return found
