"""The alterations among which a cause is looked for, the simplest first.

They are the catalogued faults of the forward pass, families of alterations that the catalogue has only some members of
(gate orders, activations, what is ignored, negated or doubled), and all of these in the scopes that fit them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from conformance.backend import Capabilities
from conformance.conventions import Transform
from conformance.conventions.transform import LENGTHS, REVERSE, STACK, STATE
from conformance.diagnosis import gradient_scopes
from conformance.diagnosis.occasions import OCCASIONS, occasions_of, on_occasion
from conformance.diagnosis.probes import Call
from conformance.diagnosis.scopes import (
    GATE_ROWS,
    PARAMS,
    PLACES,
    SCOPED_PIECES,
    Part,
    Scope,
    altered_pieces,
    combined,
)
from conformance.facts import Alteration
from conformance.faults import Fault
from conformance.faults.backward import Differentiable
from conformance.faults.families import COPIED_ROWS, OTHER_WEIGHTS, SCOPED_ONLY, known
from conformance.faults.fault import (
    CALLS,
    DEGENERATE,
    DROPOUT,
    GRADIENTS,
    HALF,
    LIVING,
    MEMORY,
    NONFINITE,
    OPTIONS,
    RANGE,
    SIZES,
    STALE,
    THREADS,
)
from conformance.faults.twin import Twin

#: Faults that no call shows by its results alone, or that a limit on a size decides: conditions tell those.
_NOT_HERE = (NONFINITE, MEMORY, OPTIONS, THREADS, DROPOUT, SIZES, GRADIENTS, LIVING)

#: Faults that earlier calls alone show.
_LATER = (CALLS, STALE)

#: What a fault of states or lengths that shows without them begins its conditions with.
_WITHOUT = ("no state", "no lengths")


@dataclass(frozen=True)
class Library:
    """The alterations of one search, the simplest first."""

    everywhere: tuple[Alteration, ...]
    scoped: tuple[Alteration, ...]
    #: The same alteration in other scopes.
    scopes_of: Callable[[Alteration], list[Alteration]]
    #: What tells whether an alteration may show in a call, of which the parts with these names are wrong.
    relevant: Callable[[Call, frozenset[str]], Callable[[Alteration], bool]]
    #: The same alteration on some occasions only.
    occasional: Callable[[Alteration], list[Alteration]] = lambda one: []


def forward_library(capabilities: Capabilities) -> Library:
    """The alterations of the forward pass."""
    return Library(
        everywhere(),
        scoped(capabilities),
        lambda one: scopes_of(one, capabilities),
        lambda call, off: relevant(call),
        occasional,
    )


@lru_cache(maxsize=1)
def everywhere() -> tuple[Alteration, ...]:
    """The alterations without a scope: what is a framework's convention first, what needs more than FULL never."""
    faults = [
        fault
        for fault in known().values()
        if fault.kind not in _NOT_HERE and type(fault.twin) is Twin and fault.id not in SCOPED_ONLY
    ]
    faults.sort(key=lambda fault: (not fault.stands_for, fault.kind == RANGE, fault.shows_when != "always"))
    return tuple(Alteration(fault.id) for fault in faults)


def scoped(capabilities: Capabilities) -> tuple[Alteration, ...]:
    """The alterations in each scope that fits them and that the capabilities can tell apart."""
    return _scoped(capabilities.layers, capabilities.bidirectional, capabilities.projection)


@lru_cache(maxsize=8)
def _scoped(layers: bool, bidirectional: bool, projection: bool) -> tuple[Alteration, ...]:
    able = Capabilities(layers=layers, bidirectional=bidirectional, projection=projection)
    return tuple(
        Alteration(fault.id, scope)
        for fault in (known()[one] for one in (*SCOPED_ONLY, *(each.fault for each in everywhere())))
        for scope in _scopes(fault, able)
    )


