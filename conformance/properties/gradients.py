"""Gradients: what ``forward.vjp`` returns, by cotangents of the output, of h_n and of c_n."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance import adjoint
from conformance.bounds import Finding
from conformance.case import Case, handed
from conformance.cotangents import Cotangents, draw, zeros
from conformance.cotangents import handed as handed_cotangents
from conformance.dyadic import dyadic as dyadic_case
from conformance.fills import normal
from conformance.gradients import Gradients
from conformance.properties.model import Check, always, prop
from conformance.properties.sizes import HIDDEN, ROWS, smallest
from conformance.recipe import Recipe
from conformance.spec import Array, Result
from conformance.sums import sample
from conformance.taps import judge_tapped, lower_results, tap
from conformance.trial import Discard, Trial, Violation, call_vjp, fresh_params

#: The dtypes whose gradients are judged. In 16 bits libraries add up the weights' gradients in precisions that nothing
#: declares, and float16 overflows in the middle of a pass whose results fit.
DTYPES = ("float32", "float64")

_NEEDS = ("gradients", "values")
#: What teacher forcing needs besides.
_FORCED = (*_NEEDS, "params", "output")

#: The sizes up to which cases are cut down, by the number of layers: taps and relays make a model some ten times wider.
_CUT = {1: 8, 2: 4, 3: 3}

#: Steps and rows of sums with many terms.
_TERMS = ((3, 257), (12, 129), (20, 65), (64, 16), (130, 9), (300, 2), (1000, 1), (131, 65))


def judged(
    id: str, needs: tuple[str, ...], when: Callable[[Recipe], bool] = always, limit: int = 20
) -> Callable[[Check], Check]:
    """Register a property of gradients, for the dtypes whose gradients are judged."""
    return prop(id, needs, lambda recipe: recipe.dtype in DTYPES and when(recipe), limit=limit)


def _small(trial: Trial) -> Trial:
    """The trial cut down to sizes whose tapped models are cheap, its arrays lying plainly in memory."""
    recipe, backend = trial.recipe, trial.backend
    if backend.capabilities.fixed is not None:
        return trial
    if backend.capabilities.compiled:
        # A single pool of sizes: each new shape costs a compilation.
        sizes = {"I": 3, "H": 3, "proj": min(recipe.proj, 2), "L": min(recipe.L, 4), "N": min(recipe.N, 2)}
        return trial.once("small", lambda: trial.derived(**sizes, view="plain"))
    hidden = min(recipe.H, _CUT.get(recipe.layers, 2))
    sizes = {"I": min(recipe.I, 6), "H": hidden, "proj": min(recipe.proj, hidden - 1), "N": min(recipe.N, 4)}
    # One layer is quick enough to be long now and then.
    longest = 20 if recipe.L < 50 or recipe.layers > 1 else 60
    return trial.once("small", lambda: trial.derived(**sizes, L=min(recipe.L, longest), view="plain"))


def _tapped(trial: Trial, loss: str = "any") -> tuple[Trial, list[Finding]]:
    """The small trial, and every comparison of its tapped vjp under one kind of loss."""
    small = _small(trial)
    cotangents = draw(small.case, small.recipe.seed, loss, trial.backend.capabilities.returns)
    return small, small.once(f"findings {loss}", lambda: _findings(small, cotangents))


def _findings(small: Trial, cotangents: Cotangents) -> list[Finding]:
    """Every comparison of the tapped vjp of a small trial."""
    if small.arithmetic is None:
        raise Discard
    tapped = small.once("tapped", lambda: tap(small.case))
    lower = small.once("lower results", lambda: lower_results(tapped, small.vjp))
    return judge_tapped(tapped, lower, cotangents, small.vjp, small.arithmetic)


def _freely(trial: Trial, case: Case, cotangents: Cotangents, result: Result, grads: Gradients) -> list[Finding]:
    """Every comparison of a vjp of which no adjoint was observed, with the bound that accumulates."""
    if trial.arithmetic is None:
        raise Discard
    unseen: list[Result | None] = [None] * (case.config.num_layers - 1)
    return list(adjoint.judge(case, cotangents, [*unseen, result], grads, trial.arithmetic))


def _require(trial: Trial, loss: str, *tensors: str) -> None:
    small, findings = _tapped(trial, loss)
    small.require([finding for finding in findings if finding.tensor.startswith(tensors)], small.case)


def _alone(trial: Trial, loss: str, *others: str) -> None:
    """A loss on one part must be right; where one on another part is wrong as well, it is not the part that matters."""
    small, findings = _tapped(trial, loss)
    comparable = [other for other in others if other in trial.backend.capabilities.returns][:1]
    if not _right(findings) and any(not _right(_tapped(trial, other)[1]) for other in comparable):
        raise Discard
    small.require(findings, small.case)


def _right(findings: list[Finding]) -> bool:
    return all(finding.margin() <= 1.0 for finding in findings)


def _drawn(trial: Trial) -> Cotangents:
    return draw(trial.case, trial.recipe.seed, "any", trial.backend.capabilities.returns)


@judged("gradients.layout", needs=("gradients",), limit=20)
def layout(trial: Trial) -> None:
    """vjp returns the results, and a gradient for x, h_0, c_0 and each parameter, shaped and typed like its argument.

    keras PR7387 lost an axis at L=1; a gradient in another layout than its argument is added to it all the same where
    sizes happen to agree.
    """
    small = _small(trial)
    small.vjp(small.case, _drawn(small))


@judged("gradients.primal", needs=_FORCED, limit=20)
def primal(trial: Trial) -> None:
    """The results that vjp returns are the forward's: the oracle's, within the bound.

    oneDNN computes forward passes with and without gradients by different kernels; both have to be right.
    """
    _require(trial, "any", "output", "h_n", "c_n")


@judged("gradients.preactivations", needs=_FORCED, limit=20)
def preactivations(trial: Trial) -> None:
    """The adjoint of every gate's preactivation, at every step, layer and direction, follows from the one after it.

    mxnet#17898: with more than two layers one gradient overwrote another; mlpack PR1742 did not add the reverse one.
    """
    _require(trial, "any", "grad preactivations")


@judged("gradients.input", needs=_FORCED, limit=20)
def input(trial: Trial) -> None:
    """The gradient of x is W_ihᵀ times the adjoints of the preactivations, both directions' added up.

    mlpack PR1742: the reverse direction's part was not added.
    """
    _require(trial, "any", "grad x")


@judged("gradients.state", needs=(*_FORCED, "initial_state"), limit=20)
def state(trial: Trial) -> None:
    """The gradients of h_0 and c_0 are those of each layer, direction and row's own start.

    Truncated back-propagation and learnt initial states need them; opencv#21118 took one layer's state for all.
    """
    _require(trial, "any", "grad h_0", "grad c_0")


@judged("gradients.weights", needs=_FORCED, limit=20)
def weights(trial: Trial) -> None:
    """The gradient of each weight, ih, hh and hr, is the sum over steps and rows of adjoint times what it multiplies.

    mxnet#17898 is right with two layers and wrong with three.
    """
    _require(trial, "any", "grad weight")


@judged("gradients.biases", needs=_FORCED, when=lambda r: r.bias, limit=20)
def biases(trial: Trial) -> None:
    """Both biases receive the same gradient, the sum of the adjoints over steps and rows.

    mxnet PR17872: zero bias gradients with more than one layer.
    """
    _require(trial, "any", "grad bias")


@judged("gradients.h_n-loss", needs=(*_FORCED, "h_n"), limit=20)
def h_n_loss(trial: Trial) -> None:
    """A loss on h_n alone reaches every argument.

    pytorch#96416: the gradients were wrong if the loss used h_n only.
    """
    _alone(trial, "h_n", "output")


@judged("gradients.c_n-loss", needs=(*_FORCED, "c_n"), limit=20)
def c_n_loss(trial: Trial) -> None:
    """A loss on c_n alone reaches every argument.

    DL4J#8838 dropped dL/dc_n.
    """
    _alone(trial, "c_n", "output")


@judged("gradients.output-loss", needs=_FORCED, limit=20)
def output_loss(trial: Trial) -> None:
    """A loss on the output alone reaches every argument.

    mxnet#17898: the gradient of the output was overwritten before it was used.
    """
    _alone(trial, "output", "h_n", "c_n")


@judged("gradients.long", needs=(*_FORCED, "shapes"), limit=8)
def long(trial: Trial) -> None:
    """Over dozens and hundreds of steps each adjoint still follows from the one after it, and no sum lacks a step.

    Kernels take the steps in chunks, and sums in tiles: what crosses a border is lost. MNN#2500 was wrong at large
    sizes only; back-propagation that is truncated without being asked to be is right for short sequences.
    """
    small = _small(trial)
    steps = (40, 260, 70, 140)[small.recipe.seed % 4]
    # The tapped models of a stack are wide.
    layers = min(small.recipe.layers, 2) if steps < 100 else 1
    # Lengths of 8 bits end at 127.
    ragged = small.recipe.ragged or (steps == 260 and trial.backend.capabilities.lengths and not trial.recipe.unbatched)
    many = small.derived(layers=layers, L=steps, N=min(small.recipe.N, 2), ragged=ragged)
    many.require(_findings(many, _drawn(many)), many.case)


@judged("gradients.untapped", needs=(*_NEEDS,), limit=20)
def untapped(trial: Trial) -> None:
    """The gradients of a case as it is, at its own sizes and strides, are within the bound that accumulates.

    FlagGems#5014 dropped units past 128: kernels choose their way by size; pytorch#345 and #619, by strides.
    """
    r = trial.recipe
    own = trial if trial.backend.capabilities.fixed else trial.derived(L=min(r.L, 6))
    if own.case.steps > 50:
        raise Discard
    cotangents = _drawn(own)
    result, grads = own.vjp(own.case, cotangents)
    own.require(_freely(own, own.case, cotangents, result, grads), own.case)


@judged("gradients.sums", needs=(*_NEEDS, "params", "shapes"), limit=8)
def sums(trial: Trial) -> None:
    """However many steps and rows there are, the gradient of a weight has every step's and row's share, once.

    mxnet#17898 lost what had been added up before. Sums over a batch go through tiles, threads and atomic additions.
    """
    r = trial.recipe
    steps, rows = _TERMS[r.seed % len(_TERMS)]
    alone = r.unbatched or not trial.backend.capabilities.batch
    terms = {} if r.L * r.N > 256 else {"L": max(r.L, steps), "N": 1 if alone else max(r.N, rows)}
    layers = (1, r.layers)[trial.pick("layers", 2)]
    # Without saturation and explosion all shares are of a size.
    many = trial.resized(**terms, layers=layers, fill="normal", gain=min(r.gain, 1.0))
    if many.arithmetic is None:
        raise Discard
    sampled = sample(many.case, r.seed)
    result, grads = many.vjp(sampled.case, _drawn(many))
    many.require(list(sampled.findings(result, grads, many.arithmetic)), many.case)


@judged("gradients.large", needs=(*_NEEDS, "params", "shapes"), limit=10)
def large(trial: Trial) -> None:
    """With dozens to hundreds of rows or units the gradients are within the bound that accumulates.

    Backward kernels have thresholds of their own: cuDNN's persistent one ends at two thirds of the forward's size.
    """

    def judge(probe: Trial) -> None:
        cotangents = _drawn(probe)
        result, grads = probe.vjp(probe.case, cotangents)
        probe.require(_freely(probe, probe.case, cotangents, result, grads), probe.case)

    declared = trial.backend.capabilities
    kinds = [[{"H": size} for size in HIDDEN if size < 600]]
    if declared.batch and not trial.recipe.unbatched:
        kinds.append([{"N": size} for size in ROWS])
    if declared.layers:
        # The upper layer passes back to more than 256 features.
        H, both = (160, True) if declared.bidirectional else (300, False)
        kinds.append([{"H": H, "layers": 2, "bidirectional": both, "proj": 0}])
    smallest(trial, "large", kinds[trial.recipe.seed // 2 % len(kinds)], judge)


@judged("gradients.dyadic", needs=_FORCED, limit=20)
def dyadic(trial: Trial) -> None:
    """With every activation at 0, ½ or ±1 the gradients are exact sums of small dyadic numbers, whatever their order.

    DL4J#8838 dropped dL/dc_n; what is dropped, or off by 1e-6, shows here however small it is beside the rest.
    """
    small = _small(trial)
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


@judged("gradients.linear", needs=("gradients",), limit=20)
def linear(trial: Trial) -> None:
    """The gradient is linear in the cotangents: nothing for nothing, and exactly twice as much for twice as much.

    Gradients that are clipped, and buffers that were not cleared (tflite-micro#2449), show here.
    """
    small = _small(trial)
    case, cotangents = small.case, _drawn(small)
    for name, value in small.vjp(case, zeros(case))[1].items():
        if not (value == 0).all():
            at = tuple(int(k) for k in np.argwhere(value != 0)[0])
            raise Violation(f"grad {name}{list(at)} is {value[at]:.9g} though no cotangent is other than 0", case=case)
    if not trial.backend.capabilities.deterministic:
        return
    factor = (2.0, -2.0, 64.0)[small.pick("factor", 3)]
    model = small.model(case)
    once, scaled = (small.vjp(case, given, model)[1] for given in (cotangents, cotangents.scaled(factor)))
    # What underflows is rounded otherwise.
    tiny = 2.0**20 * float(np.finfo(case.x.dtype).smallest_normal)
    for name, value in once.items():
        want, got = (np.asarray(v, np.float64) for v in (value * value.dtype.type(factor), scaled[name]))
        wrong = ~(np.abs(want - got) <= tiny)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            message = f"grad {name}{list(at)} is {got[at]:.9g} for {factor:g} times the cotangents, not {want[at]:.9g}"
            raise Violation(message, case=case)


@judged("gradients.causality", needs=("gradients", "output"), when=lambda r: r.L >= 2, limit=20)
def causality(trial: Trial) -> None:
    """A loss on one step's output has no gradient at the inputs read after that step, in either direction: exactly 0.

    tensorflow#40345 and onnx2tf PR287 left the reverse direction in reverse time, with its gradient at the wrong end.
    """
    small = _small(trial)
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


@judged("gradients.padding", needs=(*_FORCED, "lengths"), when=lambda r: r.L >= 2 and not r.unbatched, limit=20)
def padding(trial: Trial) -> None:
    """Past a row's length nothing flows: the gradient of x is exactly 0 there, and cotangents there have no influence.

    keras#4192: what the padding held reached the backward state; jax PR15169 left numbers in it.
    """
    ragged = trial.once("padded", lambda: _small(trial).derived(ragged=True))
    case = ragged.case
    if case.lengths is None or not (case.lengths < case.steps).any():
        raise Discard
    cotangents = draw(case, ragged.recipe.seed, "any", trial.backend.capabilities.returns)
    past = np.arange(case.steps)[:, None] >= case.lengths
    noise = 100 * normal(ragged.recipe.seed, "past the end", cotangents.output.shape)
    spoiled = cotangents._replace(output=np.where(past[..., None], noise, cotangents.output).astype(case.x.dtype))
    grad_x = ragged.vjp(case, spoiled)[1]["x"]
    if not (grad_x[past] == 0).all():
        n, t = (int(k) for k in np.argwhere((past & (grad_x != 0).any(2)).T)[0])
        raise Violation(f"grad x[{t}, {n}] is not 0, though row {n} ends after {case.lengths[n]} steps", case=case)
    # The oracle reads no cotangents there, so that the same comparisons hold.
    findings = _findings(ragged, spoiled)
    if not _right(findings) and not _right(_findings(ragged, cotangents)):
        raise Discard
    ragged.require(findings, case)


@judged("gradients.none-is-zeros", needs=(*_NEEDS, "initial_state"), limit=20)
def none_is_zeros(trial: Trial) -> None:
    """Without an initial state the gradients are those at a state of zeros, h_0's and c_0's included.

    mlx#3249: None and zeros gave different results.
    """
    small = _small(trial).derived(state="none")
    cotangents = _drawn(small)
    given = replace(small.case, state=small.case.initial())
    plain, zero = (small.vjp(case, cotangents) for case in (small.case, given))
    _same_or_right(small, cotangents, plain, zero)


@judged("gradients.repeat", needs=("gradients",), limit=20)
def repeat(trial: Trial) -> None:
    """A second vjp of the same model gives what the first gave: nothing accumulates, nothing is left over.

    torch adds into ``.grad`` until somebody clears it; tensorflow#47813 needed a reset between calls.
    """
    small = _small(trial)
    case, cotangents = small.case, _drawn(small)
    model = small.model(case)
    first = small.vjp(case, cotangents, model)
    small.vjp(case, cotangents.scaled(2.0), model)
    second = small.vjp(case, cotangents, model)
    _same_or_right(small, cotangents, first, second, bitwise=trial.backend.capabilities.deterministic)


def _same_or_right(
    trial: Trial,
    cotangents: Cotangents,
    first: tuple[Result, Gradients],
    second: tuple[Result, Gradients],
    bitwise: bool = False,
) -> None:
    """Two vjps of one case must be equal bit by bit, or, unless that is asked for, both be within the free bound."""
    (_, once), (_, again) = first, second
    unequal = [name for name in once if not np.array_equal(once[name], again[name], equal_nan=True)]
    if not unequal:
        return
    if bitwise:
        name = unequal[0]
        at = tuple(int(k) for k in np.argwhere(once[name] != again[name])[0])
        message = f"grad {name}{list(at)} is {once[name][at]:.9g} first, {again[name][at]:.9g} when repeated"
        raise Violation(message, case=trial.case)
    for result, grads in (first, second):
        trial.require(_freely(trial, trial.case, cotangents, result, grads), trial.case)


@judged("gradients.after-others", needs=("gradients", "values", "shapes"), limit=20)
def after_others(trial: Trial) -> None:
    """Calls of a model before do not change its vjp, nor does a vjp the calls after it.

    Activations kept from the last forward call, buffers that a longer vjp left, and modules left in training mode do.
    """
    small = _small(trial)
    case, cotangents = small.case, _drawn(small)
    model = small.model(case)
    other = small.derived(seed=small.recipe.seed + 1, fill="normal").case
    before = small.pick("before", 3)
    if before < 2:
        # The same shapes, other values; or the same x from another state, where there is one.
        x = case.x if before and case.state is not None else other.x
        small.call(replace(case, x=x, state=other.state), model)
    else:
        longer = small.derived(L=small.recipe.L + 2, seed=small.recipe.seed + 1, fill="normal", edits=()).case
        longer = replace(longer, config=case.config, params=case.params)
        small.vjp(longer, draw(longer, small.recipe.seed, "any", trial.backend.capabilities.returns), model)
    _same_or_right(small, cotangents, small.vjp(case, cotangents), small.vjp(case, cotangents, model))
    result = small.run(case, model)
    small.relate(lambda k: result if k == case.config.num_layers else small.observe(k))


@judged("gradients.untouched", needs=("gradients", "memory"), limit=20)
def untouched(trial: Trial) -> None:
    """vjp changes nothing that it is handed, not even the cotangents, nor what it returned before.

    mxnet#17898: dx was written over dy. Gradients in a workspace are right until the next call.
    """
    small = _small(trial)
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
    small.vjp(case, _drawn(small).scaled(2.0), model)
    for name, value in (given | returned).items():
        if not np.array_equal(value, before[name], equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(value != before[name])[0])
            raise Violation(f"{name}{list(at)} was {before[name][at]:.9g} and is {value[at]:.9g} after vjp", case=case)
