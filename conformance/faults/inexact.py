"""Activations as exact as mathematical libraries promise: σ and tanh that are some ulps off, and forms made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.faults import twin as correct
from conformance.faults.alter import Map
from conformance.faults.twin import Twin
from conformance.spec import Array


def rounded_once(function: Map) -> Map:
    """A function in a wider format than its argument's."""
    return lambda a: function(a.astype("float32" if a.itemsize == 2 else np.longdouble)).astype(a.dtype)


def ulps(function: Map, most: int) -> Map:
    """Off by up to ±most ulps of the result, by a hash of the argument's bits; never out of the function's range.

    By one ulp in 16 bits, where libraries round what they compute in float32.
    """

    def change(a: Array) -> Array:
        # So that −0 is 0.
        bits = (a + a.dtype.type(0)).view(f"uint{8 * a.itemsize}").astype(np.uint64)
        limit = 1 if a.itemsize == 2 else most
        hashed = (bits * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
        return _moved(function(a), (hashed % np.uint64(2 * limit + 1)).astype(np.int64) - limit)

    return change


def always(function: Map, ulps: int) -> Map:
    """Off by the same number of ulps everywhere, farther from 0 or nearer to it; in 16 bits by one."""
    return lambda a: _moved(function(a), np.asarray(np.clip(ulps, -1, 1) if a.itemsize == 2 else ulps))


def in_turn(function: Map, ulps: int) -> Map:
    """Off by ±ulps, the sign alternating from element to element, as in two lanes of a vector."""

    def change(a: Array) -> Array:
        signs = np.resize(np.array([1, -1]), a.size).reshape(a.shape)
        return _moved(function(a), signs * (1 if a.itemsize == 2 else ulps))

    return change


def _moved(y: Array, ulps: Array) -> Array:
    """Numbers moved by whole ulps away from 0, no farther than ±1, below which an ulp is half of that above."""
    below = np.spacing(np.minimum(np.abs(y), np.nextafter(y.dtype.type(1), y.dtype.type(0))))
    size = np.maximum(np.abs(y).astype(np.float64) + ulps * below.astype(np.float64), 0.0)
    return np.copysign(np.minimum(size, 1.0), y.astype(np.float64)).astype(y.dtype)


def by_sigmoid(sigmoid: Map) -> Map:
    """2·σ(2a) − 1, of a σ that is some ulps off; in 16 bits, where that is rounded once, of the exact one."""
    return lambda a: rounded_once(np.tanh)(a) if a.itemsize == 2 else 2 * sigmoid(2 * a) - 1


# Other forms, and both activations at once


def sigmoid_by_tanh(a: Array) -> Array:
    """0.5 + 0.5·tanh(a/2)."""
    return (1 + np.tanh(a / 2)) / 2


def tanh_by_sigmoid(a: Array) -> Array:
    """2·σ(2a) − 1."""
    return 2 * correct.sigmoid(2 * a) - 1


def stable_sigmoid(a: Array) -> Array:
    """e^a / (1 + e^a) for a < 0, where it is the better form."""
    e = np.exp(-np.abs(a))
    return np.where(a < 0, e / (1 + e), 1 / (1 + e)).astype(a.dtype)


def tanh_by_exponential(a: Array) -> Array:
    """(1 − e^−2|a|) / (1 + e^−2|a|) with a's sign."""
    e = np.exp(-2 * np.abs(a))
    return np.copysign((1 - e) / (1 + e), a)


_SIGMOID, _TANH = rounded_once(correct.sigmoid), rounded_once(np.tanh)


def off(change: Callable[[Map, int], Map], most: int) -> Twin:
    """Both activations off in one way."""
    return Twin(sigmoid=change(_SIGMOID, most), tanh=change(_TANH, most))


def tanh_by_sigmoid_off(most: int) -> Twin:
    """σ off by the same ulps everywhere, and tanh made of it."""
    sigmoid = always(_SIGMOID, most)
    return Twin(sigmoid=sigmoid, tanh=by_sigmoid(sigmoid))
