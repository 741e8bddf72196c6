"""Which failed gradients follow from a mistake of the forward pass: those of a backend that differentiates it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.gradient_probes import cotangents_of
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call
from conformance.engine.reply import Reply
from conformance.errors import UsageError
from conformance.facts import Alteration
from conformance.report.model import Verdict

#: Properties that compare vjps of one model with each other: no forward pass, right or wrong, makes them fail.
_BY_THEMSELVES = (
    "gradients.layout",
    "gradients.repeat",
    "gradients.untouched",
    "gradients.threads",
    "gradients.linear",
)


def following(
    alterations: tuple[Alteration, ...],
    predictions: Predictions,
    ask: Callable[[Call], Reply],
    failed: Iterable[Verdict],
    deadline: float,
) -> tuple[str, ...]:
    """The ids of the failed properties of gradients in whose cases the vjp follows the altered forward pass.

    Each is asked in a small case of the same options, in which the vjp must differ from the correct one, and be the
    derivative of the altered LSTM.
    """
    follows: dict[Recipe, bool] = {}
    ids = []
    for verdict in failed:
        if verdict.recipe is None or verdict.property in _BY_THEMSELVES:
            continue
        recipe = small(parse(verdict.recipe))
        if recipe not in follows:
            if time.monotonic() > deadline:
                break
            follows[recipe] = _follows(alterations, predictions, ask, recipe)
        if follows[recipe]:
            ids.append(verdict.property)
    return tuple(ids)


def _follows(
    alterations: tuple[Alteration, ...], predictions: Predictions, ask: Callable[[Call], Reply], recipe: Recipe
) -> bool:
    with suppress(UsageError):
        case = realise(recipe, predictions.backend.capabilities.fixed)
        call = Call(case, cotangents_of(case))
        told = ask(call)
        return not predictions.explains((), call, told) and predictions.explains(alterations, call, told)
    return False


def small(recipe: Recipe) -> Recipe:
    """A recipe of the same options whose derivative takes few calls."""
    H = 3 if recipe.layers == 1 else 2
    return Recipe(
        I=2,
        H=H,
        layers=min(recipe.layers, 2),
        bidirectional=recipe.bidirectional,
        bias=recipe.bias,
        batch_first=recipe.batch_first,
        unbatched=recipe.unbatched,
        proj=1 if recipe.proj else 0,
        dtype=recipe.dtype,
        L=min(recipe.L, 3),
        N=min(recipe.N, 2),
        state=recipe.state,
        ragged=recipe.ragged,
        seed=4,
    )
