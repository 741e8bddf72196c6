"""Faults of σ and tanh: approximations, tables, and forms that overflow."""

from __future__ import annotations

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import Map
from conformance.faults.fault import RANGE, Fault
from conformance.faults.twin import Twin
from conformance.spec import Array


def of_cell(tanh: Map) -> Twin:
    """Only tanh(c) is another function."""
    return Twin(hidden=lambda twin, at, o, c: o * tanh(c))


def tanh_in_float32(a: Array) -> Array:
    """tanhf for tanh."""
    return np.tanh(a.astype("float32")).astype(a.dtype)


def pade(a: Array) -> Array:
    """tanh by Lambert's continued fraction, cut at the seventh order."""
    s = a * a
    top, bottom = 135135 + s * (17325 + s * (378 + s)), 135135 + s * (62370 + s * (3150 + 28 * s))
    return np.clip(a * top / bottom, -1, 1)


def hard_sigmoid(a: Array) -> Array:
    """max(0, min(1, 0.2 a + 0.5))."""
    return np.clip(a / 5 + 0.5, 0, 1).astype(a.dtype)


def table(function: Map, least: float, most: float, count: int) -> Map:
    """Interpolated between ``count`` nodes."""
    nodes = np.linspace(least, most, count)
    values = function(nodes)
    return lambda a: np.interp(a, nodes, values).astype(a.dtype)


def nearest(function: Map, least: float, most: float, count: int) -> Map:
    """Looked up in a table of ``count`` entries."""
    values, width = function(np.linspace(least, most, count)), (most - least) / (count - 1)
    return lambda a: values[np.rint((np.clip(a, least, most) - least) / width).astype(int)].astype(a.dtype)


def saturating(function: Map, most: float, low: float) -> Map:
    """Exactly 1 or ``low`` beyond ±most."""
    return lambda a: np.where(np.abs(a) > most, np.where(a > 0, 1, low), function(a)).astype(a.dtype)


def naive_sigmoid(a: Array) -> Array:
    """e^a / (1 + e^a), NaN once e^a overflows."""
    return np.exp(a) / (1 + np.exp(a))


def naive_tanh(a: Array) -> Array:
    """(e^2a − 1) / (e^2a + 1), NaN once e^2a overflows."""
    return np.expm1(2 * a) / (np.exp(2 * a) + 1)


def linear_sigmoid(a: Array) -> Array:
    """0.5 + a/4 for |a| < 1e-3."""
    return np.where(np.abs(a) < 1e-3, 0.5 + a / 4, correct.sigmoid(a)).astype(a.dtype)


def cubic_tanh(a: Array) -> Array:
    """a − a³/3 for |a| < 0.02."""
    return np.where(np.abs(a) < 0.02, a - a**3 / 3, np.tanh(a)).astype(a.dtype)


def dented_tanh(a: Array) -> Array:
    """2e-6 too large for |a| from 2.4 to 2.6."""
    return (np.tanh(a) * np.where(np.abs(np.abs(a) - 2.5) < 0.1, 1 + 2e-6, 1)).astype(a.dtype)


FAULTS = (
    Fault("cell-tanh-pade", "Only tanh(c) is a rational function.", "embedded kernels", "c about 5", RANGE,
        of_cell(pade)),
    Fault("tanh-table", "tanh is interpolated in a table of 4,097 nodes on ±8.", "hls4ml", "always", RANGE,
        Twin(tanh=table(np.tanh, -8, 8, 4097))),
    Fault("sigmoid-lookup", "σ is looked up in a table of 65,536 entries on ±16.", "hls4ml", "always", RANGE,
        Twin(sigmoid=nearest(correct.sigmoid, -16, 16, 65536))),
    Fault("hard-sigmoid", "σ is clip(0.2 a + 0.5).", "Keras recurrent_activation", "always", RANGE,
        Twin(sigmoid=hard_sigmoid)),
    Fault("sigmoid-saturates-early", "σ is exactly 0 or 1 beyond ±10.", "ComputeLibrary#779", "|a| > 10", RANGE,
        Twin(sigmoid=saturating(correct.sigmoid, 10, 0))),
    Fault("float64-tanh-saturates-early", "tanh is exactly ±1 beyond ±9.", "Eigen's float tanh used for double",
        "float64 only, |a| > 9", RANGE, Twin(tanh=saturating(np.tanh, 9, -1))),
    Fault("sigmoid-one-past-13", "σ is exactly 1 beyond 13.", "ComputeLibrary#779", "a > 13", RANGE,
        Twin(sigmoid=lambda a: np.where(a > 13, 1, correct.sigmoid(a)).astype(a.dtype))),
    Fault("tanh-dented", "tanh is 2e-6 too large for |a| from 2.4 to 2.6.", "tables and polynomials in pieces",
        "|a| about 2.5", RANGE, Twin(tanh=dented_tanh)),
    Fault("sigmoid-linear-near-zero", "σ is 0.5 + a/4 for |a| < 1e-3.", "series cut short", "float64 only, |a| < 1e-3",
        RANGE, Twin(sigmoid=linear_sigmoid)),
    Fault("tanh-cubic-near-zero", "tanh is a − a³/3 for |a| < 0.02.", "series cut short", "float64 only, |a| < 0.02",
        RANGE, Twin(tanh=cubic_tanh)),
    Fault("sigmoid-nan-past-88", "σ is e^a / (1 + e^a), NaN once that overflows.", "dynet#1525", "a > 88 (709)", RANGE,
        Twin(sigmoid=naive_sigmoid)),
    Fault("cell-tanh-nan-past-44", "tanh(c) is made from e^2c, NaN once that overflows.", "ComputeLibrary#779",
        "c > 44 (354)", RANGE, of_cell(naive_tanh)),
    Fault("sigmoid-seam", "σ's pieces end before ±2.375 and begin after it.", "PLAN approximation", "|a| = 2.375",
        RANGE, Twin(sigmoid=lambda a: np.where(np.abs(a) == 2.375, 0 * a, correct.sigmoid(a)))),
    Fault("float32-cell-tanh-for-float64", "float64 tanh(c) is computed in float32.", "tanhf for tanh", "float64 only",
        RANGE, of_cell(tanh_in_float32)),
)  # fmt: skip
