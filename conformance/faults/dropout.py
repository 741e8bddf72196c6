"""Faults of dropout and mode: what is dropped, how often, by how much the rest is scaled, and when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.conventions import Whole
from conformance.faults import twin as correct
from conformance.faults.fault import DROPOUT, FULL, Fault
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

_STACKS = replace(FULL, dropout=True)

Rate = Callable[[float], float]


def _active(config: LSTMConfig) -> bool:
    return config.training and config.dropout > 0


def masked(y: Array, rate: float, scale: float, shape: tuple[int, ...] | None = None, seed: int | None = None) -> Array:
    """y (L, N, …) with a share of ``rate`` dropped, the rest times ``scale``; the mask's ``shape`` broadcasts."""
    kept = np.random.default_rng(seed).random(shape or y.shape) >= rate
    return np.where(kept, y * np.asarray(scale, y.dtype), np.zeros_like(y))


def _inverse(q: float) -> float:
    return 1 / q if q else 0.0


def between(
    rate: Rate = lambda p: p,
    scale: Rate = lambda p: _inverse(1 - p),
    seed: int | None = None,
    one_for: tuple[int, ...] = (),
) -> Twin:
    """Dropout between layers with another rate, another scale, a seed at every call, or one mask for all of some axes.

    The axes are the steps (0), rows (1) and features (2).
    """

    def drop(twin: Twin, at: Place, below: Array) -> Array:
        p = at.config.dropout
        shape = tuple(1 if axis in one_for else size for axis, size in enumerate(below.shape))
        return masked(below, rate(p), scale(p), shape, seed) if _active(at.config) else below

    return Twin(drop=drop)


def undropped(twin: Twin, at: Place, below: Array) -> Array:
    """Nothing is dropped between layers."""
    return below


def where(dropped: Callable[[Place], bool]) -> Twin:
    """Dropout above some layers only."""
    return Twin(drop=lambda twin, at, below: (correct.drop if dropped(at) else undropped)(twin, at, below))


def _forward_half(twin: Twin, at: Place, below: Array) -> Array:
    P = at.config.output_size
    return np.concatenate([correct.drop(twin, at, below[..., :P]), below[..., P:]], axis=2)


def _same_for_both_halves(twin: Twin, at: Place, below: Array) -> Array:
    p, halves = at.config.dropout, below.reshape(*below.shape[:2], at.config.num_directions, -1)
    shape = (*halves.shape[:2], 1, halves.shape[3])
    return masked(halves, p, _inverse(1 - p), shape).reshape(below.shape) if _active(at.config) else below


def _apart(twin: Twin, at: Place, below: Array) -> Array:
    """Each direction of the upper layer drops for itself."""
    return correct.drop(twin, at, below) if at.layer else below


def _whatever_the_mode(twin: Twin, at: Place, below: Array) -> Array:
    return correct.drop(twin, at._replace(config=replace(at.config, training=True)), below)


def _scaled_in_evaluation(twin: Twin, at: Place, below: Array) -> Array:
    """The first formulation: nothing is scaled in training, everything in evaluation."""
    p = at.config.dropout
    return masked(below, p, 1.0) if _active(at.config) else below * np.asarray(1 - p, below.dtype)


def _not_a_number(twin: Twin, at: Place, below: Array) -> Array:
    """The mask times the scale: 0·∞ at p = 1."""
    p = at.config.dropout
    kept = np.random.default_rng().random(below.shape) >= p
    return below * (kept * (1 / np.asarray(1 - p, below.dtype))) if _active(at.config) else below


def _input_too(twin: Twin, at: Place, below: Array) -> Array:
    return below if at.layer else correct.drop(twin, at, below)


