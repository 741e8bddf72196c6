"""Direction: the backward half of a bidirectional layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import normal
from conformance.cases.recipe import Recipe
from conformance.properties.model import prop
from conformance.reference.forward import time_order
from conformance.spec import Array, Result, Slot, layer_params
from conformance.trials.outcomes import within
from conformance.trials.trial import Trial


def _bidirectional(recipe: Recipe) -> bool:
    return recipe.bidirectional


_NEEDS = ("bidirectional", "output", "values", "params")


def one_direction(case: Case, direction: int) -> Case:
    """The first layer's ``direction`` as a forward LSTM of its own, reading the sequence as that direction does."""
    config = replace(case.config, num_layers=1, bidirectional=False)
    params = {f"{name}_l0": value for name, value in layer_params(case.params, Slot(0, direction)).items()}
    slot = slice(direction, direction + 1)
    state = None if case.state is None else (case.state[0][slot], case.state[1][slot])
    x = time_order(case.x, case.row_lengths(), bool(direction))
    return replace(case, config=config, params=params, state=state, x=np.ascontiguousarray(x))


def half(case: Case, result: Result, direction: int) -> Result:
    """One direction's part of a one-layer bidirectional result, in the order in which that direction reads."""
    P = case.config.output_size
    output = None if result.output is None else result.output[..., direction * P : (direction + 1) * P]
    if output is not None:
        output = time_order(output, case.row_lengths(), bool(direction))
    finals = (None if part is None else part[direction : direction + 1] for part in (result.h_n, result.c_n))
    return Result(output, *finals)


@prop("direction.reversal", needs=_NEEDS, when=_bidirectional)
def reversal(trial: Trial) -> None:
    """The backward half is the forward LSTM on the reversed sequence, its output flipped back to time order.

    tensorflow#40345 and onnx2tf PR287 left the output in reverse time; tensorflow#39635 flipped the batch axis.
    """
    first, alone = trial.case.prefix(1), one_direction(trial.case, 1)
    with within("the reverse half, as a forward LSTM", first):
        trial.require_same(lambda k: half(first, trial.observe(1), 1), alone)


@prop("direction.forward-half", needs=_NEEDS, when=_bidirectional)
def forward_half(trial: Trial) -> None:
    """The forward half of a bidirectional layer is the forward LSTM alone.

    coremltools#824: adding a second direction changed the first.
    """
    first, alone = trial.case.prefix(1), one_direction(trial.case, 0)
    with within("the forward half, as a forward LSTM", first):
        trial.require_same(lambda k: half(first, trial.observe(1), 0), alone)


@prop("direction.swap", needs=_NEEDS, when=_bidirectional)
def swap(trial: Trial) -> None:
    """Swapping the directions' weights and states and reversing time swaps the halves of every result.

    In a stack the halves of the upper layers' weight_ih swap too. candle's Backward only renamed the weights.
    """
    case, P = trial.case, trial.case.config.output_size
    lengths = case.row_lengths()

    def swapped_slots(part: Array) -> Array:
        return part.reshape(-1, 2, *part.shape[1:])[:, ::-1].reshape(part.shape)

    def swapped_halves(part: Array) -> Array:
        return np.concatenate([part[..., P:], part[..., :P]], axis=-1)

    def change(case: Case) -> Case:
        params = {}
        for name in case.params:
            twin = name.removesuffix("_reverse") if name.endswith("_reverse") else name + "_reverse"
            value = case.params[twin]
            upper = name.startswith("weight_ih") and not name.startswith("weight_ih_l0")
            params[name] = swapped_halves(value) if upper else value
        state = None if case.state is None else (swapped_slots(case.state[0]), swapped_slots(case.state[1]))
        x = np.ascontiguousarray(time_order(case.x, lengths, True))
        return replace(case, params=params, state=state, x=x)

    def back(result: Result) -> Result:
        output = None if result.output is None else time_order(swapped_halves(result.output), lengths, True)
        finals = (None if part is None else swapped_slots(part) for part in (result.h_n, result.c_n))
        return Result(output, *finals)

    trial.require_same(lambda k: back(trial.complete(change(case.prefix(k)))))


@prop("direction.independence", needs=_NEEDS, when=_bidirectional)
def independence(trial: Trial) -> None:
    """Backward weights do not touch the forward half of the first layer.

    pytorch#89357: quantizable layers ignored the backward half. Shared weights and mixed buffers show as influence.
    """
    first, alone = trial.case.prefix(1), one_direction(trial.case, 0)
    params = {
        name: value + normal(trial.recipe.seed, "other " + name, value.shape).astype(value.dtype)
        if name.endswith("_reverse")
        else value
        for name, value in first.params.items()
    }
    trial.require_same(
        lambda k: half(first, trial.complete(replace(first, params=params)), 0),
        case=alone,
        usual=lambda k: half(first, trial.observe(1), 0),
    )
