"""The scopes of an alteration of the backward pass, and several of them in one LSTM.

A place or a step narrows where the alteration is at work; what it passes on from there is wrong too. A tensor, such as
``"grad weight_hh"``, or a gate narrows which gradients are given out altered: all others are the correct ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from conformance.diagnosis.scopes import GATE_ROWS, PARAMS, PLACES, STEPS, Part, Scope
from conformance.faults.backward import Differentiable, Gradients, Vjp
from conformance.faults.twin import Place
from conformance.spec import GATES, Array, LSTMConfig, Params

#: The gradient of one kind of tensor.
TENSORS = tuple(f"grad {name}" for name in ("x", "h_0", "c_0", *PARAMS))

#: The pieces of the backward pass that belong to a step, and those that work inside a layer besides.
_IN_STEP = ("d_sigmoid", "d_tanh", "d_project", "d_hidden", "d_cell", "d_gates", "d_preactivations", "d_step")
BY_STEP = (*_IN_STEP, "d_weights", "d_hold")
INSIDE = (*BY_STEP, "d_sum", "d_flip", "d_unflip")
#: Those around a layer that know their place.
PLACED = ("d_layer", "record_layer", "d_feed", "d_join", "d_drop")

_Pieces = dict[str, Any]


def combined(parts: Sequence[Part]) -> Differentiable | None:
    """One LSTM with all alterations; None if a scope does not fit an alteration, or two alter the same piece."""
    base = Differentiable()
    given_out = [part for part in parts if not {*TENSORS, *GATE_ROWS}.isdisjoint(part.scope)]
    for part in parts:
        if part not in given_out:
            narrow = _narrowed(base, altered_pieces(part.twin), part.scope)
            if narrow is None or narrow.keys() & altered_pieces(base).keys():
                return None
            base = replace(base, **narrow)
    chosen: list[tuple[Scope, Differentiable]] = []
    for part in given_out:
        steps = tuple(name for name in part.scope if name in STEPS)
        narrow = _narrowed(base, altered_pieces(part.twin), steps)
        if narrow is None:
            return None
        chosen.append((tuple(name for name in part.scope if name not in STEPS), replace(base, **narrow)))
    return replace(base, d_around=_choosing(base, chosen)) if chosen else base


def altered_pieces(twin: Any) -> _Pieces:
    """The pieces in which a differentiable twin differs from the correct one."""
    correct = Differentiable()
    names = [field.name for field in fields(Differentiable) if field.name not in ("transform", "shared")]
    return {name: getattr(twin, name) for name in names if getattr(twin, name) != getattr(correct, name)}


def _narrowed(base: Differentiable, pieces: _Pieces, scope: Scope) -> _Pieces | None:
    """Pieces that are altered in places or steps only; None if they cannot be."""
    if not scope:
        return pieces
    places = [PLACES[name] for name in scope if name in PLACES]
    steps = [STEPS[name] for name in scope if name in STEPS]
    if steps:
        if not pieces.keys() <= {*BY_STEP}:
            return None

        def now(at: Place) -> bool:
            here = all(place(at.layer, at.direction, at.config) for place in places)
            return here and all(step(at) for step in steps)

        return _stepwise(base, pieces, now)

    def here(at: Place) -> bool:
        return all(place(at.layer, at.direction, at.config) for place in places)

    if not pieces.keys() <= {*INSIDE, *PLACED}:
        return None
    inside = {name: piece for name, piece in pieces.items() if name in INSIDE}
    narrow = {name: _either(here, piece, getattr(base, name)) for name, piece in pieces.items() if name in PLACED}
    if inside:
        layer = narrow.get("d_layer", base.d_layer)

        def d_layer(twin: Differentiable, at: Place, *arguments: Any) -> Any:
            return layer(replace(twin, **inside) if here(at) else twin, at, *arguments)

        narrow["d_layer"] = d_layer
    return narrow


def _stepwise(base: Differentiable, pieces: _Pieces, now: Callable[[Place], bool]) -> _Pieces:
    inside = {name: piece for name, piece in pieces.items() if name in _IN_STEP}
    narrow = {name: _either(now, pieces[name], getattr(base, name)) for name in pieces if name not in _IN_STEP}
    if inside:
        altered = inside.pop("d_step", base.d_step)

        def d_step(twin: Differentiable, at: Place, *arguments: Any) -> Any:
            if now(at):
                return altered(replace(twin, **inside), at, *arguments)
            return base.d_step(twin, at, *arguments)

        narrow["d_step"] = d_step
    return narrow


def _either(when: Callable[[Place], bool], there: Callable[..., Any], elsewhere: Callable[..., Any]) -> Any:
    return lambda twin, at, *arguments: (there if when(at) else elsewhere)(twin, at, *arguments)


def _choosing(base: Differentiable, chosen: list[tuple[Scope, Differentiable]]) -> Any:
    """A vjp of which some gradients are those of other LSTMs."""

    def d_around(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
        plain = base.d_around(base, config, params, vjp)
        others = []
        for scope, other in chosen:
            built: Any = other.build(config, params)
            others.append((scope, built.vjp))

        def call(*arguments: Any) -> Any:
            returned, grads = plain(*arguments)
            for scope, vjp_of in others:
                grads = _chosen(config, grads, vjp_of(*arguments)[1], scope)
            return returned, grads

        return call

    return d_around


def _chosen(config: LSTMConfig, grads: Gradients, altered: Gradients, scope: Scope) -> Gradients:
    """The gradients, in the caller's layout, with the altered ones for those in a scope."""
    kinds = [name.removeprefix("grad ") for name in scope if name in TENSORS]
    gates = [GATES.index(name[-1]) for name in scope if name in GATE_ROWS]
    places = [PLACES[name] for name in scope if name in PLACES]

    def there(layer: int, direction: int) -> bool:
        return all(place(layer, direction, config) for place in places)

    def of(name: str) -> Array:
        kind, _, place = name.rpartition("_l")
        if not kind:
            if (kinds and name not in kinds) or gates:
                return grads[name]
            if name == "x" or not places or altered[name].shape != grads[name].shape:
                return altered[name]
            marks = np.array([there(slot.layer, slot.direction) for slot in config.slots()])
            return np.where(marks.reshape(-1, *[1] * (grads[name].ndim - 1)), altered[name], grads[name])
        layer, reverse, _ = place.partition("_reverse")
        if (kinds and kind not in kinds) or not there(int(layer), bool(reverse)):
            return grads[name]
        if not gates or kind == "weight_hr":
            return altered[name]
        whole = grads[name].reshape(4, -1).copy()
        whole[gates] = altered[name].reshape(4, -1)[gates]
        return whole.reshape(grads[name].shape)

    return {name: of(name) for name in grads}
