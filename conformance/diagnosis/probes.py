"""Probes: calls that are designed so that few factors matter in each, the plainest first.

A probe asks about one more thing than those before it. So a mistake shows at the first probe that it has a part in, and
whatever was found there is taken for granted by the later ones: two mistakes do not hide each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from conformance.backend import Backend, Capabilities
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import Cotangents
from conformance.cases.fills import normal
from conformance.cases.recipe import Recipe
from conformance.spec import Array


class Call(NamedTuple):
    """A call: forward, or with cotangents its vjp. Its model is a fresh one, but for the calls before it."""

    case: Case
    cotangents: Cotangents | None = None
    #: The calls before it, of the same model where weights and config are equal, and else of others.
    before: tuple[Call, ...] = ()


@dataclass(frozen=True, eq=False)
class Probe:
    """A few calls that ask about one more thing."""

    #: What it asks about: a word of ``report/causes.py``.
    name: str
    calls: tuple[Call, ...]
    #: Makes a call of the same kind from a seed: fresh cases that ask about the same thing.
    again: Callable[[int], Call] | None = None
    #: It asks about something that single alterations alone account for: none in scopes, nor two at once.
    rare: bool = False
    #: How many such calls are made as fresh cases.
    times: int = 6
    #: It is asked only while nothing explains what is wrong: it takes long.
    costly: bool = False


def made(name: str, again: Callable[[int], Call], seeds: Sequence[int] = (1, 2), rare: bool = False) -> Probe:
    """A probe whose calls are made from seeds, and others of the same kind from other seeds."""
    return Probe(name, tuple(again(seed) for seed in seeds), again, rare)


#: Units at which the cell function is tabulated in one call: fewer than a kernel's tile.
_UNITS = 15

#: Sizes that are all different.
_PLAIN = Recipe(I=3, H=5, L=1, N=1, gain=1.5)


def plain(backend: Backend, dtype: str) -> Recipe:
    """The plainest call of a backend in a dtype."""
    return replace(_PLAIN, dtype=dtype, batch_first=not backend.capabilities.time_major)


def probes(backend: Backend, dtype: str) -> Iterator[Probe]:
    """The probes that a backend's capabilities allow, in order, in a dtype."""
    c, base = backend.capabilities, plain(backend, dtype)
    state = "both" if c.initial_state else "none"
    yield from _cell(base, c)
    yield _probe("weight_ih", base, keep=("weight_ih", "x"))
    yield _probe("step", base)
    if c.initial_state:
        yield _probe("weight_hh", base, "both", keep=("weight_hh", "h_0"))
        yield _probe("state", base, "both")
        yield _probe("h_0 alone", base, "h")
        yield _probe("c_0 alone", base, "c")
    rows = 3 if c.batch else 1
    if c.projection:
        yield _probe("projection", replace(base, proj=2))
        yield _probe("projection", replace(base, proj=2, L=4), state)
    yield _probe("time", replace(base, L=4))
    yield _probe("time", replace(base, L=5), state)
    if c.batch:
        yield _probe("rows", replace(base, L=2, N=3))
        yield _probe("rows", replace(base, L=4, N=3), state)
    for recipe, name in (*options(replace(base, N=rows, L=4), c), *_special(base, c)):
        yield _probe(name, recipe)
        if c.initial_state:
            yield _probe(name, recipe, "both")
    if c.lengths and c.batch:
        ragged = replace(base, N=3, L=5, ragged=True)
        yield made("NaN in the padding", lambda seed: Call(_poisoned(replace(ragged, seed=4 + seed))))
    yield from _wide(base, c)


def options(base: Recipe, c: Capabilities) -> Iterator[tuple[Recipe, str]]:
    """Each option, then pairs, then all that go together."""
    if c.time_major and c.batch_first:
        # Where axes that are exchanged fit, values tell it, elsewhere an exception.
        yield replace(base, batch_first=True, L=base.N), "batch_first, N = L"
        yield replace(base, batch_first=True), "batch_first"
    if c.unbatched:
        yield replace(base, unbatched=True, N=1), "unbatched"
    if c.no_bias:
        yield replace(base, bias=False), "no bias"
    if c.lengths and base.N > 1:
        yield replace(base, ragged=True, L=5, seed=4), "lengths"
    if c.bidirectional:
        yield replace(base, bidirectional=True), "reverse"
    if c.layers:
        yield replace(base, layers=2), "layers"
    combined: list[tuple[Recipe, str]] = []
    if c.bidirectional and c.layers:
        combined.append((replace(base, bidirectional=True, layers=2), "layers, reverse"))
    if c.layers:
        combined.append((replace(base, layers=3), "three layers"))
    if c.time_major and c.batch_first:
        square = replace(base, batch_first=True, L=base.N)
        if c.bidirectional:
            combined.append((replace(square, bidirectional=True), "reverse, batch_first"))
        if c.layers:
            combined.append((replace(square, layers=2), "layers, batch_first"))
    if c.lengths and base.N > 1:
        ragged = replace(base, ragged=True, L=5, seed=4)
        if c.bidirectional:
            combined.append((replace(ragged, bidirectional=True), "lengths, reverse"))
        if c.layers:
            combined.append((replace(ragged, layers=2), "lengths, layers"))
        if c.batch_first and c.time_major:
            combined.append((replace(ragged, batch_first=True), "lengths, batch_first"))
    if c.projection and c.bidirectional:
        combined.append((replace(base, proj=2, bidirectional=True), "projection, reverse"))
    if c.projection and c.layers:
        combined.append((replace(base, proj=2, layers=2), "projection, layers"))
    yield from combined
    most = replace(base, layers=3 if c.layers else 1, bidirectional=c.bidirectional, seed=7)
    if c.layers and c.bidirectional:
        yield most, "three layers, reverse"
    if c.batch_first and c.time_major and (c.layers or c.bidirectional):
        yield replace(most, batch_first=True), "all, batch_first"
    if c.lengths and base.N > 1 and (c.layers or c.bidirectional):
        yield replace(most, ragged=True, L=5), "all, lengths"
    if c.unbatched and (c.layers or c.bidirectional):
        yield replace(most, unbatched=True, N=1), "all, unbatched"
    if c.no_bias and (c.layers or c.bidirectional):
        yield replace(most, bias=False), "all, no bias"
    if c.projection and c.layers and c.bidirectional:
        yield replace(most, proj=2), "all, projection"


