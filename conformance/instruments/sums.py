"""Sums of the weights' gradients, observed at a case's own sizes: many steps, many rows, many units.

The gradients of weights are sums over all steps and rows, ∂W = Σ ∂a xᵀ. Taps on all adjoints (``taps.py``) make a model
too wide for large sizes. Here a few rows of the first layer are tapped, by further inputs that are always zero, and
their sums are compared with what follows from the adjoints that show.

The bound of a long sum is so wide that a lost term is lost in it. So further features, whose weights are zero, **mark**
single terms: one is 1 in one row at one step, and 0 elsewhere. Its column of ∂W is that step's adjoint, rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from conformance.bounds.backward import outer
from conformance.bounds.forward import Finding
from conformance.bounds.rounding import EXACT, Approx, Arithmetic
from conformance.cases.case import Case
from conformance.cases.fills import permutation, pick
from conformance.reference.backward import Gradients
from conformance.reference.forward import time_order
from conformance.spec import Array, Result, suffix

#: How many rows of W_ih are tapped in each direction, of 4H, and how many terms are marked.
_ROWS, _MARKS = 12, 12


@dataclass(frozen=True, eq=False)
class Sampled:
    """A plain case, the same with taps and marks, and what they are at."""

    plain: Case
    case: Case
    #: The rows (K,) of W_ih that are tapped in the first layer's directions.
    rows: list[Array]
    #: The step and the row of the batch at which each mark is 1.
    marks: list[tuple[int, int]]

    def findings(self, result: Result, grads: Gradients, declared: Arithmetic) -> Iterator[Finding]:
        """The sums of every tapped row, compared with what its adjoints make them.

        Those of W_hh are among them where there is one layer whose output is returned.
        """
        plain, lengths = self.plain, self.plain.row_lengths()
        config, size, K = plain.config, plain.config.input_size, len(self.rows[0])
        valid = (np.arange(plain.steps)[:, None] < lengths)[..., None]
        x = Approx(np.asarray(plain.x, np.float64), EXACT, declared)
        one = Approx(np.ones((*valid.shape[:2], 1)), EXACT, declared)
        for d, rows in enumerate(self.rows):
            end, reverse = suffix(0, d), bool(d)
            taps = np.asarray(grads["x"][..., size + d * K : size + (d + 1) * K], np.float64)
            a = Approx(taps, (declared.unit + declared.inputs) * np.abs(taps), declared)
            weight_ih = grads["weight_ih" + end][rows]

            def finding(what: str, given: Array, want: Approx, d: int = d) -> Finding:
                bound = np.broadcast_to(want.error, want.value.shape)
                return Finding(what, config.num_layers, 0, d, np.asarray(given, np.float64), want.value, bound)

            for (t, n), column in zip(self.marks, weight_ih[:, -_MARKS:].T, strict=True):
                only = np.zeros_like(valid)
                only[t, n] = valid[t, n]
                what = f"the share of step {t}, row {n} in grad weight_ih{end}"
                yield finding(what, column, outer(a, one, only)[:, 0])
            sums = [("weight_ih" + end, weight_ih[:, :size], outer(a, x, valid))]
            if config.bias:
                want = outer(a, one, valid)[:, 0]
                sums += [(name + end, grads[name + end][rows], want) for name in ("bias_ih", "bias_hh")]
            if config.num_layers == 1 and result.output is not None:
                P = config.output_size
                output = np.asarray(result.output[..., d * P : (d + 1) * P], np.float64)
                h_0 = np.asarray(plain.initial()[0][d], np.float64)
                before = np.concatenate([h_0[None], time_order(output, lengths, reverse)[:-1]])
                want = outer(a.time_order(lengths, reverse), declared.carried(before), valid)
                sums.append(("weight_hh" + end, grads["weight_hh" + end][rows], want))
            for name, given, want in sums:
                for k, row in enumerate(rows):
                    yield finding(f"grad {name}[{row}]", given[k : k + 1], want[k : k + 1])


def sample(case: Case, seed: int) -> Sampled:
    """The case with taps on some rows of its first layer, and marks at the first, the last and other terms."""
    config = case.config
    size, D, rows = config.input_size, config.num_directions, 4 * config.hidden_size
    K = min(_ROWS, rows)
    wide = replace(config, input_size=size + D * K + _MARKS)
    params, tapped = dict(case.params), [permutation(seed, f"tapped rows {d}", rows)[:K] for d in range(D)]
    for d in range(D):
        weight = np.zeros((rows, wide.input_size), case.x.dtype)
        weight[:, :size] = case.params["weight_ih" + suffix(0, d)]
        weight[tapped[d], size + d * K + np.arange(K)] = 1
        params["weight_ih" + suffix(0, d)] = weight
    marks = [(pick(seed, f"step {m}", case.steps), pick(seed, f"row {m}", case.batch)) for m in range(_MARKS - 2)]
    marks += [(0, 0), (case.steps - 1, case.batch - 1)]
    x = np.zeros((case.steps, case.batch, wide.input_size), case.x.dtype)
    x[..., :size] = case.x
    for m, (t, n) in enumerate(marks):
        x[t, n, m - _MARKS] = 1
    return Sampled(case, replace(case, config=wide, params=params, x=x), tapped, marks)
