"""A trial: one case on one backend, each run made once and shared by every property that asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from conformance.backend import Backend
from conformance.bounds.forward import Expectation, Finding, judge
from conformance.bounds.rounding import Arithmetic, arithmetic
from conformance.cases.case import Case, canonical, handed, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.cases.fills import pick
from conformance.cases.recipe import Recipe
from conformance.facts import Mismatch
from conformance.reference.backward import Gradients
from conformance.spec import Array, Result, numpy_dtype
from conformance.trials.calls import argument_shapes, blaming, call, call_vjp, fresh_params, gradient_error, shape_error
from conformance.trials.outcomes import BackendError, Discard, Violation

Observe = Callable[[int], Result]
T = TypeVar("T")


class Trial:
    """One recipe's case on one backend. Runs are memoised; ``margin`` is the largest one judged so far."""

    def __init__(self, backend: Backend, recipe: Recipe, parent: Trial | None = None) -> None:
        self.backend = backend
        self.recipe = recipe
        self.case = realise(recipe, backend.capabilities.fixed)
        self.arithmetic = arithmetic(self.case.config.dtype, backend.capabilities.arithmetic)
        self.margin: float | None = None
        self._parent = parent
        self._turn = recipe.turn
        #: Whether the values of the case itself were judged, by which coverage is counted.
        self.judged = False
        self._kept: dict[str, Any] = {}

    @property
    def turn(self) -> int:
        """Which variant the property at work asks for; a derived trial is at the turn of the one it came from."""
        return self._turn if self._parent is None else self._parent.turn

    @turn.setter
    def turn(self, turn: int) -> None:
        self._turn = turn

    def in_turn(self, variants: Sequence[T]) -> T:
        """The variant whose turn it is: a property with ``turns=n`` meets n variants in n cases, whatever the seed."""
        return variants[self.turn % len(variants)]

    def derived(self, **changes: Any) -> Trial:
        """A trial of the same structure with some of the recipe changed, such as ``fill="digital"``."""
        return Trial(self.backend, replace(self.recipe, **changes), self)

    def resized(self, **changes: Any) -> Trial:
        """A derived trial of other sizes; ``Discard`` for a recipe with edits, which would be lost there."""
        if self.recipe.edits:
            raise Discard
        return self.derived(**changes)

    def pick(self, name: str, count: int) -> int:
        """A choice among ``count`` that depends on the recipe's seed and ``name`` alone."""
        return pick(self.recipe.seed, name, count)

    # Running

    def model(self, case: Case, params: dict[str, Array] | None = None) -> Callable[..., Any]:
        """A freshly built model of ``case``, from copies of its parameters or from the very ``params`` given."""
        with blaming("build", case):
            return self.backend.build(case.config, fresh_params(case.params) if params is None else params)

    def call(self, case: Case, model: Callable[..., Any] | None = None) -> Result:
        """The raw result of one call with fresh arrays, checked for arity and types, not for shapes."""
        model = self.model(case) if model is None else model
        return call(model, case, *handed(case))

    def run(self, case: Case, model: Callable[..., Any] | None = None) -> Result:
        """The canonical result of one call, in copies of its own; a wrong shape is a violation."""
        return self.checked(case, self.call(case, model))

    def checked(self, case: Case, result: Result) -> Result:
        """A raw result in canonical layout and copies of its own; a wrong shape is a violation."""
        returns = self.backend.capabilities.returns
        if missing := [name for name in returns if getattr(result, name) is None]:
            raise BackendError(f"forward returned None for {' and '.join(missing)}, which its capabilities declare")
        if error := shape_error(case, result):
            raise Violation(error)
        parts = (part if name in returns else None for name, part in zip(Result._fields, result, strict=True))
        return canonical(case, Result(*(None if part is None else np.array(part) for part in parts)))

    def vjp(
        self, case: Case, cotangents: Cotangents, model: Callable[..., Any] | None = None
    ) -> tuple[Result, Gradients]:
        """The canonical result and gradients of one ``forward.vjp``, in copies of their own.

        A gradient that is missing, or shaped otherwise than what it is the gradient of, is a violation.
        """
        model = self.model(case) if model is None else model
        result, grads = call_vjp(model, case, *handed(case), *handed_cotangents(case, cotangents))
        config, capabilities = case.config, self.backend.capabilities
        batch_first = config.batch_first and not case.unbatched
        wanted = dict(zip(("x", "h_0", "c_0"), argument_shapes(case), strict=True))
        wanted |= {name: value.shape for name, value in case.params.items()}
        # Nothing is asked about a state that is never given, nor about parameters that are baked in.
        spared = set() if capabilities.initial_state else {"h_0", "c_0"}
        spared |= set(case.params) if case.fixed else set()
        if error := gradient_error(grads, wanted, spared, numpy_dtype(config.dtype)):
            raise Violation(error)
        found = {name: np.array(grads[name]) for name in wanted if name in grads}
        for name in ("x", "h_0", "c_0") if case.unbatched else ():
            if name in found:
                found[name] = found[name][:, None]
        if batch_first:
            found["x"] = np.ascontiguousarray(found["x"].swapaxes(0, 1))
        return self.checked(case, result), found

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What ``make`` returns, or raises, made once under a name and shared by the properties of this trial."""
        if name not in self._kept:
            try:
                self._kept[name] = make()
            except Exception as error:
                self._kept[name] = error
        kept = self._kept[name]
        if isinstance(kept, Exception):
            raise kept
        return kept

    def observe(self, layers: int) -> Result:
        """The result of the case's first ``layers`` layers, run once."""
        return self.once(f"first {layers} layers", lambda: self._observed(layers))

    def _observed(self, layers: int) -> Result:
        result = self.complete(self.case.prefix(layers))
        # Where values are not declared, a result of the right shape is all there is to judge.
        self.judged |= self.arithmetic is None
        return result

    @property
    def result(self) -> Result:
        """The result of the case itself."""
        return self.observe(self.case.config.num_layers)

    def complete(self, case: Case) -> Result:
        """A result whose output is there: put together from final states of shorter runs if it is not returned.

        Not where an upper layer reads both directions: what it reads at a step depends on all of the sequence.
        """
        result = self.run(case)
        D, steps = case.config.num_directions, case.steps
        two_sided = case.config.num_layers > 1 and D > 1
        if result.output is not None or result.h_n is None or case.lengths is not None or two_sided:
            return result
        halves = []
        for direction in range(D):
            spans = [slice(t, None) if direction else slice(t + 1) for t in range(steps)]
            finals = [self.run(replace(case, x=case.x[span])).h_n for span in spans]
            halves.append(np.stack([h_n[direction - D] for h_n in finals if h_n is not None]))
        return Result(np.concatenate(halves, 2), result.h_n, result.c_n)

    # Judging

    def findings(self) -> list[Finding]:
        """Every comparison of the case's own results with the oracle, made once."""
        return self.once("findings", self._found)

    def _found(self) -> list[Finding]:
        found = self.judge(self.case, self.observe)
        self.judged = True
        return found

    def _wild(self) -> bool:
        """Whether two runs of a wrong LSTM may drift apart here by its nature: large weights, many steps."""
        return self.recipe.gain > 2 or (self.recipe.gain > 1 and self.case.steps > 20)

    def judge(self, case: Case, observe: Observe) -> list[Finding]:
        """Every comparison of a case's results, as the backend's capabilities let them be observed."""
        expectation = self.expectation() if case is self.case else Expectation(case, self._values())
        return self._judged(expectation, observe)

    def _judged(self, expectation: Expectation, observe: Observe) -> list[Finding]:
        return list(judge(expectation, observe, "output" not in self.backend.capabilities.returns))

    def expectation(self) -> Expectation:
        """What the case's layers must return, whatever was observed."""
        return self.once("expectation", lambda: Expectation(self.case, self._values()))

    def _values(self) -> Arithmetic:
        if self.arithmetic is None:
            raise Discard
        return self.arithmetic

    def require(self, findings: list[Finding], case: Case | None = None) -> None:
        """Raise a ``Violation`` for the worst of the findings if it is beyond its bound."""
        if not findings:
            raise Discard
        worst = max(findings, key=Finding.margin)
        if not worst.margin() <= 1.0:
            raise Violation(mismatch(worst, case or self.case), worst.margin(), case)
        self.record(worst.margin())

    def record(self, margin: float) -> None:
        """Remember a margin, here and in the trial that this one was derived from."""
        self.margin = max(self.margin or 0.0, margin)
        if self._parent is not None:
            self._parent.record(margin)

    def right(self) -> bool:
        """Whether the case's own results are within their bounds."""
        try:
            return all(finding.margin() <= 1.0 for finding in self.findings())
        except Violation:
            return False

    def usually_right(self) -> bool:
        """Whether the case is right, and with ordinary values too: where all are equal, much is right by chance."""
        ordinary = self.once("ordinary", lambda: self.derived(fill="normal", edits=()))
        return ordinary.right() and self.right()

    def relate(self, observe: Observe, case: Case | None = None, base: Observe | None = None) -> None:
        """The results of a changed run, mapped back, must be those of ``case`` as ``base`` gives them.

        Two correct runs diverge without limit at large weights, so they are not compared with each other: equal bits
        hold at once, anything else is judged by the oracle, each run forced on its own outputs. An implementation that
        is wrong in both runs alike does not break the relation: then only a gross difference does.
        """
        onto, of = case or self.case, base or self.observe
        last = onto.config.num_layers
        plain, changed = of(last), observe(last)
        if _equal(plain, changed):
            return
        expectation = Expectation(onto, self._values()) if case else self.expectation()
        found = [self._judged(expectation, of) if case or base else self.findings()]
        found.append(self._judged(expectation, observe))
        worst = [max(findings, key=Finding.margin) for findings in found]
        wrong = [finding for finding in worst if not finding.margin() <= 1.0]
        if len(wrong) == 2 and (self._wild() or _near(*found) or _alike(plain, changed, expectation)):
            return
        if wrong:
            raise Violation(mismatch(wrong[-1], onto), wrong[-1].margin(), onto)
        self.record(max(finding.margin() for finding in worst))


