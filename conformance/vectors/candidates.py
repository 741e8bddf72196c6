"""The candidates among which vectors are chosen, by how they are made.

``usual`` ones are the rows of the suite's fixed set as far as they are small, all small calls of one layer, and three
calls with each fill. ``special`` ones have values that few faults need. ``sized.py`` has those of many sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from conformance.backend import Backend
from conformance.cases.case import Case, realise
from conformance.cases.fills import saturating
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import FILLS, STATES, Recipe
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, finfo, param_shapes
from conformance.vectors.vector import Vector

#: The largest sizes of a usual candidate.
_UNITS, _ROWS = 17, 10

#: I, H, L and N of the calls of one layer.
_ONE_LAYER = ((3, 5, 4, 2), (2, 4, 6, 3), (5, 3, 2, 4), (4, 4, 3, 5), (20, 17, 2, 3))

#: The arguments and parameters by the names under which ``altered`` gives them, or a NaN or an infinity is put there.
_H_0, _C_0 = "h_0", "c_0"


def usual(dtype: str, seed: int) -> Iterator[Vector]:
    """Small calls of every kind."""
    made = dict.fromkeys((*_rows(dtype, seed), *_one_layer(dtype, seed), *_filled(dtype, seed)))
    return (Vector(str(recipe), realise(recipe)) for recipe in made)


def _rows(dtype: str, seed: int) -> Iterator[Recipe]:
    backend = Backend("vectors", replace(FULL, dtypes=(dtype,)), Twin().build, ruled_out=frozenset({"views"}))
    for recipe in fixed_set(backend, seed):
        if max(recipe.I, recipe.H) <= _UNITS and recipe.N <= _ROWS:
            # Large weights make a bound large that nothing is forced in.
            yield replace(recipe, gain=min(recipe.gain, 1.0))


def _one_layer(dtype: str, seed: int) -> Iterator[Recipe]:
    """One layer in every way."""
    ways = product((False, True), (True, False), STATES, (False, True))
    for number, (bidirectional, bias, state, ragged) in enumerate(ways):
        features, units, L, N = _ONE_LAYER[number % len(_ONE_LAYER)]
        yield Recipe(
            *(features, units, 1, bidirectional, bias),
            dtype=dtype, L=L, N=N, state=state, ragged=ragged, gain=(1.0, 0.3)[number % 2],
            seed=1000 * seed + 600 + number,
        )  # fmt: skip


def _filled(dtype: str, seed: int) -> Iterator[Recipe]:
    """Each fill in a plain call, in one with everything that one layer may have, and in a stack with a projection."""
    plain = Recipe(3, 4, dtype=dtype, L=5, N=2, state="both", seed=1000 * seed + 700)
    bases = (
        plain,
        replace(plain, I=4, H=3, bidirectional=True, ragged=True, L=4, N=3, seed=plain.seed + 1),
        replace(plain, layers=2, bidirectional=True, proj=2, L=3, seed=plain.seed + 2),
    )
    return (replace(base, fill=fill) for base in bases for fill in FILLS[1:])


# Special values


def altered(case: Case, **arrays: Array) -> Case:
    """The case with other values in some of its arrays: x, h_0, c_0, or a parameter by its name."""
    state, dtype = case.state, case.x.dtype
    if state is not None:
        h_0, c_0 = (np.asarray(arrays.pop(name, part), dtype) for name, part in zip((_H_0, _C_0), state, strict=True))
        state = h_0, c_0
    x = np.asarray(arrays.pop("x", case.x), dtype)
    params = {name: np.asarray(arrays.get(name, value), dtype) for name, value in case.params.items()}
    return replace(case, x=x, state=state, params=params, rule="any")


def special(dtype: str, seed: int) -> Iterator[Vector]:
    """Calls with values that few faults need."""
    yield from _ranges(dtype, seed)
    yield from _sweeps(dtype)
    yield from _alike(dtype, seed)
    yield from _nonfinite(dtype, seed)


def _base(dtype: str, seed: int, number: int, **more: object) -> Case:
    recipe = Recipe(3, 4, dtype=dtype, L=4, N=3, state="both", seed=1000 * seed + 800 + number)
    return realise(replace(recipe, **more))  # type: ignore[arg-type]


def _ranges(dtype: str, seed: int) -> Iterator[Vector]:
    """Values beyond what is usual: of x, h_0, c_0, a projection's output."""
    case = _base(dtype, seed, 0)
    assert case.state is not None
    h_0, c_0 = case.state
    scale = 2.0**-22
    small = {name: value * scale for name, value in case.params.items() if name.startswith("weight_ih")}
    yield Vector("x beyond a million", altered(case, x=case.x / scale, **small))
    tiny = {name: value / scale for name, value in case.params.items() if name.startswith("weight_ih")}
    yield Vector("x below a millionth", altered(case, x=case.x * scale, **tiny))
    yield Vector("h_0 beyond 8", altered(case, h_0=h_0 * 64, weight_hh_l0=case.params["weight_hh_l0"] / 64))
    yield Vector("c_0 beyond 1,000", altered(case, c_0=c_0 * 4096))
    largest = float(finfo(dtype).max) / 4
    huge = altered(case, c_0=np.copysign(largest, c_0))
    yield Vector("c_0 a quarter of the largest number", huge, huge)
    projected = _base(dtype, seed, 1, proj=2)
    large = {"weight_hr_l0": projected.params["weight_hr_l0"] * 64}
    large["weight_hh_l0"] = projected.params["weight_hh_l0"] / 64
    yield Vector("a projected h beyond 20", altered(projected, **large))
    evaluated = _base(dtype, seed, 2, layers=2)
    config = replace(evaluated.config, dropout=0.5)
    yield Vector("dropout in evaluation", replace(evaluated, config=config))


