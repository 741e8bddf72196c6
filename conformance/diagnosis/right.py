"""What is right about a backend that fails: the results and the options of which every judgement is right."""

from __future__ import annotations

from collections.abc import Callable

from conformance.cases.recipe import Recipe, parse
from conformance.facts import Mismatch, Outcome, Within
from conformance.report.model import BackendReport, Verdict

#: The properties that judge a tensor alone, by the tensor.
_OF_TENSORS = {"output": "values.output", "h_n": "values.h_n", "c_n": "values.c_n"}

#: What all minimal cases of the failures have; everything without it is right as far as was seen.
_NEEDED: dict[str, Callable[[Recipe], bool]] = {
    "without lengths": lambda r: r.ragged,
    "without a state": lambda r: r.state != "none",
    "one layer": lambda r: r.layers > 1,
    "one direction": lambda r: r.bidirectional,
    "without a projection": lambda r: r.proj > 0,
}


def right_parts(report: BackendReport, minimal: bool = True) -> tuple[str, ...]:
    """Stable words for what is right: "output", "h_n", "c_n", "forward", "gradients", "without lengths", "one layer" …

    A tensor is right if the property that judges it passed, and no failure is told of it; "forward" if all that fails
    is gradients. "without lengths" and the like are words only where each failure has a minimal case, and all of them
    have lengths; never of failures whose cases are not ``minimal``, such as those of a recording. Nothing is said of a
    backend without failures, or of what was not judged.
    """
    if not report.bad:
        return ()
    outcomes = {verdict.property: verdict.outcome for verdict in report.verdicts}
    told = {_tensor(verdict) for verdict in report.bad}
    words = [name for name, id in _OF_TENSORS.items() if outcomes.get(id) == Outcome.PASSED and name not in told]
    gradients = [verdict for verdict in report.verdicts if verdict.property.startswith("gradients.")]
    if gradients and all(verdict in gradients for verdict in report.bad):
        words.append("forward")
    elif any(v.outcome == Outcome.PASSED for v in gradients) and not any(v.outcome.bad for v in gradients):
        words.append("gradients")
    recipes = [parse(verdict.recipe) for verdict in report.bad if verdict.recipe is not None]
    if minimal and len(recipes) == len(report.bad):
        words += [word for word, needed in _NEEDED.items() if all(needed(recipe) for recipe in recipes)]
    return tuple(words)


def _tensor(verdict: Verdict) -> str:
    """The tensor that a failure is told of."""
    fact = verdict.fact.fact if isinstance(verdict.fact, Within) else verdict.fact
    return fact.tensor if isinstance(fact, Mismatch) else ""
