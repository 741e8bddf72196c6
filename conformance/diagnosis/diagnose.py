"""The whole diagnosis of one backend: a search for the forward pass, one for gradients, and conditions of what is left.

Nothing is asked of a backend without failures. A step that no time is left for is named among the untried ones, or
leaves its counts smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from conformance.cases.recipe import Recipe
from conformance.diagnosis.confirmation import Fresh
from conformance.diagnosis.following import following
from conformance.diagnosis.locating import located
from conformance.diagnosis.right import right_parts
from conformance.diagnosis.search import Search, of_forward, of_vjp
from conformance.diagnosis.session import Counting, Session
from conformance.diagnosis.shared import FRESH, spoiled
from conformance.engine.judging import Answering
from conformance.facts import Cause, Degree, Diagnosis
from conformance.report.model import BackendReport
from conformance.spec import Result

#: The share of its time after which a search for gradients has learnt whether they follow from the forward pass.
_FOLLOWED = 0.5


def diagnose(
    judge: Answering,
    report: BackendReport,
    seconds: float = 20.0,
    progress: Callable[[str], None] = lambda step: None,
    without: frozenset[str] = frozenset(),
    known: Sequence[Recipe] = (),
) -> Diagnosis:
    """The causes of the failures in a report, found within ``seconds`` by asking the judge more.

    ``progress`` is told the name of each step as it begins. A backend without failures is asked nothing. ``without``
    are faults that no hypothesis may name. ``known`` are the cases of a recording, which answers no others.
    """
    if not report.bad:
        return Diagnosis(limit=seconds)
    session = Session(Counting(judge), report, seconds, progress, without, known)
    forward = Search(session, of_forward(session))
    causes = _with_spoiled(session, forward, forward.causes())
    gradients = Search(session, of_vjp(session, {id for cause in causes for id in cause.explains}))
    causes = _with_gradients(session, causes, gradients)
    told = {id for cause in causes for id in cause.explains}
    fresh = [
        one
        for search in (forward, gradients)
        if search.question.failed and search.question.dtypes
        for one in search.fresh
    ]
    causes += located(session, told, fresh)
    told |= {id for cause in causes for id in cause.explains}
    return Diagnosis(
        causes,
        tuple(verdict.property for verdict in report.bad if verdict.property not in told),
        _seen_right(session, right_parts(report, "live" not in judge.backend.ruled_out), fresh),
        tuple(dict.fromkeys(session.untried)),
        session.judge.calls,
        time.monotonic() - session.started,
        seconds,
    )


def _seen_right(session: Session, words: tuple[str, ...], fresh: Sequence[Fresh]) -> tuple[str, ...]:
    """The words for what is right, without the tensors that no wrong fresh case shows to be right."""
    wrong = {name for one in fresh for name in session.predictions.off(one.call, one.reply)}
    return tuple(word for word in words if word not in Result._fields or (wrong and word not in wrong))


def _with_spoiled(session: Session, search: Search, causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The causes with what follows from weights that models share: as a cause of its own, where no formula tells it."""
    told = {id for cause in causes for id in cause.explains}
    fails = any(verdict.property == FRESH for verdict in session.failed)
    if not fails or (FRESH in told and not search.spoiled):
        return causes
    session.progress("other sizes")
    left = [verdict for verdict in session.failed if verdict.property not in told]
    ids = spoiled(session.judge, left, session.after(_FOLLOWED))
    if search.spoiled and causes:
        return (replace(causes[0], explains=(*causes[0].explains, *ids)), *causes[1:])
    return (*causes, Cause(Degree.LOCATED, broken=FRESH, explains=(FRESH, *(id for id in ids if id != FRESH))))


def _with_gradients(session: Session, causes: tuple[Cause, ...], search: Search) -> tuple[Cause, ...]:
    """The causes with those of failed gradients, which may be a consequence of the forward pass."""
    question = search.question
    if not question.failed or not question.dtypes:
        return causes
    if causes:
        session.progress("gradients of the altered forward pass")
        altered = tuple(one for cause in causes for one in cause.alterations)
        until = search.until(_FOLLOWED)
        ids = following(altered, session.predictions, session.reply, question.failed, until)
        if ids:
            return (replace(causes[0], explains=(*causes[0].explains, *ids)), *causes[1:])
    return (*causes, *search.causes())
