"""The values of a case's tensors: a fill's name and a seed become arrays, the same on every platform and version.

Values are built from PCG64's raw bits, whose stream NumPy promises to keep; each tensor has a stream of its own, by its
name, so that changing one size does not reshuffle the others.

=============  ======================================================================================================
fill           values
=============  ======================================================================================================
normal         weights gain/√(fan-in)·z, biases z/2, x z, h_0 within (−1, 1), c_0 1.5 z; z nearly normal, |z| < 3.5
integers       the same, rounded to whole numbers (weights to {−1, 0, 1})
sparse         the same, three in four of them zero
constant       one value for each tensor
ramp           the normal values sorted
large-cell     |c_0| from 3 to 1,000, forget gates nearly open
large-x        x times 16 to 8,192, its weights divided by as much
saturated      preactivations from 1e2 to 1e4 (1e3 in float16)
subnormal      x, h_0 and c_0 up to 20 bits below the smallest normal number; or x all zeros
carry          f = 1 and i = 0 exactly: the cell is carried unchanged
zero-weights   every parameter 0
digital        one ±256 a row (float64 ±2048, float16 ±64): every gate saturates, every cell is a small whole number
cancelling     ±B at random places beside small dyadic numbers: every order of summation is exact, if it is precise
gate-i … -o    the other gates saturated, so that c_n or h_n shows one activation
=============  ======================================================================================================
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np

from conformance.cases.recipe import Recipe
from conformance.spec import GATES, Array, LSTMConfig, finfo, numpy_dtype, param_shapes, state_shapes

#: The standard deviation of the sum of four uniform 16-bit numbers.
_SPREAD = 65536 / np.sqrt(3.0)

#: The low 16 bits of each half of a 64-bit number, and its low half.
_LOW, _HALF = np.uint64(0x0000_FFFF_0000_FFFF), np.uint64(0xFFFF_FFFF)
_SIXTEEN, _THIRTY_TWO = np.uint64(16), np.uint64(32)

#: (preactivation that saturates every activation exactly, B of the cancelling fill, its quantum)
_LEVELS = {
    "float64": (2048.0, 2.0**26, 2.0**-24),
    "float32": (256.0, 2.0**10, 2.0**-11),
    "float16": (64.0, 2.0**10, 2.0**-11),
    "bfloat16": (256.0, 2.0**10, 2.0**-8),
}

#: Normal numbers that are more than these are not kept for other fills of the same seed.
_KEPT_NORMAL = 2**11

#: A case with more elements than this in a gate's weights and in x is not kept for the next one of the same values.
_kept_elements = 2**14


def saturating(dtype: str) -> float:
    """A preactivation that saturates every activation exactly: σ is 1, and 0 at its negative."""
    return _LEVELS[dtype][0]


def cancels(dtype: str, accumulate: float) -> bool:
    """Whether sums of a unit roundoff hold the cancelling fill's B beside its quantum."""
    _, big, quantum = _LEVELS[dtype]
    return 2 * big * accumulate <= quantum


def stream(seed: int, name: str, count: int) -> Array:
    """``count`` raw 64-bit numbers of the stream that belongs to ``name``."""
    return np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])).random_raw(count)