def relevant(call: Call) -> Callable[[Alteration], bool]:
    """What tells whether an alteration may show in a call, by what it is about and by its scope."""
    case, config = call.case, call.case.config
    stacked, two_sided = config.num_layers > 1, config.bidirectional
    smallest = min(config.input_size, config.hidden_size, config.output_size, case.steps, case.batch)
    has = {
        LENGTHS: any(one.case.lengths is not None for one in (*call.before, call)),
        REVERSE: two_sided,
        STACK: stacked or two_sided,
        STATE: any(one.case.state is not None for one in (*call.before, call)),
        HALF: config.dtype in ("float16", "bfloat16"),
        DEGENERATE: smallest == 1 or case.unbatched,
        **dict.fromkeys(_LATER, bool(call.before)),
        "forward": two_sided,
        "reverse": two_sided,
        **dict.fromkeys(("first-layer", "upper-layers", "lower-layers", "top-layer"), stacked),
        "weight_hr": config.proj_size > 0,
        **dict.fromkeys(("bias_ih", "bias_hh"), config.bias),
        **dict.fromkeys(("h_0", "c_0"), case.state is not None),
    }
    missing = frozenset(name for name, there in has.items() if not there)
    return lambda one: missing.isdisjoint(_about(one))


@lru_cache(maxsize=16384)
def _about(alteration: Alteration) -> tuple[str, ...]:
    """The kind of the fault and the names of the scope."""
    fault = known()[alteration.fault]
    return alteration.scope if fault.shows_when.startswith(_WITHOUT) else (fault.kind, *alteration.scope)


def scopes_of(alteration: Alteration, capabilities: Capabilities) -> list[Alteration]:
    """The same alteration in other scopes."""
    found = [Alteration(alteration.fault, scope) for scope in _scopes(known()[alteration.fault], capabilities)]
    return [one for one in (Alteration(alteration.fault), *found) if one != alteration]


def occasional(alteration: Alteration) -> list[Alteration]:
    """The same alteration on one occasion more."""
    return [Alteration(alteration.fault, scope) for scope in occasions_of(alteration.scope)]


def _scopes(fault: Fault, capabilities: Capabilities) -> list[Scope]:
    where = places(capabilities)
    none = Transform()
    transform, pieces = fault.twin.transform, altered_pieces(fault.twin)
    if transform == none:
        return [(place,) for place in where] if pieces.keys() <= SCOPED_PIECES else []
    if pieces or transform.x != none.x or transform.lengths != none.lengths:
        return []
    scopes: list[Scope] = []
    if transform.params != none.params:
        tensors = [t for t in PARAMS if t != "weight_hr" or capabilities.projection]
        scopes += [(tensor,) for tensor in (*tensors,)]
        scopes += [("bias_ih", "bias_hh"), ("weight_ih", "weight_hh")]
        if fault.id.startswith(COPIED_ROWS):
            return scopes
        if fault.id.startswith(OTHER_WEIGHTS):
            sides: list[Scope] = [
                ("weight_ih", "bias_ih"),
                ("weight_hh", "bias_hh"),
                ("weight_ih", "bias_ih", "bias_hh"),
            ]
            scopes += [*sides, *((*several, place) for several in (*scopes[-2:], *sides) for place in where)]
        scopes += [(place,) for place in where]
        scopes += [(tensor, place) for tensor in tensors for place in where]
        if fault.id.startswith("parameters-"):
            scopes += [(gate,) for gate in GATE_ROWS]
            scopes += [(tensor, gate) for tensor in tensors if tensor != "weight_hr" for gate in GATE_ROWS]
    else:
        names = ("h_0", "c_0") if transform.state != none.state else ("output", "h_n", "c_n")
        scopes += [(name,) for name in names]
        scopes += [(place,) for place in where]
        scopes += [(name, place) for name in names for place in where]
    return scopes


def places(capabilities: Capabilities) -> Sequence[str]:
    """The places in a stack that the capabilities can tell apart."""
    names = [*PLACES]
    if not capabilities.bidirectional:
        names = [name for name in names if name not in ("forward", "reverse")]
    return [name for name in names if capabilities.layers or name in ("forward", "reverse")]


def twin_of(alterations: Sequence[Alteration]) -> Twin | None:
    """The LSTM with these alterations; None if they do not go together, as those of both passes do not."""
    parts = [Part(known()[one.fault].twin, one.scope) for one in alterations]
    backward = [isinstance(part.twin, Differentiable) for part in parts]
    if any(backward):
        return gradient_scopes.combined(parts) if all(backward) else None
    occasional = any(name in OCCASIONS for part in parts for name in part.scope)
    return on_occasion(parts) if occasional else combined(parts)
