"""Faults that show in NaN, in infinities and at the end of a dtype's range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.conventions.layouts import states
from conformance.faults import twin as correct
from conformance.faults.activations import of_cell
from conformance.faults.alter import Map, made
from conformance.faults.equations import celled
from conformance.faults.fault import NONFINITE, Fault
from conformance.faults.packing import kept
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, finfo


def nan_hidden(x: Array) -> Array:
    """NaN read as 0."""
    return np.nan_to_num(x, nan=0.0, posinf=np.inf, neginf=-np.inf)


def infinity_hidden(config: LSTMConfig, x: Array) -> Array:
    """±∞ read as 0."""
    return np.where(np.isinf(x), np.zeros_like(x), x)


def nan_spread(config: LSTMConfig, x: Array) -> Array:
    """A NaN or an infinity in one row reaches every row of its step."""
    return x + 0 * x.sum(axis=(1, 2), keepdims=True)


def nan_beside(config: LSTMConfig, state: Array) -> Array:
    """A NaN in one row reaches every row."""
    return state + 0 * state.sum(axis=1, keepdims=True)


def normed(config: LSTMConfig, x: Array) -> Array:
    """Divided by a power of two near the norm of each element and multiplied again."""
    norm = np.sqrt((x * x).sum(axis=2, keepdims=True))
    scale = np.exp2(np.floor(np.log2(np.maximum(norm, 1))))
    return x / scale * scale


def undefined_where(wrong: Map, function: Map) -> Map:
    """NaN where ``wrong`` holds."""
    return lambda a: np.where(wrong(a), np.full_like(a, np.nan), function(a))


def _masked(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    """A layer that goes on past a row's end and multiplies its outputs there by 0; the state is kept."""
    every = np.full_like(lengths, len(x))
    mask = (np.arange(len(x))[:, None] < lengths)[..., None].astype(x.dtype)
    output, h_n, c_n = correct.layer(twin, at, w, x, h, c, lengths)
    return np.where(mask > 0, output, correct.layer(twin, at, w, x, h, c, every)[0]) * mask, h_n, c_n


def _kept_finite(c: Array) -> Array:
    """The largest finite number in place of an infinity."""
    largest = finfo(c.dtype.name).max
    return np.clip(c, -largest, largest)


def _kept_by_arithmetic(
    twin: Twin, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array]:
    """A layer that keeps the h of rows that have ended by m · h_t + (1 − m) · h_{t−1}."""

    def step(twin: Twin, at: Place, w: Weights, x_t: Array, h: Array, c: Array) -> tuple[Array, Array]:
        on = correct.valid(twin, at, lengths).astype(h.dtype)
        h_t, c_t = correct.step(twin, at, w, x_t, h, c)
        return on * h_t + (1 - on) * h, c_t

    return correct.layer(replace(twin, step=step), at, w, x, h, c, lengths)


FAULTS = (
    Fault("nan-hidden", "A NaN in x is read as 0.", "guards with nan_to_num", "x has a NaN", NONFINITE,
        Twin(transform=Transform(x=lambda config, x: nan_hidden(x)))),
    Fault("nan-spread", "A NaN or an infinity in one row spoils every row.", "batch reductions", "x has a NaN, N > 1",
        NONFINITE, Twin(transform=Transform(x=nan_spread))),
    Fault("nan-clamped", "Preactivations are clamped to ±1e4 by comparisons that turn NaN into a limit.",
        "-ffast-math, fmin and fmax", "NaN", NONFINITE,
        made("preactivations", lambda at, a: np.fmax(np.fmin(a, 1e4), -1e4).astype(a.dtype))),
    Fault("nan-cleaned-from-results", "NaN in results is replaced by 0.", "guards with nan_to_num", "NaN", NONFINITE,
        Twin(transform=Transform(result=lambda config, r: Whole(*map(nan_hidden, r))))),
    Fault("nan-state-reset", "A state that is not a number is reset to 0.", "streaming guards", "state has a NaN",
        NONFINITE, Twin(transform=states(lambda config, state: nan_hidden(state)))),
    Fault("nan-state-spread", "A NaN in the state of one row spoils every row's.", "batch reductions",
        "state has a NaN, N > 1", NONFINITE, Twin(transform=states(nan_beside))),
    Fault("nan-weights-cleaned", "A NaN in a parameter is loaded as 0.", "loaders with nan_to_num", "a weight is NaN",
        NONFINITE, kept(nan_hidden)),
    Fault("nan-masked-by-zero", "Outputs past a row's end are computed and multiplied by 0.", "masks by multiplication",
        "NaN, unequal lengths", NONFINITE, Twin(layer=_masked)),
    Fault("infinity-hidden", "An infinity in x is read as 0.", "guards with nan_to_num", "x is infinite", NONFINITE,
        Twin(transform=Transform(x=infinity_hidden))),
    Fault("sigmoid-nan-at-infinity", "σ is a quotient that is ∞ / ∞ at ∞ alone.", "dynet#1525", "x is infinite",
        NONFINITE, Twin(sigmoid=undefined_where(np.isposinf, correct.sigmoid))),
    Fault("tanh-nan-at-infinity", "tanh is a times a function of a that vanishes: ∞ · 0.", "rational functions",
        "x is infinite", NONFINITE, Twin(tanh=undefined_where(np.isinf, np.tanh))),
    Fault("input-norm-overflows", "x is divided by a power of two near its norm, which overflows.",
        "normalisation guards", "x near the largest number", NONFINITE, Twin(transform=Transform(x=normed))),
    Fault("cell-square-overflows", "tanh(c) is made from c², NaN once that overflows.", "ComputeLibrary#779",
        "c beyond 1e19 (1e154)", NONFINITE, of_cell(undefined_where(lambda c: np.isinf(c * c), np.tanh))),
    Fault("cell-kept-finite", "The cell is clipped to the largest finite number.", "overflow guards",
        "c_0 is infinite", NONFINITE, celled(_kept_finite)),
    Fault("h-kept-by-arithmetic", "Rows keep their h by m·h_t + (1 − m)·h_{t−1}.", "masks by multiplication",
        "h_0 is infinite", NONFINITE, Twin(layer=_kept_by_arithmetic)),
)  # fmt: skip