def normal(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Nearly normal numbers: the sum of four uniform 16-bit ones, an exact whole number before it is scaled."""
    raw = stream(seed, name, math.prod(shape))
    # The two numbers of each half, then both halves: a fraction of the memory that four numbers apart would take.
    halves = raw >> _SIXTEEN
    halves &= _LOW
    raw &= _LOW
    halves += raw
    total = (halves & _HALF).astype(np.float64)
    halves >>= _THIRTY_TWO
    total += halves
    total -= 131070.0
    total /= _SPREAD
    return total.reshape(shape)


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Uniform numbers in [0, 1) with 53 bits."""
    raw = stream(seed, name, int(np.prod(shape)))
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(shape)


@lru_cache(maxsize=4096)
def pick(seed: int, name: str, count: int) -> int:
    """One of 0 … count − 1."""
    return int(stream(seed, name, 1)[0] % np.uint64(count))


def permutation(seed: int, name: str, count: int) -> Array:
    """A permutation of 0 … count − 1 that is not the identity if there is another."""
    order = np.argsort(stream(seed, name, count), kind="stable")
    return np.roll(order, 1) if np.array_equal(order, np.arange(count)) else order


def fill(recipe: Recipe, config: LSTMConfig) -> dict[str, Array]:
    """A recipe's parameters, x (L, N, I), h_0 and c_0 by name, in ``config.dtype``, C-contiguous and read-only."""
    alike = replace(recipe, view="plain", state="none", ragged=False, unbatched=False, turn=0, edits=())
    weights = config.hidden_size * (config.hidden_size + config.input_size + recipe.N)
    large = weights + recipe.L * recipe.N * config.input_size > _kept_elements
    return dict(_filled.__wrapped__(alike, config) if large else _filled(alike, config))


def keep_large() -> None:
    """Keep large cases as well, some 200 MB of them: for a process that asks the same of hundreds of backends."""
    global _kept_elements
    _kept_elements = 2**21


@lru_cache(maxsize=1024)
def _filled(recipe: Recipe, config: LSTMConfig) -> dict[str, Array]:
    # Half of all cases are asked for again: properties derive the same ones, and shrinking comes back to them.
    h_0, c_0 = state_shapes(config, recipe.N)
    shapes = {**param_shapes(config), "x": (recipe.L, recipe.N, config.input_size), "h_0": h_0, "c_0": c_0}
    make = _MAKERS.get(recipe.fill)
    values = {tensor: _base(recipe, config, tensor, shape) for tensor, shape in shapes.items()}
    if make is not None:
        values = make(recipe, config, values)
    dtype = numpy_dtype(config.dtype)
    arrays = {tensor: np.ascontiguousarray(value, dtype) for tensor, value in values.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


@lru_cache(maxsize=1024)
def _kept_normal(seed: int, name: str, shape: tuple[int, ...]) -> Array:
    """Normal numbers that several fills of one seed share; read-only."""
    z = normal(seed, name, shape)
    z.flags.writeable = False
    return z


def _base(recipe: Recipe, config: LSTMConfig, tensor: str, shape: tuple[int, ...]) -> Array:
    """The fills that treat every element alike: normal and its variations."""
    z = (_kept_normal if math.prod(shape) <= _KEPT_NORMAL else normal)(recipe.seed, tensor, shape)
    if tensor.startswith("weight"):
        scale = recipe.gain / np.sqrt(shape[1] + (0 if tensor.startswith("weight_hr") else config.output_size))
    else:
        scale = {"b": 0.5, "x": 1.0, "h": 0.3 if not config.proj_size else 1.0, "c": 1.5}[tensor[0]]
    values = scale * z
    if recipe.fill == "integers":
        return np.clip(np.rint(z if tensor.startswith("weight") else 2 * values), -4, 4)
    if recipe.fill == "sparse":
        return np.where(stream(recipe.seed, "sparse " + tensor, z.size).reshape(shape) % np.uint64(4) == 0, values, 0.0)
    if recipe.fill == "constant":
        return np.full(shape, values.flat[0])
    if recipe.fill == "ramp":
        return np.sort(values, axis=None).reshape(shape)
    return values


def _gates(values: dict[str, Array], *kinds: str) -> Iterator[Array]:
    """Views (4, H, …) by gate of the packed tensors whose names begin with one of ``kinds``."""
    for tensor, value in values.items():
        if tensor.startswith(kinds):
            yield value.reshape(4, -1, *value.shape[1:])


def _large_cell(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    u = uniform(recipe.seed, "large-cell", values["c_0"].shape)
    values["c_0"] = np.where(values["c_0"] < 0, -1.0, 1.0) * 3.0 * (1000 / 3) ** u
    for _, f, _, _ in _gates(values, "bias_ih"):
        f += 6.0
    return values


def _large_x(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    scale = 2.0 ** (4 + pick(recipe.seed, "large-x", 10))
    values["x"] *= scale
    for weight in _gates(values, "weight_ih_l0"):
        weight /= scale
    return values


def _saturated(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    # float16 ends at 65,504: beyond, ∞ − ∞ would be a right answer.
    decades = 1 if config.dtype == "float16" else 2
    level = 10.0 ** (2 + decades * float(uniform(recipe.seed, "saturated", (1,))[0]))
    for weight in _gates(values, "weight_ih", "weight_hh"):
        weight *= level / recipe.gain
    return values


def _subnormal(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    tiny = float(finfo(config.dtype).smallest_normal)
    below = pick(recipe.seed, "subnormal", 22)
    for tensor in ("x", "h_0", "c_0"):
        values[tensor] *= tiny * 2.0**-below
    if below == 21:
        values["x"] *= 0.0
    for _, _, g, _ in _gates(values, "bias"):
        g[...] = 0.0
    return values


def _carry(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    values["c_0"] *= 4.0
    for i, f, _, _ in _gates(values, "weight_ih", "weight_hh"):
        i[...], f[...] = 0.0, 0.0
    for i, f, _, _ in _gates(values, "bias"):
        i[...], f[...] = -saturating(config.dtype), saturating(config.dtype)
    return values


def _zero_weights(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    return {tensor: values[tensor] if tensor in ("x", "h_0", "c_0") else 0.0 * values[tensor] for tensor in values}


def _digital(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    """Rows with one ±level, on an input or on a hidden unit, and a bias of ±3/8 of it for where that one is zero.

    x is ±1, and |h| is 0 or at least tanh(1) = 0.76, so the sign of every preactivation is that of one term.
    """
    level, seed = saturating(config.dtype), recipe.seed
    for slot in config.slots():
        end = slot.suffix
        rows, width = values["weight_ih" + end].shape
        joined = np.zeros((rows, width + config.output_size))
        raw = stream(seed, "digital" + end, 3 * rows)
        column = (raw[:rows] % np.uint64(joined.shape[1])).astype(np.int64)
        joined[np.arange(rows), column] = np.where(raw[rows : 2 * rows] >> np.uint64(63), level, -level)
        values["weight_ih" + end], values["weight_hh" + end] = joined[:, :width], joined[:, width:]
        sign = np.where(raw[2 * rows :] >> np.uint64(63), 1.0, -1.0)
        if config.bias:
            values["bias_ih" + end], values["bias_hh" + end] = sign * level * 0.625, sign * level * -0.25
        if config.proj_size:
            chosen = stream(seed, "digital hr" + end, config.proj_size)
            select = np.zeros((config.proj_size, config.hidden_size))
            select[np.arange(config.proj_size), (chosen % np.uint64(config.hidden_size)).astype(np.int64)] = 1.0
            values["weight_hr" + end] = select
    values["x"] = np.where(values["x"] < 0, -1.0, 1.0)
    values["h_0"] = np.where(values["h_0"] < 0, -1.0, 1.0)
    values["c_0"] = np.clip(np.rint(values["c_0"]), -3, 3)
    return values


def _cancelling(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    """x, h_0 = (+B, −B at two random places, small dyadic numbers elsewhere), weights 1: B cancels, the rest stays."""
    _, big, quantum = _LEVELS[config.dtype]
    seed = recipe.seed
    for tensor, value in values.items():
        if tensor.startswith(("weight_ih", "weight_hh")):
            values[tensor] = np.ones_like(value)
        elif tensor.startswith("bias"):
            values[tensor] = np.zeros_like(value)
        elif tensor in ("x", "h_0"):
            steps = int(0.5 / (quantum * max(1, config.input_size + config.output_size)))
            odd = 2 * (stream(seed, "cancelling " + tensor, value.size) % np.uint64(max(1, steps // 2))) + np.uint64(1)
            values[tensor] = np.copysign(odd.astype(np.float64) * quantum, value.reshape(-1)).reshape(value.shape)
    for tensor, size in (("x", config.input_size), ("h_0", config.output_size)):
        if size >= 2:
            places = permutation(seed, "cancelling places" + tensor[1:], size)[:2]
            values[tensor][..., places] = (big, -big)
    values["c_0"] *= 0.0
    return values


def _gate(recipe: Recipe, config: LSTMConfig, values: dict[str, Array]) -> dict[str, Array]:
    """One gate follows its preactivation; the others are saturated so that it alone shows in c_n or h_n.

    i: f=0, g=1, so c = i.  f: i=0, c_0 = 1, so c = f.  g: f=0, i=1, so c = g.  o: f=1, i=0, c_0 large, so h = o.
    """
    gate, level = recipe.fill[-1], saturating(config.dtype)
    others = {"i": {"f": -1, "g": 1, "o": 1}, "f": {"i": -1, "g": 1, "o": 1}}
    others |= {"g": {"i": 1, "f": -1, "o": 1}, "o": {"i": -1, "f": 1, "g": 1}}
    for other, sign in others[gate].items():
        for weight in _gates(values, "weight_ih", "weight_hh"):
            weight[GATES.index(other)] = 0.0
        for bias in _gates(values, "bias"):
            bias[GATES.index(other)] = sign * level
    values["c_0"] = np.full_like(values["c_0"], 64.0 if gate == "o" else 1.0)
    return values


_MAKERS = {
    "large-cell": _large_cell,
    "large-x": _large_x,
    "saturated": _saturated,
    "subnormal": _subnormal,
    "carry": _carry,
    "zero-weights": _zero_weights,
    "digital": _digital,
    "cancelling": _cancelling,
    **{f"gate-{gate}": _gate for gate in GATES},
}
