"""Faults of a step's arithmetic: approximations, reduced precision, clipping, overflow, NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.selftest.faults import twin as correct
from conformance.selftest.faults.equations import Map, celled, gate
from conformance.selftest.faults.fault import RANGE, Fault
from conformance.selftest.faults.twin import Place, Transform, Twin, Weights
from conformance.spec import Array, LSTMConfig


def preactivated(change: Callable[[Weights, Array], Array]) -> Twin:
    """The preactivations changed."""
    return Twin(preactivations=lambda twin, at, w, x, h: change(w, correct.preactivations(twin, at, w, x, h)))


def recurrent_h(change: Callable[[Place, Array], Array]) -> Twin:
    """The h that goes into the recurrence changed; outputs as they are."""
    return Twin(step=lambda twin, at, w, x, h, c: correct.step(twin, at, w, x, change(at, h), c))


def rounded_dot(change: Map) -> Twin:
    """Both factors of every product rounded."""
    return Twin(dot=lambda x, W: correct.dot(change(x), change(W)))


def _input_projection_in(change: Map) -> Twin:
    """Both factors of every product with x rounded."""

    def preactivations(twin: Twin, at: Place, w: Weights, x: Array, h: Array) -> Array:
        return correct.preactivations(twin, at, {**w, "weight_ih": change(w["weight_ih"])}, change(x), h)

    return Twin(preactivations=preactivations)


# Precision


def limited(most: float) -> Map:
    """Clipped to ±most."""
    return lambda v: np.clip(v, -most, most)


def stored(dtype: str) -> Map:
    """Rounded to another dtype."""
    return lambda v: v.astype(dtype).astype(v.dtype)


half = stored("float16")


def significand(bits: int) -> Map:
    """Rounded to so many explicit bits of significand: 10 is TF32, 7 is bfloat16."""

    def change(v: Array) -> Array:
        m, e = np.frexp(v)
        return np.ldexp(np.rint(m * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), e)

    return change


def half_accumulated(x: Array, W: Array) -> Array:
    """Sums over blocks of 16 kept in float16."""
    total = np.zeros((len(x), len(W)), "float16")
    for k in range(0, x.shape[1], 16):
        total = (total + x[:, k : k + 16] @ W[:, k : k + 16].T).astype("float16")
    return total.astype(x.dtype)


# Activations


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


def fast_sigmoid(a: Array) -> Array:
    """σ with e^a = (1 + a/4096)^4096, good for |a| well below 64."""
    return 1 / (1 + (1 + np.clip(-a, -64, 64) / 4096) ** 4096)


def saturating(function: Map, most: float, low: float) -> Map:
    """Exactly 1 or ``low`` beyond ±most."""
    return lambda a: np.where(np.abs(a) > most, np.where(a > 0, 1, low), function(a)).astype(a.dtype)


def naive_sigmoid(a: Array) -> Array:
    """e^a / (1 + e^a), NaN once e^a overflows."""
    return np.exp(a) / (1 + np.exp(a))


def naive_tanh(a: Array) -> Array:
    """(e^2a − 1) / (e^2a + 1), NaN once e^2a overflows."""
    return np.expm1(2 * a) / (np.exp(2 * a) + 1)


def nan_beyond(function: Map, most: float) -> Map:
    """NaN beyond ±most."""
    return lambda a: np.where(np.abs(a) > most, np.nan, function(a)).astype(a.dtype)


def linear_sigmoid(a: Array) -> Array:
    """0.5 + a/4 for |a| < 1e-3."""
    return np.where(np.abs(a) < 1e-3, 0.5 + a / 4, correct.sigmoid(a)).astype(a.dtype)


def cubic_tanh(a: Array) -> Array:
    """a − a³/3 for |a| < 0.02."""
    return np.where(np.abs(a) < 0.02, a - a**3 / 3, np.tanh(a)).astype(a.dtype)


def dented_tanh(a: Array) -> Array:
    """2e-6 too large for |a| from 2.4 to 2.6."""
    return (np.tanh(a) * np.where(np.abs(np.abs(a) - 2.5) < 0.1, 1 + 2e-6, 1)).astype(a.dtype)


# Inputs


def rescaled(config: LSTMConfig, x: Array) -> Array:
    """Divided by its largest magnitude and multiplied again."""
    largest = np.abs(x).max()
    return x / largest * largest if largest >= 1e-30 else x * (1 / largest) * largest


def quantised(config: LSTMConfig, x: Array) -> Array:
    """Rounded to 16 bits with one scale for the whole batch."""
    scale = x.dtype.type(np.abs(x).max() / 32767 or 1)
    return np.rint(x / scale) * scale


FAULTS = (
    Fault("tanh-pade", "tanh is a rational function, off by up to 1e-4.", "embedded kernels", "|a| about 5", RANGE,
          Twin(tanh=pade)),
    Fault("cell-tanh-pade", "Only tanh(c) is a rational function.", "embedded kernels", "c about 5", RANGE,
          Twin(hidden=lambda twin, at, o, c: o * pade(c))),
    Fault("sigmoid-table", "σ is interpolated in a table of 1,025 nodes on ±8.", "hls4ml", "always", RANGE,
          Twin(sigmoid=table(correct.sigmoid, -8, 8, 1025))),
    Fault("tanh-table", "tanh is interpolated in a table of 4,097 nodes on ±8.", "hls4ml", "always", RANGE,
          Twin(tanh=table(np.tanh, -8, 8, 4097))),
    Fault("sigmoid-lookup", "σ is looked up in a table of 65,536 entries on ±16.", "hls4ml", "always", RANGE,
          Twin(sigmoid=nearest(correct.sigmoid, -16, 16, 65536))),
    Fault("fast-exponential", "σ uses e^a = (1 + a/4096)^4096.", "neural-amp-modeler#450", "always", RANGE,
          Twin(sigmoid=fast_sigmoid)),
    Fault("hard-sigmoid", "σ is clip(0.2 a + 0.5).", "Keras recurrent_activation", "always", RANGE,
          Twin(sigmoid=hard_sigmoid)),
    Fault("sigmoid-saturates-early", "σ is exactly 0 or 1 beyond ±10.", "ComputeLibrary#779", "|a| > 10", RANGE,
          Twin(sigmoid=saturating(correct.sigmoid, 10, 0))),
    Fault("tanh-saturates-early", "tanh is exactly ±1 beyond ±5.", "ComputeLibrary#779", "|a| > 5", RANGE,
          Twin(tanh=saturating(np.tanh, 5, -1))),
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
    Fault("sigmoid-nan-past-40", "σ is NaN beyond ±40.", "ComputeLibrary#779", "|a| > 40", RANGE,
          Twin(sigmoid=nan_beyond(correct.sigmoid, 40))),
    Fault("tanh-nan-past-44", "tanh is made from e^2a, NaN once that overflows.", "ComputeLibrary#779",
          "|a| > 44 (354)", RANGE, Twin(tanh=naive_tanh)),
    Fault("cell-tanh-nan-past-44", "tanh(c) is made from e^2c, NaN once that overflows.", "ComputeLibrary#779",
          "c > 44 (354)", RANGE, Twin(hidden=lambda twin, at, o, c: o * naive_tanh(c))),
    Fault("forget-gate-in-half", "The forget gate is float16.", "oneDNN#976", "always", RANGE, gate(1, half)),
    Fault("output-gate-in-half", "The output gate is float16.", "oneDNN#976", "always", RANGE, gate(3, half)),
    Fault("candidate-in-half", "The candidate g is rounded to float16.", "oneDNN#976", "always", RANGE, gate(2, half)),
    Fault("cell-in-half", "The cell is kept in float16.", "oneDNN#976", "always", RANGE, celled(half)),
    Fault("cell-in-bfloat16", "The cell is kept in bfloat16.", "mixed-precision kernels", "always", RANGE,
          celled(significand(7))),
    Fault("cell-in-fixed-point", "The cell is kept in multiples of 2^−20.", "hls4ml", "always", RANGE,
          celled(lambda c: np.rint(c * 2.0**20) / 2.0**20)),
    Fault("recurrent-h-in-half", "h goes through float16 into the recurrence, not into the output.", "oneDNN#976",
          "h_0 or L > 1", RANGE, recurrent_h(lambda at, h: half(h))),
    Fault("tf32", "Products use factors rounded to TF32.", "cuDNN allow_tf32", "always", RANGE,
          rounded_dot(significand(10))),
    Fault("tf32-input-projection", "Only the input projection uses TF32.", "cuDNN allow_tf32", "always", RANGE,
          _input_projection_in(significand(10))),
    Fault("bfloat16-products", "Products use factors rounded to bfloat16.", "oneDNN bf16 math mode", "always", RANGE,
          rounded_dot(significand(7))),
    Fault("half-accumulation", "Dot products are summed in float16.", "half GEMMs", "always", RANGE,
          Twin(dot=half_accumulated)),
    Fault("float32-for-float64", "float64 models are computed in float32.", "ports with float buffers", "float64 only",
          RANGE, Twin(precision=lambda config: "float32")),
    Fault("float32-products-for-float64", "float64 dot products are computed in float32.", "BLAS sgemm", "float64 only",
          RANGE, Twin(dot=lambda x, W: (x.astype("float32") @ W.T.astype("float32")).astype(x.dtype))),
    Fault("float32-tanh-for-float64", "float64 tanh is computed in float32.", "tanhf for tanh", "float64 only", RANGE,
          Twin(tanh=lambda a: np.tanh(a.astype("float32")).astype(a.dtype))),
    Fault("float32-cell-tanh-for-float64", "float64 tanh(c) is computed in float32.", "tanhf for tanh", "float64 only",
          RANGE, Twin(hidden=lambda twin, at, o, c: o * np.tanh(c.astype("float32")).astype(c.dtype))),
    *(
        Fault(f"cell-clipped-at-{most}", f"The cell is clipped to ±{most}.", "ONNX clip, burn, OpenVINO",
              f"c beyond {most}", RANGE, celled(limited(most)))
        for most in (3, 10, 50, 100)
    ),
    Fault("hidden-clipped", "h is clipped to ±0.95.", "TFLite proj_clip", "|h| > 0.95", RANGE,
          Twin(project=lambda twin, at, w, m: limited(0.95)(correct.project(twin, at, w, m)))),
    Fault("sigmoid-seam", "σ's pieces end before ±2.375 and begin after it.", "PLAN approximation", "|a| = 2.375",
          RANGE, Twin(sigmoid=lambda a: np.where(np.abs(a) == 2.375, 0 * a, correct.sigmoid(a)))),
    Fault("projected-clipped-at-20", "Projected states are clipped to ±20.", "TFLite proj_clip", "|h| > 20", RANGE,
          Twin(project=lambda twin, at, w, m: limited(20)(correct.project(twin, at, w, m)))),
    Fault("input-clipped-at-a-million", "x is clipped to ±1e6.", "fixed-point ranges", "|x| > 1e6", RANGE,
          Twin(transform=Transform(x=lambda config, x: np.clip(x, -1e6, 1e6)))),
    Fault("preactivation-clipped", "Preactivations are clipped to ±8.", "ONNX clip", "|a| > 8", RANGE,
          preactivated(lambda w, a: limited(8)(a))),
    Fault("input-clipped", "x is clipped to ±3.", "TFLite quantisation ranges", "|x| > 3", RANGE,
          Twin(transform=Transform(x=lambda config, x: np.clip(x, -3, 3)))),
    Fault("nan-from-scaling", "x is divided by its largest magnitude and multiplied again, whose inverse overflows.",
          "dynamic quantisation", "x all zero or subnormal", RANGE, Twin(transform=Transform(x=rescaled))),
    Fault("dynamic-quantisation", "x is rounded to 16 bits with a scale taken over the batch.", "dynamic quantisation",
          "always", RANGE, Twin(transform=Transform(x=quantised))),
)  # fmt: skip
