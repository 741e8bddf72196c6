"""What several properties of dropout use."""

from __future__ import annotations

from conformance.bounds.chance import threshold
from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

#: How probable it may be that any of a run's tests accuses a correct implementation.
ALARM = 1e-9

#: How many cases of a run a property tests for chance, and how many tests a case has at most: the rate between three
#: layers and in two directions, six axes of independence, and whether two masks are one.
CHECKS, _TESTS = 24, 4 + 6 + 1

#: The surprise that is taken for a deviation.
LIMIT = threshold(ALARM, CHECKS * _TESTS)

#: The needs of what is drawn by chance, and of all that a wired model tells.
NEEDS = ("dropout", "layers", "params", "values")


def stacked(recipe: Recipe) -> bool:
    """Dropout is between layers."""
    return recipe.layers > 1


def precise(recipe: Recipe) -> bool:
    """Half precision blurs what a unit's output tells; so does reduced arithmetic, which ``read`` leaves out."""
    return recipe.layers > 1 and recipe.dtype in ("float32", "float64")


def require_gradients(trial: Trial, findings: list[Finding], case: Case) -> None:
    """The gradients must be within their bounds, if the results are: other properties judge those."""
    if not right([finding for finding in findings if not finding.tensor.startswith("grad")]):
        raise Discard
    trial.require(findings, case)
