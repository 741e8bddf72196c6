"""Small LSTMs, right and wrong in known ways: targets for the tests of runs, probes and the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Params

Forward = Callable[..., tuple[Any, tuple[Any, Any]]]


def lstm(config: LSTMConfig, params: Params, order: str = "ifgo") -> Forward:
    """One layer and direction, with its gates read in ``order``."""
    if config.num_layers > 1 or config.bidirectional or config.batch_first or config.proj_size or not config.bias:
        raise Unsupported("one layer, one direction, time-major, with biases")
    w_x, w_h = params["weight_ih_l0"].T.copy(), params["weight_hh_l0"].T.copy()
    bias = params["bias_ih_l0"] + params["bias_hh_l0"]

    def forward(x: np.ndarray, state: Any = None) -> tuple[Any, tuple[Any, Any]]:
        shape = (1, x.shape[1], config.hidden_size)
        h_0, c_0 = (np.zeros(shape, x.dtype), np.zeros(shape, x.dtype)) if state is None else state
        if x.ndim != 3 or x.shape[2] != config.input_size or h_0.shape != shape or c_0.shape != shape:
            raise ValueError(f"shapes do not fit: {x.shape}, {h_0.shape}, {c_0.shape}")
        h, c, output = h_0[0], c_0[0], []
        for x_t in x:
            gates = dict(zip(order, np.split(x_t @ w_x + h @ w_h + bias, 4, axis=1), strict=True))
            c = sigmoid(gates["f"]) * c + sigmoid(gates["i"]) * np.tanh(gates["g"])
            h = sigmoid(gates["o"]) * np.tanh(c)
            output.append(h)
        return np.stack(output), (h[None].copy(), c[None].copy())

    return forward


def sigmoid(a: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−a), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * a)


def bare(config: LSTMConfig, params: Params) -> Forward:
    """Right, and declares nothing."""
    return lstm(config, params)


def h_n_alone(config: LSTMConfig, params: Params) -> Forward:
    """Right, declares nothing, and returns h_n only."""
    forward = lstm(config, params)
    return lambda *args: (None, (forward(*args)[1][0], None))


@backend("sample-right", Capabilities())
def right(config: LSTMConfig, params: Params) -> Forward:
    """What every property must pass."""
    return lstm(config, params)


@backend("sample-swapped", Capabilities())
def swapped(config: LSTMConfig, params: Params) -> Forward:
    """Reads its gates in ONNX's order."""
    return lstm(config, params, "iofg")


@backend("sample-crash", Capabilities())
def crash(config: LSTMConfig, params: Params) -> Forward:
    """Takes the process with it."""
    os._exit(7)


@backend("sample-late-crash", Capabilities())
def late_crash(config: LSTMConfig, params: Params) -> Forward:
    """Returns c_n in another precision, and takes the process with it when a batch is large."""
    forward = lstm(config, params)

    def widened(x: np.ndarray, state: Any = None) -> Any:
        if x.shape[1] > 200:
            os._exit(7)
        output, (h_n, c_n) = forward(x, state)
        return output, (h_n, c_n.astype(np.float64))

    return widened


@backend("sample-system-exit", Capabilities())
def system_exit(config: LSTMConfig, params: Params) -> Forward:
    """Would end whatever process calls it."""
    raise SystemExit("bye")


@backend("sample-absent", Capabilities(), available=lambda: "no such device")
def absent(config: LSTMConfig, params: Params) -> Forward:
    """Cannot run anywhere."""
    raise AssertionError("an unavailable backend is never built")


def _probe_of_a_driver() -> str | None:
    raise OSError("driver not loaded")


@backend("sample-no-driver", Capabilities(), available=_probe_of_a_driver)
def no_driver(config: LSTMConfig, params: Params) -> Forward:
    """Its availability cannot even be asked."""
    raise AssertionError("an unavailable backend is never built")


@backend("sample-slow", Capabilities())
def slow(config: LSTMConfig, params: Params) -> Forward:
    """Right; leaves a sign of having been called ten times, and takes its time from then on."""
    forward = lstm(config, params)

    def calling(*args: Any) -> tuple[Any, tuple[Any, Any]]:
        _calls.append(1)
        if len(_calls) >= 10:
            Path("ten-calls").touch()
            time.sleep(0.05)
        return forward(*args)

    return calling


_calls: list[int] = []
_CONFIG = LSTMConfig(3, 2)
_PARAMS = {
    "weight_ih_l0": np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3),
    "weight_hh_l0": np.linspace(1, -1, 16, dtype=np.float32).reshape(8, 2),
    "bias_ih_l0": np.linspace(-1, 0, 8, dtype=np.float32),
    "bias_hh_l0": np.zeros(8, np.float32),
}


@backend("sample-baked", Capabilities(fixed=(_CONFIG, _PARAMS)))
def baked(config: LSTMConfig, params: Params) -> Forward:
    """A trained model: its config and params are its own."""
    return lstm(_CONFIG, _PARAMS)