def _special(base: Recipe, c: Capabilities) -> Iterator[tuple[Recipe, str]]:
    """Sizes that are equal, or one: code that tells axes apart by their sizes, or has paths of its own for them."""
    yield replace(base, I=5, L=2), "I = H"
    yield replace(base, I=12, H=3), "I = 4H"
    yield replace(base, H=1, L=3), "one unit"
    yield replace(base, I=1, L=3), "one feature"
    if c.batch:
        yield replace(base, L=4, N=4), "N = L"
        if c.lengths:
            yield replace(base, L=4, N=4, ragged=True, seed=4), "lengths, N = L"
    if c.bidirectional:
        yield replace(base, bidirectional=True), "one step, reverse"
    if c.layers:
        widths = replace(base, layers=2, bidirectional=c.bidirectional, I=10 if c.bidirectional else 5)
        yield widths, "I = D·P"
        if c.batch:
            yield replace(widths, I=3, N=4 if c.bidirectional else 2), "N = layers·D"
    if c.projection:
        yield replace(base, proj=1, L=3), "one projected unit"
    yield replace(base, L=24), "many steps"


def _probe(name: str, recipe: Recipe, state: str = "none", keep: tuple[str, ...] = ()) -> Probe:
    """Two calls of a recipe; with ``keep``, all tensors but these are zero."""

    def again(seed: int) -> Call:
        case = realise(replace(recipe, state=state, seed=recipe.seed + seed))
        return Call(_only(case, keep) if keep else case)

    return made(name, again)


def _only(case: Case, keep: tuple[str, ...]) -> Case:
    """The case with zeros for all tensors but some."""
    params = {k: v if k.partition("_l")[0] in keep else np.zeros_like(v) for k, v in case.params.items()}
    state = case.state
    if state is not None:
        h_0, c_0 = (v if k in keep else np.zeros_like(v) for k, v in zip(("h_0", "c_0"), state, strict=True))
        state = h_0, c_0
    x = case.x if "x" in keep else np.zeros_like(case.x)
    return replace(case, params=params, x=x, state=state, rule="any")


def _poisoned(recipe: Recipe) -> Case:
    """The case of a recipe with NaN past each row's length, which no result may show."""
    case = realise(recipe)
    return replace(case, x=np.where(case.valid, case.x, case.x.dtype.type(np.nan)))


def _cell(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """The whole cell function at points of its own: no weights, and each unit has its biases and its c_0.

    Through one bias vector, then through the other, then through both; without c_0 and with it.
    """
    recipe = replace(base, I=1, H=_UNITS)
    for given in (("bias_ih",), ("bias_hh",), ("bias_ih", "bias_hh")):
        yield made(" and ".join(given), _biases(_only(realise(recipe), ()), given), (1, 2, 3))
    if c.initial_state:
        case = _only(realise(replace(recipe, state="c")), ("c_0",))
        assert case.state is not None
        yield made("cell", _biases(case), (4, 5, 6))


def _wide(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """The cell function far from zero: clips, saturation, and forms that overflow."""
    state = "c" if c.initial_state else "none"
    case = _only(realise(replace(base, I=1, H=_UNITS, state=state)), ("c_0",))
    for spread in (6.0, 60.0):
        yield made("large values", _biases(case, spread=spread), (7, 8, 9))


def _biases(case: Case, names: tuple[str, ...] = ("bias_ih", "bias_hh"), spread: float = 1.5) -> Callable[[int], Call]:
    """Calls of a case with biases of its own for each unit, from a seed."""
    return lambda seed: Call(_biased(case, names, spread, seed))


def _biased(case: Case, names: tuple[str, ...], spread: float, seed: int) -> Case:
    """The case with biases of its own for each unit, and such a c_0 if it has one."""

    def values(name: str, zero: Array) -> Array:
        return (spread * normal(seed, name, zero.shape)).astype(zero.dtype)

    chosen = {f"{name}_l0" for name in names}
    state = None if case.state is None else (case.state[0], values("c_0", case.state[1]))
    return replace(case, params={k: values(k, v) if k in chosen else v for k, v in case.params.items()}, state=state)
