"""A failure that stands alone: some calls, and what is wrong with the last of them, judged by itself.

What a property compares may depend on what the implementation returned before. Here each call is judged alone: by the
equations, free-running, with a bound that holds for the whole call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from conformance.bounds import backward
from conformance.bounds.forward import Expectation, compare
from conformance.bounds.rounding import Arithmetic, arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, shapes
from conformance.errors import SuiteError
from conformance.reference.forward import leave, lstm
from conformance.spec import Array, Result, numpy_dtype, param_shapes, state_shapes
from conformance.trials.calls import argument_shapes, expected_shapes
from conformance.trials.events import Event, Performed

#: Infinities stand for such numbers while bounds are computed; above the second, a cell can come from one alone.
_LARGE_INPUT, _LARGE_CELL, _HUGE = 1e30, 1e300, 1e30


@dataclass(frozen=True, eq=False)
class Wanted:
    """What an array that a call returns must be: float64, shaped as it is returned, each element with its bound."""

    expected: Array
    bound: Array


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Calls, the last of which fails, and how."""

    property: str
    #: What the suite is given to replay it: the case's text, after those that must come before it.
    recipes: tuple[str, ...]
    target: str
    #: ``module:attribute`` of a target that is a registered name.
    place: str
    #: Its target is a torch nn.Module class.
    module_class: bool
    events: tuple[Event, ...]
    #: "values", "raised", "accepted", "form", "changed" or "shared".
    kind: str
    #: What is said of it, in short.
    told: str
    #: The versions of the suite and of the frameworks.
    versions: str = ""
    #: The arithmetic that the bound supposes: "float32", "float32 as tf32" …
    arithmetic: str = ""
    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    #: Tells whether calls that were read from a file are those that were written.
    digest: str = ""

    # The field ``property`` hides the decorator of that name here.
    @cached_property
    def last(self) -> Event:
        """The call that fails."""
        return self.events[-1]


def case_of(event: Event, params: Mapping[str, Array]) -> tuple[Case, Cotangents | None] | None:
    """The case of a call and its cotangents, in float64 and canonical layout; None of a call that does not fit."""
    config, arrays = event.config, {name: np.asarray(value, np.float64) for name, value in event.arrays.items()}
    x = arrays["x"]
    if {name: value.shape for name, value in params.items()} != param_shapes(config) or x.ndim not in (2, 3):
        return None
    if x.shape[-1] != config.input_size:
        return None
    unbatched = x.ndim == 2
    x = x[:, None] if unbatched else x.swapaxes(0, 1) if config.batch_first else x
    state, lengths = None, event.arrays.get("lengths")
    if "h_0" in arrays:
        raw = arrays["h_0"], arrays["c_0"]
        if any(part.ndim != x.ndim - unbatched for part in raw):
            return None
        state = (raw[0][:, None], raw[1][:, None]) if unbatched else raw
        if tuple(part.shape for part in state) != state_shapes(config, x.shape[1]):
            return None
    if lengths is not None and (
        unbatched or lengths.shape != x.shape[1:2] or ((lengths < 1) | (lengths > len(x))).any() or not len(lengths)
    ):
        return None
    wide = {name: np.asarray(value, np.float64) for name, value in params.items()}
    case = Case(config, wide, x, state, lengths, unbatched)
    if event.method != "vjp":
        return case, None
    loss = [arrays[name] for name in ("grad_output", "grad_h_n", "grad_c_n")]
    if [part.shape for part in loss] != list(expected_shapes(case).values()):
        return None
    if unbatched:
        loss = [part[:, None] for part in loss]
    elif config.batch_first:
        loss[0] = loss[0].swapaxes(0, 1)
    cotangents = Cotangents(*loss)
    return case, cotangents._replace(output=np.where(case.valid, cotangents.output, 0.0))


