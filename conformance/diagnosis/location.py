"""Where results are wrong, relative to the best hypothesis: tensors, layers, directions, steps, rows, units and gates.

Relative to the correct LSTM each layer and step is judged from the backend's own results before it, as the suite judges
(``bounds.forward``): a place is where something goes wrong, not what follows from it. Relative to an altered LSTM
nothing is observed, and only the lowest wrong layer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.bounds.forward import Expectation, judge
from conformance.bounds.rounding import arithmetic
from conformance.cases.case import Case
from conformance.diagnosis.gates import gates
from conformance.diagnosis.prediction import Predictions, named
from conformance.diagnosis.probes import Call as Asked
from conformance.engine.reply import Reply
from conformance.facts import Alteration, Place
from conformance.spec import Array, Result, Slot

Call = Callable[[Case], Reply]

#: Cases that are enough to tell a place.
_MOST = 30

#: The unit roundoff of each arithmetic that an error is measured in.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "float16": 2.0**-11, "bfloat16": 2.0**-8}


@dataclass(frozen=True)
class _Off:
    """One tensor of a layer and direction against what was predicted: output (L, N, P), h_n (N, P) or c_n (N, H)."""

    case: Case
    tensor: str
    slot: Slot
    actual: Array
    wanted: Array
    wrong: Array


def locate(
    predictions: Predictions,
    call: Call,
    cases: Iterable[tuple[Case, Reply]],
    hypothesis: tuple[Alteration, ...] = (),
    late: Callable[[], bool] = lambda: False,
) -> Place | None:
    """The place in which results differ from those of a hypothesis; None where they do not, or nothing was returned.

    Of the cases, so many are looked at as show a difference, up to a limit; the call is asked for lower layers alone.
    """
    offs: list[list[_Off]] = []
    for case, reply in cases:
        if late() or len(offs) == _MOST:
            break
        if reply.result is None or predictions.explains(hypothesis, Asked(case), reply):
            continue
        found = _of_case(predictions, call, case, reply, hypothesis)
        if found:
            offs.append(found)
    if not offs:
        return None
    error, in_roundoffs = _size([off for found in offs for off in found])
    first = [t for found in offs if (t := _first_step(found)) is not None]
    return Place(
        tensors=_tensors(offs),
        gates=() if hypothesis or late() else gates(predictions, call, offs[0][0].case.config.dtype),
        layers=_shared([(frozenset(o.slot.layer for o in f), f[0].case.config.num_layers) for f in offs]),
        directions=_shared([(frozenset(o.slot.direction for o in f), f[0].case.config.num_directions) for f in offs]),
        first_step=min(first) if first else None,
        steps=_shared([_steps(found) for found in offs], ends=True),
        rows=_shared([(_along(found, -2), found[0].case.batch) for found in offs], ends=True),
        units=_shared([(_along(found, -1), found[0].wrong.shape[-1]) for found in offs], ends=True),
        error=error,
        in_roundoffs=in_roundoffs,
    )


# The differences in one case


def _of_case(
    predictions: Predictions, call: Call, case: Case, reply: Reply, hypothesis: tuple[Alteration, ...]
) -> list[_Off]:
    if not hypothesis and (forced := _forced(predictions, call, case)):
        # An output that was spoilt after it was read makes the states that follow from it look wrong. Those that are
        # right with nothing observed are right.
        off = predictions.off(Asked(case), reply)
        return [one for one in forced if one.tensor in off] or forced
    found = _free(predictions, case, reply, hypothesis)
    lowest = min((off.slot.layer for off in found), default=0)
    return [off for off in found if off.slot.layer == lowest]


def _forced(predictions: Predictions, call: Call, case: Case) -> list[_Off]:
    """What is wrong given the backend's own results before it; nothing where a shorter stack gives no results."""
    declared = arithmetic(case.config.dtype, predictions.backend.capabilities.arithmetic)
    assert declared is not None, "no values are declared for this dtype"
    replies = {k: call(case.prefix(k)).result for k in range(1, case.config.num_layers + 1)}
    results = {k: result for k, result in replies.items() if result is not None}
    if len(results) < len(replies):
        return []
    return [
        _Off(case, one.tensor, Slot(one.layer, one.direction), one.actual, one.expected, one.ratios() > 1)
        for one in judge(Expectation(case, declared), results.__getitem__)
        if one.margin() > 1
    ]


