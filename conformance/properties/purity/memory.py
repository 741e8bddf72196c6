"""Memory that grows with calls: nothing of a call may be kept for ever.

The rule must not accuse an allocator that keeps freed memory, a library that makes its workspace at the first calls, or
a cache of limited size. So it has four parts.

1. It counts the bytes in use, as the C library's allocator counts them: those allocated and not freed. Memory that was
   freed and is kept for later does not count. Where the allocator does not tell (``mallinfo2`` is glibc's), the
   largest resident memory that the process has had stands in, and the other parts take off the warm-up. Where the
   system does not tell that either, nothing is said.
2. The first two blocks of calls do not count, and only growth in *every* one of the blocks that follow is growth. A
   workspace stops growing, and a cache of limited size is full some day.
3. A block must grow by at least half of what its calls would leave if each kept an array: the smallest of x and of what
   a call returns; of calls of other shapes, an output of 2 MiB; of a vjp, x; of a model, its weights. Libraries keep
   compiled code for each shape, up to a limit (oneDNN: 1,024 shapes of some 220 KiB): an array that large stands out
   from it. Calls that repeat each other have nothing to keep code for: of them a KiB each is enough, where the
   allocator tells what is in use.
4. All of it is repeated with a fresh model and six times the calls, which must leave six times as much. These are more
   than 128, the size of a cache of which nobody chose the size (``functools.lru_cache``). What is less than an array is
   repeated once more, with 384 calls.

Garbage that Python has not collected yet is collected before and after each block that counts.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

from conformance.cases.case import Case, handed
from conformance.cases.cotangents import draw
from conformance.instruments.masks import with_dropout
from conformance.properties.batch import take_rows
from conformance.properties.model import prop
from conformance.properties.resized import cheap
from conformance.spec import numpy_dtype
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

try:
    import resource
except ImportError:
    # Windows has none.
    resource = None

#: Blocks that must grow, after two that do not count; the calls of a block, those when it is repeated, and those when
#: what is left is less than an array.
_BLOCKS, _CALLS = 4, (4, 24, 64)

#: The bytes that each call leaves, at least, if calls that repeat each other leave something.
_LITTLE = 1 << 10

#: The bytes of each slot's h_n, and of the output in calls of other shapes.
_SMALL, _LARGE = 1 << 16, 1 << 21


class _MallInfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _meter() -> tuple[Callable[[], int] | None, bool]:
    """A function that tells the bytes in use, and whether to the byte; None where there is none."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        if resource is None:
            return None, False
        usage, own, unit = resource.getrusage, resource.RUSAGE_SELF, 1 if sys.platform == "darwin" else 1024
        return (lambda: unit * usage(own).ru_maxrss), False
    mallinfo.restype = _MallInfo

    def in_use() -> int:
        info = mallinfo()
        return info.uordblks + info.hblkhd

    return in_use, True


_METER, _EXACT = _meter()


def _in_use() -> int:
    if _METER is None:
        raise Discard
    return _METER()


def growth(do: Callable[[int], object], calls: int, least: int) -> int:
    """The bytes by which memory grew in several blocks of so many calls; 0 unless each grew by ``least`` or more.

    ``do(k)`` is called for k = 0, 1, 2, …
    """
    numbers = count()

    def block() -> int:
        for _ in range(calls):
            do(next(numbers))
        return _in_use()

    before = block()
    if block() - before < least:
        return 0
    # It grows. A collection takes long in a large process, and what others left must not hide the growth to come.
    gc.collect()
    first = before = _in_use()
    for _ in range(_BLOCKS):
        block()
        gc.collect()
        after = _in_use()
        if after - before < least:
            return 0
        before = after
    return before - first


class _Act(NamedTuple):
    """Something that is done many times, as ``do(k)``."""

    case: Case
    do: Callable[[int], object]
    #: The bytes of the array that each may keep.
    bytes: int
    #: Whether each repeats the one before, so that none has a reason to keep anything.
    repeats: bool = False

    @property
    def least(self) -> int:
        """The bytes that each leaves, at least, if it leaves something."""
        return _LITTLE if self.repeats and _EXACT else self.bytes // 2


