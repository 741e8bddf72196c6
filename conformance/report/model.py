"""The report: every verdict of a run, with environment, seed and versions. Every output format is rendered from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from conformance.facts import (
    Diagnosis,
    Evidence,
    Fact,
    Interruption,
    Measured,
    NotJudged,
    Outcome,
    Quick,
    Recurrence,
    Scope,
)
from conformance.facts.weights import WeightsCompared
from conformance.properties.model import GUARDS, question_of
from conformance.report import english


def spoils(property: str, outcome: Outcome, strict: bool) -> bool:
    """Whether an outcome of a property makes a backend not conformant.

    A guard that is missing does only if ``strict``. A crash or a hang does wherever it happens.
    """
    return outcome.bad and (strict or outcome.ends or question_of(property) != GUARDS)


@dataclass(frozen=True)
class Verdict:
    """The outcome of one property on one backend, with its fact and the smallest case."""

    #: The target by which the backend is found again.
    backend: str
    #: The property's id.
    property: str
    #: What became of it.
    outcome: Outcome
    #: What is said beside the outcome; nothing of a property that passed.
    fact: Fact | None = None
    #: The text of the smallest case found that shows it.
    recipe: str | None = None
    #: The largest error seen as a share of its bound; None where there is no such share.
    margin: float | None = None
    #: How many cases passed.
    cases: int = 0
    #: The smallest case in short.
    smallest: str = ""
    #: The worst error seen as a share of its bound, where there is such a share: shrinking can make a gross error look
    #: like rounding.
    worst: float | None = None
    #: The recipe that showed the worst error.
    worst_recipe: str | None = None
    #: How the failure comes back when ``recipe`` is run again.
    recurrence: Recurrence = Recurrence.ALWAYS
    #: The recipes to run, in this order, before ``recipe``: the failure depends on history.
    history: tuple[str, ...] = ()
    #: How many cases had been offered when the failure was met.
    after: int | None = None
    #: Why the property is expected to fail, or nothing.
    expected: str = ""
    #: Of an error, the cases in which it did not show.
    scope: Scope | None = None
    #: The arrays of the smallest case that shows it, and its results beside the oracle's.
    evidence: Evidence | None = None

    # The field ``property`` hides the decorator of that name here.
    @cached_property
    def question(self) -> str:
        """Which of the three questions it helps to answer."""
        return question_of(self.property)

    @cached_property
    def message(self) -> str:
        """The fact in words: expected against actual, or the reason."""
        return english.message(self.outcome, self.fact, self.recurrence, len(self.history), self.expected)


@dataclass(frozen=True)
class BackendReport:
    """All verdicts of one backend."""

    #: The target by which it is found again.
    backend: str
    #: One for each property that was chosen.
    verdicts: tuple[Verdict, ...]
    #: The version of the package or of the program that it belongs to, as that says it, or nothing.
    version: str = ""
    #: What a reader must know about the backend, in its author's words.
    note: str = ""
    #: Three-way combinations of declared choices that were called and judged.
    covered: int = 0
    #: How many such combinations there are.
    combinations: int = 0
    #: Cases offered, the fixed set among them.
    cases: int = 0
    #: Those of weight gain 3 and more.
    steep: int = 0
    #: Those of 100 steps and more.
    long: int = 0
    #: The signatures (config, arguments that are given, shapes) that a backend which compiles was called with.
    signatures: int = 0
    #: The versions of the frameworks that the process which held it had loaded, by name.
    frameworks: dict[str, str] = field(default_factory=dict)
    #: Wall-clock seconds.
    seconds: float = 0.0
    #: Why the run ended early, if it did.
    interrupted: Interruption | None = None
    #: The words of ``Property.needs`` that do not hold for the backend.
    unmet: tuple[str, ...] = ()
    #: The options that a probe did not take for declared.
    not_judged: tuple[NotJudged, ...] = ()
    #: The dtypes whose values were judged, each with its arithmetic where that is not its own: "float32 as tf32".
    dtypes: tuple[str, ...] = ()
    #: Whether a missing guard makes it not conformant.
    strict: bool = False
    #: What a quick run asked, or one of large sizes; None of any other.
    quick: Quick | None = None
    #: The name that it gave itself; ``backend`` is the target by which it is found again.
    own_name: str = ""
    #: The causes of its failures, if they were looked for.
    diagnosis: Diagnosis | None = None
    #: Errors and times by size.
    measured: tuple[Measured, ...] = ()
    #: By choice (layers, state, dtype …) and value, how many cases had it whose values were judged; 0 of a declared
    #: value that none had.
    choices: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, *outcomes: Outcome) -> int:
        """How many verdicts have one of the outcomes."""
        return sum(verdict.outcome in outcomes for verdict in self.verdicts)

    @property
    def bad(self) -> tuple[Verdict, ...]:
        """The verdicts that make the backend not conformant."""
        return tuple(v for v in self.verdicts if spoils(v.property, v.outcome, self.strict))

    @property
    def missing_guards(self) -> tuple[Verdict, ...]:
        """The verdicts on guards that do not hold and do not make the backend not conformant."""
        return tuple(v for v in self.verdicts if v.outcome.bad and not spoils(v.property, v.outcome, self.strict))

    def asked(self, question: str) -> tuple[Verdict, ...]:
        """The verdicts on the properties of one question that were declared."""
        out = (Outcome.NOT_DECLARED, Outcome.UNAVAILABLE)
        return tuple(v for v in self.verdicts if v.question == question and v.outcome not in out)

    @property
    def declared(self) -> int:
        """How many properties the backend's capabilities let be asked."""
        return len(self.verdicts) - self.count(Outcome.NOT_DECLARED, Outcome.UNAVAILABLE)

    @property
    def available(self) -> bool:
        """Whether the backend could run here."""
        return not self.count(Outcome.UNAVAILABLE)

    @property
    def margin(self) -> float | None:
        """The largest error as a share of its bound, but where a failure was expected."""
        known = [v.margin for v in self.verdicts if v.margin is not None and v.outcome != Outcome.EXPECTED_FAILURE]
        return max(known, default=None)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.interrupted is None

    @property
    def conformant(self) -> bool:
        """Whether it is ``sound`` and was asked enough: a quick run asks too little, and so does one of large sizes."""
        return self.sound and not self.quick

    @property
    def sound(self) -> bool:
        """Whether what was asked was judged, and nothing is wrong that makes it not conformant.

        Expected failures do not, nor do missing guards unless ``strict``. It takes one verdict at least that says how a
        property fares: one that passed, one that fails as expected, or a missing guard.
        """
        if not self.complete or not any(v.outcome.good or v.outcome.bad for v in self.verdicts):
            return False
        return not self.narrowed and not self.bad

    @property
    def narrowed(self) -> list[Verdict]:
        """The verdicts that count and were narrowed in each of their cases: what was declared was never there."""
        counted = (v for v in self.verdicts if self.strict or v.question != GUARDS)
        return [v for v in counted if v.outcome == Outcome.NARROWED and not v.cases]


