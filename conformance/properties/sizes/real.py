"""Sizes: an LSTM is right with as many units, features and rows as real models have.

Kernels choose their way by size: tiles and their remainders, unrolled loops, buffers of a fixed length, a path of its
own for sizes that are all multiples of the vector's width. Cases have few steps, so that they stay cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from conformance.cases.recipe import Recipe
from conformance.properties.model import Cost, pairs, prop
from conformance.properties.resized import cheap, pieces, right_or_consistent, rows
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.signatures import Unaffordable
from conformance.trials.trial import Trial

#: Powers of two and their neighbours, and the sizes of well-known models; the last two are asked most often.
HIDDEN = (100, 130, 160, 192, 200, 255, 256, 257, 300, 384, 511, 512, 513, 650, 768, 1000, 1023, 1024, 1027)
FEATURES = (*HIDDEN, 1500, 2047, 2048, 2049, 4101, 8195)
ROWS = (34, 48, 63, 64, 65, 96, 100, 127, 128, 129, 192, 200, 255, 256, 257)

#: Everything a multiple of the same power of two: features, hidden size, rows, steps. The small ones are all equal too.
ALIGNED = (
    (4, 4, 4, 4),
    (8, 8, 8, 8),
    (16, 16, 16, 16),
    (32, 32, 32, 8),
    (64, 64, 64, 4),
    (128, 256, 16, 4),
    (256, 128, 32, 4),
    (128, 128, 16, 48),
    (512, 512, 8, 4),
)

#: Products of two sizes beyond 4,096, 8,192, 32,767 and 65,536: steps and rows, rows and units (and features) in both
#: directions, steps, rows and features, steps and units; and rows beyond 1,024. Some of them with an initial state.
PRODUCTS = (
    ({"L": 515, "N": 131, "I": 2, "H": 2, "ragged": True}, False),
    ({"L": 2, "N": 130, "I": 130, "H": 257, "ragged": False}, False),
    ({"L": 131, "N": 67, "I": 9, "H": 7, "ragged": False}, True),
    ({"L": 1031, "N": 1, "H": 130, "bidirectional": False, "ragged": False}, True),
    ({"L": 3, "N": 1027, "H": 3, "ragged": True}, True),
)

#: Every size of a sweep; of rows and steps, and in the backward pass, those up to 64.
SWEPT = (*range(1, 21), *range(22, 67, 3), *range(70, 131, 5))
SWEPT_FEW = SWEPT[:35]

#: The sizes that are swept; steps in place of rows where there is no batch.
SWEPT_NAMES = ("I", "N", "H", "L")

#: The hidden size up to which a case keeps its second layer and its second direction.
_ONE_LAYER = 300

NEEDS = ("values", "params")


class Form(NamedTuple):
    """How a case of large sizes is made."""

    #: Which of the pool's sizes it has: -1 is the last, None any of them. The last ones are beyond nearly every
    #: threshold, the others multiples of various numbers.
    place: int | None
    #: Whether it keeps the recipe's rows (up to three) and projection and has an initial state, or has one row alone.
    several: bool


#: The forms that a property takes in turn.
FORMS = (Form(-1, False), Form(None, True), Form(-2, True), Form(None, False))

#: Those of hidden sizes: 1,027, and 1,024 for one row and for several.
_HIDDEN_FORMS = (Form(-1, True), Form(-2, False), Form(-2, True), Form(None, False))

#: Rows, with lengths where they are declared and without.
_ROW_FORMS = pairs(FORMS, (True, False))


def smallest(trial: Trial, form: Form, pool: Sequence[dict[str, Any]], require: Callable[[Trial], None]) -> None:
    """Require the case to be right at one of the pool's sizes; if it is not, report the first one that is wrong."""
    chosen = trial.pick("size", len(pool)) if form.place is None else max(len(pool) + form.place, 0)
    try:
        require(_at(trial, form.several, pool[chosen]))
    except Violation:
        with suppress(Unaffordable):
            for sizes in pool[:chosen]:
                require(_at(trial, form.several, sizes))
        raise


