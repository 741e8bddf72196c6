"""A call gives the same each time, and leaves the caller's arrays alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import handed
from conformance.properties.model import prop
from conformance.properties.resized import cheap, tiny
from conformance.spec import Result
from conformance.trials.agreement import first_difference
from conformance.trials.calls import fresh_params
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial


@prop("purity.repeat", needs=("deterministic", "live"))
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


def other_values(trial: Trial) -> Trial:
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
    other = other_values(trial).case
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
