"""The conditions under which a backend fails, found by experiments around one failing case.

From the simplest case that fails, each field is varied alone. The cheapest conjunction of traits that tells the failing
from the passing (``table.py``) is then tried on random cases that have all of its traits, and on such as lack exactly
one: a case on the wrong side widens or narrows it, until none is. So are cases on which another conjunction that tells
all that was asked says otherwise, and cases near one on the wrong side, which may be of a rare kind. Fresh cases, which
took no part, give the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from conformance.cases.recipe import Recipe
from conformance.diagnosis.asking import Asker, Late, called
from conformance.diagnosis.draws import SIMPLE, Draws, likely
from conformance.diagnosis.table import Sample, Table
from conformance.diagnosis.thresholds import thresholds
from conformance.diagnosis.traits import ORDER, PRODUCTS, features, holds
from conformance.engine.judging import Answering
from conformance.facts import Conditions, Trait
from conformance.properties.model import Property
from conformance.spec import finfo

#: Rounds of random cases, and how many of each kind are asked in a round, and of fresh ones at the end.
_SEEDS, _TRIED_SEEDS = 6, 60
_ROUNDS, _INSIDE, _LACKING, _ANY, _FRESH, _TIMES_FRESH, _FEW = 12, 10, 4, 6, 30, 3, 20

#: Cases near those on the wrong side in a round, and of so many of those, the latest; and rivals that are told apart,
#: by so many cases each.
_ODD, _LATEST, _RIVALS, _APART = 8, 12, 5, 2

#: So many cases are drawn for one of a kind that is wanted; of those, the values of so many are worked out.
_DRAWS, _VALUED = 300, 25


def conditions(judge: Answering, property: Property, recipe: Recipe, deadline: float) -> Conditions | None:
    """The conditions of a failure whose minimal case is ``recipe``; None if they are not known by the deadline.

    ``deadline`` is a time of ``time.monotonic``; no case is asked after it. Wherever the failure shows in the values
    of one call, calls are judged by the oracle, and else by ``property``.
    """
    search = Experiments(judge, property, recipe, deadline)
    try:
        if not search.begin(recipe):
            return search.threshold
        search.refine()
    except Late:
        pass
    return search.counted()


class Experiments:
    """The cases that are asked around one failure, and what they tell."""

    def __init__(self, judge: Answering, property: Property, recipe: Recipe, deadline: float) -> None:
        self.asker = Asker(judge, property, deadline)
        self.backend, self.property = judge.backend, property
        self.table = Table()
        self.failing: list[Recipe] = []
        #: Those that were on the wrong side when they were asked.
        self.odd: list[Recipe] = []
        self.draws = Draws(self.backend, replace(recipe, edits=()))
        self.traits: tuple[Trait, ...] = ()
        self.fresh: list[Sample] = []
        #: Conditions of values alone, which one-unit models told.
        self.threshold: Conditions | None = None

    # The simplest case that fails

    def begin(self, recipe: Recipe) -> bool:
        """Find a case without edits that fails, simplify it, vary each field; False if there is no more to find."""
        base = self.base(recipe)
        if base is None:
            return False
        self.draws = self._draws(base)
        # Where it depends on values, one-unit models tell more, and sooner.
        of_values = self.asker.whole and (base.fill != "normal" or self._share(base) < 1.0)
        if of_values and self._found_threshold(base.dtype):
            return False
        base = self._simplified(base)
        self.draws.base = base
        self._settle(base)
        for varied in self.draws.variations():
            self._ask(varied)
        return True

    def _settle(self, base: Recipe) -> None:
        """Find out whether the failure depends on values; if it does not, all cases have ordinary ones.

        A dtype in which it shows now and then says nothing of the conditions: others show it better.
        """
        shares = {dtype: self._share(replace(base, dtype=dtype)) for dtype in self.draws.dtypes}
        if shares[base.dtype] == 1.0:
            self.asker.ranging = False
            self.draws.fills, self.draws.gains = (base.fill,), (base.gain,)
            self.draws.dtypes = tuple(dtype for dtype, share in shares.items() if dtype == base.dtype or not share)

    def _share(self, base: Recipe) -> float:
        """The share of seeds at which a case fails that leave its lengths alike; 0 if nothing is said of it."""
        seeds = (replace(base, seed=base.seed + seed) for seed in range(_TRIED_SEEDS))
        alike = [one for one in seeds if features(one) == features(base)][:_SEEDS]
        return [self._ask(one) for one in alike].count(True) / len(alike)

    def _draws(self, base: Recipe) -> Draws:
        return Draws(self.backend, base)

    def drawn_around(self, base: Recipe) -> Draws:
        """Draws of cases around one that fails."""
        self.draws = self._draws(base)
        self._settle(base)
        return self.draws

    def base(self, recipe: Recipe) -> Recipe | None:
        """A case without edits that fails, by its whole call or else by the property; None if values alone tell."""
        plain = replace(recipe, edits=())
        evidence = self.asker.evidence(recipe)
        candidates = [plain] if evidence is None else [called(plain, evidence), plain]
        for one in likely(candidates):
            self.draws.base = one
            possible = self.draws.possible(replace(one, turn=0))
            if possible is not None and self._ask(possible):
                return possible
        if self._found_threshold(recipe.dtype):
            return None
        self.asker.turn_to_property()
        self.table, self.failing = Table(), []
        for seed in range(6):
            if self._ask(replace(plain, seed=plain.seed + seed)):
                return replace(plain, seed=plain.seed + seed)
        return None

    def _found_threshold(self, dtype: str) -> bool:
        """Whether values alone tell where it fails."""
        self.threshold = thresholds(self.asker.judge, dtype, self.asker.in_time)
        precise = min(self.draws.dtypes, key=lambda dtype: float(finfo(dtype).eps))
        if precise != dtype and (self.threshold is None or self.threshold.traits[0].dimension != "dtype"):
            # The same in each dtype, or too small for this one.
            self.threshold = thresholds(self.asker.judge, precise, self.asker.in_time) or self.threshold
        return self.threshold is not None and self.threshold.exact

    def _simplified(self, base: Recipe) -> Recipe:
        # What is more precise shows more.
        precise = sorted(self.draws.dtypes, key=lambda dtype: float(finfo(dtype).eps))
        base = next((one for dtype in precise if (one := self._if_fails(replace(base, dtype=dtype)))), base)
        for name, simple in SIMPLE.items():
            own = getattr(base, name)
            if isinstance(own, int) and not isinstance(own, bool):
                base = self._least(base, name, int(simple))
            elif own != simple:
                base = self._if_fails(replace(base, **{name: simple})) or base
        return base

    def _least(self, base: Recipe, name: str, least: int) -> Recipe:
        """The base with a size as small as halving finds it."""
        if simplest := self._if_fails(replace(base, **{name: least})):
            return simplest
        low = least
        while getattr(base, name) - low > 1:
            middle = (low + getattr(base, name)) // 2
            smaller = self._if_fails(replace(base, **{name: middle}))
            if smaller is None:
                low = middle
            else:
                base = smaller
        return base

    def _if_fails(self, recipe: Recipe) -> Recipe | None:
        possible = self.draws.possible(recipe)
        if possible is None:
            return None
        tries = (possible, replace(possible, seed=possible.seed + 1))
        return next((one for one in tries if self._ask(one)), None)

    # Asking

    def _ask(self, recipe: Recipe) -> bool | None:
        failed = self.asker.fails(recipe)
        if failed is not None:
            self.take(recipe, failed)
        return failed

    def take(self, recipe: Recipe, failed: bool) -> None:
        """Take a case that was asked into account."""
        self.table.add(self._sample(recipe, failed))
        if failed:
            self.failing.append(recipe)

    def _sample(self, recipe: Recipe, failed: bool) -> Sample:
        return Sample({**features(recipe), **self.asker.ranges(recipe)}, failed)

    # Random cases on both sides

    def refine(self) -> None:
        """Ask random cases on both sides until the conjunction tells them apart; then fresh ones."""
        rounds = iter(range(_ROUNDS))
        for _ in range(_TIMES_FRESH):
            quiet = 0
            while quiet < 2 and next(rounds, None) is not None:
                self.traits, known = self.table.smallest(self.traits), len(self.odd)
                self._look_beside()
                for wanted in self._wanted(_INSIDE, _LACKING, _ANY):
                    self._asked(wanted, self.failing)
                for rival in self.table.rivals(self.traits, _RIVALS):
                    for _ in range(_APART):
                        self._asked(self._between(rival), self.failing)
                for _ in range(_ODD if self.odd else 0):
                    self._asked(lambda case, valued: True, self.odd[-_LATEST:])
                quiet = quiet + 1 if len(self.odd) == known else 0
            self.traits, known = self.table.smallest(self.traits), len(self.odd)
            lacking = -(-_FRESH // max(1, 2 * len(self.traits)))
            self.fresh = []
            every = list(self._wanted(_FRESH, lacking, _FRESH // 2))
            # Where time runs out, there are some of each kind.
            self.draws.rng.shuffle(every)
            for wanted in every:
                if (one := self._asked(wanted, self.failing)) is not None:
                    self.fresh.append(one)
            # What the fresh cases contradict is looked at more closely, mended, and tried on others.
            if len(self.odd) == known:
                break

    def _look_beside(self) -> None:
        """Ask for the size before each threshold, as long as that fails too; of a product, for fewer steps or rows."""
        for trait in self.traits:
            if trait.dimension in PRODUCTS and trait.relation == ">=":
                self._look_below(trait.dimension, int(trait.value))
            name, step = trait.dimension, {">=": -1, "<=": 1}.get(trait.relation)
            if step is None or name not in ("layers", "I", "H", "L", "N", "proj"):
                continue
            nearest = next((one for one in self.failing if getattr(one, name) == trait.value), None)
            while nearest is not None and getattr(nearest, name) + step > 0:
                nearest = self._if_fails(replace(nearest, **{name: getattr(nearest, name) + step}))

    def _look_below(self, product: str, value: int) -> None:
        """Find the least product that fails, of as few steps as there can be: many rows take less time."""
        nearest = next((one for one in self.failing if features(one)[product] == value), None)
        if nearest is None or "N" not in product:
            return
        few = (replace(nearest, L=L, I=1, N=-(-value // L)) for L in (1, 2) if "L" in product)
        self._least(next(filter(None, map(self._if_fails, few)), nearest), "N", 1)

    def _wanted(self, inside: int, lacking: int, any: int) -> Iterator[Callable[[Any, bool], bool]]:
        """What is wanted of each case of a round, of its features, whose values may not be known yet."""
        for _ in range(inside):
            yield lambda case, valued: all(holds(t, case) for t in self.traits if valued or t.dimension in case)
        for trait in self.traits:
            for _ in range(lacking):
                yield lambda case, valued, trait=trait: all(
                    holds(t, case) != (t == trait) for t in self.traits if valued or t.dimension in case
                )
        for _ in range(any if self.traits else 0):
            yield lambda case, valued: not valued or not self._inside(case)

    def _between(self, rival: Sequence[Trait]) -> Callable[[Any, bool], bool]:
        """Whether a rival says otherwise of a case than the conjunction."""
        dimensions = {trait.dimension for trait in (*rival, *self.traits)}

        def wanted(case: Any, valued: bool) -> bool:
            if not valued and not dimensions <= case.keys():
                return True
            return self._inside(case) != all(holds(trait, case) for trait in rival)

        return wanted

    def _asked(self, wanted: Callable[[Any, bool], bool], around: Sequence[Recipe]) -> Sample | None:
        """Draw a case near one of some others that is as wanted, and ask it."""
        valued = 0
        for _ in range(_DRAWS):
            recipe = self.draws.near(self.draws.rng.choice(around))
            if recipe is None or not wanted(features(recipe), False):
                continue
            case = {**features(recipe), **self.asker.ranges(recipe)}
            valued += 1
            if wanted(case, True):
                failed = self.asker.fails(recipe)
                if failed is not None:
                    self.take(recipe, failed)
                    told = self.table.samples[-1]
                    if failed != self._inside(told.features):
                        self.odd.append(recipe)
                    if failed and recipe.dtype != self.draws.base.dtype:
                        self._forget(recipe.dtype)
                    return told
            if valued >= _VALUED:
                return None
        return None

    def _forget(self, dtype: str) -> None:
        """Leave out a dtype in which the failure shows after all, though not at the base: it says nothing clear."""
        self.draws.dtypes = tuple(one for one in self.draws.dtypes if one != dtype)
        self.table = Table([one for one in self.table.samples if one.features["dtype"] != dtype])
        self.failing = [one for one in self.failing if one.dtype != dtype]
        self.odd = [one for one in self.odd if one.dtype != dtype]

    def _inside(self, case: Any) -> bool:
        return all(holds(trait, case) for trait in self.traits)

    def counted(self) -> Conditions | None:
        """The conditions with their counts: of fresh cases, or of all where time allowed none."""
        if not self.failing or len(self.table.samples) < 2:
            return None
        if not self.traits:
            self.traits = self.table.smallest()
        cases = self.fresh if len(self.fresh) >= _FEW else self.table.samples
        inside = [one.failed for one in cases if self._inside(one.features)]
        outside = [one.failed for one in cases if not self._inside(one.features)]
        traits = tuple(sorted(self.traits, key=lambda trait: ORDER.index(trait.dimension)))
        return Conditions(traits, sum(inside), len(inside), sum(outside), len(outside))