@dataclass(frozen=True)
class Asked:
    """What a run was asked for, beside its seed and its random cases."""

    #: The backends to judge.
    targets: tuple[str, ...] = ()
    #: Whether they were named; otherwise they are all that are installed, and those that are unavailable do not count.
    named: bool = True
    #: Ids or groups of the properties to judge; all if none are given.
    only: tuple[str, ...] = ()
    #: Ids or groups of the properties to leave out.
    exclude: tuple[str, ...] = ()
    #: Whether only the first rows of the fixed set were asked.
    quick: bool = False
    #: Whether sizes were those of large models.
    large: bool = False
    #: The seconds for each backend that were to be spent on cases; 0 for a number of cases.
    seconds: float = 0.0
    #: Whether a missing guard makes a backend not conformant.
    strict: bool = False
    #: Whether the first failure ended it.
    stop: bool = False
    #: The words after ``lstm-conformance`` on the command line; none of a run that another driver started.
    command: tuple[str, ...] = ()
    #: When it was started, in the ISO format, with its offset from UTC.
    started: str = ""
    #: The seconds after which a call of a backend is ended; null where none is.
    timeout: float | None = None
    #: The GiB of memory beyond which a backend's process is ended; null where none is.
    memory: float | None = None
    #: The seconds for the causes of a backend's failures; 0 for none.
    diagnose: float = 0.0
    #: How the weights of models' files compare with the trained ones, which was seen before anything ran.
    weights: tuple[WeightsCompared, ...] = ()


@dataclass(frozen=True)
class TargetError:
    """A target that could not be judged at all."""

    #: The target.
    target: str
    #: Why.
    text: str
    #: What to try next, or nothing.
    hint: str = ""
    #: Whether it is a defect of lstm-conformance; otherwise the target is not as it must be.
    defect: bool = False

    def __str__(self) -> str:
        return f"{self.text}\n  hint: {self.hint}" if self.hint else self.text


@dataclass(frozen=True)
class Report:
    """All verdicts of a run, with what is needed to repeat it."""

    #: The version of lstm-conformance.
    version: str
    #: The seed of all values.
    seed: int
    #: Random cases asked for, on top of the fixed set.
    cases: int
    #: Versions and platform, by name: those of the suite, and of the frameworks that backends have loaded.
    environment: dict[str, str]
    #: One for each target that was begun.
    backends: tuple[BackendReport, ...]
    #: Targets that were named but never begun.
    missing: tuple[str, ...] = ()
    #: What the run was asked for.
    asked: Asked = field(default_factory=Asked)
    #: Targets that could not be judged at all.
    errors: tuple[TargetError, ...] = ()
    #: When it was made, in the ISO format, with its offset from UTC: at the end of a run, if it is complete.
    ended: str = ""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every verdict of every backend."""
        return tuple(verdict for backend in self.backends for verdict in backend.verdicts)

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The verdicts that are wrong and make a backend not conformant: a missing guard only if ``strict``."""
        return tuple(verdict for backend in self.backends for verdict in backend.bad)

    @property
    def misconverted(self) -> tuple[WeightsCompared, ...]:
        """The LSTMs of models' files whose weights are not the trained ones."""
        return tuple(each for each in self.asked.weights if each.likeness.wrong)

    @property
    def complete(self) -> bool:
        """Whether every target could be judged, was begun and came to its end."""
        return not self.missing and not self.errors and all(backend.complete for backend in self.backends)

    @property
    def conformant(self) -> bool:
        """Whether every backend that could run is conformant, at least one could, and no weights are wrong."""
        ran = [backend for backend in self.backends if backend.available]
        return bool(ran) and self.complete and not self.misconverted and all(backend.conformant for backend in ran)
