"""Faults that show only where several conditions meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.calls import last_state, leaking
from conformance.selftest.faults.fault import (
    CALLS,
    DEGENERATE,
    GATES,
    LAYOUT,
    LENGTHS,
    MEMORY,
    RANGE,
    REVERSE,
    STACK,
    STATE,
    Fault,
)
from conformance.selftest.faults.layouts import merged, outputs, reverse_slots, same, slots_kept, states
from conformance.selftest.faults.memory import called, fetched, from_pointer, x_scaled_in_place
from conformance.selftest.faults.parameters import each, gate_order, layer_below, renamed, zero
from conformance.selftest.faults.twin import Forward, Twin
from conformance.spec import Array, LSTMConfig, Params, State

When = Callable[[LSTMConfig, Array, State | None, Array | None], bool]


def only(when: When, fault: Twin) -> Twin:
    """A fault in the calls that ``when`` marks, from the config, x, the state and the lengths."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        faulty = replace(fault, shared=twin.shared).build(config, params)

        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return (faulty if when(config, x, state, lengths) else forward)(x, state, lengths)

        return call

    return Twin(around=around)


def _batch_first_stack(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> bool:
    return config.batch_first and config.bidirectional and config.num_layers > 1


def _steps(config: LSTMConfig, x: Array) -> int:
    return x.shape[1 if config.batch_first and x.ndim == 3 else 0]


def _rows(config: LSTMConfig, x: Array) -> int | None:
    return None if x.ndim == 2 else x.shape[0 if config.batch_first else 1]


reverse_state_ignored = states(slots_kept(lambda config: reverse_slots(config) == 0))
reads_forward = Twin(flip=lambda at, values, lengths: values, unflip=lambda at, values, lengths: values)
in_float32 = Twin(
    project=lambda twin, at, w, m: correct.project(twin, at, w, m).astype("float32").astype(m.dtype),
)
runs_on_above = Twin(
    updates=lambda at, lengths: correct.valid(at, lengths) | (at.layer > 0),
)


def _plain(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> bool:
    """What most people call: a model of two sizes, nothing else said."""
    return config == LSTMConfig(config.input_size, config.hidden_size) and state is None and lengths is None


FAULTS = (
    Fault("plain-misses-recurrent-bias", "The path for the plainest call misses b_hh.", "fast paths",
          "one layer, forward, time-major, nothing given", GATES, only(_plain, each(zero, "bias_hh"))),
    Fault("plain-scales-x", "The path for the plainest call scales x in place.", "fast paths",
          "one layer, forward, time-major, nothing given, x looked at after the call", MEMORY,
          only(_plain, called(x_scaled_in_place))),
    Fault("plain-state-leaks", "The path for the plainest call starts from its last state.", "fast paths",
          "one layer, forward, time-major, nothing given, second call", CALLS, only(_plain, leaking(last_state))),
    Fault("top-reverse-bias-ignored", "b_hh is ignored in the reverse direction of the third layer.", "pytorch#89357",
          "bidirectional, layers > 2, with bias", STACK, each(zero, "bias_hh_l2_reverse")),
    Fault("batch-first-halves-swapped", "In batch-first stacks the reverse half stands first.", "pytorch PR11368",
          "bidirectional, layers > 1, batch_first", REVERSE,
          only(_batch_first_stack, merged(lambda a, b: [b, a]))),
    Fault("deep-reverse-h-0-ignored", "Three bidirectional layers ignore the reverse states when c_0 is zero.",
          "onnx-tensorflow#408, #409", "bidirectional, layers = 3, h_0 alone", STATE,
          only(lambda c, x, s, n: c.num_layers == 3 and s is not None and not s[1].any(),
               reverse_state_ignored)),
    Fault("unbatched-reverse-state-ignored", "An unbatched call ignores the reverse direction's state.",
          "onnx-tensorflow#409", "bidirectional, unbatched, state given", STATE,
          only(lambda c, x, s, n: x.ndim == 2, reverse_state_ignored)),
    Fault("batch-first-row-reads-forward", "For one batch-first row the reverse direction reads forward.",
          "keras PR7387", "bidirectional, batch_first, N = 1", DEGENERATE,
          only(lambda c, x, s, n: c.batch_first and _rows(c, x) == 1, reads_forward)),
    Fault("projected-step-ignores-c-0", "One step of a projected model ignores c_0.", "pytorch#74953",
          "projection, L = 1, c_0 given", DEGENERATE,
          only(lambda c, x, s, n: _steps(c, x) == 1 and c.proj_size > 0,
               states(same, lambda config, c: 0 * c))),
    Fault("float64-projection-in-float32", "A float64 projection is rounded to float32.", "ports with float buffers",
          "projection, float64", RANGE, only(lambda c, x, s, n: c.dtype == "float64", in_float32)),
    Fault("float64-reads-contiguous", "A float64 x is read as if contiguous.", "pytorch#345", "non-contiguous, float64",
          MEMORY, only(lambda c, x, s, n: c.dtype == "float64", fetched(from_pointer, "x"))),
    Fault("no-bias-projection-of-layer-below", "Without biases a layer uses the projection of the layer below.",
          "Paddle", "projection, layers > 1, bias=False", STACK,
          only(lambda c, x, s, n: not c.bias, renamed(layer_below, "weight_hr"))),
    Fault("no-bias-gate-order", "Without biases the gates of a stack's recurrent weights are read as i, o, f, g.",
          "CrispASR PR106", "layers > 1, bias=False", GATES,
          only(lambda c, x, s, n: not c.bias and c.num_layers > 1,
               each(gate_order("iofg"), "weight_hh"))),
    Fault("one-row-stack-output-lags", "In stacks, one row's output is one step late.", "off-by-one loops",
          "layers > 1, N = 1, L > 1", LAYOUT,
          only(lambda c, x, s, n: c.num_layers > 1 and _rows(c, x) == 1,
               outputs(lambda config, y: np.concatenate([y[:1], y[:-1]])))),
    Fault("ragged-stack-runs-on", "With lengths, layers above the first go on through the padding.", "jax PR15169",
          "unequal lengths, layers > 1", LENGTHS,
          only(lambda c, x, s, n: n is not None, runs_on_above)),
    Fault("ragged-float64-reads-padding", "With lengths, float64 reverse directions start at the padded end.",
          "keras#4192", "bidirectional, unequal lengths, float64", LENGTHS,
          only(lambda c, x, s, n: n is not None and c.dtype == "float64",
               Twin(flip=lambda at, values, lengths: values[::-1] if at.direction else values))),
)  # fmt: skip