def _free(predictions: Predictions, case: Case, reply: Reply, hypothesis: tuple[Alteration, ...]) -> list[_Off]:
    """What is wrong with nothing observed."""
    asked = Asked(case)
    told = predictions.reply(hypothesis, asked) if hypothesis else None
    predicted = predictions.expected(asked)[0] if told is None else named(told)
    masks = predictions.wrong(hypothesis, asked, reply)
    if masks is None:
        return []
    offs, config, actual = [], case.config, named(reply)
    for name, wrong in masks.items():
        got, want = actual[name], predicted[name]
        if got.shape != want.shape:
            continue
        for slot in config.slots(config.num_layers - 1 if name == "output" else None):
            at = (..., slot.features(config)) if name == "output" else slot.position(config)
            if wrong[at].any():
                offs.append(_Off(case, name, slot, got[at], want[at], wrong[at]))
    return offs


# What the cases have in common


def _shared(found: Sequence[tuple[frozenset[int], int]], ends: bool = False) -> tuple[int, ...]:
    """The indices that occur along an axis, nothing if all do; with ``ends``, −1 if it is always the last.

    ``found`` has the wrong indices and the size of the axis in each case. An axis of size 1 says nothing.
    """
    several = [(wrong, size) for wrong, size in found if size > 1 and wrong]
    if not several or any(len(wrong) == size for wrong, size in several):
        return ()
    if ends and all(wrong == {size - 1} for wrong, size in several):
        return (-1,)
    met = frozenset[int]().union(*(wrong for wrong, _ in several))
    return () if len(met) == max(size for _, size in several) else tuple(sorted(met))


def _tensors(offs: Sequence[Sequence[_Off]]) -> tuple[str, ...]:
    met = {off.tensor for found in offs for off in found}
    return () if len(met) == len(Result._fields) else tuple(name for name in Result._fields if name in met)


def _along(found: Sequence[_Off], axis: int) -> frozenset[int]:
    """The wrong rows (axis −2) or units (axis −1) of a case."""
    widest = max(off.wrong.shape[axis] for off in found)
    alike = [off.wrong for off in found if off.wrong.shape[axis] == widest]
    turned = [np.moveaxis(wrong, axis, 0).reshape(widest, -1) for wrong in alike]
    return frozenset(int(k) for wrong in turned for k in np.nonzero(wrong.any(axis=1))[0])


def _read(off: _Off) -> Array:
    """The wrong steps of an output in the order in which its direction reads; past a row's length, as they stand."""
    lengths = off.case.row_lengths()
    t, n, _ = np.nonzero(off.wrong)
    return np.where(t < lengths[n], lengths[n] - 1 - t, t) if off.slot.reverse else t


def _steps(found: Sequence[_Off]) -> tuple[frozenset[int], int]:
    """The wrong steps of a case, as they are read, and how many steps there are."""
    steps = {int(t) for off in found if off.tensor == "output" for t in _read(off)}
    return frozenset(steps), found[0].case.steps


def _first_step(found: Sequence[_Off]) -> int | None:
    """The first wrong step of a case, as they are read; None if it has a single step, or outputs are right."""
    steps, size = _steps(found)
    return min(steps, default=None) if size > 1 else None


def _size(offs: Sequence[_Off]) -> tuple[float, dict[str, float]]:
    """The largest error, and how many roundoffs of each dtype that is at the size of the value; infinite for NaN."""
    largest, size = -1.0, 0.0
    for off in offs:
        with np.errstate(all="ignore"):
            error = np.where(off.wrong, np.abs(off.actual - off.wanted), 0.0)
        error = np.where(np.isnan(error), np.inf, error)
        at = np.unravel_index(int(error.argmax()), error.shape)
        if error[at] > largest:
            largest = float(error[at])
            size = float(np.abs(off.wanted[at])) or float(np.abs(off.wanted).max())
    known = np.isfinite(largest) and size > 0 and np.isfinite(size)
    return largest, {name: largest / (unit * size) for name, unit in UNITS.items()} if known else {}