def mismatch(finding: Finding, case: Case) -> Mismatch:
    """Where a finding is farthest beyond its bound, and what was expected there."""
    at = np.unravel_index(int(np.argmax(finding.ratios())), finding.actual.shape)
    index, config = [int(k) for k in at], case.config
    step = row = None
    if finding.tensor == "output":
        index[-1] += finding.direction * config.output_size
        step, row = index[:2]
    elif finding.tensor.endswith(("h_n", "c_n", "h_0", "c_0")):
        index.insert(0, finding.layer * config.num_directions + finding.direction)
        row = index[1]
    expected, actual, bound = (_number(part[at]) for part in (finding.expected, finding.actual, finding.bound))
    return Mismatch(
        *(finding.tensor, tuple(index), expected, actual, bound),
        *(finding.layer, finding.direction, step, row, finding.layers, config.num_layers),
    )


def _number(value: Any) -> float:
    """A float; the very nan that ``math`` has, so that facts can be compared."""
    return math.nan if np.isnan(value) else float(value)


def _equal(a: Result, b: Result) -> bool:
    """Equal bits wherever both results have a part."""
    pairs = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
    return bool(pairs) and all(np.array_equal(p, q, equal_nan=True) for p, q in pairs)


def _near(some: list[Finding], others: list[Finding]) -> bool:
    """Whether two runs differ by no more than a thousand times each step's own bound: cheap to see, often enough."""
    return len(some) == len(others) and all(
        a.place() == b.place() and _close(a.actual, b.actual, 1000 * a.bound) for a, b in zip(some, others, strict=True)
    )


