"""The alterations of the backward pass among which a cause is looked for: the catalogue's and families of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from conformance.backend import Capabilities
from conformance.diagnosis.gradient_scopes import BY_STEP, INSIDE, PLACED, TENSORS, altered_pieces
from conformance.diagnosis.library import Library, places
from conformance.diagnosis.probes import Call
from conformance.diagnosis.scopes import GATE_ROWS, PLACES, STEPS, Scope
from conformance.facts import Alteration
from conformance.faults.backward import Differentiable
from conformance.faults.families import known
from conformance.faults.families.gradients import SCOPED_FIRST
from conformance.faults.fault import Fault

#: Faults that no vjp shows by its own numbers: those of threads, of masks that chance drew, and of arrays that change.
_NOT_HERE = {
    "gradients-in-two-buffers",
    "gradients-kept-uncopied",
    "gradients-of-the-last-caller",
    "gradient-of-no-rows",
    "gradient-of-first-broadcast",
    "gradient-of-output-clipped-in-place",
    "gradient-of-c-n-as-scratch",
    "gradient-by-recursion",
    "gradient-in-one-workspace",
    "gradient-dropout-turned",
    "gradient-dropout-masks-reversed",
    "gradient-dropout-first-masks",
    "gradient-dropout-first-backward-mask",
    "gradient-dropout-mask-of-the-last-caller",
}

#: Faults that earlier calls alone show.
_LATER = {
    "gradient-of-unused-output",
    "gradient-of-state-until-the-ninth-call",
    "gradient-kept-by-arguments",
    "gradient-accumulates",
    "gradient-at-last-forward",
    "gradient-in-a-longer-workspace",
    "gradient-rows-of-first-call",
    "gradient-lengths-stay",
    "gradient-plan-by-rows",
    "gradient-graph-without-state",
    "gradient-after-unbatched",
}


def gradient_library(capabilities: Capabilities) -> Library:
    """The alterations of the backward pass that the capabilities can tell apart."""
    c = capabilities
    return _library(c.layers, c.bidirectional, c.projection)


@lru_cache(maxsize=8)
def _library(layers: bool, bidirectional: bool, projection: bool) -> Library:
    capabilities = Capabilities(layers=layers, bidirectional=bidirectional, projection=projection)
    faults = [
        fault for fault in known().values() if isinstance(fault.twin, Differentiable) and fault.id not in _NOT_HERE
    ]
    faults.sort(key=lambda fault: (fault.id in SCOPED_FIRST, not fault.stands_for))
    return Library(
        tuple(Alteration(fault.id) for fault in faults),
        tuple(
            Alteration(fault.id, scope)
            for fault in sorted(faults, key=lambda fault: fault.id not in SCOPED_FIRST)
            for scope in _scopes(fault, capabilities)
        ),
        lambda one: [other for other in _all_scopes(one, capabilities) if other != one],
        _relevant,
    )


def _relevant(call: Call, off: frozenset[str]) -> Callable[[Alteration], bool]:
    """What tells whether an alteration may show in a call: neither everywhere nor nowhere, and in wrong tensors."""
    case = call.case
    wrong = {name.partition("_l")[0] for name in off}
    there = {f"grad {name}" for name in ("x", "h_0", "c_0", *(name.partition("_l")[0] for name in case.params))}
    config = case.config

    def shows(one: Alteration) -> bool:
        if one.fault in _LATER and not call.before:
            return False
        named = there.intersection(one.scope)
        if not set(TENSORS).isdisjoint(one.scope) and (not named or not named <= wrong):
            return False
        places = [PLACES[name] for name in one.scope if name in PLACES]
        if places and len({all(place(*slot, config) for place in places) for slot in config.slots()}) == 1:
            return False
        return case.steps > 1 or STEPS.keys().isdisjoint(one.scope)

    return shows


def _all_scopes(one: Alteration, capabilities: Capabilities) -> list[Alteration]:
    scopes = _scopes(known()[one.fault], capabilities)
    return [Alteration(one.fault), *(Alteration(one.fault, scope) for scope in scopes)]


def _scopes(fault: Fault, capabilities: Capabilities) -> list[Scope]:
    """The scopes that fit a fault: tensors and gates for what is done to gradients, places and steps for the rest."""
    where = places(capabilities)
    tensors = [name for name in TENSORS if name != "grad weight_hr" or capabilities.projection]
    biases, weights, states = ("grad bias_ih", "grad bias_hh"), ("grad weight_ih", "grad weight_hh"), TENSORS[1:3]
    several: list[Scope] = [*((name,) for name in tensors if name != "grad x"), biases, weights, states]
    if fault.id in SCOPED_FIRST:
        scopes: list[Scope] = [("grad x",), *several]
        scopes += [(*biases, *weights), ("grad weight_ih", *biases), ("grad weight_hh", *biases)]
        scopes += [(gate,) for gate in GATE_ROWS]
        scopes += [(*names, place) for names in several for place in where]
        return scopes + [(tensor, gate) for tensor in (*weights, *biases) for gate in GATE_ROWS]
    pieces = altered_pieces(fault.twin).keys()
    scopes = []
    if pieces <= {"d_weights", "d_sum"}:
        params = [names for names in several if names[0] not in states]
        scopes += [*params, *((*names, place) for names in params for place in where)]
    elif pieces <= {"d_stack", "d_layer", "d_step", "d_cell", "d_hold", "d_around", "d_enter"}:
        scopes += [("grad x",), *several]
    if pieces <= {*INSIDE, *PLACED}:
        scopes += [(place,) for place in where]
    if pieces <= {*BY_STEP}:
        scopes += [(step,) for step in STEPS]
    return scopes
