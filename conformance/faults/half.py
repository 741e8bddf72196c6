"""Faults of 16-bit models: sums, conversions, ranges and tables that have fewer digits than they should."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.conventions import Transform
from conformance.conventions.layouts import results
from conformance.faults.activations import naive_sigmoid
from conformance.faults.alter import Map, made, stored
from conformance.faults.equations import celled
from conformance.faults.fault import FULL, HALF, Fault
from conformance.faults.packing import kept
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import Array, numpy_dtype

BOTH = replace(FULL, dtypes=("float16", "bfloat16"))
FLOAT16 = replace(FULL, dtypes=("float16",))


def half_summed(x: Array, W: Array) -> Array:
    """Every product and every sum in the dtype itself."""
    total = np.zeros((len(x), len(W)), x.dtype)
    for k in range(x.shape[1]):
        total = total + x[:, k : k + 1] * W[:, k]
    return total


def _recurrent_half_summed(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
    a = twin.dot(x, w["weight_ih"]) + half_summed(h, w["weight_hh"])
    return a + w["bias_ih"] + w["bias_hh"] if "bias_ih" in w else a


def misread(v: Array) -> Array:
    """The other 16-bit dtype's bits."""
    other = numpy_dtype("float16" if v.dtype.name == "bfloat16" else "bfloat16")
    return v.astype(other).view(v.dtype)


def flushed(v: Array) -> Array:
    """Numbers below 2^−10 taken for 0."""
    return np.where(np.abs(v) < 2.0**-10, np.zeros_like(v), v)


def steps_of(size: float) -> Map:
    """Rounded to multiples of ``size``."""
    return lambda v: (np.rint(v.astype("float32") / size) * size).astype(v.dtype)


def rational_tanh(a: Array) -> Array:
    """a (27 + a²) / (27 + 9 a²), clipped: within 0.024 of tanh."""
    wide = np.clip(a.astype("float32"), -3, 3)
    return (wide * (27 + wide**2) / (27 + 9 * wide**2)).astype(a.dtype)


FAULTS = (
    Fault("half-sums", "Dot products are summed in the 16-bit dtype, and stagnate.", "half GEMMs", "always", HALF,
        Twin(dot=half_summed), BOTH),
    Fault("half-recurrent-sums", "Only the recurrent product is summed in the 16-bit dtype.", "half GEMMs",
        "h_0 or L > 1", HALF, Twin(preactivations=_recurrent_half_summed), BOTH),
    Fault("weights-through-bfloat16", "float16 weights are stored in bfloat16.", "mixed-precision checkpoints",
        "always", HALF, kept(stored("bfloat16"), "weight"), FLOAT16),
    Fault("cell-through-bfloat16", "The cell of a float16 model is kept in bfloat16.", "mixed-precision kernels",
        "always", HALF, celled(stored("bfloat16")), FLOAT16),
    Fault("half-dtypes-misread", "Weights are converted to the other 16-bit dtype, and the bits read as they were.",
        "dtype tags lost in conversion", "always", HALF, kept(misread), BOTH),
    Fault("half-sigmoid-nan", "σ is e^a / (1 + e^a), NaN once that overflows at 11.1 in float16.", "dynet#1525",
        "a > 11 (88)", HALF, Twin(sigmoid=naive_sigmoid), BOTH),
    Fault("half-cell-overflows", "The cell is multiplied by 256 and divided again, and overflows in float16.",
        "oneDNN#976", "c beyond 255", HALF, celled(lambda c: c * 256 / 256), FLOAT16),
    Fault("half-tanh-rational", "tanh is a (27 + a²) / (27 + 9 a²).", "embedded kernels", "float16", HALF,
        Twin(tanh=rational_tanh), BOTH),
    Fault("gates-in-eight-bits", "The gates are multiples of 1/128.", "8-bit activations", "float16", HALF,
        made("gates", lambda at, gates: tuple(steps_of(2.0**-7)(v) for v in gates)), BOTH),
    Fault("biases-in-eight-bits", "Biases are multiples of 1/32.", "8-bit exports", "with bias, float16", HALF,
        kept(steps_of(2.0**-5), "bias"), BOTH),
    Fault("small-inputs-flushed", "Elements of x below 2^−10 are taken for 0, 4 bits too early.", "flush to zero",
        "small x, large weights", HALF, Twin(transform=Transform(x=lambda config, x: flushed(x))), BOTH),
    Fault("half-h-n-in-float32", "h_n is returned in float32.", "mixed-precision kernels", "always", HALF,
        Twin(transform=results(h_n=lambda config, r: r.h_n.astype("float32"))), BOTH),
)  # fmt: skip
