"""How far a correct LSTM may be from the oracle: a teacher-forced residual with a running error bound.

There is no rtol and no atol. Each layer and direction is judged by itself: at every step the implementation's **own**
previous output is taken as h_{t−1}, the step is computed from it in float64, and every number carries a bound on what
rounding in the declared arithmetic may have done to it (``rounding.py``). Once h is forced, only c is integrated, with
gain f ≤ 1, so nothing is amplified by the weights at any L. docs/bounds.md derives the constants and says what was
measured.

Lower layers are not observed by a stacked call, so models of the first 1 … k layers are run too, and the observed
output of k − 1 layers is the exact input of layer k. Where that is impossible (a model with its weights baked in, a
backend whose prefix differs from its stack by rounding) the layer below is *free-running*: computed in float64 with a
bound that includes its own accumulated error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from conformance.bounds.rounding import (
    EXACT,
    Approx,
    Arithmetic,
    Weight,
    activate_sigmoid,
    activate_tanh,
    concatenate,
    dot,
    stack,
)
from conformance.cases.case import Case
from conformance.reference.forward import time_order, weights
from conformance.spec import Array, Result


class Steps(NamedTuple):
    """What consecutive steps of one layer and direction go through, in the order it reads them, with its bounds.

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
    """One layer and direction: output (L, N, P), h_n (N, P), c_n (N, H), each with its bound; and how they came about.

    ``spans`` are all steps together, or one by one where nothing was observed.
    """

    output: Approx
    h_n: Approx
    c_n: Approx
    spans: list[Steps]


@dataclass(frozen=True)
class LayerParams:
    """One layer and direction's parameters as its products take them."""

    weight_ih: Weight
    weight_hh: Weight
    biases: list[Array]
    weight_hr: Weight | None


def layer(
    p: LayerParams,
    x: Approx,
    h_0: Array,
    c_0: Array,
    lengths: Array,
    reverse: bool,
    rule: str,
    observed: Array | None,
) -> Expected:
    """What one layer and direction must return: x (L, N, I), ``observed`` its own output (L, N, P), None if unseen."""
    steps, batch = x.value.shape[:2]
    valid = (np.arange(steps)[:, None] < lengths)[..., None]
    x = x.time_order(lengths, reverse)
    start = Approx(h_0, EXACT, x.arithmetic)
    c = Approx(c_0, np.zeros_like(c_0), x.arithmetic)
    if observed is None:
        h, outputs, spans = start, [], []
        for t in range(steps):
            h_t, c, span = _steps(p, x[t : t + 1], h[None], c, valid[t : t + 1], rule)
            h = h_t[0].where(valid[t], h)
            outputs.append(h_t)
            spans.append(span)
        output = concatenate(outputs, 0)
    else:
        returned = time_order(observed, lengths, reverse)[:-1]
        previous = x.arithmetic.carried(np.concatenate([h_0[None], returned]))
        if previous.error.ndim:
            previous.error[0] = 0.0
        output, c, span = _steps(p, x, previous, c, valid, rule)
        h, spans = output[(lengths - 1, np.arange(batch))], [span]
    zero = Approx(np.zeros_like(output.value), np.zeros_like(output.value), x.arithmetic)
    return Expected(output.where(valid, zero).time_order(lengths, reverse), h, c, spans)


def _steps(p: LayerParams, x: Approx, h: Approx, c: Approx, valid: Array, rule: str) -> tuple[Approx, Approx, Steps]:
    """Consecutive steps whose previous outputs h (T, N, P) are known: all outputs (T, N, P), the last c (N, H)."""
    a = dot([(x, p.weight_ih), (h, p.weight_hh)], p.biases, rule)
    H = c.value.shape[1]
    # Of all four blocks at once: one call costs less than it wastes on the third.
    sigmoids = activate_sigmoid(a)
    i = sigmoids[..., :H]
    f = sigmoids[..., H : 2 * H]
    g = activate_tanh(a[..., 2 * H : 3 * H])
    o = sigmoids[..., 3 * H :]
    update = i * g
    cells = [c]
    for t in range(len(valid)):
        new = f[t] * c + update[t]
        c = new if valid[t].all() else new.where(valid[t], c)
        cells.append(c)
    stacked = stack(cells)
    tanh_c = activate_tanh(stacked[1:])
    m = output = o * tanh_c
    if p.weight_hr is not None:
        output = dot([(m, p.weight_hr)], [], rule)
    return output, c, Steps(x, h, a, i, f, g, o, stacked[:-1], stacked[1:], tanh_c, m)


@dataclass(frozen=True)
class Finding:
    """One tensor's comparison: actual against expected and its bound, and where in the returned tensor it stands."""

    tensor: str
    #: The first layers' number of the model that was run, and what was judged of it.
    layers: int
    layer: int
    direction: int
    actual: Array
    expected: Array
    bound: Array

    def place(self) -> tuple[str, int, int, int]:
        """What was compared: the tensor, the first layers' number, the layer and the direction."""
        return self.tensor, self.layers, self.layer, self.direction

    def ratios(self) -> Array:
        """|actual − expected| as a share of its bound; infinite wherever anything is not a number."""
        with np.errstate(all="ignore"):
            error = np.abs(self.actual - self.expected)
            ratio = np.where(error == 0, 0.0, error / self.bound)
        return np.where(np.isfinite(self.bound) & ~np.isnan(ratio), ratio, np.inf)

    def margin(self) -> float:
        """The largest error as a share of its bound: at most 1 for a correct implementation."""
        return float(self.ratios().max(initial=0.0))


