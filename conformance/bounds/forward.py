"""How far a correct LSTM may be from the reference: a teacher-forced residual with a running error bound.

There is no rtol and no atol. Each layer and direction is judged by itself: at every step the implementation's **own**
previous output is taken as h_{t−1}, the step is computed from it in float64, and every number carries a bound on the
error that rounding in the declared arithmetic may have caused (``bounds/rounding.py``). Once h is forced, only c is
integrated, with gain f ≤ 1, so nothing is amplified by the weights at any L. docs/bounds.md derives the constants and
tells the measurements.

Lower layers are not observed by a stacked call, so models of the first 1 … k layers are run too, and the observed
output of k − 1 layers is the exact input of layer k. Where that is impossible (a model with its weights baked in, a
backend whose prefix differs from its stack by rounding) the layer below is *free-running*: computed in float64 with a
bound that includes its own accumulated error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from conformance.bounds.rounding import Approx, Arithmetic, Weight, concatenate, dot, spread, stack
from conformance.cases.case import Case
from conformance.reference.forward import time_order, weights
from conformance.spec import Array, LSTMConfig, Result, Slot

#: So many preactivations are computed together: 2 MB an array, which a cache holds, however long a sequence is.
_TOGETHER = 2**18


class Steps(NamedTuple):
    """The values of consecutive steps of one layer and direction, in the order it reads them, each with its bound.

    x (T, N, I), h_before (T, N, P) for h_{t−1}, preactivations a (T, N, 4H), and (T, N, H) for the rest: the gates,
    c_{t−1}, c_t, tanh(c_t), o ⊙ tanh(c_t).
    """

    x: Approx
    h_before: Approx
    a: Approx
    i: Approx
    f: Approx
    g: Approx
    o: Approx
    c_before: Approx
    c: Approx
    tanh_c: Approx
    m: Approx


@dataclass(frozen=True)
class Expected:
    """The expected results of one layer and direction: output (L, N, P), h_n (N, P), c_n (N, H), each with its bound.

    ``spans`` are the steps that lead there, if they were to be kept: together as far as they fit into memory, or one by
    one where nothing was observed.
    """

    output: Approx
    h_n: Approx
    c_n: Approx
    spans: list[Steps]


@dataclass(frozen=True)
class LayerParams:
    """One layer and direction's parameters in the form that ``dot`` takes."""

    weight_ih: Weight
    weight_hh: Weight
    biases: list[Array]
    weight_hr: Weight | None


@dataclass(frozen=True)
class Finding:
    """One tensor's comparison: actual against expected and its bound, and where in the returned tensor it stands."""

    tensor: str
    #: The number of layers of the model that was run; and the layer and direction that is compared.
    layers: int
    layer: int
    direction: int
    actual: Array
    expected: Array
    bound: Array

    def place(self) -> tuple[str, int, int, int]:
        """The place of the comparison: the tensor, the number of layers that were run, the layer and the direction."""
        return self.tensor, self.layers, self.layer, self.direction

    def ratios(self) -> Array:
        """|actual − expected| as a share of its bound; infinite wherever anything is not a number.

        An infinite bound says nothing: the share is 0, whatever the number. A bound that is NaN fails.
        """
        with np.errstate(all="ignore"):
            error = np.abs(self.actual - self.expected)
            ratio = np.where(error == 0, 0.0, error / self.bound)
        ratio = np.where(np.isnan(self.bound) | np.isnan(ratio), np.inf, ratio)
        return np.where(np.isinf(self.bound), 0.0, ratio)

    def silent(self) -> bool:
        """Whether it says nothing of any element: a correct LSTM's may all be beyond the dtype's range."""
        return bool(self.bound.size and np.isinf(self.bound).all())

    def margin(self) -> float:
        """The largest error as a share of its bound: at most 1 for a correct implementation."""
        with np.errstate(all="ignore"):
            largest = float((np.abs(self.actual - self.expected) / self.bound).max(initial=0.0))
        # A number: no bound is 0 where there is an error, none is NaN, and an error without a bound has a share of 0.
        return largest if np.isfinite(largest) else float(self.ratios().max(initial=0.0))


def finding(tensor: str, layers: int, slot: Slot, actual: Array, want: Approx) -> Finding:
    """One tensor of a layer and direction compared with what it must be, in a model of the first ``layers`` layers."""
    bound = spread(want.error, want.value.shape)
    if not np.isfinite(want.arithmetic.largest):
        bound = np.where(np.isfinite(bound), bound, np.nan)
    return Finding(tensor, layers, *slot, np.asarray(actual, np.float64), want.value, bound)


