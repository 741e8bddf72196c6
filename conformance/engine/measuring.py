"""What is measured while a backend is judged: the choices of its cases, their errors, and the time of their calls.

It keeps a few numbers for each size, however many cases there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from conformance.cases.choices import Factors, choices
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer
from conformance.facts import Measured

#: So many times of one size are kept at most: each of the first cases', then every second, every fourth …
_KEPT = 256


class Measuring:
    """The measurements of one run."""

    def __init__(self, factors: Factors) -> None:
        self.choices = {name: dict.fromkeys(map(_word, values), 0) for name, values in factors}
        self._sizes: dict[tuple[str, int, int], _Size] = {}
        self._called: set[Recipe] = set()
        self._judged: set[Recipe] = set()

    def add(self, recipe: Recipe, answers: Sequence[Answer]) -> None:
        """The answers about one case. Of a case that is offered again only the margin is new."""
        seconds = next((answer.took for answer in answers if answer.took is not None), None)
        if seconds is None:
            return
        key = recipe.dtype, _power(recipe.L), _power(recipe.H)
        size = self._sizes.setdefault(key, _Size())
        if recipe not in self._called:
            self._called.add(recipe)
            size.add(seconds)
        if recipe not in self._judged and any(answer.judged for answer in answers):
            self._judged.add(recipe)
            for name, value in choices(recipe):
                of_name = self.choices[name]
                of_name[_word(value)] = of_name.get(_word(value), 0) + 1
        for answer in answers:
            if answer.share is not None:
                size.margin = max(size.margin or 0.0, answer.share)

    def measured(self) -> tuple[Measured, ...]:
        """The measurements by size, the smallest first."""
        return tuple(
            Measured(*key, size.cases, size.margin, median(size.seconds)) for key, size in sorted(self._sizes.items())
        )


class _Size:
    def __init__(self) -> None:
        self.cases = 0
        self.margin: float | None = None
        self.seconds: list[float] = []
        #: One time in so many is kept.
        self._every = 1

    def add(self, seconds: float) -> None:
        if self.cases % self._every == 0:
            self.seconds.append(seconds)
        if len(self.seconds) == _KEPT:
            self.seconds, self._every = self.seconds[::2], 2 * self._every
        self.cases += 1


def _power(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << max(0, number - 1).bit_length()


def _word(value: object) -> str:
    """A value of a choice for readers in any language."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
