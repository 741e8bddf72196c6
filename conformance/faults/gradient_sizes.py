"""Faults of the gradient past some size: where tiles, loops and truncated back-propagation end."""

from __future__ import annotations

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import Axis, at_index, beyond, every, left_over, made, past, zeros
from conformance.faults.backward import Differentiable, Gradients, Step, Sweep
from conformance.faults.gradients import H_BACK, fault
from conformance.faults.twin import Place, Weights
from conformance.spec import Array

#: Both parts of the state that a step gives back to the one before it, step by step.
STATE_BACK = Axis("d_step", ("h", "c"), None)
#: A step's share in the gradients of the weights, step by step, and the rows that are summed in it.
WEIGHTS_BY_STEP = Axis("d_weights", ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"), None)
ROWS_IN_WEIGHTS = Axis("d_weights", (2,), 0, given=True)
#: The units of d_c_t.
CELLS_BACK = Axis("d_cell", (1,), 1, given=True)


def _rows_lost(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
    """Of W_ih's product, the rows of the whole sequence past 4,096."""
    kept = (at.t * len(d_a) + np.arange(len(d_a)) < 4096)[:, None]
    cut = correct.d_weights(twin, at, w, s, np.where(kept, d_a, 0 * d_a), d_h)
    return {**correct.d_weights(twin, at, w, s, d_a, d_h), "weight_ih": cut["weight_ih"]}


def lost(sweep: Sweep, name: str = "weight_hh") -> Sweep:
    """The gradient of one of a layer and direction's weights is zero."""
    return sweep._replace(weights=sweep.weights | {name: 0 * sweep.weights[name]})


def _by_fours(at: Place, sweep: Sweep) -> Sweep:
    """W_hh's gradient is summed four units at a time; of the last three, one is lost."""
    H = sweep.c_0.shape[1]
    lost = H > 20 and H % 4 == 3
    w = sweep.weights["weight_hh"]
    kept = np.arange(w.shape[1]) < w.shape[1] - lost
    return sweep._replace(weights=sweep.weights | {"weight_hh": np.where(kept, w, 0 * w)})


FAULTS = (
    fault("gradient-hidden-truncated", "No gradient of h passes back over every eighth step.", "chunked kernels",
        "L > 8", beyond(H_BACK, every(8), zeros)),
    fault("gradient-past-32-units", "The units past the 32nd get no gradient.", "neural-amp-modeler#450", "H > 32",
        beyond(CELLS_BACK, past(32), zeros)),
    fault("gradient-past-256-units", "The units past the 256th get no gradient.", "neural-amp-modeler#450", "H > 256",
        beyond(CELLS_BACK, past(256), zeros)),
    fault("gradient-weights-past-128-steps", "The weights' gradients lack the 129th step and later ones.",
        "truncated back-propagation", "L > 128", beyond(WEIGHTS_BY_STEP, past(128), zeros)),
    fault("gradient-weights-step-twice", "The weights' gradients have every 32nd step twice.", "chunked kernels",
        "L > 32", beyond(WEIGHTS_BY_STEP, lambda t, size: t % 32 == 31, lambda v: 2 * v)),
    fault("gradient-weights-past-4096-rows", "The gradient of W_ih lacks the rows of the whole sequence past 4,096.",
        "hoisted products", "L·N > 4,096", Differentiable(d_weights=_rows_lost)),
    fault("gradient-upper-features-past-256", "Upper layers pass no gradient to the features from the 257th on.",
        "tiled products", "layers > 1, D·P > 256",
        beyond(Axis("d_preactivations", (0,), 1), past(256), zeros, lambda at: at.layer > 0)),
    fault("gradient-weights-rows-left-over", "The weights' gradients lack the rows left over by blocks of 64.",
        "tiled products", "N > 64, N % 64 ≠ 0", beyond(ROWS_IN_WEIGHTS, left_over(64, 64), zeros)),
    fault("gradient-rows-past-8", "Rows past the eighth pass no gradient of h on.", "tiled products", "N > 8, L > 1",
        beyond(Axis("d_step", ("h",), 0), past(8), zeros, lambda at: at.t > 0)),
    fault("gradient-features-past-512", "The gradient of x is zero from the 513th feature on.", "tiles", "I > 512",
        beyond(Axis("d_layer", ("x",), 2), past(512), zeros)),
    fault("gradient-layers-past-4", "No gradient passes below the fifth layer.", "lists of a fixed length",
        "layers > 4", made("d_layer", lambda at, sweep: sweep._replace(x=0 * sweep.x) if at.layer == 4 else sweep)),
    fault("gradient-rows-times-units", "W_hh has no gradient for more than 32 rows and 128 units.", "tiles",
        "N > 32, H > 128", made("d_layer", lambda at, sweep: lost(
            sweep) if sweep.c_0.shape[0] > 32 and sweep.c_0.shape[1] > 128 else sweep)),
    fault("gradient-steps-past-512", "What flows back stops at the 512th step.", "truncated back-propagation",
        "L > 512", beyond(STATE_BACK, at_index(512), zeros)),
    fault("gradient-units-by-fours", "Of units that four do not divide, one has no recurrent gradient.",
        "vectors and what they leave over", "H > 20, H % 4 = 3", made("d_layer", _by_fours)),
    fault("gradient-upper-steps-past-64", "In upper layers, the last unit's d_h does not pass from step to step.",
        "vectors and what they leave over", "layers > 1, L > 64",
        beyond(Axis("d_step", ("h",), 1), at_index(-1), zeros, lambda at: at.layer > 0 and at.steps > 64)),
)  # fmt: skip
