"""Lengths and cotangents that do not fit the call, and a call after a refused one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import handed
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.properties.batch import take_rows
from conformance.properties.model import prop
from conformance.properties.refusals.shared import Wrong, must_raise, ones, refused, reordered, with_ones
from conformance.spec import Array
from conformance.trials.outcomes import BackendError, Narrowed
from conformance.trials.trial import Trial


@prop(
    "refusals.lengths",
    needs=("lengths",),
    when=lambda r: r.ragged,
    every=8,
    limit=6,
    fails="accepts lengths that do not fit",
)
def lengths(trial: Trial) -> None:
    """Lengths beyond L, negative ones, too many or too few, in a column or in a row of their own are refused.

    So are any for an unbatched call. Packing in torch drops the rows that a short array of lengths leaves out;
    x[:length] takes −1 for the end; a column of lengths makes a mask of (N, N).
    """
    case = trial.case
    x, state, given = handed(replace(case, view="plain"))
    assert given is not None
    row = trial.pick("row", case.batch)
    beyond, negative = given.copy(), given.copy()
    beyond[row], negative[row] = case.steps + 1 + trial.pick("beyond", 3), -1
    asked = [
        (f"a length of {beyond[row]} where L is {case.steps}", x, state, beyond),
        ("a length of -1", x, state, negative),
        (f"{len(given) + 1} lengths for {len(given)} rows", x, state, np.append(given, given[:1])),
        (f"a column of lengths, of shape {given[:, None].shape},", x, state, given[:, None].copy()),
        (f"lengths of shape {given[None].shape}", x, state, given[None].copy()),
    ]
    if case.batch > 1:
        asked.append((f"{len(given) - 1} lengths for {len(given)} rows", x, state, given[:-1]))
    if trial.backend.capabilities.unbatched:
        alone = replace(take_rows(case, [row]), unbatched=True, view="plain")
        asked.append(("a length for an unbatched sequence", *handed(alone)))
    for wrong in [*asked[:2], *trial.few(asked[2:])]:
        refused(trial, *wrong)


def _another_size(part: Array) -> Wrong:
    """A feature or, of a batch, a row too many."""
    longer = {"a feature too many": np.concatenate([part, part[..., :1]], -1)}
    return longer | ({"a row too many": np.concatenate([part, part[:, :1]], 1)} if part.ndim == 3 else {})


#: In how many ways a cotangent is wrong: axes of one, axes in another order, axes of one more or less, other sizes.
_KINDS: tuple[Callable[[Array], Wrong], ...] = (ones, reordered, with_ones, _another_size)


@prop(
    "refusals.cotangents",
    needs=("gradients",),
    every=8,
    limit=8,
    turns=len(_KINDS),
    fails="accepts cotangents of another shape than the results",
)
def cotangents(trial: Trial) -> None:
    """A cotangent of another shape than the result that it belongs to is refused by vjp.

    The gradient of a mean is one number for a whole array, and broadcasts. One in another layout fits after a reshape,
    and each row learns from the loss of others.
    """
    case, returned = trial.case, trial.backend.capabilities.returns
    wrong = trial.in_turn(_KINDS)
    loss = handed_cotangents(case, draw(case, trial.recipe.seed, "all", returned))
    for k, (name, right) in enumerate(zip(Cotangents._fields, loss, strict=True)):
        for what, value in wrong(right).items() if name in returned else ():
            if value.shape == right.shape:
                continue
            given = [value if at == k else part for at, part in enumerate(loss)]
            told = f"a grad_{name} with {what}, {value.shape} for {right.shape},"
            must_raise(told, lambda given=given: _vjp(trial, given))


def _vjp(trial: Trial, loss: list[Array]) -> Any:
    """The result of a vjp, as it was returned."""
    model: Any = trial.model(trial.case)
    return model.vjp(*handed(trial.case), *(part.copy() for part in loss))[0]


@prop(
    "refusals.then-right",
    needs=("loop", "values"),
    limit=12,
    turns=2,
    fails="is wrong after a call that it refused",
)
def then_right(trial: Trial) -> None:
    """A refused call leaves nothing behind: the same model is as right as before.

    If a state is stored before the input is checked, the next call starts from it.
    """
    case, model = trial.case, trial.model(trial.case)
    x, state, lengths = handed(case)
    if trial.backend.capabilities.initial_state:
        other = trial.derived(seed=trial.recipe.seed + 1, fill="normal", state="both").case
        state = handed(replace(other, view="plain"))[1]
    wide = np.ascontiguousarray(np.concatenate([x, x[..., :1]], axis=-1))
    # Whether it is refused is asked by another property.
    with suppress(BackendError, Narrowed):
        trial.call(case, model, (wide, state, lengths))
    after = replace(case, state=None) if trial.in_turn((True, False)) else case
    trial.require_same_result(trial.run(after, model), after)
