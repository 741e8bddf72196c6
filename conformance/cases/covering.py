"""The fixed set: recipes in which every three-way combination of the declared choices occurs at least once.

A greedy covering array (Cohen, Dalal, Fredman & Patton, "The AETG System", 1997): each new row is the best of several,
each built around a combination that is still missing. Faults that need three choices together (layers = 3, reverse
direction, h_0 alone) are met in every run, whatever the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations, product

from conformance.backend import Backend
from conformance.cases.recipe import JUDGED_DTYPES, VIEWS, Recipe
from conformance.cases.size_features import Met, traits
from conformance.spec import LSTMConfig

#: Gaps between features and gaps between steps and rows count as one choice, and take turns.
_COVERED_VIEWS = tuple(view for view in VIEWS if view != "gapped")

Factors = tuple[tuple[str, tuple[object, ...]], ...]
Choice = tuple[tuple[str, object], ...]

#: Sizes of plain calls, and of all calls of a backend that compiles for each shape.
_PLAIN_SIZES = (
    {"I": 3, "H": 5, "L": 4, "N": 2},
    {"I": 7, "H": 4, "L": 6, "N": 3},
    {"I": 2, "H": 9, "L": 5, "N": 4},
    {"I": 1, "H": 8, "L": 3, "N": 5},
    {"I": 17, "H": 6, "L": 8, "N": 2},
    {"I": 5, "H": 16, "L": 7, "N": 3},
)

#: Sizes of which the fixed set's are made, 2^k and 2^k ± 1 among them; and larger ones, at most one in a case.
_SIZES = {
    "I": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 20),
    "H": (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20),
    "L": (*(2, 3, 4, 5, 6, 7, 8, 9) * 3, 10, 12, 16, 17),
    "N": (2, 3, 4, 5, 6, 7, 8, 9),
}
_LARGE = {"I": (31, 64), "H": (33, 65, 129), "L": (16, 17), "N": (17, 33)}

#: How much work a case may be, as a product of its sizes; how many candidates there are, and how many a row looks at.
_WORK, _CANDIDATES, _LOOKS = 110_000, 600, 48

#: What a call takes whatever its length, in the time of steps.
_STEPS_OF_A_CALL = 12


@lru_cache(maxsize=2)
def _candidates(equal: bool) -> list[dict[str, int]]:
    """Sizes for the fixed set: pairwise distinct, or two of them equal. Without I, x is as wide as the output."""
    rng, found = random.Random(0), []
    while len(found) < _CANDIDATES:
        sizes = {name: rng.choice(pool) for name, pool in _SIZES.items()}
        if equal:
            one, other = rng.choice(("NH", "NL", "IH", "LH", "NI"))
            sizes[one] = sizes[other]
        elif len(found) % 3 == 1:
            name = rng.choice("IHLN")
            sizes = {other: rng.randint(2, 5) for other in sizes} | {name: rng.choice(_LARGE[name])}
        elif len(found) % 12 == 6:
            sizes["I"] = 4 * sizes["H"]
        ordinary = [size for size in sizes.values() if size > 1]
        work = sizes["H"] * (sizes["I"] + sizes["H"]) * sizes["L"] * sizes["N"]
        if len(ordinary) - len(set(ordinary)) == int(equal) and work <= _WORK:
            if not equal and len(found) % 12 == 0:
                del sizes["I"]
            found.append(sizes)
    return found


def factors(backend: Backend) -> Factors:
    """The discrete choices that a backend declares, each with its values, simplest first."""
    c = backend.capabilities
    found: list[tuple[str, tuple[object, ...]]] = [
        ("layers", (1, 2, 3) if c.layers else (1,)),
        ("bidirectional", (False, True) if c.bidirectional else (False,)),
        ("bias", (True, False) if c.no_bias else (True,)),
        ("layout", ("time-major", *["batch-first"] * c.batch_first, *["unbatched"] * c.unbatched)),
        ("projection", (False, True) if c.projection else (False,)),
        ("state", ("none", "both", "h", "c") if c.initial_state else ("none",)),
        ("steps", ("one", "several")),
        ("rows", ("one", "several") if c.batch else ("one",)),
        ("ragged", (False, True) if c.lengths else (False,)),
        ("view", _COVERED_VIEWS if "views" not in backend.ruled_out else ("plain",)),
        ("dtype", judged_dtypes(backend)),
    ]
    if c.fixed is not None:
        config = c.fixed[0]
        found[:3] = [
            ("layers", (config.num_layers,)),
            ("bidirectional", (config.bidirectional,)),
            ("bias", (config.bias,)),
        ]
        found[3] = ("layout", ("batch-first" if config.batch_first else "time-major",))
        found[4] = ("projection", (bool(config.proj_size),))
        found[-1] = ("dtype", (config.dtype,))
    return tuple(found)


def judged_dtypes(backend: Backend) -> tuple[str, ...]:
    """The declared dtypes that can be judged here."""
    return tuple(dtype for dtype in JUDGED_DTYPES if dtype in backend.capabilities.dtypes)


def choices(recipe: Recipe) -> Choice:
    """A recipe's value for each factor: what coverage counts."""
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
    return frozenset(
        tuple(zip((name for name, _ in chosen), values, strict=True))
        for chosen in combinations(factors, ways)
        for values in product(*(values for _, values in chosen))
        if feasible(tuple(zip((name for name, _ in chosen), values, strict=True)))
    )


