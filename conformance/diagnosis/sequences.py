"""Calls one after another: the earlier ones of a call's models, as a judge performs them, and the reply to the last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.backend import Capabilities
from conformance.cases.case import Case, handed
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.diagnosis.probes import Call
from conformance.engine.reply import Reply
from conformance.facts import Raised, Unsupported
from conformance.spec import Array, Result
from conformance.trials.calls import canonical_gradients, canonical_result
from conformance.trials.events import ENDED, Event, Performed
from conformance.trials.outcomes import Narrowed, Violation, said


def in_sequence(perform: Callable[[tuple[Event, ...]], Performed], call: Call, capabilities: Capabilities) -> Reply:
    """The reply to a call after those before it. Calls whose weights and configs are equal are of one model."""
    return _reply(perform(_events(call)), call, capabilities)


def _events(call: Call) -> tuple[Event, ...]:
    """The calls in their order; a model is built where it is called first."""
    models, told = list[Case](), list[Event]()
    for one in (*call.before, call):
        case = one.case
        number = next((k for k, other in enumerate(models, 1) if _of_one_model(other, case)), 0)
        if not number:
            models.append(case)
            number = len(models)
            told.append(Event("build", number, case.config, dict(case.params)))
        told.append(Event("vjp" if one.cotangents is not None else "forward", number, case.config, _arrays(one)))
    return tuple(told)


def _of_one_model(one: Case, other: Case) -> bool:
    return one.config == other.config and all(
        np.array_equal(value, other.params[name]) for name, value in one.params.items()
    )


def _arrays(call: Call) -> dict[str, Array]:
    x, state, lengths = handed(call.case)
    given: dict[str, Array | None] = {"x": x, "lengths": lengths}
    given |= {} if state is None else {"h_0": state[0], "c_0": state[1]}
    if call.cotangents is not None:
        names = ("grad_output", "grad_h_n", "grad_c_n")
        given |= dict(zip(names, handed_cotangents(call.case, call.cotangents), strict=True))
    return {name: value for name, value in given.items() if value is not None}


def _reply(done: Performed, call: Call, capabilities: Capabilities) -> Reply:
    case = call.case
    if done.raised:
        kind, _, text = done.raised.partition(": ")
        if done.raised.startswith(ENDED):
            return Reply(fact=said(done.raised.removeprefix(ENDED)))
        return Reply(fact=Unsupported(case.describe(), text) if done.unsupported else Raised("forward", kind, text))
    if done.malformed:
        return Reply(fact=said(done.malformed))
    grads = {k.removeprefix("grad "): v for k, v in done.returned.items() if k.startswith("grad ")}
    try:
        result = Result(*(done.returned.get(name) for name in Result._fields))
        gradients = canonical_gradients(case, grads, capabilities) if call.cotangents is not None else None
        return Reply(canonical_result(case, result, capabilities.returns), gradients)
    except (Violation, Narrowed) as error:
        return Reply(fact=error.fact)
