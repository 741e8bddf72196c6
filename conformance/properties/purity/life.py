"""A model that lives: its weights are exchanged, and it goes from training to evaluation and back.

``forward.load(params)`` and ``forward.train(mode)`` are optional. Where a model has none, its property is not declared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.instruments.masks import with_dropout
from conformance.properties.model import pairs, prop
from conformance.properties.resized import cheap, tiny
from conformance.spec import Result
from conformance.trials.agreement import equal_bits
from conformance.trials.calls import fresh_params
from conformance.trials.outcomes import Violation, within
from conformance.trials.trial import Trial

#: Which of the weights are other ones when they are loaded: code that finds out whether any changed looks at a few.
_LOADED = ("all", "biases", "one tensor")


def _with_other_weights(trial: Trial, which: str = "all") -> Case:
    """The case with other weights: all of them, the biases, or one tensor."""
    params, other = trial.case.params, trial.derived(seed=trial.recipe.seed + 1, fill="normal").case.params
    names = [name for name in params if which != "biases" or name.startswith("bias")] or [*params]
    if which == "one tensor":
        names = [names[trial.pick("loaded", len(names))]]
    return replace(trial.case, params={**params, **{name: other[name] for name in names}})


#: The same, and whether the model is one with dropout, in evaluation.
_LOADED_AND_DROPOUT = pairs(_LOADED, (False, True))


@prop("purity.load", needs=("params", "live"), turns=len(_LOADED_AND_DROPOUT))
def load(trial: Trial) -> None:
    """After ``forward.load(params)`` a model computes with these weights, after each load and in either mode.

    Weights that were packed, transposed or summed at the first call stay as they were (pytorch#65688), some of them or
    all. Dropout of weights keeps copies of them (gluon-nlp#546).
    """
    trial.require_offered("load")
    which, dropping = trial.in_turn(_LOADED_AND_DROPOUT)
    first, second = trial.case, _with_other_weights(trial, which)
    if dropping and trial.backend.capabilities.dropout:
        first, second = (with_dropout(case, 0.5, training=False) for case in (first, second))
    model = trial.model(first)
    trial.run(first, model)
    for case, what in ((second, "after a load"), (first, "after the first weights are loaded back")):
        trial.load(model, case)
        with within(what, case):
            trial.require_repeated(trial.run(case, model), case)
        if hasattr(model, "train"):
            trial.train(model, case, False)
            with within(f"{what} and train(False)", case):
                trial.require_repeated(trial.run(case, model), case)


@prop("purity.load-copies", needs=("memory", "params"))
def load_copies(trial: Trial) -> None:
    """``forward.load(params)`` copies: the caller may change its arrays, and the model does not change them.

    nn.LSTM's ``load_state_dict`` copies. A model that keeps the arrays, or writes into those it was built from, shares
    its weights with somebody else.
    """
    trial.require_offered("load")
    case, other = trial.case, _with_other_weights(trial)
    built, loaded = fresh_params(case.params), fresh_params(other.params)
    model = trial.model(case, built)
    trial.call(case, model)
    trial.load(model, other, loaded)
    trial.call(other, model)
    for arrays, given, what in ((built, case.params, "built from"), (loaded, other.params, "given by load")):
        for name, value in arrays.items():
            if not np.array_equal(value, given[name], equal_nan=True):
                raise Violation(f"the {name} that the model was {what} is changed after a load and a call")
    for value in loaded.values():
        value[...] = 0.5
    with within("after a load whose arrays were then changed", other):
        trial.require_repeated(trial.run(other, model), other)


@prop("purity.load-apart", needs=("params", "live"))
def load_apart(trial: Trial) -> None:
    """``forward.load(params)`` changes no other model, one that was built from equal weights either.

    Models of equal weights may share them, until one of them is given others.
    """
    trial.require_offered("load")
    case, other = trial.case, _with_other_weights(trial)
    model, second = trial.model(case), trial.model(case)
    trial.run(case, model)
    trial.load(second, other)
    trial.run(other, second)
    with within("after a load of another model", case):
        trial.require_repeated(trial.run(case, model), case)


#: The probability of dropping, and the mode in which the model is built.
_SWITCHED = pairs((1.0, 0.5), (False, True))


def _precise(recipe: Recipe) -> bool:
    return recipe.layers > 1 and recipe.dtype in ("float32", "float64")


@prop("purity.train", needs=("dropout", "layers", "params", "values"), when=_precise, turns=len(_SWITCHED))
def train(trial: Trial) -> None:
    """``forward.train(True)`` drops between layers, and ``forward.train(False)`` does not, in whatever order.

    Code that reads the mode when it is built, or keeps a mask, stays in one mode.
    """
    trial.require_offered("train")
    p, built = trial.in_turn(_SWITCHED)
    # Of several elements that are dropped or doubled, some show, whatever rounding may hide.
    sizes = tiny(trial.recipe) | {"I": 4, "H": 8, "L": 5, "N": min(trial.recipe.N, 4)}
    clear = trial.resized(**cheap(trial, **sizes) | {"layers": trial.recipe.layers, "gain": 1.0})
    case = with_dropout(clear.case, p, training=built)
    model = clear.model(case)
    for what in ("in evaluation", "in evaluation after training"):
        clear.train(model, case, False)
        with within(what, case):
            clear.require_same_result(clear.run(case, model))
        clear.train(model, case, True)
        result = clear.run(case, model)
        if p < 1:
            if equal_bits(result, clear.result):
                raise Violation(f"with dropout={p:g}, train(True) changes nothing", case=case)
        else:
            with within("in training", case):
                _require_deaf(clear, result)


def _require_deaf(trial: Trial, result: Result) -> None:
    """The result must be that of a stack whose upper layers read zeros."""
    case = trial.case
    upper = [name for name in case.params if name.startswith("weight_ih") and not name.startswith("weight_ih_l0")]
    silent = replace(case, params={**case.params, **{name: 0 * case.params[name] for name in upper}})
    usual, last = trial.observing(with_dropout(case, 1.0)), case.config.num_layers
    trial.require(trial.findings_of(silent, lambda k: result if k == last else usual(k)), silent)
