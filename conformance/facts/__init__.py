"""Judgements as data: outcomes, and the facts that are said beside them.

Facts travel from a check to a report as they are. ``report/english.py`` alone puts them into words, and
``report/causes.py`` those of a diagnosis. Nothing reads words back.
"""

from conformance.facts.causes import Alteration, Cause, Conditions, Degree, Diagnosis, Misplaced, Place, Trait
from conformance.facts.differences import Difference, Step
from conformance.facts.evidence import Compared, Element, Evidence, Tensor, first_and_worst
from conformance.facts.failures import Frame, Mismatch, Misshapen, Raised, Said, Unsupported, Within, apart
from conformance.facts.limits import (
    AdapterBroken,
    CutShort,
    Discarded,
    DtypeUnjudged,
    Fact,
    Gap,
    Interruption,
    LeftOut,
    NoCase,
    NotJudged,
    NotStarted,
    Part,
    Quick,
    Scope,
    Unanswered,
    Undeclared,
    Unshown,
)
from conformance.facts.measurements import Measured
from conformance.facts.outcomes import Outcome, Recurrence

__all__ = [
    "AdapterBroken",
    "Alteration",
    "Cause",
    "Compared",
    "Conditions",
    "CutShort",
    "Degree",
    "Diagnosis",
    "Difference",
    "Discarded",
    "DtypeUnjudged",
    "Element",
    "Evidence",
    "Fact",
    "Frame",
    "Gap",
    "Interruption",
    "LeftOut",
    "Measured",
    "Mismatch",
    "Misplaced",
    "Misshapen",
    "NoCase",
    "NotJudged",
    "NotStarted",
    "Outcome",
    "Part",
    "Place",
    "Quick",
    "Raised",
    "Recurrence",
    "Said",
    "Scope",
    "Step",
    "Tensor",
    "Trait",
    "Unanswered",
    "Undeclared",
    "Unshown",
    "Unsupported",
    "Within",
    "apart",
    "first_and_worst",
]
