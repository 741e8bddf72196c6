"""Adjoint taps: how the adjoints of the preactivations, which no vjp returns, are made to show in the gradient of x.

A tapped case computes what the original does. Further inputs that are always zero are wired to the first layer's
preactivations by an identity, ``x' = [x | 0]``, ``W_ih' = [W_ih | 1]``, one block for each direction: the gradient of
the loss by such an input is ∂a itself, for the product with the identity has one term.

Upper layers are seen through **relays**: further hidden units of the layers below, with no weights but the identity by
which the layer above reads them, so that ∂h of a relay is ∂a of a row above. Its gates are i = o = 1 and f = 0 by
saturating biases, without biases all ½; g, c and h are 0. From
``∂c_t = ∂h_t ⊙ o + f ⊙ ∂c_{t+1}`` and ``∂a_g = ∂c_t ⊙ i``, with r for ∂a of the relay's g row::

    ∂h_t = (r_t − f r_{t+1}) / (i o)

r is tapped in its turn, or relayed if its layer is not the first. Every layer and direction has 4H·(layers − 1) relays,
4H for each layer above. Where tanh(0) is not exactly 0 a relay's output is not either: it **strays** into the sums of
the layer above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from conformance.bounds.backward import SLOPE_ULPS, Adjoints, judge, later
from conformance.bounds.forward import Finding
from conformance.bounds.rounding import ACTIVATION_ULPS, Approx, Arithmetic
from conformance.cases.case import Case
from conformance.cases.cotangents import Cotangents, zeros
from conformance.cases.fills import saturating
from conformance.reference.backward import Gradients
from conformance.spec import Array, LSTMConfig, Result, Slot, param_shapes


@dataclass(frozen=True, eq=False)
class Tapped:
    """A case, the same with taps and relays, and how the results of the second contain those of the first."""

    original: Case
    case: Case

    @property
    def relays(self) -> int:
        """The relays of each layer and direction."""
        return self.case.config.hidden_size - self.original.config.hidden_size

    def cotangents(self, cotangents: Cotangents) -> Cotangents:
        """Those of the tapped case: the loss does not depend on a relay."""
        output, h_n, c_n = cotangents
        P = self.original.config.output_size
        halves = [_widened(half, self.case.config.output_size) for half in _halves(output, P)]
        return Cotangents(
            np.concatenate(halves, axis=2),
            _widened(h_n, self.case.config.output_size),
            _widened(c_n, self.case.config.hidden_size),
        )

    def result(self, result: Result) -> Result:
        """The original's share of a result of the tapped case."""
        P, H = self.original.config.output_size, self.original.config.hidden_size
        output, h_n, c_n = result
        if output is not None:
            halves = [half[..., :P] for half in _halves(output, self.case.config.output_size)]
            output = np.concatenate(halves, axis=2)
        return Result(output, None if h_n is None else h_n[..., :P], None if c_n is None else c_n[..., :H])

    def strays(self, lower: list[Result], declared: Arithmetic) -> list[float]:
        """What each layer's relays may add to a preactivation of the next one: ``lower`` is what the first layers gave.

        Nothing where they are 0. Else a relay errs by its tanh(a_g), by tanh(c), and by what strays into it from below.
        """
        P, wide = self.original.config.output_size, self.case.config.output_size
        off, strays = 2 * declared.activation * declared.unit, []
        for k, (output, _, _) in enumerate(lower):
            halves = [] if output is None else _halves(output, wide)
            strayed = any(half[..., P:].any() for half in halves)
            strays.append((k + 1) * off * (1 + off) if strayed else 0.0)
        return strays

    def gradients(self, grads: Gradients) -> Gradients:
        """The original's share of the gradients of the tapped case."""
        config = self.original.config
        sizes = {"x": config.input_size, "h_0": config.output_size, "c_0": config.hidden_size}
        own = {name: grads[name][..., :size] for name, size in sizes.items() if name in grads}
        params = [name for name in param_shapes(config) if name in grads]
        return own | {name: grads[name][_own(name, config, self.case.config)] for name in params}

    def adjoints(self, grad_x: Array, declared: Arithmetic) -> Adjoints:
        """∂a (L, N, 4H) of each layer and direction of the original, with its error, from the tapped grads' x."""
        config, lengths, valid = self.original.config, self.original.row_lengths(), self.original.valid
        rows, width = 4 * config.hidden_size, 4 * config.hidden_size + self.relays
        seen = read_taps(grad_x[..., config.input_size :], declared)
        adjoints: Adjoints = {}
        for slot in config.slots(0):
            here = seen[..., slot.direction * width : (slot.direction + 1) * width]
            for k in range(config.num_layers):
                adjoints[Slot(k, slot.direction)] = here[..., :rows]
                if k < config.num_layers - 1:
                    relayed = here[..., rows:].time_order(lengths, slot.reverse)
                    here = self._above(relayed, valid).time_order(lengths, slot.reverse)
        return adjoints

    def _above(self, r: Approx, valid: Array) -> Approx:
        """∂h of relays (L, N, n) from ∂a of their g rows, both in the order in which the layer reads the steps."""
        u, bias = r.arithmetic.unit, self.original.config.bias
        gate, f = (1.0, 0.0) if bias else (0.5, 0.5)
        off = ACTIVATION_ULPS * u
        # i, o, tanh′(a_g) and tanh′(c) at their lowest, and the roundings of four products; a_g and c may be strays.
        highest = 2 * off * self.original.config.num_layers
        lowest = (gate - off) ** 2 * (1 - SLOPE_ULPS * u - highest**2) ** 2 * (1 - u) ** 4
        # What a padded step passes back is not hidden here: it must be reported.
        shown = valid | (r.value != 0)
        inverse = Approx(np.asarray(gate**-2), np.asarray(1 / lowest - gate**-2), r.arithmetic)
        forget = Approx(np.asarray(-f), np.asarray(off), r.arithmetic)
        return ((r + forget * later(r.masked(valid))) * inverse).masked(shown)