def params_of(events: Sequence[Event]) -> Mapping[str, Array]:
    """The weights that the model of the last event has by then."""
    number = events[-1].model
    return [e for e in events if e.model == number and e.method in ("build", "load")][-1].arrays


def random(events: Sequence[Event]) -> bool:
    """Whether the last call drops elements by chance, so that nobody can say what it must return."""
    last = events[-1]
    modes = [e.mode for e in events if e.model == last.model and e.method == "train"]
    training = modes[-1] if modes else last.config.training
    return training and last.config.dropout > 0 and last.config.num_layers > 1


def wanted(
    events: Sequence[Event], declared: Mapping[str, str], performed: Performed | None = None
) -> dict[str, Wanted] | None:
    """What the last call must return, by name; None of a call that does not fit or is random.

    Raises ``SuiteError`` where values are not declared, or too little is known of them. ``performed`` tells which
    gradients are returned; without it, all are told.
    """
    event = events[-1]
    given = case_of(event, params_of(events))
    if given is None or random(events):
        return None
    case, cotangents = given
    dtypes = {str(value.dtype) for name, value in event.arrays.items() if name != "lengths"} | {case.config.dtype}
    widths = [found for dtype in dtypes if (found := arithmetic(dtype, declared)) is not None]
    if not case.batch or not case.steps:
        if cotangents is not None and case.batch:
            raise SuiteError("no gradients can be expected of a call without steps")
        return _unmoved(case) | (_no_gradients(case) if cotangents is not None else {})
    if not widths:
        raise SuiteError("no values can be expected of this call")
    judged = max(widths, key=lambda one: one.unit)
    with np.errstate(all="ignore"):
        found = _forward(case, judged)
        if cotangents is not None:
            found |= _gradients(case, cotangents, judged, performed)
    return found


def _unmoved(case: Case) -> dict[str, Wanted]:
    """What a call without rows, or without steps, returns: no outputs, and the states as they were given."""
    values = [np.zeros(shapes(case).output), *case.initial()]  # type: ignore[arg-type]
    found = dict(zip(Result._fields, _raw(case, values), strict=True))
    return {name: Wanted(value, np.zeros(value.shape)) for name, value in found.items()}


def _no_gradients(case: Case) -> dict[str, Wanted]:
    """The gradients of a call without rows: those of the parameters are zeros, the others have no numbers."""
    of = dict(zip(("x", "h_0", "c_0"), argument_shapes(case), strict=True))
    of |= {name: value.shape for name, value in case.params.items()}
    return {f"grad {name}": Wanted(np.zeros(shape), np.zeros(shape)) for name, shape in of.items()}


def _forward(case: Case, judged: Arithmetic) -> dict[str, Wanted]:
    config, layers = case.config, case.config.num_layers
    finite = _finite(case)
    expectation = Expectation(finite, judged)
    empty = Result(*(np.zeros(shape) for shape in shapes(case)))  # type: ignore[arg-type]
    values, bounds = ([np.zeros(shape) for shape in shapes(case)] for _ in range(2))  # type: ignore[arg-type]
    for k in range(layers):
        for slot, half in zip(config.slots(k), expectation.free_running(k), strict=True):
            at = slot.position(config)
            places = dict(zip(Result._fields, ((..., slot.features(config)), at, at), strict=True))
            result = empty if k == layers - 1 else empty._replace(output=None)
            for found in compare(config, layers, slot, half, result):
                part = Result._fields.index(found.tensor)
                values[part][places[found.tensor]] = found.expected
                bounds[part][places[found.tensor]] = found.bound
    if finite is not case:
        output, (h_n, c_n) = lstm(replace(config, batch_first=False), case.params, case.x, case.initial(), case.lengths)
        exact = [output, h_n, c_n]
        values = [
            np.where(np.isfinite(own) & (np.abs(stand) < _HUGE), stand, own)
            for own, stand in zip(exact, values, strict=True)
        ]
    bounds = [np.where(np.isnan(bound), np.inf, bound) for bound in bounds]
    return dict(zip(Result._fields, map(Wanted, _raw(case, values), _raw(case, bounds)), strict=True))


