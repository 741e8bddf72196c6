"""Which elements dropout dropped, read off a model that is wired to tell.

Its first layer puts out ±tanh(1) and nothing else, or, for gradients, numbers of either sign that are not small. Unit j
of the layer above reads element j of it (one of each direction, where there are two): it can have got 0 or y/(1 − p)
for it, and its own output says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from math import ceil

import numpy as np

from conformance.bounds.forward import Expectation, Expected, Finding, compare
from conformance.bounds.rounding import Approx
from conformance.cases.case import Case
from conformance.cases.fills import stream
from conformance.reference.forward import sigmoid, time_order
from conformance.spec import Array, LSTMConfig, Result, layer_params
from conformance.trials.outcomes import Discard
from conformance.trials.trial import Trial

#: The probabilities that are asked for. At ½, dropping and keeping could be confused.
RATES = (0.3, 0.6, 0.75, 0.2, 0.97)

#: Forms of a wired model for gradients: two layers and five steps, the same with lengths where they are declared, and
#: three layers and one step where h_n is returned.
FORMS = ("two layers", "ragged", "three layers")

#: How many elements of a direction are read off at each boundary: 1 − p for p, half the rate, and at the rate 0.75 nine
#: tenths of it, are then missed in less than one case of a thousand.
ELEMENTS = 4000

#: What an element that is kept adds to a unit's g, for the unit's own direction and for the other.
_STEPS = (0.25, 0.5)

#: A preactivation at which every activation has reached its end.
_SATURATED = 256.0


def with_dropout(case: Case, p: float, training: bool = True) -> Case:
    """The same call of a model that drops with probability p between layers."""
    return replace(case, config=replace(case.config, dropout=p, training=training))


@dataclass(frozen=True)
class Reading:
    """The elements that several calls of one model dropped.

    dropped (boundaries, calls, L, N, D, P): which elements of a layer's output the layer above did not get.
    valid (L, N): the steps within each row's length.
    findings: the results compared with those that follow from these elements; the calls are rows of one batch.
    """

    case: Case
    dropped: Array
    valid: Array
    findings: list[Finding]

    @property
    def worst(self) -> Finding:
        """The finding with the largest margin."""
        return max(self.findings, key=Finding.margin)


def probe(trial: Trial, p: float) -> Case:
    """The wired model and its call, with the options of the trial's recipe, dropping with probability p.

    Two layers and several steps; or three layers and one step, so that the middle layer's h_n is all of its output.
    """
    recipe, declared = trial.recipe, trial.backend.capabilities
    several = declared.batch and not recipe.unbatched
    # The biases keep the middle layer's outputs above 0.
    three = recipe.layers > 2 and recipe.bias and several and "h_n" in declared.returns
    sizes = {"layers": 3 if three else 2}
    if not declared.compiled:
        sizes |= {"I": 1 + min(recipe.I, 4), "H": 8, "proj": 4 if recipe.proj else 0}
        sizes |= {"L": 6 if several else 24, "N": 32 if several else 1}
    if three:
        sizes["L"] = 1
    ragged = recipe.ragged and sizes.get("L", recipe.L) > 1
    case = trial.resized(**sizes, ragged=ragged, fill="normal", gain=0.5).case
    return replace(with_dropout(wired(case, p, both=not three), p), rule="any")


def wired(case: Case, p: float, both: bool) -> Case:
    """A first layer that puts out ±tanh(1); above it unit j reads element j, of ``both`` directions or of its own.

    Recurrent weights and biases of the layers above stay random, but small, and so do the other gates' input weights:
    then the outputs for 0 and for y/(1 − p) are at least 0.001 apart, a thousand times their bound.
    """
    config, x = case.config, np.where(case.x < 0, -1.0, 1.0).astype(case.x.dtype)
    H, P, D = config.hidden_size, config.output_size, config.num_directions
    x[..., 0] = 1.0
    params = {name: np.array(value) for name, value in case.params.items()}
    for name, value in params.items():
        kind, _, place = name.partition("_l")
        lowest, direction = place.startswith("0"), int(place.endswith("_reverse"))
        if kind == "weight_hr":
            value[...] = np.eye(P, H)
        elif kind == "weight_ih" and lowest:
            value[...] = 0.0
            i, f, g, o = value.reshape(4, H, -1)
            i[:, 0], f[:, 0], o[:, 0] = _SATURATED, -_SATURATED, _SATURATED
            column = (stream(0, name, H) % np.uint64(config.input_size)).astype(np.int64)
            g[np.arange(H), column] = np.where(np.arange(H) % 2, _SATURATED, -_SATURATED)
        elif kind == "weight_ih":
            own = 0.005 * _read_by(value, P, D)
            value[...] = 0.0
            for half in range(D) if both else (direction,):
                own[2, half] = _STEPS[int(half != direction)] * (1 - p) / np.tanh(1.0)
                value.reshape(4, H, D, P)[:, :P, half] = own[:, half, :, None] * np.eye(P)
        elif kind == "bias_ih" and not lowest:
            value *= 0.1
            value[2 * H : 3 * H] += 1.0
        elif kind == "bias_hh" and not lowest:
            value *= 0.1
    state = None if case.state is None else (case.state[0] / 4, np.abs(case.state[1]) / 16)
    return replace(case, params=params, x=x, state=state)


def live(trial: Trial, form: str) -> Case:
    """A wired model, in one of ``FORMS``, whose first layer is not saturated.

    It puts out between 0.2 and 0.7, or as much below 0: what its elements add to a unit's g cannot cancel.
    """
    recipe, declared = trial.recipe, trial.backend.capabilities
    three = form == "three layers" and "h_n" in declared.returns
    sizes = {"layers": 3 if three else 2, "I": 1 + min(recipe.I, 4), "H": 8, "proj": 4 if recipe.proj else 0}
    # The biases keep the middle layer's outputs above 0.
    sizes |= {"bias": recipe.bias or three, "L": 1 if three else 5, "N": min(recipe.N, 3)}
    ragged = form == "ragged" and declared.lengths
    sizes |= {"unbatched": recipe.unbatched and not ragged}
    drawn = trial.resized(**sizes, ragged=ragged, fill="normal", gain=0.5).case
    case = wired(drawn, 0.5, both=not three)
    params = {name: np.array(value) for name, value in case.params.items()}
    for name, value in params.items():
        if name.startswith("weight_ih_l0"):
            value[...] = drawn.params[name] * value.dtype.type(0.01)
            i, _, g, o = value.reshape(4, drawn.config.hidden_size, -1)
            i[:, 0], o[:, 0] = 2.0, 2.0
            g[:, 0] = np.where(np.arange(len(g)) % 2, 0.6, -0.6)
        elif "_l0" in name and not name.startswith("weight_hr"):
            value *= value.dtype.type(0.02)
    state = None if case.state is None else (case.state[0], case.state[1] / 4)
    return replace(with_dropout(case, 0.5), params=params, state=state, rule="any")


def _read_by(weight_ih: Array, P: int, D: int) -> Array:
    """The weights (4, D, P) by which each gate of unit j reads element j of each direction."""
    return np.diagonal(weight_ih.reshape(4, -1, D, P)[:, :P], axis1=1, axis2=3).copy()


def read(trial: Trial, p: float, after_one: bool = False) -> Reading:
    """Call a wired model that drops with probability p several times, and read off what was dropped.

    ``after_one`` is whether a call of one row and one step comes before these.
    """
    case, declared = probe(trial, p), trial.arithmetic
    if declared is None or declared.inputs or declared.accumulate != declared.unit:
        raise Discard
    config, lengths = case.config, case.row_lengths()
    D, P, last = config.num_directions, config.output_size, config.num_layers - 1
    calls = max(2, ceil(ELEMENTS / (int(lengths.sum()) * P)))
    model = trial.model(case)
    if after_one:
        trial.run(single(case), model)
    result = _side_by_side([trial.run(case, model).in_float64() for _ in range(calls)])
    h_0, c_0 = (np.tile(part, (1, calls, 1)) for part in case.initial())
    many = replace(case, x=np.tile(case.x, (1, calls, 1)), state=(h_0, c_0), lengths=np.tile(lengths, calls))
    expectation = Expectation(many, declared)

    def compared(k: int, halves: list[Expected]) -> list[Finding]:
        seen = result if k == last else result._replace(output=None)
        pairs = zip(config.slots(k), halves, strict=True)
        return [finding for slot, half in pairs for finding in compare(config, k + 1, slot, half, seen)]

    findings = compared(0, expectation.free_running(0))
    below, patterns = expectation.below(1), []
    for k in range(1, last + 1):
        outputs = outputs_of(config, k, result)
        dropped = dropped_by(many, k, below.value, outputs)
        patterns.append(dropped.reshape(case.steps, calls, case.batch, D, P).swapaxes(0, 1))
        # 1 − p, its reciprocal and the product are rounded, and so is p, by at most u·p.
        scaled = np.where(dropped.reshape(below.value.shape), 0.0, below.value / (1 - p))
        error = (below.error / (1 - p)) + (3 + p / (1 - p)) * declared.unit * np.abs(scaled)
        read_by_k = Approx(scaled, np.where(scaled == 0, 0.0, error), declared)
        findings += compared(k, expectation.layer(k, read_by_k, outputs))
        below = declared.observed(outputs)
    return Reading(case, np.stack(patterns), case.valid[..., 0], findings)


def single(case: Case) -> Case:
    """The same model's call of one row and one step, without a state."""
    return replace(case, x=case.x[:1, :1], state=None, lengths=None)


