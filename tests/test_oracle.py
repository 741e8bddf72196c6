"""The reference against two witnesses that share nothing with it: torch.nn.LSTM in float64, and mpmath at 50 digits."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import torch_lstm

from conformance import LSTMConfig
from conformance.reference.forward import lstm, sigmoid, time_order
from conformance.spec import Array, Params, Slot, State, layer_params, param_shapes, state_shapes

#: Makes some 1,400 configs in all.
CASES_PER_KIND = 12


def arrays_for(
    config: LSTMConfig, steps: int, batch: int | None, rng: np.random.Generator
) -> tuple[Params, Array, State]:
    """params, x in the config's layout, and a state; ``batch`` None makes them unbatched."""
    gain = rng.choice([0.3, 1.0, 3.0])
    params = {name: gain * rng.standard_normal(shape) for name, shape in param_shapes(config).items()}
    h_shape, c_shape = state_shapes(config, batch or 1)
    h_0, c_0 = rng.standard_normal(h_shape), rng.standard_normal(c_shape)
    if batch is None:
        return params, rng.standard_normal((steps, config.input_size)), (h_0[:, 0], c_0[:, 0])
    x = rng.standard_normal((steps, batch, config.input_size))
    return params, x.swapaxes(0, 1) if config.batch_first else x, (h_0, c_0)


def assert_close(actual: tuple[Array, State], expected: tuple[Array, State]) -> None:
    for name, one, other in zip(
        ("output", "h_n", "c_n"), (actual[0], *actual[1]), (expected[0], *expected[1]), strict=True
    ):
        assert one.dtype == np.float64
        # Large weights amplify the rounding of either; a wrong equation is off by far more.
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("with_state", [False, True], ids=["zeros", "state"])
@pytest.mark.parametrize("layout", ["time-major", "batch-first", "unbatched", "lengths", "lengths-batch-first"])
def test_against_torch(layout: str, with_state: bool) -> None:
    rng = np.random.default_rng([*layout.encode(), with_state])
    kinds = itertools.product((1, 2, 3), (False, True), (False, True), (False, True), range(CASES_PER_KIND))
    for num_layers, bidirectional, bias, projected, _ in kinds:
        hidden_size = int(rng.integers(2, 7))
        config = LSTMConfig(
            int(rng.integers(1, 7)),
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=layout.endswith("batch-first"),
            bidirectional=bidirectional,
            proj_size=int(rng.integers(1, hidden_size)) if projected else 0,
            dtype="float64",
        )
        steps, batch = int(rng.integers(1, 8)), None if layout == "unbatched" else int(rng.integers(1, 5))
        params, x, given = arrays_for(config, steps, batch, rng)
        state = given if with_state else None
        lengths = rng.integers(1, steps + 1, batch) if layout.startswith("lengths") else None
        assert_close(lstm(config, params, x, state, lengths), torch_lstm.forward(config, params, x, state, lengths))


def by_mpmath(config: LSTMConfig, params: Params, x: Array, state: State, lengths: list[int]) -> tuple[Array, State]:
    """The equations in scalars of the working precision, one sum at a time: x (L, N, I)."""
    steps, batch, _ = x.shape
    P, D = config.output_size, config.num_directions
    exact = np.vectorize(mpmath.mpf, otypes=[object])
    h_n, c_n = exact(state[0]), exact(state[1])
    below = exact(x)
    for layer in range(config.num_layers):
        above = exact(np.zeros((steps, batch, D * P)))
        for direction, row in itertools.product(range(D), range(batch)):
            at = layer * D + direction
            p = {name: exact(value) for name, value in layer_params(params, Slot(layer, direction)).items()}
            valid = range(lengths[row])
            for t in reversed(valid) if direction else valid:
                h, c = step_by_mpmath(p, below[t, row], h_n[at, row], c_n[at, row])
                h_n[at, row], c_n[at, row] = h, c
                above[t, row, direction * P : (direction + 1) * P] = h
        below = above
    return below.astype(np.float64), (h_n.astype(np.float64), c_n.astype(np.float64))


def step_by_mpmath(p: dict[str, Array], x: Array, h: Array, c: Array) -> tuple[list[Any], list[Any]]:
    """x (I,), h (P,), c (H,) of mpf -> h, c."""

    def preactivation(row: int) -> Any:
        return (
            mpmath.fdot(p["weight_ih"][row], x)
            + mpmath.fdot(p["weight_hh"][row], h)
            + p["bias_ih"][row]
            + p["bias_hh"][row]
        )

    def σ(a: Any) -> Any:
        return 1 / (1 + mpmath.exp(-a))

    H = len(c)
    c_next, h_next = [], []
    for unit in range(H):
        i, f, g, o = (preactivation(gate * H + unit) for gate in range(4))
        c_next.append(σ(f) * c[unit] + σ(i) * mpmath.tanh(g))
        h_next.append(σ(o) * mpmath.tanh(c_next[unit]))
    if "weight_hr" in p:
        h_next = [mpmath.fdot(row, h_next) for row in p["weight_hr"]]
    return h_next, c_next


@pytest.mark.parametrize(
    "config",
    [
        LSTMConfig(3, 2, dtype="float64"),
        LSTMConfig(2, 3, 2, bidirectional=True, dtype="float64"),
        LSTMConfig(2, 3, 2, bidirectional=True, proj_size=2, dtype="float64"),
    ],
    ids=["plain", "stacked, two directions", "projected"],
)
def test_against_fifty_digits(config: LSTMConfig) -> None:
    rng = np.random.default_rng(0)
    lengths = [4, 2, 3]
    params, x, state = arrays_for(config, 4, 3, rng)
    with mpmath.workdps(50):
        expected = by_mpmath(config, params, x, state, lengths)
    assert_close(lstm(config, params, x, state, np.array(lengths)), expected)


def test_sigmoid_against_fifty_digits() -> None:
    points = np.concatenate([np.linspace(-745, 745, 299), np.linspace(-3, 3, 101), [-1e308, 1e308]])
    with mpmath.workdps(50):
        expected = [float(1 / (1 + mpmath.exp(-mpmath.mpf(point)))) for point in points]
    np.testing.assert_allclose(sigmoid(points), expected, rtol=1e-15, atol=5e-324)
    assert sigmoid(np.array([-np.inf, np.inf])).tolist() == [0.0, 1.0]


def test_time_order_reverses_only_the_valid_steps_and_undoes_itself() -> None:
    rows = np.array([[0, 10], [1, 11], [2, 12]])[..., None]
    lengths = np.array([3, 2])
    reversed_rows = time_order(rows, lengths, reverse=True)
    assert reversed_rows[..., 0].tolist() == [[2, 11], [1, 10], [0, 12]]
    np.testing.assert_array_equal(time_order(reversed_rows, lengths, reverse=True), rows)
    np.testing.assert_array_equal(time_order(rows, lengths, reverse=False), rows)


def test_float32_inputs_are_computed_in_float64_and_left_alone() -> None:
    config = LSTMConfig(2, 3)
    rng = np.random.default_rng(0)
    params, x, state = arrays_for(config, 4, 2, rng)
    single = {name: value.astype(np.float32) for name, value in params.items()}
    before = {name: value.copy() for name, value in single.items()}
    x32, state32 = x.astype(np.float32), (state[0].astype(np.float32), state[1].astype(np.float32))
    actual = lstm(config, single, x32, state32)
    double = {name: value.astype(np.float64) for name, value in single.items()}
    assert_close(actual, lstm(config, double, x32.astype(np.float64), state32))
    for name, value in single.items():
        np.testing.assert_array_equal(value, before[name])
