"""Dropout where there is no chance: in evaluation, with a probability of 0 or 1, and in the first layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.instruments.masks import with_dropout
from conformance.properties.dropout.shared import NEEDS, precise, require_gradients, stacked
from conformance.properties.gradients.shared import (
    LOSSES,
    cut,
    drawn,
    free_findings,
    require_same_gradients,
)
from conformance.properties.model import prop
from conformance.spec import Result
from conformance.trials.trial import Trial


@prop("dropout.evaluation", needs=("dropout", "layers", "values"), when=stacked)
def evaluation(trial: Trial) -> None:
    """In evaluation nothing is dropped or scaled, for any config.dropout.

    DL4J dropped at inference; the first formulation of dropout scales there instead of in training.
    """
    trial.require_same_result(trial.run(with_dropout(trial.case, 0.5, training=False)))


@prop("dropout.nothing", needs=("dropout", "layers", "values"))
def nothing(trial: Trial) -> None:
    """In training nothing is dropped with a probability of 0, nor in a model of one layer.

    Dropout is between layers. Code that drops every layer's output is wrong in a stack's last layer, and in a single
    one.
    """
    case = with_dropout(trial.case, 0.0 if trial.case.config.num_layers > 1 else 0.5)
    trial.require_same_result(trial.run(case))


@prop(
    "dropout.idle-gradients",
    needs=("dropout", "layers", "gradients", "values"),
    when=precise,
    limit=12,
    turns=LOSSES,
)
def idle_gradients(trial: Trial) -> None:
    """In evaluation, and in training with a probability of 0, the gradients are those without dropout.

    Paddle#37080 took them from the wrong array in training without dropout. A backward pass that scales by 1/(1 − p) in
    both modes is wrong in evaluation.
    """
    small = cut(trial)
    cotangents = drawn(small)
    without = small.vjp(small.case, cotangents)
    for case in (with_dropout(small.case, 0.5, training=False), with_dropout(small.case, 0.0)):
        require_same_gradients(small, cotangents, without, small.vjp(case, cotangents))


@prop("dropout.everything", needs=NEEDS, when=stacked)
def everything(trial: Trial) -> None:
    """With a probability of 1 in training, every layer but the first reads zeros.

    The scale 1/(1 − p) is infinite there, and 0·∞ is not a number.
    """
    case = trial.case
    deaf = {
        name: 0 * value if name.startswith("weight_ih") and not name.startswith("weight_ih_l0") else value
        for name, value in case.params.items()
    }
    silent = replace(case, params=deaf)
    trial.require(trial.findings_of(silent, trial.observing(with_dropout(case, 1.0))), silent)


@prop(
    "dropout.everything-gradients",
    needs=(*NEEDS, "gradients"),
    when=precise,
    limit=12,
    turns=LOSSES,
)
def everything_gradients(trial: Trial) -> None:
    """With a probability of 1 in training no gradient passes back from layer to layer, and every one is a number.

    The scale 1/(1 − p) is infinite in the backward pass too.
    """
    small = cut(trial)
    case, cotangents = with_dropout(small.case, 1.0), drawn(small)
    nothing = np.zeros((case.steps, case.batch, case.config.num_directions * case.config.output_size))
    scales = [nothing] * (case.config.num_layers - 1)
    findings = free_findings(small, cotangents, *small.vjp(case, cotangents), case=case, scales=scales)
    require_gradients(small, findings, case)


@prop("dropout.first-layer", needs=(*NEEDS, "h_n", "c_n"), when=stacked)
def first_layer(trial: Trial) -> None:
    """The first layer's h_n and c_n in training are those without dropout: nothing is dropped in it or below it.

    Keras's ``dropout`` drops the layer's input, and its ``recurrent_dropout`` drops h_{t−1}: the same name means
    something else.
    """
    D = trial.case.config.num_directions

    def bottom(result: Result) -> Result:
        return Result(None, *(None if part is None else part[:D] for part in (result.h_n, result.c_n)))

    dropped = bottom(trial.run(with_dropout(trial.case, 0.5)))
    trial.require_same(lambda k: dropped, trial.case.prefix(1), usual=lambda k: bottom(trial.result))
