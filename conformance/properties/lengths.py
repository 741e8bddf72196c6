"""Lengths: rows of different length in one batch.

Other groups ask about lengths too: layout.final-state, whether h_n is the output at a row's last valid step;
direction.reversal, whether the reverse direction starts there; purity.lengths-untouched, whether the lengths stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import normal, permutation, stream
from conformance.cases.recipe import Recipe
from conformance.cases.sizes import LONG
from conformance.properties.batch import result_rows, take_rows
from conformance.properties.model import prop
from conformance.properties.resized import cheap, right_or_consistent, rows, tiny
from conformance.spec import Array, Result
from conformance.trials.outcomes import BackendError, Discard, Violation, within
from conformance.trials.trial import Trial

#: A step costs the same in the longest cases; what those add is asked by values.* and sequence.long.
_LONGEST = 65


def _ragged(recipe: Recipe) -> bool:
    return recipe.ragged and recipe.L <= _LONGEST


def _rows_ragged(recipe: Recipe) -> bool:
    return _ragged(recipe) and recipe.N >= 2


_NEEDS = ("lengths", "values")


def _padding(case: Case) -> Array:
    """Where x is padding, (L, N); ``Discard`` if nowhere."""
    padding = np.arange(case.steps)[:, None] >= case.row_lengths()
    if not padding.any():
        raise Discard
    return padding


def _cut(result: Result, steps: int) -> Result:
    """A result with its first ``steps`` outputs."""
    return Result(None if result.output is None else result.output[:steps], result.h_n, result.c_n)


@prop("lengths.row-alone", needs=_NEEDS, when=_ragged)
def row_alone(trial: Trial) -> None:
    """A row in a padded batch gives what it gives alone, cut to its own length and called without lengths.

    pytorch#95118 was wrong only at N > 1; onnxruntime#1400 was off by 0.96; keras#4192's reverse state depended on
    the padding.
    """
    case = trial.case
    rows = permutation(trial.recipe.seed, "rows alone", case.batch)[:3]
    for row in trial.few([int(row) for row in rows]):
        length = int(case.row_lengths()[row])
        alone = replace(take_rows(case, [row]), lengths=None)
        alone = replace(alone, x=alone.x[:length])
        with within(f"row {row}, of length {length}, against the same row alone", case):
            trial.require_same(
                lambda k, row=row, length=length: _cut(result_rows(trial.observe(k), [row]), length), alone
            )


@prop("lengths.zero-output", needs=("lengths", "output"), when=_ragged)
def zero_output(trial: Trial) -> None:
    """Past a row's length the output is exactly 0.

    jax PR15169 left the values that the padding gave; onnxruntime PR1361 left uninitialised memory.
    """
    padding, output = _padding(trial.case), trial.result.output
    assert output is not None
    wrong = padding[..., None] & (output != 0)
    if wrong.any():
        t, n, j = (int(k) for k in np.argwhere(wrong)[0])
        length = trial.case.row_lengths()[n]
        raise Violation(f"output[{t}, {n}, {j}] is {output[t, n, j]:.9g}, expected 0: row {n} has length {length}")


@prop("lengths.padding", needs=_NEEDS, when=_ragged, turns=3)
def padding(trial: Trial) -> None:
    """The contents of the padding have no influence, NaN and infinities included.

    Masks by multiplication turn 0 · NaN into NaN; keras#4192 and mxnet#19323 read padding in reverse.
    """
    case, at = trial.case, _padding(trial.case)
    noise = 100 * normal(trial.recipe.seed, "padding", case.x.shape)
    contents = {"large numbers": noise, "NaN": np.full_like(noise, np.nan), "infinities": np.copysign(np.inf, noise)}
    content = trial.in_turn([*contents])
    changed = replace(case, x=np.where(at[..., None], contents[content], case.x).astype(case.x.dtype))
    try:
        trial.run(changed)
    except BackendError:
        # To refuse what is not finite is an answer.
        if content == "large numbers":
            raise
        raise Discard from None
    with within(f"with {content} in the padding", case):
        trial.require_same(trial.observing(changed))


@prop("lengths.more-padding", needs=_NEEDS, when=_ragged)
def more_padding(trial: Trial) -> None:
    """More steps of padding change nothing but the number of zeros: the output keeps all of x's steps.

    mxnet#19323 and jax PR15169 returned the state of the padded end; unpacking cuts the output at the longest row
    unless it is told the total length.
    """
    case = trial.case
    more = LONG - case.steps if trial.backend.capabilities.compiled else 1 + trial.pick("more", 3)
    extra = normal(trial.recipe.seed, "more padding", (more, *case.x.shape[1:]))
    longer = replace(case, x=np.concatenate([case.x, extra.astype(case.x.dtype)]))
    with within(f"with {len(extra)} more of padding", case):
        trial.require_same(lambda k: _cut(trial.complete(longer.prefix(k)), case.steps))


@prop("lengths.all-full", needs=_NEEDS, when=_ragged)
def all_full(trial: Trial) -> None:
    """Lengths that are all L give what no lengths give, and a single shorter one is in force.

    OpenVINO and ONNX have sequence_lens as an optional input, and two ways through the code for it.
    """
    without = replace(trial.case, lengths=None)
    full = replace(without, lengths=without.row_lengths().astype(np.int64))
    trial.require_same(trial.observing(full), without)
    if full.steps > 1 and trial.usually_right():
        short = without.row_lengths().astype(np.int64)
        short[trial.pick("short", full.batch)] -= 1 + trial.pick("missing", full.steps - 1)
        trial.require_right(replace(full, lengths=short))


@prop("lengths.sorted", needs=(*_NEEDS, "batch"), when=_rows_ragged, turns=2)
def sorted_rows(trial: Trial) -> None:
    """Rows given in order of their length, rising or falling, give what they give in any other order.

    mlverse/torch#499 needed sorted rows. Code that sorts inside must undo it for the output, h_n and c_n by the inverse
    permutation, which is another permutation from three rows on.
    """
    case = trial.case
    if case.batch < 2:
        raise Discard
    order = np.argsort(case.row_lengths(), kind="stable")
    if trial.in_turn(("rising", "falling")) == "falling":
        order = order[::-1]
    if np.array_equal(order, np.arange(case.batch)):
        order = order[::-1]
    inverse = np.argsort(order)
    trial.require_same(lambda k: result_rows(trial.complete(take_rows(case.prefix(k), order)), inverse))


@prop("lengths.other-rows", needs=(*_NEEDS, "batch"), when=_rows_ragged)
def other_rows(trial: Trial) -> None:
    """A row's results do not depend on how long the others are.

    tensorflow#60192 corrupted rows at random. A longest length taken from the wrong row cuts the others.
    """
    case = trial.case
    if case.batch < 2:
        raise Discard
    row, lengths = trial.pick("row", case.batch), case.row_lengths()
    others = 1 + (stream(trial.recipe.seed, "other lengths", case.batch) % np.uint64(case.steps)).astype(np.int64)
    changed = replace(case, lengths=np.where(np.arange(case.batch) == row, lengths, others))
    trial.require_same(
        lambda k: result_rows(trial.complete(changed.prefix(k)), [row]),
        case=take_rows(case, [row]),
        usual=lambda k: result_rows(trial.observe(k), [row]),
    )


@prop("lengths.after-others", needs=(*_NEEDS, "live"), when=_ragged, turns=4)
def after_others(trial: Trial) -> None:
    """An earlier call with other lengths, or with none, changes nothing; nor does one with lengths a call without.

    Masks, packed orders and zeroed buffers that are kept for a shape are those of the earlier call.
    """
    case = trial.case
    lengths = case.row_lengths()
    others = {
        "after longer rows": np.full_like(lengths, case.steps),
        "after shorter rows": np.ones_like(lengths),
        "after other lengths": case.steps + 1 - lengths,
        "after a call without lengths": None,
    }
    what, other = trial.in_turn([*others.items()])
    model = trial.model(case)
    trial.run(replace(case, lengths=other), model)
    with within(what, case):
        trial.require_same_result(trial.run(case, model))
    full = replace(case, lengths=None)
    with within("without lengths, after a call with", full):
        trial.require_same_result(trial.run(full, model), full)


@prop("lengths.square", needs=(*_NEEDS, "batch"), when=_rows_ragged, limit=8)
def square(trial: Trial) -> None:
    """Lengths count steps, also with as many rows as steps.

    A mask that tells its axes apart by their sizes, or that broadcasts either way, is wrong only then.
    """
    N = min(trial.recipe.N, 8)
    if trial.backend.capabilities.compiled:
        # Some drawn cases are square.
        if trial.recipe.L != trial.recipe.N:
            raise Discard
        right_or_consistent(trial, trial.derived(fill="normal"), rows)
        return
    usual = trial.resized(L=N + 1, N=N)
    right_or_consistent(usual.resized(L=N), usual, rows)


@prop("lengths.many-rows", needs=(*_NEEDS, "batch"), when=_rows_ragged, limit=2, turns=2)
def many_rows(trial: Trial) -> None:
    """In a large batch every row keeps its own length.

    Kernels take rows in tiles, and a tile's longest row is not the batch's.
    """
    r = trial.recipe
    usual = trial.resized(**cheap(trial, **tiny(r) | {"N": 3, "L": min(r.L, 9)}))
    right_or_consistent(usual.resized(N=trial.in_turn((33, 65))), usual, rows)


@prop("lengths.long", needs=_NEEDS, when=_ragged, limit=2, turns=2)
def long(trial: Trial) -> None:
    """Rows of more than 127 and of more than 255 steps are read to their end.

    Lengths of 8 bits end there, and so do masks made for the longest sequence of the tests.
    """
    r = trial.recipe
    usual = trial.resized(**cheap(trial, **tiny(r) | {"L": 4, "N": min(r.N, 3), "layers": min(r.layers, 2)}))
    long = usual.resized(L=trial.in_turn((130, 300)))
    if long.case.row_lengths().max() < 128:
        raise Discard
    right_or_consistent(long, usual, rows)