def _finite(case: Case) -> Case:
    """The case with large numbers for its infinities, which saturate what they reach just as well."""

    def without(values: Array, large: float) -> Array:
        return np.where(np.isinf(values), np.copysign(large, values), values)

    state = case.state and (without(case.state[0], _LARGE_INPUT), without(case.state[1], _LARGE_CELL))
    given = [case.x, *(case.state or ())]
    if not any(np.isinf(value).any() for value in given):
        return case
    return replace(case, x=without(case.x, _LARGE_INPUT), state=state)


def _gradients(
    case: Case, cotangents: Cotangents, judged: Arithmetic, performed: Performed | None
) -> dict[str, Wanted]:
    config = case.config
    h_shape, c_shape = state_shapes(config, case.batch)
    of = {"x": case.x.shape, "h_0": h_shape, "c_0": c_shape, **{k: v.shape for k, v in case.params.items()}}
    grads = {name: np.zeros(shape) for name, shape in of.items()}
    unseen: list[Result | None] = [None] * (config.num_layers - 1)
    found: dict[str, Wanted] = {}
    values, bounds = ({name: np.zeros(shape) for name, shape in of.items()} for _ in range(2))
    results = [*unseen, Result(None, None, None)]
    for one in backward.judge(case, cotangents, results, grads, judged):
        name = one.tensor.removeprefix("grad ")
        if name not in of or one.tensor == name:
            continue
        at = one.layer * config.num_directions + one.direction if name in ("h_0", "c_0") else ...
        values[name][at], bounds[name][at] = one.expected, one.bound
    for name in of:
        if performed is not None and f"grad {name}" not in performed.returned:
            continue
        value, bound = values[name], np.where(np.isnan(bounds[name]), np.inf, bounds[name])
        if name in ("h_0", "c_0") and case.unbatched:
            value, bound = value[:, 0], bound[:, 0]
        if name == "x":
            value, bound = (leave(config, part, case.unbatched) for part in (value, bound))
        found[f"grad {name}"] = Wanted(value, bound)
    return found


def _raw(case: Case, parts: Sequence[Array]) -> list[Array]:
    """Canonical output, h_n and c_n as a call returns them."""
    output, *finals = parts
    return [leave(case.config, output, case.unbatched), *(part[:, 0] if case.unbatched else part for part in finals)]


def beyond(actual: Array, want: Wanted) -> Array:
    """Where an array is farther from what it must be than its bound; where NaN or an infinity must be, whether it is.

    This is the one comparison of a script.
    """
    with np.errstate(all="ignore"):
        actual = np.asarray(actual, np.float64)
        off = ~(np.abs(actual - want.expected) <= want.bound) & ~np.isinf(want.bound)
    same = (actual == want.expected) | (np.isnan(actual) & np.isnan(want.expected))
    return np.where(np.isfinite(want.expected), off, ~same)


def form_error(events: Sequence[Event], performed: Performed) -> str:
    """What is wrong about the shapes and dtypes of what the last call returned, or nothing."""
    if performed.malformed:
        return performed.malformed
    event = events[-1]
    given = case_of(event, params_of(events))
    if given is None:
        return ""
    shaped = dict(expected_shapes(given[0]))
    arguments = dict(zip(("grad x", "grad h_0", "grad c_0"), argument_shapes(given[0]), strict=True))
    shaped |= arguments | {f"grad {name}": value.shape for name, value in given[0].params.items()}
    for name, value in performed.returned.items():
        if name in shaped and value.shape != shaped[name]:
            return f"{name} has shape {value.shape}, expected {shaped[name]}"
        if name in shaped and value.dtype != numpy_dtype(event.config.dtype):
            return f"{name} has dtype {value.dtype}, expected {event.config.dtype}"
    return ""
