"""Which failed properties a cause explains: those that fail on the same recipe for the LSTM with that cause alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import parse
from conformance.diagnosis.library import twin_of
from conformance.engine.judging import Here, Inquiry
from conformance.errors import SuiteError
from conformance.facts import Alteration
from conformance.faults.backward import Differentiable
from conformance.faults.fault import EVERYTHING
from conformance.properties import catalogue
from conformance.report.model import Verdict


def explained(
    alterations: Sequence[Alteration], backend: Backend, failed: Iterable[Verdict], deadline: float
) -> tuple[str, ...]:
    """The ids of the failed properties that fail for this LSTM as well, as far as there is time to ask."""
    twin = twin_of(alterations)
    if twin is None:
        return ()
    differentiable = isinstance(twin, Differentiable)
    # What the twin declares decides what its own tests are; the rest is as the backend's, such as what it returns.
    model = Here(replace(backend, capabilities=_able(backend, differentiable), build=twin.build, process=None))
    asked = [v for v in failed if differentiable or not of_gradients(v)]
    return tuple(v.property for v in asked if time.monotonic() < deadline and _fails(model, v))


def of_gradients(verdict: Verdict) -> bool:
    """Whether a property calls the vjp."""
    return "gradients" in catalogue()[verdict.property].needs


def _able(backend: Backend, differentiable: bool) -> Capabilities:
    c = backend.capabilities
    gradients = c.gradients if differentiable else False
    return replace(c, gradients=gradients, compiled=False, expected_failures={}, threads=EVERYTHING.threads)


def _fails(model: Here, verdict: Verdict) -> bool:
    if verdict.recipe is None:
        return False
    asked, recipe = catalogue()[verdict.property], parse(verdict.recipe)
    for earlier in verdict.history:
        model.run(parse(earlier))
    with suppress(SuiteError):
        return any(answer.wrong for _, answer in model.ask(recipe, [Inquiry(asked, recipe.turn)]))
    return False
