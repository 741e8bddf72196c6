"""Purity: a model is a function. Calls change nothing but their results, whatever came before and happens beside."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from conformance.calls import call, fresh_params
from conformance.case import Case, arrange, handed
from conformance.properties.model import prop
from conformance.properties.probes import tiny
from conformance.recipe import VIEWS, Recipe
from conformance.signals import Violation
from conformance.spec import Array, Result
from conformance.trial import Trial

T = TypeVar("T")


@prop("purity.repeat", needs=("deterministic",))
def repeat(trial: Trial) -> None:
    """Repeating a call gives the same bits.

    Uninitialised buffers (tflite-micro#2449) and races show as differences; a backend may declare otherwise.
    """
    model = trial.model(trial.case)
    first = trial.run(trial.case, model)
    for _ in range(3):
        for name, a, b in zip(Result._fields, first, trial.run(trial.case, model), strict=True):
            if a is not None and b is not None and not np.array_equal(a, b, equal_nan=True):
                at = tuple(int(k) for k in np.argwhere(a != b)[0])
                raise Violation(f"{name}{list(at)} is {a[at]:.9g} first, {b[at]:.9g} when repeated")


def _untouched(trial: Trial, names: tuple[str, ...]) -> None:
    """Raise if building a model and calling it change what they were handed."""
    case = trial.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    given = {**params, "x": x} | ({} if state is None else {"h_0": state[0], "c_0": state[1]})
    given |= {} if lengths is None else {"lengths": lengths}
    before = {name: value.copy() for name, value in given.items()}
    call(trial.model(case, params), case, x, state, lengths)
    for name, value in given.items():
        if name.startswith(names) and not np.array_equal(value, before[name], equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(value != before[name])[0])
            raise Violation(f"{name}{list(at)} was {before[name][at]:.9g} and is {value[at]:.9g} after the call")


@prop("purity.input-untouched", needs=("memory",))
def input_untouched(trial: Trial) -> None:
    """A call does not change x.

    In-place scaling, padding or reversal of the caller's array breaks whatever the caller does next.
    """
    _untouched(trial, ("x",))


@prop("purity.lengths-untouched", needs=("memory", "lengths"), when=lambda r: r.ragged and r.N > 1)
def lengths_untouched(trial: Trial) -> None:
    """A call does not change the lengths.

    Packing sorts rows by length (mlverse/torch#499); sorting the caller's own array in place misleads its next use.
    """
    _untouched(trial, ("lengths",))
    if not trial.recipe.edits:
        # Packing begins where it is worth its while.
        _untouched(trial.resized(**tiny(trial.recipe) | {"N": 19, "L": 7, "view": "plain"}), ("lengths",))


@prop("purity.state-untouched", needs=("memory", "initial_state"), when=lambda r: r.state != "none")
def state_untouched(trial: Trial) -> None:
    """A call does not change the h_0 and c_0 it is given.

    Loops that update the caller's state in place work once and are wrong when the state is used again.
    """
    _untouched(trial, ("h_0", "c_0"))


@prop("purity.params-untouched", needs=("memory", "params"))
def params_untouched(trial: Trial) -> None:
    """Building and calling a model do not change the parameters.

    pytorch#1721 reshaped a bias in place; adding b_hh into b_ih works exactly once.
    """
    _untouched(trial, ("weight", "bias"))


def _rows_with_state(recipe: Recipe) -> bool:
    return recipe.state != "none" and recipe.N > 1


def _still_right(trial: Trial, result: Result) -> None:
    """A result of the very same case, obtained under other circumstances, must be the plain one."""
    last = trial.case.config.num_layers
    trial.relate(lambda k: result if k == last else trial.observe(k))


def _other(trial: Trial) -> Trial:
    """Other values of the same shapes."""
    return trial.derived(seed=trial.recipe.seed + 1, fill="normal", state=trial.recipe.state)


@prop("purity.result-survives", needs=("memory", "loop"))
def result_survives(trial: Trial) -> None:
    """A result does not change when the model is called again.

    Returning a view of an internal buffer that a later call reuses is right until somebody keeps the result.
    """
    model = trial.model(trial.case)
    kept = trial.call(trial.case, model)
    before = [None if part is None else part.copy() for part in kept]
    other = _other(trial).case
    # A ring of buffers comes round: every fourth case waits longer than rings are, if that does not take long.
    for _ in range(17 if trial.case.steps <= 12 and trial.pick("later calls", 4) == 0 else 3):
        trial.call(replace(trial.case, x=other.x, state=other.state), model)
    for name, a, b in zip(Result._fields, kept, before, strict=True):
        if a is not None and b is not None and not np.array_equal(a, b, equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(a != b)[0])
            raise Violation(f"{name}{list(at)} was {b[at]:.9g} and is {a[at]:.9g} after the next calls")


@prop("purity.no-alias", needs=("memory", "values", "loop"))
def no_alias(trial: Trial) -> None:
    """A result is the caller's to write to: that changes neither the inputs nor the parameters nor the next call.

    Returning h_0 itself at some boundary, or a view of the weights, passes every test that only reads.
    """
    case = trial.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    given = {**params, "x": x} | ({} if state is None else {"h_0": state[0], "c_0": state[1]})
    model = trial.model(case, params)
    result = call(model, case, x, state, lengths)
    before = {name: value.copy() for name, value in given.items()}
    for part in result:
        if part is not None and part.flags.writeable:
            part[...] = 7.0
    for name, value in given.items():
        if not np.array_equal(value, before[name], equal_nan=True):
            raise Violation(f"writing to the result changes {name}")
    _still_right(trial, trial.run(case, model))


@prop("purity.own-states", needs=("memory", "values", "loop", "initial_state", "h_n", "c_n"))
def own_states(trial: Trial) -> None:
    """The states that a call returned may be edited and handed to the next call, which leaves them as they are.

    An episode's end zeroes a row of the state, and a beam search keeps it; a state that is known by its address, or
    updated where it lies, is another one then.
    """
    case, model = trial.case, trial.model(trial.case)
    first = call(model, case, *handed(case))
    trial.checked(case, first)
    _, h_n, c_n = first
    assert h_n is not None
    assert c_n is not None
    if trial.pick("edited", 2) and h_n.flags.writeable and c_n.flags.writeable:
        row = ... if case.unbatched else trial.pick("row", case.batch)
        h_n[:, row] = c_n[:, row] = 0
    kept = h_n.copy(), c_n.copy()
    x, _, lengths = handed(case)
    result = call(model, case, x, (h_n, c_n), lengths)
    for name, before, after in zip(("h_n", "c_n"), kept, (h_n, c_n), strict=True):
        if not np.array_equal(before, after, equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(before != after)[0])
            raise Violation(
                f"{name}{list(at)}, returned by one call and handed to the next, was {before[at]:.9g} and is "
                f"{after[at]:.9g} after it"
            )
    parts = (part[:, None] if case.unbatched else part for part in kept)
    again = replace(case, state=tuple(np.ascontiguousarray(part) for part in parts))
    _as_copied(trial, again, trial.checked(again, result))


@prop("purity.no-leak", needs=("values",))
def no_leak(trial: Trial) -> None:
    """Nothing leaks from one call of a model into the next.

    tensorflow#47813 needed a reset between invocations; a state kept in the object is the classic.
    """
    model = trial.model(trial.case)
    other = _other(trial).case
    trial.run(replace(trial.case, x=other.x, state=other.state), model)
    _still_right(trial, trial.run(trial.case, model))


@prop("purity.reused-input", needs=("values",), when=lambda r: r.view != "readonly")
def reused_input(trial: Trial) -> None:
    """A call with the arrays of the call before, of which one value has changed in place, gives its own result.

    Results and packed inputs kept by an array's address, by its shape, or by a part of the contents are then stale.
    """
    case, model = trial.case, trial.model(trial.case)
    x, state, lengths = handed(case)
    if state is not None and trial.pick("reused state", 3) == 0:
        changed = state[trial.pick("reused part", 2)]
        at = tuple(trial.pick(f"reused at {axis}", size) for axis, size in enumerate(changed.shape))
    else:
        # The last step of the longest row, or another that it has.
        changed = x[:, None] if case.unbatched else x.swapaxes(0, 1) if case.config.batch_first else x
        n = int(np.argmax(case.row_lengths()))
        last = int(case.row_lengths()[n]) - 1
        at = (last, trial.pick("step", last + 1))[trial.pick("reused", 2)], n, trial.pick("feature", x.shape[-1])
    value = changed[at]
    changed[at] = 1 if value < 0.5 else 0
    call(model, case, x, state, lengths)
    changed[at] = value
    _still_right(trial, trial.checked(case, call(model, case, x, state, lengths)))


@prop("purity.other-shape", needs=("values", "shapes"), when=lambda r: not r.ragged)
def other_shape(trial: Trial) -> None:
    """Longer sequences and larger batches before a call do not change it, nor do single rows, single steps, or many.

    Buffers sized by an earlier call (MNN#2500, tflite-micro PR3564) leave their tail behind; a kernel that is chosen at
    the first call is that of its shape; and of the shapes that are known, only the last few are kept.
    """
    case, other = trial.case, _other(trial).case.x
    one_row = case.unbatched or not trial.backend.capabilities.batch
    for steps, rows in ((case.steps + 2, case.batch + (not one_row)), (case.steps, 1), (1, case.batch)):
        model, before = trial.model(case), replace(case, x=np.resize(other, (steps, rows, case.x.shape[2])), state=None)
        # Twice each: what is specialised after two calls, or cleared only when it grows.
        for call_of in (before, before, case):
            result = trial.run(call_of, model)
        _still_right(trial, result)
        _still_right(trial, trial.run(case, model))
    model = trial.model(case)
    trial.run(case, model)
    for steps in range(1, 11):
        trial.run(replace(case, x=np.resize(other, (steps, *case.x.shape[1:]))), model)
    _still_right(trial, trial.run(case, model))


@prop("purity.two-models", needs=("values", "params"))
def two_models(trial: Trial) -> None:
    """Two models built and called in turns do not disturb each other, nor do sixteen more that are only built.

    Global workspaces, static buffers in C, tables of a fixed length and caches keyed by shape do; and those keyed by a
    part of the weights (ideep#158), for a model that differs in the last element of each weight alone.
    """
    other = _other(trial)
    first, second = trial.model(trial.case), other.model(other.case)
    trial.run(trial.case, first)
    other.run(other.case, second)
    more = [] if "shapes" in trial.backend.lacks else [other.model(other.case) for _ in range(16)]
    _still_right(trial, trial.run(trial.case, first))
    del more
    params = trial.case.params
    weights = {name: _last_changed(value) for name, value in params.items() if name.startswith("weight")}
    near = replace(trial.case, params={**params, **weights})
    if trial.right():
        trial.require(trial.judge(near, lambda k: trial.complete(near.prefix(k))), near)


def _last_changed(value: Array) -> Array:
    """A copy with another last element."""
    changed = value.copy()
    changed.reshape(-1)[-1] = 1 if changed.reshape(-1)[-1] < 0.5 else 0
    return changed


@prop("purity.threads", needs=("threads", "values"), every=16)
def threads(trial: Trial) -> None:
    """Two models called from two threads at once do not disturb each other.

    onnxruntime#21288 and #1162.
    """
    other = trial if trial.case.fixed else _other(trial)
    model, second = trial.model(trial.case), other.model(other.case)
    for result in at_once(lambda: trial.run(trial.case, model), lambda: other.run(other.case, second)):
        _still_right(trial, result)


def at_once(mine: Callable[[], T], other: Callable[[], object]) -> list[T]:
    """What ``mine`` returns at three calls from one thread, while another one makes as many of ``other``."""
    results: list[T] = []
    errors: list[BaseException] = []
    together = threading.Barrier(2)

    def work(task: Callable[[], object]) -> None:
        try:
            together.wait(timeout=60)
            for _ in range(3):
                task()
        except BaseException as error:
            errors.append(error)

    tasks = (lambda: results.append(mine()), other)
    workers = [threading.Thread(target=work, args=(task,), daemon=True) for task in tasks]
    # Python's threads take turns far more often than usual, so that short calls overlap too.
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(usual)
    if errors:
        raise errors[0]
    return results


#: Views that are C-contiguous, and those that are not.
_SOLID = ("plain", "offset", "readonly")
_LOOSE = tuple(view for view in VIEWS if view not in _SOLID)


def _seen_through(trial: Trial, *views: str) -> None:
    """A call whose arrays lie in memory as one of ``views`` says gives what plain arrays give."""
    view = views[trial.pick("view", len(views))]
    plain = trial.derived(view="plain")
    _still_right(plain, plain.run(replace(plain.case, view=view)))


@prop("purity.non-contiguous", needs=("views", "values"))
def non_contiguous(trial: Trial) -> None:
    """Transposed inputs, and those with gaps between features, rows or steps, give what contiguous ones give.

    pytorch#345 and #619: non-contiguous input, wrong result.
    """
    _seen_through(trial, "transposed", "strided", "gapped")


@prop("purity.mixed-views", needs=("views", "values"))
def mixed_views(trial: Trial) -> None:
    """x, h_0, c_0 and the lengths may each lie in memory in a way of its own.

    Code that looks at one array's strides and takes the others for alike is right where all are alike.
    """
    plain = trial.derived(view="plain")
    case = plain.case
    x, state, lengths = handed(case)
    x = arrange(x, VIEWS[trial.pick("view of x", len(VIEWS))])
    if state is not None:
        # One contiguous, the other not.
        views = _SOLID[trial.pick("solid", len(_SOLID))], _LOOSE[trial.pick("loose", len(_LOOSE))]
        swapped = trial.pick("which is solid", 2)
        state = arrange(state[0], views[swapped]), arrange(state[1], views[1 - swapped])
    if lengths is not None:
        lengths = arrange(lengths, "strided")
    _still_right(plain, plain.checked(case, call(plain.model(case), case, x, state, lengths)))


@prop("purity.broadcast-state", needs=("views", "values", "batch", "initial_state"), when=_rows_with_state)
def broadcast_state(trial: Trial) -> None:
    """An initial state that is broadcast over rows, or layers too, or one array for both, gives what copies of it give.

    ``h_0.expand(…)`` is how a learnt initial state is handed over: its stride over the rows is 0, and it is read-only.
    ``(zeros, zeros)`` is how many tutorials write the state.
    """
    slots = (slice(None), slice(1))[trial.recipe.seed % 2]
    h_0, c_0 = (np.broadcast_to(part[slots, :1], part.shape) for part in trial.case.initial())
    if h_0.shape == c_0.shape and trial.pick("one array", 2):
        c_0 = h_0 = trial.case.initial()[trial.pick("which", 2)].copy()
    case = replace(trial.case, state=(h_0.copy(), c_0.copy()))
    x, _, lengths = handed(case)
    result = trial.checked(case, call(trial.model(case), case, x, (h_0, c_0), lengths))
    _as_copied(trial, case, result)


def _as_copied(trial: Trial, case: Case, result: Result) -> None:
    """The result of a changed case, from arrays that share their memory, must be that from arrays of their own."""
    last, copied = case.config.num_layers, trial.model(case)

    def base(k: int) -> Result:
        return trial.run(case, copied) if k == last else trial.run(case.prefix(k))

    trial.relate(lambda k: result if k == last else base(k), case=case, base=base)


@prop("purity.broadcast-input", needs=("views", "values"), when=lambda r: r.L > 1 or r.N > 1)
def broadcast_input(trial: Trial) -> None:
    """An x that is one step for all, or one row for all, gives what copies of it give.

    A context vector is handed over at every step as a broadcast array: its stride over time is 0, and it is read-only.
    """
    case = trial.case
    over_time = case.steps > 1 and (case.batch == 1 or trial.pick("over time", 2) == 1)
    case = replace(case, x=np.repeat(case.x[:1], case.steps, 0) if over_time else case.x[:, :1].repeat(case.batch, 1))
    x, state, lengths = handed(replace(case, view="plain"))
    axis = 0 if over_time == (not case.config.batch_first or case.unbatched) else 1
    one = np.broadcast_to(np.take(x, [0], axis), x.shape)
    result = trial.checked(case, call(trial.model(case), case, one, state, lengths))
    _as_copied(trial, case, result)


@prop("purity.offset", needs=("views", "values"), every=2)
def offset(trial: Trial) -> None:
    """Inputs that start inside a larger buffer give what arrays of their own give.

    Kernels that take the buffer's start, or overread its end, are right on fresh arrays.
    """
    _seen_through(trial, "offset")


@prop("purity.negative-stride", needs=("views", "values"))
def negative_stride(trial: Trial) -> None:
    """Inputs that lie backwards in memory give what forward ones give.

    ``x[::-1]`` is how NumPy code reverses time; a pointer and a size do not describe it.
    """
    _seen_through(trial, "negative")


@prop("purity.fortran", needs=("views", "values"))
def fortran(trial: Trial) -> None:
    """Fortran-ordered inputs give what C-ordered ones give.

    Arrays from BLAS, MATLAB files and transposes are Fortran-ordered; ``ravel`` and ``tobytes`` differ.
    """
    _seen_through(trial, "fortran")


@prop("purity.read-only", needs=("views", "values"))
def read_only(trial: Trial) -> None:
    """Read-only inputs are accepted: memory-mapped files and broadcast arrays are read-only.

    In-place preprocessing fails on them, or writes through.
    """
    _seen_through(trial, "readonly")
