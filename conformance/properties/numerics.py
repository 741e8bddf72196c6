"""Numerics: the ends of the number line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.bounds.rounding import Arithmetic
from conformance.properties.model import prop
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial


@prop("numerics.hidden-range", needs=("output", "values"), when=lambda r: not r.proj, every=1)
def hidden_range(trial: Trial) -> None:
    """Without a projection no output exceeds 1 in magnitude, but for the rounding of o, tanh(c) and their product.

    Uninitialised memory and overflow are far outside.
    """
    output, arithmetic = trial.result.output, trial.arithmetic
    if output is None or arithmetic is None:
        raise Discard
    _within(output, np.full(output.shape, 1 + _off(arithmetic)), "output")


@prop("numerics.cell-growth", needs=("c_n", "values"), every=1)
def cell_growth(trial: Trial) -> None:
    """A cell grows by at most 1 a step: |c_n| ≤ |c_0| + L, but for the rounding of each step.

    torchrecurrent#22: i and g were added, not multiplied.
    """
    c_n, arithmetic = trial.result.c_n, trial.arithmetic
    if c_n is None or arithmetic is None:
        raise Discard
    c_0 = np.abs(np.asarray(trial.case.initial()[1], np.float64))
    lengths = trial.case.row_lengths()[None, :, None]
    _within(c_n, (c_0 + lengths) * (1 + _off(arithmetic)) ** lengths, "c_n")


def _off(arithmetic: Arithmetic) -> float:
    """The relative error of a product of two activations near 1, in a sum, and of what is of second order."""
    return (2 * arithmetic.activation + 4) * arithmetic.unit


def _within(values: np.ndarray, limit: np.ndarray, name: str) -> None:
    wrong = ~(np.abs(np.asarray(values, np.float64)) <= limit)
    if wrong.any():
        at = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise Violation(f"{name}{list(at)} is {values[at]:.9g}, beyond {limit[at]:.9g}")


@prop("numerics.saturation", needs=("values", "params"))
def saturation(trial: Trial) -> None:
    """Preactivations from 1e2 to 1e4 saturate every gate and stay finite.

    dynet#1525: the sigmoid was NaN past 88; ComputeLibrary#779: NaN past ±40.
    """
    trial.derived(fill="saturated").require_right()


@prop("numerics.large-inputs", needs=("values", "params"))
def large_inputs(trial: Trial) -> None:
    """Inputs up to 3e4 in magnitude, with weights as much smaller, are neither clipped nor rounded coarsely.

    Ranges chosen for quantised or fixed-point inputs cut them off, and ordinary data rarely leave ±3.
    """
    trial.derived(fill="large-x").require_right()


@prop("numerics.subnormal", needs=("values",))
def subnormal(trial: Trial) -> None:
    """With inputs and states around the smallest normal number, flushed to zero or not, the results are right.

    A division by a scale of the data gives NaN there, and a denormal may trap.
    """
    trial.derived(fill="subnormal").require_right()


#: The power of two by which each dtype's inputs are scaled: far, and well within its range.
_FAR = {"float64": 40, "float32": 40, "bfloat16": 40, "float16": 8}


@prop("numerics.scaling", needs=("values", "params"), turns=2)
def scaling(trial: Trial) -> None:
    """An x divided by a power of two and input weights multiplied by it, or vice versa, give right results.

    Only exponents change. Small numbers that are flushed too early, and ranges fixed for x or for weights, show.
    """
    ordinary = trial.derived(fill="normal")
    case = ordinary.case
    far = _FAR[case.config.dtype]
    power = 2.0 ** trial.in_turn((-far, far))
    params = {
        name: (value * power).astype(value.dtype) if name.startswith("weight_ih_l0") else value
        for name, value in case.params.items()
    }
    ordinary.require_right(replace(case, x=(case.x / power).astype(case.x.dtype), params=params))


@prop("numerics.projected-range", needs=("values", "params", "projection"), when=lambda r: r.proj > 0)
def projected_range(trial: Trial) -> None:
    """Projected states of tens and thousands are not clipped.

    TensorFlow's cells, cuDNN and TFLite have a ``proj_clip``. Tests without a projection meet no state beyond 1.
    """
    # A sum in 16 bits must not overflow.
    ordinary = trial.derived(fill="normal", gain=min(trial.recipe.gain, 1.0))
    case = ordinary.case
    power = 2.0 ** min(_FAR[case.config.dtype], 12)

    def factor(name: str) -> float:
        reads_states = name.startswith("weight_hh") or (name.startswith("weight_ih") and "_l0" not in name)
        return power if name.startswith("weight_hr") else 1 / power if reads_states else 1.0

    params = {name: (value * factor(name)).astype(value.dtype) for name, value in case.params.items()}
    ordinary.require_right(replace(case, params=params))


@prop("numerics.no-clipping", needs=("values", "params", "initial_state", "c_n"))
def no_clipping(trial: Trial) -> None:
    """Cells beyond 3, 10, 100 are not clipped.

    ONNX's clip, burn's and OpenVINO's cell clipping are off by default; quantised and fixed-point cells saturate.
    """
    trial.derived(fill="large-cell", state="both").require_right()


@prop("numerics.large-h_0", needs=("values", "params", "initial_state"), turns=3)
def large_h_0(trial: Trial) -> None:
    """An h_0 of tens to thousands, with recurrent weights as much smaller, is neither clipped nor rounded coarsely.

    An LSTM makes no h beyond ±1, and so fixed-point, int8 and clipped states have no room for more. A caller's h_0 may
    come from an encoder or be learned.
    """
    ordinary = trial.derived(fill="normal", state="both")
    case = ordinary.case
    power = 2.0 ** min(_FAR[case.config.dtype], trial.in_turn((6, 9, 12)))
    assert case.state is not None
    h_0, c_0 = case.state
    params = {
        name: (value / power).astype(value.dtype) if name.startswith("weight_hh") else value
        for name, value in case.params.items()
    }
    ordinary.require_right(replace(case, state=((h_0 * power).astype(h_0.dtype), c_0), params=params))