@lru_cache(maxsize=32)
def covering_rows(factors: Factors) -> tuple[Choice, ...]:
    """Rows of one value for each factor that cover every feasible three-way combination; always the same ones."""
    missing = set(combinations_of(factors))
    order = sorted(missing, key=repr)
    rng = random.Random(0)
    rng.shuffle(order)
    rows = []
    for seedling in order:
        if seedling not in missing:
            continue
        candidates = [_grow(seedling, factors, missing, rng) for _ in range(6)]
        best = max(candidates, key=lambda row: len(missing.intersection(combinations(row, 3))))
        missing.difference_update(combinations(best, 3))
        rows.append(best)
    return tuple(rows)


def _grow(seedling: Choice, factors: Factors, missing: set[Choice], rng: random.Random) -> Choice:
    """A whole row around a combination: each further factor takes the value that covers the most that is missing."""
    row = dict(seedling)
    rest = [factor for factor in factors if factor[0] not in row]
    rng.shuffle(rest)
    place = {name: at for at, (name, _) in enumerate(factors)}
    for name, values in rest:
        chosen = sorted(row.items(), key=lambda item: place[item[0]])

        def gain(value: object, name: str = name, chosen: Sequence[tuple[str, object]] = chosen) -> float:
            if not feasible((*chosen, (name, value))):
                return -1.0
            new = (name, value)
            covered = sum(
                tuple(sorted((*pair, new), key=lambda item: place[item[0]])) in missing
                for pair in combinations(chosen, 2)
            )
            return covered + rng.random() / 2

        row[name] = max(values, key=gain)
    return tuple((name, row[name]) for name, _ in factors)


def fixed_set(backend: Backend, seed: int) -> list[Recipe]:
    """The covering rows as recipes with sizes of their own, and among the first ones the plain ones.

    The values depend on the seed.
    """
    c = backend.capabilities
    sized = _sized(factors(backend), c.batch_first, c.compiled, None if c.fixed is None else c.fixed[0])
    recipes = [replace(recipe, seed=1000 * seed + number) for number, recipe in enumerate(sized)]
    # Properties that look at a few cases only see both kinds.
    for k, recipe in enumerate(plain(backend, seed)):
        recipes.insert(2 * k, recipe)
    return recipes


