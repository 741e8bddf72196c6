"""Probes of the gradient: vjps that are designed so that few factors matter in each, the plainest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import numpy as np

from conformance.backend import Backend, Capabilities
from conformance.cases.case import Case, realise
from conformance.cases.cotangents import LOSSES, Cotangents, draw, shapes, within
from conformance.cases.fills import normal
from conformance.cases.recipe import Recipe
from conformance.diagnosis.probes import Call, Probe, made, options
from conformance.instruments.masks import with_dropout
from conformance.spec import Array

_PLAIN = Recipe(I=3, H=5, L=1, N=1, gain=1.5)

#: The losses on one part of the result, which come before those on all.
_ALONE = ("output", "h_n", "c_n")


def gradient_probes(backend: Backend, dtype: str) -> Iterator[Probe]:
    """The probes that a backend's capabilities allow, in order, in a dtype."""
    c = backend.capabilities
    base = replace(_PLAIN, dtype=dtype, batch_first=not c.time_major)
    state = "both" if c.initial_state else "none"
    alone = [name for name in _ALONE if name in c.returns]
    given = replace(base, state=state)
    for name in alone:
        yield probe(f"gradient of one step by {name}", given, name)
    yield probe("gradient of one step", given)
    if c.initial_state:
        yield probe("gradient without a state", base)
    longer = replace(given, L=4)
    for name in alone:
        yield probe(f"gradient of steps by {name}", longer, name)
    yield probe("gradient of steps", longer)
    if c.initial_state:
        yield probe("gradient without a state", replace(base, L=4))
    rows = replace(longer, N=3) if c.batch else longer
    if c.batch:
        yield probe("gradient of rows", replace(given, N=3))
        yield probe("gradient of rows", rows)
    if c.projection:
        yield probe("gradient with projection", replace(given, proj=2))
        yield probe("gradient with projection", replace(rows, proj=2))
    for recipe, name in options(rows, c):
        if recipe.layers < 3 or recipe.bidirectional:
            for part in alone if name in ("reverse", "layers", "lengths") else ():
                yield probe(f"gradient with {name}, by {part}", recipe, part)
        yield probe(f"gradient with {name}", recipe)
    yield from _special(rows, c)


def _special(base: Recipe, c: Capabilities) -> Iterator[Probe]:
    """Equal sizes, zeros, losses that leave something out, and values that are large or small."""
    equal = {"I": 5}
    yield probe("gradient with I = H", replace(base, **equal, seed=3))
    yield probe("gradient with one unit", replace(base, H=1))
    if c.batch:
        for N, state in ((4, base.state), (4, "none")):
            for batch_first in (False, True):
                if (c.batch_first if batch_first else c.time_major) and (c.initial_state or state == base.state):
                    square = replace(base, N=N, L=4, state=state, batch_first=batch_first)
                    yield probe("gradient with N = L", square)
                    if c.lengths:
                        yield probe("gradient with lengths, N = L", replace(square, ragged=True, seed=4))
    if c.lengths and c.batch:
        yield probe("gradient with a loss in the padding", replace(base, ragged=True, L=5, seed=4), "all", _unmasked)
        yield probe("gradient with NaN in the padding", replace(base, ragged=True, L=5, seed=4), "all", _padded_by_nan)
    for name, twist in _TWISTS.items():
        if base.bias or "bias" not in name:
            yield probe(f"gradient with {name}", replace(base, **equal, L=3), "all", twist)
    for name, leave in _LEFT_OUT.items():
        yield probe(f"gradient with {name}", base, "all", leave)
    if c.layers and c.dropout:
        layers = replace(base, layers=2)
        yield probe("gradient with dropout in evaluation", layers, "all", _dropout(0.5, training=False))
        yield probe("gradient with dropout of nothing", layers, "all", _dropout(0.0, training=True))
    yield probe("gradient with NaN in x", base, "all", _nan_in_x)
    for factor in (1e8, 1e-9):
        yield probe("large and small gradients", replace(base, seed=9), "all", _scaled(factor))


#: A call made another.
_Twist = Callable[[Case, Cotangents], Call]


