"""Stack: layers on top of each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import normal
from conformance.cases.recipe import Recipe
from conformance.properties.model import prop
from conformance.properties.resized import cheap, right_or_consistent, tiny
from conformance.spec import Result, Slot, layer_params
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


def _stacked(recipe: Recipe) -> bool:
    return recipe.layers > 1


_NEEDS = ("layers", "params", "values")


@prop("stack.composition", needs=(*_NEEDS, "output"), when=_stacked)
def composition(trial: Trial) -> None:
    """A stack equals its layers chained as models of one layer, each with its slice of the initial state.

    pytorch#90421 (MPS) was wrong only when bidirectional and stacked; onnx-tensorflow#878 only with two layers.
    """
    case, chained = trial.case, list[Result]()

    def chain(layers: int) -> Result:
        while len(chained) < layers:
            below = chained[-1].output if chained else case.x
            assert below is not None
            chained.append(trial.complete(_alone(case, len(chained), below.astype(case.x.dtype))))
        h_n = [result.h_n for result in chained[:layers] if result.h_n is not None]
        c_n = [result.c_n for result in chained[:layers] if result.c_n is not None]
        finals = (np.concatenate(parts) if parts else None for parts in (h_n, c_n))
        return Result(chained[layers - 1].output, *finals)

    # Each is judged on its own lower layers: inside a stack their outputs need not be rounded before they are read.
    trial.require_same(trial.observe, usual=chain)


def _alone(case: Case, layer: int, below: np.ndarray) -> Case:
    """One layer of a stack as a model of its own that reads ``below`` (L, N, features)."""
    D = case.config.num_directions
    config = replace(case.config, num_layers=1, input_size=case.config.layer_input_size(layer))
    params = {
        name + Slot(0, direction).suffix: value
        for direction in range(D)
        for name, value in layer_params(case.params, Slot(layer, direction)).items()
    }
    slots = slice(layer * D, (layer + 1) * D)
    state = None if case.state is None else (case.state[0][slots], case.state[1][slots])
    return replace(case, config=config, params=params, state=state, x=np.ascontiguousarray(below))


@prop("stack.upper-weights", needs=(*_NEEDS, "h_n"), when=_stacked)
def upper_weights(trial: Trial) -> None:
    """The last layer's weights do not touch the states of the layers below.

    Only this shows a buffer shared by two layers, or weights indexed by the wrong layer.
    """
    case, layers = trial.case, trial.case.config.num_layers
    if layers < 2:
        raise Discard
    lower = (layers - 1) * case.config.num_directions
    top = f"_l{layers - 1}"
    params = {
        name: value + normal(trial.recipe.seed, "other " + name, value.shape).astype(value.dtype)
        if name.removesuffix("_reverse").endswith(top)
        else value
        for name, value in case.params.items()
    }

    def below(result: Result) -> Result:
        return Result(None, *(None if part is None else part[:lower] for part in (result.h_n, result.c_n)))

    changed = below(trial.run(replace(case, params=params)))
    trial.require_same(
        lambda k: changed if k == layers - 1 else trial.observe(k),
        case=case.prefix(layers - 1),
        usual=lambda k: below(trial.result),
    )


@prop("stack.deep", needs=_NEEDS, when=_stacked, limit=2)
def deep(trial: Trial) -> None:
    """Stacks of four, five and eleven layers are right.

    Two buffers that the layers use in turn, and lists of a fixed length, do not suffice for as many; and sorted as
    text, ``weight_ih_l10`` comes before ``weight_ih_l2``.
    """
    r = trial.recipe
    usual = trial.resized(**cheap(trial, **tiny(r) | {"layers": 2, "L": min(r.L, 3), "N": min(r.N, 2)}))
    forms = ({"layers": 4, "proj": 0}, {"layers": 11}, {"layers": 5, "proj": 0, "L": 18, "state": "none"})
    # Each of the layers costs a compilation.
    for form in forms[:1] if trial.backend.capabilities.compiled else forms:
        right_or_consistent(usual.resized(**form), usual, composition)
