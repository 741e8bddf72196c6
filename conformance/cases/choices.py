"""The choices of a case: what a backend declares of them, and their combinations, by which coverage is counted."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import combinations, product

from conformance.backend import Backend
from conformance.cases.recipe import JUDGED_DTYPES, VIEWS, Recipe, model_fields

Factors = tuple[tuple[str, tuple[object, ...]], ...]
Choice = tuple[tuple[str, object], ...]

#: Gaps between features and gaps between steps and rows count as one choice, and take turns.
_COVERED_VIEWS = tuple(view for view in VIEWS if view != "gapped")


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


def covered(recipes: Iterable[Recipe]) -> set[Choice]:
    """The three-way combinations that occur in some recipes."""
    return {combination for recipe in recipes for combination in combinations(choices(recipe), 3)}
