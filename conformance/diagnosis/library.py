"""The alterations among which a cause is looked for, the simplest first.

They are the catalogued faults of the forward pass, families of alterations that the catalogue has only some members of
(gate orders, activations, what is ignored, negated or doubled), and all of these in the scopes that fit them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import numpy as np

from conformance.backend import Capabilities
from conformance.conventions import Transform, Whole
from conformance.conventions.parameters import ORDERS, each, gate_order, gates_read_as
from conformance.diagnosis.scopes import GATE_ROWS, PARAMS, PLACES, Part, Scope, altered_pieces, combined
from conformance.facts import Alteration
from conformance.faults import FAULTS, Fault
from conformance.faults import twin as correct
from conformance.faults.alter import Map
from conformance.faults.fault import (
    CALLS,
    DROPOUT,
    FULL,
    GATES,
    GRADIENTS,
    LIVING,
    MEMORY,
    OPTIONS,
    RANGE,
    SIZES,
    STALE,
    STATE,
    THREADS,
)
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig

#: Faults that no single call of a fresh model shows, or that a limit on a size decides: conditions tell those.
_NOT_HERE = (MEMORY, OPTIONS, CALLS, THREADS, DROPOUT, SIZES, STALE, GRADIENTS, LIVING)


# Families


def _orders() -> Iterator[Fault]:
    for order in ORDERS:
        id = f"gate-order-{order}"
        if order != PACKED and id not in FAULTS:
            words = f"The gates are read in the order {', '.join(order)}."
            yield Fault(id, words, "", "always", GATES, Twin(transform=gates_read_as(order)))


def _hard(slope: float) -> Map:
    return lambda a: np.clip(a * slope + 0.5, 0, 1).astype(a.dtype)


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _linear(a: Array) -> Array:
    return a


def _softsign(a: Array) -> Array:
    return a / (1 + np.abs(a))


def _hard_tanh(a: Array) -> Array:
    return np.clip(a, -1, 1)


_ACTIVATIONS: dict[str, tuple[str, Map]] = {
    "sigmoid": ("σ", correct.sigmoid),
    "tanh": ("tanh", np.tanh),
    "hard-sigmoid": ("a hard σ, clip(0.2 a + 0.5)", _hard(0.2)),
    "hard-sigmoid-6": ("a hard σ, clip(a/6 + 0.5)", _hard(1 / 6)),
    "hard-sigmoid-4": ("a hard σ, clip(0.25 a + 0.5)", _hard(0.25)),
    "relu": ("relu", _relu),
    "linear": ("the identity", _linear),
    "softsign": ("softsign", _softsign),
    "hard-tanh": ("a hard tanh, clip(a, −1, 1)", _hard_tanh),
}


def _gate_through(index: int, function: Map) -> Twin:
    """One gate's activation exchanged."""

    def gates(twin: Twin, at: Place, w: Weights, a: Array) -> Gates:
        blocks = correct.by_gate(a)
        i, f, g, o = (function(blocks[k]) if k == index else v for k, v in enumerate(correct.gates(twin, at, w, a)))
        return i, f, g, o

    return Twin(gates=gates)