def _rows(trial: Trial, bytes: int, **sizes: int) -> Trial:
    """The trial of few units and so many rows that each slot's h_n has so many bytes."""
    row = (sizes["proj"] or sizes["H"]) * numpy_dtype(trial.recipe.dtype).itemsize
    return trial.resized(**cheap(trial) | sizes | {"N": -(-bytes // row), "fill": "normal", "view": "plain"})


def _usual(trial: Trial, **changes: Any) -> Trial:
    sizes = {"I": 4, "H": 8, "proj": min(trial.recipe.proj, 4), "layers": min(trial.recipe.layers, 2), "L": 2}
    return _rows(trial, _SMALL, **sizes | changes)


def _repeated(trial: Trial, case: Case) -> _Act:
    model, given = trial.model(case), handed(case)
    smallest = min(part.nbytes for part in (case.x, *trial.call(case, model)) if part is not None)
    return _Act(case, lambda k: trial.call(case, model, given), smallest, repeats=True)


def _same_call(trial: Trial) -> _Act:
    trial = _usual(trial, ragged=False)
    return _repeated(trial, trial.case)


def _everything(trial: Trial, **changes: Any) -> Trial:
    """The trial of a call with every option that is declared."""
    declared = trial.backend.capabilities
    options = {"layers": 2 if declared.layers else 1, "bidirectional": declared.bidirectional}
    options |= {"ragged": declared.lengths, "state": "both" if declared.initial_state else "none"}
    return _usual(trial, **options | {"proj": 4 if declared.projection else 0} | changes)


def _with_every_option(trial: Trial) -> _Act:
    trial = _everything(trial)
    return _repeated(trial, trial.case)


def _in_training(trial: Trial) -> _Act:
    trial = _everything(trial)
    return _repeated(trial, with_dropout(trial.case, 0.5))


def _other_values(trial: Trial) -> _Act:
    trial = _everything(trial, ragged=False)
    model, x, smallest = trial.model(trial.case), trial.case.x, _repeated(trial, trial.case).bytes
    return _Act(trial.case, lambda k: trial.call(replace(trial.case, x=x + x.dtype.type(k)), model), smallest)


def _other_shapes(trial: Trial) -> _Act:
    trial = _rows(trial.resized(bidirectional=False), _LARGE // 8, I=4, H=8, proj=0, layers=1, L=8)
    case, model = trial.case, trial.model(trial.case)
    # Every call has a row less than the one before.
    return _Act(case, lambda k: trial.call(take_rows(case, [*range(k, case.batch)]), model), _LARGE)


def _repeated_vjp(trial: Trial, case: Case) -> _Act:
    model, cotangents = trial.model(case), draw(case, trial.recipe.seed, parts=trial.backend.capabilities.returns)
    return _Act(case, lambda k: trial.vjp(case, cotangents, model), case.x.nbytes, repeats=True)


def _vjps(trial: Trial) -> _Act:
    trial = _usual(trial)
    return _repeated_vjp(trial, trial.case)


def _vjps_in_training(trial: Trial) -> _Act:
    trial = _everything(trial)
    return _repeated_vjp(trial, with_dropout(trial.case, 0.5))


def _models(trial: Trial) -> _Act:
    one = {"I": 64, "H": 32, "proj": 0, "layers": 1, "L": 1, "N": 1, "ragged": False}
    trial = trial.resized(**cheap(trial) | one | {"fill": "normal", "view": "plain"})
    weights = sum(value.nbytes for value in trial.case.params.values())
    return _Act(trial.case, lambda k: trial.call(trial.case, trial.model(trial.case)), weights)


class _Kind(NamedTuple):
    """Something that may be done many times."""

    #: Its name in what is said.
    name: str
    act: Callable[[Trial], _Act]
    #: The needs that it has beside those of the property.
    needs: tuple[str, ...] = ()


_KINDS = (
    _Kind("calls", _same_call),
    _Kind("calls with other values", _other_values),
    _Kind("calls of other shapes", _other_shapes),
    _Kind("calls with every option", _with_every_option),
    _Kind("calls in training", _in_training, ("dropout", "layers")),
    _Kind("vjps", _vjps, ("gradients",)),
    _Kind("vjps in training", _vjps_in_training, ("dropout", "layers", "gradients")),
    _Kind("models that are gone", _models),
)


@prop(
    "purity.memory",
    needs=("memory", "batch", "params"),
    when=lambda r: not r.unbatched,
    limit=len(_KINDS),
    turns=len(_KINDS),
)
def memory(trial: Trial) -> None:
    """The memory in use does not grow with calls, in evaluation or training, with shapes, gradients, or models gone.

    It is asked of plain calls and of calls with every declared option: openvino#11669 leaked where a layer was
    bidirectional, pytorch#33864 where lengths were given, pytorch#3665 a little with every gradient.

    States and graphs that are kept, and caches without a limit, end a process after some days.
    """
    declared = trial.backend.capabilities
    kinds = [kind for kind in _KINDS if all(getattr(declared, need) for need in kind.needs)]
    kind = trial.in_turn([kind for kind in kinds if not (declared.compiled and kind.act is _other_shapes)])
    left = []
    for calls in _CALLS:
        act = kind.act(trial)
        grown = growth(act.do, calls, calls * act.least)
        if not grown:
            return
        left.append(f"{_BLOCKS * calls} {kind.name} left {grown / 1024:,.0f} KiB")
        if calls > _CALLS[0] and grown >= _BLOCKS * calls * act.bytes // 2:
            break
    raise Violation(f"memory grows with each block of calls: {' and '.join(left)}", case=kind.act(trial).case)
