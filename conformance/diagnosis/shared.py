"""Weights that all models of a process share: a model's first call is right, if no model of its sizes came before.

Such a mistake spoils every call that is asked afterwards. So what it made fail is told by other sizes, which no model
has had yet: there the same property holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from conformance.cases.recipe import parse
from conformance.diagnosis.asking import said
from conformance.engine.judging import Answering
from conformance.properties import catalogue
from conformance.report.model import Verdict

#: The property that fails where models share their weights.
FRESH = "parameters.fresh"

#: Those that fail with it at any size.
_AKIN = ("purity.two-models",)

#: Sizes from here on are those of no other call of the diagnosis.
_FEATURES, _UNITS, _MOST = 80, 27, 400


def spoiled(judge: Answering, failed: Iterable[Verdict], deadline: float) -> tuple[str, ...]:
    """The ids of the failed properties that hold for a model of sizes that no model has had yet, and of those akin."""
    if judge.backend.capabilities.fixed is not None:
        return ()
    found = list[str]()
    for number, verdict in enumerate(failed):
        if verdict.recipe is None or number > _MOST or time.monotonic() > deadline:
            continue
        if verdict.property in _AKIN:
            found.append(verdict.property)
            continue
        own = parse(verdict.recipe)
        recipe = replace(own, I=_FEATURES + number % 100, H=_UNITS + number // 100, edits=())
        if said(judge, catalogue()[verdict.property], recipe) is False:
            found.append(verdict.property)
    return tuple(found)
