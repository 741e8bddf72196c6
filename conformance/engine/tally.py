"""The ledger: what is known of each property during a run, and the verdict that comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.backend import Backend
from conformance.cases.covering import judged_dtypes
from conformance.cases.recipe import Recipe
from conformance.engine.judging import Answer
from conformance.properties.model import Property, why_not_asked
from conformance.report.model import Verdict
from conformance.spec import lacking


@dataclass
class Tally:
    """What is known of one property so far."""

    #: Cases that it speaks about, those of them that it was asked about, and those that passed.
    suitable: int = 0
    asked: int = 0
    checked: int = 0
    margin: float | None = None
    narrowed: int = 0
    reason: str = ""
    worst: float | None = None
    worst_recipe: str | None = None
    #: Cases that ended the process before the property could say anything.
    lost: int = 0


class Ledger:
    """Tallies and verdicts of one backend, by property."""

    def __init__(self, backend: Backend, chosen: list[Property]) -> None:
        self.backend = backend
        self.tallies = {p.id: Tally() for p in chosen}
        self.lacking = {p.id: reasons for p in chosen if (reasons := why_not_asked(backend, p))}
        self.verdicts: dict[str, Verdict] = {}
        #: By how the process ended, the property that says so.
        self.ends: dict[str, str] = {}
        #: Whether the smoke gate has failed.
        self.broken = False

    def count(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """Add an answer on a drawn case."""
        tally = self.tallies[p.id]
        if answer.outcome == "passed":
            tally.checked += 1
            if answer.margin is not None:
                tally.margin = max(tally.margin or 0.0, answer.margin)
        elif answer.outcome == "narrowed":
            tally.narrowed += 1
            tally.reason = tally.reason or answer.message
        self.note(p, recipe, answer)

    def note(self, p: Property, recipe: Recipe, answer: Answer) -> None:
        """Remember the worst error of all, those met while shrinking among them."""
        tally = self.tallies[p.id]
        if answer.wrong and (tally.worst is None or answer.error > tally.worst):
            tally.worst, tally.worst_recipe = answer.error, str(recipe)

    def conclude(self, p: Property, recipe: Recipe, answer: Answer, history: tuple[Recipe, ...], after: int) -> None:
        """Settle a property that does not hold."""
        tally = self.tallies[p.id]
        if answer.plain:
            self.ends[answer.outcome] = p.id
        reason = self.backend.capabilities.expected_failures.get(p.id)
        self.verdicts[p.id] = Verdict(
            backend=self.backend.name,
            property=p.id,
            outcome="expected failure" if reason is not None else answer.outcome,
            message=answer.message if reason is None else f"{answer.message} (expected: {reason})",
            recipe=str(recipe),
            margin=tally.margin,
            cases=tally.checked,
            smallest=answer.smallest,
            worst=tally.worst,
            worst_recipe=tally.worst_recipe,
            history=tuple(map(str, history)),
            after=after,
        )

    def verdict(self, p: Property, interrupted: str) -> Verdict:
        """What has become of a property by now; ``interrupted`` says why nothing more will."""
        tally = self.tallies[p.id]
        if p.id in self.verdicts:
            return self.verdicts[p.id]
        if p.id in self.lacking:
            return self._plain(p, "not declared", "; ".join(self.lacking[p.id]))
        if interrupted:
            so_far = f"{tally.checked} cases passed until then" if tally.checked else "no case had been checked"
            return self._plain(p, "not run", f"{interrupted}; {so_far}")
        if self.broken:
            return self._plain(p, "not run", "the adapter is broken: see smoke.runs")
        if tally.narrowed or tally.lost:
            return self._narrowed(p)
        if not tally.checked:
            return self._plain(p, "not run", "no case was suitable")
        return self.passed(p)

    def passed(self, p: Property) -> Verdict:
        """The verdict on a property of which nothing is wrong."""
        tally = self.tallies[p.id]
        if tally.narrowed:
            return self._narrowed(p)
        reason = self.backend.capabilities.expected_failures.get(p.id)
        if reason is not None:
            return self._plain(p, "unexpected pass", f"expected to fail: {reason}")
        # The smoke gate asks for one dtype only.
        if p.group != "smoke" and (lost := unjudged(self.backend)):
            return self._plain(p, "narrowed", f"{tally.checked} cases of other dtypes: {lost}")
        return self._plain(p, "passed", "")

    def _narrowed(self, p: Property) -> Verdict:
        tally = self.tallies[p.id]
        total = tally.narrowed + tally.checked + tally.lost
        told = [f"{tally.narrowed} of {total} cases, such as {tally.reason}"] if tally.narrowed else []
        if tally.lost:
            see = f": see {', '.join(self.ends.values())}" if self.ends else ""
            told.append(f"{tally.lost} of {total} cases ended the process{see}")
        return self._plain(p, "narrowed" if tally.narrowed or tally.checked else "not run", "; ".join(told))

    def _plain(self, p: Property, outcome: str, message: str) -> Verdict:
        tally = self.tallies[p.id]
        return Verdict(self.backend.name, p.id, outcome, message, margin=tally.margin, cases=tally.checked)


def unavailable(backend: Backend) -> str | None:
    """Why a backend cannot be judged here at all, or None."""
    return backend.available() or (None if judged_dtypes(backend) else unjudged(backend))


def unjudged(backend: Backend) -> str | None:
    """Why a declared dtype cannot be judged here, or None."""
    return next((reason for dtype in backend.capabilities.dtypes if (reason := lacking(dtype))), None)
