"""Faults of the gradient between steps: final and initial states, directions, layers, padding, dropout, layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.faults import backward as correct
from conformance.faults.alter import given, made
from conformance.faults.backward import Differentiable, Gradients, Step, Sweep
from conformance.faults.gradient_sizes import lost
from conformance.faults.gradients import DIFFERENTIABLE, fault, summed
from conformance.faults.lengths import always
from conformance.faults.structure import as_it_is, turned
from conformance.faults.twin import Gates, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params

WITH_DROPOUT = replace(DIFFERENTIABLE, dropout=True)

#: What a layer and direction gets from above: d_output (L, N, P), d_h_n (N, P) and d_c_n (N, H).
Upstream = tuple[Array, Array, Array]


def received(change: Callable[[Place, Array, Array, Array], Upstream]) -> Twin:
    """The gradients that a layer and direction gets from above, changed."""
    return given("d_layer", lambda at, w, steps, lengths, *d: (w, steps, lengths, *change(at, *d)))


def named(change: Callable[[Array], Array], *names: str) -> Twin:
    """The gradients of those names, all by default, in canonical layout, changed."""

    def changed(config: LSTMConfig, grads: Gradients) -> Gradients:
        return grads | {name: change(grads[name]) for name in names or grads}

    return made("d_stack", changed)


# States and losses


def _at_last_step(at: Place, d_output: Array, d_h: Array, d_c: Array) -> Upstream:
    """Only the gradient of the last step's output counts."""
    kept = np.zeros_like(d_output)
    kept[-1] = d_output[-1]
    return kept, d_h, d_c


def _compacted(at: Place, d_output: Array, d_h: Array, d_c: Array) -> Upstream:
    """Rows that the output's loss leaves out are left out."""
    out = ((d_output == 0).all(axis=(0, 2)) & d_output.any())[:, None]
    return d_output, np.where(out, 0 * d_h, d_h), np.where(out, 0 * d_c, d_c)


def _from_last_loss(at: Place, d_output: Array, d_h: Array, d_c: Array) -> Upstream:
    """The pass back begins at the last step with a loss on its output; what h_n and c_n give is lost then."""
    late = at.last and d_output.any() and not d_output[-1].any()
    return (d_output, 0 * d_h, 0 * d_c) if late else (d_output, d_h, d_c)


def _first_not_forgotten(twin: Differentiable, at: Place, s: Step, d_c: Array) -> Gates:
    d_i, d_f, d_g, d_c_before = correct.d_cell(twin, at, s, d_c)
    return d_i, d_f, d_g, d_c_before if at.t else d_c


def _not_unrolled(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """A loss on the last step's output alone does not reach the steps before."""
    if not any(part.any() for part in (d_output[:-1], *d_state)):
        twin = replace(twin, d_step=_stopped)
    return correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)


def _stopped(twin: Differentiable, *step: Any) -> correct.Adjoint:
    before = correct.d_step(twin, *step)
    return before._replace(h=0 * before.h, c=0 * before.c)


# Layers and directions


def _overwritten(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """A layer that is neither the first nor the last reads its own dx where dy was."""
    sweep = correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)
    if at.last or not at.layer:
        return sweep
    return correct.d_layer(twin, at, w, steps, lengths, sweep.x[..., : d_output.shape[2]], *d_state)


def _directions_swapped(config: LSTMConfig, grads: Gradients) -> Gradients:
    if not config.bidirectional:
        return grads
    others = {name: name.removesuffix("_reverse") if "_reverse" in name else f"{name}_reverse" for name in grads}
    return {name: grads.get(others[name], value) for name, value in grads.items()}


# Padding


