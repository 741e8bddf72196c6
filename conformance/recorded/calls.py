"""A recorded call: a model's config and weights, and the arrays of one call, with a digest of all of it for a name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.processes.wire.fields import config_to_fields
from conformance.spec import Array, LSTMConfig, Params, State

#: The names of a call's arrays in their order, those of a vjp last.
ARGUMENTS = ("x", "h_0", "c_0", "lengths", "grad_output", "grad_h_n", "grad_c_n")

#: The parts of a result; gradients follow as "grad_x", "grad_h_0", "grad_weight_ih_l0" …
PARTS = ("output", "h_n", "c_n")

#: Hexadecimal digits of a name: two of a million calls have one with a chance of 10⁻⁸.
_DIGITS = 16


@dataclass(frozen=True, eq=False)
class Model:
    """A config and its weights."""

    id: str
    config: LSTMConfig
    params: Params


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a model: a vjp if cotangents are among its arrays."""

    id: str
    arrays: Mapping[str, Array]

    @property
    def vjp(self) -> bool:
        """Whether gradients are asked for."""
        return "grad_output" in self.arrays


def model_id(config: LSTMConfig, params: Params) -> str:
    """The name of a model: of equal bytes, always the same one."""
    return _digest(sorted(config_to_fields(config).items()), params)


class Naming:
    """The names of one model and of the calls that are made of it.

    A call that dropout makes random has another answer each time that it is made, and so another name.
    """

    def __init__(self, config: LSTMConfig, params: Params) -> None:
        self.model = model_id(config, params)
        self._random = config.training and 0 < config.dropout < 1
        self._made = Counter[str]()

    def call(self, arrays: Mapping[str, Array]) -> str:
        """The name of the call that is made now."""
        first = _digest([("model", self.model)], arrays)
        self._made[first] += self._random
        times = self._made[first]
        return first if times < 2 else _digest([("call", first), ("time", str(times))], {})


def _digest(words: Sequence[tuple[str, str]], arrays: Mapping[str, Array]) -> str:
    found = hashlib.blake2b(digest_size=_DIGITS // 2)
    for name, text in words:
        found.update(f"{name}={text}\n".encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {value.dtype.name} {value.shape}\n".encode())
        found.update(value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes())
    return found.hexdigest()


def arguments(
    x: Array, state: State | None, lengths: Array | None, cotangents: Sequence[Array] = ()
) -> dict[str, Array]:
    """The arrays of a call by name."""
    given: dict[str, Array] = {"x": x}
    if state is not None:
        given |= {"h_0": state[0], "c_0": state[1]}
    if lengths is not None:
        given["lengths"] = lengths
    return given | dict(zip(ARGUMENTS[4:], cotangents, strict=False))
