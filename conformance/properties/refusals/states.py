"""Initial states of shapes that do not fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.properties.model import prop
from conformance.properties.refusals.shared import (
    Wrong,
    feature_more_or_less,
    ones,
    refused,
    reordered,
    resized,
    states_of,
    with_ones,
)
from conformance.spec import Array
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


def _refuses(trial: Trial, wrong: Callable[[Array], Wrong]) -> None:
    """Each wrong shape, of both parts of the state, of h_0 alone and of c_0 alone."""
    x, right, lengths = states_of(trial)
    # A cell has no layer axis: the suite's loop takes it away, and so it stays.
    cell = "loop" in trial.backend.ruled_out
    h_0s, c_0s = (_wrong(part, wrong, cell) for part in right)
    kinds = list(dict.fromkeys([*h_0s, *c_0s]))
    if not kinds:
        raise Discard
    for what in trial.few(kinds):
        h, c = (found.get(what, part).copy() for found, part in zip((h_0s, c_0s), right, strict=True))
        states = {"a c_0": (right[0], c)} if what in c_0s else {}
        states |= {"an h_0": (h, right[1])} if what in h_0s else {}
        states |= {"an initial state": (h, c)} if len(states) == 2 else {}
        # Of one call that can be afforded, the whole state: of one part alone the shapes contradict each other.
        for name, state in [*states.items()][-1 if trial.backend.capabilities.compiled else 0 :]:
            shapes = f"({state[0].shape}, {state[1].shape} for {right[0].shape}, {right[1].shape})"
            refused(trial, f"{name} with {what} {shapes}", x, state, lengths)


def _wrong(part: Array, wrong: Callable[[Array], Wrong], cell: bool) -> Wrong:
    """The wrong arrays that do not happen to have the right shape."""
    found = {what: value[None] for what, value in wrong(part[0]).items()} if cell else wrong(part)
    return {what: value for what, value in found.items() if value.shape != part.shape}


@prop(
    "refusals.state-shape",
    needs=("initial_state",),
    every=8,
    limit=12,
    fails="accepts a state of another size",
)
def state_shape(trial: Trial) -> None:
    """An h_0, a c_0 or both of another size than the model's is refused.

    Callers easily confuse the sizes of layers, directions, projection and cell. pytorch#193911 takes the number of
    layers from h_0 alone, and drops those that c_0 has besides.
    """
    # A cell has no layer axis.
    _refuses(trial, feature_more_or_less if "loop" in trial.backend.ruled_out else resized)


@prop(
    "refusals.broadcast-state",
    needs=("initial_state",),
    every=8,
    limit=12,
    fails="broadcasts a state with an axis of one",
)
def broadcast_state(trial: Trial) -> None:
    """An h_0, a c_0 or both with an axis of one that would broadcast is refused: slots, rows or units.

    NumPy and torch broadcast silently; one row's state for all rows (opencv#21118) is a defect, not a convenience.
    """
    _refuses(trial, ones)


@prop(
    "refusals.batch-mismatch",
    needs=("initial_state", "batch"),
    when=lambda r: not r.unbatched,
    every=8,
    turns=2,
    limit=12,
    fails="accepts a state for another number of rows",
)
def batch_mismatch(trial: Trial) -> None:
    """An h_0, a c_0 or both for another number of rows than x has is refused.

    It happens if the last batch of an epoch is smaller. torch.nn.LSTM itself overlooks it in a PackedSequence. An x of
    one row comes first, and every second time: it would broadcast over the rows of the state.
    """
    asked = trial.resized(N=1) if trial.recipe.N > 1 and not trial.in_turn(range(2)) else trial
    _refuses(asked, lambda part: {"a row too many": np.concatenate([part, part.take([0], -2)], axis=-2)})


@prop(
    "refusals.reshaped-state",
    needs=("initial_state",),
    every=8,
    limit=12,
    fails="accepts a state with its axes in another order",
)
def reshaped_state(trial: Trial) -> None:
    """An h_0, a c_0 or both with the right numbers under another shape is refused: axes exchanged, or made one.

    A buffer's size says nothing of its layout. A state that was kept batch-first fits after a reshape, and each row
    starts from the numbers of others.
    """
    _refuses(trial, reordered)


@prop(
    "refusals.state-rank",
    needs=("initial_state",),
    every=8,
    limit=12,
    fails="accepts a state with an axis too many or too few",
)
def state_rank(trial: Trial) -> None:
    """An h_0, a c_0 or both with an axis of one too many or too few is refused.

    keras PR7387 shows how easily an axis of one is lost. Code that squeezes it loses other axes with it.
    """
    _refuses(trial, with_ones)
