"""Variations of recipes: edits such as the simplifier makes, and small changes, as a climb takes them.

All that a recipe can say is within reach: sizes that the suite draws, every fill, gains up to 20, any edit that fits.
The choices come from a ``random.Random``, so the same generator gives the same variation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random

from conformance.backend import Backend
from conformance.cases.case import Case, realise, tensors
from conformance.cases.choices import judged_dtypes
from conformance.cases.recipe import FILLS, STATES, VIEWS, Recipe
from conformance.errors import UsageError

#: The largest sizes, those that the suite draws; and the most work in a case, as a product of its sizes.
_MOST = {"I": 129, "H": 129, "L": 400, "N": 33}
_WORK = 4_000_000

#: Gains that the suite draws, and larger ones.
_GAINS = (0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0)
_MOST_GAIN = 20.0


def edited(recipe: Recipe, backend: Backend, rng: Random) -> Recipe:
    """The recipe with one to five more edits that fit it: whatever the simplifier may try."""
    declared = backend.capabilities
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        case = realise(recipe, declared.fixed)
        edit = _edit(case, rng, deletions=not declared.compiled)
        recipe = replace(recipe, edits=(*recipe.edits, edit))
    return recipe


def _edit(case: Case, rng: Random, deletions: bool) -> str:
    """One edit: a deletion now and then, or a change of a tensor, of one of its quarters, of a range or an element."""
    config = case.config
    room = {"t": (1, case.steps), "n": (1, case.batch)}
    if not case.fixed:
        room |= {"i": (1, config.input_size), "u": (config.proj_size + 1, config.hidden_size)}
    able = [what for what, (least, size) in room.items() if size > least]
    if deletions and able and rng.random() < 0.4:
        what = rng.choice(able)
        return f"-{what}{rng.randrange(room[what][1])}"
    names = [name for name in tensors(case) if not case.fixed or name in ("x", "h_0", "c_0")]
    name, how = rng.choice(names), rng.choice("0001r")
    size, kind = tensors(case)[name].size, rng.choice(("all", "quarter", "range", "element"))
    if kind == "all" or size < 2:
        return f"{how}:{name}"
    if kind == "element":
        return f"{how}:{name}[{rng.randrange(size)}]"
    if kind == "quarter" and size % 4 == 0:
        gate = rng.randrange(4)
        return f"{how}:{name}[{gate * size // 4}:{(gate + 1) * size // 4}]"
    first = rng.randrange(size - 1)
    return f"{how}:{name}[{first}:{rng.randrange(first + 1, size + 1)}]"


def mutated(recipe: Recipe, backend: Backend, rng: Random, turns: int) -> Recipe:
    """A recipe near by that a backend declares whose parameters can be chosen: one to three changes.

    ``turns`` is the number of variants that its turn chooses from.
    """
    changes = _changes(backend, turns)
    for _ in range(20):
        changed = recipe
        for _ in range(rng.choice((1, 1, 2, 3))):
            changed = rng.choice(changes)(changed, rng)
        if changed != recipe and _fits(changed, backend):
            return changed
    return replace(recipe, seed=rng.randrange(2**32))


Change = Callable[[Recipe, Random], Recipe]


def _changes(backend: Backend, turns: int) -> list[Change]:
    """The kinds of changes that a backend's declarations leave, those of the values most often."""
    c = backend.capabilities
    changes: list[Change] = [_another_seed] * 4 + [_a_gain] * 3 + [_a_fill] * 2 + [_another_edit, _fewer_edits]
    changes += [_a_size(name) for name in "LLIH" + "NN" * c.batch]
    changes += [_one_of("dtype", judged_dtypes(backend))]
    options: dict[str, tuple[bool, tuple[object, ...]]] = {
        "turn": (turns > 1, tuple(range(turns))),
        "layers": (c.layers, (1, 2, 3)),
        "bidirectional": (c.bidirectional, (False, True)),
        "bias": (c.no_bias, (True, False)),
        "batch_first": (c.batch_first, (False, True)),
        "state": (c.initial_state, STATES),
        "ragged": (c.lengths, (False, True)),
        "view": ("views" not in backend.ruled_out, VIEWS),
    }
    changes += [_one_of(name, values) for name, (able, values) in options.items() if able]
    changes += [lambda r, rng: replace(r, proj=rng.randrange(r.H))] if c.projection else []
    changes += [lambda r, rng: replace(r, unbatched=not r.unbatched, N=1, ragged=False)] if c.unbatched else []
    return changes


def _one_of(name: str, values: tuple[object, ...]) -> Change:
    return lambda r, rng: replace(r, **{name: rng.choice(values)})  # type: ignore[arg-type]


def _another_seed(recipe: Recipe, rng: Random) -> Recipe:
    return replace(recipe, seed=rng.choice((recipe.seed + 1, rng.randrange(2**32))))


def _a_fill(recipe: Recipe, rng: Random) -> Recipe:
    return replace(recipe, fill=rng.choice(FILLS))


def _a_gain(recipe: Recipe, rng: Random) -> Recipe:
    near = min(recipe.gain * rng.choice((0.5, 0.8, 0.95, 1.05, 1.25, 2.0)), _MOST_GAIN)
    # A recipe's text keeps six digits.
    return replace(recipe, gain=float(f"{rng.choice((near, rng.choice(_GAINS))):.3g}"))


def _a_size(name: str) -> Change:
    def change(recipe: Recipe, rng: Random) -> Recipe:
        now = getattr(recipe, name)
        wished = rng.choice((1, 2, now - 1, now + 1, now // 2, 2 * now, rng.randint(1, 20), _MOST[name]))
        return replace(recipe, **{name: min(max(wished, 1), _MOST[name])})

    return change


def _another_edit(recipe: Recipe, rng: Random) -> Recipe:
    with suppress(UsageError, ValueError):
        return replace(recipe, edits=(*recipe.edits, _edit(realise(recipe), rng, deletions=True)))
    return recipe


def _fewer_edits(recipe: Recipe, rng: Random) -> Recipe:
    return replace(recipe, edits=recipe.edits[: rng.randrange(len(recipe.edits) + 1)])


def declares(backend: Backend, recipe: Recipe) -> bool:
    """Whether a backend declares all that a recipe asks for."""
    c = backend.capabilities
    asked = {
        "layers": recipe.layers > 1,
        "bidirectional": recipe.bidirectional,
        "no_bias": not recipe.bias,
        "batch_first": recipe.batch_first,
        "unbatched": recipe.unbatched,
        "projection": recipe.proj > 0,
        "lengths": recipe.ragged,
        "initial_state": recipe.state != "none",
        "batch": recipe.N > 1,
    }
    views = recipe.view == "plain" or "views" not in backend.ruled_out
    return views and recipe.dtype in judged_dtypes(backend) and all(getattr(c, o) for o, used in asked.items() if used)


def _fits(recipe: Recipe, backend: Backend) -> bool:
    """Whether a recipe is one that can be realised, declared, and of bounded work."""
    if recipe.proj >= recipe.H or (recipe.unbatched and (recipe.N > 1 or recipe.ragged)):
        return False
    if (recipe.ragged and recipe.L == 1) or not declares(backend, recipe):
        return False
    if recipe.L * recipe.N * recipe.H * (recipe.I + recipe.H) * recipe.layers > _WORK:
        return False
    try:
        return not recipe.edits or bool(realise(recipe).steps)
    except UsageError:
        return False
