"""Gradients that are known without a bound: sums of dyadic numbers, zeros, and what another vjp has given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance import adjoint
from conformance.calls import call_vjp, fresh_params
from conformance.case import Case, handed
from conformance.cotangents import Cotangents, draw, zeros
from conformance.cotangents import handed as handed_cotangents
from conformance.dyadic import dyadic as dyadic_case
from conformance.fills import normal
from conformance.properties.batch import take_rows
from conformance.properties.gradients.shared import (
    FORCED,
    NEEDS,
    cut,
    drawn,
    judge_freely,
    judge_taps,
    judged,
    right,
    same_or_right,
)
from conformance.properties.parameters import tied
from conformance.properties.purity import at_once
from conformance.signals import BackendError, Discard, Narrowed, Violation
from conformance.spec import Array
from conformance.trial import Trial


@judged("gradients.dyadic", needs=FORCED)
def dyadic(trial: Trial) -> None:
    """With every activation at 0, ½ or ±1 the gradients are exact sums of small dyadic numbers, whatever their order.

    DL4J#8838 dropped dL/dc_n; what is dropped, or off by 1e-6, shows here however small it is beside the rest.
    """
    small = cut(trial)
    if small.arithmetic is None:
        raise Discard
    given = "both" if trial.backend.capabilities.initial_state else "none"
    one = small.derived(layers=1, state=given, fill="normal")
    exact = dyadic_case(one.case, one.recipe.seed, small.arithmetic)
    result, grads = one.vjp(exact.case, exact.cotangents)
    pairs = [(a, b) for a, b in zip(result, exact.result, strict=True) if a is not None and b is not None]
    ordinary = all(np.array_equal(a, b) for a, b in pairs)
    if not (ordinary and trial.backend.capabilities.deterministic):
        # Its activations are off by some ulps at 0 and at saturation, as they may be.
        observed = exact.adjoints(grads["x"], small.arithmetic)
        findings = adjoint.judge(exact.case, exact.cotangents, [result], grads, small.arithmetic, observed)
        one.require(list(findings), exact.case)
        return
    for name, value in grads.items():
        # Far below what any of the sums is made of: a derivative of 1e-50 that is not flushed.
        wrong = exact.exact[name] & ~(np.abs(np.asarray(value, np.float64) - exact.grads[name]) <= 2.0**-60)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            want = exact.grads[name][at]
            raise Violation(f"grad {name}{list(at)} expected {want:.9g} exactly, got {value[at]:.9g}", case=exact.case)


@judged("gradients.linear", needs=("gradients",))
def linear(trial: Trial) -> None:
    """The gradient is linear in the cotangents: nothing for nothing, and exactly twice as much for twice as much.

    Gradients that are clipped, and buffers that were not cleared (tflite-micro#2449), show here; a loss that is a mean
    over millions, or is scaled up for 16 bits, is as much smaller or larger.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    for name, value in small.vjp(case, zeros(case))[1].items():
        if not (value == 0).all():
            at = tuple(int(k) for k in np.argwhere(value != 0)[0])
            raise Violation(f"grad {name}{list(at)} is {value[at]:.9g} though no cotangent is other than 0", case=case)
    if not trial.backend.capabilities.deterministic:
        return
    factor = (2.0**20, -2.0, 2.0**-20, 64.0)[small.recipe.seed % 4]
    model = small.model(case)
    once, scaled = (small.vjp(case, given, model)[1] for given in (cotangents, cotangents.scaled(factor)))
    # What underflows is rounded otherwise.
    tiny = 2.0**20 * max(factor, 1.0) * float(np.finfo(case.x.dtype).smallest_normal)
    for name, value in once.items():
        want, got = (np.asarray(v, np.float64) for v in (value * value.dtype.type(factor), scaled[name]))
        wrong = ~(np.abs(want - got) <= tiny)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            message = f"grad {name}{list(at)} is {got[at]:.9g} for {factor:g} times the cotangents, not {want[at]:.9g}"
            raise Violation(message, case=case)


@judged("gradients.causality", needs=("gradients", "output"), when=lambda r: r.L >= 2)
def causality(trial: Trial) -> None:
    """A loss on one step's output has no gradient at the inputs read after that step, in either direction: exactly 0.

    tensorflow#40345 and onnx2tf PR287 left the reverse direction in reverse time, with its gradient at the wrong end.
    """
    small = cut(trial)
    if small.case.config.bidirectional and small.case.config.num_layers > 1:
        if small.case.fixed:
            raise Discard
        small = small.derived(layers=1)
    case, config = small.case, small.case.config
    if case.steps < 2:
        raise Discard
    t = small.pick("causality", case.steps)
    direction = small.pick("direction", config.num_directions)
    P = config.output_size
    loss = zeros(case)
    own = slice(direction * P, (direction + 1) * P)
    loss.output[t, :, own] = normal(small.recipe.seed, "one step", (case.batch, P)).astype(case.x.dtype)
    loss.output[t, case.row_lengths() <= t] = 0
    grad_x = small.vjp(case, loss)[1]["x"]
    first, unread = (0, grad_x[:t]) if direction else (t + 1, grad_x[t + 1 :])
    if not (unread == 0).all():
        at = [int(k) for k in np.argwhere(unread != 0)[0]]
        value = unread[tuple(at)]
        at[0] += first
        half = "the reverse" if direction else "the forward"
        raise Violation(f"grad x{at} is {value:.9g} though the loss is on {half} output of step {t} alone", case=case)


@judged("gradients.padding", needs=(*FORCED, "lengths"), when=lambda r: r.L >= 2 and not r.unbatched)
def padding(trial: Trial) -> None:
    """Past a row's length nothing flows: the gradient of x is exactly 0 there; what x and cotangents hold is not read.

    keras#4192: what the padding held reached the backward state; jax PR15169 left numbers in it. A gradient that is
    masked by a product is not a number where the padding is none.
    """
    ragged = trial.once("padded", lambda: cut(trial).derived(ragged=True))
    case = ragged.case
    if case.lengths is None or not (case.lengths < case.steps).any():
        raise Discard
    cotangents = draw(case, ragged.recipe.seed, "any", trial.backend.capabilities.returns)
    past = np.arange(case.steps)[:, None] >= case.lengths
    noise = 100 * normal(ragged.recipe.seed, "past the end", cotangents.output.shape)
    spoiled = cotangents._replace(output=np.where(past[..., None], noise, cotangents.output).astype(case.x.dtype))
    masked = replace(case, x=np.where(past[..., None], np.nan, case.x).astype(case.x.dtype))
    _, grads = ragged.vjp(masked, spoiled)
    for name, value in grads.items():
        if np.isnan(value).any():
            raise Violation(f"grad {name} is not a number where the padding of x is none", case=masked)
    grad_x = grads["x"]
    if not (grad_x[past] == 0).all():
        n, t = (int(k) for k in np.argwhere((past & (grad_x != 0).any(2)).T)[0])
        raise Violation(f"grad x[{t}, {n}] is not 0, though row {n} ends after {case.lengths[n]} steps", case=case)
    # The oracle reads no cotangents there, so that the same comparisons hold.
    findings = judge_taps(ragged, spoiled)
    if not right(findings) and not right(judge_taps(ragged, cotangents)):
        raise Discard
    ragged.require(findings, case)


@judged("gradients.none-is-zeros", needs=(*NEEDS, "initial_state"))
def none_is_zeros(trial: Trial) -> None:
    """Without an initial state the gradients are those at a state of zeros, h_0's and c_0's included.

    mlx#3249: None and zeros gave different results.
    """
    small = cut(trial).derived(state="none")
    cotangents = drawn(small)
    given = replace(small.case, state=small.case.initial())
    plain, zero = (small.vjp(case, cotangents) for case in (small.case, given))
    same_or_right(small, cotangents, plain, zero)


@judged("gradients.repeat", needs=("gradients",))
def repeat(trial: Trial) -> None:
    """A second vjp of the same model gives what the first gave, and so does a twentieth: nothing accumulates.

    torch adds into ``.grad`` until somebody clears it; tensorflow#47813 needed a reset between calls.
    """
    small = cut(trial)
    returned = trial.backend.capabilities.returns
    case, cotangents = small.case, draw(small.case, small.recipe.seed, ("any", "h_n")[small.recipe.seed % 2], returned)
    model = small.model(case)
    first = small.vjp(case, cotangents, model)
    # A loss on all parts between: what it leaves is not cleared by one that lacks some. Now and then more of them: a
    # function that is called often is compiled again.
    for _ in range(18 if small.recipe.seed % 4 == 3 and case.steps <= 12 else 1):
        small.vjp(case, draw(case, small.recipe.seed + 1, "all", returned), model)
    second = small.vjp(case, cotangents, model)
    same_or_right(small, cotangents, first, second, bitwise=trial.backend.capabilities.deterministic)


@judged("gradients.after-others", needs=("gradients", "values", "shapes"))
def after_others(trial: Trial) -> None:
    """Calls of a model before, and another model's vjp, do not change its vjp, nor does a vjp the calls after it.

    Activations kept from the last forward call or by the arguments alone, buffers that a longer vjp left, and modules
    left in training mode do.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    other = small.derived(seed=small.recipe.seed + 1, fill="normal").case
    longer = small.derived(L=small.recipe.L + 2, seed=small.recipe.seed + 1, fill="normal", edits=()).case
    longer = replace(longer, config=case.config, params=case.params)
    fresh = small.vjp(case, cotangents)
    for before in ("another state", "other values", "a longer vjp", "another model"):
        if before == "another state" and case.state is None:
            continue
        model = small.model(case)
        if before == "another model":
            if not case.fixed:
                small.vjp(replace(case, params=other.params), cotangents)
        elif before == "a longer vjp":
            small.vjp(longer, draw(longer, small.recipe.seed, "any", trial.backend.capabilities.returns), model)
        else:
            x = other.x if before == "other values" else case.x
            small.call(replace(case, x=x, state=other.state), model)
        same_or_right(small, cotangents, fresh, small.vjp(case, cotangents, model))
        result = small.run(case, model)
        small.relate(lambda k, result=result: result if k == case.config.num_layers else small.observe(k))


@judged("gradients.untouched", needs=("gradients", "memory"))
def untouched(trial: Trial) -> None:
    """vjp changes nothing that it is handed, not even the cotangents, nor what it returned before.

    mxnet#17898: dx was written over dy. Gradients in a workspace are right until the next call.
    """
    small = cut(trial)
    case = small.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    loss = handed_cotangents(case, draw(case, small.recipe.seed, "all", trial.backend.capabilities.returns))
    given: dict[str, Array] = {**params, "x": x}
    given |= {} if state is None else {"h_0": state[0], "c_0": state[1]}
    given |= {} if lengths is None else {"lengths": lengths}
    given |= {f"grad_{name}": part for name, part in zip(Cotangents._fields, loss, strict=True)}
    before = {name: value.copy() for name, value in given.items()}
    model = small.model(case, params)
    _, kept = call_vjp(model, case, x, state, lengths, *loss)
    returned = {f"grads {name}": value for name, value in kept.items()}
    before |= {name: value.copy() for name, value in returned.items()}
    # A ring of buffers comes round.
    for factor in (2.0, 4.0, 8.0, 16.0):
        small.vjp(case, drawn(small).scaled(factor), model)
    for name, value in (given | returned).items():
        if not np.array_equal(value, before[name], equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(value != before[name])[0])
            raise Violation(f"{name}{list(at)} was {before[name][at]:.9g} and is {value[at]:.9g} after vjp", case=case)


@judged("gradients.equal-parameters", needs=(*NEEDS, "params"))
def equal_parameters(trial: Trial) -> None:
    """Parameters that hold the same numbers have gradients of their own.

    Where equal constants are kept once, their gradients are added up, or all but one are lost.
    """
    small = cut(trial)
    kind = ("weight", "bias", "")[small.recipe.seed % 3]
    _right_with(small, replace(small.case, params=tied(small.case.params, kind), rule="any"))


@judged("gradients.zeros", needs=(*NEEDS, "params"))
def zeros_have_gradients(trial: Trial) -> None:
    """Biases, a weight and a row of x that are zeros have gradients like any others.

    Biases begin at zero, and so do adapters and pruned weights: what is left out because of it never changes.
    """
    small = cut(trial)
    kinds = sorted({name.partition("_l")[0].replace("bias_hh", "bias") for name in small.case.params})
    kind = kinds[small.recipe.seed % len(kinds)]
    params = {name: 0 * value if name.startswith(kind) else value for name, value in small.case.params.items()}
    x = small.case.x.copy()
    x[:, small.pick("row of zeros", small.case.batch)] = 0
    _right_with(small, replace(small.case, params=params, rule="any"))
    _right_with(small, replace(small.case, x=x))


def _right_with(small: Trial, changed: Case) -> None:
    """The gradients of a changed case are right, if those of the small one are."""
    cotangents = drawn(small)
    findings = judge_freely(small, cotangents, *small.vjp(changed, cotangents), case=changed)
    if not right(findings) and not right(judge_freely(small, cotangents, *small.vjp(small.case, cotangents))):
        raise Discard
    small.require(findings, changed)


@judged("gradients.nan-kept", needs=("gradients", "values"))
def nan_kept(trial: Trial) -> None:
    """A NaN in x makes NaN of the first layer's gradients: it took part in them.

    A backward pass that cleans what it passes on hides that training went wrong, and skips no step for it.
    """
    small = cut(trial)
    case = small.case
    row = small.pick("spoiled row", case.batch)
    x = case.x.copy()
    x[small.pick("spoiled step", int(case.row_lengths()[row])), row, small.pick("feature", x.shape[2])] = np.nan
    spoiled = replace(case, x=x)
    try:
        _, grads = small.vjp(spoiled, draw(case, small.recipe.seed, "all", trial.backend.capabilities.returns))
    except BackendError:
        # To refuse it is an answer.
        raise Discard from None
    for name in ("weight_ih_l0", "weight_ih_l0_reverse"):
        if name in grads and not np.isnan(grads[name]).all():
            at = tuple(int(k) for k in np.argwhere(~np.isnan(grads[name]))[0])
            raise Violation(
                f"grad {name}{list(at)} is {grads[name][at]:.9g} where the equations give nan", case=spoiled
            )


@judged("gradients.threads", needs=("gradients", "threads", "values"), limit=8)
def threads(trial: Trial) -> None:
    """The vjps of two models called from two threads at once do not disturb each other.

    A workspace of the backward pass may be one for the process where the forward pass has one for each model.
    """
    small = cut(trial)
    case, cotangents = small.case, drawn(small)
    other = case if case.fixed else replace(case, params=small.derived(seed=small.recipe.seed + 1).case.params)
    model, second = small.model(case), small.model(other)
    alone = small.vjp(case, cotangents, model)
    for found in at_once(
        lambda: small.vjp(case, cotangents, model), lambda: small.vjp(other, cotangents.scaled(2.0), second)
    ):
        same_or_right(small, cotangents, alone, found)


@judged("gradients.no-rows", needs=("gradients", "batch", "shapes"), when=lambda r: not r.unbatched, limit=8)
def no_rows(trial: Trial) -> None:
    """A batch without rows gives weights gradients of zeros, as nn.LSTM does, or is refused.

    The last part of a batch that is divided may be empty, and adds what its buffers held.
    """
    small = cut(trial)
    empty = take_rows(small.case, np.zeros(0, np.int64))
    try:
        _, grads = small.vjp(empty, zeros(empty))
    except (BackendError, Narrowed):
        return
    for name, value in grads.items():
        if not (value == 0).all():
            at = tuple(int(k) for k in np.argwhere(~(value == 0))[0])
            raise Violation(f"grad {name}{list(at)} is {value[at]:.9g} for a batch without rows", case=empty)
