"""A test set of other people, and what it says of a fault.

A peer is such a set: single calls with wanted results and a tolerance. It cannot express a fault if no single call of
the peer's form gives other bits than the correct LSTM: no vectors that are only chosen better would show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from conformance.backend import Backend, Build, Capabilities, Unsupported
from conformance.cases import strategies
from conformance.cases.case import Case, canonical, handed, realise
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import FILLS, Recipe
from conformance.conventions.parameters import gates_read_as
from conformance.engine.search import search
from conformance.faults.fault import Fault
from conformance.faults.twin import Twin
from conformance.spec import Array, Result
from conformance.trials.calls import fresh_params, shape_error, unpack

#: What a peer says of a fault.
CAUGHT, MISSED, INEXPRESSIBLE = "caught", "missed", "cannot express"

#: Random calls, besides the fixed set with every fill, among which a fault is looked for.
_DRAWN = 50


@dataclass(frozen=True)
class Vector:
    """One call, and its canonical result; the parts that are None are not compared."""

    name: str
    case: Case
    want: Result
    #: The first direction that is compared: 1 for a test of the reverse direction alone.
    first: int = 0


@dataclass(frozen=True)
class Peer:
    """A set of vectors that are compared by dtype, shape and ``rtol``/``atol``."""

    name: str
    vectors: tuple[Vector, ...]
    rtol: float
    atol: float
    #: What its calls may use, whatever their numbers.
    form: Capabilities
    #: Where it comes from.
    source: str
    #: Its tests that are not translated: nn.LSTM has no peepholes.
    apart: tuple[str, ...] = ()
    #: What its calls ask for in place of σ and tanh, if they do.
    activation: Callable[[Array], Array] | None = None

    @property
    def note(self) -> str:
        """A description of it, on one line."""
        text = f"{self.name}: {len(self.vectors)} calls, {self.source}, rtol {self.rtol:g}, atol {self.atol:g}"
        return text + (f"; not translated: {', '.join(self.apart)}" if self.apart else "")


def verdict(peer: Peer, fault: Fault) -> str:
    """``CAUGHT``, ``MISSED`` or ``INEXPRESSIBLE``."""
    if not accepts(peer, fault.twin, fault.capabilities):
        return CAUGHT
    return MISSED if shows(fault, peer.form) else INEXPRESSIBLE


def accepts(peer: Peer, twin: Twin, capabilities: Capabilities) -> bool:
    """Whether an implementation passes all of a peer's vectors that it declares."""
    if peer.activation is not None:
        twin = replace(twin, sigmoid=peer.activation, tanh=peer.activation)
    # Its memory is its own.
    build = replace(twin, shared={}).build
    asked = (vector for vector in peer.vectors if declares(capabilities, vector.case))
    return all(_passes(vector, build, peer.rtol, peer.atol) for vector in asked)


def reading(order: str) -> Twin:
    """The correct LSTM, but for its parameters, whose gates it reads in ``order``."""
    return Twin(transform=gates_read_as(order))


def declares(c: Capabilities, case: Case) -> bool:
    """Whether capabilities declare all that a case uses."""
    config = case.config
    options = (
        (config.num_layers > 1, c.layers),
        (config.bidirectional, c.bidirectional),
        (not config.bias, c.no_bias),
        (config.batch_first, c.batch_first),
        (not config.batch_first, c.time_major),
        (case.unbatched, c.unbatched),
        (config.proj_size > 0, c.projection),
        (config.dropout > 0, c.dropout),
        (case.lengths is not None, c.lengths),
        (case.batch > 1, c.batch),
        (case.state is not None, c.initial_state),
    )
    return config.dtype in c.dtypes and all(declared for used, declared in options if used)


def _passes(vector: Vector, build: Build, rtol: float, atol: float) -> bool:
    case, got = vector.case, result_of(build, vector.case)
    if got is None or shape_error(case, got):
        return got is None
    output, h_n, c_n = canonical(case, got)
    output = None if output is None else output[..., vector.first * case.config.output_size :]
    h_n, c_n = (None if part is None else part[vector.first :] for part in (h_n, c_n))
    return all(
        part is not None and part.dtype == want.dtype and np.allclose(part, want, rtol, atol, equal_nan=True)
        for part, want in zip((output, h_n, c_n), vector.want, strict=True)
        if want is not None
    )


def result_of(build: Build, case: Case) -> Result | None:
    """The raw result of one call of a new model; without any part if it fails, None if it is not supported."""
    x, state, lengths = handed(case)
    try:
        with np.errstate(all="ignore"):
            model = build(case.config, fresh_params(case.params))
            return unpack(model(x, state) if lengths is None else model(x, state, lengths=lengths))
    except Unsupported:
        return None
    except Exception:
        return Result(None, None, None)


# What can be expressed


def shows(fault: Fault, form: Capabilities) -> bool:
    """Whether some single call of a form, on a new model, gives other bits than the correct LSTM's."""
    declared = fault.capabilities
    both = {
        name: getattr(form, name) and getattr(declared, name)
        for name in ("layers", "bidirectional", "no_bias", "batch_first", "lengths", "batch", "initial_state")
    }
    if not set(form.dtypes) <= set(declared.dtypes):
        return False
    backend = Backend(fault.id, replace(form, **both), fault.build, ruled_out=frozenset({"views"}))
    differs = partial(_differs, fault)
    if any(differs(recipe) for recipe in _recipes(backend)):
        return True
    drawn = search(strategies.recipes(backend), differs, _DRAWN, entropy=0, shrink=False)
    return drawn is not None


def _recipes(backend: Backend) -> Iterator[Recipe]:
    return (replace(recipe, fill=fill) for recipe in fixed_set(backend, 0) for fill in FILLS)


def _differs(fault: Fault, recipe: Recipe) -> bool:
    """Whether a recipe's call, or an ordinary one with a NaN in x, gives other bits than the correct LSTM's."""
    return any(
        # A build of its own for each call: what it leaves to the next model is no single call's.
        not equal(result_of(fault.build, case), right)
        for case, right in zip(_calls(recipe), _right(recipe), strict=True)
    )


def _calls(recipe: Recipe) -> tuple[Case, ...]:
    case = realise(recipe)
    if recipe.fill != "normal":
        return (case,)
    x = case.x.copy()
    x[0, 0, 0] = np.nan
    return case, replace(case, x=x)


@lru_cache(maxsize=4096)
def _right(recipe: Recipe) -> tuple[Result | None, ...]:
    return tuple(result_of(Twin().build, case) for case in _calls(recipe))


def equal(a: Result | None, b: Result | None) -> bool:
    """Whether all parts have equal bits and dtypes; what is not supported equals anything."""
    if a is None or b is None:
        return True
    return all(
        p is not None and q is not None and p.dtype == q.dtype and np.array_equal(p, q, equal_nan=True)
        for p, q in zip(a, b, strict=True)
    )
