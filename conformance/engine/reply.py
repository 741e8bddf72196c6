"""A call of the caller's own making: what a backend returns to arrays that no recipe gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.backend import Backend
from conformance.cases.case import Case, handed
from conformance.cases.cotangents import Cotangents
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.errors import Ended
from conformance.facts import Fact, Unanswered
from conformance.reference.backward import Gradients
from conformance.spec import Result
from conformance.trials.calls import (
    blaming,
    call,
    call_vjp,
    canonical_gradients,
    canonical_result,
    check_model,
    fresh_params,
)
from conformance.trials.outcomes import Narrowed, NotAnswered, Violation, said


@dataclass(frozen=True, eq=False)
class Reply:
    """What one call of a fresh model returned, in canonical layout, or why it returned nothing."""

    result: Result | None = None
    gradients: Gradients | None = None
    fact: Fact | None = None

    @property
    def unanswered(self) -> bool:
        """Whether nothing is known of it: a recording has no answer to the call."""
        return isinstance(self.fact, Unanswered)


def reply(backend: Backend, case: Case, cotangents: Cotangents | None = None) -> Reply:
    """The reply to a case, or to its vjp where ``cotangents`` are given. It does not raise."""
    try:
        with np.errstate(all="ignore"):
            with blaming("build", case):
                model = backend.build(case.config, fresh_params(case.params))
            check_model(model)
            if cotangents is None:
                result, gradients = call(model, case, *handed(case)), None
            else:
                given = (*handed(case), *handed_cotangents(case, cotangents))
                result, gradients = call_vjp(model, case, *given)
                gradients = canonical_gradients(case, gradients, backend.capabilities)
            return Reply(canonical_result(case, result, backend.capabilities.returns), gradients)
    except (Violation, Narrowed, NotAnswered) as error:
        return Reply(fact=error.fact)
    except Ended as ended:
        return Reply(fact=said(str(ended)))
