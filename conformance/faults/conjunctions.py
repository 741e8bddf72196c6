"""Faults that show only where several conditions meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.conventions.layouts import results, reverse_slots, slots_kept, states
from conformance.conventions.parameters import each, gate_order, layer_below, renamed, zero
from conformance.faults.alter import Model, made, single
from conformance.faults.calls import last_state, leaking
from conformance.faults.fault import (
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
from conformance.faults.memory import fetched, finished, from_pointer, x_scaled_in_place
from conformance.faults.structure import both_ways, merged, turned
from conformance.faults.twin import Forward, Twin, valid
from conformance.spec import Array, LSTMConfig, Params, State

When = Callable[[Model, Array, State | None, Array | None], bool]


def only(when: When, fault: Twin) -> Twin:
    """A fault in the calls that ``when`` marks, from the model, x, the state and the lengths."""

    def around(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
        model = Model(config, params, forward, {}, twin.shared)
        faulty = replace(fault, shared=twin.shared).build(config, params)

        def call(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            return (faulty if when(model, x, state, lengths) else forward)(x, state, lengths)

        return call

    return Twin(around=around)


def _plainest(model: Model, x: Array, state: State | None, lengths: Array | None) -> bool:
    """The model that most people call: two sizes, nothing else said."""
    sizes = LSTMConfig(model.config.input_size, model.config.hidden_size)
    return model.config == sizes and state is None and lengths is None


reverse_state_ignored = Twin(transform=states(slots_kept(lambda config: reverse_slots(config) == 0)))
runs_on_above = Twin(updates=lambda twin, at, lengths: valid(twin, at, lengths) | (at.layer > 0))


FAULTS = (
    Fault("plain-misses-recurrent-bias", "The path for the plainest call misses b_hh.", "fast paths",
        "one layer, forward, time-major, nothing given", GATES, only(_plainest, Twin(transform=each(zero, "bias_hh")))),
    Fault("plain-scales-x", "The path for the plainest call scales x in place.", "fast paths",
        "one layer, forward, time-major, nothing given, x looked at after the call", MEMORY,
        only(_plainest, finished(x_scaled_in_place))),
    Fault("plain-state-leaks", "The path for the plainest call starts from its last state.", "fast paths",
        "one layer, forward, time-major, nothing given, second call", CALLS, only(_plainest, leaking(last_state))),
    Fault("top-reverse-bias-ignored", "b_hh is ignored in the reverse direction of the third layer.", "pytorch#89357",
        "bidirectional, layers > 2, with bias", STACK, Twin(transform=each(zero, "bias_hh_l2_reverse"))),
    Fault("batch-first-halves-swapped", "In batch-first stacks the reverse half stands first.", "pytorch PR11368",
        "bidirectional, layers > 1, batch_first", REVERSE,
        only(lambda m, x, s, n: m.config.batch_first and m.config.bidirectional and m.config.num_layers > 1, merged(
            lambda a, b: [b, a]))),
    Fault("deep-reverse-h-0-ignored", "Three bidirectional layers ignore the reverse states when c_0 is zero.",
        "onnx-tensorflow#408, #409", "bidirectional, layers = 3, h_0 alone", STATE,
        only(lambda m, x, s, n: m.config.num_layers == 3 and s is not None and not s[1].any(), reverse_state_ignored)),
    Fault("unbatched-reverse-state-ignored", "An unbatched call ignores the reverse direction's state.",
        "onnx-tensorflow#409", "bidirectional, unbatched, state given", STATE,
        only(lambda m, x, s, n: x.ndim == 2, reverse_state_ignored)),
    Fault("batch-first-row-reads-forward", "For one batch-first row the reverse direction reads forward.",
        "keras PR7387", "bidirectional, batch_first, N = 1", DEGENERATE,
        only(lambda m, x, s, n: m.config.batch_first and m.rows(x) == (1,), both_ways(lambda at, values: values))),
    Fault("projected-step-ignores-c-0", "One step of a projected model ignores c_0.", "pytorch#74953",
        "projection, L = 1, c_0 given", DEGENERATE,
        only(lambda m, x, s, n: m.steps(x) == 1 and m.config.proj_size > 0, Twin(transform=states(lambda config,
            c: 0 * c, "c_0")))),
    Fault("float64-projection-in-float32", "A float64 projection is rounded to float32.", "ports with float buffers",
        "projection, float64", RANGE,
        only(lambda m, x, s, n: m.config.dtype == "float64", made("project", lambda at, h: single(h)))),
    Fault("float64-reads-contiguous", "A float64 x is read as if contiguous.", "pytorch#345", "non-contiguous, float64",
        MEMORY, only(lambda m, x, s, n: m.config.dtype == "float64", fetched(from_pointer, "x"))),
    Fault("no-bias-projection-of-layer-below", "Without biases a layer uses the projection of the layer below.",
        "Paddle", "projection, layers > 1, bias=False", STACK,
        only(lambda m, x, s, n: not m.config.bias, Twin(transform=renamed(layer_below, "weight_hr")))),
    Fault("no-bias-gate-order", "Without biases the gates of a stack's recurrent weights are read as i, o, f, g.",
        "CrispASR PR106", "layers > 1, bias=False", GATES,
        only(lambda m, x, s, n: not m.config.bias and m.config.num_layers > 1, Twin(transform=each(gate_order("iofg"),
            "weight_hh")))),
    Fault("one-row-stack-output-lags", "In stacks, one row's output is one step late.", "off-by-one loops",
        "layers > 1, N = 1, L > 1", LAYOUT,
        only(lambda m, x, s, n: m.config.num_layers > 1 and m.rows(x) == (1,), Twin(transform=results(
            output=lambda config, r: np.concatenate([r.output[:1], r.output[:-1]]))))),
    Fault("ragged-stack-runs-on", "With lengths, layers above the first go on through the padding.", "jax PR15169",
        "unequal lengths, layers > 1", LENGTHS, only(lambda m, x, s, n: n is not None, runs_on_above)),
    Fault("ragged-float64-reads-padding", "With lengths, float64 reverse directions start at the padded end.",
        "keras#4192", "bidirectional, unequal lengths, float64", LENGTHS,
        only(lambda m, x, s, n: n is not None and m.config.dtype == "float64", Twin(flip=turned(lambda at,
            values: values[::-1])))),
)  # fmt: skip
