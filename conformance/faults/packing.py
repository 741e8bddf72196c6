"""Faults of what a model keeps of its parameters: fewer digits, and savings that their values suggest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.conventions.parameters import each
from conformance.faults.alter import Map, half, single
from conformance.faults.fault import GATES, RANGE, REVERSE, Fault
from conformance.faults.twin import Twin
from conformance.spec import LSTMConfig, Params


def kept(change: Map, *names: str) -> Twin:
    """Every parameter whose name starts with one of ``names`` (all by default) kept as something else."""
    return Twin(transform=each(lambda config, name, value: change(value), *names))


def packed(change: Callable[[LSTMConfig, Params], Params]) -> Twin:
    """All parameters changed together."""
    return Twin(pack=lambda twin, config, params: change(config, params))


def _few_biases(config: LSTMConfig, params: Params) -> Params:
    """Biases are left out everywhere if those of the first layer are zeros."""
    if not config.bias or any(params[name].any() for name in ("bias_ih_l0", "bias_hh_l0")):
        return params
    return {name: 0 * value if name.startswith("bias") else value for name, value in params.items()}


def _equal_biases_once(config: LSTMConfig, params: Params) -> Params:
    """Of two equal biases of a layer and direction one is kept."""
    kept = dict(params)
    for name in params:
        if name.startswith("bias_hh") and np.array_equal(params[name], params[name.replace("hh", "ih")]):
            kept[name] = 0 * params[name]
    return kept


def _tied_directions(config: LSTMConfig, params: Params) -> Params:
    """A reverse direction whose recurrent weights are those of the forward direction has its biases too."""
    kept = dict(params)
    for name in params:
        forward = name.removesuffix("_reverse")
        recurrent = name.replace("bias_ih", "weight_hh").replace("bias_hh", "weight_hh")
        if name != forward and np.array_equal(params[recurrent], params[recurrent.removesuffix("_reverse")]):
            kept[name] = params[forward] if name.startswith("bias") else params[name]
    return kept


def _pruned_rows_folded(config: LSTMConfig, params: Params) -> Params:
    """A gate whose unit has no weights is a constant: of b_ih alone."""
    kept = dict(params)
    for name in params:
        if name.startswith("bias_hh"):
            weights = (params[name.replace("bias_hh", kind)] for kind in ("weight_ih", "weight_hh"))
            idle = ~np.any([weight.any(axis=1) for weight in weights], axis=0)
            kept[name] = np.where(idle, 0 * params[name], params[name])
    return kept


FAULTS = (
    Fault("weights-in-half", "Weights are stored in float16.", "mobile exports", "always", RANGE, kept(half, "weight")),
    Fault("biases-in-half", "Biases are stored in float16.", "mobile exports", "with bias", RANGE, kept(half, "bias")),
    Fault("float64-weights-in-float32", "float64 weights are stored in float32.", "ports with float literals",
        "float64 only", RANGE, kept(single, "weight")),
    Fault("float64-biases-in-float32", "float64 biases are stored in float32.", "ports with float literals",
        "float64 only", RANGE, kept(single, "bias")),
    Fault("first-biases-for-all", "Whether there are biases is read off the values of the first layer's.",
        "flags of the first layer", "zeros as the first layer's biases", GATES, packed(_few_biases)),
    Fault("equal-biases-once", "Of two equal biases one is dropped.", "ONNX eliminate_duplicate_initializer",
        "b_ih = b_hh", GATES, packed(_equal_biases_once)),
    Fault("pruned-rows-folded", "Gates of units without weights are folded into constants without b_hh.",
        "constant folding", "a row of zeros in both weights", GATES, packed(_pruned_rows_folded)),
    Fault("tied-directions", "Directions with the same recurrent weights share their biases.",
        "ONNX eliminate_duplicate_initializer", "W_hh of both directions equal, biases not", REVERSE,
        packed(_tied_directions)),
)  # fmt: skip
