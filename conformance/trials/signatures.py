"""Signatures: what a backend that compiles must compile for, and how many of them a run may meet.

A signature is a config, the arguments that a call gives, and their shapes and dtypes: values, strides and contents cost
nothing. A vjp has the signature of the forward call that it differentiates. A run's drawn cases have few signatures,
which are reserved. Properties that change a size or an option meet others, most of them the same (``cases/shapes.py``).
Each may meet new ones until it has said something; what is left then goes to the first that asks, but for some that are
kept for those that have not. A call that cannot be afforded is not made, and its property has nothing to say about the
case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

from conformance.backend import Backend, Capabilities, can_be_called
from conformance.cases.case import Case, handed, realise
from conformance.cases.pool import pool
from conformance.spec import Array, LSTMConfig, Params, State
from conformance.trials.outcomes import Discard

#: How many signatures a run may meet: of one layer and direction, and of more.
_FEW, _MANY = 40, 80

#: So many cases are asked before a property that has answered may have further signatures, and so many signatures are
#: kept from it.
_FIRST, _KEPT = 60, 14

#: A property of other models than those that are declared, and how many signatures it may meet: they take none from the
#: others.
_APART, _OF_ITS_OWN = "refusals.undeclared", 10


class Unaffordable(Discard):
    """The call would be of one signature too many."""


class Signatures:
    """The signatures that a backend's calls have had, and which new ones may still come."""

    def __init__(self, backend: Backend) -> None:
        c = backend.capabilities
        self.limit = _MANY if c.layers or c.bidirectional else _FEW
        self.met: set[Hashable] = set()
        self._apart: set[Hashable] = set()
        self._reserved = {s for recipe in pool(backend) for s in _of(realise(recipe, c.fixed), c)}
        self._property, self._answered, self._cases = "", set[str](), 0
        self._lock = threading.Lock()

    def case(self) -> None:
        """Another case begins."""
        self._cases += 1

    def asking(self, property: str) -> None:
        """The calls that come are made for a property."""
        self._property = property

    def answered(self, property: str) -> None:
        """The property has said something."""
        self._answered.add(property)

    def admit(self, signature: Hashable) -> None:
        """Take note of a call's signature; ``Unaffordable`` if it may not be made."""
        with self._lock:
            if signature in self.met or signature in self._apart:
                return
            known = self.met | self._reserved
            if self._property == _APART and signature not in known:
                if len(self._apart) >= _OF_ITS_OWN:
                    raise Unaffordable
                self._apart.add(signature)
                return
            limit = self.limit
            if self._property in self._answered:
                limit = limit - _KEPT if self._cases > _FIRST else 0
            if signature not in known and len(known) >= limit:
                raise Unaffordable
            self.met.add(signature)

    def count(self) -> int:
        """How many there were."""
        return len(self.met) + len(self._apart)

    def counting(self, backend: Backend) -> Backend:
        """The backend, its calls admitted one by one."""

        def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
            model = backend.build(config, params)
            return _Model(model, config, self) if can_be_called(model) else model

        return replace(backend, build=build)


class _Model:
    """A model whose calls are admitted; whatever else it has is its own."""

    def __init__(self, model: Callable[..., Any], config: LSTMConfig, signatures: Signatures) -> None:
        self._model, self._config, self._signatures = model, config, signatures

    def __call__(self, x: Array, state: State | None = None, **lengths: Array) -> Any:
        self._signatures.admit(signature(self._config, x, state, lengths.get("lengths")))
        return self._model(x, **lengths) if state is None and not lengths else self._model(x, state, **lengths)

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._model, name)
        if name != "vjp":
            return own

        def vjp(x: Array, state: State | None, lengths: Array | None, *cotangents: Array) -> Any:
            self._signatures.admit(signature(self._config, x, state, lengths))
            return own(x, state, lengths, *cotangents)

        return vjp


def signature(config: LSTMConfig, x: Array, state: State | None, lengths: Array | None) -> tuple[Hashable, ...]:
    """The signature of a call."""
    arrays = x, *(state or (None, None)), lengths
    return config, *(None if a is None else (a.shape, a.dtype.name) for a in arrays)


def _of(case: Case, c: Capabilities) -> Iterator[Hashable]:
    """The signatures of the calls by which a drawn case is observed: those of its first layers too."""
    for layers in [case.config.num_layers] if case.fixed else range(1, case.config.num_layers + 1):
        prefix = case.prefix(layers)
        yield signature(prefix.config, *handed(prefix))
        if "output" not in c.returns and case.lengths is None:
            for steps in range(1, case.steps):
                yield signature(prefix.config, *handed(replace(prefix, x=prefix.x[:steps])))
