"""The conventions are other readings of the same arrays: they depend on the config and on shapes, never on values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.backend import reorder
from conformance.conventions import CONVENTIONS, Convention, Whole
from conformance.conventions.layouts import by_direction, by_layer
from conformance.conventions.parameters import ORDERS, gates_read_as
from conformance.spec import GATES, Array, LSTMConfig, param_shapes, state_shapes

CONFIGS = (
    LSTMConfig(4, 4),
    LSTMConfig(3, 5, num_layers=3, bidirectional=True, batch_first=True),
    LSTMConfig(3, 6, num_layers=2, bias=False, bidirectional=True, proj_size=2),
)


def whole_numbers(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).integers(-9, 10, shape).astype("float64")


def model(config: LSTMConfig, seed: int) -> tuple[Any, ...]:
    """Parameters, x of 5 steps and 3 rows, a state and a result, all of whole numbers; zeros for no seed."""

    def array(shape: tuple[int, ...]) -> Array:
        return seed * whole_numbers(shape, seed)

    h_0, c_0 = state_shapes(config, 3)
    params = {name: array(shape) for name, shape in param_shapes(config).items()}
    output = array((5, 3, config.num_directions * config.output_size))
    return params, array((5, 3, config.input_size)), (array(h_0), array(c_0)), Whole(output, array(h_0), array(c_0))


def arrays(convention: Convention, config: LSTMConfig, parts: tuple[Any, ...]) -> list[Array]:
    """All that a convention makes of them."""
    t = convention.transform
    params, x, state, result = parts
    read = t.params(config, params)
    return [*(read[name] for name in params), t.x(config, x), *t.state(config, state), *t.result(config, result)]


def added(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray):
        return a + b
    if isinstance(a, dict):
        return {name: added(a[name], b[name]) for name in a}
    parts = [added(p, q) for p, q in zip(a, b, strict=True)]
    return Whole(*parts) if isinstance(a, Whole) else tuple(parts)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda convention: convention.id)
def test_a_convention_depends_on_no_values(convention: Convention, config: LSTMConfig) -> None:
    first, second, nothing = (model(config, seed) for seed in (1, 2, 0))
    given = (first, second, added(first, second), nothing)
    made = zip(*(arrays(convention, config, parts) for parts in given), strict=True)
    assert all(np.array_equal(a + b, both + none) for a, b, both, none in made)


@pytest.mark.parametrize("order", ORDERS)
def test_a_gate_order_undoes_its_own_reordering(order: str) -> None:
    config = CONFIGS[1]
    params, *_ = model(config, 1)
    packed = {name: reorder(value, order) for name, value in params.items()}
    read = gates_read_as(order).params(config, packed)
    assert all(np.array_equal(read[name], params[name]) for name in params)
    assert order == GATES or not np.array_equal(packed["bias_ih_l0"], params["bias_ih_l0"])


def test_slots_by_direction_and_by_layer_undo_each_other() -> None:
    config = CONFIGS[1]
    h_0 = whole_numbers(state_shapes(config, 3)[0], 1)
    assert np.array_equal(by_layer(config, by_direction(config, h_0)), h_0)
    assert not np.array_equal(by_direction(config, h_0), h_0)
