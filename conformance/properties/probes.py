"""Probes: cases of other sizes than the one that was drawn, which stand for those that real models have.

An LSTM that is wrong at every size is wrong at a probe's too, which says nothing about the size. So where the same case
is wrong at a usual size, the probe must merely agree with parts of itself: rows alone, a sequence in pieces, a stack
layer by layer. A second defect, one of the size, is seen beside the first that way, and the first is not told twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import permutation
from conformance.cases.recipe import Recipe
from conformance.properties.batch import result_rows, take_rows
from conformance.spec import Result
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

#: The most steps of a sequence that is compared with its pieces, and those of a piece.
_WHOLE, _PIECE = 70, 7

#: How many rows are compared with themselves alone; the last is one of them.
_ROWS = 3


def tiny(recipe: Recipe) -> dict[str, Any]:
    """Features and units so few that many rows, steps or layers stay cheap."""
    H = min(recipe.H, 5)
    return {"I": min(recipe.I, 4), "H": H, "proj": min(recipe.proj, 2) if H > 2 else 0, "fill": "normal"}


def judge(probe: Trial, usual: Trial, agrees: Callable[[Trial], None]) -> None:
    """A probe must be right; where it is wrong at a usual size too, ``agrees`` compares it with parts of itself."""
    if usual.right():
        probe.require(probe.findings(), probe.case)
    else:
        # Large weights drive two runs of a wrong LSTM apart, and nothing could be said.
        agrees(probe if probe.recipe.gain <= 1.0 else probe.derived(gain=1.0))


def rows(probe: Trial) -> None:
    """Rows of a batch give what they give alone."""
    case = probe.case
    if case.batch < 2:
        raise Discard
    chosen = permutation(probe.recipe.seed, "rows alone", case.batch)[: _ROWS - 1]
    for row in dict.fromkeys([case.batch - 1, *chosen]):
        alone = take_rows(case, [row])
        probe.relate(
            lambda k, row=row: result_rows(probe.observe(k), [row]),
            case=alone,
            base=lambda k, alone=alone: probe.complete(alone.prefix(k)),
        )


def pieces(probe: Trial) -> None:
    """A sequence gives what its pieces give, with the state carried along; rows alone where it cannot be cut."""
    r, declared = probe.recipe, probe.backend.capabilities
    if r.bidirectional or r.ragged or not declared.initial_state or len(declared.returns) < len(Result._fields):
        rows(probe)
        return
    whole = probe.derived(L=min(r.L, _WHOLE), N=min(r.N, 2))
    whole.relate(lambda k: carried(whole, whole.case.prefix(k), list(range(_PIECE, whole.recipe.L, _PIECE))))


def carried(trial: Trial, case: Case, cuts: list[int]) -> Result:
    """One model's results on consecutive pieces of the sequence, joined."""
    model, state, outputs = trial.model(case), case.state, []
    for piece in np.split(case.x, cuts):
        output, h_n, c_n = trial.run(replace(case, x=piece, state=state), model)
        assert output is not None
        assert h_n is not None
        assert c_n is not None
        outputs.append(output)
        state = h_n, c_n
    assert state is not None
    return Result(np.concatenate(outputs), *state)
