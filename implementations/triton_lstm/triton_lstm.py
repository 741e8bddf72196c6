"""The backends of the Triton kernel in this folder: ``triton``, and ``triton-buggy``, which has a bug to be found.

On the CPU, by Triton's interpreter, if the environment has TRITON_INTERPRET=1: slow, and the same block logic.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import numpy as np
import torch

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Array, Params, State
from conformance.torch_module import from_torch, to_torch
from implementations.cuda import device

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"


def unavailable() -> str | None:
    """Why the kernel cannot run here, or None."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if not INTERPRETED and not torch.cuda.is_available():
        return f"no CUDA device (torch {torch.__version__}); TRITON_INTERPRET=1 runs the kernel on the CPU"
    return None


def note() -> str:
    """Which Triton runs, and where."""
    if unavailable():
        return ""
    import triton  # pyright: ignore[reportMissingImports]

    where = device()
    on = "its interpreter" if INTERPRETED else f"{where['device']}, CUDA {where['cuda']}, driver {where['driver']}"
    return f"Triton {triton.__version__}; {on}"


def lstm_backend(name: str, tail: bool) -> Backend:
    """The kernel as a backend; without ``tail``, with its bug."""

    # The interpreter keeps the program's place in the grid in one variable for all threads.
    @backend(name, Capabilities(no_bias=True, threads=not INTERPRETED), available=unavailable, note=note)
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        if config.num_layers > 1 or config.bidirectional or config.batch_first or config.proj_size:
            raise Unsupported("the kernel is one layer, one direction, time-major, without projection")
        if config.dtype != "float32":
            raise Unsupported(f"dtype {config.dtype}: the kernel is float32")
        # Triton decides when it is imported whether its kernels are interpreted.
        from implementations.triton_lstm.lstm_kernel import lstm

        H = config.hidden_size
        on_device = {name: to_torch(np.array(value)).to(DEVICE) for name, value in params.items()}
        bias = torch.zeros(4 * H, device=DEVICE)
        if config.bias:
            bias = on_device["bias_ih_l0"] + on_device["bias_hh_l0"]

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            """x (L, N, I) -> output (L, N, H), (h_n (1, N, H), c_n (1, N, H))."""
            guard(config, x, state)
            if x.ndim == 2 or not x.size:
                raise Unsupported(f"x {x.shape}: the kernel reads batches with rows and steps")
            shape = (1, x.shape[1], H)
            h_0, c_0 = (np.zeros(shape, "float32"), np.zeros(shape, "float32")) if state is None else state
            # The kernel knows no strides.
            parts = [to_torch(np.ascontiguousarray(part)).to(DEVICE) for part in (x, h_0[0], c_0[0])]
            weights = on_device["weight_ih_l0"], on_device["weight_hh_l0"], bias
            output, c_n = lstm(parts[0], parts[1], parts[2], *weights, tail)
            output, c_n = from_torch(output), from_torch(c_n)
            return output, (output[-1:].copy(), c_n[None])

        return forward

    return build


triton = lstm_backend("triton", tail=True)
triton_buggy = lstm_backend("triton-buggy", tail=False)
