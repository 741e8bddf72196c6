"""Sequence: the loop over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.fills import normal, stream
from conformance.cases.recipe import Recipe
from conformance.cases.sizes import COMPILED_SIZES, LONG
from conformance.properties.model import prop
from conformance.properties.resized import carried, cheap, pieces, right_or_consistent, tiny
from conformance.spec import Result
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial


def _forward_in_time(recipe: Recipe) -> bool:
    return not recipe.bidirectional and not recipe.ragged and recipe.L >= 2


_PARTS = ("loop", "initial_state", "output", "h_n", "c_n", "values")


@prop("sequence.stepwise", needs=_PARTS, when=_forward_in_time)
def stepwise(trial: Trial) -> None:
    """One call on a sequence equals one call per time step with the state carried along.

    agents-js PR944 never stored the state; tensorflow#47813 needed a reset between calls.
    """
    if trial.case.steps < 2:
        raise Discard
    trial.require_same(lambda k: carried(trial, trial.case.prefix(k), list(range(1, trial.case.steps))))


@prop("sequence.chunks", needs=_PARTS, when=_forward_in_time)
def chunks(trial: Trial) -> None:
    """Any split of a sequence into chunks, with the state carried along, equals one call.

    Streaming speech and audio models run like this. Kernels with a block size get the remainder wrong.
    """
    if trial.backend.capabilities.compiled:
        _long_in_chunks(trial)
        return
    steps = trial.case.steps
    if steps < 2:
        raise Discard
    chosen = stream(trial.recipe.seed, "chunks", steps) % np.uint64(3) == 0
    cuts = [t for t in range(1, steps) if chosen[t]] or [1 + trial.pick("cut", steps - 1)]
    trial.require_same(lambda k: carried(trial, trial.case.prefix(k), cuts))


def _long_in_chunks(trial: Trial) -> None:
    """The long sequence equals one in chunks of shapes that compiled already: single steps, and the ordinary call's."""
    long = trial.resized(**cheap(trial) | {"L": LONG, "ragged": False})
    steps, chunk = long.case.steps, COMPILED_SIZES["L"]
    ones = steps % chunk
    cuts = [*range(1, ones + 1), *range(ones + chunk, steps, chunk)]
    long.require_same(lambda k: carried(long, long.case.prefix(k), cuts))


@prop("sequence.causality", needs=("loop", "output", "values"), when=_forward_in_time)
def causality(trial: Trial) -> None:
    """In one direction, later inputs do not change earlier outputs.

    A reversed or shifted time axis, or a normalisation over time, breaks it.
    """
    case = trial.case
    if case.steps < 2:
        raise Discard
    t = 1 + trial.pick("causality", case.steps - 1)
    x = case.x.copy()
    x[t:] += (10 * normal(trial.recipe.seed, "later inputs", x[t:].shape)).astype(x.dtype)

    def earlier(result: Result) -> Result:
        return Result(None if result.output is None else result.output[:t], None, None)

    trial.require_same(
        lambda k: earlier(trial.run(replace(case, x=x).prefix(k))),
        case=replace(case, x=case.x[:t]),
        usual=lambda k: earlier(trial.observe(k)),
    )


@prop("sequence.zero-steps", needs=("values",), when=lambda r: r.L >= 2, turns=3)
def zero_steps(trial: Trial) -> None:
    """Steps at which x is all zeros, at the start, at the end or everywhere, are steps like any other.

    Keras's ``Masking(0)`` and MaskZero take them for padding, but without lengths there is no padding.
    """
    case = trial.case
    if case.steps < 2 or not trial.usually_right():
        raise Discard
    t, first = 1 + trial.pick("zeros", case.steps - 1), trial.in_turn(range(3))
    x = case.x.copy()
    for row in range(case.batch):
        # Of three rows one ends with zeros, one starts with them, and one has no other steps.
        x[(slice(t, None), slice(t), slice(None))[(first + row) % 3], row] = 0
    trial.require_right(replace(case, x=x))


@prop("sequence.long", needs=("loop", "output", "values"), limit=2, every=8, turns=2)
def long(trial: Trial) -> None:
    """Sequences of hundreds of steps stay within the bound, which does not grow with the weights.

    Accumulated state errors, buffers sized for short sequences and 8-bit counters show only here.
    """
    r = trial.recipe
    usual = trial.resized(**cheap(trial, **tiny(r) | {"L": 4, "N": min(r.N, 2), "layers": min(r.layers, 2)}))
    right_or_consistent(usual.resized(L=trial.in_turn((257, 1000))), usual, pieces)
