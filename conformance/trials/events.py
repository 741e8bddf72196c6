"""The calls that a property makes of a backend, as data: recorded as they happen, and made again from the record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from itertools import count
from typing import Any

import numpy as np

from conformance.backend import OPTIONAL_METHODS, Backend, Unsupported, can_be_called
from conformance.spec import Array, LSTMConfig, Params, numpy_dtype
from conformance.trials.outcomes import Discard

#: The arguments of a vjp and of a call, in their order.
_CALLED = ("x", "state", "lengths", "grad_output", "grad_h_n", "grad_c_n")

#: So many bytes of one property's calls are recorded: more makes no script that a person could use.
LIMIT = 1 << 26

#: The beginning of what is said of a call in which the process ended.
ENDED = "its process ended: "


@dataclass(frozen=True, eq=False)
class Placed:
    """How an array lies in memory where that is not in C order: its strides, its place modulo 64, read-only or not."""

    strides: tuple[int, ...]
    offset: int
    readonly: bool


@dataclass(frozen=True, eq=False)
class Event:
    """One call: of ``build``, of the model that it returned, or of one of that model's methods.

    ``arrays`` holds copies of what was given, by name and in the order of the call: the parameters of "build" and
    "load"; "x", "h_0" and "c_0" if there is a state, "lengths", and "grad_output", "grad_h_n", "grad_c_n" of "vjp".
    """

    #: "build", "forward", "vjp", "load" or "train".
    method: str
    #: The number of the model, from 1 on.
    model: int
    #: The model's config.
    config: LSTMConfig
    arrays: Mapping[str, Array] = field(default_factory=dict)
    placed: Mapping[str, Placed] = field(default_factory=dict)
    #: What "train" was given.
    mode: bool = False

    @property
    def called(self) -> bool:
        """Whether it returns results that can be judged."""
        return self.method in ("forward", "vjp")


class Unrecorded(Discard):
    """A call cannot be told as data: it was given other things than arrays, or too much."""


@dataclass(frozen=True, eq=False)
class Performed:
    """What became of the last of some calls."""

    #: The exception that it raised, or how the process ended; nothing if it returned.
    raised: str = ""
    #: It raised ``Unsupported``.
    unsupported: bool = False
    #: What is not ``output, (h_n, c_n)`` of arrays about what it returned, or nothing.
    malformed: str = ""
    #: The arrays that it returned, as they are: "output", "h_n", "c_n", "grad x" …
    returned: Mapping[str, Array] = field(default_factory=dict)
    #: The arguments, weights and earlier results that it changed, as they are named in a script.
    changed: tuple[str, ...] = ()
    #: The arguments, weights and earlier results with which what it returned shares memory.
    shared: tuple[str, ...] = ()


def recording(backend: Backend, tell: Callable[[Event | None], None]) -> Backend:
    """The backend, each of whose calls is told before it is made.

    Of a call that cannot be told as data, None is told, and the call raises ``Unrecorded``.
    """
    models, room = count(1), [LIMIT]

    def telling(event: Event | None) -> None:
        if event is not None:
            room[0] -= sum(value.nbytes for value in event.arrays.values())
        event = event if room[0] >= 0 else None
        tell(event)
        if event is None:
            raise Unrecorded

    def build(config: LSTMConfig, params: Params) -> Any:
        number = next(models)
        telling(_event("build", number, config, dict(params)))
        model = backend.build(config, params)
        return _recorded(model, number, config, telling) if can_be_called(model) else model

    return replace(backend, build=build)


def _recorded(model: Any, number: int, config: LSTMConfig, tell: Callable[[Event | None], None]) -> Callable[..., Any]:
    def told(method: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            if method == "train":
                tell(Event(method, number, config, mode=bool(args[0])))
            elif method == "load":
                tell(_event(method, number, config, dict(args[0])))
            else:
                tell(_event(method, number, config, _named(dict(zip(_CALLED, args, strict=False)) | kwargs)))
            return function(*args, **kwargs)

        return called

    forward = told("forward", lambda *args, **kwargs: model(*args, **kwargs))
    for method in OPTIONAL_METHODS:
        if hasattr(model, method):
            setattr(forward, method, told(method, getattr(model, method)))
    return forward


def _named(given: dict[str, Any]) -> dict[str, Any]:
    state = given.pop("state", None)
    named = {"x": given.pop("x")}
    named |= {} if state is None else dict(zip(("h_0", "c_0"), state, strict=False))
    return named | {name: value for name, value in given.items() if value is not None}


def _event(method: str, number: int, config: LSTMConfig, arrays: dict[str, Any]) -> Event | None:
    if not all(isinstance(value, np.ndarray) for value in arrays.values()):
        return None
    placed = {name: how for name, value in arrays.items() if (how := _placed(value)) is not None}
    return Event(method, number, config, {k: np.array(v, order="C") for k, v in arrays.items()}, placed)


def _placed(value: Array) -> Placed | None:
    """None for an array that lies as any fresh one does."""
    offset = value.__array_interface__["data"][0] % value.itemsize if value.size else 0
    # One element beyond a boundary of 16 bytes, to which every fresh array is aligned.
    offset = value.__array_interface__["data"][0] % 16 if value.size and not offset else offset
    if value.flags.c_contiguous and value.flags.writeable and not offset:
        return None
    return Placed(value.strides, offset, not value.flags.writeable)


def fresh(value: Array, how: Placed | None) -> Array:
    """An array of equal values of its own that lies in memory as it is told."""
    if how is None or not value.size:
        return np.array(value, order="C")
    ends = [(size - 1) * stride for size, stride in zip(value.shape, how.strides, strict=True)]
    low, high = (sum(end for end in ends if (end < 0) == below) for below in (True, False))
    memory = np.full(high - low + value.itemsize + 32, 0x7B, np.uint8)
    start = (how.offset + low - memory.ctypes.data) % 16 - low
    laid = np.ndarray(value.shape, value.dtype, memory, start, how.strides)
    laid[...] = value
    laid.flags.writeable = not how.readonly
    return laid


def perform(backend: Backend, events: tuple[Event, ...]) -> Performed:
    """Make calls again, on fresh models; what became of the last one. It raises nothing but ``Ended``."""
    models: dict[int, Any] = {}
    #: Every array that was handed over or returned, by its name in a script, with its values.
    known: dict[str, tuple[Array, Array]] = {}
    for at, event in enumerate(events, 1):
        given = {name: fresh(value, event.placed.get(name)) for name, value in event.arrays.items()}
        last = at == len(events)
        known |= {_known(event, name, last): (value, value.copy()) for name, value in given.items()}
        try:
            with np.errstate(all="ignore"):
                returned = act(backend, models, event, given)
        except (Exception, SystemExit) as error:
            if last or not event.called:
                told = f"{type(error).__name__}: {error}".removesuffix(": ")
                return Performed(told, isinstance(error, Unsupported), changed=_changed(known))
            continue
        if not event.called:
            continue
        malformed, parts = taken_apart(event.method, returned)
        if last:
            shared = tuple(
                f"{name} and {other}"
                for name, part in parts.items()
                for other, (value, _) in known.items()
                if np.may_share_memory(part, value) and np.shares_memory(part, value)
            )
            return Performed("", False, malformed, {k: v.copy() for k, v in parts.items()}, _changed(known), shared)
        known |= {f"{name} of call {at}": (value, value.copy()) for name, value in parts.items()}
    return Performed(changed=_changed(known))


def _known(event: Event, name: str, last: bool) -> str:
    return name if last or event.method == "build" else f"{name} of an earlier call"


def _changed(known: Mapping[str, tuple[Array, Array]]) -> tuple[str, ...]:
    return tuple(name for name, (value, before) in known.items() if value.tobytes() != before.tobytes())


def act(backend: Backend, models: dict[int, Any], event: Event, given: Mapping[str, Array]) -> Any:
    """Make one call; a model that was built is put among the others."""
    if event.method == "build":
        models[event.model] = backend.build(event.config, dict(given))
        return None
    model = models[event.model]
    if event.method == "train":
        return model.train(event.mode)
    if event.method == "load":
        return model.load(dict(given))
    state = (given["h_0"], given["c_0"]) if "h_0" in given else None
    if event.method == "vjp":
        loss = (given[name] for name in ("grad_output", "grad_h_n", "grad_c_n"))
        return model.vjp(given["x"], state, given.get("lengths"), *loss)
    if "lengths" in given:
        return model(given["x"], state, lengths=given["lengths"])
    return model(given["x"]) if state is None else model(given["x"], state)


def taken_apart(method: str, returned: Any) -> tuple[str, dict[str, Array]]:
    """What is not as it must be about what a call returned, or nothing; and the arrays, by name."""
    grads: Any = {}
    expected = "output, (h_n, c_n)"
    if method == "vjp":
        if not (isinstance(returned, tuple | list) and len(returned) == 2 and isinstance(returned[1], Mapping)):
            return "it did not return (output, (h_n, c_n)), grads", {}
        returned, grads = returned
    if not (isinstance(returned, tuple | list) and len(returned) == 2):
        return f"it did not return {expected}", {}
    output, finals = returned
    if not (isinstance(finals, tuple | list) and len(finals) == 2):
        return f"it did not return {expected}", {}
    parts = dict(zip(("output", "h_n", "c_n"), (output, *finals), strict=True))
    parts |= {f"grad {name}": value for name, value in grads.items()}
    parts = {name: value for name, value in parts.items() if value is not None}
    odd = [name for name, value in parts.items() if not isinstance(value, np.ndarray)]
    if odd:
        return f"{odd[0]} is no NumPy array", {}
    return "", parts


def to_data(event: Event) -> dict[str, Any]:
    """An event without its arrays, as plain data."""
    placed = {name: [list(how.strides), how.offset, how.readonly] for name, how in event.placed.items()}
    config = {name: getattr(event.config, name) for name in LSTMConfig.__dataclass_fields__}
    told = {"method": event.method, "model": event.model, "config": config, "mode": event.mode}
    return told | ({"placed": placed} if placed else {})


def from_data(data: Mapping[str, Any], arrays: Mapping[str, Array]) -> Event:
    """The event of plain data and its arrays."""
    placed = {name: Placed(tuple(how[0]), how[1], how[2]) for name, how in data.get("placed", {}).items()}
    config = LSTMConfig(**data["config"])
    numpy_dtype(config.dtype)
    return Event(data["method"], data["model"], config, dict(arrays), placed, data["mode"])


def digest(events: tuple[Event, ...]) -> str:
    """A short text that tells whether the calls of a file are those that were written."""
    found = hashlib.sha256()
    for event in events:
        found.update(f"{event.method} {event.model} {event.config} {event.mode}".encode())
        for name, value in event.arrays.items():
            found.update(f"{name} {value.dtype} {value.shape}".encode() + value.tobytes())
    return found.hexdigest()[:16]
