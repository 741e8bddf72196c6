"""Faults of the gradient under a loss, a mode or a padding of its own, or at sizes that only its kernels know."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.selftest.faults import backward as correct
from conformance.selftest.faults.backward import Differentiable, Step, Sweep, Vjp
from conformance.selftest.faults.gradient_calls import called, everything, given
from conformance.selftest.faults.gradients import CAPABILITIES, fault, preactivation, recurrent
from conformance.selftest.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

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


def _in_two_buffers(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """Gradients are returned in two sets of buffers by turns."""
    result, grads = vjp(*arguments)
    memory["calls"] = memory.get("calls", 0) + 1
    shapes = [value.shape for value in grads.values()]
    buffers = memory.setdefault(f"{memory['calls'] % 2} {shapes}", {})
    for name, value in grads.items():
        np.copyto(buffers.setdefault(name, np.empty_like(value)), value)
    return result, buffers


def _often_called(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """From its ninth call on a vjp is compiled, and h_0's gradient is not asked for."""
    result, grads = vjp(*arguments)
    memory["calls"] = memory.get("calls", 0) + 1
    return result, grads if memory["calls"] < 9 else grads | {"h_0": 0 * grads["h_0"]}


def _kept_by_arguments(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
    """What a vjp returned is returned again for the same arguments, to any model of the config."""

    def call(*arguments: Any) -> Any:
        x, state, lengths, *cotangents = arguments
        parts = [x, *(state or ()), *([] if lengths is None else [lengths]), *cotangents]
        key = config, *((part.shape, part.tobytes()) for part in parts)
        if twin.shared.get("key") != key:
            twin.shared.update(key=key, grads=vjp(*arguments)[1])
        return vjp(*arguments)[0], {name: value.copy() for name, value in twin.shared["grads"].items()}

    return call


def _folded(kind: str) -> Callable[..., Vjp]:
    """Parameters of a kind that are all zeros when the model is built are constants."""

    def d_around(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
        names = [name for name in params if name.startswith(kind)]
        idle = [] if any(params[name].any() for name in names) else names

        def call(*arguments: Any) -> Any:
            result, grads = vjp(*arguments)
            return result, grads | {name: 0 * grads[name] for name in idle}

        return call

    return d_around


def _added_where_equal(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
    """Equal weights are one parameter, whose gradient is the sum of theirs."""
    same = {n: [o for o in params if np.array_equal(params[o], params[n])] for n in params if n.startswith("weight")}

    def call(*arguments: Any) -> Any:
        result, grads = vjp(*arguments)
        return result, grads | {name: sum(grads[other] for other in others) for name, others in same.items()}

    return call


def _with_first_masks(twin: Differentiable, config: LSTMConfig, params: Params, *more: Any) -> Any:
    """The masks that a shape's first vjp drew are used for ever."""
    masks: list[Array] = twin.shared.setdefault((config, more[0].shape), [])
    kept = replace(twin, drop=_first_drawn(masks))
    return correct.record_stack(kept, config, params, *more)


def _first_drawn(masks: list[Array]) -> Callable[..., Array]:
    def drop(twin: Differentiable, at: Place, below: Array) -> Array:
        if len(masks) <= at.layer:
            masks.append(Twin().drop(twin, at, below))
        return masks[at.layer]

    return drop


def _scaled_masks(at: Place, mask: Array, d_sequence: Array) -> Array:
    """The mask of zeros and ones is scaled by 1/(1 − p)."""
    p = at.config.dropout
    return d_sequence * ((mask != 0) * (1 / mask.dtype.type(1 - p))) if at.config.training else d_sequence * mask


def _compacted(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """Rows that the output's loss leaves out are left out."""
    out = (d_output == 0).all(axis=(0, 2)) & d_output.any()
    d_state = tuple(np.where(out[:, None], 0 * part, part) for part in d_state)
    return correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


def _from_last_loss(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """The pass back begins at the last step with a loss on its output; what h_n and c_n give is lost then."""
    if at.last and d_output.any() and not d_output[-1].any():
        d_state = tuple(0 * part for part in d_state)
    return correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


def _idle_rows(memory: dict[str, Any], vjp: Vjp, x: Array, *more: Any) -> Any:
    """Of several rows, those of zeros are taken for padding: they have no gradient."""
    result, grads = vjp(x, *more)
    if x.ndim == 3 and x.shape[0] > 1 < x.shape[1]:
        for axis in (0, 1):
            there = (x != 0).any(axis=(axis, 2))
            if not there.all() and there.any():
                shape = (1, -1, 1) if axis == 0 else (-1, 1, 1)
                grads["x"] = np.where(there.reshape(shape), grads["x"], 0 * grads["x"])
    return result, grads


def _one_workspace(twin: Differentiable, at: Place, s: Step, d_values: Gates) -> Array:
    """The preactivations' gradient is kept in a workspace of the process before it is read."""
    d_a = correct.d_gates(twin, at, s, d_values)
    space = twin.shared.setdefault(("workspace", d_a.shape, d_a.dtype), np.empty_like(d_a))
    np.copyto(space, d_a)
    time.sleep(0)
    return space.copy()


def _of_nothing(memory: dict[str, Any], vjp: Vjp, x: Array, *more: Any) -> Any:
    """For a batch without rows nothing is added to buffers that hold something."""
    result, grads = vjp(x, *more)
    return result, grads if x.size else {name: value + 1 for name, value in grads.items()}


def _by_fours(at: Place, sweep: Sweep) -> Sweep:
    """W_hh's gradient is summed four units at a time; of the last three, one is lost."""
    H = sweep.c_0.shape[1]
    lost = H > 20 and H % 4 == 3
    w = sweep.weights["weight_hh"]
    kept = np.arange(w.shape[1]) < w.shape[1] - lost
    return sweep._replace(weights=sweep.weights | {"weight_hh": np.where(kept, w, 0 * w)})


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
    fault("gradient-clipped-at-1000", "The gradient of the preactivations is clipped to ±1000.", "mxnet clip_gradient",
          "a loss that is summed or scaled", d_gates=preactivation(lambda at, d: np.clip(d, -1000, 1000))),
    fault("gradient-clipped-at-65504", "The gradient of the preactivations stays in float16's range.", "loss scaling",
          "a loss that is scaled", d_gates=preactivation(lambda at, d: np.clip(d, -65504, 65504))),
    fault("gradients-in-two-buffers", "The vjp after the next overwrites the gradients.", "static buffers",
          "the third vjp", d_around=called(_in_two_buffers)),
    fault("gradient-of-state-until-the-ninth-call", "From a model's ninth vjp on h_0 has no gradient.",
          "compiled after some calls", "the ninth vjp", d_around=called(_often_called)),
    fault("gradient-kept-by-arguments", "Gradients are kept by the arguments, whatever the model.", "a global tape",
          "two models, the same arguments", d_around=_kept_by_arguments),
    fault("gradient-of-zero-biases", "Biases that are zeros have no gradient.", "flags read off the values",
          "all biases zero", d_around=_folded("bias")),
    fault("gradient-of-zero-weights", "Recurrent weights of zeros have no gradient.", "constant folding",
          "W_hh all zeros", d_around=_folded("weight_hh")),
    fault("gradient-of-zero-rows", "Rows of zeros have no gradient of x.", "masks read off the values",
          "a row of x all zeros", d_around=called(_idle_rows)),
    fault("gradient-of-rows-left-out", "Rows without a loss on their output have none on their states.",
          "rows compacted by the loss's mask", "grad_output zero in some rows, grad_h_n not", d_layer=_compacted),
    fault("gradient-from-the-last-loss", "What h_n gives is lost where the last step's output has no loss.",
          "trailing zeros skipped", "grad_output zero at the last step, grad_h_n not", d_layer=_from_last_loss),
    fault("gradient-in-one-workspace", "All models' backward passes share a workspace.", "static buffers in C",
          "two threads", d_gates=_one_workspace),
    fault("gradient-of-no-rows", "For a batch without rows the gradients are what the buffers held.", "np.empty",
          "N = 0", d_around=called(_of_nothing)),
    fault("gradient-of-equal-weights-added", "Equal weights get the sum of their gradients.",
          "ONNX eliminate_duplicate_initializer", "two equal weights", d_around=_added_where_equal),
    fault("gradient-nan-to-num", "A gradient that is not a number is 0.", "nan_to_num", "NaN on the way",
          d_stack=everything(lambda config, name, value: np.nan_to_num(value, nan=0.0))),
    replace(
        fault("gradient-dropout-first-masks", "vjp keeps the masks that it drew first for a shape.", "kept descriptors",
              "training, the second vjp", record_stack=_with_first_masks),
        capabilities=_WITH_DROPOUT),
    replace(
        fault("gradient-dropout-of-everything", "The backward pass scales the mask by 1/(1 − p): 0·∞.",
              "scaled masks", "training, p = 1", d_drop=_scaled_masks),
        capabilities=_WITH_DROPOUT),
    fault("gradient-steps-past-512", "What flows back stops at the 512th step.", "truncated back-propagation",
          "L > 512", d_step=recurrent(
              lambda at, before: before._replace(h=0 * before.h, c=0 * before.c) if at.t == 512 else before)),
    fault("gradient-units-by-fours", "Of units that four do not divide, one has no recurrent gradient.",
          "vectors and what they leave over", "H > 20, H % 4 = 3", d_layer=given(_by_fours)),
    fault("gradient-upper-steps-past-64", "In upper layers, the last unit's d_h does not pass from step to step.",
          "vectors and what they leave over", "layers > 1, L > 64", d_step=recurrent(
              lambda at, before: before if not at.layer or at.steps <= 64 else before._replace(
                  h=np.where(np.arange(before.h.shape[1]) < before.h.shape[1] - 1, before.h, 0 * before.h)))),
)  # fmt: skip
