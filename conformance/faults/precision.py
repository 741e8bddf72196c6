"""Faults of precision and range: what is rounded to fewer digits, clipped or scaled."""

from __future__ import annotations

import numpy as np

from conformance.conventions import Transform
from conformance.conventions.layouts import results, states
from conformance.faults import twin as correct
from conformance.faults.alter import Map, given, half, made, single
from conformance.faults.equations import celled, gate
from conformance.faults.fault import FINAL, RANGE, STATE, Fault
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig


def rounded_dot(change: Map) -> Twin:
    """Both factors of every product rounded."""
    return Twin(dot=lambda x, W: correct.dot(change(x), change(W)))


def input_projection_in(change: Map) -> Twin:
    """Both factors of every product with x rounded."""
    return given("preactivations", lambda at, w, x, h: ({**w, "weight_ih": change(w["weight_ih"])}, change(x), h))


# Precision


def limited(most: float) -> Map:
    """Clipped to ±most."""
    return lambda v: np.clip(v, -most, most)


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


def rescaled(config: LSTMConfig, x: Array) -> Array:
    """Divided by its largest magnitude and multiplied again."""
    largest = np.abs(x).max()
    return x / largest * largest if largest >= 1e-30 else x * (1 / largest) * largest


def quantised(config: LSTMConfig, x: Array) -> Array:
    """Rounded to 16 bits with one scale for the whole batch."""
    scale = x.dtype.type(np.abs(x).max() / 32767 or 1)
    return np.rint(x / scale) * scale


FAULTS = (
    Fault("forget-gate-in-half", "The forget gate is float16.", "oneDNN#976", "always", RANGE, gate(1, half)),
    Fault("cell-in-half", "The cell is kept in float16.", "oneDNN#976", "always", RANGE, celled(half)),
    Fault("cell-in-fixed-point", "The cell is kept in multiples of 2^−20.", "hls4ml", "always", RANGE,
        celled(lambda c: np.rint(c * 2.0**20) / 2.0**20)),
    Fault("recurrent-h-in-half", "h goes through float16 into the recurrence, not into the output.", "oneDNN#976",
        "h_0 or L > 1", RANGE, given("step", lambda at, w, x, h, c: (w, x, half(h), c))),
    Fault("tf32", "Products use factors rounded to TF32.", "cuDNN allow_tf32", "always", RANGE,
        rounded_dot(significand(10))),
    Fault("tf32-input-projection", "Only the input projection uses TF32.", "cuDNN allow_tf32", "always", RANGE,
        input_projection_in(significand(10))),
    Fault("half-accumulation", "Dot products are summed in float16.", "half GEMMs", "always", RANGE,
        Twin(dot=half_accumulated)),
    Fault("float32-for-float64", "float64 models are computed in float32.", "ports with float buffers", "float64 only",
        RANGE, Twin(precision=lambda twin, config: "float32")),
    Fault("cell-clipped-at-100", "The cell is clipped to ±100.", "ONNX clip, burn, OpenVINO", "c beyond 100", RANGE,
        celled(limited(100))),
    Fault("hidden-clipped", "h is clipped to ±0.95.", "TFLite proj_clip", "|h| > 0.95", RANGE,
        made("project", lambda at, h: limited(0.95)(h))),
    Fault("projected-clipped-at-20", "Projected states are clipped to ±20.", "TFLite proj_clip", "|h| > 20", RANGE,
        made("project", lambda at, h: limited(20)(h))),
    Fault("input-clipped-at-a-million", "x is clipped to ±1e6.", "fixed-point ranges", "|x| > 1e6", RANGE,
        Twin(transform=Transform(x=lambda config, x: np.clip(x, -1e6, 1e6)))),
    Fault("preactivation-clipped", "Preactivations are clipped to ±8.", "ONNX clip", "|a| > 8", RANGE,
        made("preactivations", lambda at, a: limited(8)(a))),
    Fault("input-clipped", "x is clipped to ±3.", "TFLite quantisation ranges", "|x| > 3", RANGE,
        Twin(transform=Transform(x=lambda config, x: np.clip(x, -3, 3)))),
    Fault("nan-from-scaling", "x is divided by its largest magnitude and multiplied again, whose inverse overflows.",
        "dynamic quantisation", "x all zero or subnormal", RANGE, Twin(transform=Transform(x=rescaled))),
    Fault("dynamic-quantisation", "x is rounded to 16 bits with a scale taken over the batch.", "dynamic quantisation",
        "always", RANGE, Twin(transform=Transform(x=quantised))),
    Fault("state-in-half", "The initial state is rounded to float16.", "oneDNN#976", "state given", RANGE,
        Twin(transform=states(lambda config, value: half(value)))),
    Fault("float64-state-in-float32", "A float64 initial state passes through float32.", "ports with float buffers",
        "float64 only, state given", RANGE, Twin(transform=states(lambda config, value: single(value)))),
    Fault("c-0-squashed", "c_0 passes through tanh.", "decaNLP#9", "c_0 given", STATE,
        Twin(transform=states(lambda config, c: np.tanh(c), "c_0"))),
    Fault("h-0-clipped-at-8", "h_0 is clipped to ±8: nobody expected more than ±1.", "CoreML clip, fixed-point states",
        "|h_0| > 8", STATE, Twin(transform=states(lambda config, h: np.clip(h, -8, 8), "h_0"))),
    Fault("c-n-squashed", "c_n has passed through tanh.", "decaNLP#9", "always", FINAL,
        Twin(transform=results(c_n=lambda config, r: np.tanh(r.c_n)))),
    Fault("c-n-clipped", "c_n is clipped to ±10 as it is returned.", "OpenVINO clip", "c beyond 10", FINAL,
        Twin(transform=results(c_n=lambda config, r: np.clip(r.c_n, -10, 10)))),
    Fault("h-n-ulp-off", "h_n is computed apart from the output, one ulp away.", "PaddleNLP#761", "always", FINAL,
        Twin(transform=results(h_n=lambda config, r: np.nextafter(r.h_n, r.h_n.dtype.type(2))))),
)  # fmt: skip
