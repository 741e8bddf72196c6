"""The call that failed as plain data: what it was given, and its results beside the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case, tensors
from conformance.facts import Compared, Element, Evidence, Raised, Tensor, first_and_worst
from conformance.spec import Array, LSTMConfig, Result
from conformance.trials.frames import whole_traceback
from conformance.trials.mismatch import number, place
from conformance.trials.outcomes import Violation, shown

#: A call of so many numbers is shown with all of them; of a larger one, the tensors of so many are. So are its results,
#: and of a larger tensor a few elements.
_FEW, _SMALL = 60, 12

#: So many tensors of a result are compared; gradients may have dozens.
_TENSORS = 12


def evidence(violation: Violation, case: Case) -> Evidence:
    """What shows a violation, whose call was that of ``case``."""
    findings = [one for one in violation.findings if one.tensor in Result._fields or (one.ratios() > 1.0).any()]
    told = findings[:_TENSORS]
    few = sum(finding.actual.size for finding in told) <= _FEW
    compared = tuple(_compared(finding, case.config, few) for finding in told)
    return Evidence(case.describe(), given(case), compared, _traceback(violation))


def given(case: Case) -> tuple[Tensor, ...]:
    """The parameters and the arguments of a call; their values where they are few, in all or in one of them."""
    return shown_arrays(tensors(case))


def shown_arrays(named: Mapping[str, Array]) -> tuple[Tensor, ...]:
    """Named arrays as plain data; their values where they are few, in all or in one of them."""
    few = sum(value.size for value in named.values()) <= _FEW
    return tuple(
        Tensor(
            *(name, value.dtype.name, value.shape, int(np.count_nonzero(value))),
            tuple(map(number, value.reshape(-1))) if few or value.size <= _SMALL else None,
        )
        for name, value in named.items()
    )


def _compared(finding: Finding, config: LSTMConfig, few: bool) -> Compared:
    ratios = finding.ratios()
    wrong = ratios > 1.0
    chosen = range(wrong.size) if few or wrong.size <= _SMALL else first_and_worst(ratios.reshape(-1).tolist())
    places = [np.unravel_index(k, wrong.shape) for k in chosen]
    elements = tuple(_elements(finding, places, ratios, config))
    return Compared(finding.tensor, elements, wrong.size, int(wrong.sum()))


def _elements(finding: Finding, places: list[Any], ratios: Array, config: LSTMConfig) -> Iterator[Element]:
    for at in places:
        share = number(ratios[at])
        told = number(finding.expected[at]), number(finding.actual[at]), share
        yield Element(place(finding, at, config), *told, share > 1.0)


def _traceback(violation: Violation) -> str:
    """The whole traceback of a backend's own exception; none where its code is not Python."""
    fact, cause = violation.fact, violation.__cause__
    raised = getattr(fact, "fact", fact)
    if cause is None or not (isinstance(raised, Raised) and raised.frames):
        return ""
    return shown(whole_traceback(cause))
