"""What no formula explains: the conditions under which it fails, and the place in which it is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.diagnosis.asking import Asker, Late, called, evidence_of
from conformance.diagnosis.conditions import conditions
from conformance.diagnosis.confirmation import Fresh, answered, valued_dtypes
from conformance.diagnosis.earlier import earlier_calls
from conformance.diagnosis.elsewhere import misplaced
from conformance.diagnosis.gradient_probes import cotangents_of
from conformance.diagnosis.grouping import of_gradients
from conformance.diagnosis.location import locate
from conformance.diagnosis.probes import Call
from conformance.diagnosis.search import failing
from conformance.diagnosis.session import Session
from conformance.diagnosis.tabulated import of_calls, of_property
from conformance.diagnosis.traits import features, holds
from conformance.facts import Cause, Conditions, Degree, Outcome, Place, Trait
from conformance.properties import catalogue
from conformance.report.model import Verdict

#: No conditions are looked for after this share of the time, and those that are sought end a little later.
_LAST, _PLACED = 0.95, 0.97

#: Sizes that are kept small there.
_NEAR = ("L", "N", "H", "I")

#: Cases in which it is looked where a value belongs.
_WIDER = 4

#: So many causes are located.
_MOST = 3

#: Properties, or groups of them, whose statements say by themselves what is wrong, the more telling ones first.
TELLING = (
    "parameters.fresh",
    *("purity.input-untouched", "purity.state-untouched", "purity.lengths-untouched", "purity.params-untouched"),
    *("purity", "lengths.after-others", "gradients.untouched", "gradients.repeat", "gradients.threads", "dropout"),
    *("gradients.after-others", "gradients.other-calls", "gradients.linear", "gradients.no-alias"),
)

#: Those that say it where nothing else is wrong that values show.
TELLING_ALONE = (
    *("degenerate", "refusals", "nonfinite", "layout.final-state", "values.accumulation"),
    *("gradients.broadcast", "gradients.no-rows"),
)


def located(session: Session, told: set[str], fresh: Sequence[Fresh]) -> tuple[Cause, ...]:
    """A cause for the failures that are not ``told`` of yet and fail under the same conditions, the first ones first.

    ``fresh`` are other cases, with the backend's replies, by which a place is told.
    """
    left = sorted((v for v in session.failed if v.property not in told), key=_rank)
    causes = list[Cause]()
    while left and len(causes) < _MOST:
        first, now = left[0], time.monotonic()
        if now > session.after(_LAST):
            break
        session.progress("looking for conditions")
        until = now + (session.after(_PLACED) - now) / min(len(left), _MOST - len(causes))
        recipe = parse(first.recipe or "")
        broken = first.property if _tells(first) else ""
        # Exceptions as well as values may come with a later call alone.
        later = first.history or not {first.property, catalogue()[first.property].group}.isdisjoint(TELLING)
        found = _of_earlier_calls(session, recipe, until) if later else None
        if found is None and not first.history:
            found = _conditions(session, first, recipe, fresh, until)
        found = found if found is not None and found.traits else None
        alike = [v for v in left if v is first or (found and _has(session, found, v)) or (broken and _akin(first, v))]
        ids = tuple(v.property for v in alike)
        left = [v for v in left if v.property not in ids]
        same = next((k for k, one in enumerate(causes) if found and _traits(one.conditions) == _traits(found)), None)
        if same is not None:
            causes[same] = replace(causes[same], explains=(*causes[same].explains, *ids))
        elif found or broken:
            place = _place(session, alike, found, fresh) if found else None
            causes.append(Cause(Degree.LOCATED, broken=broken, conditions=found, place=place, explains=ids))
    left = [v for v in session.failed if v.property not in told]
    if left and not told and not causes:
        place = _place(session, left, None, fresh)
        # That something is wrong somewhere is known already.
        if place is not None and place != Place(error=place.error, in_roundoffs=place.in_roundoffs):
            causes.append(Cause(Degree.LOCATED, place=place))
    return tuple(causes)


def _conditions(
    session: Session, verdict: Verdict, recipe: Recipe, fresh: Sequence[Fresh], until: float
) -> Conditions | None:
    """The conditions of a failure, by experiments; where calls are recorded, of the cases that have an answer."""
    judge, property = session.judge, catalogue()[verdict.property]
    if "live" not in judge.backend.ruled_out:
        return conditions(judge, property, recipe, until)
    asker = Asker(judge, property, until)
    known = dict.fromkeys((*session.known, recipe, *(one.recipe for one in fresh if one.recipe is not None)))
    try:
        found = of_calls(asker, known)
        if found is not None and (asker.fails(replace(recipe, turn=0)) or _has(session, found, verdict)):
            return found
        return of_property(asker, known, property.turns)
    except Late:
        return None


def _of_earlier_calls(session: Session, recipe: Recipe, until: float) -> Conditions | None:
    """The conditions on earlier calls, where it takes some."""
    dtypes = valued_dtypes(session.judge.backend)
    c = session.judge.backend.capabilities
    recorded = "live" in session.judge.backend.ruled_out
    if recorded or not dtypes or c.fixed is not None or c.compiled:
        return None
    return earlier_calls(session.judge, session.predictions, recipe, dtypes[0], until)


def _place(session: Session, failed: list[Verdict], found: Conditions | None, fresh: Sequence[Fresh]) -> Place | None:
    """The place of failures, of their smallest cases and of fresh ones: the smallest have few steps and rows."""
    if not valued_dtypes(session.judge.backend):
        return None
    of_vjp = any(of_gradients(verdict) for verdict in failed)
    chosen = [one for one in fresh if (one.call.cotangents is not None) == of_vjp]
    chosen = [one for one in chosen if found is None or (one.recipe and _all_hold(found, one.recipe))]
    others = [(one.call, one.reply) for one in (*chosen, *_wider(session, failed, found, of_vjp))]
    if of_vjp:
        # Without the layers of parameters.
        names = {name.partition("_l")[0] for call, told in others for name in session.predictions.off(call, told)}
        place = Place(tensors=tuple(sorted(names))) if names else None
    else:
        call = session.judge.call
        small = ((probe.calls[0].case, call(probe.calls[0].case)) for probe in failing(session, failed))
        place = locate(
            session.predictions, call, chain(small, ((c.case, told) for c, told in others)), (), session.late
        )
    return place and replace(place, misplaced=misplaced(session.predictions, others, session.late))


def _wider(session: Session, failed: list[Verdict], found: Conditions | None, of_vjp: bool) -> list[Fresh]:
    """The first failing case again with a few features, units and rows: where a value belongs shows in several."""
    capabilities = session.judge.backend.capabilities
    recipe = replace(parse(failed[0].recipe or ""), edits=(), turn=0, view="plain", fill="normal")
    rows = {"N": max(recipe.N, 3)} if capabilities.batch and not recipe.unbatched else {}
    sizes = {"I": max(recipe.I, 3), "H": max(recipe.H, 4), "proj": max(recipe.proj, 2) if recipe.proj else 0}
    # Past a threshold, and no farther: over hundreds of steps a bound with nothing observed tells nothing.
    traits = () if found is None else found.traits
    numbers = [t for t in traits if t.dimension in _NEAR and t.relation == ">="]
    near = {name: min(getattr(recipe, name), 6) for name in _NEAR} | {t.dimension: int(t.value) + 2 for t in numbers}
    small = replace(recipe, **{**near, **{k: v for k, v in sizes.items() if v < 8 or k == "proj"}})
    cases = []
    for wide in (replace(small, **rows), small, replace(recipe, **sizes, **rows), replace(recipe, **sizes), recipe):
        if capabilities.fixed is None and (found is None or _all_hold(found, wide)):
            for seed in range(_WIDER):
                if session.late():
                    break
                made = replace(wide, seed=seed, proj=min(wide.proj, wide.H - 1))
                case = realise(made)
                call = Call(case, cotangents_of(case)) if of_vjp else Call(case)
                cases.append(Fresh(str(made), call, session.reply(call), made))
            break
    return answered(cases)


def _rank(verdict: Verdict) -> int:
    """Where a property stands: the telling ones first, those that tell it where nothing else is wrong last."""
    # An error tells of the exception alone.
    names = (verdict.property, catalogue()[verdict.property].group) if verdict.outcome == Outcome.FAILED else ()
    order = (*TELLING, "", *TELLING_ALONE)
    return next((k for k, name in enumerate(order) if name in names), len(TELLING))


def _tells(verdict: Verdict) -> bool:
    """Whether a property says by itself what is wrong."""
    return _rank(verdict) != len(TELLING)


def _akin(first: Verdict, other: Verdict) -> bool:
    """Whether two telling properties are of one group: one mistake breaks several of them."""
    one, two = catalogue()[first.property].group, catalogue()[other.property].group
    return one == two and _tells(other)


def _traits(found: Conditions | None) -> frozenset[Trait]:
    return frozenset() if found is None else frozenset(found.traits)


def _has(session: Session, found: Conditions, verdict: Verdict) -> bool:
    """Whether the smallest case of a failure has all traits, or else the call that its property made of it."""
    if verdict.recipe is None or verdict.history:
        return False
    recipe = parse(verdict.recipe)
    if _all_hold(found, recipe):
        return True
    if not all(trait.dimension in features(recipe) for trait in found.traits):
        return False
    evidence = None if session.late() else evidence_of(session.judge, catalogue()[verdict.property], recipe)
    return evidence is not None and _all_hold(found, called(recipe, evidence))


def _all_hold(found: Conditions, recipe: Recipe) -> bool:
    known = features(recipe)
    return all(trait.dimension in known and holds(trait, known) for trait in found.traits)
