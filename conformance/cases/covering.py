"""The fixed set: recipes in which every three-way combination of the declared choices occurs at least once.

A greedy covering array (Cohen, Dalal, Fredman & Patton, "The AETG System", 1997): each new row is the best of several,
each built around a combination that is not covered yet. Faults that need three choices together (layers = 3, reverse
direction, h_0 alone) are met in every run, whatever the seed.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, product
from typing import Any

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import JUDGED_DTYPES, VIEWS, Recipe, model_fields
from conformance.cases.sizes import (
    COMMON_SIZES,
    COMPILED_SIZES,
    LONG,
    WORK,
    Coincidence,
    Occurred,
    candidates,
    equalled,
    work,
)
from conformance.spec import LSTMConfig

#: Gaps between features and gaps between steps and rows count as one choice, and take turns.
_COVERED_VIEWS = tuple(view for view in VIEWS if view != "gapped")

#: The steps of the fixed set's last case, at which costly properties are asked.
_LATE = 17

Factors = tuple[tuple[str, tuple[object, ...]], ...]
Choice = tuple[tuple[str, object], ...]

#: How many candidates for its sizes are compared for each row.
_LOOKS = 48

#: How many recipes are compared for each that reuses a signature.
_TRIES = 12

#: What a call takes whatever its length, in the time of steps.
_STEPS_OF_A_CALL = 12


def factors(backend: Backend) -> Factors:
    """The discrete choices that a backend declares, each with its values, simplest first."""
    c = backend.capabilities
    declared: dict[str, tuple[object, ...]] = {
        "layers": (1, 2, 3) if c.layers else (1,),
        "bidirectional": (False, True) if c.bidirectional else (False,),
        "bias": (True, False) if c.no_bias else (True,),
        "layout": tuple(
            name
            for name, declared in (
                ("time-major", c.time_major),
                ("batch-first", c.batch_first),
                ("unbatched", c.unbatched),
            )
            if declared
        ),
        "projection": (False, True) if c.projection else (False,),
        "state": ("none", "both", "h", "c") if c.initial_state else ("none",),
        "steps": ("one", "several"),
        "rows": ("one", "several") if c.batch else ("one",),
        "ragged": (False, True) if c.lengths else (False,),
        "view": _COVERED_VIEWS if "views" not in backend.ruled_out else ("plain",),
        "dtype": judged_dtypes(backend),
    }
    if c.fixed is not None:
        of_model = dict(choices(Recipe(**model_fields(c.fixed[0]))))
        model = ("layers", "bidirectional", "bias", "layout", "projection", "dtype")
        declared |= {name: (of_model[name],) for name in model}
    return tuple(declared.items())


def judged_dtypes(backend: Backend) -> tuple[str, ...]:
    """The declared dtypes that can be judged here."""
    return tuple(dtype for dtype in JUDGED_DTYPES if dtype in backend.capabilities.dtypes)


def choices(recipe: Recipe) -> Choice:
    """A recipe's value for each factor, by which coverage is counted."""
    layout = "unbatched" if recipe.unbatched else "batch-first" if recipe.batch_first else "time-major"
    return (
        ("layers", recipe.layers),
        ("bidirectional", recipe.bidirectional),
        ("bias", recipe.bias),
        ("layout", layout),
        ("projection", bool(recipe.proj)),
        ("state", recipe.state),
        ("steps", "one" if recipe.L == 1 else "several"),
        ("rows", "one" if recipe.N == 1 else "several"),
        ("ragged", recipe.ragged),
        ("view", "strided" if recipe.view == "gapped" else recipe.view),
        ("dtype", recipe.dtype),
    )


def feasible(choice: Choice) -> bool:
    """Whether a combination can occur: an unbatched sequence has one row and no lengths; one step is never ragged."""
    values = dict(choice)
    if values.get("layout") == "unbatched" and (values.get("rows") == "several" or values.get("ragged") is True):
        return False
    return not (values.get("ragged") is True and values.get("steps") == "one")


