"""The runs of one case on one backend. Each is made once and shared by every property that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any, Self, TypeVar

import numpy as np

from conformance.backend import Backend
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case, handed, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.cotangents import handed as handed_cotangents
from conformance.cases.fills import pick
from conformance.cases.recipe import SHAPING, Recipe
from conformance.cases.shapes import shared
from conformance.errors import SuiteError, UsageError
from conformance.reference.backward import Gradients
from conformance.spec import Array, Result
from conformance.trials.calls import (
    Arguments,
    VjpArguments,
    blaming,
    call,
    call_load,
    call_train,
    call_vjp,
    canonical_gradients,
    canonical_result,
    check_model,
    fresh_params,
)
from conformance.trials.outcomes import Discard, Lacking, Violation
from conformance.trials.signatures import Unaffordable

#: What the first k layers of a case return, as a canonical result.
Observe = Callable[[int], Result]

T = TypeVar("T")


class Runs:
    """One recipe's case on one backend, and its runs, which are memoised."""

    def __init__(self, backend: Backend, recipe: Recipe, parent: Self | None = None) -> None:
        self.backend = backend
        self.recipe = recipe
        self.case = realise(recipe, backend.capabilities.fixed)
        self.arithmetic = arithmetic(self.case.config.dtype, backend.capabilities.arithmetic)
        self._parent = parent
        self._turn = recipe.turn
        #: Whether the property at work has judged the values of the case itself, by which coverage is counted.
        self.judged = False
        #: The wall-clock seconds of the first call that came back.
        self.took: float | None = None
        self._kept: dict[str, Any] = {}
        self._called = self.case

    @property
    def called(self) -> Case:
        """The case whose call was made, or whose kept result was read, last: here or in a derived trial."""
        return self._called

    @called.setter
    def called(self, case: Case) -> None:
        self._called = case
        if self._parent is not None:
            self._parent.called = case

    @property
    def turn(self) -> int:
        """Which variant the property at work asks for; a derived trial is at the turn of the one it came from."""
        return self._turn if self._parent is None else self._parent.turn

    @turn.setter
    def turn(self, turn: int) -> None:
        self._turn = turn

    def in_turn(self, variants: Sequence[T]) -> T:
        """The variant whose turn it is: a property with ``turns=n`` meets n variants in n cases, at any seed."""
        return variants[self.turn % len(variants)]

    def derived(self, **changes: Any) -> Self:
        """A trial with some of the recipe changed, such as ``fill="digital"``; it carries the recipe's edits.

        An edit names steps, rows, features, units and elements. So it can be carried while every tensor keeps its
        shape; ``Discard`` where a change gives a recipe with edits other shapes, or takes an edited tensor away. No
        derived trial is without the edits: its arrays would not fit the model that this trial's case describes.
        """
        recipe = replace(self.recipe, **changes)
        if recipe.edits != self.recipe.edits:
            raise SuiteError("a derived trial has the edits of the trial that it comes from")
        if recipe.edits and any(getattr(recipe, name) != getattr(self.recipe, name) for name in SHAPING):
            raise Discard
        try:
            return type(self)(self.backend, recipe, self)
        except UsageError:
            raise Discard from None

    def unedited(self, **changes: Any) -> Self:
        """A trial of its own, without the edits and with some of the recipe changed.

        It may tell something of the implementation. None of its arrays may be used with this trial's case.
        """
        return type(self)(self.backend, replace(self.recipe, edits=(), **changes), self)

    def resized(self, **changes: Any) -> Self:
        """A derived trial whose sizes or values are made for a purpose; ``Discard`` for any recipe with edits.

        Edits would spoil the purpose: a wired model, sums that cancel exactly, a size that is a threshold. Where a new
        shape costs a compilation, the sizes are the nearest that other properties use as well.
        """
        if self.recipe.edits:
            raise Discard
        if self.backend.capabilities.compiled:
            changes |= vars(shared(self.backend, self.recipe, changes))
        return self.derived(**changes)

    def few(self, variants: Sequence[T]) -> Sequence[T]:
        """Variants of which each costs a run: one of them by chance where a run of other shapes costs a compilation."""
        if not self.backend.capabilities.compiled or not variants:
            return variants
        return [variants[self.pick("one of the variants", len(variants))]]

    def pick(self, name: str, count: int) -> int:
        """A choice among ``count`` that depends on the recipe's seed and ``name`` alone."""
        return pick(self.recipe.seed, name, count)

    # Running: ``call`` gives the raw result, ``run`` checks it and brings it into canonical layout, ``complete`` adds
    # an output that is not returned, and ``observe`` is a complete run of the case itself, made once.

    def model(self, case: Case, params: dict[str, Array] | None = None) -> Callable[..., Any]:
        """A freshly built model of ``case``, from copies of its parameters or from the very ``params`` given."""
        given = fresh_params(case.params) if params is None else params
        # A case's arrays fit its config; so must parameters that come beside it.
        config = case.config if params is None else replace(case, params=given).config
        self.called = case
        with blaming("build", case):
            model = self.backend.build(config, given)
        check_model(model)
        return model

    def call(self, case: Case, model: Callable[..., Any] | None = None, arguments: Arguments | None = None) -> Result:
        """The raw result of one call, checked for arity and types, not for shapes.

        Of a fresh model unless one is given, with fresh arrays unless ``arguments`` (x, state, lengths) are.
        """
        model = self.model(case) if model is None else model
        self.called = case
        given = handed(case) if arguments is None else arguments
        began = perf_counter()
        result = call(model, case, *given)
        if self.took is None:
            self.took = perf_counter() - began
        return result

    def raw(self) -> Result:
        """The raw result of one call of the case itself, made once: for what is asked of its form."""
        self.called = self.case
        return self.once("raw", lambda: self.call(self.case))

    def run(self, case: Case, model: Callable[..., Any] | None = None, arguments: Arguments | None = None) -> Result:
        """The canonical result of one call, in copies of its own; a wrong shape is a violation."""
        return self.checked(case, self.call(case, model, arguments))

    def checked(self, case: Case, result: Result) -> Result:
        """A raw result in canonical layout and copies of its own; a wrong shape is a violation."""
        return canonical_result(case, result, self.backend.capabilities.returns)

    def vjp(
        self,
        case: Case,
        cotangents: Cotangents,
        model: Callable[..., Any] | None = None,
        arguments: VjpArguments | None = None,
    ) -> tuple[Result, Gradients]:
        """The canonical result and gradients of one ``forward.vjp``, in copies of their own.

        A declared gradient that is missing, or shaped otherwise than what it is the gradient of, is a violation; one
        that is not declared is left out. With fresh arrays unless ``arguments`` (x, state, lengths and the cotangents)
        are given.
        """
        model = self.model(case) if model is None else model
        given = (*handed(case), *handed_cotangents(case, cotangents)) if arguments is None else arguments
        self.called = case
        result, grads = call_vjp(model, case, *given)
        gradients = canonical_gradients(case, grads, self.backend.capabilities)
        return self.checked(case, result), gradients

    def load(self, model: Callable[..., Any], case: Case, params: dict[str, Array] | None = None) -> None:
        """Have a model go on with the weights of ``case``, from copies or from the very ``params`` given.

        ``Lacking`` if its forward has no ``load``.
        """
        call_load(model, case, fresh_params(case.params) if params is None else params)

    def train(self, model: Callable[..., Any], case: Case, mode: bool) -> None:
        """Switch a model to training, or to evaluation; ``Lacking`` if its forward has no ``train``."""
        call_train(model, case, mode)

    def require_offered(self, *names: str) -> None:
        """``Lacking`` unless the case's model has these optional methods: found once, before anything is run."""
        model = self.once("model for its methods", lambda: self.model(self.case))
        if lacking := [name for name in names if not hasattr(model, name)]:
            raise Lacking(*lacking)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """The value of ``make``, or its exception, made once under a name and shared by this trial's properties."""
        if name not in self._kept:
            try:
                self._kept[name] = make()
            except Unaffordable:
                # Another property may afford it.
                raise
            except Exception as error:
                if isinstance(error, Violation):
                    error.case = error.case or self.called
                self._kept[name] = error
        kept = self._kept[name]
        if isinstance(kept, Exception):
            raise kept
        return kept

    def observe(self, layers: int) -> Result:
        """The result of the case's first ``layers`` layers, run once."""
        self.called = self.case
        result = self.once(f"first {layers} layers", lambda: self.complete(self.case.prefix(layers)))
        # Where values are not declared, a result of the right shape is all there is to judge.
        self.judged |= self.arithmetic is None
        return result

    @property
    def result(self) -> Result:
        """The result of the case itself."""
        return self.observe(self.case.config.num_layers)

    def observing(self, case: Case) -> Observe:
        """How the first layers of a case are observed: each in a run of its own, those of the trial's own case once."""
        return self.observe if case is self.case else lambda layers: self.complete(case.prefix(layers))

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