def outputs_of(config: LSTMConfig, k: int, result: Result) -> Array:
    """Layer k's output (L, N, D·P); of a middle layer, which has a single step, h_n is all of it."""
    if k == config.num_layers - 1:
        assert result.output is not None
        return result.output
    assert result.h_n is not None
    return np.concatenate([result.h_n[slot.position(config)] for slot in config.slots(k)], axis=1)[None]


def _side_by_side(results: list[Result]) -> Result:
    """Several results, side by side along the batch axis."""
    parts = zip(*results, strict=True)
    return Result(*(None if part[0] is None else np.concatenate(part, axis=1) for part in parts))


def dropped_by(case: Case, k: int, below: Array, outputs: Array) -> Array:
    """Which elements (L, N, D, P) of ``below`` layer k did not get, judging by ``outputs`` (L, N, D·P), its own.

    A unit's output is compared with the outputs that it would have if it got none of its elements, one, the other or
    both.
    """
    config, lengths = case.config, case.row_lengths()
    (steps, rows, _), D, P = below.shape, config.num_directions, config.output_size
    h_0, c_0 = case.initial()
    kept = np.array(list(product((0.0, 1.0), repeat=D)))
    dropped = []
    for slot in config.slots(k):
        w, at = layer_params(case.params, slot), slot.position(config)
        own = time_order(outputs[..., slot.features(config)], lengths, slot.reverse)
        got = time_order(below, lengths, slot.reverse).reshape(steps, rows, D, P) / (1 - config.dropout)
        previous = np.concatenate([h_0[at][None], own[:-1]])
        a = previous @ w["weight_hh"].T + (w["bias_ih"] + w["bias_hh"] if config.bias else 0.0)
        a = a.reshape(steps, rows, 4, -1)[..., :P]
        a = a + np.einsum("kd,lndp,gdp->klngp", kept, got, _read_by(w["weight_ih"], P, D))
        i, f, g, o = sigmoid(a[..., 0, :]), sigmoid(a[..., 1, :]), np.tanh(a[..., 2, :]), sigmoid(a[..., 3, :])
        c, nearest = c_0[at][:, :P], []
        for t in range(steps):
            cells = f[:, t] * c + i[:, t] * g[:, t]
            nearest.append(np.argmin(np.abs(o[:, t] * np.tanh(cells) - own[t]), axis=0))
            c = np.take_along_axis(cells, nearest[t][None], axis=0)[0]
        dropped.append(time_order(kept[np.stack(nearest), slot.direction] == 0.0, lengths, slot.reverse))
    return np.stack(dropped, axis=2)