def probe(name: str, recipe: Recipe, loss: str = "all", twist: _Twist = Call) -> Probe:
    """One vjp, which can be made again from other seeds."""

    def again(seed: int) -> Call:
        case = realise(replace(recipe, seed=recipe.seed + seed))
        return twist(case, cotangents_of(case, loss, 10 + seed))

    return made(name, again, (1,))


def cotangents_of(case: Case, loss: str = "all", seed: int = 11) -> Cotangents:
    """Normal cotangents of all parts, or of one alone; nothing past a row's length."""
    parts = [
        (normal(seed, f"cotangent {name}", shape) * (loss in ("all", name))).astype(case.x.dtype)  # type: ignore[arg-type]
        for name, shape in zip(Cotangents._fields, shapes(case), strict=True)
    ]
    return within(case, Cotangents(*parts))


def varied(recipe: Recipe, case: Case, rng: Random, returns: tuple[str, ...]) -> Call:
    """A vjp of the case under some kind of loss."""
    return Call(case, draw(case, recipe.seed, rng.choice(LOSSES), returns))


# What code may read off the values


def _changed(change: Callable[[Case], Case]) -> _Twist:
    return lambda case, d: Call(replace(change(case), rule="any"), d)


def _padded(case: Case) -> Case:
    return replace(case, x=np.where(case.valid, case.x, case.x.dtype.type(np.nan)))


def _spoiled(case: Case) -> Case:
    x = case.x.copy()
    x[case.steps // 2, 0, 0] = np.nan
    return replace(case, x=x)


_padded_by_nan, _nan_in_x = _changed(_padded), _changed(_spoiled)


def _dropout(p: float, training: bool) -> _Twist:
    return _changed(lambda case: with_dropout(case, p, training))


def _scaled(factor: float) -> _Twist:
    return lambda case, d: Call(case, d.scaled(factor))


def _zero(kind: str) -> _Twist:
    def change(case: Case) -> Case:
        zeros = {name: np.zeros_like(v) for name, v in case.params.items() if name.startswith(kind)}
        return replace(case, params={**case.params, **zeros})

    return _changed(change)


def _unmasked(case: Case, d: Cotangents) -> Call:
    """What stands past a row's length is no result, and a loss there is no matter."""
    beside = normal(13, "cotangent in the padding", d.output.shape).astype(d.output.dtype)
    return Call(case, d._replace(output=np.where(case.valid, d.output, beside)))


def _zero_row(case: Case) -> Case:
    x = case.x.copy()
    x[:, -1] = 0
    return replace(case, x=x)


def _tied(case: Case) -> Case:
    """W_hh is W_ih in every layer and direction, where they are alike."""
    params = dict(case.params)
    for name, value in case.params.items():
        other = name.replace("weight_ih", "weight_hh")
        if name != other and params[other].shape == value.shape:
            params[other] = value
    return replace(case, params=params)


#: Cases in which something is zero or equal.
_TWISTS: dict[str, _Twist] = {
    "biases of zeros": _zero("bias"),
    "recurrent weights of zeros": _zero("weight_hh"),
    "input weights of zeros": _zero("weight_ih"),
    "a row of zeros": _changed(_zero_row),
    "equal weights": _changed(_tied),
}


def _last_alone(case: Case, d: Cotangents) -> Call:
    kept = np.arange(case.steps)[:, None, None] == (case.row_lengths() - 1)[:, None]
    return Call(case, Cotangents(_where(d.output, kept), 0 * d.h_n, 0 * d.c_n))


def _row_left_out(case: Case, d: Cotangents) -> Call:
    return Call(case, d._replace(output=_where(d.output, np.arange(case.batch)[:, None] > 0)))


def _end_left_out(case: Case, d: Cotangents) -> Call:
    return Call(case, d._replace(output=_where(d.output, np.arange(case.steps)[:, None, None] < (case.steps + 1) // 2)))


def _where(values: Array, kept: Array) -> Array:
    return np.where(kept, values, 0 * values)


#: Losses that leave something out.
_LEFT_OUT: dict[str, _Twist] = {
    "a loss on the last output alone": _last_alone,
    "a row without a loss on its output": _row_left_out,
    "no loss on the last outputs": _end_left_out,
}
