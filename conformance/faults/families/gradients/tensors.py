"""The weights' gradients: their sums over steps and rows, and the order of their rows; and every gradient's scale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np

from conformance.backend import reorder
from conformance.conventions.parameters import ORDERS
from conformance.faults import backward as correct
from conformance.faults.alter import given, made
from conformance.faults.backward import Differentiable, Gradients, Step
from conformance.faults.fault import Fault
from conformance.faults.gradients import fault, summed
from conformance.faults.twin import Place, Twin, Weights
from conformance.spec import GATES as PACKED
from conformance.spec import Array, LSTMConfig


def families() -> Iterator[Fault]:
    """All of them, those of the weights first."""
    yield from _weights()
    yield from _orders()
    yield from _copied_rows()
    for id, (words, twin) in _SCALED.items():
        yield fault(id, words, "", "always", twin)


# The weights


def _step_of(change: Callable[[list[Step], int], Step]) -> Twin:
    """Shares of the weights' gradients with the x or h of other steps."""

    def d_sum(at: Place, w: Weights, steps: list[Step], d_a: Any, d_h: Any) -> Any:
        return w, [change(steps, t) for t in range(len(steps))], d_a, d_h

    return given("d_sum", d_sum)


def _other(field: str, by: int, cyclic: bool = False) -> Callable[[list[Step], int], Step]:
    def change(steps: list[Step], t: int) -> Step:
        inside = cyclic or 0 <= t + by < len(steps)
        value = getattr(steps[(t + by) % len(steps)], field)
        return steps[t]._replace(**{field: value if inside else 0 * value})

    return change


