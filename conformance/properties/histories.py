"""Earlier calls of one model that differ from a later one: in rows, steps, lengths, state, or the batch axis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.instruments.masks import with_dropout
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


class History(NamedTuple):
    """Changes of a recipe that make an earlier call of it, and those that make the later call that is judged."""

    earlier: dict[str, Any]
    later: dict[str, Any]


_BATCH = {"unbatched": False, "N": 3}
_SINGLE = {"unbatched": True, "N": 1}

#: A later call that needs more or less of anything than the earlier one did, all else being equal.
HISTORIES = (
    History({"N": 3}, {"N": 1}),
    History({"N": 1}, {"N": 4}),
    History({"L": 7}, {"L": 3}),
    History({"L": 2}, {"L": 6}),
    History({"ragged": True}, {"ragged": False}),
    History({"ragged": False}, {"ragged": True}),
    # Values are others in the earlier call, and so are lengths.
    History({"ragged": True}, {"ragged": True}),
    # What is planned for the first lengths may be kept by the number of rows alone.
    History({"ragged": True, "L": 4}, {"ragged": True, "L": 7}),
    History({"ragged": True, "L": 7}, {"ragged": True, "L": 4}),
    # Lengths, and zeros in place of a state, are kept for the rows of the first call that has them.
    History({"ragged": True, "N": 2}, {"ragged": True, "N": 4}),
    History({"state": "none", "N": 2}, {"state": "none", "N": 4}),
    History({"ragged": True, "N": 4}, {"ragged": True, "N": 2}),
    History({"state": "none", "N": 4}, {"state": "none", "N": 2}),
    History({"state": "both"}, {"state": "none"}),
    History({"state": "none"}, {"state": "both"}),
    History(_BATCH, _SINGLE),
    History(_SINGLE, _BATCH),
)


def later_and_earlier(trial: Trial, history: History) -> tuple[Trial, Case]:
    """The trial of a small later call, and the case of an earlier call, which is one of the same model.

    ``Discard`` where either is not declared, and for a recipe with edits.
    """
    declared = trial.backend.capabilities
    base = {"L": 5, "N": 3 if declared.batch else 1, "unbatched": False, "ragged": False}
    base["state"] = "both" if declared.initial_state else "none"
    later, earlier = (replace(trial.recipe, **{**base, **changes}) for changes in (history.later, history.earlier))
    if not (_declared(trial, later) and _declared(trial, earlier)):
        raise Discard
    judged = trial.resized(**{**base, **history.later})
    other = judged.resized(**{**base, **history.earlier}, seed=trial.recipe.seed + 1, fill="normal").case
    return judged, replace(other, config=judged.case.config, params=judged.case.params)


def _declared(trial: Trial, recipe: Recipe) -> bool:
    c = trial.backend.capabilities
    used = (recipe.N > 1, c.batch), (recipe.ragged, c.lengths), (recipe.unbatched, c.unbatched)
    return all(declared for uses, declared in (*used, (recipe.state != "none", c.initial_state)) if uses)


def idle_training(case: Case) -> Case:
    """The same call in training, in which nothing is dropped."""
    return with_dropout(case, 0.0 if case.config.num_layers > 1 else 0.5)
