"""Which failed properties a cause explains: those that fail on the same recipe for the LSTM with that cause alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from conformance.backend import Backend
from conformance.cases.recipe import parse
from conformance.diagnosis.library import twin_of
from conformance.engine.judging import Here, Inquiry
from conformance.errors import SuiteError
from conformance.facts import Alteration
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
    # What the twin declares decides what its own tests are; the rest is as the backend's, such as what it returns.
    model = Here(replace(backend, capabilities=_able(backend), build=twin.build, process=None))
    return tuple(v.property for v in failed if time.monotonic() < deadline and _fails(model, v))


def _able(backend: Backend) -> object:
    c = backend.capabilities
    return replace(c, gradients=False, compiled=False, expected_failures={}, fixed=c.fixed, threads=EVERYTHING.threads)


def _fails(model: Here, verdict: Verdict) -> bool:
    if verdict.recipe is None:
        return False
    asked, recipe = catalogue()[verdict.property], parse(verdict.recipe)
    for earlier in verdict.history:
        model.run(parse(earlier))
    with suppress(SuiteError):
        return any(answer.wrong for _, answer in model.ask(recipe, [Inquiry(asked, recipe.turn)]))
    return False
