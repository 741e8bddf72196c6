"""Is every activation of a dyadic case exact? Calls of the same model tell, which show one activation at a time.

A library's σ or tanh may be some ulps off where it saturates. Then no adjoint is exact, while the results seldom show
it: 64 + ½·g is 64.5 for a g that is a little less than 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import saturating
from conformance.instruments.exact import CELL, Dyadic, steering
from conformance.reference.forward import weights
from conformance.spec import Array, Result

#: What i, f, g and o read at a step, as multiples of the level at which they saturate: −1, 0 or 1.
_Signs = tuple[int, int, int, int]

#: Without an initial state a cell is filled by so many steps of i = f = g = 1, until its tanh is 1.
_FILLING = 24

#: What a gate of 0 may leave: σ at the level where it saturates is less by far.
_NOTHING = 2.0**-60


def saturates(exact: Dyadic, run: Callable[[Case], Result]) -> bool:
    """Whether each activation is exact at each place where the case has it; ``run`` gives a call's canonical result.

    Where c_n is not returned nothing shows that it is.
    """
    config = exact.case.config
    for case, cell, m in _calls(exact):
        result = run(case)
        if result.output is None or result.c_n is None:
            return False
        for slot in config.slots():
            p, last = weights(exact.case.params, slot), 0 if slot.reverse else -1
            h = m[slot.direction] @ p["weight_hr"].T if "weight_hr" in p else m[slot.direction]
            got = result.output[last][:, slot.features(config)], result.c_n[slot.direction]
            for a, b in zip(got, (h, cell[slot.direction]), strict=True):
                if not np.where(b == 0, np.abs(a) <= _NOTHING, a == b).all():
                    return False
    return True


def _calls(exact: Dyadic) -> Iterator[tuple[Case, Array, Array]]:
    """Calls that end in a step which shows one activation, each with the c and o ⊙ tanh(c) (D, N, H) that it has."""
    empty = np.zeros_like(exact.cells[0])
    given = exact.case.state is not None
    filled: list[_Signs] = [] if given else [(1, 1, 1, -1)] * _FILLING
    start = np.full_like(empty, CELL) if given else empty
    full = np.full_like(empty, CELL if given else _FILLING)
    for sign in (-1, 0, 1):
        gate = (sign + 1) / 2
        yield _call(exact, [(sign, -1, 1, -1)], empty), empty + gate, empty
        yield _call(exact, [*filled, (-1, sign, 0, -1)], start), full * gate, empty
        yield _call(exact, [(1, -1, sign, -1)], empty), empty + sign, empty
        yield _call(exact, [*filled, (-1, 1, 0, sign)], start), full, empty + gate
    for cell in exact.cells if given else ():
        yield _call(exact, [(-1, 1, 0, 1)], cell), cell, np.sign(cell)


def _call(exact: Dyadic, steps: list[_Signs], c_0: Array) -> Case:
    """A call of the case's model from c_0 (D, N, H), in which every unit reads these signs step by step."""
    case, config = exact.case, exact.case.config
    rows = 4 * config.hidden_size
    x = np.zeros((len(steps), case.batch, config.input_size), case.x.dtype)
    for slot in config.slots():
        p = weights(case.params, slot)
        wished = saturating(config.dtype) * np.repeat(np.array(steps, np.float64), config.hidden_size, axis=1)
        biases = p["bias_ih"] + p["bias_hh"] if "bias_ih" in p else 0.0
        own = (wished - biases)[:: -1 if slot.reverse else 1]
        x[..., steering(slot, config.input_size - config.num_directions * rows, rows)] = own[:, None]
    state = None if case.state is None else (np.zeros_like(case.state[0]), c_0.astype(case.x.dtype))
    lengths = None if case.lengths is None else np.full_like(case.lengths, len(steps))
    return replace(case, x=x, state=state, lengths=lengths)
