"""What calls leave to each other and to the caller: nothing but results, whatever came before and happens beside."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from conformance.cases.case import Case, handed
from conformance.properties.model import prop
from conformance.properties.probes import tiny
from conformance.spec import Array, Result
from conformance.trials.calls import call, fresh_params
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial

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


def still_right(trial: Trial, result: Result) -> None:
    """A result of the very same case, obtained under other circumstances, must be the plain one."""
    last = trial.case.config.num_layers
    trial.relate(lambda k: result if k == last else trial.observe(k))


def as_copied(trial: Trial, case: Case, result: Result) -> None:
    """The result of a changed case, from arrays that share their memory, must be that from arrays of their own."""
    last, copied = case.config.num_layers, trial.model(case)

    def base(k: int) -> Result:
        return trial.run(case, copied) if k == last else trial.run(case.prefix(k))

    trial.relate(lambda k: result if k == last else base(k), case=case, base=base)


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
    still_right(trial, trial.run(case, model))


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
    as_copied(trial, again, trial.checked(again, result))


@prop("purity.no-leak", needs=("values",))
def no_leak(trial: Trial) -> None:
    """Nothing leaks from one call of a model into the next.

    tensorflow#47813 needed a reset between invocations; a state kept in the object is the classic.
    """
    model = trial.model(trial.case)
    other = _other(trial).case
    trial.run(replace(trial.case, x=other.x, state=other.state), model)
    still_right(trial, trial.run(trial.case, model))


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
    still_right(trial, trial.checked(case, call(model, case, x, state, lengths)))


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
        still_right(trial, result)
        still_right(trial, trial.run(case, model))
    model = trial.model(case)
    trial.run(case, model)
    for steps in range(1, 11):
        trial.run(replace(case, x=np.resize(other, (steps, *case.x.shape[1:]))), model)
    still_right(trial, trial.run(case, model))


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
    more = [] if "shapes" in trial.backend.ruled_out else [other.model(other.case) for _ in range(16)]
    still_right(trial, trial.run(trial.case, first))
    del more
    params = trial.case.params
    weights = {name: _last_changed(value) for name, value in params.items() if name.startswith("weight")}
    near = replace(trial.case, params={**params, **weights})
    if trial.usually_right():
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
        still_right(trial, result)


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