class Expectation:
    """What the layers of a case must return, given what is observed of them or of nothing at all."""

    def __init__(self, case: Case, declared: Arithmetic) -> None:
        self.case = case
        self.h_0, self.c_0 = (np.asarray(part, np.float64) for part in case.initial())
        self.x = Approx(np.asarray(case.x, np.float64), EXACT, declared)
        self._free: list[list[Expected]] = []
        self._params: dict[tuple[int, int], LayerParams] = {}

    def layer(self, k: int, x: Approx, outputs: Array | None) -> list[Expected]:
        """Each direction of layer k that reads x and returned ``outputs`` (L, N, D·P), None if unseen."""
        config, lengths = self.case.config, self.case.row_lengths()
        D, P = config.num_directions, config.output_size
        found = []
        for d in range(D):
            p, own = self.params(k, d), None if outputs is None else outputs[..., d * P : (d + 1) * P]
            start = self.h_0[k * D + d], self.c_0[k * D + d]
            found.append(layer(p, x, *start, lengths, bool(d), self.case.rule, own))
        return found

    def params(self, k: int, d: int) -> LayerParams:
        """The parameters of layer k in direction d."""
        if (k, d) not in self._params:
            p = weights(self.case.params, k, d)
            biases = [p[name] for name in ("bias_ih", "bias_hh") if name in p]
            projection = Weight(p["weight_hr"]) if "weight_hr" in p else None
            self._params[k, d] = LayerParams(Weight(p["weight_ih"]), Weight(p["weight_hh"]), biases, projection)
        return self._params[k, d]

    def free_running(self, k: int) -> list[Expected]:
        """Layer k with nothing observed, neither of it nor of the layers below."""
        while len(self._free) <= k:
            self._free.append(self.layer(len(self._free), self.below(len(self._free)), None))
        return self._free[k]

    def below(self, k: int) -> Approx:
        """What layer k reads with nothing observed."""
        return concatenate([half.output for half in self.free_running(k - 1)], 2) if k else self.x


def judge(expectation: Expectation, observe: Callable[[int], Result], assembled: bool = False) -> Iterator[Finding]:
    """Compare what ``observe(k)`` returns, the canonical result of a case's first k layers, with what is expected.

    Outputs ``assembled`` from several runs need not follow from each other bit by bit: where they do not, it is enough
    to be what a whole run may give.
    """
    case, config, declared = expectation.case, expectation.case.config, expectation.x.arithmetic
    D, P = config.num_directions, config.output_size
    below, previous = expectation.x, None
    for k in [config.num_layers - 1] if case.fixed else range(config.num_layers):
        result = observe(k + 1)
        output, h_n, c_n = (None if part is None else np.asarray(part, np.float64) for part in result)
        if k and not (previous is not None and same_lower_states(previous, result, k * D)):
            unseen = expectation.below(k)
            if previous is None or previous.output is None:
                below = unseen
            else:
                below = Approx(below.value, np.abs(below.value - unseen.value) + unseen.error, declared)
            for j in range(k):
                for d, half in enumerate(expectation.free_running(j)):
                    yield from compare(k + 1, j, d, j * D + d, half, None, h_n, c_n)
        for d, half in enumerate(expectation.layer(k, below, output)):
            actual = None if output is None else output[..., d * P : (d + 1) * P]
            forced = list(compare(k + 1, k, d, k * D + d, half, actual, h_n, c_n))
            if assembled and not all(finding.margin() <= 1.0 for finding in forced):
                loose = compare(k + 1, k, d, k * D + d, expectation.free_running(k)[d], actual, h_n, c_n)
                forced = [min(pair, key=Finding.margin) for pair in zip(forced, loose, strict=True)]
            yield from forced
        previous = result
        below = expectation.below(k + 1) if output is None else declared.carried(output)


def compare(
    layers: int, k: int, d: int, slot: int, half: Expected, output: Array | None, h_n: Array | None, c_n: Array | None
) -> Iterator[Finding]:
    """The findings of one layer and direction in what the first ``layers`` layers returned; None is not compared."""
    pairs = (
        ("output", output, half.output),
        ("h_n", None if h_n is None else h_n[slot], half.h_n),
        ("c_n", None if c_n is None else c_n[slot], half.c_n),
    )
    for tensor, actual, want in pairs:
        if actual is not None:
            yield Finding(tensor, layers, k, d, actual, want.value, np.broadcast_to(want.error, want.value.shape))


def same_lower_states(previous: Result, result: Result, slots: int) -> bool:
    """Whether the lower layers of a stack did exactly what they did alone, as far as their final states show."""
    return all(
        a is not None and b is not None and np.array_equal(a, b[:slots])
        for a, b in ((previous.h_n, result.h_n), (previous.c_n, result.c_n))
    )
