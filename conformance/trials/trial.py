"""A trial: one case on one backend, its runs (``runs.py``) judged by the oracle."""

from __future__ import annotations

from typing import Self

from conformance.backend import Backend
from conformance.bounds.forward import Expectation, Finding
from conformance.bounds.forward import judge as compare
from conformance.bounds.rounding import Arithmetic
from conformance.cases.case import Case
from conformance.cases.recipe import Recipe
from conformance.facts import apart
from conformance.spec import Result
from conformance.trials.agreement import alike, equal_bits, first_difference, near, right
from conformance.trials.mismatch import mismatch, telling
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.runs import Observe, Runs


class Trial(Runs):
    """One recipe's case on one backend; ``margin`` is the largest one judged so far."""

    def __init__(self, backend: Backend, recipe: Recipe, parent: Self | None = None) -> None:
        super().__init__(backend, recipe, parent)
        self.margin: float | None = None
        #: The comparisons that were made, or read again, last: a property may judge a part of them.
        self._compared_last: list[Finding] = []
        #: How the property at work ended, if it does not hold.
        self.violation: Violation | None = None

    def findings(self) -> list[Finding]:
        """Every comparison of the case's own results with the oracle, made once."""
        self.called = self.case
        findings = self._compared_last = self.once("findings", self._own_findings)
        self.judged = True
        return findings

    def _own_findings(self) -> list[Finding]:
        return self.findings_of(self.case)

    def share(self) -> float | None:
        """The largest error of the case's own values as a share of its bound; None if the property did not judge them.

        None too where they say nothing: the case itself makes the oracle's numbers infinite or NaN.
        """
        return self.once("share", self._share) if self.judged and self.arithmetic is not None else None

    def _share(self) -> float | None:
        findings = [finding for finding in self.once("findings", self._own_findings) if not finding.silent()]
        margin = max((finding.margin() for finding in findings), default=None)
        if margin is None or margin <= 1.0:
            return margin
        return margin if any(telling(finding).max(initial=0.0) > 1.0 for finding in findings) else None

    def findings_of(self, case: Case, observe: Observe | None = None) -> list[Finding]:
        """Every comparison of a case's results with the oracle; ``observe`` stands in for runs of the case."""
        return self._compared(self._expectation_of(case), observe or self.observing(case))

    def _compared(self, expectation: Expectation, observe: Observe) -> list[Finding]:
        findings = list(compare(expectation, observe, "output" not in self.backend.capabilities.returns))
        self._compared_last = findings
        return findings

    def expectation(self) -> Expectation:
        """The results that the case's layers must return, with their bounds."""
        return self.once("expectation", lambda: Expectation(self.case, self._values()))

    def _expectation_of(self, case: Case) -> Expectation:
        return self.expectation() if case is self.case else Expectation(case, self._values())

    def _values(self) -> Arithmetic:
        if self.arithmetic is None:
            raise Discard
        return self.arithmetic

    def require(self, findings: list[Finding], case: Case | None = None) -> None:
        """Raise a ``Violation`` for the worst of the findings if it is beyond its bound.

        ``Discard`` if none of them says anything.
        """
        if all(finding.silent() for finding in findings):
            raise Discard
        margin = max(finding.margin() for finding in findings)
        if margin <= 1.0:
            self.record(margin)
            return
        worst = max(findings, key=lambda finding: telling(finding).max(initial=0.0))
        if telling(worst).max(initial=0.0) <= 1.0:
            # The case itself makes the oracle's numbers infinite or NaN: nothing is known of the implementation.
            raise Discard
        case = case or self.case
        whole = self._compared_last if any(finding is worst for finding in self._compared_last) else findings
        of_that_run = [finding for finding in whole if finding.layers == worst.layers]
        raise Violation(mismatch(worst, case), margin, case, of_that_run)

    def record(self, margin: float) -> None:
        """Remember a margin, here and in the trial that this one was derived from."""
        self.margin = max(self.margin or 0.0, margin)
        if self._parent is not None:
            self._parent.record(margin)

    def require_right(self, case: Case | None = None) -> None:
        """The results of a case, the trial's own unless one is given, must be within their bounds."""
        self.require(self.findings() if case is None else self.findings_of(case), case or self.case)

    def right(self) -> bool:
        """Whether the case's own results are within their bounds."""
        try:
            return right(self.findings())
        except Violation:
            return False

    def usually_right(self) -> bool:
        """Whether the case is right, and with ordinary values too: where all are equal, much is right by chance.

        Edits make values equal, so the ordinary trial has none.
        """
        ordinary = self.once("ordinary", lambda: self.unedited(fill="normal"))
        return ordinary.right() and self.right()

    def require_same(self, changed: Observe, case: Case | None = None, usual: Observe | None = None) -> None:
        """Runs changed in some way, their results mapped back, must agree with the usual runs of ``case``.

        ``case`` is the trial's own unless one is given; ``usual`` stands in for its runs.

        Equal bits agree. Results that differ are not compared with each other, for two correct runs diverge without
        limit at large weights: the oracle judges each of them, forced on its own outputs, and both must be right. Where
        both are wrong, the defect is most likely one and the same, and only a gross difference is a violation.
        """
        case = case or self.case
        usual = usual or self.observing(case)
        last = case.config.num_layers
        results = usual(last), changed(last)
        equal = equal_bits(*results)
        # Calls that are recorded before anybody has answered must not depend on the answers.
        if equal and "live" not in self.backend.ruled_out:
            return
        expectation = self._expectation_of(case)
        as_usual = self.findings() if usual == self.observe else self._compared(expectation, usual)
        as_changed = self._compared(expectation, changed)
        if equal:
            return
        both_wrong = not right(as_usual) and not right(as_changed)
        if both_wrong and (self._drifts() or near(as_usual, as_changed) or alike(*results, expectation)):
            return
        self.require(as_changed, case)
        self.require(as_usual, case)

    def require_same_result(self, result: Result, case: Case | None = None) -> None:
        """The result of a case, obtained in another way, must agree with the usual one.

        The case is the trial's own unless one is given; the layers below the last are observed as usual.
        """
        usual = self.observing(case or self.case)
        last = (case or self.case).config.num_layers
        self.require_same(lambda layers: result if layers == last else usual(layers), case)

    def require_repeated(self, result: Result, case: Case | None = None) -> None:
        """The result of the very same call of an equal model, whatever came before it, must agree with the usual one.

        The call has the same config and weights, and equal arrays that lie alike in memory. So it must agree where no
        values are declared too (int8): there bit by bit, unless the backend declares that it is not deterministic.
        """
        if self.arithmetic is not None:
            self.require_same_result(result, case)
            return
        if not self.backend.capabilities.deterministic:
            raise Discard
        usual = self.observing(case or self.case)((case or self.case).config.num_layers)
        if difference := first_difference(usual, result):
            name, at, *numbers = difference
            a, b = apart(*numbers)
            raise Violation(f"{name}{list(at)} is {b}, and {a} in a call of a fresh model", case=case)

    def _drifts(self) -> bool:
        """Whether two runs of a wrong LSTM may drift apart by its nature: large weights, and many steps."""
        return self.recipe.gain > 2 or (self.recipe.gain > 1 and self.case.steps > 20)