def _rows_of(change: Callable[[Array], Array]) -> Twin:
    """Shares of some rows only."""

    def d_weights(at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Any:
        return w, s, change(d_a), change(d_h)

    return given("d_weights", d_weights)


def _only(index: int) -> Callable[[Array], Array]:
    def change(v: Array) -> Array:
        kept = np.zeros_like(v)
        kept[index] = v[index]
        return kept

    return change


def _mean(names: Callable[[Place], int], per_row: bool) -> Twin:
    def change(at: Place, name: str, v: Array) -> Array:
        return v / v.dtype.type(names(at))

    if not per_row:
        return summed(change)

    def d_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
        shares = correct.d_weights(twin, at, w, s, d_a, d_h)
        return {name: v / v.dtype.type(len(d_a) * names(at)) for name, v in shares.items()}

    return Differentiable(d_weights=d_weights)


def _without(t: int) -> Any:
    """A step's shares are left out."""

    def d_weights(at: Place, shares: Gradients) -> Gradients:
        left_out = at.t == t % at.steps
        return {name: 0 * v if left_out else v for name, v in shares.items()}

    return made("d_weights", d_weights)


def _alone(t: int) -> Any:
    """A step's shares are all there is."""

    def d_weights(at: Place, shares: Gradients) -> Gradients:
        kept = at.t == t % at.steps
        return {name: v if kept else 0 * v for name, v in shares.items()}

    return made("d_weights", d_weights)


def _projected(name: str) -> Callable[..., Gradients]:
    def d_weights(twin: Differentiable, at: Place, w: Weights, s: Step, d_a: Array, d_h: Array) -> Gradients:
        value = np.tanh(s.c_t) if name == "tanh(c_t)" else getattr(s, name)
        return correct.d_weights(twin, at, w, s._replace(m=value), d_a, d_h)

    return d_weights


def _of_blocks(at: Place, name: str, v: Array) -> Array:
    """Each gate's square block transposed, and a square projection."""
    H = len(v) // 4
    if v.ndim == 2 and v.shape[1] == H:
        return v.reshape(4, H, H).swapaxes(1, 2).reshape(v.shape)
    return v.T if v.ndim == 2 and v.shape[0] == v.shape[1] else v


def _memory_turned(at: Place, name: str, v: Array) -> Array:
    return np.ascontiguousarray(v.T).reshape(v.shape)


def _interleaved(at: Place, name: str, v: Array) -> Array:
    """Rows by unit, then by gate."""
    if name == "weight_hr":
        return v
    return v.reshape(4, -1, *v.shape[1:]).swapaxes(0, 1).reshape(v.shape)


def _weights() -> Iterator[Fault]:
    changes: dict[str, tuple[str, Twin]] = {
        "gradient-weights-without-first-step": ("The weights' gradients lack the first step.", _without(0)),
        "gradient-weights-without-last-step": ("The weights' gradients lack the last step.", _without(-1)),
        "gradient-weights-of-first-step-alone": ("The weights' gradients are the first step's.", _alone(0)),
        "gradient-weights-of-last-step-alone": ("The weights' gradients are the last step's.", _alone(-1)),
        "gradient-weights-of-first-row-alone": ("The weights' gradients are the first row's.", _rows_of(_only(0))),
        "gradient-weights-of-last-row-alone": ("The weights' gradients are the last row's.", _rows_of(_only(-1))),
        "gradient-averaged-over-rows-and-steps": (
            "The weights' gradients are divided by N·L.",
            _mean(lambda at: at.steps, True),
        ),
        "gradient-recurrent-weights-from-h-two-back": (
            "W_hh's gradient has h_{t−2} for h_{t−1}.",
            _step_of(_other("h", -1)),
        ),
        "gradient-recurrent-weights-from-other-end": (
            "W_hh's gradient pairs the steps with h in the contrary order.",
            _step_of(lambda steps, t: steps[t]._replace(h=steps[-1 - t].h)),
        ),
        "gradient-input-weights-from-other-end": (
            "W_ih's gradient pairs the steps with x in the contrary order.",
            _step_of(lambda steps, t: steps[t]._replace(x=steps[-1 - t].x)),
        ),
        "gradient-input-weights-from-x-before": (
            "W_ih's gradient has x_{t−1} for x_t.",
            _step_of(_other("x", -1)),
        ),
        "gradient-input-weights-from-x-after": ("W_ih's gradient has x_{t+1} for x_t.", _step_of(_other("x", 1))),
        "gradient-projection-weights-from-c": (
            "W_hr's gradient is made from c_t.",
            Differentiable(d_weights=_projected("c_t")),
        ),
        "gradient-projection-weights-from-o": (
            "W_hr's gradient is made from o alone.",
            Differentiable(d_weights=_projected("o")),
        ),
        "gradient-weights-transposed-in-blocks": (
            "The weights' gradients are transposed where they are square.",
            summed(_of_blocks, "weight"),
        ),
        "gradient-weights-memory-turned": (
            "The memory of the weights' transposed gradients is read as theirs.",
            summed(_memory_turned, "weight"),
        ),
        "gradient-weights-by-unit": ("The weights' gradients are packed by unit, then by gate.", summed(_interleaved)),
        "gradient-biases-twice": (
            "b_ih and b_hh get twice their gradient each.",
            summed(lambda at, name, v: 2 * v, "bias"),
        ),
        "gradient-input-bias-none": ("b_ih gets no gradient.", summed(lambda at, name, v: 0 * v, "bias_ih")),
        "gradient-biases-none": ("The biases get no gradient.", summed(lambda at, name, v: 0 * v, "bias")),
    }
    for id, (words, twin) in changes.items():
        yield fault(id, words, "", "always", twin)


def _orders() -> Iterator[Fault]:
    for order in ORDERS:
        id = f"gradient-gate-order-{order}"
        if order not in (PACKED, "iofg"):
            words = f"The weights' gradients are packed {', '.join(order)}."
            yield fault(id, words, "", "always", summed(_reordered(order)))


def _copied_rows() -> Iterator[Fault]:
    """The parameters' gradients in the rows of some gates are those of another."""
    for source in PACKED:
        rest = [gate for gate in PACKED if gate != source]
        for chosen in (several for count in (1, 2, 3) for several in combinations(rest, count)):
            words = f"The parameters' gradients of {' and '.join(chosen)} are those of {source}."
            yield fault(
                f"gradient-rows-of-{source}-for-{''.join(chosen)}", words, "", "always", summed(_copied(source, chosen))
            )


def _copied(source: str, chosen: tuple[str, ...]) -> Callable[[Place, str, Array], Array]:
    def change(at: Place, name: str, value: Array) -> Array:
        if name == "weight_hr":
            return value
        rows = value.reshape(4, -1, *value.shape[1:]).copy()
        rows[[PACKED.index(gate) for gate in chosen]] = rows[PACKED.index(source)]
        return rows.reshape(value.shape)

    return change


def _reordered(order: str) -> Callable[[Place, str, Array], Array]:
    return lambda at, name, v: v if name == "weight_hr" else reorder(v, order)


# What is done to one gradient: only in such a scope is it simple


def _all(change: Callable[[LSTMConfig, int, int, Array], Array]) -> Twin:
    """Every gradient, from the config, L, N and itself."""

    def changed(config: LSTMConfig, grads: Gradients) -> Gradients:
        L, N = grads["x"].shape[:2]
        return {name: change(config, L, N, value).astype(value.dtype) for name, value in grads.items()}

    return made("d_stack", changed)


_SCALED: dict[str, tuple[str, Twin]] = {
    "gradients-none": ("Gradients are zero.", _all(lambda config, L, N, v: 0 * v)),
    "gradients-negated": ("Gradients are negated.", _all(lambda config, L, N, v: -v)),
    "gradients-doubled": ("Gradients are doubled.", _all(lambda config, L, N, v: 2 * v)),
    "gradients-halved": ("Gradients are halved.", _all(lambda config, L, N, v: v / 2)),
    "gradients-divided-by-n": ("Gradients are divided by N.", _all(lambda config, L, N, v: v / N)),
    "gradients-divided-by-l": ("Gradients are divided by L.", _all(lambda config, L, N, v: v / L)),
    "gradients-divided-by-n-l": ("Gradients are divided by N·L.", _all(lambda config, L, N, v: v / (N * L))),
    "gradients-times-n": ("Gradients are multiplied by N.", _all(lambda config, L, N, v: v * N)),
    "gradients-times-l": ("Gradients are multiplied by L.", _all(lambda config, L, N, v: v * L)),
    "gradients-clipped-at-1": ("Gradients are clipped to ±1.", _all(lambda config, L, N, v: np.clip(v, -1, 1))),
    "gradients-clipped-at-5": ("Gradients are clipped to ±5.", _all(lambda config, L, N, v: np.clip(v, -5, 5))),
}

#: The ids of those that mean something in a scope before they do everywhere.
SCOPED_FIRST = tuple(_SCALED)
