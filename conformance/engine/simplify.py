"""The simplifier: makes a failing case readable, deterministically, after Hypothesis has shrunk its structure.

First the recipe's own fields are tried at their simplest; then edits are taken on the concrete arrays, each kept only
if the property still fails: delete a time step, row, feature or unit; zero whole tensors, then gates, then halves; make
what is left ±1, or round it. Edits are part of the recipe's text, so the simplified case replays like any other.

Invariant: the recipe at hand fails in the way it failed first; a candidate that does not never replaces it.
Termination: fields are tried once each; a deletion that is kept leaves one element fewer on its axis; pieces of a
tensor are halved until they are one element; and no more than ``budget`` candidates are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from conformance.backend import Capabilities
from conformance.cases.case import Case, realise, tensors
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer
from conformance.spec import LSTMConfig, Params

Fails = Callable[[Recipe], Answer | None]


class Spent(Exception):
    """Raised by ``fails`` when its time is up: what was found by then is the simplest."""


def simplify(
    recipe: Recipe,
    answer: Answer,
    fails: Fails,
    declared: Capabilities,
    dtype: str,
    budget: int,
) -> tuple[Recipe, Answer]:
    """The simplest recipe found, with its answer, within ``budget`` runs of ``fails``.

    ``dtype`` is the simplest one that may be tried; the sizes of a backend that is ``declared`` compiled are left
    alone, and one without time-major calls gets none. A simpler recipe must fail in the same way (outcome).
    """
    fixed, compiled = declared.fixed, declared.compiled
    left = budget

    def keep(candidate: Recipe) -> bool:
        nonlocal recipe, answer, left
        if candidate == recipe:
            return False
        if left <= 0:
            raise Spent
        left -= 1
        again = fails(candidate)
        if again is None or again.outcome != answer.outcome:
            return False
        recipe, answer = candidate, again
        return True

    with suppress(Spent):
        for changes in _fields(recipe, declared, dtype):
            keep(replace(recipe, **changes))  # type: ignore[arg-type]
        for candidate in () if compiled else _deletions(lambda: recipe, fixed is not None):
            keep(candidate)
        for how in ("0", "1", "r"):
            case = realise(recipe, fixed)
            for name in _editable(case, fixed is not None):
                _ranges(name, how, lambda: recipe, keep, fixed)
        keep(replace(recipe, edits=_joined(recipe.edits)))
    return recipe, answer


def _fields(recipe: Recipe, declared: Capabilities, dtype: str) -> Iterator[dict[str, object]]:
    """Simpler values of the recipe's fields, those that simplify the most first."""
    fixed = declared.fixed is not None
    yield {"turn": 0}
    yield {"view": "plain"}
    yield {"state": "none"}
    yield {"ragged": False}
    if not fixed:
        yield {"layers": 1}
        yield {"layers": 2} if recipe.layers > 2 else {}
        yield {"bidirectional": False}
        yield {"proj": 0}
        yield {"bias": True}
        yield {"batch_first": not declared.time_major}
        yield {"dtype": dtype}
        yield {"gain": 1.0}
    yield {"unbatched": False}
    yield {"fill": "normal"}
    sizes = "" if declared.compiled else "LN" if fixed else "LNHI"
    for name in sizes:
        given = getattr(recipe, name)
        least = recipe.proj + 1 if name == "H" and recipe.proj else 1
        for value in sorted({least, least + 1, given // 2}):
            if least <= value < given:
                yield {name: value}
    yield {"seed": 0}


def _deletions(current: Callable[[], Recipe], fixed: bool) -> Iterator[Recipe]:
    """Deletions of single steps, rows, features and units, from the last to the first."""
    for what, axis in (("t", "L"), ("n", "N"), ("u", "H"), ("i", "I")):
        if fixed and what in "ui":
            continue
        size = getattr(current(), axis)
        for index in reversed(range(min(size, 12))):
            deleted = sum(edit.startswith(f"-{what}") for edit in current().edits)
            room = size - deleted > (current().proj + 1 if what == "u" else 1)
            if room:
                yield _edited(current(), f"-{what}{index}")


def _edited(recipe: Recipe, edit: str) -> Recipe:
    return replace(recipe, edits=(*recipe.edits, edit))


def _editable(case: Case, fixed: bool) -> list[str]:
    names = [name for name, value in tensors(case).items() if value.any()]
    return [name for name in names if name in ("x", "h_0", "c_0")] if fixed else names


def _ranges(
    name: str,
    how: str,
    current: Callable[[], Recipe],
    keep: Callable[[Recipe], bool],
    fixed: tuple[LSTMConfig, Params] | None,
) -> None:
    """Try an edit on a whole tensor, then on its quarters (the gates), then on ever smaller pieces."""
    size = tensors(realise(current(), fixed))[name].size
    pieces = [(0, size)]
    while pieces:
        first, last = pieces.pop(0)
        values = tensors(realise(current(), fixed))[name].reshape(-1)[first:last]
        if not values.any() or (how != "0" and np.array_equal(values, np.rint(values))):
            continue
        span = "" if last - first == size else _span(first, last)
        if keep(_edited(current(), f"{how}:{name}{span}")):
            continue
        parts = 4 if last - first == size and size % 4 == 0 else 2
        step = -(-(last - first) // parts)
        if last - first > 1 and how == "0":
            pieces += [(at, min(at + step, last)) for at in range(first, last, step)]


def _joined(edits: tuple[str, ...]) -> tuple[str, ...]:
    """The same edits with neighbouring ranges of a tensor as one: ``0:x[0],0:x[1:4]`` is ``0:x[0:4]``."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for edit in edits:
        place, bracket, span = edit.rstrip("]").partition("[")
        own = spans.setdefault(place, [])
        if bracket:
            first, colon, last = span.partition(":")
            own.append((int(first), int(last) if colon else int(first) + 1))
    joined = []
    for place, own in spans.items():
        if not own:
            joined.append(place)
        merged = list[tuple[int, int]]()
        for first, last in sorted(own):
            if merged and first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        joined += [f"{place}{_span(first, last)}" for first, last in merged]
    return tuple(joined)


def _span(first: int, last: int) -> str:
    return f"[{first}]" if last - first == 1 else f"[{first}:{last}]"
