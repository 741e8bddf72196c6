"""Faults of the gradient between steps and calls: states, directions, layers, layout; the forward pass is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.selftest.faults import backward as correct
from conformance.selftest.faults.backward import Differentiable, Gradients, Step, Sweep, Vjp
from conformance.selftest.faults.gradients import fault, half, summed
from conformance.selftest.faults.twin import Forward, Place, Twin, Weights
from conformance.spec import Array, LSTMConfig, Params, State

# Alterations of one piece


def received(change: Callable[[Place, Array, Array, Array], tuple[Array, Array, Array]]) -> Callable[..., Sweep]:
    """What a layer and direction gets, d_output (L, N, P), d_h_n (N, P) and d_c_n (N, H), changed."""

    def d_layer(
        twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, *upstream: Array
    ) -> Sweep:
        return correct.d_layer(twin, at, w, steps, lengths, *change(at, *upstream))

    return d_layer


def given(change: Callable[[Place, Sweep], Sweep]) -> Callable[..., Sweep]:
    """What a layer and direction gives, changed."""
    return lambda twin, at, *more: change(at, correct.d_layer(twin, at, *more))


def everything(change: Callable[[LSTMConfig, str, Array], Array]) -> Callable[..., Gradients]:
    """Every gradient by its name, in canonical layout, changed."""

    def d_stack(twin: Differentiable, config: LSTMConfig, *more: Any) -> Gradients:
        return {name: change(config, name, value) for name, value in correct.d_stack(twin, config, *more).items()}

    return d_stack


def called(change: Callable[..., Any]) -> Callable[..., Vjp]:
    """A call of vjp done otherwise; ``change`` gets the model's own memory, its vjp and the arguments."""

    def d_around(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
        memory: dict[str, Any] = {}
        return lambda *arguments: change(memory, vjp, *arguments)

    return d_around


def _keeping_x(twin: Twin, config: LSTMConfig, params: Params, forward: Forward) -> Forward:
    """What forward is given last is known to its model's vjp."""
    memory = twin.shared.setdefault(id(params), {})

    def call(x: Array, *more: Any, **options: Any) -> Any:
        memory["x"] = x.copy()
        return forward(x, *more, **options)

    return call


def _at_last_forward(twin: Differentiable, config: LSTMConfig, params: Params, vjp: Vjp) -> Vjp:
    memory = twin.shared.setdefault(id(params), {})

    def call(x: Array, *more: Any) -> Any:
        last = memory.get("x", x)
        return vjp(last if last.shape == x.shape else x, *more)

    return call


def _longer_workspace(memory: dict[str, Any], vjp: Vjp, x: Array, *more: Any) -> Any:
    result, grads = vjp(x, *more)
    left = memory.get("x")
    memory["x"] = grads["x"].copy()
    if left is not None and left.ndim == x.ndim and left.size > x.size:
        grads["x"] += np.resize(left, x.shape)
    return result, grads


# Layers and directions


def _overwritten(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """A layer that is neither the first nor the last reads its own dx where dy was."""
    sweep = correct.d_layer(twin, at, w, steps, lengths, d_output, *d_state)
    if at.last or not at.layer:
        return sweep
    return correct.d_layer(twin, at, w, steps, lengths, sweep.x[..., : d_output.shape[2]], *d_state)


def _unmasked(
    twin: Differentiable, at: Place, w: Weights, steps: list[Step], lengths: Array, d_output: Array, *d_state: Array
) -> Sweep:
    """In the padding grad_output counts as well."""
    shown = replace(twin, shows=lambda at, lengths: np.ones((len(lengths), 1), bool))
    return correct.d_layer(shown, at, w, steps, lengths, d_output, *d_state)


def _directions_swapped(twin: Differentiable, config: LSTMConfig, *more: Any) -> Gradients:
    grads = correct.d_stack(twin, config, *more)
    if not config.bidirectional:
        return grads
    others = {name: name.removesuffix("_reverse") if "_reverse" in name else f"{name}_reverse" for name in grads}
    return {name: grads.get(others[name], value) for name, value in grads.items()}


def _full_flip(at: Place, values: Array, lengths: Array) -> Array:
    return values[::-1] if at.direction else values


def _of_the_top(at: Place, d_output: Array, d_h: Array, d_c: Array) -> tuple[Array, Array, Array]:
    return (d_output, d_h, d_c) if at.last else (d_output, 0 * d_h, 0 * d_c)


def _at_last_step(at: Place, d_output: Array, d_h: Array, d_c: Array) -> tuple[Array, Array, Array]:
    """Only the gradient of the last step's output counts."""
    kept = np.zeros_like(d_output)
    kept[-1] = d_output[-1]
    return kept, d_h, d_c


# Calls


def _accumulated(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """The gradients of the parameters add up from call to call."""
    returned, grads = vjp(*arguments)
    for name in grads:
        if name not in ("x", "h_0", "c_0"):
            memory[name] = grads[name] = grads[name] + memory.get(name, 0)
    return returned, grads


def _clipped_in_place(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """grad_output itself is clipped to ±1 after use."""
    result = vjp(*arguments)
    np.clip(arguments[3], -1, 1, out=arguments[3])
    return result


def _scratch(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """grad_c_n serves as the buffer of d_c, and holds d_c_0 in the end."""
    returned, grads = vjp(*arguments)
    arguments[5][...] = grads["c_0"]
    return returned, grads


def _buffered(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    """The gradients of the parameters are the model's own arrays, which the next call fills anew."""
    returned, grads = vjp(*arguments)
    for name in grads:
        if name not in ("x", "h_0", "c_0"):
            memory.setdefault(name, np.empty_like(grads[name]))[...] = grads[name]
            grads[name] = memory[name]
    return returned, grads


def _output_unless_final(
    memory: dict[str, Any], vjp: Vjp, x: Array, state: State | None, lengths: Array | None, *upstream: Array
) -> Any:
    """grad_output is ignored where grad_h_n is given."""
    d_output, d_h_n, d_c_n = upstream
    return vjp(x, state, lengths, 0 * d_output if d_h_n.any() else d_output, d_h_n, d_c_n)


def _no_state_no_gradient(memory: dict[str, Any], vjp: Vjp, x: Array, state: State | None, *more: Any) -> Any:
    returned, grads = vjp(x, state, *more)
    return returned, grads if state is not None else grads | {name: 0 * grads[name] for name in ("h_0", "c_0")}


def _half_primal(memory: dict[str, Any], vjp: Vjp, *arguments: Any) -> Any:
    (output, (h_n, c_n)), grads = vjp(*arguments)
    return (half(output), (half(h_n), half(c_n))), grads


def _reshaped(config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    """The memory of dx (L, N, I) read as (N, L, I)."""
    L, N, _ = grads["x"].shape
    left = correct.d_enter(config, grads, unbatched)
    if unbatched or not config.batch_first:
        return left
    return left | {"x": np.ascontiguousarray(grads["x"]).reshape(N, L, -1)}


def _time_major(config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    return correct.d_enter(replace(config, batch_first=False), grads, unbatched)


def _states_batch_first(config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    left = correct.d_enter(config, grads, unbatched)
    if unbatched or not config.batch_first:
        return left
    return left | {name: left[name].swapaxes(0, 1) for name in ("h_0", "c_0")}


def _row_kept(config: LSTMConfig, grads: Gradients, unbatched: bool) -> Gradients:
    return grads if unbatched else correct.d_enter(config, grads, unbatched)


FAULTS = (
    fault("gradient-of-h-n-ignored", "grad_h_n is ignored.", "pytorch#96416", "grad_h_n given",
          d_layer=received(lambda at, d_y, d_h, d_c: (d_y, 0 * d_h, d_c))),
    fault("gradient-of-c-n-ignored", "grad_c_n is ignored.", "DL4J#8838", "grad_c_n given",
          d_layer=received(lambda at, d_y, d_h, d_c: (d_y, d_h, 0 * d_c))),
    fault("gradient-of-lower-states-ignored", "grad_h_n and grad_c_n count in the top layer alone.", "DL4J#8838",
          "layers > 1", d_layer=received(_of_the_top)),
    fault("gradient-of-h-n-at-every-step", "grad_h_n is added at every step.", "broadcasting", "L > 1, grad_h_n given",
          d_layer=received(lambda at, d_y, d_h, d_c: (d_y + d_h, 0 * d_h, d_c))),
    fault("gradient-of-h-n-at-padded-end", "The gradients of a short row's final state are lost in its padding.",
          "keras masks", "unequal lengths", d_hold=lambda at, on, step, later: np.where(on, step, 0 * step)),
    fault("gradient-of-output-unless-final", "grad_output is ignored where grad_h_n is given.", "pytorch#96416",
          "grad_output and grad_h_n given", d_around=called(_output_unless_final)),
    fault("gradient-of-last-output-alone", "Only the last step's grad_output counts.", "return_sequences confused",
          "L > 1", d_layer=received(_at_last_step)),

    fault("gradient-of-h-0-none", "The gradient of h_0 is zero.", "detached state", "always",
          d_stack=everything(lambda c, name, v: 0 * v if name == "h_0" else v)),
    fault("gradient-of-c-0-none", "The gradient of c_0 is zero.", "detached state", "always",
          d_stack=everything(lambda c, name, v: 0 * v if name == "c_0" else v)),
    fault("gradient-of-c-0-not-forgotten", "The gradient of c_0 lacks the first f.", "hand-written cells", "always",
          d_cell=lambda at, s, d_c: (*correct.d_cell(at, s, d_c)[:3], d_c * s.f if at.t else d_c)),
    fault("gradient-of-state-slots-reversed", "The states' gradients lie from the last layer to the first.",
          "onnx-tensorflow#409", "layers > 1 or bidirectional",
          d_stack=everything(lambda c, name, v: v[::-1] if name in ("h_0", "c_0") else v)),
    fault("gradient-of-state-unless-given", "Without an initial state its gradients are zero.", "mlx#3249", "no state",
          d_around=called(_no_state_no_gradient)),

    fault("gradient-reverse-x-not-flipped-back", "The reverse direction's gradient of x is left in reading order.",
          "tensorflow#40345", "bidirectional, L > 1", d_flip=lambda at, values, lengths: values),
    fault("gradient-reverse-output-not-flipped", "The reverse direction reads grad_output from the first step on.",
          "tensorflow#40345", "bidirectional, L > 1", d_unflip=lambda at, values, lengths: values),
    fault("gradient-reverse-flips-padding", "The reverse direction's gradient of x turns with the padding.",
          "keras#4192", "bidirectional, unequal lengths", d_flip=_full_flip),
    fault("gradient-reverse-x-not-added", "The reverse direction's gradient of what it reads is not added.",
          "mlpack PR1742", "bidirectional", d_feed=lambda at, halves: halves[0]),
    fault("gradient-reverse-not-added-below", "A layer gets its gradient from the forward direction above it alone.",
          "mlpack PR1742", "bidirectional, layers > 1",
          d_feed=lambda at, halves: halves[0] if at.layer else correct.d_feed(at, halves)),
    fault("gradient-directions-swapped", "The directions' weights get each other's gradient.", "renamed weights",
          "bidirectional",
          d_stack=_directions_swapped),
    fault("gradient-reverse-recurrent-weights-none", "W_hh of the reverse direction gets no gradient.",
          "mlpack PR1742", "bidirectional",
          d_sum=summed(lambda at, name, v: 0 * v if at.direction and name == "weight_hh" else v)),
    fault("gradient-middle-layer-overwritten", "Between the first layer and the last, dx overwrites dy.",
          "mxnet#17898", "layers > 2", d_layer=_overwritten),
    fault("gradient-second-layer-state-none", "The second layer's initial state gets no gradient.", "DL4J#8838",
          "layers > 1", d_layer=given(
              lambda at, g: g._replace(h_0=0 * g.h_0, c_0=0 * g.c_0) if at.layer == 1 else g)),

    fault("gradient-in-padding", "In the padding grad_output counts.", "mxnet#19323", "unequal lengths",
          d_layer=_unmasked),
    fault("gradient-x-time-major", "The gradient of x is time-major in batch-first models.", "adapters", "batch_first",
          d_enter=_time_major),
    fault("gradient-x-reshaped", "The gradient of x is reshaped to batch-first instead of transposed.",
          "reshape for transpose", "batch_first, L, N > 1", d_enter=_reshaped),
    fault("gradient-of-state-batch-first", "In batch-first models the states' gradients are batch-first too.",
          "pytorch#80306", "batch_first", d_enter=_states_batch_first),
    fault("gradient-unbatched-row-kept", "The gradients of an unbatched call keep the batch axis.", "adapters",
          "unbatched", d_enter=_row_kept),

    fault("gradient-accumulates", "The parameters' gradients add up over the calls of a model.", "PyTorch's .grad",
          "second call", d_around=called(_accumulated)),
    fault("gradient-in-a-buffer", "The parameters' gradients are buffers that the next call overwrites.", "workspaces",
          "second call, first result kept", d_around=called(_buffered)),
    fault("gradient-of-output-clipped-in-place", "grad_output is clipped in the caller's array.", "in-place clipping",
          "large gradients", d_around=called(_clipped_in_place)),
    fault("gradient-of-c-n-as-scratch", "grad_c_n serves as the buffer in which d_c runs back.", "mxnet#17898",
          "always", d_around=called(_scratch)),
    fault("gradient-without-state", "vjp starts from zeros, whatever the initial state.", "agents-js PR944",
          "state given", d_around=called(lambda memory, vjp, x, state, *more: vjp(x, None, *more))),
    fault("gradient-without-lengths", "vjp runs through the padding.", "onnxruntime#1400", "unequal lengths",
          d_around=called(lambda memory, vjp, x, state, lengths, *more: vjp(x, state, None, *more))),
    fault("gradient-at-last-forward", "vjp has the activations of the last forward call of the same shape.",
          "activations kept by forward", "a forward call of other values before", around=_keeping_x,
          d_around=_at_last_forward),
    fault("gradient-in-a-longer-workspace", "After a longer sequence, vjp adds what that left to the gradient of x.",
          "tflite-micro PR3564", "a shorter sequence after a longer one", d_around=called(_longer_workspace)),
    fault("gradient-primal-in-half", "The results that come with the gradient are rounded to half.", "mixed precision",
          "always", d_around=called(_half_primal)),
)  # fmt: skip
