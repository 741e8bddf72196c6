"""The tally: what is known of each property during a run, and the verdict that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isinf

from conformance import facts
from conformance.backend import unjudged
from conformance.cases.recipe import Recipe
from conformance.engine.foresight import Pace
from conformance.engine.judging import Answer
from conformance.engine.plan import Plan
from conformance.engine.scope import traits, wherever
from conformance.facts import Evidence, Fact, Interruption, Outcome, Recurrence, Scope
from conformance.properties.model import Property
from conformance.report.model import Verdict

#: So many cases are asked of a property after its error; so few if none was right.
_FURTHER, _IN_VAIN = 120, 12


@dataclass
class Count(Pace):
    """The counts of one property so far."""

    margin: float | None = None
    narrowed: int = 0
    example: facts.Unsupported | None = None
    worst: float | None = None
    worst_recipe: str | None = None
    #: What the models that were met lack of what the property asks for.
    lacking: facts.Undeclared | None = None
    #: Cases that a recording has no answers for: to calls that it has, and to calls that it has not.
    unanswered: int = 0
    unrecorded: int = 0
    #: Cases that ended the process before the property could say anything, and those of which it had nothing to say.
    lost: int = 0
    discarded: int = 0
    #: Cases that were asked after the property had its verdict.
    further: int = 0
    #: Cases that were answered wrongly, and those in which the backend raised.
    wrong: int = 0
    erred: int = 0
    #: The traits of the cases that were right, and of those in which the backend raised.
    right_in: set[frozenset[str]] = field(default_factory=set)
    erred_in: set[frozenset[str]] = field(default_factory=set)

    def asked_on(self) -> bool:
        """Whether a property is asked about more cases after an error, for the sake of those that are right."""
        return self.further < (_FURTHER if self.passed else _IN_VAIN)

    def scope(self) -> Scope | None:
        """The cases in which an error did not show, if there are any."""
        cases = self.passed + self.wrong + self.erred
        found = Scope(cases, self.passed, self.wrong, wherever(self.erred_in, self.right_in))
        return found if self.passed and self.erred else None


class Tally:
    """Counts and verdicts of one backend, by property."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts = {p.id: Count(**vars(plan.pace(p))) for p in plan.properties}
        self.verdicts: dict[str, Verdict] = {}
        #: By the id of each property that does not hold, how it was first seen: with a case that is not shrunk yet.
        self.failed: dict[str, Verdict] = {}
        #: By how the process ended, the property that says so.
        self.ends: dict[Outcome, str] = {}
        #: Whether the smoke gate has failed.
        self.broken = False

    def add(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """Add an answer on a drawn case."""
        count = self.counts[p.id]
        count.further += p.id in self.verdicts
        if answer.outcome == Outcome.PASSED:
            count.passed += 1
            count.right_in.add(traits(recipe))
            if answer.margin is not None:
                count.margin = max(count.margin or 0.0, answer.margin)
        elif isinstance(answer.fact, facts.Unsupported):
            count.narrowed += 1
            count.example = count.example or answer.fact
        elif isinstance(answer.fact, facts.Unanswered):
            count.unanswered += answer.fact.recorded
            count.unrecorded += not answer.fact.recorded
        elif isinstance(answer.fact, facts.Undeclared):
            count.lacking = answer.fact
        elif answer.outcome == Outcome.ERROR:
            count.erred += 1
            count.erred_in.add(traits(recipe))
        elif answer.outcome is None:
            count.discarded += 1
        else:
            count.wrong += 1
        self.note(p, recipe, answer)

    def note(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """Remember the worst error of all, those met while shrinking among them."""
        count = self.counts[p.id]
        if answer.wrong and (count.worst is None or answer.error > count.worst):
            count.worst, count.worst_recipe = answer.error, str(recipe)

    def conclude(
        self,
        p: Property,
        recipe: Recipe | None,
        answer: Answer,
        after: int,
        recurrence: Recurrence = Recurrence.ALWAYS,
        history: tuple[Recipe, ...] = (),
    ) -> Verdict:
        """Settle a property that does not hold; ``after`` so many cases had been offered. Some have no case."""
        if answer.shared and answer.outcome is not None:
            self.ends[answer.outcome] = p.id
        self.verdicts[p.id] = self._wrong(p, recipe, answer, after, recurrence, history)
        return self.verdicts[p.id]

    def fail(self, p: Property, recipe: Recipe | None, answer: Answer, after: int) -> Verdict:
        """Note how a property was first seen not to hold: its verdict, should there be no time for another."""
        self.failed[p.id] = self._wrong(p, recipe, answer, after)
        return self.failed[p.id]

    def _wrong(
        self,
        p: Property,
        recipe: Recipe | None,
        answer: Answer,
        after: int,
        recurrence: Recurrence = Recurrence.ALWAYS,
        history: tuple[Recipe, ...] = (),
    ) -> Verdict:
        assert answer.outcome is not None
        count = self.counts[p.id]
        expected = self.plan.expected.get(p.id)
        return Verdict(
            backend=self.plan.backend.name,
            property=p.id,
            outcome=answer.outcome if expected is None else Outcome.EXPECTED_FAILURE,
            fact=answer.fact,
            recipe=None if recipe is None else str(recipe),
            smallest=answer.smallest,
            worst=None if count.worst is None or isinf(count.worst) else count.worst,
            worst_recipe=count.worst_recipe,
            recurrence=recurrence,
            history=tuple(map(str, history)),
            after=after,
            expected=expected or "",
        )

    def show(self, p: Property, evidence: Evidence | None) -> Verdict:
        """Add the call that failed to a verdict, in numbers."""
        self.verdicts[p.id] = replace(self.verdicts[p.id], evidence=evidence)
        return self.verdicts[p.id]

    def verdict(self, p: Property, interrupted: Interruption | None) -> Verdict:
        """The verdict on a property by now; ``interrupted`` says why there will be no other."""
        count = self.counts[p.id]
        if verdict := self.verdicts.get(p.id, self.failed.get(p.id)):
            # That of the cases that passed would hide how wrong the others are.
            margin = count.margin if verdict.outcome == Outcome.PASSED else verdict.worst
            settled = replace(verdict, margin=margin, cases=count.passed)
            return replace(settled, scope=count.scope()) if settled.outcome == Outcome.ERROR else settled
        if p.id in self.plan.undeclared:
            return self._unconcluded(p, Outcome.NOT_DECLARED, facts.Undeclared(self.plan.undeclared[p.id]))
        if interrupted is not None:
            return self._unconcluded(p, Outcome.NOT_RUN, facts.CutShort(interrupted, count.passed))
        if self.broken:
            return self._unconcluded(p, Outcome.NOT_RUN, facts.AdapterBroken("smoke.runs"))
        if count.narrowed or count.lost:
            return self._narrowed(p)
        if count.unanswered or count.unrecorded:
            return self._unshown(p)
        if not count.passed:
            if count.lacking is not None:
                return self._unconcluded(p, Outcome.NOT_DECLARED, count.lacking)
            return self._unconcluded(p, Outcome.NOT_RUN, self._nothing_said(p))
        return self._passed(p)

    def _nothing_said(self, p: Property) -> Fact:
        """Why a property passed no case and failed none."""
        failed = [id for id, verdict in self.verdicts.items() if verdict.outcome.failed]
        see = [id for id in failed if id.partition(".")[0] == p.group] or failed
        discarded = self.counts[p.id].discarded
        if self.plan.settings.partial and not discarded:
            return facts.LeftOut()
        return facts.Discarded(discarded, tuple(see)) if discarded and see else facts.NoCase()

    def settle_passed(self, p: Property) -> None:
        """Settle a property that is asked about no other case, unless it has its verdict."""
        self.verdicts.setdefault(p.id, self._passed(p))

    def _passed(self, p: Property) -> Verdict:
        """The verdict on a property of which nothing is wrong."""
        count = self.counts[p.id]
        if count.narrowed:
            return self._narrowed(p)
        if count.unanswered or count.unrecorded:
            return self._unshown(p)
        expected = self.plan.expected.get(p.id)
        must_show = "unexpected" not in self.plan.backend.ruled_out or p.id in self.plan.settings.expected_failures
        if expected is not None and must_show:
            return self._unconcluded(p, Outcome.UNEXPECTED_PASS, expected=expected)
        # The smoke gate asks for one dtype only.
        if p.group != "smoke" and (reason := unjudged(self.plan.backend)):
            return self._unconcluded(p, Outcome.NARROWED, facts.DtypeUnjudged(count.passed, reason))
        return self._unconcluded(p, Outcome.PASSED)

    def _narrowed(self, p: Property) -> Verdict:
        count = self.counts[p.id]
        cases = count.narrowed + count.passed + count.lost
        see = tuple(self.ends.values()) if count.lost else ()
        part = facts.Part(cases, count.narrowed, count.example, count.lost, see)
        return self._unconcluded(p, Outcome.NARROWED if count.narrowed or count.passed else Outcome.NOT_RUN, part)

    def _unshown(self, p: Property) -> Verdict:
        count = self.counts[p.id]
        cases = count.passed + count.unanswered + count.unrecorded
        part = facts.Unshown(cases, count.unanswered, count.unrecorded)
        return self._unconcluded(p, Outcome.NARROWED if count.passed else Outcome.NOT_RUN, part)

    def _unconcluded(self, p: Property, outcome: Outcome, fact: Fact | None = None, expected: str = "") -> Verdict:
        count = self.counts[p.id]
        return Verdict(
            self.plan.backend.name, p.id, outcome, fact, margin=count.margin, cases=count.passed, expected=expected
        )
