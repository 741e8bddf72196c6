"""Cases of other sizes than the one that was drawn: they stand for the sizes that real models have.

An LSTM that is wrong at every size is wrong at another size too, which says nothing about that size. So a resized case
must be right only if the same case is right at a usual size. Otherwise it must merely agree with parts of itself: rows
alone, a sequence in pieces, a stack layer by layer. That shows a second defect, one of the size, beside the first, and
does not report the first twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import permutation
from conformance.cases.recipe import Recipe
from conformance.cases.shapes import ordinary
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


def cheap(trial: Trial, **sizes: Any) -> dict[str, Any]:
    """Changes that make a case cheap: these; of a backend that compiles, those that make it the ordinary call."""
    declared = trial.backend.capabilities
    if not declared.compiled:
        return sizes
    return {"fill": "normal"} if declared.fixed is not None else ordinary(trial.backend)


def right_or_consistent(resized: Trial, usual: Trial, consistent: Callable[[Trial], None]) -> None:
    """A resized case must be right; if it is wrong at a usual size too, it must be ``consistent`` with its parts."""
    if usual.right():
        resized.require_right()
    else:
        # Large weights drive two runs of a wrong LSTM apart, and nothing could be said.
        consistent(resized if resized.recipe.gain <= 1.0 else resized.derived(gain=1.0))


def rows(trial: Trial) -> None:
    """Rows of a batch give what they give alone."""
    case = trial.case
    if case.batch < 2:
        raise Discard
    chosen = permutation(trial.recipe.seed, "rows alone", case.batch)[: _ROWS - 1]
    for row in dict.fromkeys([case.batch - 1, *chosen]):
        trial.require_same(lambda k, row=row: result_rows(trial.observe(k), [row]), take_rows(case, [row]))


def pieces(trial: Trial) -> None:
    """A sequence gives what its pieces give, with the state carried along; rows alone where it cannot be cut."""
    r, declared = trial.recipe, trial.backend.capabilities
    if r.bidirectional or r.ragged or not declared.initial_state or len(declared.returns) < len(Result._fields):
        rows(trial)
        return
    whole = trial.derived(L=min(r.L, _WHOLE), N=min(r.N, 2))
    whole.require_same(lambda k: carried(whole, whole.case.prefix(k), list(range(_PIECE, whole.recipe.L, _PIECE))))


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
