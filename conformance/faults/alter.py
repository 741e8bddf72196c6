"""The few ways in which most faults alter the twin: in what a piece makes or is given, past a limit, around a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from conformance.faults.backward import Differentiable
from conformance.faults.twin import Place, Twin
from conformance.spec import Array, LSTMConfig, Params, State, numpy_dtype

Map = Callable[[Array], Array]


def altered(piece: str, function: Callable[..., Any]) -> Twin:
    """The twin with another function as one of its pieces; a differentiable one for a piece of the backward pass."""
    pieces: dict[str, Any] = {piece: function}
    return Twin(**pieces) if hasattr(Twin, piece) else Differentiable(**pieces)


def made(piece: str, change: Callable[..., Any]) -> Twin:
    """The result of a piece is changed: ``change(at, made)``, with the config for ``at`` around the stack."""
    correct = getattr(Differentiable, piece)
    return altered(piece, lambda twin, at, *arguments: change(at, correct(twin, at, *arguments)))


def given(piece: str, change: Callable[..., Any]) -> Twin:
    """The arguments of a piece are changed: ``change(at, *arguments)`` returns all of them, as a tuple."""
    correct = getattr(Differentiable, piece)
    return altered(piece, lambda twin, at, *arguments: correct(twin, at, *change(at, *arguments)))


# Effects


def zeros(v: Array) -> Array:
    """Nothing."""
    return 0 * v


def stored(dtype: str) -> Map:
    """Rounded to another dtype."""
    return lambda v: v.astype(numpy_dtype(dtype)).astype(v.dtype)


half, single = stored("float16"), stored("float32")


# Limits


class Axis(NamedTuple):
    """Along which a limit holds: of what a piece makes, or of some of what it is given."""

    piece: str
    #: The parts that are affected: indices of a tuple, fields of a record, keys of a dictionary; none for an array.
    parts: tuple[int | str, ...] = ()
    #: The axis of these arrays; None for the steps themselves, one call of the piece each.
    axis: int | None = 0
    given: bool = False


#: Whether a limit is reached at an index (or at each of an array of indices) of an axis of some size.
Reached = Callable[[Any, int], Any]


def past(limit: int) -> Reached:
    """From an index on, counted from 0."""
    return lambda index, size: index >= limit


def left_over(width: int, least: int = 0) -> Reached:
    """The rest that a loop in steps of ``width`` leaves over, for sizes beyond ``least``."""
    return lambda index, size: (index >= size - size % width) & (size > least)


def every(width: int) -> Reached:
    """At the multiples of ``width``, but not at 0."""
    return lambda index, size: (index > 0) & (index % width == 0)


def at_index(wanted: int) -> Reached:
    """At one index; from the end if it is negative."""
    return lambda index, size: index == wanted % size if wanted < 0 else index == wanted


def beyond(where: Axis, reached: Reached, effect: Map, when: Callable[[Place], bool] = lambda at: True) -> Twin:
    """Past a limit along an axis, arrays are what ``effect`` makes of them, in the places that ``when`` marks."""

    def limited(at: Place, array: Array) -> Array:
        if where.axis is None:
            return effect(array) if reached(at.t, at.steps) else array
        size, after = array.shape[where.axis], array.ndim - where.axis - 1
        there = reached(np.arange(size), size).reshape(-1, *[1] * after)
        return np.where(there, effect(array).astype(array.dtype), array)

    def change(at: Place, whole: Any) -> Any:
        if not when(at):
            return whole
        if not where.parts:
            return limited(at, whole)
        if isinstance(whole, dict):
            return whole | {name: limited(at, whole[name]) for name in where.parts if name in whole}
        if hasattr(whole, "_fields"):
            return whole._replace(**{str(name): limited(at, getattr(whole, str(name))) for name in where.parts})
        return tuple(limited(at, part) if k in where.parts else part for k, part in enumerate(whole))

    if where.given:
        return given(where.piece, lambda at, *arguments: change(at, arguments))
    return made(where.piece, change)


# Calls


#: What a call returns.
Results = tuple[Array, State]


class Model(NamedTuple):
    """A model whose calls are surrounded."""

    config: LSTMConfig
    #: The caller's own arrays.
    params: Params
    #: The correct call: forward, or vjp.
    call: Callable[..., Any]
    #: Its own memory, and that of all models of the backend.
    memory: dict[Any, Any]
    shared: dict[Any, Any]

    def rows(self, x: Array) -> tuple[int, ...]:
        """The batch size of an x in the caller's layout; nothing for an unbatched one."""
        return () if x.ndim == 2 else (x.shape[0 if self.config.batch_first else 1],)

    def steps(self, x: Array) -> int:
        """The number of steps of an x in the caller's layout."""
        return x.shape[1 if self.config.batch_first and x.ndim == 3 else 0]

    def state(self, x: Array, value: float = 0.0) -> State:
        """A state for x, all of whose elements are equal."""
        slots, rows = self.config.num_layers * self.config.num_directions, self.rows(x)
        widths = self.config.output_size, self.config.hidden_size
        return np.full((slots, *rows, widths[0]), value, x.dtype), np.full((slots, *rows, widths[1]), value, x.dtype)


def called(change: Callable[..., Any], piece: str = "around") -> Twin:
    """A call is done otherwise: ``change(model, x, state, lengths)``, and for ``d_around`` the cotangents too."""

    def around(twin: Twin, config: LSTMConfig, params: Params, call: Callable[..., Any]) -> Callable[..., Any]:
        model = Model(config, params, call, {}, twin.shared)
        return lambda x, state=None, lengths=None, *cotangents: change(model, x, state, lengths, *cotangents)

    return altered(piece, around)
