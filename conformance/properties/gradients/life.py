"""Gradients of a model that lives: its weights are exchanged, and it goes from training to evaluation and back."""

from __future__ import annotations

import numpy as np

from conformance.instruments.masks import with_dropout
from conformance.properties.gradients.shared import (
    LOSSES,
    cut,
    drawn,
    free_findings,
    gradient_prop,
    require_same_gradients,
)
from conformance.trials.outcomes import within
from conformance.trials.trial import Trial


@gradient_prop("gradients.load", ("gradients", "params", "values"), limit=12, turns=LOSSES)
def load(trial: Trial) -> None:
    """After ``forward.load(params)`` the gradients are those of these weights, and so are the results after a vjp.

    The backward pass has packed or transposed weights of its own, which a load may forget.
    """
    trial.require_offered("load")
    small = cut(trial)
    model, other = small.model(small.case), small.derived(seed=small.recipe.seed + 1, fill="normal")
    small.vjp(small.case, drawn(small), model)
    small.load(model, other.case)
    with within("after a vjp and a load", other.case):
        other.require_same_result(other.run(other.case, model))
        cotangents = drawn(other)
        usual = other.vjp(other.case, cotangents)
        require_same_gradients(other, cotangents, usual, other.vjp(other.case, cotangents, model))


@gradient_prop(
    "gradients.train",
    ("gradients", "dropout", "layers", "params", "values"),
    lambda recipe: recipe.layers > 1,
    limit=12,
    turns=LOSSES,
)
def train(trial: Trial) -> None:
    """After ``forward.train(mode)`` the gradients are those of this mode.

    The backward pass keeps the mode or the mask of an earlier call.
    """
    trial.require_offered("train")
    small = cut(trial)
    case, cotangents = with_dropout(small.case, 1.0, training=False), drawn(small)
    model = small.model(case)
    usual = small.vjp(small.case, cotangents)
    for what in ("in evaluation", "in evaluation after training"):
        small.train(model, case, False)
        with within(what, case):
            require_same_gradients(small, cotangents, usual, small.vjp(case, cotangents, model))
        small.train(model, case, True)
        with within("in training", case):
            silent = with_dropout(small.case, 1.0)
            shape = case.steps, case.batch, case.config.num_directions * case.config.output_size
            scales = [np.zeros(shape)] * (case.config.num_layers - 1)
            result, grads = small.vjp(case, cotangents, model)
            small.require(free_findings(small, cotangents, result, grads, case=silent, scales=scales), silent)