def _activations() -> Iterator[Fault]:
    usual = {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid"}
    for name, (words, function) in _ACTIVATIONS.items():
        for index, gate in enumerate(PACKED):
            if usual[gate] != name:
                twin = _gate_through(index, function)
                yield Fault(f"{gate}-through-{name}", f"{gate} is {words} of its preactivation.", "", "always", GATES, twin)
        if name != "sigmoid":
            yield Fault(f"gates-through-{name}", f"i, f and o are {words} of their preactivations.", "", "always", GATES,
                Twin(sigmoid=function))  # fmt: skip
        if name != "tanh":
            hidden = _hidden(function)
            yield Fault(f"cell-through-{name}", f"h_t = o · φ(c_t), and φ is {words}.", "", "always", GATES, hidden)
            yield Fault(f"both-tanh-through-{name}", f"{words} stands for both tanh.", "", "always", GATES,
                Twin(tanh=function))  # fmt: skip


def _hidden(function: Map) -> Twin:
    return Twin(hidden=lambda twin, at, o, c_t: o * function(c_t))


def _cells() -> Iterator[Fault]:
    """The step's equations with a factor missing or exchanged."""
    cells: dict[str, tuple[str, Callable[..., Array]]] = {
        "cell-without-forget-gate": ("c_t = c_{t−1} + i·g.", lambda t, at, i, f, g, c: c + i * g),
        "cell-without-input-gate": ("c_t = f·c_{t−1} + g.", lambda t, at, i, f, g, c: f * c + g),
        "cell-forgets-all": ("c_t = i·g.", lambda t, at, i, f, g, c: i * g),
        "cell-takes-nothing-in": ("c_t = f·c_{t−1}.", lambda t, at, i, f, g, c: f * c),
        "cell-subtracts": ("c_t = f·c_{t−1} − i·g.", lambda t, at, i, f, g, c: f * c - i * g),
        "cell-through-its-own-tanh": ("c_t = tanh(f·c_{t−1} + i·g).", lambda t, at, i, f, g, c: t.tanh(f * c + i * g)),
        "cell-coupled-to-forget": ("c_t = f·c_{t−1} + (1 − f)·g.", lambda t, at, i, f, g, c: f * c + (1 - f) * g),
        "cell-gates-exchanged": ("c_t = i·c_{t−1} + f·g.", lambda t, at, i, f, g, c: i * c + f * g),
        "cell-reads-squashed": ("c_t = f·tanh(c_{t−1}) + i·g.", lambda t, at, i, f, g, c: f * t.tanh(c) + i * g),
    }
    for id, (words, cell) in cells.items():
        yield Fault(id, words, "", "always", GATES, Twin(cell=cell))
    yield Fault("hidden-without-output-gate", "h_t = tanh(c_t).", "", "always", GATES,
        Twin(hidden=lambda twin, at, o, c_t: twin.tanh(c_t)))  # fmt: skip
    yield Fault("hidden-is-output-gate", "h_t = o.", "", "always", GATES, Twin(hidden=lambda twin, at, o, c_t: o))
    yield Fault("hidden-is-cell", "h_t = c_t.", "", "always", GATES, Twin(hidden=lambda twin, at, o, c_t: c_t))


def _scaled(factor: float) -> Callable[[LSTMConfig, str, Array], Array]:
    return lambda config, name, value: (value * value.dtype.type(factor)).astype(value.dtype)


def _parameters() -> Iterator[Fault]:
    """What is done to one tensor, or in one gate: only in such a scope is it simple."""
    for id, words, factor in (
        ("ignored", "is ignored", 0.0),
        ("negated", "is negated", -1.0),
        ("doubled", "counts twice", 2.0),
        ("halved", "counts half", 0.5),
    ):
        yield Fault(f"parameters-{id}", f"It {words}.", "", "always", GATES, Twin(transform=each(_scaled(factor))))


def _forget_biases() -> Iterator[Fault]:
    for gate, index in zip(PACKED, range(4), strict=True):
        for amount in (1.0, -1.0, 0.5, 2.0):
            if (gate, amount) != ("f", 1.0):
                words = f"{amount:g} is added to the bias of gate {gate}."
                yield Fault(f"bias-{gate}-plus-{amount:g}", words, "", "with bias", GATES, _plus(index, amount))


def _plus(index: int, amount: float) -> Twin:
    def change(config: LSTMConfig, name: str, value: Array) -> Array:
        blocks = value.reshape(4, -1).copy()
        blocks[index] += value.dtype.type(amount)
        return blocks.reshape(value.shape)

    return Twin(transform=each(change, "bias_ih"))


def _results() -> Iterator[Fault]:
    """What stands in the place of a final state."""
    made: dict[str, tuple[str, Callable[[LSTMConfig, Whole], Whole]]] = {
        "c-n-zeros": ("c_n is zeros.", lambda config, r: r._replace(c_n=0 * r.c_n)),
        "h-n-is-c-n": ("h_n is a copy of c_n.", lambda config, r: r if config.proj_size else r._replace(h_n=r.c_n)),
        "output-negated": ("The output is negated.", lambda config, r: r._replace(output=-r.output)),
        "h-n-squashed": ("h_n has passed through tanh.", lambda config, r: r._replace(h_n=np.tanh(r.h_n))),
    }
    for id, (words, result) in made.items():
        yield Fault(id, words, "", "always", STATE, Twin(transform=Transform(result=result)))


@lru_cache(maxsize=1)
def known() -> dict[str, Fault]:
    """Every fault that an alteration may name, by its id: the catalogue and the families."""
    families = (*_orders(), *_activations(), *_cells(), *_forget_biases(), *_results(), *_parameters())
    return {**FAULTS, **{fault.id: fault for fault in families if fault.id not in FAULTS}}


#: Families that mean something in a scope only.
_SCOPED_ONLY = tuple(f"parameters-{word}" for word in ("ignored", "negated", "doubled", "halved"))


@lru_cache(maxsize=1)
def everywhere() -> tuple[Alteration, ...]:
    """The alterations without a scope: what is a framework's convention first, what needs more than FULL never."""
    faults = [
        fault
        for fault in known().values()
        if fault.kind not in _NOT_HERE and type(fault.twin) is Twin and fault.id not in _SCOPED_ONLY
    ]
    faults.sort(key=lambda fault: (not fault.stands_for, fault.kind == RANGE, fault.shows_when != "always"))
    return tuple(Alteration(fault.id) for fault in faults)


@lru_cache(maxsize=16)
def scoped(capabilities: Capabilities = FULL) -> tuple[Alteration, ...]:
    """The alterations in each scope that fits them and that the capabilities can tell apart."""
    return tuple(
        Alteration(fault.id, scope)
        for fault in (known()[one] for one in (*_SCOPED_ONLY, *(each.fault for each in everywhere())))
        for scope in _scopes(fault, capabilities)
    )


def scopes_of(alteration: Alteration, capabilities: Capabilities) -> list[Alteration]:
    """The same alteration in other scopes."""
    found = [Alteration(alteration.fault, scope) for scope in _scopes(known()[alteration.fault], capabilities)]
    return [one for one in (Alteration(alteration.fault), *found) if one != alteration]


def _scopes(fault: Fault, capabilities: Capabilities) -> list[Scope]:
    places = _places(capabilities)
    none = Transform()
    transform, pieces = fault.twin.transform, altered_pieces(fault.twin)
    if transform == none:
        return [(place,) for place in places]
    if pieces or transform.x != none.x or transform.lengths != none.lengths:
        return []
    scopes: list[Scope] = []
    if transform.params != none.params:
        tensors = [t for t in PARAMS if t != "weight_hr" or capabilities.projection]
        scopes += [(tensor,) for tensor in (*tensors,)]
        scopes += [("bias_ih", "bias_hh"), ("weight_ih", "weight_hh")]
        scopes += [(place,) for place in places]
        scopes += [(tensor, place) for tensor in tensors for place in places]
        if fault.id.startswith("parameters-"):
            scopes += [(gate,) for gate in GATE_ROWS]
            scopes += [(tensor, gate) for tensor in tensors if tensor != "weight_hr" for gate in GATE_ROWS]
    else:
        names = ("h_0", "c_0") if transform.state != none.state else ("output", "h_n", "c_n")
        scopes += [(name,) for name in names]
        scopes += [(place,) for place in places]
        scopes += [(name, place) for name in names for place in places]
    return scopes


def _places(capabilities: Capabilities) -> Sequence[str]:
    names = [*PLACES]
    if not capabilities.bidirectional:
        names = [name for name in names if name not in ("forward", "reverse")]
    return [name for name in names if capabilities.layers or name in ("forward", "reverse")]


def twin_of(alterations: Sequence[Alteration]) -> Twin | None:
    """The LSTM with these alterations; None if they do not go together."""
    return combined([Part(known()[one.fault].twin, one.scope) for one in alterations])
