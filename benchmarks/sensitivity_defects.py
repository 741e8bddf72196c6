"""What the measurement of sensitivity is about: defects with a level, the judges, and the correct implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from conformance.conventions import Transform, Whole
from conformance.conventions.parameters import each
from conformance.faults import twin as correct
from conformance.faults.alter import half
from conformance.faults.equations import celled, gate
from conformance.faults.packing import kept
from conformance.faults.precision import half_accumulated, rounded_dot, significand
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, State

DTYPES = ("float32", "float64")
OURS = "this suite"

#: rtol and atol for each dtype: NumPy's defaults, torch's defaults, and those of the ONNX project's node tests.
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {
    "assert_close": {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)},
    "np.allclose": dict.fromkeys(DTYPES, (1e-5, 1e-8)),
    "rtol 1e-3": dict.fromkeys(DTYPES, (1e-3, 1e-7)),
}

#: The correct implementations by which false alarms are counted.
CORRECT = (
    *("twin", "reversed-sums", "sigmoid-by-tanh", "activations-3-ulps-off"),
    *("numpy", "torch-loop", "torch-nn"),
)

#: Whose levels are compared.
JUDGES = (OURS, *TOLERANCES)

#: The levels, each √10 below the one before.
LEVELS = tuple(10 ** (-k / 2) for k in range(2, 33))


@dataclass(frozen=True)
class Defect:
    """A defect of size ε; one without a size of its own has a single level, its format's unit roundoff."""

    name: str
    twin: Callable[[float], Twin]
    levels: tuple[float, ...] = LEVELS
    dtypes: tuple[str, ...] = DTYPES


def one_element(name: str, change: Callable[[float, float], float]) -> Callable[[float], Twin]:
    """The first element of a parameter, a weight or bias of the input gate, changed."""

    def at(e: float) -> Twin:
        def changed(config: LSTMConfig, key: str, value: Array) -> Array:
            value = value.copy()
            value.flat[0] = change(value.flat[0], e)
            return value

        return Twin(transform=each(changed, name))

    return at


def _h_0(e: float) -> Twin:
    def state(config: LSTMConfig, state: State) -> State:
        return state[0] * (1 + e), state[1]

    return Twin(transform=Transform(state=state))


def _h_n(e: float) -> Twin:
    def result(config: LSTMConfig, result: Whole) -> Whole:
        return result._replace(h_n=result.h_n * (1 + e))

    return Twin(transform=Transform(result=result))


def _last_output(e: float) -> Twin:
    def result(config: LSTMConfig, result: Whole) -> Whole:
        output = result.output.copy()
        output[-1] *= 1 + e
        return result._replace(output=output)

    return Twin(transform=Transform(result=result))


DEFECTS = (
    Defect("one weight of W_hh · (1 + ε)", one_element("weight_hh_l0", lambda w, e: w * (1 + e))),
    Defect("one weight of W_ih · (1 + ε)", one_element("weight_ih_l0", lambda w, e: w * (1 + e))),
    Defect("one bias b_hh + ε", one_element("bias_hh_l0", lambda b, e: b + e)),
    Defect("tanh(a) · (1 + ε)", lambda e: Twin(tanh=lambda a: np.tanh(a) * (1 + e))),
    Defect("tanh(a · (1 + ε))", lambda e: Twin(tanh=lambda a: np.tanh(a * (1 + e)))),
    Defect("σ(a) · (1 + ε)", lambda e: Twin(sigmoid=lambda a: correct.sigmoid(a) * (1 + e))),
    Defect("σ(a · (1 + ε))", lambda e: Twin(sigmoid=lambda a: correct.sigmoid(a * (1 + e)))),
    Defect("forget gate f · (1 − ε)", lambda e: gate(1, lambda f: f * (1 - e))),
    Defect("cell leaks, c · (1 − ε)", lambda e: celled(lambda c: c * (1 - e))),
    Defect("initial state h_0 · (1 + ε)", _h_0),
    Defect("final state h_n · (1 + ε)", _h_n),
    Defect("last output · (1 + ε)", _last_output),
    Defect("cell in bfloat16", lambda e: celled(significand(7)), (2.0**-8,)),
    Defect("cell in float16", lambda e: celled(half), (2.0**-11,)),
    Defect("forget gate in float16", lambda e: gate(1, half), (2.0**-11,)),
    Defect("weights in float16", lambda e: kept(half, "weight"), (2.0**-11,)),
    Defect("TF32 products", lambda e: rounded_dot(significand(10)), (2.0**-11,)),
    Defect("float16 accumulation", lambda e: Twin(dot=half_accumulated), (2.0**-11,)),
    Defect("all in float32", lambda e: Twin(precision=lambda twin, config: "float32"), (2.0**-24,), ("float64",)),
)
