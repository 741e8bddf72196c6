"""The cases and comparisons that the properties of gradients share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from conformance.bounds import backward as adjoint
from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, draw
from conformance.cases.recipe import Recipe
from conformance.cases.shapes import ordinary
from conformance.cases.sizes import LONG, keeping
from conformance.instruments.taps import judge_tapped, lower_results, tap
from conformance.properties.model import Check, Cost, always, prop
from conformance.reference.backward import Gradients
from conformance.spec import Array, Result
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.signatures import Unaffordable
from conformance.trials.trial import Trial

#: The dtypes whose gradients are judged. In 16 bits libraries sum the weights' gradients in precisions that no backend
#: declares, and float16 overflows in the middle of a pass whose results fit.
DTYPES = ("float32", "float64")

NEEDS = ("gradients", "values")
#: Teacher forcing needs these besides.
FORCED = (*NEEDS, "params", "output")

#: The losses that the properties of gradients take in turn, see ``draw``.
LOSSES_IN_TURN = ("any", "partial", "last")
LOSSES = len(LOSSES_IN_TURN)

#: The sizes up to which cases are cut down, by the number of layers: taps and relays make a model some ten times wider.
_CUT = {1: 8, 2: 4, 3: 3}


def gradient_prop(
    id: str,
    needs: tuple[str, ...],
    when: Callable[[Recipe], bool] = always,
    limit: int = 20,
    turns: int = 1,
    cost: Cost = Cost.SMALL,
) -> Callable[[Check], Check]:
    """Register a property of gradients, for the dtypes whose gradients are judged."""

    def judged(recipe: Recipe) -> bool:
        return recipe.dtype in DTYPES and when(recipe)

    return prop(id, needs, judged, limit=limit, turns=turns, cost=cost)


def cut(trial: Trial) -> Trial:
    """The trial cut down to sizes whose tapped models are cheap, its arrays lying plainly in memory."""
    recipe, backend = trial.recipe, trial.backend
    if backend.capabilities.fixed is not None:
        return trial
    if backend.capabilities.compiled:
        # Each new shape costs a compilation; drawn cases are small, but for the long one.
        changes = ordinary(backend) if recipe.L == LONG else {"view": "plain"}
        return trial.once("small", lambda: trial.derived(**changes))
    hidden = min(recipe.H, _CUT.get(recipe.layers, 2))
    sizes = {"I": min(recipe.I, 6), "H": hidden, "proj": min(recipe.proj, hidden - 1), "N": min(recipe.N, 4)}
    # One layer is quick enough to be long now and then.
    longest = 20 if recipe.L < 50 or recipe.layers > 1 else 60
    # As many rows as steps stay as many.
    sizes["L"] = min(recipe.L, sizes["N"] if recipe.N == recipe.L else longest)
    return trial.once("small", lambda: trial.derived(**keeping(recipe, **sizes), view="plain"))


def small_findings(trial: Trial, loss: str) -> tuple[Trial, list[Finding]]:
    """The small trial, and every comparison of its tapped vjp under one kind of loss."""
    small = cut(trial)
    cotangents = draw(small.case, small.recipe.seed, loss, trial.backend.capabilities.returns)
    return small, small.once(f"findings {loss}", lambda: tapped_findings(small, cotangents))


def tapped_findings(small: Trial, cotangents: Cotangents) -> list[Finding]:
    """Every comparison of the tapped vjp of a small trial.

    Of its own vjp where the gradient of x is not given, or where a tapped model is a compilation too many.
    """
    if small.arithmetic is None:
        raise Discard
    if not small.backend.capabilities.gives("x"):
        # The taps are inputs: without their gradient no adjoint is seen, and the bound accumulates.
        return free_findings(small, cotangents, *small.vjp(small.case, cotangents))
    tapped = small.once("tapped", lambda: tap(small.case))
    try:
        lower = small.once("lower results", lambda: lower_results(tapped, small.vjp))
        return judge_tapped(tapped, lower, cotangents, small.vjp, small.arithmetic)
    except Unaffordable:
        return free_findings(small, cotangents, *small.vjp(small.case, cotangents))


def free_findings(
    trial: Trial,
    cotangents: Cotangents,
    result: Result,
    grads: Gradients,
    case: Case | None = None,
    scales: Sequence[Array] = (),
) -> list[Finding]:
    """Every comparison of a vjp whose adjoints were not observed, with the bound that accumulates.

    The vjp is that of the trial's case, or of ``case``. ``scales`` (L, N, D·P) are dropout's factors of each lower
    layer's output.
    """
    if trial.arithmetic is None:
        raise Discard
    case = trial.case if case is None else case
    unseen: list[Result | None] = [None] * (case.config.num_layers - 1)
    return adjoint.judge(case, cotangents, [*unseen, result], grads, trial.arithmetic, scales=scales)


def overflows(trial: Trial, case: Case, cotangents: Cotangents, vjp: tuple[Result, Gradients]) -> bool:
    """Whether a correct vjp of the case may leave its dtype's range: then a NaN or an infinity is no defect.

    Asked where a gradient that is to be known without a bound is not finite.
    """
    findings = free_findings(trial, cotangents, *vjp, case)
    return any(np.isinf(finding.bound).any() for finding in findings)


def drawn(trial: Trial) -> Cotangents:
    """Cotangents by the seed of the trial's recipe, of the loss whose turn it is."""
    return draw(trial.case, trial.recipe.seed, trial.in_turn(LOSSES_IN_TURN), trial.backend.capabilities.returns)


def require_right_gradients(trial: Trial) -> None:
    """The gradients of the trial's own case must be within the bound that accumulates."""
    cotangents = drawn(trial)
    trial.require(free_findings(trial, cotangents, *trial.vjp(trial.case, cotangents)), trial.case)


def require_same_gradients(
    trial: Trial,
    cotangents: Cotangents,
    first: tuple[Result, Gradients],
    second: tuple[Result, Gradients],
    bitwise: bool = False,
    case: Case | None = None,
) -> None:
    """Two vjps of one case must be equal bit by bit; unless ``bitwise``, both may be within the bound instead.

    The case is the trial's own unless one is given. ``Discard`` if both are wrong.
    """
    case = trial.case if case is None else case
    (_, once), (_, again) = first, second
    unequal = [name for name in once if not np.array_equal(once[name], again[name], equal_nan=True)]
    if not unequal:
        return
    if bitwise:
        name = unequal[0]
        at = tuple(int(k) for k in np.argwhere(once[name] != again[name])[0])
        message = f"grad {name}{list(at)} is {once[name][at]:.9g} first, {again[name][at]:.9g} when repeated"
        raise Violation(message, case=case)
    found = [free_findings(trial, cotangents, *vjp, case) for vjp in (first, second)]
    if not any(map(right, found)):
        # Both are wrong: that is no matter of what lies between them.
        raise Discard
    for findings in found:
        trial.require(findings, case)
