"""What stands where something else belongs: wrong parts of results that are the right value of another place, or zeros.

The results of a call are cut into vectors, one for each step (or slot) and row. A wrong vector that is equal to the
right one of another place, or to an initial state, is misplaced; the tensor that most of the wrong vectors belong to is
told.
Vectors of one element are left out: numbers alone agree by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from conformance.diagnosis.prediction import Predictions, named
from conformance.diagnosis.probes import Call
from conformance.engine.reply import Reply
from conformance.facts import Misplaced
from conformance.spec import Array, LSTMConfig

#: Wrong calls that are looked at, and vectors of each.
_CALLS, _VECTORS = 12, 60

#: Fewer alike tell nothing.
_ALIKE = 3


class _Vector(NamedTuple):
    tensor: str
    #: (step, row) or (slot, row), and the direction's half of an output.
    at: tuple[int, ...]
    value: Array


def misplaced(
    predictions: Predictions, calls: Iterable[tuple[Call, Reply]], late: Callable[[], bool]
) -> tuple[Misplaced, ...]:
    """What most of the wrong vectors of each tensor are instead of the right ones, with an example."""
    patterns: dict[str, Counter[str]] = {}
    examples: dict[tuple[str, str], tuple[_Vector, _Vector | None]] = {}
    wrong: Counter[str] = Counter()
    failing = ((call, told) for call, told in calls if not predictions.explains((), call, told))
    for call, told in islice(failing, _CALLS):
        if late() or told.result is None:
            continue
        for one, places in _of_call(predictions, call, told):
            wrong[one.tensor] += 1
            for source, other in {"" if other is None else other.tensor: other for other in places}.items():
                patterns.setdefault(one.tensor, Counter())[source] += 1
                examples.setdefault((one.tensor, source), (one, other))
    found = []
    for tensor, count in wrong.items():
        best = patterns.get(tensor, Counter()).most_common(1)
        if best and best[0][1] >= _ALIKE and 2 * best[0][1] > count:
            one, other = examples[tensor, best[0][0]]
            source, at = ("", ()) if other is None else (other.tensor, other.at)
            found.append(Misplaced(tensor, one.at, source, at, best[0][1], count))
    return tuple(found)


def _of_call(predictions: Predictions, call: Call, told: Reply) -> Iterator[tuple[_Vector, list[_Vector | None]]]:
    """Each wrong vector, and the places whose right value it is; None for zeros."""
    masks = predictions.wrong((), call, told) or {}
    right, bounds = predictions.expected(call)
    config, got = call.case.config, named(told)
    state = {} if call.case.state is None else dict(zip(("h_0", "c_0"), call.case.state, strict=True))
    known = right | {name: np.asarray(value, np.float64) for name, value in state.items()}
    sources = [vector for name, value in known.items() for vector in _vectors(config, name, value)]
    marks = {(v.tensor, v.at): v.value for name, mask in masks.items() for v in _vectors(config, name, mask)}
    offs = {name: 4.0 * float(np.max(bounds[name], initial=0.0)) for name in masks}
    taken = (v for name in masks for v in _vectors(config, name, got[name]) if marks[v.tensor, v.at].any())
    for one in islice(taken, _VECTORS):
        off = offs[one.tensor]
        if not np.isfinite(one.value).all() or not np.isfinite(off):
            yield one, []
            continue
        places: list[_Vector | None] = [other for other in sources if _equal(one, other, off)]
        yield one, places or ([None] if not one.value.any() else [])


def _equal(one: _Vector, other: _Vector, off: float) -> bool:
    if (one.tensor, one.at) == (other.tensor, other.at) or one.value.shape != other.value.shape:
        return False
    return bool(np.abs(other.value).max() > 100 * off and np.abs(one.value - other.value).max() <= off)


def _vectors(config: LSTMConfig, name: str, value: Array) -> Iterator[_Vector]:
    """The vectors of a tensor of results, states or their gradients; of others none."""
    base = name.removeprefix("grad ")
    if value.ndim != 3 or value.shape[-1] < 2 or base not in ("output", "h_n", "c_n", "h_0", "c_0", "x"):
        return
    halves = [value]
    if base == "output":
        P = config.output_size
        if P < 2:
            return
        halves = [value[..., d * P : (d + 1) * P] for d in range(config.num_directions)]
    for d, half in enumerate(halves):
        for i in range(half.shape[0]):
            for n in range(half.shape[1]):
                yield _Vector(name, (i, n) if base != "output" else (i, n, d), half[i, n])
