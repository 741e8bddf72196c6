"""Calls leave nothing behind but their results, neither for each other nor for the caller."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from conformance.cases.case import Case, handed
from conformance.cases.sizes import LONG
from conformance.properties.model import pairs, prop
from conformance.properties.resized import cheap, tiny
from conformance.spec import Array, Result
from conformance.trials.agreement import first_difference
from conformance.trials.calls import fresh_params
from conformance.trials.outcomes import Discard, Violation, within
from conformance.trials.trial import Trial

T = TypeVar("T")


@prop("purity.repeat", needs=("deterministic",))
def repeat(trial: Trial) -> None:
    """A repeated call gives the same bits.

    Uninitialised buffers (tflite-micro#2449) and races show as differences. A backend may declare that it is not
    deterministic.
    """
    model = trial.model(trial.case)
    first = trial.run(trial.case, model)
    for _ in range(3):
        if difference := first_difference(first, trial.run(trial.case, model)):
            name, at, a, b = difference
            raise Violation(f"{name}{list(at)} is {a:.9g} first, {b:.9g} when repeated")


def _untouched(trial: Trial, names: tuple[str, ...]) -> None:
    """Raise if building a model and calling it change one of the named arguments."""
    case = trial.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    given = {**params, "x": x} | ({} if state is None else {"h_0": state[0], "c_0": state[1]})
    given |= {} if lengths is None else {"lengths": lengths}
    before = {name: value.copy() for name, value in given.items()}
    trial.call(case, trial.model(case, params), (x, state, lengths))
    for name, value in given.items():
        if name.startswith(names) and not np.array_equal(value, before[name], equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(value != before[name])[0])
            raise Violation(f"{name}{list(at)} was {before[name][at]:.9g} and is {value[at]:.9g} after the call")


@prop("purity.input-untouched", needs=("memory",))
def input_untouched(trial: Trial) -> None:
    """A call does not change x.

    In-place scaling, padding or reversal of the caller's array spoils its next use.
    """
    _untouched(trial, ("x",))


@prop("purity.lengths-untouched", needs=("memory", "lengths"), when=lambda r: r.ragged and r.N > 1)
def lengths_untouched(trial: Trial) -> None:
    """A call does not change the lengths.

    Packing sorts rows by length (mlverse/torch#499); sorting the caller's own array in place misleads its next use.
    """
    _untouched(trial, ("lengths",))
    if not trial.recipe.edits:
        # Some code packs only as many rows as make it worthwhile.
        _untouched(
            trial.resized(**cheap(trial, **tiny(trial.recipe)) | {"N": 19, "L": 7, "view": "plain"}), ("lengths",)
        )


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


def _other(trial: Trial) -> Trial:
    """Other values of the same shapes."""
    return trial.derived(seed=trial.recipe.seed + 1, fill="normal", state=trial.recipe.state)


#: How many later calls a result must survive: a few, or more than a ring of buffers has places.
_LATER = (3, 17, 3, 3)


@prop("purity.result-survives", needs=("memory", "loop"), turns=len(_LATER))
def result_survives(trial: Trial) -> None:
    """A result does not change when the model is called again.

    A view of an internal buffer that a later call reuses is right until the caller keeps the result.
    """
    later = trial.in_turn(_LATER)
    if later > 3 and trial.case.steps > 12:
        trial = trial.resized(L=12)
    model = trial.model(trial.case)
    kept = trial.call(trial.case, model)
    before = [None if part is None else part.copy() for part in kept]
    other = _other(trial).case
    for _ in range(later):
        trial.call(replace(trial.case, x=other.x, state=other.state), model)
    for name, a, b in zip(Result._fields, kept, before, strict=True):
        if a is not None and b is not None and not np.array_equal(a, b, equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(a != b)[0])
            raise Violation(f"{name}{list(at)} was {b[at]:.9g} and is {a[at]:.9g} after the next calls")


@prop("purity.no-alias", needs=("memory", "loop"))
def no_alias(trial: Trial) -> None:
    """The caller may write to a result: that changes neither the inputs nor the parameters nor the next call.

    A result that is h_0 itself, or a view of the weights, passes every test that only reads.
    """
    case = trial.case
    params, (x, state, lengths) = fresh_params(case.params), handed(case)
    given = {**params, "x": x} | ({} if state is None else {"h_0": state[0], "c_0": state[1]})
    model = trial.model(case, params)
    result = trial.call(case, model, (x, state, lengths))
    before = {name: value.copy() for name, value in given.items()}
    for part in result:
        if part is not None and part.flags.writeable:
            part[...] = 7.0
    for name, value in given.items():
        if not np.array_equal(value, before[name], equal_nan=True):
            raise Violation(f"writing to the result changes {name}")
    trial.require_repeated(trial.run(case, model))


@prop("purity.own-states", needs=("memory", "loop", "initial_state", "h_n", "c_n"), turns=2)
def own_states(trial: Trial) -> None:
    """The caller may edit the states that a call returned and hand them to the next call, which does not change them.

    The end of an episode zeroes a row of the state, and a beam search keeps it. Code that finds a state again by its
    address, or updates it in place, uses another one then.
    """
    case, model = trial.case, trial.model(trial.case)
    first = trial.call(case, model)
    trial.checked(case, first)
    _, h_n, c_n = first
    assert h_n is not None
    assert c_n is not None
    # Where no values are declared, only a call whose arrays lie alike in memory must give the same.
    plain = case.view == "plain" and h_n.flags.c_contiguous and c_n.flags.c_contiguous
    if trial.arithmetic is None and not plain:
        raise Discard
    if trial.in_turn((True, False)) and h_n.flags.writeable and c_n.flags.writeable:
        row = ... if case.unbatched else trial.pick("row", case.batch)
        h_n[:, row] = c_n[:, row] = 0
    kept = h_n.copy(), c_n.copy()
    x, _, lengths = handed(case)
    result = trial.call(case, model, (x, (h_n, c_n), lengths))
    for name, before, after in zip(("h_n", "c_n"), kept, (h_n, c_n), strict=True):
        if not np.array_equal(before, after, equal_nan=True):
            at = tuple(int(k) for k in np.argwhere(before != after)[0])
            raise Violation(
                f"{name}{list(at)}, returned by one call and handed to the next, was {before[at]:.9g} and is "
                f"{after[at]:.9g} after it"
            )
    parts = (part[:, None] if case.unbatched else part for part in kept)
    again = replace(case, state=tuple(np.ascontiguousarray(part) for part in parts))
    trial.require_repeated(trial.checked(again, result), again)


@prop("purity.no-leak")
def no_leak(trial: Trial) -> None:
    """Nothing leaks from one call of a model into the next.

    tensorflow#47813 needed a reset between invocations. The usual cause is a state kept in the object.
    """
    model = trial.model(trial.case)
    other = _other(trial).case
    trial.run(replace(trial.case, x=other.x, state=other.state), model)
    trial.require_repeated(trial.run(trial.case, model))


#: Where a value changes: in the last step of the longest row, in any of its steps, or in a state that is given.
_CHANGED = ("last step", "h_0", "any step", "c_0")


@prop("purity.reused-input", when=lambda r: r.view != "readonly", turns=len(_CHANGED))
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


@prop("purity.other-shape", when=lambda r: not r.ragged)
def other_shape(trial: Trial) -> None:
    """Earlier calls of other shapes do not change a call: longer sequences, larger batches, single rows or steps, many.

    A buffer sized by an earlier call (MNN#2500, tflite-micro PR3564) still holds that call's tail, a kernel chosen at
    the first call is the one for that shape, and a cache of shapes keeps only the last few.
    """
    case, other = trial.case, _other(trial).case.x
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


@prop("purity.two-models", needs=("params",))
def two_models(trial: Trial) -> None:
    """Two models built and called in turns do not disturb each other, nor do sixteen more that are only built.

    Global workspaces, static buffers in C, tables of a fixed length and caches keyed by shape mix models up. A cache
    keyed by a part of the weights (ideep#158) mixes up two models that differ in the last element of each weight alone.
    """
    other = _other(trial)
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


#: Whether both calls are of one model, and whether they are long.
_MODELS_AND_LENGTHS = pairs((False, True), (True, False))


def _long(trial: Trial) -> Trial:
    """The trial of calls so long that two of them overlap, even of a compiled library."""
    declared = trial.backend.capabilities
    if declared.fixed or declared.compiled:
        return trial
    r = trial.recipe
    rows = 4 if declared.batch and not r.unbatched else 1
    return trial.resized(H=32, L=200, N=rows, proj=min(r.proj, 8), layers=min(r.layers, 2))


@prop("purity.threads", needs=("threads",), every=16, turns=len(_MODELS_AND_LENGTHS))
def threads(trial: Trial) -> None:
    """Calls from two threads at once do not disturb each other, be they calls of two models or of one.

    onnxruntime#21288 and #1162 of two models; onnxruntime#1544 and ncnn#4008 of one, whose buffers and lengths belonged
    to the model and not to the call. A static buffer in C is one of the library, whatever model is called.
    """
    one_model, overlap = trial.in_turn(_MODELS_AND_LENGTHS)
    trial = _long(trial) if overlap else trial
    case, other = trial.case, _other(trial).case
    model = trial.model(case)
    if not one_model:
        other, second, which = (case if case.fixed else other), None, "another model"
    else:
        # Buffers may be kept for the shapes of the last call: long calls are of one shape, others of two.
        other = replace(other, params=case.params) if overlap else of_same_model(trial, other)
        second, which = model, "the same model"
    second = second or trial.model(other)
    with within(f"beside a call of {which} in another thread", case):
        own, beside = at_once(lambda: trial.run(case, model), lambda: trial.run(other, second))
        for result in own:
            trial.require_repeated(result)
        for result in beside:
            trial.require_repeated(result, other)


def of_same_model(trial: Trial, other: Case) -> Case:
    """A case of the trial's own model with the values of ``other``, and other lengths or more steps."""
    case = trial.case
    if case.lengths is not None or trial.backend.capabilities.compiled:
        return replace(other, config=case.config, params=case.params)
    x = np.resize(other.x, (case.steps + 2, *other.x.shape[1:]))
    return replace(other, config=case.config, params=case.params, x=x)


def at_once(mine: Callable[[], T], other: Callable[[], T]) -> tuple[list[T], list[T]]:
    """The results of three calls of ``mine`` in one thread, and of ``other`` in another thread meanwhile."""
    own: list[T] = []
    beside: list[T] = []
    errors: list[BaseException] = []
    together, done = threading.Barrier(2), threading.Event()

    def thrice() -> None:
        for _ in range(3):
            own.append(mine())
            if done.is_set():
                return

    def meanwhile() -> None:
        beside.append(other())
        while not done.is_set():
            beside.append(other())

    def work(task: Callable[[], None]) -> None:
        try:
            together.wait(timeout=60)
            task()
        except BaseException as error:
            errors.append(error)
        finally:
            if task is thrice or errors:
                done.set()

    workers = [threading.Thread(target=work, args=(task,), daemon=True) for task in (thrice, meanwhile)]
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
    # However many the other thread has made.
    return own, beside[:3]
