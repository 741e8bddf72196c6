"""Gradients beside other calls: before them, after them and at the same time, of the same model and of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import handed
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.cases.sizes import LONG
from conformance.properties.gradients.shared import (
    LOSSES,
    LOSSES_IN_TURN,
    cut,
    drawn,
    free_findings,
    gradient_prop,
    require_same_gradients,
)
from conformance.properties.model import pairs
from conformance.properties.purity.concurrent import at_once
from conformance.spec import Array
from conformance.trials.agreement import right
from conformance.trials.calls import call_vjp, fresh_params
from conformance.trials.outcomes import Violation, within
from conformance.trials.trial import Trial

#: Losses, and how many calls stand between the two that are compared.
_REPEATED = (("any", 1), ("h_n", 18), ("partial", 1), ("h_n", 1), ("last", 1), ("any", 18))


@gradient_prop("gradients.repeat", needs=("gradients", "live"), turns=len(_REPEATED))
def repeat(trial: Trial) -> None:
    """A second vjp of the same model gives what the first gave, and so does a twentieth: nothing accumulates.

    torch adds into ``.grad`` until the caller clears it; tensorflow#47813 needed a reset between calls.
    """
    small, returned = cut(trial), trial.backend.capabilities.returns
    # A function that is called often may be compiled again.
    loss, between = trial.in_turn(_REPEATED)
    if between > 1 and small.case.steps > 12:
        small = small.resized(L=12)
    case, cotangents = small.case, draw(small.case, small.recipe.seed, loss, returned)
    model = small.model(case)
    first = small.vjp(case, cotangents, model)
    # These have a loss on all parts: a loss on fewer would not clear what they leave.
    for _ in range(between):
        small.vjp(case, draw(case, small.recipe.seed + 1, "all", returned), model)
    second = small.vjp(case, cotangents, model)
    require_same_gradients(small, cotangents, first, second, bitwise=trial.backend.capabilities.deterministic)


@gradient_prop("gradients.after-others", needs=("gradients", "values", "live"), turns=LOSSES)
def after_others(trial: Trial) -> None:
    """A model's earlier calls and another model's vjp do not change its vjp, and a vjp does not change later calls.

    Activations kept from the last forward call, or found again by the arguments alone, change it; so do buffers that a
    longer vjp left, and modules left in training mode.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    other = small.derived(seed=small.recipe.seed + 1, fill="normal").case
    lengths = None if case.lengths is None else case.lengths + 2
    more = LONG if trial.backend.capabilities.compiled else case.steps + 2
    longer = replace(case, x=np.resize(other.x, (more, *case.x.shape[1:])), lengths=lengths)
    fresh = small.vjp(case, cotangents)
    for before in ("another state", "other values", "a longer vjp", "another model"):
        if before == "another state" and case.state is None:
            continue
        model = small.model(case)
        if before == "another model":
            if not case.fixed:
                others = replace(case, params=other.params)
                gradients_of_its_own = free_findings(small, cotangents, *small.vjp(others, cotangents), others)
                if right(free_findings(small, cotangents, *fresh)):
                    small.require(gradients_of_its_own, others)
        elif before == "a longer vjp":
            small.vjp(longer, draw(longer, small.recipe.seed, "any", trial.backend.capabilities.returns), model)
        else:
            x = other.x if before == "other values" else case.x
            small.call(replace(case, x=x, state=other.state), model)
        require_same_gradients(small, cotangents, fresh, small.vjp(case, cotangents, model))
        small.require_same_result(small.run(case, model))


@gradient_prop("gradients.untouched", needs=("gradients", "memory"), turns=LOSSES)
def untouched(trial: Trial) -> None:
    """vjp changes none of its arguments, cotangents included, and no gradient that it returned before.

    mxnet#17898: dx was written over dy. Gradients in a workspace are right until the next call.
    """
    small = cut(trial)
    case = small.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    loss = handed_cotangents(case, draw(case, small.recipe.seed, "all", trial.backend.capabilities.returns))
    given: dict[str, Array] = {**params, "x": x}
    given |= {} if state is None else {"h_0": state[0], "c_0": state[1]}
    given |= {} if lengths is None else {"lengths": lengths}
    given |= {f"grad_{name}": part for name, part in zip(Cotangents._fields, loss, strict=True)}
    before = {name: value.copy() for name, value in given.items()}
    model = small.model(case, params)
    _, kept = call_vjp(model, case, x, state, lengths, *loss)
    returned = {f"grads {name}": value for name, value in kept.items()}
    before |= {name: value.copy() for name, value in returned.items()}
    # A ring of buffers comes round.
    for factor in (2.0, 4.0, 8.0, 16.0):
        small.vjp(case, drawn(small).scaled(factor), model)
    for name, value in (given | returned).items():
        if not np.array_equal(value, before[name], equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(value != before[name])[0])
            raise Violation(f"{name}{list(at)} was {before[name][at]:.9g} and is {value[at]:.9g} after vjp", case=case)


#: Losses, and whether both vjps are of one model.
_LOSSES_AND_MODELS = pairs(LOSSES_IN_TURN, (False, True))


@gradient_prop(
    "gradients.threads",
    needs=("gradients", "threads", "values"),
    limit=len(_LOSSES_AND_MODELS),
    turns=len(_LOSSES_AND_MODELS),
)
def threads(trial: Trial) -> None:
    """Vjps called from two threads at once do not disturb each other, be they of two models or of one.

    The backward pass may have one workspace for the process, even if the forward pass has one for each model; or sum
    the gradients of all its calls in one buffer (libxsmm#274).
    """
    small = cut(trial)
    case, cotangents, (_, one_model) = small.case, drawn(small), trial.in_turn(_LOSSES_AND_MODELS)
    other = small.derived(seed=small.recipe.seed + 1).case
    other = replace(case, x=other.x) if one_model or case.fixed else replace(case, params=other.params)
    model = small.model(case)
    second = model if one_model else small.model(other)
    twice = cotangents.scaled(2.0)
    alone, alone_too = small.vjp(case, cotangents, model), small.vjp(other, twice, second)
    with within(f"beside a vjp of {'the same' if one_model else 'another'} model in another thread", case):
        own, beside = at_once(lambda: small.vjp(case, cotangents, model), lambda: small.vjp(other, twice, second))
        for found in own:
            require_same_gradients(small, cotangents, alone, found)
        for found in beside:
            require_same_gradients(small, twice, alone_too, found, case=other)
