"""Sizes beyond 16 bits: one axis of 70,000 or twice as many, all others 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.bounds.forward import Finding
from conformance.cases.case import Case
from conformance.cases.fills import saturating
from conformance.properties.model import Cost, prop
from conformance.properties.resized import cheap, right_or_consistent, rows
from conformance.properties.sizes.real import NEEDS
from conformance.spec import Array, Result
from conformance.trials.agreement import right
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial

#: Beyond 16 bits, by so much that an index that begins again is far off. As many rows cost little more when doubled:
#: two in a group, or one bit for a sign, end at 131,072.
PAST_16_BITS = 70_001

#: The smallest model, and the plainest call.
_ONE = {"I": 1, "H": 1, "L": 1, "N": 1, "proj": 0, "layers": 1, "bidirectional": False, "ragged": False}
_ONE |= {"fill": "normal", "view": "plain", "gain": 1.0, "state": "none"}


@prop("sizes.past-16-bits", needs=NEEDS, limit=2, turns=2, cost=Cost.LARGE)
def past_16_bits(trial: Trial) -> None:
    """140,002 rows of one feature, and one row of 70,001 features, are right.

    Indices, strides and launch grids of 16 bits end at 65,536, with a sign at 32,768; mlx#1049 ends at 131,072 rows.
    """
    batched = trial.backend.capabilities.batch and not trial.recipe.unbatched
    usual = trial.resized(**cheap(trial) | _ONE)
    if batched and trial.in_turn((True, False)):
        # Two steps, so that each row has a state of its own.
        few = usual if trial.backend.capabilities.compiled else usual.resized(N=2, L=2)
        right_or_consistent(usual.resized(N=2 * PAST_16_BITS, L=2), few, rows)
    elif usual.right():
        usual.resized(I=PAST_16_BITS).require_right()
    else:
        raise Discard


#: The steps from one reset of a long sequence to the next: 65,536 is no multiple of it.
STRETCH = 7


def stretches(trial: Trial, count: int) -> Trial:
    """The trial of so many rows of ``STRETCH`` steps that one after the other are one sequence that resets itself."""
    rows = trial.resized(**_ONE | {"L": STRETCH, "N": count})
    rows.case = _reset_at_first(rows.case)
    return rows


def in_a_row(values: Array) -> Array:
    """Rows of stretches (L, N, n) as one row (N · L, 1, n)."""
    return np.ascontiguousarray(values.swapaxes(0, 1)).reshape(-1, 1, values.shape[2])


def in_stretches(values: Array) -> Array:
    """One row (N · L, 1, n) as rows of stretches (L, N, n)."""
    return np.ascontiguousarray(values.reshape(-1, STRETCH, values.shape[2]).swapaxes(0, 1))


# It takes a loop in Python seconds: it is asked once, at the fixed set's last case.
@prop(
    "sizes.steps-past-16-bits",
    needs=(*NEEDS, "loop", "output"),
    when=lambda r: r.bias and r.L >= 17 and not r.bidirectional and not r.unbatched,
    limit=1,
    cost=Cost.LONGEST,
)
def steps_past_16_bits(trial: Trial) -> None:
    """A sequence of 70,000 steps is right to its end.

    Step counters and offsets of 16 bits begin again at 65,536. At every seventh step the input and the forget gate are
    0, so that the sequence must give what its stretches give as rows of a batch: the oracle has seven steps to do.
    """
    few, many = (stretches(trial, count) for count in (3, PAST_16_BITS // STRETCH))
    try:
        usual = trial.right() if trial.backend.capabilities.compiled else right(_findings(few))
    except Violation:
        usual = False
    if not usual:
        raise Discard
    with within("the rows of this case one after the other, as one sequence", many.case):
        many.require(_findings(many))


def _findings(trial: Trial) -> list[Finding]:
    """The comparisons of one long sequence with its stretches, which are the rows of the trial's case."""
    case = trial.case
    result = trial.run(replace(case, x=in_a_row(case.x)))
    if result.output is None:
        raise Discard
    output = in_stretches(result.output)
    # The final states are those of the last stretch alone.
    alone = Result(output, None, None)
    last = Result(output[:, -1:], result.h_n, result.c_n)
    return [*trial.findings_of(case, lambda _: alone), *trial.findings_of(_last_row(case), lambda _: last)]


def _reset_at_first(case: Case) -> Case:
    """The case with an x at its first step that makes the gates i and f 0, whatever the state before was.

    The recurrent weights stay: h is at most 1, and cannot keep a gate open.
    """
    params = {name: value.copy() for name, value in case.params.items()}
    weight = params["weight_ih_l0"]
    weight[:2] = 0.25 + np.abs(weight[:2])
    x = case.x.copy()
    x[0] = -4 * (saturating(case.config.dtype) + 8)
    return replace(case, params=params, x=x, rule="any")


def _last_row(case: Case) -> Case:
    return replace(case, x=np.ascontiguousarray(case.x[:, -1:]))