def _sweeps(dtype: str) -> Iterator[Vector]:
    """One gate at many preactivations, one a row, the others where they add least to the bound.

    A forget gate with c_0 = 1 and i = g = 0 shows σ alone. A candidate needs an input gate of 1, an output gate a cell.
    """
    level = saturating(dtype)
    finer = np.concatenate([np.linspace(-3, 3, 49), np.linspace(8, 17, 37), np.linspace(-17, -8, 37)])
    places = np.concatenate([finer, [-2.375, 2.375, 1e-4, -1e-3, 2.5, -2.45, 13.01, 0.5 + 1 / 512]])
    biases = {"i": (0, 0, level, level), "f": (-level, 0, 0, 0), "g": (level, 0, 0, 0), "o": (0, level, 0, 0)}
    for number, (gate, bias) in enumerate(biases.items()):
        config = LSTMConfig(1, 1, dtype=dtype)
        params = {name: np.zeros(shape, dtype) for name, shape in param_shapes(config).items()}
        params["weight_ih_l0"][number] = 1
        params["bias_ih_l0"][:] = bias
        x = places.astype(dtype)[None, :, None]
        c_0 = np.full_like(x, {"i": 0, "f": 1, "g": 0, "o": 64}[gate])
        yield Vector(f"gate {gate} from end to end", Case(config, params, x, (np.zeros_like(c_0), c_0)))


def _alike(dtype: str, seed: int) -> Iterator[Vector]:
    """Arrays that are equal, or zero, where they seldom are."""
    case = _base(dtype, seed, 3, bidirectional=True)
    equal = {name: case.params[name.replace("hh", "ih")] for name in case.params if name.startswith("bias_hh")}
    yield Vector("b_ih and b_hh are equal", altered(case, **equal))
    yield Vector("both directions have one W_hh", altered(case, weight_hh_l0_reverse=case.params["weight_hh_l0"]))
    full = _base(dtype, seed, 4, ragged=True)
    yield Vector("all lengths are L", replace(full, lengths=np.full_like(full.lengths, full.steps), rule="any"))
    stacked = _base(dtype, seed, 5, layers=2)
    none = {name: 0 * value for name, value in stacked.params.items() if name.startswith("bias") and name[-1] == "0"}
    yield Vector("the first layer's biases are 0", altered(stacked, **none))
    turned = _base(dtype, seed, 6, batch_first=True, unbatched=True, N=1)
    yield Vector("unbatched, batch_first", replace(turned, rule="any"))


def _nonfinite(dtype: str, seed: int) -> Iterator[Vector]:
    """A NaN or an infinity in one place; nowhere meets it ∞ − ∞ or 0·∞, which another order of sums would avoid."""
    both = _base(dtype, seed, 7, bidirectional=True, ragged=True)
    plain = _base(dtype, seed, 8, N=2)
    for name, case in (("both directions and lengths", both), ("one direction", plain)):
        spoiled = case.x.copy()
        spoiled[1, 0, 1] = np.nan
        yield Vector(f"a NaN in x, {name}", altered(case, x=spoiled))
    padded = replace(both, lengths=np.minimum(both.row_lengths(), both.steps - 1))
    x = both.x.copy()
    x[-1] = np.nan
    yield Vector("NaN in the padding", altered(padded, x=x))
    assert plain.state is not None
    for name, part in zip((_H_0, _C_0), plain.state, strict=True):
        spoiled = part.copy()
        spoiled[0, 0, 1] = np.nan
        yield Vector(f"a NaN in {name}", altered(plain, **{name: spoiled}))
    for name in ("weight_ih_l0", "bias_hh_l0"):
        spoiled = plain.params[name].copy()
        spoiled.reshape(-1)[1] = np.nan
        yield Vector(f"a NaN in {name}", altered(plain, **{name: spoiled}))
    yield from _infinite(plain)


def _infinite(case: Case) -> Iterator[Vector]:
    """An infinity, or the largest number, in x, h_0 or c_0. The oracle reads a large number in its place."""
    assert case.state is not None
    given = {"x": case.x, _H_0: case.state[0], _C_0: case.state[1]}
    weights = {"x": "weight_ih_l0", _H_0: "weight_hh_l0"}
    largest = float(finfo(case.config.dtype).max)
    for name, number in (("x", np.inf), ("x", largest), (_H_0, np.inf), (_C_0, np.inf)):
        at = (0, 0, 1)
        spoiled, stand_in = given[name].copy(), given[name].astype(np.float64)
        spoiled[at] = np.copysign(number, spoiled[at])
        # A million against the other terms' hundreds saturates every gate, and an infinite cell stays beyond the range.
        large = 1e300 if name == _C_0 else 1e6 / float(np.abs(case.params[weights[name]][:, 1]).min())
        stand_in[at] = np.copysign(large, stand_in[at])
        read = replace(case, rule="any")
        if name == "x":
            read = replace(read, x=stand_in)
        else:
            h_0, c_0 = (stand_in if part == name else given[part] for part in (_H_0, _C_0))
            read = replace(read, state=(h_0, c_0))
        word = "an infinity" if np.isinf(number) else "the largest number"
        yield Vector(f"{word} in {name}", altered(case, **{name: spoiled}), read)
