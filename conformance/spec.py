"""The parts of an LSTM: its config, its parameters' names and shapes, its state's layout.

Everything follows ``torch.nn.LSTM`` (https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html): the
constructor's argument names, the ``state_dict`` names, the gate order i, f, g, o.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Params = Mapping[str, Array]
State = tuple[Array, Array]

#: The packed gates' order along the first axis (4H) of every weight and bias.
GATES = "ifgo"

#: The dtypes a config can name.
DTYPES = ("float32", "float64", "float16", "bfloat16")


class Slot(NamedTuple):
    """One layer and direction of an LSTM: layer 0 reads x, direction 0 is forward and 1 is reverse."""

    layer: int
    direction: int

    @property
    def reverse(self) -> bool:
        """Whether it reads each row from its last valid step to its first."""
        return bool(self.direction)

    @property
    def suffix(self) -> str:
        """The end of its parameters' names: ``_l0``, ``_l0_reverse``, ``_l1`` …"""
        return f"_l{self.layer}{'_reverse' if self.reverse else ''}"

    def position(self, config: LSTMConfig) -> int:
        """Where it stands on the state's first axis (layers·D): layer-major, forward before reverse."""
        return self.layer * config.num_directions + self.direction

    def features(self, config: LSTMConfig) -> slice:
        """Its P features among the D·P of its layer's output."""
        size = config.output_size
        return slice(self.direction * size, (self.direction + 1) * size)


@dataclass(frozen=True)
class LSTMConfig:
    """An LSTM's hyperparameters: ``torch.nn.LSTM``'s constructor arguments by the same names.

    Raises ``ValueError`` for a config that ``torch.nn.LSTM`` refuses too.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    bidirectional: bool = False
    proj_size: int = 0
    dropout: float = 0.0
    training: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, least in (("input_size", 1), ("hidden_size", 1), ("num_layers", 1), ("proj_size", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.proj_size >= self.hidden_size:
            raise ValueError(f"proj_size must be smaller than hidden_size {self.hidden_size}, got {self.proj_size}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout must be a probability in [0, 1], got {self.dropout}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    @property
    def num_directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """P: the features of one direction's output, ``proj_size`` or else ``hidden_size``."""
        return self.proj_size or self.hidden_size

    def layer_input_size(self, layer: int) -> int:
        """The features that layer ``layer`` reads: I for the first, D·P for the others."""
        return self.input_size if layer == 0 else self.num_directions * self.output_size

    def slots(self, layer: int | None = None) -> list[Slot]:
        """The layers and directions in the order of the state's first axis; those of one ``layer`` if it is given."""
        layers = range(self.num_layers) if layer is None else (layer,)
        return [Slot(k, direction) for k in layers for direction in range(self.num_directions)]


class Result(NamedTuple):
    """The result of a call; ``None`` stands for a part that the backend does not return.

    output (L, N, D·P) in x's layout, h_n (layers·D, N, P), c_n (layers·D, N, H).
    """

    output: Array | None
    h_n: Array | None
    c_n: Array | None

    def in_float64(self) -> Result:
        """The same parts as float64."""
        return Result(*(None if part is None else np.asarray(part, np.float64) for part in self))


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a config's dtype name; bfloat16 is ``ml_dtypes.bfloat16``."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes  # noqa: PLC0415

    return np.dtype(ml_dtypes.bfloat16)


def finfo(name: str) -> Any:
    """``np.finfo`` of a config's dtype name, for bfloat16 too, which NumPy does not know."""
    if name != "bfloat16":
        return np.finfo(name)
    import ml_dtypes  # noqa: PLC0415

    return ml_dtypes.finfo(ml_dtypes.bfloat16)


def dtype_unavailable(name: str) -> str | None:
    """Why arrays of a config's dtype cannot be made here, or None if they can."""
    if name != "bfloat16" or find_spec("ml_dtypes"):
        return None
    return 'bfloat16 arrays need the package ml_dtypes: pip install "lstm-conformance[half]"'


@lru_cache(maxsize=512)
def param_shapes(config: LSTMConfig) -> Mapping[str, tuple[int, ...]]:
    """Every parameter's name and shape, in ``torch.nn.LSTM``'s ``state_dict`` order."""
    rows, size = 4 * config.hidden_size, config.output_size
    shapes: dict[str, tuple[int, ...]] = {}
    for slot in config.slots():
        end = slot.suffix
        shapes["weight_ih" + end] = (rows, config.layer_input_size(slot.layer))
        shapes["weight_hh" + end] = (rows, size)
        if config.bias:
            shapes["bias_ih" + end] = (rows,)
            shapes["bias_hh" + end] = (rows,)
        if config.proj_size:
            shapes["weight_hr" + end] = (size, config.hidden_size)
    return shapes


def state_shapes(config: LSTMConfig, batch: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The shapes of h_0 (layers·D, N, P) and c_0 (layers·D, N, H)."""
    slots = config.num_layers * config.num_directions
    return (slots, batch, config.output_size), (slots, batch, config.hidden_size)


def layer_params(params: Params, slot: Slot) -> dict[str, Array]:
    """One layer and direction's parameters, by their names without the suffix."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    return {name: params[name + slot.suffix] for name in names if name + slot.suffix in params}
