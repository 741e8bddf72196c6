"""What no formula explains: the conditions under which it fails, and the place in which it is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.conditions import conditions
from conformance.diagnosis.confirmation import Fresh, valued_dtypes
from conformance.diagnosis.location import locate
from conformance.diagnosis.search import failing
from conformance.diagnosis.session import Session
from conformance.diagnosis.traits import features, holds
from conformance.facts import Cause, Conditions, Degree, Place, Trait
from conformance.properties import catalogue
from conformance.report.model import Verdict

#: No conditions are looked for after this share of the time, and those that are sought end a little later.
_LAST, _PLACED = 0.95, 0.97

#: So many causes are located.
_MOST = 3


def located(session: Session, told: set[str], fresh: Sequence[Fresh]) -> tuple[Cause, ...]:
    """A cause for the failures that are not ``told`` of yet and fail under the same conditions, the first ones first.

    ``fresh`` are other cases, with the backend's replies, by which a place is told.
    """
    left, causes = [v for v in session.failed if v.property not in told], list[Cause]()
    while left and len(causes) < _MOST:
        first, now = left[0], time.monotonic()
        if now > session.after(_LAST):
            break
        session.progress("looking for conditions")
        until = now + (session.after(_PLACED) - now) / min(len(left), _MOST - len(causes))
        recipe = parse(first.recipe or "")
        found = conditions(session.judge, catalogue()[first.property], recipe, until) if not first.history else None
        if found is None or not found.traits or not _telling(found):
            left = left[1:]
            continue
        ids = tuple(v.property for v in left if v is first or _has(found, v))
        left = [v for v in left if v.property not in ids]
        same = next((k for k, one in enumerate(causes) if _traits(one.conditions) == _traits(found)), None)
        if same is not None:
            causes[same] = replace(causes[same], explains=(*causes[same].explains, *ids))
            continue
        place = _place(session, [v for v in session.failed if v.property in ids], found, fresh)
        causes.append(Cause(Degree.LOCATED, conditions=found, place=place, explains=ids))
    left = [v for v in session.failed if v.property not in told]
    if left and not told and not causes:
        place = _place(session, left, None, fresh)
        # That something is wrong somewhere is known already.
        if place is not None and place != Place(error=place.error, in_roundoffs=place.in_roundoffs):
            causes.append(Cause(Degree.LOCATED, place=place))
    return tuple(causes)


def _place(session: Session, failed: list[Verdict], found: Conditions | None, fresh: Sequence[Fresh]) -> Place | None:
    """The place of failures, of their smallest cases and of fresh ones: the smallest have few steps and rows."""
    if not valued_dtypes(session.judge.backend):
        return None
    call = session.judge.call
    small = ((probe.cases[0], call(probe.cases[0])) for probe in failing(session, failed))
    others = (
        (one.call.case, one.reply)
        for one in fresh
        if one.call.cotangents is None and (found is None or (one.recipe and _all_hold(found, one.recipe)))
    )
    return locate(session.predictions, call, chain(small, others), (), session.late)


def _traits(found: Conditions | None) -> frozenset[Trait]:
    return frozenset() if found is None else frozenset(found.traits)


def _telling(found: Conditions) -> bool:
    """Whether conditions tell a person something: which variants of a property pass does not, unless it is exact."""
    return found.exact or all(trait.dimension != "turn" for trait in found.traits)


def _has(found: Conditions, verdict: Verdict) -> bool:
    """Whether the smallest case of a failure has all traits, as far as its recipe tells."""
    return verdict.recipe is not None and not verdict.history and _all_hold(found, parse(verdict.recipe))


def _all_hold(found: Conditions, recipe: Recipe) -> bool:
    known = features(recipe)
    return all(trait.dimension in known and holds(trait, known) for trait in found.traits)
