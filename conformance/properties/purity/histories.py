"""One model, many calls of different kinds, in evaluation and in training."""

from __future__ import annotations

from conformance.properties.histories import HISTORIES, idle_training, later_and_earlier
from conformance.properties.model import pairs, prop
from conformance.properties.resized import cheap, tiny
from conformance.trials.trial import Trial

#: Kinds of earlier calls, and whether the model is in training.
_HISTORIES_AND_MODES = pairs(HISTORIES, (True, False))


@prop("purity.other-calls", needs=("values", "live"), every=6, turns=len(_HISTORIES_AND_MODES))
def other_calls(trial: Trial) -> None:
    """Earlier calls with other rows, steps, lengths or state do not change a call, in training as in evaluation.

    A loop that trains sees a last batch that is smaller, and lengths in some batches only. What a model keeps from its
    first call, or from its last, is right for calls of that kind alone; some keep it in training only.
    """
    history, training = trial.in_turn(_HISTORIES_AND_MODES)
    recipe, declared = trial.recipe, trial.backend.capabilities
    small = trial if declared.fixed is not None else trial.resized(**cheap(trial, **tiny(recipe)))
    later, earlier = later_and_earlier(small, history)
    case = later.case
    called, before = (case, earlier)
    if training and declared.dropout and declared.layers:
        # A result in training is judged as that of the same call in evaluation.
        called, before = idle_training(case), idle_training(earlier)
    model = later.model(called)
    # Twice: what is specialised after two calls.
    for _ in range(2):
        later.run(before, model)
    later.require_same_result(later.run(called, model))
