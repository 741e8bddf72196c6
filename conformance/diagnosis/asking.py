"""Whether a case fails: by its one whole call where that shows it, else by the property that failed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.bounds.forward import Expectation
from conformance.bounds.forward import judge as compared
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case, realise
from conformance.cases.recipe import Recipe
from conformance.diagnosis.gradient_probes import cotangents_of
from conformance.diagnosis.prediction import Predictions
from conformance.diagnosis.probes import Call
from conformance.diagnosis.traits import features
from conformance.engine.judging import Answering, Inquiry
from conformance.facts import Evidence, Unanswered, Unsupported
from conformance.properties.model import Property
from conformance.spec import GATES, Array
from conformance.trials.mismatch import telling

#: The least and the largest of some values, by their dimension's name.
Ranges = Mapping[str, tuple[float, float]]


#: A property is asked at so many seeds at most: some choices show nothing.
_SEEDS = 3


class Late(Exception):
    """The deadline has passed."""


class Asker:
    """What a judge says of cases around one failure; each is asked once, none after the deadline."""

    def __init__(self, judge: Answering, property: Property, deadline: float) -> None:
        self.judge = judge
        self._property = property
        self._deadline = deadline
        #: Whether a case fails if its one whole call is wrong, whatever the property says of other calls.
        self.whole = True
        #: Whether the values of a call are worked out.
        self.ranging = True
        self._known: dict[Recipe, bool | None] = {}
        self._expected: tuple[Recipe, Case, Expectation] | None = None

    def fails(self, recipe: Recipe) -> bool | None:
        """Whether a case fails; None if nothing is said of it. ``Late`` after the deadline."""
        if recipe not in self._known:
            self.in_time()
            self._known[recipe] = self._call(recipe) if self.whole else self._ask(recipe)
        return self._known[recipe]

    def in_time(self) -> None:
        """``Late`` after the deadline."""
        if time.monotonic() > self._deadline:
            raise Late

    def turn_to_property(self) -> None:
        """Ask the property from now on."""
        self.whole = False
        self._known.clear()

    def _ask(self, recipe: Recipe) -> bool | None:
        """Whether the property fails at one of a few seeds that leave the case alike; None if it says nothing of it."""
        own = said(self.judge, self._property, recipe)
        if own is not False:
            return own
        seeds = (replace(recipe, seed=recipe.seed + more) for more in range(1, _SEEDS))
        return any(said(self.judge, self._property, one) for one in seeds if features(one) == features(recipe))

    def evidence(self, recipe: Recipe) -> Evidence | None:
        """The call at which the property fails, if it does."""
        return evidence_of(self.judge, self._property, recipe)

    def _call(self, recipe: Recipe) -> bool | None:
        made = self._expectation(recipe)
        if made is None:
            return None
        case, expectation = made
        if "gradients" in self._property.needs:
            return self._vjp(case)
        reply = self.judge.call(case)
        if reply.result is None:
            return None if isinstance(reply.fact, Unsupported | Unanswered) else True
        result = reply.result
        with np.errstate(all="ignore"):
            findings = list(compared(expectation, lambda layers: result, result.output is None))
            if any(telling(finding).max(initial=0.0) > 1.0 for finding in findings):
                return True
        # Beyond the dtype's range nothing is known.
        return None if any(f.silent() or f.margin() > 1.0 for f in findings) else False

    def _vjp(self, case: Case) -> bool | None:
        """Whether the gradients of a call are wrong, whatever its results are."""
        call = Call(case, cotangents_of(case))
        told = self.judge.call(call.case, call.cotangents)
        if told.result is None:
            return None if isinstance(told.fact, Unsupported | Unanswered) else True
        wrong = Predictions(self.judge.backend).wrong((), call, told) or {}
        return any(part.any() for name, part in wrong.items() if name.startswith("grad "))

    def _expectation(self, recipe: Recipe) -> tuple[Case, Expectation] | None:
        """The case, of which the last layer alone is observed, and what it must give; None where no values are."""
        if self._expected is None or self._expected[0] != recipe:
            capabilities = self.judge.backend.capabilities
            declared = arithmetic(recipe.dtype, capabilities.arithmetic)
            if declared is None:
                return None
            case = replace(realise(recipe, capabilities.fixed), fixed=True)
            self._expected = recipe, case, Expectation(case, declared)
        return self._expected[1:]

    def ranges(self, recipe: Recipe) -> Ranges:
        """The least and the largest of the values in a case's own call, in magnitude or with their signs."""
        made = self._expectation(recipe) if self.whole and self.ranging else None
        if made is None:
            return {}
        case, expectation = made
        given = {"|x|": [np.abs(case.x[case.valid[..., 0]])]}
        h_0, c_0 = case.initial()
        given |= {"|h_0|": [np.abs(h_0)], "|c_0|": [np.abs(c_0)], "a": [], "c": [c_0], "|h|": [np.abs(h_0)]}
        valid = case.valid[..., 0]
        with np.errstate(all="ignore"):
            for layer in range(case.config.num_layers):
                for half in expectation.free_running(layer):
                    given["a"].append(np.concatenate([span.a.value for span in half.spans])[valid])
                    given["c"].append(np.concatenate([span.c.value for span in half.spans])[valid])
                    given["|h|"].append(np.abs(half.output.value[valid]))
            gates = [np.split(part, 4, axis=-1) for part in given["a"]]
            given |= {f"a_{gate}": [parts[k] for parts in gates] for k, gate in enumerate(GATES)}
            signed = [name for name in given if name[0] in "ac"]
            given |= {f"|{name}|": [np.abs(part) for part in given[name]] for name in signed}
            return {name: _range(parts) for name, parts in given.items()}