def _output_too(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    output, h_n, c_n = correct.stack(twin, config, params, x, state, lengths)
    return Whole(correct.drop(twin, Place(config, config.num_layers - 1, 0, len(x)), output), h_n, c_n)


def _single_layer(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    apart = _output_too if config.num_layers == 1 else correct.stack
    return apart(twin, config, params, x, state, lengths)


def _recurrence(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array) -> Array:
    """h_{t−1} is dropped, and what passes between layers is not."""
    return correct.preactivations(twin, at, w, x_t, correct.drop(twin, at, h))


def _each_gate(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array) -> Array:
    """Each gate drops its input for itself, above the first layer."""
    H = at.config.hidden_size
    blocks = [slice(gate * H, (gate + 1) * H) for gate in range(4)]
    parts = [correct.drop(twin, at, x_t) if at.layer else x_t for _ in blocks]
    own = [{name: w[name][block] for name in w if name != "weight_hr"} for block in blocks]
    return np.concatenate([correct.preactivations(twin, at, v, x, h) for v, x in zip(own, parts, strict=True)], axis=1)


def _before_projection(twin: Twin, at: Place, o: Array, c_t: Array) -> Array:
    m = correct.hidden(twin, at, o, c_t)
    return m if at.last else correct.drop(twin, at, m)


def _h_n_too(twin: Twin, config: LSTMConfig, params: Params, x: Array, state: State, lengths: Array) -> Whole:
    """The lower layers' h_n are taken after dropout."""
    output, h_n, c_n = correct.stack(twin, config, params, x, state, lengths)
    lower = len(h_n) - config.num_directions
    return Whole(output, np.concatenate([correct.drop(twin, Place(config, 0, 0, 1), h_n[:lower]), h_n[lower:]]), c_n)


def _fault(id: str, description: str, stands_for: str, shows_when: str, twin: Twin) -> Fault:
    return Fault(id, description, stands_for, shows_when, DROPOUT, twin, _STACKS)


FAULTS = (
    _fault("dropout-unscaled", "What is kept is not scaled by 1/(1 − p).", "inverted dropout forgotten", "training",
        between(scale=lambda p: 1.0)),
    _fault("dropout-scaled-by-ten-at-most", "What is kept is scaled by no more than 10.", "a guard against 1/0",
        "training, p > 0.9", between(scale=lambda p: min(_inverse(1 - p), 10.0))),
    _fault("dropout-keeps-p", "p is the probability of keeping.", "TensorFlow 1's keep_prob", "training, p ≠ 1/2",
        between(lambda p: 1 - p, _inverse)),
    _fault("dropout-a-tenth-less", "0.9·p is dropped.", "a threshold in low precision", "training",
        between(lambda p: 0.9 * p)),
    _fault("dropout-seeded-at-each-call", "Every call has the same mask.", "a fixed seed", "training, second call",
        between(seed=0)),
    _fault("dropout-mask-for-all-steps", "One mask for all steps.", "Gal & Ghahramani 2016", "training, L > 1",
        between(one_for=(0,))),
    _fault("dropout-mask-for-all-rows", "One mask for all rows.", "a mask made without the batch axis",
        "training, N > 1", between(one_for=(1,))),
    _fault("dropout-of-whole-steps", "One chance for all features of a step.", "Keras SpatialDropout1D", "training",
        between(one_for=(2,))),
    _fault("dropout-in-evaluation-too", "The mode is ignored.", "DL4J dropout at inference", "evaluation",
        Twin(drop=_whatever_the_mode)),
    _fault("dropout-scaled-in-evaluation", "Nothing is scaled in training, everything by 1 − p in evaluation.",
        "the first formulation (2012)", "always", Twin(drop=_scaled_in_evaluation)),
    _fault("dropout-declared-and-ignored", "Nothing is dropped.", "cells chained by hand", "training",
        Twin(drop=undropped)),
    _fault("dropout-above-the-first-layer-only", "Nothing is dropped above the second layer.", "loops with an if",
        "training, layers > 2", where(lambda at: at.layer == 0)),
    _fault("dropout-of-the-forward-half", "Nothing is dropped of the reverse half.", "dropout before concatenation",
        "training, bidirectional", Twin(drop=_forward_half)),
    _fault("dropout-mask-for-both-halves", "Both halves have the same mask.", "a mask of P features",
        "training, bidirectional", Twin(drop=_same_for_both_halves)),
    _fault("dropout-for-each-direction", "Each direction above drops for itself.", "directions chained by hand",
        "training, bidirectional", Twin(feed=_apart, drop=undropped)),
    _fault("dropout-for-each-gate", "Each gate above drops for itself.", "Keras implementation=1", "training",
        Twin(preactivations=_each_gate, drop=undropped)),
    _fault("dropout-of-the-input", "The first layer's input is dropped too.", "Keras LSTM(dropout=…)", "training",
        Twin(feed=_input_too)),
    _fault("dropout-of-the-output", "The last layer's output is dropped too.", "one Dropout for each layer", "training",
        Twin(stack=_output_too)),
    _fault("dropout-of-one-layer", "One layer alone drops its output.", "one Dropout for each layer",
        "training, layers = 1", Twin(stack=_single_layer)),
    _fault("dropout-of-the-recurrence", "h_{t−1} is dropped, and nothing between layers.",
        "Keras LSTM(recurrent_dropout=…)", "training, L > 1", Twin(preactivations=_recurrence, drop=undropped)),
    _fault("dropout-before-the-projection", "What is projected is dropped, and not what it gives.", "LSTMP cells",
        "training, projection", Twin(hidden=_before_projection, drop=undropped)),
    _fault("dropout-of-h-n", "The lower layers' h_n are dropped.", "final states taken after dropout", "training",
        Twin(stack=_h_n_too)),
    _fault("dropout-of-all-not-a-number", "With p = 1 the scale is infinite, and 0·∞ passes on.", "mask times scale",
        "training, p = 1", Twin(drop=_not_a_number)),
)  # fmt: skip
