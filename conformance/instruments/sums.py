"""Sums of the weights' gradients, observed at a case's own sizes: many steps, many rows, many units.

The gradients of weights are sums over all steps and rows, ∂W = Σ ∂a xᵀ. Taps on all adjoints (``instruments/taps.py``)
make a model too wide for large sizes. Here a few rows of the first layer are tapped, by further inputs that are always
zero, and their sums are compared with those of the adjoints that the taps show.

The bound of a long sum is so wide that a lost term is lost in it. So further features, whose weights are zero, **mark**
single terms: one is 1 in one row at one step, and 0 elsewhere. Its column of ∂W is that step's adjoint, rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from conformance.bounds.backward import outer
from conformance.bounds.forward import Finding, finding
from conformance.bounds.rounding import EXACT, Approx, Arithmetic
from conformance.cases.case import Case
from conformance.cases.fills import permutation, pick
from conformance.instruments.taps import read_taps
from conformance.reference.backward import Gradients
from conformance.reference.forward import time_order
from conformance.spec import Array, Result, Slot

#: How many rows of W_ih are tapped in each direction, of 4H, and how many terms are marked.
_ROWS, _MARKS = 12, 12


@dataclass(frozen=True, eq=False)
class Sampled:
    """A case, the same with taps and marks, and where they are."""

    original: Case
    case: Case
    #: The rows (K,) of W_ih that are tapped in the first layer's directions.
    rows: list[Array]
    #: The step and the row of the batch at which each mark is 1.
    marks: list[tuple[int, int]]

    def findings(self, result: Result, grads: Gradients, declared: Arithmetic) -> Iterator[Finding]:
        """The sums of every tapped row, compared with what its adjoints make them.

        Those of W_hh are among them where there is one layer whose output is returned.
        """
        config, valid, K = self.original.config, self.original.valid, len(self.rows[0])
        one = Approx(np.ones(valid.shape), EXACT, declared)
        for slot, rows in zip(config.slots(0), self.rows, strict=True):
            first = config.input_size + slot.direction * K
            a = read_taps(grads["x"][..., first : first + K], declared)
            name = "weight_ih" + slot.suffix
            for (t, n), column in zip(self.marks, grads[name][rows][:, -_MARKS:].T, strict=True):
                only = np.zeros_like(valid)
                only[t, n] = valid[t, n]
                share = outer(a, one, only)[:, 0]
                yield finding(f"the share of step {t}, row {n} in grad {name}", config.num_layers, slot, column, share)
            for name, want in self._sums(slot, a, one, result, declared):
                given = grads[name][rows]
                given = given[:, : config.input_size] if name.startswith("weight_ih") else given
                for k, row in enumerate(rows):
                    part = slice(k, k + 1)
                    yield finding(f"grad {name}[{row}]", config.num_layers, slot, given[part], want[part])

    def _sums(
        self, slot: Slot, a: Approx, one: Approx, result: Result, declared: Arithmetic
    ) -> Iterator[tuple[str, Approx]]:
        """The expected tapped rows of each parameter's gradient, by its name, from their adjoints a (L, N, K)."""
        original, valid, lengths = self.original, self.original.valid, self.original.row_lengths()
        x = Approx(np.asarray(original.x, np.float64), EXACT, declared)
        yield "weight_ih" + slot.suffix, outer(a, x, valid)
        if original.config.bias:
            total = outer(a, one, valid)[:, 0]
            yield from ((name + slot.suffix, total) for name in ("bias_ih", "bias_hh"))
        if original.config.num_layers == 1 and result.output is not None:
            output = np.asarray(result.output[..., slot.features(original.config)], np.float64)
            h_0 = np.asarray(original.initial()[0][slot.direction], np.float64)
            before = np.concatenate([h_0[None], time_order(output, lengths, slot.reverse)[:-1]])
            read = a.time_order(lengths, slot.reverse)
            yield "weight_hh" + slot.suffix, outer(read, declared.carried(before), valid)


def sample(case: Case, seed: int) -> Sampled:
    """The case with taps on some rows of its first layer, and marks at the first, the last and other terms."""
    config, params, tapped = case.config, dict(case.params), []
    size, rows = config.input_size, 4 * config.hidden_size
    K = min(_ROWS, rows)
    wide = replace(config, input_size=size + config.num_directions * K + _MARKS)
    for slot in config.slots(0):
        tapped.append(permutation(seed, f"tapped rows {slot.direction}", rows)[:K])
        name, weight = "weight_ih" + slot.suffix, np.zeros((rows, wide.input_size), case.x.dtype)
        weight[:, :size] = case.params[name]
        weight[tapped[-1], size + slot.direction * K + np.arange(K)] = 1
        params[name] = weight
    marks = [(pick(seed, f"step {m}", case.steps), pick(seed, f"row {m}", case.batch)) for m in range(_MARKS - 2)]
    marks += [(0, 0), (case.steps - 1, case.batch - 1)]
    x = np.zeros((case.steps, case.batch, wide.input_size), case.x.dtype)
    x[..., :size] = case.x
    for m, (t, n) in enumerate(marks):
        x[t, n, m - _MARKS] = 1
    return Sampled(case, replace(case, config=wide, params=params, x=x), tapped, marks)
