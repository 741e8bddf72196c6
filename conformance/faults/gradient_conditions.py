"""Faults of the gradient under a loss, a mode or a padding of its own, or at sizes that only its kernels know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.backward import Differentiable, Step, Sweep, Vjp
from conformance.faults.gradient_calls import called, given
from conformance.faults.gradients import CAPABILITIES, fault, recurrent
from conformance.faults.twin import Place, Weights
from conformance.spec import Array, State

_WITH_DROPOUT = replace(CAPABILITIES, dropout=True)


def at_sizes(meets: Callable[[Place, Sweep], bool], change: Callable[[Sweep], Sweep]) -> Callable[..., Sweep]:
    """What a layer and direction gives, changed where its sizes meet a condition."""
    return given(lambda at, sweep: change(sweep) if meets(at, sweep) else sweep)


def _lost(sweep: Sweep, name: str = "weight_hh") -> Sweep:
    """The gradient of one of its weights is zero."""
    return sweep._replace(weights=sweep.weights | {name: 0 * sweep.weights[name]})


def _not_unrolled(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """A loss on the last step's output alone does not reach the steps before."""
    if not any(part.any() for part in (d_output[:-1], *d_state)):
        twin = replace(twin, d_step=recurrent(lambda at, before: before._replace(h=0 * before.h, c=0 * before.c)))
    return correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


def _last_used(
    memory: dict[str, Any],
    vjp: Vjp,
    x: Array,
    state: State | None,
    lengths: Array | None,
    d_output: Array,
    *more: Array,
) -> Any:
    """A grad_output of zeros is not copied: the buffer holds the last one."""
    last = memory.get("d_output", d_output)
    if d_output.any():
        memory["d_output"] = d_output.copy()
    return vjp(x, state, lengths, d_output if d_output.any() or last.shape != d_output.shape else last, *more)


def _masked_by_product(
    twin: Differentiable, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array, list[Step]]:
    """The padding takes part in every step, and its gradient is multiplied by 0."""
    outputs, h_n, c_n, steps = correct.record_layer(twin, at, w, x, h, c, lengths)
    read = twin.flip(at, x, lengths)
    return outputs, h_n, c_n, [step._replace(x=read[t]) for t, step in enumerate(steps)]


FAULTS = (
    fault("gradient-of-last-output-not-unrolled", "A loss on the last step's output alone stops there.", "Flux#2185",
          "grad_output at the last step alone, L > 1", d_layer=_not_unrolled),
    fault("gradient-of-unused-output", "A grad_output of zeros leaves the last one in its buffer.", "chainer#2505",
          "no grad_output after one of the same shape", d_around=called(_last_used)),
    fault("gradient-of-padding-by-product", "W_ih's gradient multiplies what the padding holds by zeros.",
          "masks by multiplication", "lengths, NaN in the padding", record_layer=_masked_by_product),
    replace(
        fault("gradient-scaled-in-evaluation", "In evaluation the gradient is scaled by 1 − p.", "mxnet#19333",
              "evaluation, dropout > 0, layers > 1", d_layer=given(lambda at, sweep: sweep if at.config.training or
                  not at.layer else sweep._replace(x=sweep.x * sweep.x.dtype.type(1 - at.config.dropout)))),
        capabilities=_WITH_DROPOUT),
    replace(
        fault("gradient-in-training-without-dropout", "In training with dropout 0, upper layers' W_ih has no gradient.",
              "Paddle#37080", "training, dropout 0, layers > 1", d_layer=at_sizes(
                  lambda at, sweep: at.config.training and not at.config.dropout and at.layer > 0,
                  lambda sweep: _lost(sweep, "weight_ih"))),
        capabilities=_WITH_DROPOUT),
    fault("gradient-features-past-512", "The gradient of x is zero from the 513th feature on.", "tiles", "I > 512",
          d_layer=given(lambda at, sweep: sweep._replace(
              x=np.where(np.arange(sweep.x.shape[2]) < 512, sweep.x, 0 * sweep.x)))),
    fault("gradient-layers-past-4", "No gradient passes below the fifth layer.", "lists of a fixed length",
          "layers > 4", d_layer=at_sizes(lambda at, sweep: at.layer == 4, lambda sweep: sweep._replace(x=0 * sweep.x))),
    fault("gradient-rows-times-units", "W_hh has no gradient for more than 32 rows and 128 units.", "tiles",
          "N > 32, H > 128", d_layer=at_sizes(
              lambda at, sweep: sweep.c_0.shape[0] > 32 and sweep.c_0.shape[1] > 128, _lost)),
    fault("gradient-upper-steps-past-64", "In upper layers, the last unit's d_h does not pass from step to step.",
          "vectors and what they leave over", "layers > 1, L > 64", d_step=recurrent(
              lambda at, before: before if not at.layer or at.steps <= 64 else before._replace(
                  h=np.where(np.arange(before.h.shape[1]) < before.h.shape[1] - 1, before.h, 0 * before.h)))),
)  # fmt: skip
