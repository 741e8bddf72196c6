"""A gradient with an exact answer: every number in it is dyadic, and every order of summation gives the same bits.

Steering inputs are wired to the preactivations by an identity, as taps are (``instruments/taps.py``). They are chosen
such that each preactivation is 0 or ±B, where the activations saturate: σ is 0, ½ or 1, tanh is 0 or ±1. Each cell is
0, or so large that its tanh is ±1. So σ′ is 0 or ¼ and tanh′ 0 or 1; weights and cotangents are small whole numbers.
The sum of all terms' magnitudes, and the power of two that divides every term, tell which sums are exact in a given
precision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.bounds.backward import Adjoints
from conformance.bounds.rounding import Arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, shapes, within
from conformance.cases.fills import saturating, stream
from conformance.instruments.taps import read_taps
from conformance.reference.backward import Gradients, LayerGradients, Slopes, layer_vjp, slopes
from conformance.reference.forward import Tape, time_order, weights
from conformance.spec import Array, Result, Slot, param_shapes

#: The magnitude of the cells that are not 0: halved once, and ±1 a step, they stay beyond 20, where tanh is 1.
CELL = 64.0
_STEPS = 6

#: What each tensor is drawn from.
_VALUES = {
    "x": (-2, -1, 1, 2),
    "h_0": (-1, 0, 1, 2),
    "c_0": (-CELL, 0, 0, CELL),
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
    """A case of one layer with its cotangents, result and gradients; ``exact`` says where no order of sums rounds.

    All of it holds where the activations are exact, which ``saturation.py`` finds out.
    """

    case: Case
    cotangents: Cotangents
    result: Result
    grads: Gradients
    exact: dict[str, Array]
    #: The cells (D, N, H) of which it takes the tanh, one by one.
    cells: list[Array]

    def adjoints(self, grad_x: Array, declared: Arithmetic) -> Adjoints:
        """∂a of each direction, which shows in the gradient of the steering inputs."""
        config, rows = self.case.config, 4 * self.case.config.hidden_size
        size = config.input_size - config.num_directions * rows
        return {slot: read_taps(grad_x[..., steering(slot, size, rows)], declared) for slot in config.slots()}


def dyadic(original: Case, seed: int, declared: Arithmetic) -> Dyadic:
    """The dyadic case with the structure of an original of one layer, of fewer steps if more would round."""
    bits = round(-np.log2(max(declared.unit, declared.accumulate, declared.inputs)))
    for steps in reversed(range(1, min(original.steps, _STEPS) + 1)):
        lengths = None if original.lengths is None else np.minimum(original.lengths, steps)
        built = _build(replace(original, x=original.x[:steps], lengths=lengths), seed, bits)
        if built is not None:
            return built
    raise AssertionError("a single step is exact in any precision")


def _build(original: Case, seed: int, bits: int) -> Dyadic | None:
    """The case with as many steps as the original; None if an adjoint within it would round."""
    case, cotangents = _drawn(original, seed)
    result, tapes = _steered(case, original.config.input_size, seed)
    summed = _summed(case, cotangents, tapes, bits)
    if summed is None:
        return None
    dtype = original.x.dtype
    params = {name: value.astype(dtype) for name, value in case.params.items()}
    state = None if case.state is None else (case.state[0].astype(dtype), case.state[1].astype(dtype))
    typed = replace(case, params=params, x=case.x.astype(dtype), state=state)
    # In the order in which each direction reads the steps.
    cells = [*np.stack([tapes[slot].c_before for slot in case.config.slots()], axis=1), result.c_n]
    return Dyadic(typed, Cotangents(*(part.astype(dtype) for part in cotangents)), result, *summed, cells)


def _drawn(original: Case, seed: int) -> tuple[Case, Cotangents]:
    """The case and its cotangents in float64; its steering inputs are wired, and still 0."""
    config, size, rows = original.config, original.config.input_size, 4 * original.config.hidden_size
    config = replace(config, input_size=size + config.num_directions * rows)
    params = {name: _choose(seed, name, name.partition("_l")[0], shape) for name, shape in param_shapes(config).items()}
    for slot in config.slots():
        weight = params["weight_ih" + slot.suffix]
        weight[:, size:] = 0
        weight[:, steering(slot, size, rows)] = np.eye(rows)
    x = np.zeros((original.steps, original.batch, config.input_size))
    x[..., :size] = _choose(seed, "x", "x", (original.steps, original.batch, size))
    h_0, c_0 = original.initial()
    state = _choose(seed, "h_0", "h_0", h_0.shape), _choose(seed, "c_0", "c_0", c_0.shape)
    state = None if original.state is None else state
    loss = Cotangents(*(_choose(seed, f"loss {n}", "loss", tuple(shape)) for n, shape in enumerate(shapes(original))))
    return replace(original, config=config, params=params, x=x, state=state, rule="any"), within(original, loss)


def _choose(seed: int, name: str, kind: str, shape: tuple[int, ...]) -> Array:
    """Values of a kind, from the stream that belongs to the name."""
    raw = stream(seed, f"dyadic {name}", int(np.prod(shape)))
    values = np.array(_VALUES[kind], np.float64)
    return values[(raw % np.uint64(len(values))).astype(np.int64)].reshape(shape)


def steering(slot: Slot, size: int, rows: int) -> slice:
    """A direction's steering inputs among the features of x, of which the first ``size`` are others."""
    return slice(size + slot.direction * rows, size + (slot.direction + 1) * rows)


