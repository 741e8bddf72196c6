"""Faults of whole models: what several leave to each other, and what a call makes of its arguments first."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.selftest.faults.calls import cached
from conformance.selftest.faults.fault import CALLS, LENGTHS, MEMORY, STALE, Fault
from conformance.selftest.faults.memory import Results, called
from conformance.selftest.faults.twin import Forward, Twin
from conformance.spec import Array, LSTMConfig, Params, State


def table(places: int) -> Twin:
    """The parameters of all models of a config lie in a table of so many places, filled in turn."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        built = twin.shared.setdefault(config, [])
        mine = len(built)
        built.append(params)

        def call(*args: Any, **more: Any) -> Results:
            latest = max(range(mine, len(built), places))
            return Twin().build(config, built[latest])(*args, **more)

        return call

    return Twin(around=around)


def _masking(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """Steps of zeros at a row's end are padding."""

    def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Results:
        if x.ndim == 3 and lengths is None and x.size:
            rows = x if config.batch_first else x.swapaxes(0, 1)
            there = (rows != 0).any(2)
            ends = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
            lengths = np.where(there.any(1), ends, 1).astype(np.int64)
            if (lengths == there.shape[1]).all():
                lengths = None
        return forward(x, state) if lengths is None else forward(x, state, lengths=lengths)

    return call


def _specialised(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """After two calls of one row, every row is taken to have the first one's state."""
    rows = x.shape[0 if memory["config"].batch_first else 1] if x.ndim == 3 else 0
    if memory.get("single", 0) >= 2 and rows > 1 and state is not None:
        state = np.repeat(state[0][:, :1], rows, axis=1), np.repeat(state[1][:, :1], rows, axis=1)
    memory["single"] = memory.get("single", 0) + (rows == 1)
    return forward(x, state)


def _expanded(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """A state that is one for all layers and directions is read for the first alone."""
    if state is not None and any(part.shape[0] > 1 and part.strides[0] == 0 for part in state):
        state = tuple(np.concatenate([part[:1], 0 * part[1:]]) for part in state)  # type: ignore[assignment]
    return forward(x, state)


def _of_eight_plans(memory: dict[str, Any], forward: Forward, x: Array, state: State | None) -> Results:
    """The plans of eight shapes, and x's scale in them, are kept: a ninth one takes the first one's place."""
    plans = memory.setdefault("plans", {})
    mine = plans.setdefault(x.shape, len(plans))
    return forward(x if len(plans) <= mine + 8 else x / 2, state)


def _beginning(config: LSTMConfig, params: Params) -> bytes:
    return b"".join(value.reshape(-1)[: max(value.size - 2, 1)].tobytes() for value in params.values())


FAULTS = (
    Fault("one-of-four-places", "The fifth model of a config takes the first one's place.", "tables of handles",
          "five models of one config", STALE, table(4)),
    Fault("one-of-sixteen-places", "The seventeenth model of a config takes the first one's place.",
          "tables of handles", "seventeen models of one config", STALE, table(16)),
    Fault("one-of-eight-plans", "The ninth shape takes the first one's place.", "plans that are kept by shape",
          "nine shapes, and the first again", CALLS, called(_of_eight_plans)),
    Fault("packed-by-first-weights", "Parameters are packed once for models that begin alike.", "ideep#158",
          "two models that differ in the last elements of their weights", STALE, cached(_beginning)),
    Fault("zero-steps-are-padding", "Steps of zeros at a row's end are taken for padding.", "keras#3086",
          "no lengths, x ends in zeros", LENGTHS, Twin(around=_masking)),
    Fault("specialised-after-two-calls", "After two calls of one row, all rows have the first one's state.",
          "pytorch#49764", "N = 1 twice, then N > 1 with state", CALLS, called(_specialised)),
    Fault("state-broadcast-over-layers", "Of a state that is broadcast over layers, one layer's is read.",
          "expanded states", "a state of stride 0 over layers", MEMORY, called(_expanded)),
)  # fmt: skip
