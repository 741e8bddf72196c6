"""equinox.nn.LSTMCell, one step for one row, mapped over the rows; the suite supplies the loop over time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, cell_backend
from conformance.spec import Array, Params, State
from implementations.adapter import needs
from implementations.options import refuse

CAPABILITIES = Capabilities(no_bias=True, dtypes=("float32", "float64", "float16", "bfloat16"), compiled=True)


@lru_cache
def compiled() -> Callable[..., Any]:
    """The cell over the rows, compiled."""
    import equinox
    import jax

    return equinox.filter_jit(lambda cell, x, h, c: jax.vmap(lambda x, h, c: cell(x, (h, c)))(x, h, c))


@cell_backend("equinox-cell", CAPABILITIES, needs("equinox", install="pip install equinox"))
def equinox_cell(config: LSTMConfig, params: Params) -> Callable[[Array, State], State]:
    """``step(x_t, (h, c)) -> (h, c)``."""
    import equinox
    import jax

    refuse(CAPABILITIES, config)
    jax.config.update("jax_enable_x64", True)
    weights = {name: jax.numpy.array(value) for name, value in params.items()}
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"] if config.bias else None
    sizes = config.input_size, config.hidden_size, config.bias
    cell = equinox.nn.LSTMCell(*sizes, dtype=config.dtype, key=jax.random.key(0))
    places = lambda cell: (cell.weight_ih, cell.weight_hh, *[cell.bias] * config.bias)  # noqa: E731
    values = (weights["weight_ih_l0"], weights["weight_hh_l0"], *[bias] * config.bias)
    cell = equinox.tree_at(places, cell, values)

    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        # XLA may read the caller's memory after this call has returned: hand it copies.
        h, c = compiled()(cell, *map(np.array, (x_t, *state)))
        return np.array(h), np.array(c)

    return step
