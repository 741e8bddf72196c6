"""The conditions of a failure, of cases that are known: a recording answers no others.

The covering array has each three choices together in some case. So a conjunction that all failing cases have and no
right one has is nearly always the one that matters. The counts are of the cases that told it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from conformance.cases.recipe import Recipe
from conformance.diagnosis.asking import Asker
from conformance.diagnosis.confirmation import TELLING, reseeded
from conformance.diagnosis.table import Sample, Table
from conformance.diagnosis.traits import ORDER, features, holds
from conformance.facts import Conditions

#: So many more cases like each known one may have an answer.
_AGAIN = 2

#: Fewer cases than this tell nothing: some trait always fits a few.
_FEW = 20


def of_calls(asker: Asker, known: Iterable[Recipe]) -> Conditions | None:
    """What the whole calls that are wrong have in common; ``Late`` after the deadline."""
    alike = [one for case in known for one in (replace(case, turn=0), *islice(reseeded(case), _AGAIN))]
    asked = dict(_asked(asker, alike))
    samples = [Sample(features(case), failed) for case, failed in asked.items()]
    found = _told(samples, 1 + _AGAIN)
    if found is not None and found.exact:
        return found
    # Values may tell what options and sizes do not.
    valued = zip(samples, asked, strict=True)
    return _told([Sample({**one.features, **asker.ranges(case)}, one.failed) for one, case in valued], 1 + _AGAIN)


def of_property(asker: Asker, known: Iterable[Recipe], turns: int) -> Conditions | None:
    """What the cases have in common on which the property fails, in any of its variants."""
    asker.turn_to_property()
    samples = list[Sample]()
    for case in dict.fromkeys(replace(one, turn=0) for one in known):
        said = {asker.fails(replace(case, turn=turn)) for turn in range(turns)}
        if said != {None}:
            samples.append(Sample(features(case), True in said))
    return _told(samples)


def _asked(asker: Asker, cases: Iterable[Recipe]) -> Iterator[tuple[Recipe, bool]]:
    """The cases that have an answer, and whether they fail."""
    for case in dict.fromkeys(cases):
        failed = asker.fails(case)
        if failed is not None:
            yield case, failed


def _told(samples: list[Sample], alike: int = 1) -> Conditions | None:
    """What tells those that failed from the others; so many samples are ``alike``, but for their values."""
    if len(samples) < _FEW or sum(one.failed for one in samples) < TELLING:
        return None
    traits = Table(samples).smallest(alike=alike)
    if not traits:
        return None
    inside = [one.failed for one in samples if all(holds(trait, one.features) for trait in traits)]
    failed_outside = sum(one.failed for one in samples) - sum(inside)
    ordered = tuple(sorted(traits, key=lambda trait: ORDER.index(trait.dimension)))
    return Conditions(ordered, sum(inside), len(inside), failed_outside, len(samples) - len(inside), recorded=True)