@lru_cache(maxsize=32)
def combinations_of(factors: Factors, ways: int = 3) -> frozenset[Choice]:
    """Every feasible combination of ``ways`` factors' values."""
    every = (
        tuple(zip((name for name, _ in chosen), values, strict=True))
        for chosen in combinations(factors, ways)
        for values in product(*(values for _, values in chosen))
    )
    return frozenset(choice for choice in every if feasible(choice))


@lru_cache(maxsize=32)
def covering_rows(factors: Factors, ways: int = 3, given: tuple[Choice, ...] = ()) -> tuple[Choice, ...]:
    """Rows of one value for each factor that cover every feasible three-way combination; always the same ones.

    Or every combination of so many ``ways``, but for those in the ``given`` rows.

    Invariant: ``uncovered`` holds the feasible combinations that are in no row yet. Each round adds a row that contains
    one of them, so ``uncovered`` shrinks in every round and is empty in the end. Such a row exists: each factor has a
    value that goes with everything (time-major or batch-first, one row, several steps, not ragged).
    """
    uncovered = set(combinations_of(factors, ways)).difference(*(combinations(row, ways) for row in given))
    order = sorted(uncovered, key=repr)
    rng = random.Random(0)
    rng.shuffle(order)
    rows = []
    for combination in order:
        if combination in uncovered:
            grown = [_grow(combination, factors, uncovered, rng, ways) for _ in range(6)]
            rows.append(max(grown, key=lambda row: len(uncovered.intersection(combinations(row, ways)))))
            uncovered.difference_update(combinations(rows[-1], ways))
    return tuple(rows)


def _grow(combination: Choice, factors: Factors, uncovered: set[Choice], rng: random.Random, ways: int = 3) -> Choice:
    """A whole feasible row around a combination: each further factor takes the value that newly covers the most."""
    row = dict(combination)
    rest = [factor for factor in factors if factor[0] not in row]
    rng.shuffle(rest)
    place = {name: at for at, (name, _) in enumerate(factors)}

    def ordered(choices: Iterable[tuple[str, object]]) -> Choice:
        return tuple(sorted(choices, key=lambda choice: place[choice[0]]))

    for name, values in rest:
        chosen = ordered(row.items())
        gains = {}
        for value in values:
            new = (name, value)
            if feasible((*chosen, new)):
                covered = sum(ordered((*some, new)) in uncovered for some in combinations(chosen, ways - 1))
                # Less than one more combination: it decides between equals.
                gains[value] = covered + rng.random() / 2
        row[name] = max(gains, key=lambda value: gains[value])
    return ordered(row.items())


def fixed_set(backend: Backend, seed: int) -> list[Recipe]:
    """The covering rows as recipes with sizes of their own, the common calls between the first, a long one last.

    The values depend on the seed.
    """
    c = backend.capabilities
    if c.compiled:
        sized = _reusing(tuple(pool(backend)), factors(backend))
    else:
        sized = _sized(factors(backend), _unbatched(c), None if c.fixed is None else c.fixed[0])
    recipes = [replace(recipe, seed=1000 * seed + number) for number, recipe in enumerate(sized)]
    if c.compiled:
        # What properties make of the common calls serves the others too.
        return common(backend, seed) + recipes
    # Properties that look at a few cases only see both kinds.
    for k, recipe in enumerate(common(backend, seed)):
        recipes.insert(2 * k, recipe)
    # Costly properties are asked at a long sequence, so that they come late. Few rows may leave no long one.
    return recipes if c.compiled else [*recipes, replace(simplest(backend)[1], L=_LATE, seed=1000 * seed + 501)]


def _unbatched(c: Capabilities) -> tuple[bool, ...]:
    """What ``batch_first`` is, in turn, where the sequence is unbatched, of which it says nothing."""
    return tuple(value for value, declared in ((False, c.time_major), (True, c.batch_first)) if declared)


