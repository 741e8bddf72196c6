"""How the weights in a model's file compare with the trained ones, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Likeness(StrEnum):
    """How alike the weights of an LSTM in a file and the trained ones are."""

    #: To the last bit, or as far as the sum of two biases can be.
    EQUAL = "equal"
    #: They are the trained ones, rounded to a dtype.
    ROUNDED = "rounded"
    #: They are near the trained ones, as after quantization or some more training.
    NEAR = "near"
    #: Some tensors hold something else.
    DIFFERENT = "different"
    #: No trained LSTM, layer or direction has the sizes.
    UNMATCHED = "unmatched"
    #: No LSTM in the file holds this trained layer or direction, although others hold the rest of its LSTM.
    MISSING = "missing"

    @property
    def wrong(self) -> bool:
        """Whether the conversion is not what it must be: rounding is no mistake."""
        return self not in (Likeness.EQUAL, Likeness.ROUNDED)


@dataclass(frozen=True)
class Taken:
    """How tensors of a file, all in the same way, come of trained ones that they should not come of, or not so."""

    #: The tensors of the file, by nn.LSTM's names; "bias" stands for the sum of both.
    tensors: tuple[str, ...]
    #: The layer and direction whose values they hold, where that is not their own.
    owner: str = ""
    #: The kind of tensor whose values they hold, where that is another one: "weight_hh".
    kind: str = ""
    #: How the values are arranged, where that is otherwise: a name of ``conventions/recognise.LAYOUTS``.
    layout: str = ""
    #: The order in which the gates stand in the file, where that is another one than the format's.
    gates: str = ""
    #: What stands for the sum of both biases, where that is something else: a name of ``conventions/recognise.SUMS``.
    sum: str = ""
    #: What is added to the forget gate's bias.
    offset: float = 0.0


@dataclass(frozen=True)
class WeightsCompared:
    """One LSTM of a model's file beside the trained weights that it should hold."""

    #: The model's file.
    file: str
    #: The name of the LSTM in it; nothing of a trained layer that no LSTM of the file holds.
    lstm: str
    #: The file of the trained weights.
    weights: str
    #: The trained LSTM, layer or direction; nothing if none has the sizes.
    trained: str
    #: How alike they are.
    likeness: Likeness
    #: The dtype to which the trained weights are rounded, of those that are.
    dtype: str = ""
    #: The largest difference of a weight from the trained one, in the tensors that hold their own.
    largest: float = 0.0
    #: Whether the file has the sum of both biases where nn.LSTM has two, which computes the same.
    merged: bool = False
    #: The order in which the file's format has the gates.
    gates: str = ""
    #: The wrong conversions.
    taken: tuple[Taken, ...] = ()
    #: The tensors that hold nothing that could be recognised.
    unrelated: tuple[str, ...] = ()
    #: What else a reader must know, such as the sizes of an LSTM that fits none.
    note: str = ""
