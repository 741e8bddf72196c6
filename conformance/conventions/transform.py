"""A convention as a transformation of canonical arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from conformance.spec import Array, LSTMConfig, Params, State

GATES = "gate arithmetic"
LAYOUT = "axes and layout"
REVERSE = "time order of the reverse direction"
STACK = "bidirectional × stacked"
STATE = "initial state"
FINAL = "final state"
LENGTHS = "variable lengths, masks"


class Whole(NamedTuple):
    """All of a result: output (L, N, D·P), h_n (layers·D, N, P), c_n (layers·D, N, H)."""

    output: Array
    h_n: Array
    c_n: Array


def _same(config: LSTMConfig, value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Transform:
    """How an implementation reads each of its arguments, and how it gives out the result.

    Everything is canonical: x (L, N, I), h_0 (layers·D, N, P), c_0 (layers·D, N, H), lengths (N,). So the same
    functions turn a caller's arrays into those that make up for the convention.
    """

    params: Callable[[LSTMConfig, Params], Params] = _same
    x: Callable[[LSTMConfig, Array], Array] = _same
    state: Callable[[LSTMConfig, State], State] = _same
    lengths: Callable[[LSTMConfig, Array], Array] = _same
    result: Callable[[LSTMConfig, Whole], Whole] = _same


@dataclass(frozen=True)
class Convention:
    """A convention by its name."""

    id: str
    #: One sentence.
    description: str
    #: The frameworks that have it, or the public bug in which it was met.
    stands_for: str
    #: The conditions under which it shows.
    shows_when: str
    #: What it is about: one of the constants above.
    kind: str
    transform: Transform
