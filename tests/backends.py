"""Backends made from others, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import OPTIONS, Recipe
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.report.model import BackendReport, Verdict
from conformance.spec import LSTMConfig, Params
from conformance.targets.find import find
from conformance.trials.trial import Trial

Forward = Callable[..., Any]

#: What the tests' changed backends declare unless they say otherwise.
WIDE = Capabilities(layers=True, bidirectional=True, dtypes=("float32", "float64"))


def declaring(**capabilities: Any) -> Backend:
    """A backend that is asked what it declares, and never called."""
    return Backend("declaring", Capabilities(**capabilities), lambda config, params: print)


#: Every option, in IEEE arithmetic.
EVERYTHING = declaring(**dict.fromkeys(OPTIONS, True), dtypes=("float32", "float64"))


def around(call: Callable[..., Any], capabilities: Capabilities = WIDE) -> Backend:
    """The NumPy backend, every call of which is made as ``call(forward, config, x, …)``."""
    right = find("numpy")

    def build(config: LSTMConfig, params: Params) -> Forward:
        return partial(call, right.build(config, params), config)

    return Backend("around", capabilities, build)


def only(backend: Backend, *dtypes: str) -> Backend:
    """The backend, declaring no other dtypes."""
    return replace(backend, capabilities=replace(backend.capabilities, dtypes=dtypes))


def by_property(report: BackendReport) -> dict[str, Verdict]:
    return {verdict.property: verdict for verdict in report.verdicts}


def accused(backend: Backend, settings: Settings) -> dict[str, str]:
    """By property, the messages of the bad verdicts; failures are not shrunk."""
    report = conform(backend, replace(settings, shrink=False, strict=True))
    assert any(verdict.cases for verdict in report.verdicts) or report.bad, "nothing was judged"
    return {verdict.property: verdict.message for verdict in report.bad}


def margin(backend: Backend, recipe: Recipe) -> float:
    """The largest error of a case as a share of its bound."""
    return max(finding.margin() for finding in Trial(backend, recipe).findings())