def _at(trial: Trial, several: bool, sizes: dict[str, Any]) -> Trial:
    """The trial at these sizes, the others small enough to be cheap, in one of two ways (``Form.several``)."""
    r = trial.recipe
    H = sizes.get("H", min(r.H, 9))
    narrow = H <= _ONE_LAYER
    small = {
        "I": min(r.I, 5),
        "H": H,
        "N": min(r.N, 3) if several else 1,
        "L": 3,
        "proj": min(r.proj and max(r.proj, H // 4), H - 1) if several else 0,
        "layers": min(r.layers, 2 if narrow else 1),
        "bidirectional": r.bidirectional and narrow,
        "state": "both" if trial.backend.capabilities.initial_state and several else "none",
        "fill": "normal",
    }
    changes = cheap(trial, **small) | sizes
    # A projection is narrower than the units.
    changes["proj"] = min(changes.get("proj", r.proj), changes.get("H", r.H) - 1)
    return trial.resized(**changes)


def _right_if_right(trial: Trial, form: Form, pool: Sequence[dict[str, Any]]) -> None:
    # No part of a large model says what the whole must be.
    if not _at(trial, form.several, {}).right():
        raise Discard
    smallest(trial, form, pool, Trial.require_right)


def _rows_right(trial: Trial, form: Form, pool: Sequence[dict[str, Any]]) -> None:
    usual = _at(trial, form.several, {})
    smallest(trial, form, pool, lambda resized: right_or_consistent(resized, usual, rows))


def _batched(recipe: Recipe) -> bool:
    return not recipe.unbatched


@prop("sizes.hidden", needs=NEEDS, limit=4, turns=len(_HIDDEN_FORMS), cost=Cost.LARGE)
def hidden(trial: Trial) -> None:
    """Models of 100 to 1,027 hidden units are right.

    MNN#2500 was wrong at large sizes only; FlagGems#5014 dropped units past 128.
    """
    form = trial.in_turn(_HIDDEN_FORMS)
    rows = {"N": 9, "unbatched": False} if trial.backend.capabilities.batch and form.several else {}
    _right_if_right(trial, form, [{"H": size, "L": 2, **rows} for size in HIDDEN])


@prop("sizes.stacked", needs=(*NEEDS, "slots"), when=_batched, limit=3, turns=3, cost=Cost.LARGE)
def stacked(trial: Trial) -> None:
    """With hundreds of hidden units a second layer, a reverse direction and rows of different length are right too.

    Offsets into a wider layer's input, a tile's mask and the reverse direction's buffers each have a size of their own.
    ncnn#2933 was wrong in both directions of 400 units.
    """
    declared = trial.backend.capabilities
    ways = ["layers"] * declared.layers + ["directions"] * declared.bidirectional + ["all"]
    way = trial.in_turn(ways)
    larger = way != "all"
    if not _at(trial, larger, {}).right():
        raise Discard
    wide = [dtype for dtype in ("float32", "float64") if declared.arithmetic.get(dtype) != "int8"]
    dtypes = [dtype for dtype in wide if dtype in declared.dtypes] or [trial.recipe.dtype]
    if way == "layers":
        # In the wider dtype.
        sizes = {"dtype": dtypes[-1], "H": 520, "proj": 260 if declared.projection else 0, "ragged": False}
        sizes |= {"layers": 2, "bidirectional": False}
    elif way == "directions":
        sizes = {"dtype": dtypes[0], "H": 520, "proj": 0, "ragged": False, "layers": 1, "bidirectional": True}
    else:
        # All options at once, the upper layer reading more than 512 features.
        sizes = {"dtype": dtypes[0], "H": 264, "layers": 1 + declared.layers, "bidirectional": declared.bidirectional}
        sizes |= {"ragged": True, "N": 3} if declared.lengths else {}
    _at(trial, larger, sizes).require_right()


@prop("sizes.features", needs=NEEDS, limit=6, turns=len(FORMS), cost=Cost.LARGE)
def features(trial: Trial) -> None:
    """Inputs of 100 to 8,195 features are right.

    Word vectors have hundreds of features, and kernels cut sums that long into blocks.
    """
    _right_if_right(trial, trial.in_turn(FORMS), [{"I": size} for size in FEATURES])


@prop("sizes.rows", needs=(*NEEDS, "batch"), when=_batched, limit=6, turns=len(_ROW_FORMS), cost=Cost.LARGE)
def many_rows(trial: Trial) -> None:
    """Batches of 34 to 257 rows are right.

    Training batches have that many. Launch configurations end there, and 8-bit row numbers overflow.
    """
    form, ragged = trial.in_turn(_ROW_FORMS)
    ragged = ragged and trial.backend.capabilities.lengths
    _rows_right(trial, form, [{"N": size, "ragged": ragged} for size in ROWS])


@prop("sizes.aligned", needs=(*NEEDS, "batch"), when=_batched, limit=3, turns=3, cost=Cost.LARGE)
def aligned(trial: Trial) -> None:
    """Sizes that are all multiples of 4, 8, 16 … at once are right.

    Only then are vectorised paths, tensor cores and persistent kernels taken; other cases have an odd size.
    """
    pool = [dict(zip("IHNL", sizes, strict=True)) for sizes in ALIGNED]
    _rows_right(trial, trial.in_turn(FORMS[:3]), pool)


@prop("sizes.products", needs=(*NEEDS, "batch"), when=_batched, limit=8, turns=len(PRODUCTS), cost=Cost.LARGE)
def products(trial: Trial) -> None:
    """Two large sizes at once are right: hundreds of steps and dozens of rows, rows and units, steps and units.

    Kernels cut work into blocks by the product of two sizes, and offsets into a whole sequence overflow 16 bits.
    """
    declared = trial.backend.capabilities
    one_layer = {"layers": 1, "proj": 0, "bidirectional": declared.bidirectional}
    sizes, started = trial.in_turn(PRODUCTS)
    usual = _at(trial, started, one_layer)
    large = _at(trial, started, one_layer | sizes | {"ragged": sizes["ragged"] and declared.lengths})
    if sizes["N"] > 1:
        right_or_consistent(large, usual, rows)
    elif not usual.right():
        # A single row has no other to agree with.
        raise Discard
    else:
        large.require_right()


def to_sweep(trial: Trial, **changes: Any) -> tuple[str, Trial]:
    """The size whose turn it is to be swept, and a small trial of one layer on which it is."""
    r, batch = trial.recipe, trial.backend.capabilities.batch
    swept = trial.in_turn(SWEPT_NAMES)
    if swept == "N" and not batch:
        swept = "L"
    unbatched = r.unbatched and swept != "N"
    rows = {"N": 1 if unbatched or not batch else 2, "unbatched": unbatched}
    small = {"I": 3, "H": 3, "L": 2, "proj": 0, "layers": 1, "view": "plain", "fill": "normal", **rows}
    return swept, trial.resized(**cheap(trial, **small) | {"unbatched": unbatched} | changes)


@prop("sizes.sweep", needs=NEEDS, limit=4, turns=len(SWEPT_NAMES), cost=Cost.LARGE)
def sweep(trial: Trial) -> None:
    """Every number of features, units, rows and steps up to 20 is right, and every third or fifth up to 130.

    Chance rarely meets a path for 41 to 48 units. The smallest size that is wrong is reported.
    """
    swept, usual = to_sweep(trial)
    pool = SWEPT if swept in "IH" else SWEPT_FEW
    if not usual.right():
        if swept in "IH":
            raise Discard
        # The largest stands for all.
        pool = pool[-1:]
    for size in trial.few([size for size in pool if swept != "H" or size > usual.recipe.proj]):
        resized = usual.resized(**{swept: size}, ragged=usual.recipe.ragged and (swept, size) != ("L", 1))
        right_or_consistent(resized, usual, pieces if swept == "L" else rows)
