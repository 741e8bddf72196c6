"""Parameters: the meaning of the weights and biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from conformance.cases.case import Case
from conformance.cases.fills import permutation
from conformance.properties.layout import oracle_result
from conformance.properties.model import prop
from conformance.spec import Array, Params, Result
from conformance.trials.outcomes import Discard, Violation
from conformance.trials.trial import Trial

_NEEDS = ("params", "values")


#: What becomes of the two biases.
_BIAS_SUMS: tuple[Callable[[Array, Array], tuple[Array, Array]], ...] = (
    lambda a, b: (b, a),
    lambda a, b: (a + b, 0 * b),
    lambda a, b: (0 * a, a + b),
)


@prop("parameters.bias-sum", needs=_NEEDS, when=lambda r: r.bias, turns=len(_BIAS_SUMS))
def bias_sum(trial: Trial) -> None:
    """Only the sum b_ih + b_hh matters: to exchange them, or to give the sum as either, changes nothing.

    onnx2tf PR291 dropped one of them; ONNX's vectors accept a model that ignores the recurrent bias.
    """
    changed = trial.in_turn(_BIAS_SUMS)
    rounded = {
        name: np.rint(value * 256) / 256 if name.startswith("bias") else value
        for name, value in trial.case.params.items()
    }
    unchanged = replace(trial.case, params={name: value.astype(trial.case.x.dtype) for name, value in rounded.items()})

    def change(case: Case) -> Case:
        params = dict(case.params)
        for slot in case.config.slots():
            ih, hh = (name + slot.suffix for name in ("bias_ih", "bias_hh"))
            params[ih], params[hh] = changed(params[ih], params[hh])
        return replace(case, params=params)

    # The sum's rounding is no larger than that of its terms, so the bound of the terms holds for both.
    trial.require_same(lambda k: trial.complete(change(unchanged.prefix(k))), unchanged)


@prop("parameters.no-bias", needs=(*_NEEDS, "no_bias"), when=lambda r: not r.bias)
def no_bias(trial: Trial) -> None:
    """A model without biases equals one whose biases are zero.

    Uninitialised or default biases (Keras starts the forget bias at 1) show here.
    """
    case = trial.case
    zeros = {
        name + slot.suffix: np.zeros(4 * case.config.hidden_size, case.x.dtype)
        for slot in case.config.slots()
        for name in ("bias_ih", "bias_hh")
    }
    biased = replace(case, config=replace(case.config, bias=True), params={**case.params, **zeros})
    trial.require_same(trial.observe, usual=trial.observing(biased))


@prop("parameters.zero-slot", needs=(*_NEEDS, "slots"), when=lambda r: r.layers > 1 or r.bidirectional, limit=5)
def zero_slot(trial: Trial) -> None:
    """If the biases or a weight of one layer and direction are zeros, those of the others are in force.

    Code often looks at the first layer alone to learn whether a model has biases, or which products it may leave out.
    """
    case = trial.case
    if not trial.usually_right():
        raise Discard
    first, *others = case.config.slots()
    kinds = [("bias_ih", "bias_hh")] * case.config.bias + [("weight_ih",), ("weight_hh",)]
    for slot, names in product((first, others[trial.pick("slot", len(others))]), kinds):
        zeros = {name + slot.suffix: 0 * case.params[name + slot.suffix] for name in names}
        trial.require_right(replace(case, params={**case.params, **zeros}, rule="any"))


#: The parameters that are made equal, by the beginning of their names: the biases, the weights, or both.
TIED = ("bias", "weight", "")


def tied(params: Params, kind: str) -> Params:
    """The params, those of one kind each equal to the first of its shape; ``Discard`` if no two have the same shape."""
    first: dict[tuple[int, ...], Array] = {}
    alike = {
        name: first.setdefault(value.shape, value) if name.startswith(kind) else value for name, value in params.items()
    }
    if all(alike[name] is value for name, value in params.items()):
        raise Discard
    return alike


@prop("parameters.equal", needs=_NEEDS, limit=12, turns=len(TIED))
def equal(trial: Trial) -> None:
    """Parameters that hold the same numbers are still parameters of their own.

    Graph optimisers store equal constants once (ONNX's eliminate_duplicate_initializer), and may take weights that are
    tied, or two biases that began and grew alike, for one.
    """
    case = trial.case
    if not trial.usually_right():
        raise Discard
    trial.require_right(replace(case, params=tied(case.params, trial.in_turn(TIED)), rule="any"))


@prop("parameters.pruned", needs=_NEEDS, limit=12)
def pruned(trial: Trial) -> None:
    """If a gate's row, a feature's column or a unit's column of the weights is zeros, the rest is in force.

    Structured pruning leaves such models, and a compiler that folds the zeros may fold the gate's biases with them.
    """
    case = trial.case
    if not trial.usually_right():
        raise Discard
    params = {name: value.copy() for name, value in case.params.items()}
    row, column = (trial.pick(f"pruned {axis}", 1 << 16) for axis in ("row", "column"))
    for name, value in params.items():
        if name.startswith("weight"):
            value[:, column % value.shape[1]] = 0
        if name.startswith(("weight_ih", "weight_hh")):
            value[row % len(value)] = 0
    trial.require_right(replace(case, params=params, rule="any"))


@prop("parameters.unit-permutation", needs=_NEEDS, when=lambda r: r.H >= 2)
def unit_permutation(trial: Trial) -> None:
    """Permuting the hidden units permutes the results: no unit is special.

    FlagGems#5014 dropped units past 128; vectorised kernels get the last lanes wrong.
    """
    case, H = trial.case, trial.case.config.hidden_size
    order: dict[tuple[int, int], Array] = {
        slot: permutation(trial.recipe.seed, f"units {tuple(slot)}", H) for slot in case.config.slots()
    }
    projected = bool(case.config.proj_size)

    def change(case: Case) -> Case:
        return _permuted(case, order)

    def back(k: int, result: Result) -> Result:
        D = case.config.num_directions
        inverse = {slot: np.argsort(units) for slot, units in order.items()}
        slots = list(case.prefix(k).config.slots())
        output, h_n, c_n = result
        if output is not None and not projected:
            halves = np.split(output, D, axis=2)
            output = np.concatenate([part[..., inverse[k - 1, d]] for d, part in enumerate(halves)], axis=2)
        if h_n is not None and not projected:
            h_n = np.stack([part[:, inverse[slot]] for part, slot in zip(h_n, slots, strict=True)])
        if c_n is not None:
            c_n = np.stack([part[:, inverse[slot]] for part, slot in zip(c_n, slots, strict=True)])
        return Result(output, h_n, c_n)

    trial.require_same(lambda k: back(k, trial.complete(change(case.prefix(k)))))


def _permuted(case: Case, order: dict[tuple[int, int], Array]) -> Case:
    """The case with the hidden units of each layer and direction in another order."""
    config, H = case.config, case.config.hidden_size
    params: dict[str, Array] = {}
    for slot in config.slots():
        layer, end, units = slot.layer, slot.suffix, order[slot]
        rows = np.concatenate([gate * H + units for gate in range(4)])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            if name + end in case.params:
                params[name + end] = case.params[name + end][rows]
        if config.proj_size:
            params["weight_hr" + end] = case.params["weight_hr" + end][:, units]
            continue
        params["weight_hh" + end] = params["weight_hh" + end][:, units]
        if layer:
            columns = [d * H + order[layer - 1, d] for d in range(config.num_directions)]
            params["weight_ih" + end] = params["weight_ih" + end][:, np.concatenate(columns)]
    state = case.state
    if state is not None:
        h_0, c_0 = (
            np.stack([part[slot][:, order[key]] for slot, key in enumerate(config.slots())]) if move else part
            for part, move in ((state[0], not config.proj_size), (state[1], True))
        )
        state = h_0, c_0
    return replace(case, params=params, state=state)


@prop("parameters.zero-weights", needs=_NEEDS)
def zero_weights(trial: Trial) -> None:
    """All-zero parameters halve the cell at each step: σ(0) = ½ and tanh(0) = 0.

    A forget bias added at run time (Haiku) or a hard sigmoid (old Keras) shows most clearly here.
    """
    trial.derived(fill="zero-weights").require_right()


#: What differs in the other model: all parameters, or one that begins like this.
_FRESH = ("all", "weight_ih", "bias_ih", "weight_hh", "bias_hh", "weight_hr")


@prop("parameters.fresh", needs=(*_NEEDS, "live"), turns=len(_FRESH))
def fresh(trial: Trial) -> None:
    """A model built with other weights gives other results: no packed weights of the model before are left.

    pytorch#65688 and PR91111: packed weights went stale. One tensor is changed, or all: a cache may look at some only.
    """
    other = trial.derived(seed=trial.recipe.seed + 1).case.params
    kind = trial.in_turn(_FRESH)
    names = [name for name in other if name.startswith(kind)] or list(other)
    chosen = names[trial.pick("fresh", len(names))]
    alone = kind != "all"
    if alone:
        # A model that never reads this tensor has another defect.
        if not trial.usually_right():
            raise Discard
        other = {name: other[name] if name == chosen else value for name, value in trial.case.params.items()}
    swapped = replace(trial.case, params=other)
    # A wrong LSTM may not read the few numbers of a case made small: then it must keep ordinary numbers too.
    if _kept(trial, swapped) and (alone or trial.usually_right() or _kept(*_ordinary(trial))):
        what = f"another {chosen}" if alone else "other weights"
        raise Violation(f"a second model with {what} returns the first model's results", case=swapped)


def _ordinary(trial: Trial) -> tuple[Trial, Case]:
    """A trial of ordinary numbers, and its case with other weights."""
    usual = trial.unedited(fill="normal")
    return usual, replace(usual.case, params=trial.unedited(fill="normal", seed=usual.recipe.seed + 1).case.params)


def _kept(trial: Trial, swapped: Case) -> bool:
    """Whether a model with the weights of ``swapped`` returns the trial's results, though its own are others."""
    first, second = trial.run(trial.case), trial.run(swapped)
    returned = [name for name in Result._fields if getattr(first, name) is not None]
    if not all(np.array_equal(getattr(first, name), getattr(second, name)) for name in returned):
        return False
    expected, other = oracle_result(trial.case), oracle_result(swapped)
    return max(np.abs(getattr(expected, n) - getattr(other, n)).max() for n in returned) > 1e-3
