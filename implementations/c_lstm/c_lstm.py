"""The backend of the C library in this folder: C trusts the pointers it is handed, so calls are guarded here."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, Unsupported, backend, guard
from conformance.spec import Array, Params, State, layer_params

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "liblstm.so"
SOURCES = [FOLDER / name for name in ("lstm.c", "lstm.h", "lstm.inc")]
BUILD = f"cc -std=c99 -O2 -shared -fPIC -o {LIBRARY} {SOURCES[0]} -lm"


class Config(ctypes.Structure):
    """``lstm_config``."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("input_size", "hidden_size", "num_layers", "proj_size")),
        *((name, ctypes.c_bool) for name in ("bidirectional", "batch_first")),
    )


class Cell(ctypes.Structure):
    """``lstm_cell_f32`` and ``lstm_cell_f64``; a pointer that is not given is NULL."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"))


#: The function for each dtype, and ``lstm_status``.
FORWARD = {"float32": "lstm_forward_f32", "float64": "lstm_forward_f64"}
STATUS = ("LSTM_OK", "LSTM_BAD_CONFIG", "LSTM_BAD_LENGTH")


def not_built() -> str | None:
    """Why the library cannot be called here, or None."""
    if not LIBRARY.exists():
        return f"{LIBRARY.name} is not built: {BUILD}"
    if LIBRARY.stat().st_mtime < max(source.stat().st_mtime for source in SOURCES):
        return f"{LIBRARY.name} is older than its source: {BUILD}"
    library()
    return None


@cache
def library() -> ctypes.CDLL:
    """The library, its functions declared: without, ctypes would cut sizes and pointers to 32 bits."""
    loaded = ctypes.CDLL(str(LIBRARY))
    loaded.lstm_workspace.argtypes = [ctypes.POINTER(Config), ctypes.c_size_t, ctypes.c_size_t]
    loaded.lstm_workspace.restype = ctypes.c_size_t
    for name in FORWARD.values():
        sizes, arrays = [ctypes.c_size_t] * 2, [ctypes.c_void_p] * 8
        function = getattr(loaded, name)
        function.argtypes = [ctypes.POINTER(Config), ctypes.POINTER(Cell), *sizes, *arrays]
        function.restype = ctypes.c_int
    return loaded


def pointer(array: Array | None) -> int | None:
    """The address of a contiguous array's first element; None is NULL."""
    return None if array is None else array.ctypes.data


@backend(
    "c",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        unbatched=True,
        projection=True,
        lengths=True,
        dtypes=tuple(FORWARD),
    ),
    available=not_built,
)
def c_lstm(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state, lengths)`` of the C library, which computes in the config's own precision."""
    if config.dtype not in FORWARD:
        raise Unsupported(f"dtype {config.dtype}")
    if config.dropout and config.training:
        raise Unsupported("dropout in training")
    c_forward = getattr(library(), FORWARD[config.dtype])
    c_config = Config(**{field[0]: getattr(config, field[0]) for field in Config._fields_})
    held = {name: np.array(value, config.dtype, order="C") for name, value in params.items()}
    slots = [layer_params(held, slot) for slot in config.slots()]
    cells = (Cell * len(slots))(*(Cell(**{name: pointer(array) for name, array in slot.items()}) for slot in slots))

    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        guard(config, x, state, lengths)
        # Unbatched is N = 1 without its axis, which would change nothing in memory, wherever it stood.
        steps, *rows = x.shape[1::-1] if config.batch_first and x.ndim == 3 else x.shape[:-1]
        h_shape, c_shape = ((len(slots), *rows, size) for size in (config.output_size, config.hidden_size))
        # C wants its arrays contiguous: a copy of those that are not.
        given = (x, *(state or (None, None)), lengths)
        inputs = [array if array is None else np.ascontiguousarray(array) for array in given]
        output = np.empty((*x.shape[:-1], config.num_directions * config.output_size), config.dtype)
        h_n, c_n = np.empty(h_shape, config.dtype), np.empty(c_shape, config.dtype)
        sizes = steps, *(rows or [1])
        # A workspace for each call: other threads run meanwhile.
        workspace = np.empty(library().lstm_workspace(c_config, *sizes), config.dtype)
        arrays = *inputs, output, h_n, c_n, workspace
        status = STATUS[c_forward(c_config, cells, *sizes, *map(pointer, arrays))]
        if status == "LSTM_BAD_LENGTH":
            raise ValueError(f"lengths must be from 0 to {steps}, got {lengths}")
        if status != "LSTM_OK":
            raise RuntimeError(f"{c_forward.__name__} returned {status}")
        return output, (h_n, c_n)

    model: Any = forward
    # The cells point into these: they must live as long as the model.
    model.params = held
    return model