@lru_cache(maxsize=32)
def _sized(factors: Factors, unbatched: tuple[bool, ...], fixed: LSTMConfig | None) -> tuple[Recipe, ...]:
    """The covering rows as recipes, each with those of several candidate sizes that add most to the rows before it."""
    occurred, rng, chosen = Occurred(), random.Random(0), []
    free = 0
    for number, row in enumerate(covering_rows(factors)):
        several = dict(row)["steps"] == dict(row)["rows"] == "several"
        free += several
        # Equal sizes hide swapped axes, and code may mistake one for the other: a third of the rows have them, most of
        # those where steps and rows may be equal.
        looks = candidates(free % 2 == 0 if several else number % 5 == 4)
        first = rng.randrange(len(looks) - _LOOKS)
        looked = looks[first : first + _LOOKS]
        # One step, one row or a projection replaces a size.
        recipes = [
            _coincident(_recipe(dict(row), sizes, number, unbatched, fixed), coincident, fixed)
            for sizes, coincident in looked
        ]
        # A longer sequence takes longer in every property.
        gains = [occurred.gain(r, choices(r)) / (_STEPS_OF_A_CALL + r.L) for r in recipes]
        chosen.append(recipes[gains.index(max(gains))])
        occurred.add(chosen[-1], choices(chosen[-1]))
    return tuple(chosen)


def _coincident(recipe: Recipe, coincident: Iterable[Coincidence], fixed: LSTMConfig | None) -> Recipe:
    """A recipe some of whose sizes are made equal, unless they are those of a fixed model, or it is too much work."""
    changed = recipe
    for one, other in coincident:
        if one != "I" or fixed is None:
            changed = equalled(changed, one, other)
    return changed if work(changed.I, changed.H, changed.L, changed.N) <= WORK else recipe


def common(backend: Backend, seed: int) -> list[Recipe]:
    """The calls that users make most often, as far as they are declared, each once.

    Kernels have paths of their own for one layer and direction with biases; no covering row is ordinary in everything.
    """
    c = backend.capabilities
    base = simplest(backend)[1]
    if c.fixed is not None:
        wished = [{"state": "none"}, {}]
    else:
        wished: list[dict[str, Any]] = [
            {"state": "none"},
            {"state": "none", "batch_first": c.batch_first},
            {},
            {"batch_first": c.batch_first},
            {"unbatched": c.unbatched, "N": 1},
            {
                "layers": 1 + c.layers,
                "bidirectional": c.bidirectional,
                "batch_first": c.batch_first,
                "ragged": c.lengths,
            },
        ]
        if c.compiled:
            wished = _shared(c, wished)
        pool = (COMPILED_SIZES,) if c.compiled else COMMON_SIZES
        rows = {} if c.batch else {"N": 1}
        wished = [{**pool[k % len(pool)], **rows, **changes} for k, changes in enumerate(wished)]
    # Together with the rows they alternate with, their seeds leave every remainder of division by 4.
    recipes = [replace(base, seed=1000 * seed + 502 + k, **changes) for k, changes in enumerate(wished)]  # type: ignore[arg-type]
    # Undeclared options leave some alike but for sizes and seed: the first of each kind stays.
    kinds: dict[Hashable, Recipe] = {}
    for r in recipes:
        kinds.setdefault((r.layers, r.bidirectional, r.batch_first, r.unbatched, r.state, r.ragged), r)
    return list(kinds.values())