def evidence_of(judge: Answering, property: Property, recipe: Recipe) -> Evidence | None:
    """The call at which a property fails, if it does."""
    return judge.evidence() if said(judge, property, recipe) else None


def said(judge: Answering, property: Property, recipe: Recipe) -> bool | None:
    """Whether a property fails; None if it says nothing of a case."""
    if not property.when(recipe):
        return None
    [(_, answer)] = judge.ask(recipe, [Inquiry(property, recipe.turn)])
    silent = answer.outcome is None or not (answer.wrong or answer.outcome.good)
    return answer.wrong or None if silent else answer.wrong


def _range(parts: list[Array]) -> tuple[float, float]:
    values = np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts])
    values = np.where(np.isnan(values), np.inf, values)
    return float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))


def called(recipe: Recipe, evidence: Evidence) -> Recipe:
    """A recipe of the sizes and options of a call that a property made of ``recipe``."""
    shapes = {tensor.name: tensor.shape for tensor in evidence.given}
    if not all(evidence.given[0].shape) or "x" not in shapes:
        return recipe
    given = {tensor.name for tensor in evidence.given if tensor.nonzero and tensor.name in ("h_0", "c_0")}
    (L, N, features), weight = shapes["x"], shapes["weight_hh_l0"]
    layers = sum(name.startswith("weight_hh_l") and not name.endswith("_reverse") for name in shapes)
    changes: dict[str, Any] = {"I": features, "H": weight[0] // 4, "L": L, "N": N, "layers": layers}
    changes["proj"] = weight[1] if "weight_hr_l0" in shapes else 0
    changes |= {"bidirectional": "weight_hh_l0_reverse" in shapes, "bias": "bias_hh_l0" in shapes}
    changes["dtype"] = next(tensor.dtype for tensor in evidence.given if tensor.name == "x")
    changes["state"] = {0: "none", 2: "both"}.get(len(given)) or min(given)[0]
    changes["unbatched"] = recipe.unbatched and N == 1
    changes["ragged"] = recipe.ragged and not changes["unbatched"]
    return replace(recipe, edits=(), **changes) if min(L, N) else recipe