def _alike(plain: Result, changed: Result, expectation: Expectation) -> bool:
    """Whether two runs differ by no more than a thousand times what rounding may have done over the whole run.

    Only for implementations known to be wrong, whose sensitivity nobody knows: the bound of a correct one is a guess.
    """
    config = expectation.case.config
    P, D, last = config.output_size, config.num_directions, config.num_layers - 1
    for layer, d in config.slots():
        half, slot = expectation.free_running(layer)[d], layer * D + d
        pairs = [(part[slot] for part in (plain.h_n, changed.h_n) if part is not None)]
        bounds = [half.h_n.error, half.c_n.error]
        pairs.append(part[slot] for part in (plain.c_n, changed.c_n) if part is not None)
        if layer == last:
            outputs = (part for part in (plain.output, changed.output) if part is not None)
            pairs.append(part[..., d * P : (d + 1) * P] for part in outputs)
            bounds.append(half.output.error)
        for pair, bound in zip(pairs, bounds, strict=True):
            both = tuple(pair)
            if len(both) == 2 and not _close(*both, 1000 * np.asarray(bound)):
                return False
    return True


def _close(a: Array, b: Array, limit: Array) -> bool:
    with np.errstate(all="ignore"):
        gap = np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64))
    return bool(np.all((gap <= limit) | (np.isnan(a) & np.isnan(b))))
