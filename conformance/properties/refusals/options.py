"""Options that a backend does not declare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.recipe import OPTIONS
from conformance.facts import Misshapen, Outcome
from conformance.properties.model import ASKED_DTYPES, prop, undeclared_options
from conformance.spec import Result
from conformance.trials.outcomes import Discard, Narrowed, Violation, within
from conformance.trials.signatures import Unaffordable
from conformance.trials.trial import Trial


@prop(
    "refusals.undeclared",
    needs=("undeclared",),
    every=8,
    limit=8,
    fails="ignores an option that it does not declare",
)
def undeclared(trial: Trial) -> None:
    """An option that the backend does not declare raises or is right; it is never silently ignored.

    openvino#37820 ignored layout=1; pytorch#74953 quantized proj_size away; keras#20588 lost an option in a clone.
    """
    ordinary = trial.resized(view="plain", fill="normal", gain=1.0)
    for option in undeclared_options(trial.backend):
        if option == "dropout":
            _dropout(ordinary)
            continue
        recipe = ordinary.recipe
        changed = replace(recipe, dtype=option) if option in ASKED_DTYPES else OPTIONS[option](recipe)
        asked = ordinary.derived(**vars(changed))
        try:
            if option in ASKED_DTYPES:
                _dtype_kept(asked)
            # First the call with the option: those of the layers below it may be declared, and broken by themselves.
            _ = asked.result
            if asked.arithmetic is not None:
                asked.require(asked.findings())
        except Unaffordable:
            raise
        except Discard:
            continue
        except Violation as violation:
            of_option = violation.case is None or violation.case.config == asked.case.config
            misshapen = isinstance(violation.fact, Misshapen) and of_option
            if violation.outcome == Outcome.FAILED and (misshapen or trial.right()):
                with within(f"{option} is not declared, yet accepted", asked.case):
                    raise
            continue
        except Narrowed:
            continue


def _dtype_kept(asked: Trial) -> None:
    """Results of another dtype than the one asked for say that it was ignored."""
    for name, part in zip(Result._fields, asked.call(asked.case), strict=True):
        if part is not None and part.dtype != asked.case.config.dtype:
            raise Violation(f"{name} has dtype {part.dtype}", case=asked.case)


def _dropout(ordinary: Trial) -> None:
    """Dropout in training must not be ignored: the result without dropout, in training, is the sign of that."""
    stacked = ordinary.derived(layers=2)
    case = stacked.case
    dropped = replace(case, config=replace(case.config, dropout=0.5, training=True))
    try:
        result = stacked.run(dropped)
    except (Violation, Narrowed):
        return
    pairs = [(a, b) for a, b in zip(result, stacked.result, strict=True) if a is not None and b is not None]
    if all(np.array_equal(a, b) for a, b in pairs):
        raise Violation("dropout is not declared, yet dropout=0.5 in training is accepted and ignored")
