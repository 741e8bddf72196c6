"""Nothing is carried over from one call to another, nor from one model to another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import handed
from conformance.cases.sizes import LONG
from conformance.properties.model import prop
from conformance.properties.purity.calls import other_values
from conformance.spec import Array
from conformance.trials.trial import Trial


@prop("purity.no-leak", needs=("live",))
def no_leak(trial: Trial) -> None:
    """Nothing leaks from one call of a model into the next.

    tensorflow#47813 needed a reset between invocations. The usual cause is a state kept in the object.
    """
    model = trial.model(trial.case)
    other = other_values(trial).case
    trial.run(replace(trial.case, x=other.x, state=other.state), model)
    trial.require_repeated(trial.run(trial.case, model))


#: Where a value changes: in the last step of the longest row, in any of its steps, or in a state that is given.
_CHANGED = ("last step", "h_0", "any step", "c_0")


@prop("purity.reused-input", needs=("live",), when=lambda r: r.view != "readonly", turns=len(_CHANGED))
def reused_input(trial: Trial) -> None:
    """A call with the arrays of the call before, one value changed in place, gives the result of the new values.

    Results and packed inputs that are found again by an array's address, its shape, or a part of its contents are
    stale.
    """
    case, model = trial.case, trial.model(trial.case)
    x, state, lengths = handed(case)
    where = trial.in_turn(_CHANGED)
    if state is not None and where in ("h_0", "c_0"):
        changed = state[where == "c_0"]
        at = tuple(trial.pick(f"reused at {axis}", size) for axis, size in enumerate(changed.shape))
    else:
        changed = x[:, None] if case.unbatched else x.swapaxes(0, 1) if case.config.batch_first else x
        n = int(np.argmax(case.row_lengths()))
        last = int(case.row_lengths()[n]) - 1
        at = trial.pick("step", last + 1) if where == "any step" else last, n, trial.pick("feature", x.shape[-1])
    value = changed[at]
    changed[at] = 1 if value < 0.5 else 0
    trial.call(case, model, (x, state, lengths))
    changed[at] = value
    trial.require_repeated(trial.run(case, model, (x, state, lengths)))


@prop("purity.other-shape", needs=("live",), when=lambda r: not r.ragged)
def other_shape(trial: Trial) -> None:
    """Earlier calls of other shapes do not change a call: longer sequences, larger batches, single rows or steps, many.

    A buffer sized by an earlier call (MNN#2500, tflite-micro PR3564) still holds that call's tail, a kernel chosen at
    the first call is the one for that shape, and a cache of shapes keeps only the last few.
    """
    case, other = trial.case, other_values(trial).case.x
    declared = trial.backend.capabilities
    one_row = case.unbatched or not declared.batch
    shapes = ((case.steps + 2, case.batch + (not one_row)), (case.steps, 1), (1, case.batch))
    if declared.compiled:
        shapes = ((LONG, case.batch), *shapes[1:])
    for steps, rows in trial.few(shapes):
        model, before = trial.model(case), replace(case, x=np.resize(other, (steps, rows, case.x.shape[2])), state=None)
        if declared.compiled and case.state is not None:
            before = replace(before, state=(case.state[0][:, :rows], case.state[1][:, :rows]))
        # Twice each: what is specialised after two calls, or cleared only when it grows.
        for call_of in (before, before, case):
            result = trial.run(call_of, model)
        trial.require_repeated(result)
        trial.require_repeated(trial.run(case, model))
    model = trial.model(case)
    trial.run(case, model)
    for steps in (1,) if declared.compiled else range(1, 11):
        trial.run(replace(case, x=np.resize(other, (steps, *case.x.shape[1:]))), model)
    trial.require_repeated(trial.run(case, model))


@prop("purity.two-models", needs=("params", "live"))
def two_models(trial: Trial) -> None:
    """Two models built and called in turns do not disturb each other, nor do sixteen more that are only built.

    Global workspaces, static buffers in C, tables of a fixed length and caches keyed by shape mix models up. A cache
    keyed by a part of the weights (ideep#158) mixes up two models that differ in the last element of each weight alone.
    """
    other = other_values(trial)
    first, second = trial.model(trial.case), other.model(other.case)
    trial.run(trial.case, first)
    other.run(other.case, second)
    more = [other.model(other.case) for _ in range(16)]
    trial.require_repeated(trial.run(trial.case, first))
    del more
    params = trial.case.params
    weights = {name: _last_changed(value) for name, value in params.items() if name.startswith("weight")}
    near = replace(trial.case, params={**params, **weights})
    if trial.arithmetic is not None and trial.usually_right():
        trial.require_right(near)


def _last_changed(value: Array) -> Array:
    """A copy with another last element."""
    changed = value.copy()
    changed.reshape(-1)[-1] = 1 if changed.reshape(-1)[-1] < 0.5 else 0
    return changed