def _steered(case: Case, size: int, seed: int) -> tuple[Result, dict[Slot, Tape]]:
    """The exact result, and the tapes; sets the case's steering inputs, those beyond the first ``size`` of x."""
    config, rows, lengths = case.config, 4 * case.config.hidden_size, case.row_lengths()
    (h_0, c_0), parts, tapes = case.initial(), [], {}
    for slot in config.slots():
        signs = _choose(seed, f"steering {slot.direction}", "steering", (case.steps, case.batch, 4, rows // 4))
        p, x = weights(case.params, slot), time_order(case.x[..., :size], lengths, slot.reverse)
        p |= {"weight_ih": p["weight_ih"][:, :size]}
        at, level = slot.position(config), saturating(config.dtype)
        a, tapes[slot], half, h_n, c_n = _steer(p, x, h_0[at], c_0[at], case.valid, signs, level)
        case.x[..., steering(slot, size, rows)] = time_order(a, lengths, slot.reverse)
        parts.append((time_order(half, lengths, slot.reverse), h_n, c_n))
    # A direction reads the other's steering inputs too, with weights 0.
    tapes = {slot: tape._replace(x=time_order(case.x, lengths, slot.reverse)) for slot, tape in tapes.items()}
    halves, h_n, c_n = zip(*parts, strict=True)
    return Result(np.concatenate(halves, axis=2), np.stack(h_n), np.stack(c_n)), tapes


def _summed(
    case: Case, cotangents: Cotangents, tapes: dict[Slot, Tape], bits: int
) -> tuple[Gradients, dict[str, Array]] | None:
    """The gradients, and where each is exact in any order of summation; None if an adjoint would round.

    A sum is exact in any order if the sum of its terms' magnitudes, in units of a power of two that divides all of
    them, has no more than ``bits`` bits: so has every partial sum.
    """
    lengths, valid = case.row_lengths(), case.valid
    grads, sizes, units = Gradients(), Gradients(), dict[str, float]()
    for slot, tape in tapes.items():
        p, slope, at = weights(case.params, slot), slopes(tape), slot.position(case.config)
        half = time_order(cotangents.output[..., slot.features(case.config)], lengths, slot.reverse)
        loss = half, cotangents.h_n[at], cotangents.c_n[at]
        own = layer_vjp(p, tape, slope, valid, *loss)
        # Of the magnitudes of everything, it is the sum of all terms' magnitudes.
        positive = {name: np.abs(value) for name, value in p.items()}
        total = layer_vjp(positive, Tape(*map(np.abs, tape)), slope, valid, *map(np.abs, loss))
        unit = _units(tape, slope, own)
        if not _representable(own, total, unit, bits):
            return None
        for into, part in ((grads, own), (sizes, total)):
            into["x"] = into.get("x", 0.0) + time_order(part.x, lengths, slot.reverse)
            for name, value in (("h_0", part.h_0), ("c_0", part.c_0)):
                into[name] = np.stack([*into.get(name, ()), value])
            into |= {name + slot.suffix: value for name, value in part.params.items()}
        units |= {name + slot.suffix: unit[name] for name in own.params}
        units |= {name: min(unit[name], units.get(name, np.inf)) for name in ("x", "h_0", "c_0")}
    return grads, {name: sizes[name] <= 2.0**bits * units[name] for name in grads}


def _steer(
    p: dict[str, Array], x: Array, h: Array, c: Array, valid: Array, signs: Array, level: float
) -> tuple[Array, Tape, Array, Array, Array]:
    """Steering inputs (L, N, 4H) for one direction in its reading order, its tape, output, h_n and c_n.

    ``signs`` (L, N, 4, H) are the wished signs of its gates' preactivations; some are changed, so that each cell stays
    0 or large.
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


def unit_of(*values: Array) -> float:
    """The largest power of two, at most 1, that divides all of the values."""
    flat = np.concatenate([np.abs(value).reshape(-1) for value in values])
    fraction, exponent = np.frexp(flat[flat != 0])
    whole = (fraction * 2.0**53).astype(np.int64)
    lowest = (whole & -whole).astype(np.float64) * 2.0 ** (exponent - 53)
    return float(lowest.min(initial=1.0))


def _units(tape: Tape, slope: Slopes, own: LayerGradients) -> dict[str, float]:
    """A power of two that divides every term of each sum: weights and cotangents are whole numbers."""
    a = unit_of(own.a)
    units = {"a": a, "h": a, "x": a, "h_0": a, "c_0": unit_of(own.c_0), "bias_ih": a, "bias_hh": a}
    units["c"] = unit_of(own.m * tape.o * slope.c, own.c * tape.f)
    units["weight_ih"], units["weight_hh"] = a * unit_of(tape.x), a * unit_of(tape.h_before)
    units["weight_hr"] = a * unit_of(tape.m)
    return units


def _representable(own: LayerGradients, total: LayerGradients, units: dict[str, float], bits: int) -> bool:
    """Whether every adjoint within the pass is exact: ∂h and ∂m as sums, ∂c as a sum, ∂a as products of those."""
    sizes = ((total.h, "h"), (total.m, "h"), (total.c, "c"), (own.a, "a"), (own.c_0, "c_0"))
    return all(np.abs(size).max() <= 2.0**bits * units[name] for size, name in sizes)