def read_taps(grads: Array, declared: Arithmetic) -> Approx:
    """Gradients (…, n) of taps as adjoints: each is a product of one term, whose error is that of rounding it.

    It may have been computed in a wider format, and is rounded once more as the product's input. One that is not finite
    is NaN here.
    """
    taps = np.asarray(grads, np.float64)
    taps = np.where(np.isfinite(taps), taps, np.nan)
    return Approx(taps, (declared.unit + declared.inputs) * np.abs(taps), declared)


#: One call of ``forward.vjp``, everything canonical.
Vjp = Callable[[Case, Cotangents], tuple[Result, Gradients]]


def lower_results(tapped: Tapped, vjp: Vjp) -> list[Result]:
    """The results that a tapped vjp returns of the first 1, 2 … layers, not all, under a loss that asks for nothing."""
    prefixes = [tapped.case.prefix(k) for k in range(1, tapped.original.config.num_layers)]
    return [vjp(prefix, zeros(prefix))[0] for prefix in prefixes]


def judge_tapped(
    tapped: Tapped, lower: list[Result], cotangents: Cotangents, vjp: Vjp, declared: Arithmetic
) -> list[Finding]:
    """Every comparison of a tapped vjp, each layer and direction forced on what was observed of it."""
    result, grads = vjp(tapped.case, tapped.cotangents(cotangents))
    results, own = [tapped.result(one) for one in (*lower, result)], tapped.gradients(grads)
    adjoints, strays = tapped.adjoints(grads["x"], declared), tapped.strays(lower, declared)
    return judge(tapped.original, cotangents, results, own, declared, adjoints, strays=strays)


def tap(case: Case) -> Tapped:
    """A case with taps on its first layer, and relays for the layers above."""
    config = case.config
    rows, layers, D = 4 * config.hidden_size, config.num_layers, config.num_directions
    relays = rows * (layers - 1)
    wide = replace(
        config,
        input_size=config.input_size + D * (rows + relays),
        hidden_size=config.hidden_size + relays,
        proj_size=config.proj_size and config.proj_size + relays,
    )
    params = {name: np.zeros(shape, case.x.dtype) for name, shape in param_shapes(wide).items()}
    for name, value in case.params.items():
        params[name][_own(name, config, wide)] = value
    H, wide_H = config.hidden_size, wide.hidden_size
    for slot in config.slots():
        (k, d), end = slot, slot.suffix
        own = (np.arange(4)[:, None] * wide_H + np.arange(H)).reshape(-1)
        g = 2 * wide_H + H + np.arange(relays)
        # The rows to be seen from below: a layer's own, and those of the relays that carry the layers above it.
        carried = np.concatenate([own, g[: rows * (layers - 1 - k)]])
        first = config.input_size + d * len(carried) if k == 0 else d * wide.output_size + config.output_size
        params["weight_ih" + end][carried, first + np.arange(len(carried))] = 1
        if config.bias:
            for gate, sign in ((0, 1), (1, -1), (3, 1)):
                params["bias_ih" + end][gate * wide_H + H : (gate + 1) * wide_H] = sign * saturating(config.dtype)
        if config.proj_size:
            ahead = np.arange(relays)
            params["weight_hr" + end][config.proj_size + ahead, H + ahead] = 1
    state = case.state
    if state is not None:
        state = _widened(state[0], wide.output_size), _widened(state[1], wide.hidden_size)
    return Tapped(case, replace(case, config=wide, params=params, x=_widened(case.x, wide.input_size), state=state))


def _own(name: str, config: LSTMConfig, wide: LSTMConfig) -> tuple[Array, ...]:
    """Where a parameter of the original model stands in the tapped one's."""
    units, outputs = np.arange(config.hidden_size), np.arange(config.output_size)
    rows = (np.arange(4)[:, None] * wide.hidden_size + units).reshape(-1)
    if name.startswith("bias"):
        return (rows,)
    if name.startswith("weight_hr"):
        return np.ix_(outputs, units)
    if name.startswith("weight_hh"):
        return np.ix_(rows, outputs)
    if name.startswith("weight_ih_l0"):
        return np.ix_(rows, np.arange(config.input_size))
    directions = np.arange(config.num_directions)[:, None] * wide.output_size
    return np.ix_(rows, (directions + outputs).reshape(-1))


def _halves(output: Array, width: int) -> list[Array]:
    """Each direction's features."""
    return np.split(output, output.shape[2] // width, axis=2)


def _widened(values: Array, width: int) -> Array:
    """With zeros behind, up to ``width`` features."""
    wide = np.zeros((*values.shape[:-1], width), values.dtype)
    wide[..., : values.shape[-1]] = values
    return wide
