"""Gradients after earlier calls of other kinds, and in memory that is shared: broadcast, returned before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case, handed
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.properties.gradients.shared import LOSSES, NEEDS, cut, drawn, gradient_prop, require_same_gradients
from conformance.properties.histories import HISTORIES, idle_training, later_and_earlier
from conformance.properties.model import pairs
from conformance.reference.forward import leave
from conformance.spec import Array
from conformance.trials.calls import VjpArguments, call_vjp, fresh_params
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial

#: Whether a vjp comes after a vjp, or else after a forward call, and a forward call after a vjp; and whether in
#: training.
_CALLS = ((True, True), (False, False), (True, False), (False, True))
_HISTORIES_AND_CALLS = pairs(HISTORIES, _CALLS)


@gradient_prop(
    "gradients.other-calls",
    needs=("gradients", "values", "live"),
    limit=24,
    turns=len(_HISTORIES_AND_CALLS),
)
def other_calls(trial: Trial) -> None:
    """A vjp is not changed by earlier calls with other rows, steps, lengths or state, nor is a call by an earlier vjp.

    A loop that trains sees a last batch that is smaller, and lengths in some batches only. What the backward pass keeps
    of a first call, or of the last, is right for calls of that kind alone.
    """
    history, (after_vjp, training) = trial.in_turn(_HISTORIES_AND_CALLS)
    declared = trial.backend.capabilities
    later, earlier = later_and_earlier(cut(trial), history)
    case = later.case
    called, before = case, earlier
    if training and declared.dropout and declared.layers:
        called, before = idle_training(case), idle_training(earlier)
    loss, cotangents = draw(before, later.recipe.seed, "all", declared.returns), drawn(later)
    fresh, model = later.vjp(case, cotangents), later.model(called)
    if after_vjp:
        later.vjp(before, loss, model)
    else:
        later.run(before, model)
    require_same_gradients(later, cotangents, fresh, later.vjp(called, cotangents, model))
    if not after_vjp:
        model = later.model(called)
        later.vjp(before, loss, model)
        later.require_same_result(later.run(called, model))


@gradient_prop("gradients.no-alias", needs=("gradients", "memory", "values"), limit=6, turns=LOSSES)
def no_alias(trial: Trial) -> None:
    """The caller may write to the gradients: that changes neither the arguments nor the parameters nor the next vjp.

    Clipping and accumulation change gradients in place. Two of them may be one array, as those of both biases are
    equal: that is not asked.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    fresh = small.vjp(case, cotangents)
    params, given = fresh_params(case.params), (*handed(case), *handed_cotangents(case, cotangents))
    x, state, _, *loss = given
    arrays: dict[str, Array] = {**params, "x": x} | ({} if state is None else {"h_0": state[0], "c_0": state[1]})
    arrays |= {f"grad_{name}": part for name, part in zip(Cotangents._fields, loss, strict=True)}
    before = {name: value.copy() for name, value in arrays.items()}
    model = small.model(case, params)
    _, grads = call_vjp(model, case, *given)
    for value in grads.values():
        if value.flags.writeable:
            value[...] = 7.0
    for name, value in arrays.items():
        if not np.array_equal(value, before[name], equal_nan=True):
            raise Violation(f"writing to the gradients changes {name}", case=case)
    require_same_gradients(small, cotangents, fresh, small.vjp(case, cotangents, model))


#: What is broadcast: all cotangents, as those of a sum are; grad_output over steps, or all over rows; x; the state.
_BROADCAST = ("cotangents", "steps", "rows", "x", "state")


@gradient_prop("gradients.broadcast", needs=(*NEEDS, "views"), turns=len(_BROADCAST), limit=10)
def broadcast(trial: Trial) -> None:
    """Cotangents, an x or a state that are broadcast give the gradients that copies of them give.

    The backward pass of a sum or a mean hands over ``ones.expand(…)``: its strides are 0, and it is read-only. Kernels
    that take a pointer read other memory.
    """
    small, how, declared = cut(trial), trial.in_turn(_BROADCAST), trial.backend.capabilities
    case, loss = small.case, draw(small.case, small.recipe.seed, "all", declared.returns)
    if how == "cotangents":
        loss = Cotangents(*(_broadcast(part, 0, 1, 2) for part in loss))
    elif how == "steps":
        loss = loss._replace(output=_broadcast(loss.output, 0))
    elif how == "rows":
        loss = Cotangents(*(_broadcast(part, 1) for part in loss))
    elif how == "x":
        case = replace(case, x=_broadcast(case.x, 0), rule="any")
    elif declared.initial_state:
        h_0, c_0 = case.initial()
        case = replace(case, state=(_broadcast(h_0, 1), _broadcast(c_0, 1)), rule="any")
    copied, seen = small.vjp(case, loss), small.vjp(case, loss, arguments=_uncopied(case, loss))
    require_same_gradients(small, loss, copied, seen, case=case)


def _broadcast(values: Array, *axes: int) -> Array:
    """The first of some axes for all of them, at strides of 0."""
    first = tuple(slice(1) if axis in axes else slice(None) for axis in range(values.ndim))
    return np.broadcast_to(np.ascontiguousarray(values[first]), values.shape)


def _uncopied(case: Case, loss: Cotangents) -> VjpArguments:
    """The arguments of a vjp in the config's layout, as they lie in memory."""
    h_n, c_n, *state = (part[:, 0] if case.unbatched else part for part in (loss.h_n, loss.c_n, *(case.state or ())))
    x, output = (leave(case.config, part, case.unbatched) for part in (case.x, loss.output))
    lengths = None if case.lengths is None else case.lengths.copy()
    return x, (state[0], state[1]) if state else None, lengths, output, h_n, c_n
