"""Which random case comes next where time is short: the one that teaches most for the time that it takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from conformance.cases.choices import choices
from conformance.cases.recipe import Recipe
from conformance.cases.sizes import Occurred, work

#: So many recipes are drawn at a time, and every second is taken.
LOOKS = 32

#: The work of a case that takes twice the time of the smallest.
_LITTLE = 20_000


class Lessons:
    """What the cases of a run have taught: the combinations of options and sizes that occurred in them."""

    def __init__(self, met: Iterable[Recipe]) -> None:
        self._occurred = Occurred()
        for recipe in dict.fromkeys(met):
            self._occurred.add(recipe, choices(recipe))

    def choose(self, drawn: Sequence[Recipe]) -> list[Recipe]:
        """Half of the recipes that were drawn, in the order in which each teaches most after those before it.

        What a recipe teaches is the number of new combinations of three, and of new sizes, for its time.
        """
        left, chosen = list(dict.fromkeys(drawn)), list[Recipe]()
        while left and 2 * len(chosen) < len(drawn):
            best = max(left, key=self._worth)
            left.remove(best)
            chosen.append(best)
            self._occurred.add(best, choices(best))
        return chosen

    def _worth(self, recipe: Recipe) -> float:
        """What a recipe would teach, for its time."""
        load = recipe.layers * (1 + recipe.bidirectional) * work(recipe.I, recipe.H, recipe.L, recipe.N)
        return (1 + self._occurred.gain(recipe, choices(recipe))) / (1 + load / _LITTLE)
