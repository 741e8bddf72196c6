"""The call that failed as plain data: what it was given, and its results beside the oracle's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case, tensors
from conformance.facts import Compared, Element, Evidence, Raised, Tensor
from conformance.spec import Array, LSTMConfig, Result
from conformance.trials.frames import whole_traceback
from conformance.trials.mismatch import place
from conformance.trials.outcomes import Violation, shown

#: A call of so many numbers is shown with all of them; of a larger one, the tensors of so many are. Of a result so many
#: elements are, from the first wrong one on, and the worst.
_FEW, _SMALL, _ELEMENTS = 60, 12, 5

#: So many tensors of a result are compared; gradients may have dozens.
_TENSORS = 12


def evidence(violation: Violation, case: Case) -> Evidence:
    """What shows a violation, whose call was that of ``case``."""
    compared = (_compared(finding, case.config) for finding in violation.findings)
    told = tuple(one for one in compared if one.wrong or one.tensor in Result._fields)
    return Evidence(case.describe(), given(case), told[:_TENSORS], _traceback(violation))


def given(case: Case) -> tuple[Tensor, ...]:
    """The parameters and the arguments of a call; their values where they are few, in all or in one of them."""
    return shown_arrays(tensors(case))


def shown_arrays(named: Mapping[str, Array]) -> tuple[Tensor, ...]:
    """Named arrays as plain data; their values where they are few, in all or in one of them."""
    few = sum(value.size for value in named.values()) <= _FEW
    return tuple(
        Tensor(
            *(name, value.dtype.name, value.shape, int(np.count_nonzero(value))),
            tuple(float(number) for number in value.reshape(-1)) if few or value.size <= _SMALL else None,
        )
        for name, value in named.items()
    )


def _compared(finding: Finding, config: LSTMConfig) -> Compared:
    ratios = finding.ratios()
    wrong = ratios > 1.0
    first = min(int(np.argmax(wrong)), max(0, wrong.size - _ELEMENTS)) if wrong.any() else 0
    chosen = {*range(first, min(first + _ELEMENTS, wrong.size)), *([int(np.argmax(ratios))] if wrong.any() else [])}
    places = [np.unravel_index(k, wrong.shape) for k in sorted(chosen)]
    elements = tuple(_elements(finding, places, wrong, config))
    return Compared(finding.tensor, elements, wrong.size, int(wrong.sum()))


def _elements(finding: Finding, places: list[Any], wrong: Array, config: LSTMConfig) -> Iterator[Element]:
    for at in places:
        expected, actual = float(finding.expected[at]), float(finding.actual[at])
        yield Element(place(finding, at, config), expected, actual, bool(wrong[at]))


def _traceback(violation: Violation) -> str:
    """The whole traceback of a backend's own exception; none where its code is not Python."""
    fact, cause = violation.fact, violation.__cause__
    raised = getattr(fact, "fact", fact)
    if cause is None or not (isinstance(raised, Raised) and raised.frames):
        return ""
    return shown(whole_traceback(cause))
