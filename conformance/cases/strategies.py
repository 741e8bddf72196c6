"""How Hypothesis draws recipes within what a backend declares, simplest first so that they shrink well.

Structure and one seed are drawn; values come from the seed. Sizes are pairwise distinct in most cases, since equal ones
hide swapped axes, and two of them are equal in the others; 1, 2^k and 2^k ± 1 up to 129 are among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from conformance.backend import Backend
from conformance.cases.choices import judged_dtypes
from conformance.cases.pool import pool
from conformance.cases.recipe import STATES, VIEWS, Recipe, model_fields
from conformance.cases.sizes import COINCIDENCES, dimension, equalled, work

T = TypeVar("T")

#: No row, step or feature for each of very many.
_EQUAL_UP_TO = 20

#: Common sizes several times over: most cases are small, and quick.
_SMALL = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20)
_FEATURES = (*_SMALL * 2, 31, 32, 33, 63, 64, 65, 127, 128, 129)
_STEPS = (*(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17) * 5, 31, 32, 33, 65, 100, 110, 120, 129, 129, 257, 400)
_ROWS = (*(1, 2, 3, 4, 5, 6) * 4, 7, 8, 9, 17, 33)

#: Ordinary weights most often; saturating and chaotic ones (3 and more) in about one case of four.
_GAINS = (1.0, 1.0, 0.3, 1.0, 0.5, 2.0, 1.5, 3.0, 5.0, 10.0, 1.0)
_FILLS = (*("normal",) * 8, "integers", "sparse", "constant", "ramp", "large-cell")


@st.composite
def recipes(draw: st.DrawFn, backend: Backend) -> Recipe:
    """Recipes of cases that the backend has declared."""
    c = backend.capabilities
    if c.compiled:
        return _free(draw, backend, draw(st.sampled_from(pool(backend))))
    # Simplest first: no two sizes are equal.
    equal = draw(st.sampled_from((*[None] * 30, *COINCIDENCES)))
    used: dict[str, int] = {}

    def size(name: str, pool: Sequence[int]) -> int:
        used[name] = draw(st.sampled_from([n for n in pool if n == 1 or n not in used.values()]))
        return used[name]

    unbatched = c.unbatched and draw(st.integers(0, 5)) == 5
    rows = size("N", _ROWS) if c.batch and not unbatched else 1
    model = _model(draw, backend, size) if c.fixed is None else model_fields(c.fixed[0])
    # Without outputs, a case takes as many runs as it has steps.
    steps = size("L", _STEPS if "output" in c.returns else _STEPS[:14])
    recipe = Recipe(
        **model,
        unbatched=unbatched,
        L=steps,
        N=rows,
        state=draw(st.sampled_from(STATES)) if c.initial_state else "none",
        ragged=steps > 1 and not unbatched and c.lengths and draw(st.booleans()),
        **_values(draw, backend),
    )
    if equal is None or (c.fixed is not None and equal[0] == "I"):
        return recipe
    return equalled(recipe, *equal) if dimension(recipe, equal[1]) <= _EQUAL_UP_TO else recipe


#: Thresholds of kernels and what lies beside them: powers of two, tiles, common sizes of models; and small ones, with
#: which steps and rows may be many.
_LARGE_FEATURES = (
    3,
    8,
    17,
    33,
    64,
    96,
    127,
    128,
    129,
    160,
    192,
    200,
    255,
    256,
    257,
    320,
    384,
    511,
    512,
    513,
    520,
    640,
    768,
    1000,
)
_LARGER_FEATURES = (1023, 1024, 1025, 1280, 1536, 2000, 2047, 2048)
_LARGE_STEPS = (1, 2, 17, 64, 100, 255, 256, 257, 512, 1000, 1024, 2048, 4095, 4096)
_LARGE_ROWS = (1, 2, 8, 16, 31, 32, 33, 64, 65, 100, 127, 128, 129, 255, 256)

#: How much work a large case may be, in products of a weight and an element.
_LARGE_WORK = 400_000_000


@st.composite
def large(draw: st.DrawFn, backend: Backend) -> Recipe:
    """Recipes at the sizes of large models. What is drawn first may be largest; the others take what work is left."""
    c = backend.capabilities
    pools = {"H": (*_LARGE_FEATURES, *_LARGER_FEATURES), "L": _LARGE_STEPS, "N": _LARGE_ROWS if c.batch else (1,)}
    pools["I"] = (1, *pools["H"])
    sizes = {name: min(pool) for name, pool in pools.items()}
    layers = draw(st.sampled_from((1, 1, 1, 2))) if c.layers else 1
    bidirectional = c.bidirectional and draw(st.integers(0, 3)) == 3
    share = layers * (1 + bidirectional)
    for name in draw(st.permutations("HLNI")):
        if c.fixed is not None and name in "HI":
            continue
        fitting = [size for size in pools[name] if 4 * share * work(**sizes | {name: size}) <= _LARGE_WORK]
        sizes[name] = draw(st.sampled_from(fitting))
    if "output" not in c.returns:
        sizes["L"] = min(sizes["L"], _STEPS[14])
    given = _model(draw, backend, lambda name, pool: sizes[name]) if c.fixed is None else model_fields(c.fixed[0])
    if c.fixed is None:
        given |= {"layers": layers, "bidirectional": bidirectional}
    return Recipe(
        **given,
        L=sizes["L"],
        N=sizes["N"],
        state=draw(st.sampled_from(STATES)) if c.initial_state else "none",
        ragged=sizes["L"] > 1 and c.lengths and draw(st.booleans()),
        **_values(draw, backend) | {"gain": 1.0, "fill": "normal"},
    )


def _values(draw: st.DrawFn, backend: Backend) -> dict[str, Any]:
    """The fields of a recipe that leave its signature as it is, whatever they are."""
    viewed = "views" not in backend.ruled_out and draw(st.booleans())
    return {
        "view": draw(st.sampled_from(VIEWS)) if viewed else "plain",
        "fill": draw(st.sampled_from(_FILLS)),
        "gain": draw(st.sampled_from(_GAINS)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def _free(draw: st.DrawFn, backend: Backend, recipe: Recipe) -> Recipe:
    """The recipe with all else drawn that leaves its signature as it is."""
    state = "none" if recipe.state == "none" else draw(st.sampled_from(STATES[1:]))
    return replace(recipe, state=state, **_values(draw, backend))


def _model(draw: st.DrawFn, backend: Backend, size: Callable[[str, Sequence[int]], int]) -> dict[str, Any]:
    """The fields of a recipe that its model depends on, within what is declared."""
    c = backend.capabilities

    def option(declared: bool) -> bool:
        return declared and draw(st.booleans())

    features = {name: size(name, _FEATURES) for name in "HI"}
    return {
        **features,
        "proj": draw(st.integers(1, features["H"] - 1)) if features["H"] > 1 and option(c.projection) else 0,
        "layers": draw(st.sampled_from((1, 2, 3))) if c.layers else 1,
        "bidirectional": option(c.bidirectional),
        "bias": not option(c.no_bias),
        "batch_first": not c.time_major or option(c.batch_first),
        "dtype": draw(st.sampled_from(judged_dtypes(backend))),
    }


@st.composite
def simpler(draw: st.DrawFn, recipe: Recipe, backend: Backend) -> Recipe:
    """Recipes no more complex than ``recipe``, which is among them: where its failure is looked for, to shrink it."""
    fixed = backend.capabilities.fixed is not None

    def either(simple: T, given: T) -> T:
        return draw(st.sampled_from((simple, given))) if simple != given else given

    if backend.capabilities.compiled:
        # Signatures that were met, or may be: others cost a compilation each.
        signed = draw(st.sampled_from([*(r for r in pool(backend) if _no_more(r, recipe)), recipe]))
        values = {name: either(*pair) for name, pair in _simple_values(recipe).items()}
        state = signed.state if "none" in (signed.state, recipe.state) else recipe.state
        return replace(signed, state=state, turn=recipe.turn, edits=recipe.edits, **values)

    def at_most(least: int, given: int) -> int:
        if given <= least:
            return given
        # The given size comes up half of the time. One choice either way: Hypothesis prefers fewer choices.
        return draw(st.sampled_from([*range(least, given), *[given] * (given - least)]))

    rows, steps = at_most(1, recipe.N), at_most(1, recipe.L)
    changes: dict[str, object] = {"N": rows, "L": steps, "state": either("none", recipe.state)}
    changes |= {name: either(*pair) for name, pair in _simple_values(recipe).items() if name != "gain"}
    if not fixed:
        features, hidden = at_most(1, recipe.I), at_most(1, recipe.H)
        changes |= {"I": features, "H": hidden, "proj": at_most(0, min(recipe.proj, hidden - 1))}
        changes |= {"layers": at_most(1, recipe.layers), "bias": either(True, recipe.bias)}
        changes |= {"bidirectional": either(False, recipe.bidirectional), "gain": either(1.0, recipe.gain)}
        changes |= {"batch_first": either(not backend.capabilities.time_major, recipe.batch_first)}
        changes |= {"dtype": either(judged_dtypes(backend)[0], recipe.dtype)}
    changes["unbatched"] = recipe.unbatched and either(False, True)
    changes["ragged"] = recipe.ragged and steps > 1 and either(False, True)
    return replace(recipe, **changes)  # type: ignore[arg-type]


def _simple_values(recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """The fields that leave a recipe's signature as it is, each at its simplest and as given."""
    simple = {"view": "plain", "fill": "normal", "seed": 0, "gain": 1.0}
    return {name: (value, getattr(recipe, name)) for name, value in simple.items()}


def _no_more(one: Recipe, other: Recipe) -> bool:
    """Whether a recipe has no size and no option that another has less of."""
    sizes = ("I", "H", "L", "N", "layers", "proj", "bidirectional", "batch_first", "unbatched", "ragged")
    bounded = all(getattr(one, name) <= getattr(other, name) for name in sizes)
    return (
        bounded
        and one.bias >= other.bias
        and one.dtype == other.dtype
        and (one.state == "none" or other.state != "none")
    )