def _unmasked(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """In the padding grad_output counts as well."""
    return correct.d_layer(replace(twin, shows=always), at, w, steps, lengths, d_output, *d_state)


def _masked_by_product(
    twin: Differentiable, at: Place, w: Weights, x: Array, h: Array, c: Array, lengths: Array
) -> tuple[Array, Array, Array, list[Step]]:
    """The padding takes part in every step, and its gradient is multiplied by 0."""
    outputs, h_n, c_n, steps = correct.record_layer(twin, at, w, x, h, c, lengths)
    read = twin.flip(twin, at, x, lengths)
    return outputs, h_n, c_n, [step._replace(x=read[t]) for t, step in enumerate(steps)]


# Dropout and mode


def _scaled_in_evaluation(at: Place, sweep: Sweep) -> Sweep:
    scaled = at.layer and not at.config.training
    return sweep._replace(x=sweep.x * sweep.x.dtype.type(1 - at.config.dropout)) if scaled else sweep


def _input_weights_lost(at: Place, sweep: Sweep) -> Sweep:
    idle = at.layer and at.config.training and not at.config.dropout
    return lost(sweep, "weight_ih") if idle else sweep


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


def _scaled_masks(twin: Differentiable, at: Place, mask: Array, d_sequence: Array) -> Array:
    """The mask of zeros and ones is scaled by 1/(1 − p)."""
    p = at.config.dropout
    return d_sequence * ((mask != 0) * (1 / mask.dtype.type(1 - p))) if at.config.training else d_sequence * mask


# Layout


def _reshaped(twin: Differentiable, config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    """The memory of dx (L, N, I) read as (N, L, I)."""
    L, N, _ = grads["x"].shape
    left = correct.d_enter(twin, config, grads, unbatched)
    if unbatched or not config.batch_first:
        return left
    return left | {"x": np.ascontiguousarray(grads["x"]).reshape(N, L, -1)}


def _time_major(twin: Differentiable, config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    return correct.d_enter(twin, replace(config, batch_first=False), grads, unbatched)


def _states_batch_first(twin: Differentiable, config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    left = correct.d_enter(twin, config, grads, unbatched)
    if unbatched or not config.batch_first:
        return left
    return left | {name: left[name].swapaxes(0, 1) for name in ("h_0", "c_0")}


def _row_kept(twin: Differentiable, config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    return grads if unbatched else correct.d_enter(twin, config, grads, unbatched)


FAULTS = (
    fault("gradient-dropout-forgotten", "What was dropped gets the gradient of what was kept.", "fused kernels",
        "training, layers > 1", Differentiable(d_drop=lambda twin, at, mask, d: d), WITH_DROPOUT),
    fault("gradient-dropout-unscaled", "The gradient of what was kept is not scaled by 1/(1 − p).", "fused kernels",
        "training, layers > 1", Differentiable(d_drop=lambda twin, at, mask, d: np.where(mask == 0, 0 * d, d)),
        WITH_DROPOUT),
    fault("gradient-dropout-turned", "The mask is applied to the steps from the last to the first.",
        "a backward loop that counts up", "training, layers > 1, L > 1",
        given("d_drop", lambda at, mask, d: (mask[::-1], d)), WITH_DROPOUT),
    fault("gradient-dropout-masks-reversed", "The masks are taken in the order in which they were drawn.",
        "a queue for a stack", "training, layers > 2",
        given("d_stack", lambda config, params, tapes, masks, *d: (params, tapes, masks[::-1], *d)), WITH_DROPOUT),
    fault("gradient-of-last-output-not-unrolled", "A loss on the last step's output alone stops there.", "Flux#2185",
        "grad_output at the last step alone, L > 1", Differentiable(d_layer=_not_unrolled)),
    fault("gradient-of-padding-by-product", "W_ih's gradient multiplies what the padding holds by zeros.",
        "masks by multiplication", "lengths, NaN in the padding", Differentiable(record_layer=_masked_by_product)),
    fault("gradient-scaled-in-evaluation", "In evaluation the gradient is scaled by 1 − p.", "mxnet#19333",
        "evaluation, dropout > 0, layers > 1", made("d_layer", _scaled_in_evaluation), WITH_DROPOUT),
    fault("gradient-in-training-without-dropout", "In training with dropout 0, upper layers' W_ih has no gradient.",
        "Paddle#37080", "training, dropout 0, layers > 1", made("d_layer", _input_weights_lost), WITH_DROPOUT),
    fault("gradient-of-rows-left-out", "Rows without a loss on their output have none on their states.",
        "rows compacted by the loss's mask", "grad_output zero in some rows, grad_h_n not", received(_compacted)),
    fault("gradient-from-the-last-loss", "What h_n gives is lost where the last step's output has no loss.",
        "trailing zeros skipped", "grad_output zero at the last step, grad_h_n not", received(_from_last_loss)),
    fault("gradient-nan-to-num", "A gradient that is not a number is 0.", "nan_to_num", "NaN on the way",
        named(lambda v: np.nan_to_num(v, nan=0.0))),
    fault("gradient-dropout-first-masks", "vjp keeps the masks that it drew first for a shape.", "kept descriptors",
        "training, the second vjp", Differentiable(record_stack=_with_first_masks), WITH_DROPOUT),
    fault("gradient-dropout-of-everything", "The backward pass scales the mask by 1/(1 − p): 0·∞.", "scaled masks",
        "training, p = 1", Differentiable(d_drop=_scaled_masks), WITH_DROPOUT),
    fault("gradient-of-h-n-ignored", "grad_h_n is ignored.", "pytorch#96416", "grad_h_n given",
        received(lambda at, d_y, d_h, d_c: (d_y, 0 * d_h, d_c))),
    fault("gradient-of-c-n-ignored", "grad_c_n is ignored.", "DL4J#8838", "grad_c_n given",
        received(lambda at, d_y, d_h, d_c: (d_y, d_h, 0 * d_c))),
    fault("gradient-of-lower-states-ignored", "grad_h_n and grad_c_n count in the top layer alone.", "DL4J#8838",
        "layers > 1", received(lambda at, d_y, d_h, d_c: (d_y, d_h, d_c) if at.last else (d_y, 0 * d_h, 0 * d_c))),
    fault("gradient-of-h-n-at-every-step", "grad_h_n is added at every step.", "broadcasting", "L > 1, grad_h_n given",
        received(lambda at, d_y, d_h, d_c: (d_y + d_h, 0 * d_h, d_c))),
    fault("gradient-of-h-n-at-padded-end", "The gradients of a short row's final state are lost in its padding.",
        "keras masks", "unequal lengths", given("d_hold", lambda at, on, step, later: (on, step, 0 * step))),
    fault("gradient-of-last-output-alone", "Only the last step's grad_output counts.", "return_sequences confused",
        "L > 1", received(_at_last_step)),
    fault("gradient-of-h-0-none", "The gradient of h_0 is zero.", "detached state", "always",
        named(lambda v: 0 * v, "h_0")),
    fault("gradient-of-c-0-none", "The gradient of c_0 is zero.", "detached state", "always",
        named(lambda v: 0 * v, "c_0")),
    fault("gradient-of-c-0-not-forgotten", "The gradient of c_0 lacks the first f.", "hand-written cells", "always",
        Differentiable(d_cell=_first_not_forgotten)),
    fault("gradient-of-state-slots-reversed", "The states' gradients lie from the last layer to the first.",
        "onnx-tensorflow#409", "layers > 1 or bidirectional", named(lambda v: v[::-1], "h_0", "c_0")),
    fault("gradient-reverse-x-not-flipped-back", "The reverse direction's gradient of x is left in reading order.",
        "tensorflow#40345", "bidirectional, L > 1", Differentiable(d_flip=as_it_is)),
    fault("gradient-reverse-output-not-flipped", "The reverse direction reads grad_output from the first step on.",
        "tensorflow#40345", "bidirectional, L > 1", Differentiable(d_unflip=as_it_is)),
    fault("gradient-reverse-flips-padding", "The reverse direction's gradient of x turns with the padding.",
        "keras#4192", "bidirectional, unequal lengths", Differentiable(d_flip=turned(lambda at, values: values[::-1]))),
    fault("gradient-reverse-x-not-added", "The reverse direction's gradient of what it reads is not added.",
        "mlpack PR1742", "bidirectional", given("d_feed", lambda at, halves: (halves[:1],))),
    fault("gradient-reverse-not-added-below", "A layer gets its gradient from the forward direction above it alone.",
        "mlpack PR1742", "bidirectional, layers > 1",
        given("d_feed", lambda at, halves: (halves[:1] if at.layer else halves,))),
    fault("gradient-directions-swapped", "The directions' weights get each other's gradient.", "renamed weights",
        "bidirectional", made("d_stack", _directions_swapped)),
    fault("gradient-reverse-recurrent-weights-none", "W_hh of the reverse direction gets no gradient.", "mlpack PR1742",
        "bidirectional", summed(lambda at, name, v: 0 * v if at.direction else v, "weight_hh")),
    fault("gradient-middle-layer-overwritten", "Between the first layer and the last, dx overwrites dy.", "mxnet#17898",
        "layers > 2", Differentiable(d_layer=_overwritten)),
    fault("gradient-second-layer-state-none", "The second layer's initial state gets no gradient.", "DL4J#8838",
        "layers > 1", made("d_layer", lambda at, g: g._replace(h_0=0 * g.h_0, c_0=0 * g.c_0) if at.layer == 1 else g)),
    fault("gradient-in-padding", "In the padding grad_output counts.", "mxnet#19323", "unequal lengths",
        Differentiable(d_layer=_unmasked)),
    fault("gradient-x-time-major", "The gradient of x is time-major in batch-first models.", "adapters", "batch_first",
        Differentiable(d_enter=_time_major)),
    fault("gradient-x-reshaped", "The gradient of x is reshaped to batch-first instead of transposed.",
        "reshape for transpose", "batch_first, L, N > 1", Differentiable(d_enter=_reshaped)),
    fault("gradient-of-state-batch-first", "In batch-first models the states' gradients are batch-first too.",
        "pytorch#80306", "batch_first", Differentiable(d_enter=_states_batch_first)),
    fault("gradient-unbatched-row-kept", "The gradients of an unbatched call keep the batch axis.", "adapters",
        "unbatched", Differentiable(d_enter=_row_kept)),
)  # fmt: skip