def _shared(c: Capabilities, wished: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The common calls of a backend that compiles.

    Those with a state first: what properties make of the first call is shared with later ones.
    """
    bare, _, ordinary, batch_first, unbatched, every = wished
    deep = [every] if c.layers or c.bidirectional else []
    return [ordinary, {"ragged": c.lengths}, batch_first, unbatched, *deep, bare]


def _recipe(
    row: dict[str, object], sizes: Mapping[str, int], number: int, unbatched: tuple[bool, ...], fixed: LSTMConfig | None
) -> Recipe:
    """A covering row with some sizes as a recipe; the row's number decides what it leaves open."""
    if fixed is not None:
        H, proj = fixed.hidden_size, fixed.proj_size
    else:
        H = max(sizes["H"], 2) if row["projection"] else sizes["H"]
        proj = H // 2 if row["projection"] else 0
    return Recipe(
        I=sizes["I"] if fixed is None else fixed.input_size,
        H=H,
        L=1 if row["steps"] == "one" else sizes["L"],
        N=1 if row["rows"] == "one" else sizes["N"],
        proj=proj,
        layers=int(str(row["layers"])),
        bidirectional=bool(row["bidirectional"]),
        bias=bool(row["bias"]),
        batch_first=unbatched[number % len(unbatched)]
        if row["layout"] == "unbatched"
        else row["layout"] == "batch-first",
        unbatched=row["layout"] == "unbatched",
        state=str(row["state"]),
        ragged=bool(row["ragged"]),
        view="gapped" if row["view"] == "strided" and number % 2 else str(row["view"]),
        dtype=str(row["dtype"]),
        gain=(1.0, 0.3, 3.0)[number % 3],
        seed=number,
    )


# A backend that compiles: few signatures, each with many values


def pool(backend: Backend) -> list[Recipe]:
    """The recipes whose signatures all drawn cases of a backend that compiles have, simplest first.

    The common calls, and rows that cover every pair of the choices that cost a compilation. A stack is observed layer
    by layer, so its first layers cost nothing more and are recipes too.
    """
    c = backend.capabilities
    given = [*simplest(backend), *common(backend, 0)]
    if c.fixed is None:
        # As many rows as steps, with other options than the ordinary call's; and more steps than 8 bits count.
        usual, dtype = given[1], judged_dtypes(backend)[-1]
        layout = {"batch_first": c.batch_first or usual.batch_first, "bias": not c.no_bias, "ragged": c.lengths}
        given += [replace(usual, **layout, N=usual.L, dtype=dtype)] if c.batch else []
        given += [replace(usual, L=LONG)] if "output" in c.returns else []
    of_model = None if c.fixed is None else c.fixed[0]
    rows = _pool(
        factors(backend), tuple(replace(r, seed=0) for r in given), _unbatched(c), of_model, "output" in c.returns
    )
    return [replace(recipe, seed=0) for recipe in rows]


@lru_cache(maxsize=32)
def _pool(
    factors: Factors, given: tuple[Recipe, ...], unbatched: tuple[bool, ...], fixed: LSTMConfig | None, output: bool
) -> tuple[Recipe, ...]:
    costly = tuple((name, _costly(name, values)) for name, values in factors)
    # Each row from the many layers to the few: what covers three layers covers its first two.
    chosen = [part for recipe in given for part in _parts(recipe, fixed)]
    occurred, rng = Occurred(), random.Random(0)
    for recipe in chosen:
        occurred.add(recipe, choices(recipe))
    while left := covering_rows(costly, 2, tuple(_signed(recipe) for recipe in chosen)):
        number = len(chosen)
        # The deepest stacks first: their parts are covered at no cost.
        row = dict(max(left, key=lambda row: int(str(dict(row)["layers"]))))
        looked = rng.sample(candidates(number % 4 == 3), _LOOKS)
        # Without outputs, a call takes as many signatures as it has steps.
        looked = looked if output else [({**sizes, "L": min(sizes["L"], 3)}, ()) for sizes, _ in looked]
        recipes = [
            _coincident(_recipe(row, sizes, number, unbatched, fixed), coincident, fixed)
            for sizes, coincident in looked
        ]
        gains = [occurred.gain(r, choices(r)) / (_STEPS_OF_A_CALL + r.L) for r in recipes]
        for part in _parts(replace(recipes[gains.index(max(gains))], gain=1.0, view="plain"), fixed):
            chosen.append(part)
            occurred.add(part, choices(part))
    order = sorted(chosen, key=lambda r: (r.layers, r.bidirectional, r.proj > 0, r.ragged, r.unbatched))
    return tuple(dict.fromkeys(order))


def _costly(name: str, values: tuple[object, ...]) -> tuple[object, ...]:
    """The values of a factor that cost a compilation each: views cost none, nor does which state is given."""
    return values[:1] if name == "view" else tuple(v for v in values if v not in ("h", "c"))


def _signed(recipe: Recipe) -> Choice:
    """The choices of a recipe that cost a compilation."""
    return choices(replace(recipe, view="plain", state="none" if recipe.state == "none" else "both"))


def _parts(recipe: Recipe, fixed: LSTMConfig | None) -> list[Recipe]:
    """A recipe, and those of its first layers."""
    fewest = recipe.layers if fixed is not None else 1
    return [replace(recipe, layers=layers, seed=0) for layers in range(recipe.layers, fewest - 1, -1)]


@lru_cache(maxsize=32)
def _reusing(pool: tuple[Recipe, ...], factors: Factors) -> tuple[Recipe, ...]:
    """Recipes of the pool's signatures with every combination of three choices that they allow."""
    uses = [(recipe, frozenset(use)) for recipe in pool for use in _uses(recipe, factors)]
    uncovered = _combined(_uses(recipe, factors) for recipe in pool)
    order, rng, chosen = sorted(uncovered, key=repr), random.Random(0), list[Recipe]()
    rng.shuffle(order)
    for combination in order:
        if combination in uncovered:
            fitting = [(recipe, dict(use)) for recipe, use in uses if use.issuperset(combination)]
            some = [
                replace(recipe, view=str(use["view"]), state=str(use["state"]))
                for recipe, use in rng.sample(fitting, min(len(fitting), _TRIES))
            ]
            chosen.append(max(some, key=lambda r: len(uncovered.intersection(combinations(choices(r), 3)))))
            uncovered.difference_update(combinations(choices(chosen[-1]), 3))
    # Each is drawn, also where others have all of its choices.
    drawn = {replace(recipe, view="plain", state="both" if recipe.state != "none" else "none") for recipe in chosen}
    chosen += [recipe for recipe in pool if recipe not in drawn]
    gains = (1.0, 0.3, 3.0)
    return tuple(replace(recipe, gain=gains[number % 3]) for number, recipe in enumerate(chosen))


def _uses(recipe: Recipe, factors: Factors) -> list[Choice]:
    """The choices of a recipe with every view and every state that leave its signature as it is."""
    if recipe.L == LONG:
        # Views and states are asked of shorter ones.
        return [choices(recipe)]
    values = dict(factors)
    states = [state for state in values["state"] if (state == "none") == (recipe.state == "none")]
    return [choices(replace(recipe, view=str(view), state=str(state))) for view in values["view"] for state in states]


def _combined(rows: Iterable[list[Choice]]) -> set[Choice]:
    return {combination for uses in rows for use in uses for combination in combinations(use, 3)}


def reachable(backend: Backend) -> frozenset[Choice]:
    """The three-way combinations that a backend's fixed set covers: all feasible ones, if it does not compile."""
    if not backend.capabilities.compiled:
        return combinations_of(factors(backend))
    return frozenset(_combined(_uses(recipe, factors(backend)) for recipe in pool(backend)))


def covered(recipes: Iterable[Recipe]) -> set[Choice]:
    """The three-way combinations that occur in some recipes."""
    return {combination for recipe in recipes for combination in combinations(choices(recipe), 3)}


def simplest(backend: Backend) -> list[Recipe]:
    """The smallest case of all, and an ordinary one of several sizes with an initial state."""
    c = backend.capabilities
    smallest = Recipe(dtype=judged_dtypes(backend)[0], batch_first=not c.time_major)
    sizes = {**COMPILED_SIZES} if c.compiled else {"I": 3, "H": 4, "L": 5, "N": 2}
    sizes |= {} if c.batch else {"N": 1}
    ordinary = replace(smallest, **sizes, state="both" if c.initial_state else "none")  # type: ignore[arg-type]
    model = {} if c.fixed is None else model_fields(c.fixed[0])
    return [replace(recipe, **model) for recipe in (smallest, ordinary)]
