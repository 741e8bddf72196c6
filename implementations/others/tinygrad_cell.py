"""tinygrad's nn.LSTMCell (https://tinygrad.org) on the CPU; the suite supplies the loop over time."""

# pyright: reportMissingImports=false

from __future__ import annotations

import shutil

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, cell_backend
from conformance.backend import Step
from conformance.spec import Array, Params, State
from implementations.adapter import finding, needs


def unavailable() -> str | None:
    """Why it cannot run here, or None."""
    missing = needs("tinygrad", install="pip install tinygrad")()
    return missing or (None if shutil.which("clang") else "clang not installed: apt-get install clang")


# Every new shape is compiled, and its schedule cache belongs to one thread.
@cell_backend(
    "tinygrad",
    Capabilities(
        no_bias=True,
        dtypes=("float32", "float64", "float16"),
        compiled=True,
        threads=False,
        expected_failures=finding(
            "tinygrad-01-state-broadcast", "refusals.state-shape", "refusals.broadcast-state", "refusals.batch-mismatch"
        ),
    ),
    available=unavailable,
)
def tinygrad_cell(config: LSTMConfig, params: Params) -> Step:
    """``step(x_t, (h, c)) -> (h, c)`` of tinygrad.nn.LSTMCell."""
    from tinygrad import Tensor, nn

    if config.proj_size or (config.dropout and config.training):
        raise Unsupported("LSTMCell has no projection and no dropout")
    if config.dtype == "bfloat16":
        raise Unsupported("NumPy arrays of bfloat16 cannot be given to tinygrad")
    cell = nn.LSTMCell(config.input_size, config.hidden_size, config.bias)
    for name, value in params.items():
        setattr(cell, name.removesuffix("_l0"), Tensor(np.array(value), device="CPU"))

    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        x, h, c = (Tensor(np.ascontiguousarray(array), device="CPU") for array in (x_t, *state))
        h, c = cell(x, (h, c))
        return h.numpy(), c.numpy()

    return step
