"""A gradient with an exact answer: every number in it is dyadic, and every order of summation gives the same bits.

Inputs wired to the preactivations by an identity (as in ``taps.py``), this time not zero, steer each of them to 0 or
to ±B, where the activations saturate: σ is 0, ½ or 1, tanh is 0 or ±1. Each cell is 0, or so large that its tanh is ±1.
So σ′ is 0 or ¼ and tanh′ 0 or 1; weights and cotangents are small whole numbers. The sum of all terms' magnitudes, and
the power of two that divides every term, tell which sums are exact in a given precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.bounds.backward import Adjoints
from conformance.bounds.rounding import Approx, Arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, shapes, within
from conformance.cases.fills import saturating, stream
from conformance.reference.backward import Gradients, LayerGradients, Slopes, layer_vjp, slopes
from conformance.reference.forward import Tape, time_order, weights
from conformance.spec import Array, Result, param_shapes, suffix

#: The magnitude of the cells that are not 0: halved once, and ±1 a step, they stay beyond 20, where tanh is 1.
_CELL = 64.0
_STEPS = 6

#: What each tensor is drawn from.
_VALUES = {
    "x": (-2, -1, 1, 2),
    "h_0": (-1, 0, 1, 2),
    "c_0": (-_CELL, 0, 0, _CELL),
    "weight_ih": (-2, -1, -1, 0, 1, 1, 2),
    "weight_hh": (-1, 0, 0, 1, 2),
    "weight_hr": (-1, 0, 1, 1),
    "bias_ih": (-1, 0, 1),
    "bias_hh": (-2, 0, 1),
    "loss": (-3, -2, -1, 1, 2, 3),
    "steering": (0, 0, 1, -1),
}


@dataclass(frozen=True, eq=False)
class Dyadic:
    """A case of one layer with its cotangents, what it returns, and its gradients, ``exact`` where no order rounds."""

    case: Case
    cotangents: Cotangents
    result: Result
    grads: Gradients
    exact: dict[str, Array]

    def adjoints(self, grad_x: Array, declared: Arithmetic) -> Adjoints:
        """∂a of each direction, which shows in the gradient of the steering inputs."""
        config, own = self.case.config, 4 * self.case.config.hidden_size
        taps = np.asarray(grad_x[..., config.input_size - config.num_directions * own :], np.float64)
        seen = Approx(taps, (declared.unit + declared.inputs) * np.abs(taps), declared)
        return [[seen[..., d * own : (d + 1) * own] for d in range(config.num_directions)]]


def dyadic(plain: Case, seed: int, declared: Arithmetic) -> Dyadic:
    """The dyadic case with the structure of a plain one of a single layer, of fewer steps if more would round."""
    bits = round(-np.log2(max(declared.unit, declared.accumulate, declared.inputs)))
    for steps in reversed(range(1, min(plain.steps, _STEPS) + 1)):
        lengths = None if plain.lengths is None else np.minimum(plain.lengths, steps)
        found = _build(replace(plain, x=plain.x[:steps], lengths=lengths), seed, bits)
        if found is not None:
            return found
    raise AssertionError("a single step is exact in any precision")


def _build(plain: Case, seed: int, bits: int) -> Dyadic | None:
    """The case with as many steps as the plain one; None if an adjoint within it would round."""
    lengths, size = plain.row_lengths(), plain.config.input_size
    D, P, rows = plain.config.num_directions, plain.config.output_size, 4 * plain.config.hidden_size
    valid = (np.arange(plain.steps)[:, None] < lengths)[..., None]
    config = replace(plain.config, input_size=size + D * rows)
    dtype = plain.x.dtype

    def choose(name: str, kind: str, shape: tuple[int, ...]) -> Array:
        raw = stream(seed, f"dyadic {name}", int(np.prod(shape)))
        values = np.array(_VALUES[kind], np.float64)
        return values[(raw % np.uint64(len(values))).astype(np.int64)].reshape(shape)

    params = {name: choose(name, name.partition("_l")[0], shape) for name, shape in param_shapes(config).items()}
    x = np.zeros((plain.steps, plain.batch, config.input_size))
    x[..., :size] = choose("x", "x", (plain.steps, plain.batch, size))
    h_0, c_0 = (np.zeros(part.shape) for part in plain.initial())
    if plain.state is not None:
        h_0, c_0 = choose("h_0", "h_0", h_0.shape), choose("c_0", "c_0", c_0.shape)
    loss = Cotangents(*(choose(f"loss {n}", "loss", tuple(shape)) for n, shape in enumerate(shapes(plain))))
    loss = within(plain, loss)

    tapes, halves = [], []
    h_n, c_n = np.empty(h_0.shape), np.empty(c_0.shape)
    for d in range(D):
        taps = slice(size + d * rows, size + (d + 1) * rows)
        weight = params["weight_ih" + suffix(0, d)]
        weight[:, size:] = 0
        weight[:, taps] = np.eye(rows)
        signs = choose(f"steering {d}", "steering", (plain.steps, plain.batch, 4, rows // 4))
        read = time_order(x[..., :size], lengths, bool(d))
        p = weights(params, 0, d) | {"weight_ih": weight[:, :size]}
        a, tape, half, h_n[d], c_n[d] = _steer(p, read, h_0[d], c_0[d], valid, signs, saturating(config.dtype))
        x[..., taps] = time_order(a, lengths, bool(d))
        halves.append(time_order(half, lengths, bool(d)))
        tapes.append(tape)

    grads, sizes, quanta = Gradients(), Gradients(), dict[str, float]()
    for d, tape in enumerate(tapes):
        p, tape = weights(params, 0, d), tape._replace(x=time_order(x, lengths, bool(d)))
        half = time_order(loss.output[..., d * P : (d + 1) * P], lengths, bool(d))
        own, slope = (half, loss.h_n[d], loss.c_n[d]), slopes(tape)
        found = layer_vjp(p, tape, slope, valid, *own)
        # Of the magnitudes of everything, it is the sum of all terms' magnitudes.
        positive = {name: np.abs(value) for name, value in p.items()}
        total = layer_vjp(positive, Tape(*map(np.abs, tape)), slope, valid, *map(np.abs, own))
        q = _quanta(tape, slope, found)
        if not _representable(found, total, q, bits):
            return None
        for into, part in ((grads, found), (sizes, total)):
            into["x"] = into.get("x", 0.0) + time_order(part.x, lengths, bool(d))
            for name, value in (("h_0", part.h_0), ("c_0", part.c_0)):
                into[name] = np.concatenate([into[name], value[None]]) if d else value[None]
            into |= {name + suffix(0, d): value for name, value in part.params.items()}
        quanta |= {name + suffix(0, d): q[name] for name in found.params}
        quanta |= {name: min(q[name], quanta.get(name, np.inf)) for name in ("x", "h_0", "c_0")}
    exact = {name: sizes[name] <= 2.0**bits * quanta[name] for name in grads}

    state = None if plain.state is None else (h_0.astype(dtype), c_0.astype(dtype))
    typed = {name: value.astype(dtype) for name, value in params.items()}
    case = replace(plain, config=config, params=typed, x=x.astype(dtype), state=state, rule="any")
    cotangents = Cotangents(*(part.astype(dtype) for part in loss))
    return Dyadic(case, cotangents, Result(np.concatenate(halves, axis=2), h_n, c_n), grads, exact)


def _steer(
    p: dict[str, Array], x: Array, h: Array, c: Array, valid: Array, signs: Array, level: float
) -> tuple[Array, Tape, Array, Array, Array]:
    """Steering inputs (L, N, 4H) for one direction in its reading order, its tape, output, h_n and c_n.

    ``signs`` (L, N, 4, H) are what its gates are wished to be; some are changed, so that each cell stays 0 or large.
    """
    empty, halved = c == 0, np.zeros(c.shape, bool)
    steering, tape = np.zeros((*x.shape[:2], len(p["weight_hh"]))), []
    output = np.zeros((*x.shape[:2], h.shape[1]))
    for t, x_t in enumerate(x):
        i, f, g, o = signs[t].swapaxes(0, 1)
        # A cell of 0 stays so: i ⊙ g = 0. A large one is halved once at most, and never dropped.
        i = np.where(empty & (g != 0), -1.0, i)
        f = np.where(empty, f, np.where(halved | (f != 0), 1.0, 0.0))
        halved = halved | (f == 0)
        wished = np.stack([i, f, g, o], axis=1).reshape(len(c), -1) * level
        sum_of_the_rest = x_t @ p["weight_ih"].T + h @ p["weight_hh"].T
        if "bias_ih" in p:
            sum_of_the_rest = sum_of_the_rest + p["bias_ih"] + p["bias_hh"]
        steering[t] = np.where(valid[t], wished - sum_of_the_rest, 0.0)
        i, f, o = ((gate + 1) / 2 for gate in (i, f, o))
        c_next = f * c + i * g
        tanh_c = np.sign(c_next)
        m = h_next = o * tanh_c
        if "weight_hr" in p:
            h_next = m @ p["weight_hr"].T
        tape.append((x_t, h, i, f, g, o, c, tanh_c, m))
        output[t] = np.where(valid[t], h_next, 0.0)
        h, c = np.where(valid[t], h_next, h), np.where(valid[t], c_next, c)
    return steering, Tape(*map(np.stack, zip(*tape, strict=True))), output, h, c


def quantum(*values: Array) -> float:
    """The largest power of two, at most 1, that divides all of the values."""
    flat = np.concatenate([np.abs(value).reshape(-1) for value in values])
    fraction, exponent = np.frexp(flat[flat != 0])
    whole = (fraction * 2.0**53).astype(np.int64)
    lowest = (whole & -whole).astype(np.float64) * 2.0 ** (exponent - 53)
    return float(lowest.min(initial=1.0))


def _quanta(tape: Tape, slope: Slopes, found: LayerGradients) -> dict[str, float]:
    """A power of two that divides every term of each sum: weights and cotangents are whole numbers."""
    a = quantum(found.a)
    q = {"a": a, "h": a, "x": a, "h_0": a, "c_0": quantum(found.c_0), "bias_ih": a, "bias_hh": a}
    q["c"] = quantum(found.m * tape.o * slope.c, found.c * tape.f)
    q["weight_ih"], q["weight_hh"] = a * quantum(tape.x), a * quantum(tape.h_before)
    q["weight_hr"] = a * quantum(tape.m)
    return q


def _representable(found: LayerGradients, total: LayerGradients, q: dict[str, float], bits: int) -> bool:
    """Whether every adjoint within the pass is exact: ∂h and ∂m as sums, ∂c as a sum, ∂a as products of those."""
    pairs = ((total.h, q["h"]), (total.m, q["h"]), (total.c, q["c"]), (found.a, q["a"]), (found.c_0, q["c_0"]))
    return all(np.abs(size).max() <= 2.0**bits * least for size, least in pairs)
