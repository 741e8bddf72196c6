"""Covering rows as recipes: the sizes that a row takes, and all that it leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from conformance.backend import Capabilities
from conformance.cases.choices import Choice, choices
from conformance.cases.recipe import Recipe
from conformance.cases.sizes import WORK, Coincidence, Occurred, equalled, work
from conformance.spec import LSTMConfig

#: How many candidates for its sizes are compared for each row.
LOOKS = 48

#: What a call takes whatever its length, in the time of steps.
_STEPS_OF_A_CALL = 12


def best_recipe(
    row: Choice,
    looked: Sequence[tuple[Mapping[str, int], Iterable[Coincidence]]],
    number: int,
    unbatched: tuple[bool, ...],
    fixed: LSTMConfig | None,
    occurred: Occurred,
) -> Recipe:
    """A row with those of several candidate sizes that add most, for the time they take, to what has occurred."""
    # One step, one row or a projection replaces a size.
    recipes = [
        _coincident(_recipe(dict(row), sizes, number, unbatched, fixed), coincident, fixed)
        for sizes, coincident in looked
    ]
    # A longer sequence takes longer in every property.
    gains = [occurred.gain(r, choices(r)) / (_STEPS_OF_A_CALL + r.L) for r in recipes]
    return recipes[gains.index(max(gains))]


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


def _coincident(recipe: Recipe, coincident: Iterable[Coincidence], fixed: LSTMConfig | None) -> Recipe:
    """A recipe some of whose sizes are made equal, unless they are those of a fixed model, or it is too much work."""
    changed = recipe
    for one, other in coincident:
        if one != "I" or fixed is None:
            changed = equalled(changed, one, other)
    return changed if work(changed.I, changed.H, changed.L, changed.N) <= WORK else recipe


def unbatched_layouts(c: Capabilities) -> tuple[bool, ...]:
    """What ``batch_first`` is, in turn, where the sequence is unbatched, of which it says nothing."""
    return tuple(value for value, declared in ((False, c.time_major), (True, c.batch_first)) if declared)