@lru_cache(maxsize=32)
def _sized(factors: Factors, batch_first: bool, compiled: bool, fixed: LSTMConfig | None) -> tuple[Recipe, ...]:
    """The covering rows as recipes, each with the sizes that add most to the combinations of traits that occurred."""
    met, rng, found = Met(), random.Random(0), []
    for number, row in enumerate(covering_rows(factors)):
        # Equal sizes hide swapped axes, and code may mistake one for the other: few rows have them.
        pool = _PLAIN_SIZES[:2] if compiled else rng.sample(_candidates(number % 6 == 5), _LOOKS)
        # One step, one row or a projection replaces a size.
        recipes = [_recipe(dict(row), sizes, number, batch_first, fixed) for sizes in pool]
        gains = [met.gain(recipe, [*choices(recipe), *traits(recipe)]) for recipe in recipes]
        # A longer sequence takes longer in every property.
        found.append(max(zip(gains, recipes, strict=True), key=lambda one: one[0] / (_STEPS_OF_A_CALL + one[1].L))[1])
        met.add(found[-1], [*choices(found[-1]), *traits(found[-1])])
    return tuple(found)


def plain(backend: Backend, seed: int) -> list[Recipe]:
    """The calls that are made most often, as far as they are declared: no covering row is plain in everything.

    Kernels have paths of their own for one layer and direction with biases.
    """
    c = backend.capabilities
    first = simplest(backend)[1]
    wished: list[dict[str, object]] = [{"state": "none"}, {}]
    if c.fixed is None:
        wished = [
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
        pool = _PLAIN_SIZES[:2] if c.compiled else _PLAIN_SIZES
        sizes = [size if c.batch else {**size, "N": 1} for size in pool]
        wished = [{**sizes[k % len(sizes)], **changes} for k, changes in enumerate(wished)]
    # Together with the rows they alternate with, their seeds leave every remainder of division by 4.
    found = [replace(first, seed=1000 * seed + 502 + k, **changes) for k, changes in enumerate(wished)]  # type: ignore[arg-type]
    structure = {(r.layers, r.bidirectional, r.batch_first, r.unbatched, r.state, r.ragged): r for r in reversed(found)}
    return [recipe for recipe in found if recipe in structure.values()]


def _recipe(
    row: dict[str, object], sizes: Mapping[str, int], number: int, batch_first: bool, fixed: LSTMConfig | None
) -> Recipe:
    if fixed is not None:
        H, proj = fixed.hidden_size, fixed.proj_size
    else:
        H = max(sizes["H"], 2) if row["projection"] else sizes["H"]
        proj = H // 2 if row["projection"] else 0
    bidirectional = bool(row["bidirectional"])
    width = (proj or H) * (2 if bidirectional else 1)
    return Recipe(
        I=sizes.get("I", width) if fixed is None else fixed.input_size,
        H=H,
        L=1 if row["steps"] == "one" else sizes["L"],
        N=1 if row["rows"] == "one" else sizes["N"],
        proj=proj,
        layers=int(str(row["layers"])),
        bidirectional=bidirectional,
        bias=bool(row["bias"]),
        # Of an unbatched sequence it says nothing.
        batch_first=row["layout"] == "batch-first" or (row["layout"] == "unbatched" and batch_first and number % 2 > 0),
        unbatched=row["layout"] == "unbatched",
        state=str(row["state"]),
        ragged=bool(row["ragged"]),
        view="gapped" if row["view"] == "strided" and number % 2 else str(row["view"]),
        dtype=str(row["dtype"]),
        gain=(1.0, 0.3, 3.0)[number % 3],
        seed=number,
    )


def covered(recipes: Iterable[Recipe]) -> set[Choice]:
    """The three-way combinations that occur in some recipes."""
    return {combination for recipe in recipes for combination in combinations(choices(recipe), 3)}


def simplest(backend: Backend) -> list[Recipe]:
    """The smallest case of all, and a plain one of several sizes with an initial state."""
    c = backend.capabilities
    first = Recipe(dtype=judged_dtypes(backend)[0])
    plain = replace(first, I=3, H=4, L=5, N=2 if c.batch else 1, state="both" if c.initial_state else "none")
    if c.fixed is None:
        return [first, plain]
    config = c.fixed[0]
    model = {
        "I": config.input_size,
        "H": config.hidden_size,
        "layers": config.num_layers,
        "bidirectional": config.bidirectional,
        "bias": config.bias,
        "batch_first": config.batch_first,
        "proj": config.proj_size,
        "dtype": config.dtype,
    }
    return [replace(recipe, **model) for recipe in (first, plain)]
