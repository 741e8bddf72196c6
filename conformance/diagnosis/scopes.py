"""The scopes of an alteration, and several alterations in one LSTM.

A catalogued fault holds everywhere. Most mistakes that are not in the catalogue are a catalogued one in another scope:
in the reverse direction only, above the first layer, in one tensor, in one gate. A scope is a set of names; each group
of names narrows it further: ``("weight_hh", "reverse")`` is weight_hh of the reverse direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.faults.twin import Place, Twin
from conformance.spec import GATES, Array, LSTMConfig, Params, State

#: Where in a stack.
PLACES: dict[str, Callable[[int, int, LSTMConfig], bool]] = {
    "forward": lambda layer, direction, config: direction == 0,
    "reverse": lambda layer, direction, config: direction == 1,
    "first-layer": lambda layer, direction, config: layer == 0,
    "upper-layers": lambda layer, direction, config: layer > 0,
    "lower-layers": lambda layer, direction, config: layer < config.num_layers - 1,
    "top-layer": lambda layer, direction, config: layer == config.num_layers - 1,
}

#: In which tensors.
PARAMS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
STATES = ("h_0", "c_0")
RESULTS = Whole._fields
TENSORS = (*PARAMS, *STATES, *RESULTS)

#: In which rows of a parameter.
GATE_ROWS = tuple(f"gate-{gate}" for gate in GATES)

#: The pieces of the twin that work inside a layer, and those around one that know their place.
_INSIDE = ("sigmoid", "tanh", "dot", "preactivations", "gates", "cell", "hidden", "project", "step")
_INSIDE = (*_INSIDE, "flip", "unflip", "updates", "shows", "layer")
_PLACED = ("weights", "start", "feed", "join", "drop")

#: Those that a place may narrow.
SCOPED_PIECES = frozenset((*_INSIDE, *_PLACED))

Scope = tuple[str, ...]


#: Which steps of a direction, in the order in which it reads them.
STEPS: dict[str, Callable[[Place], bool]] = {
    "first-step": lambda at: at.t == 0,
    "later-steps": lambda at: at.t > 0,
    "last-step": lambda at: at.t == at.steps - 1,
}


class Part(NamedTuple):
    """One alteration of the twin and its scope, everywhere if there is none."""

    twin: Twin
    scope: Scope = ()


def combined(parts: Sequence[Part]) -> Twin | None:
    """One LSTM with all alterations; None if a scope does not fit an alteration, or two alter the same piece."""
    everywhere: dict[str, Any] = {}
    somewhere: list[tuple[Callable[[Place], bool], dict[str, Any]]] = []
    transform = Transform()
    for part in parts:
        pieces = altered_pieces(part.twin)
        if not set(part.scope).isdisjoint((*TENSORS, *GATE_ROWS)) and pieces:
            return None
        narrow = _narrowed(part.twin.transform, part.scope)
        if narrow is None:
            return None
        transform = _chained(transform, narrow)
        if not part.scope:
            if everywhere.keys() & pieces.keys():
                return None
            everywhere |= pieces
        elif pieces:
            if not pieces.keys() <= SCOPED_PIECES:
                return None
            somewhere.append((_at(part.scope), pieces))
    if any(one.keys() & everywhere.keys() for _, one in somewhere):
        return None
    if _meet([one for _, one in somewhere]):
        return None
    base = replace(Twin(**everywhere), transform=transform)
    return _dispatched(base, somewhere) if somewhere else base


def altered_pieces(twin: Twin) -> dict[str, Any]:
    """The pieces in which a twin differs from the correct one, the transform aside."""
    pieces = {field.name: getattr(twin, field.name) for field in fields(Twin)}
    correct = Twin()
    aside = ("transform", "shared")
    return {k: piece for k, piece in pieces.items() if k not in aside and piece != getattr(correct, k)}


def _meet(several: list[dict[str, Any]]) -> bool:
    """Whether two of them alter the same piece; their scopes may overlap."""
    names = [name for pieces in several for name in pieces]
    return len(names) > len(set(names))


def _at(scope: Scope) -> Callable[[Place], bool]:
    tests = [PLACES[name] for name in scope if name in PLACES]
    return lambda at: all(test(at.layer, at.direction, at.config) for test in tests)


def _dispatched(base: Twin, somewhere: list[tuple[Callable[[Place], bool], dict[str, Any]]]) -> Twin:
    """The base, whose pieces are others at some places."""

    def layer(twin: Twin, at: Place, *arguments: Any) -> Any:
        inside = {k: v for when, pieces in somewhere if when(at) for k, v in pieces.items() if k in _INSIDE}
        there = inside.pop("layer", base.layer)
        return there(replace(twin, **inside), at, *arguments)

    placed: dict[str, Any] = {"layer": layer}
    for when, pieces in somewhere:
        for name in pieces.keys() & set(_PLACED):
            placed[name] = _either(when, pieces[name], getattr(base, name))
    return replace(base, **placed)


def _either(when: Callable[[Place], bool], there: Callable[..., Any], elsewhere: Callable[..., Any]) -> Any:
    return lambda twin, at, *arguments: (there if when(at) else elsewhere)(twin, at, *arguments)


# Transforms


def _chained(first: Transform, second: Transform) -> Transform:
    """Two readings one after the other; results are given out in the contrary order."""
    none = Transform()

    def chain(name: str, one: Transform, other: Transform) -> Any:
        a, b = getattr(one, name), getattr(other, name)
        if getattr(none, name) in (a, b):
            return b if a == getattr(none, name) else a
        return lambda config, value: b(config, a(config, value))

    inward = ("params", "x", "state", "lengths")
    return Transform(**{k: chain(k, first, second) for k in inward}, result=chain("result", first, second))


def _narrowed(transform: Transform, scope: Scope) -> Transform | None:
    """A transform in a scope; None if the scope says nothing about what it changes."""
    none = Transform()
    if not scope or transform == none:
        return transform
    if transform.x != none.x or transform.lengths != none.lengths:
        return None
    chosen = [name for name in scope if name in TENSORS]
    gates = [GATES.index(name[-1]) for name in scope if name in GATE_ROWS]
    tests = [PLACES[name] for name in scope if name in PLACES]
    if gates and transform.params == none.params:
        return None

    def there(layer: int, direction: int, config: LSTMConfig) -> bool:
        return all(test(layer, direction, config) for test in tests)

    def params(config: LSTMConfig, given: Params) -> Params:
        changed = transform.params(config, given)

        def of(name: str) -> Array:
            kind, _, place = name.rpartition("_l")
            layer, reverse, _ = place.partition("_reverse")
            if (chosen and kind not in chosen) or not there(int(layer), bool(reverse), config):
                return given[name]
            if gates and kind == "weight_hr":  # which has no gates
                return given[name]
            return _rows(given[name], changed[name], gates) if gates else changed[name]

        return {name: of(name) for name in given}

    def state(config: LSTMConfig, given: State) -> State:
        changed = transform.state(config, given)
        h_0, c_0 = (
            _slots(config, old, new, there) if not chosen or name in chosen else old
            for name, old, new in zip(STATES, given, changed, strict=True)
        )
        return h_0, c_0

    def result(config: LSTMConfig, given: Whole) -> Whole:
        changed = transform.result(config, given)
        output = _halves(config, given.output, changed.output, there)
        h_n, c_n = (_slots(config, a, b, there) for a, b in ((given.h_n, changed.h_n), (given.c_n, changed.c_n)))
        made = Whole(output, h_n, c_n)
        return given._replace(**{k: getattr(made, k) for k in RESULTS if not chosen or k in chosen})

    touched: dict[str, Any] = {
        name: narrow
        for name, narrow, kinds in (("params", params, PARAMS), ("state", state, STATES), ("result", result, RESULTS))
        if getattr(transform, name) != getattr(none, name) and (not chosen or set(chosen) & set(kinds))
    }
    return Transform(**touched) if touched else None


def _rows(given: Array, changed: Array, gates: list[int]) -> Array:
    """The rows of some gates changed."""
    whole = given.reshape(4, -1, *given.shape[1:]).copy()
    whole[gates] = changed.reshape(whole.shape)[gates]
    return whole.reshape(given.shape)


def _slots(config: LSTMConfig, given: Array, changed: Array, there: Callable[..., bool]) -> Array:
    """The slots (layers·D, …) of some places changed."""
    if changed.shape != given.shape:
        return changed
    marks = np.array([there(slot.layer, slot.direction, config) for slot in config.slots()])
    return np.where(marks[:, None, None], changed, given)


def _halves(config: LSTMConfig, given: Array, changed: Array, there: Callable[..., bool]) -> Array:
    """The halves of the output (L, N, D·P) of some directions changed."""
    if changed.shape != given.shape:
        return changed
    top, P = config.num_layers - 1, config.output_size
    marks = np.repeat([there(top, d, config) for d in range(config.num_directions)], P)
    return np.where(marks, changed, given)