class Expectation:
    """The results that each layer of a case must return, given its outputs as they were observed, or nothing at all."""

    def __init__(self, case: Case, declared: Arithmetic) -> None:
        self.case = case
        self._valid, self._lengths = case.valid, case.row_lengths()
        self._state = [np.asarray(part, np.float64) for part in case.initial()]
        x = np.asarray(case.x, np.float64)
        given = (np.where(self._valid, x, 0.0), *self._state, *case.params.values())
        if not all(np.isfinite(part).all() for part in given):
            # What is not finite is then no overflow, and no reason to say nothing.
            declared = replace(declared, largest=np.inf, largest_sum=np.inf, largest_given=np.inf)
        self.x = declared.handed(x)
        self._free_running: list[list[Expected]] = []
        self._params: dict[Slot, LayerParams] = {}

    @np.errstate(over="ignore", invalid="ignore")
    def layer(self, k: int, x: Approx, outputs: Array | None, stray: float = 0.0, keep: bool = False) -> list[Expected]:
        """Each direction of layer k, which reads x (L, N, ·); ``outputs`` (L, N, D·P) are its own, None if unseen.

        ``stray`` is what else may stand in a preactivation, in magnitude. ``keep`` the steps, for a backward pass.
        """
        config = self.case.config
        return [
            self._expected(slot, x, None if outputs is None else outputs[..., slot.features(config)], stray, keep)
            for slot in config.slots(k)
        ]

    def free_running(self, k: int) -> list[Expected]:
        """Each direction of layer k with nothing observed, neither of it nor of the layers below."""
        while len(self._free_running) <= k:
            lowest = len(self._free_running)
            self._free_running.append(self.layer(lowest, self.below(lowest), None, keep=True))
        return self._free_running[k]

    def below(self, k: int) -> Approx:
        """The input of layer k with nothing observed."""
        return joined(self.free_running(k - 1)) if k else self.x

    def _expected(self, slot: Slot, x: Approx, observed: Array | None, stray: float, keep: bool) -> Expected:
        """One layer and direction that reads x; ``observed`` is its own output (L, N, P), None if unseen."""
        p, rule, at = self._layer_params(slot), self.case.rule, slot.position(self.case.config)
        valid, lengths, (h_0, c_0) = self._valid, self._lengths, (part[at] for part in self._state)
        x = x.time_order(lengths, slot.reverse)
        c = Approx(c_0, x.arithmetic.given * np.abs(c_0), x.arithmetic)
        outputs, spans = list[Approx](), list[Steps]()
        if observed is None:
            h = x.arithmetic.handed(h_0)
            for t in range(len(valid)):
                h_t, c, span = _steps(p, x[t : t + 1], h[None], c, valid[t : t + 1], rule, stray)
                h = h_t[0].where(valid[t], h)
                outputs.append(h_t)
                spans += [span] * keep
            output = concatenate(outputs, 0)
        else:
            returned = time_order(observed, lengths, slot.reverse)[:-1]
            previous = x.arithmetic.carried(np.concatenate([h_0[None], returned]))
            if previous.error.ndim:
                previous.error[0] = np.where(np.isfinite(h_0), 0.0, np.inf)
            together = max(1, _TOGETHER // (4 * c.value.size))
            for first in range(0, len(valid), together):
                some = slice(first, first + together)
                part, c, span = _steps(p, x[some], previous[some], c, valid[some], rule, stray)
                outputs.append(part)
                spans += [span] * keep
            output = outputs[0] if len(outputs) == 1 else concatenate(outputs, 0)
            h = output[(lengths - 1, np.arange(len(lengths)))]
        return Expected(output.masked(valid).time_order(lengths, slot.reverse), h, c, spans)

    def _layer_params(self, slot: Slot) -> LayerParams:
        if slot not in self._params:
            p = weights(self.case.params, slot)
            biases = [p[name] for name in ("bias_ih", "bias_hh") if name in p]
            projection = Weight(p["weight_hr"]) if "weight_hr" in p else None
            self._params[slot] = LayerParams(Weight(p["weight_ih"]), Weight(p["weight_hh"]), biases, projection)
        return self._params[slot]


def _steps(
    p: LayerParams, x: Approx, h: Approx, c: Approx, valid: Array, rule: str, stray: float
) -> tuple[Approx, Approx, Steps]:
    """Consecutive steps whose previous outputs h (T, N, P) are known: all outputs (T, N, P), the last c (N, H)."""
    a = dot([(x, p.weight_ih), (h, p.weight_hh)], p.biases, rule, activated=True)
    a = Approx(a.value, a.error + stray, a.arithmetic) if stray else a
    H = c.value.shape[1]
    # Of all four blocks at once: one call costs less than it wastes on the third.
    sigmoids, g = a.sigmoid(), a[..., 2 * H : 3 * H].tanh()
    i, f, o = (sigmoids[..., gate * H : (gate + 1) * H] for gate in (0, 1, 3))
    stacked = _cells(f, i * g, c, valid)
    tanh_c = stacked[1:].tanh()
    m = output = o * tanh_c
    if p.weight_hr is not None:
        output = dot([(m, p.weight_hr)], [], rule)
    return output, stacked[-1], Steps(x, h, a, i, f, g, o, stacked[:-1], stacked[1:], tanh_c, m)


def _cells(f: Approx, update: Approx, c: Approx, valid: Array) -> Approx:
    """c (N, H) and what becomes of it, (T + 1, N, H): f[t]·c + update[t] where a step is valid.

    Written out as ``Approx`` computes it, for the steps of a long sequence cannot be taken together; and what may be
    beyond the range is looked at once, at the end.
    """
    a, steps = f.arithmetic, len(valid)
    value, error = np.empty((steps + 1, *c.value.shape)), np.empty((steps + 1, *c.value.shape))
    value[0], error[0] = c.value, c.error
    # The magnitudes of the products and of the sums.
    products, sums = np.empty(f.value.shape), np.empty(f.value.shape)
    largest, added, whole = f.largest, np.broadcast_to(update.error, f.value.shape), np.asarray(valid.all((1, 2)))
    for t in range(steps):
        product, size, total = f.value[t] * value[t], products[t], sums[t]
        reach = np.abs(value[t])
        reach += error[t]
        reach *= largest[t]
        np.multiply(a.unit, reach, out=size)
        size += reach
        size += a.tiny
        inherited = size - np.abs(product)
        inherited += added[t]
        product += update.value[t]
        np.abs(product, out=total)
        rounded = total + inherited
        rounded *= a.unit
        inherited += rounded
        total += inherited
        if whole[t]:
            value[t + 1], error[t + 1] = product, inherited
        else:
            value[t + 1] = np.where(valid[t], product, value[t])
            error[t + 1] = np.where(valid[t], inherited, error[t])
    if all(part.max(initial=0.0) / a.largest <= 1.0 for part in (products, sums)):
        return Approx(value, error, a)
    cells = [c]
    for t in range(steps):
        new = f[t] * cells[-1] + update[t]
        cells.append(new if whole[t] else new.where(valid[t], cells[-1]))
    return stack(cells)


def joined(halves: list[Expected]) -> Approx:
    """The output (L, N, D·P) of a layer's directions."""
    return concatenate([half.output for half in halves], 2)


def judge(expectation: Expectation, observe: Callable[[int], Result], assembled: bool = False) -> Iterator[Finding]:
    """Compare ``observe(k)``, the canonical result of a case's first k layers, with what is expected, for each k.

    Outputs ``assembled`` from several runs need not follow from each other bit by bit: where they do not, it is enough
    that they are within the bound of a whole run.
    """
    case, config, declared = expectation.case, expectation.case.config, expectation.x.arithmetic
    below, previous = expectation.x, None
    for k in [config.num_layers - 1] if case.fixed else range(config.num_layers):
        result = observe(k + 1).in_float64()
        if k and not (previous is not None and same_below(previous, result, k * config.num_directions)):
            unseen = expectation.below(k)
            if previous is None or previous.output is None:
                below = unseen
            else:
                below = Approx(below.value, np.abs(below.value - unseen.value) + unseen.error, declared)
            for lower in range(k):
                for slot, half in zip(config.slots(lower), expectation.free_running(lower), strict=True):
                    yield from compare(config, k + 1, slot, half, result._replace(output=None))
        for slot, half in zip(config.slots(k), expectation.layer(k, below, result.output), strict=True):
            forced = list(compare(config, k + 1, slot, half, result))
            if assembled and not all(one.margin() <= 1.0 for one in forced):
                loose = compare(config, k + 1, slot, expectation.free_running(k)[slot.direction], result)
                forced = [min(pair, key=Finding.margin) for pair in zip(forced, loose, strict=True)]
            yield from forced
        previous = result
        below = expectation.below(k + 1) if result.output is None else declared.carried(result.output)


def compare(config: LSTMConfig, layers: int, slot: Slot, half: Expected, result: Result) -> Iterator[Finding]:
    """The parts of one layer and direction in what the first ``layers`` layers returned; None is not compared."""
    at = slot.position(config)
    places = ((..., slot.features(config)), at, at)
    wanted = (half.output, half.h_n, half.c_n)
    for tensor, returned, place, want in zip(Result._fields, result, places, wanted, strict=True):
        if returned is not None:
            yield finding(tensor, layers, slot, returned[place], want)


def same_below(previous: Result, result: Result, slots: int) -> bool:
    """Whether the lower layers of a stack did exactly what they did alone, as far as their final states show."""
    return all(
        a is not None and b is not None and np.array_equal(a, b[:slots])
        for a, b in ((previous.h_n, result.h_n), (previous.c_n, result.c_n))
    )
