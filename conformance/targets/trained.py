"""Trained weights in a file, and which LSTM of a model's file should hold which of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from conformance.conventions.recognise import ALL, OWN_TENSORS, OWN_VALUES, Recognised, Tensors, recognise
from conformance.errors import UsageError
from conformance.facts.weights import Likeness, WeightsCompared
from conformance.spec import Array, LSTMConfig, Params, Slot, layer_params, numpy_dtype, param_shapes

#: nn.LSTM's names behind the name of the module; nn.LSTMCell's have no layer.
_NAME = re.compile(
    r"(?P<module>.*?)(?P<kind>(?:weight|bias)_(?:ih|hh|hr))(?:_l(?P<layer>[0-9]{1,6})(?P<end>_reverse)?)?"
)


@dataclass(frozen=True)
class Trained:
    """One LSTM of a file of weights."""

    #: The name of its module; nothing of one that is the whole file.
    name: str
    config: LSTMConfig
    params: Params

    def tensors(self) -> Iterator[tuple[str, Tensors]]:
        """Each layer and direction by a name that a person knows, with its tensors."""
        for slot in self.config.slots():
            yield self.label(slot), layer_params(self.params, slot)

    def label(self, slot: Slot) -> str:
        """The name of a layer and direction."""
        return self._named([f"layer {slot.layer}"] if self.config.num_layers > 1 else [], self._direction([slot]))

    def _direction(self, slots: Sequence[Slot]) -> list[str]:
        alone = self.config.bidirectional and len(slots) == 1
        return ["reverse" if slots[0].reverse else "forward"] if alone else []

    def part(self, slots: Sequence[Slot]) -> str:
        """The name of some of its layers and directions."""
        layers = sorted({slot.layer for slot in slots})
        some = [f"layer {layers[0]}"] if len(layers) < self.config.num_layers else []
        return self._named(some, self._direction(slots))

    def _named(self, *words: Sequence[str]) -> str:
        return ", ".join([self.name or "the LSTM", *(word for each in words for word in each)])


def trained(arrays: Mapping[str, Any], file: str) -> tuple[Trained, ...]:
    """The LSTMs among arrays that are named as in a state_dict, in whatever module, in their order.

    Raises ``UsageError`` if there is none, and for one whose tensors do not fit together.
    """
    modules: dict[str, dict[str, Array]] = {}
    for name, value in arrays.items():
        if found := _NAME.fullmatch(name):
            own = f"{found['kind']}_l{int(found['layer'] or 0)}{found['end'] or ''}"
            module = modules.setdefault(found["module"].rstrip("."), {})
            if own in module:
                raise UsageError(f"--weights {file}: {name!r} is a second array of the name {own}", "name each once")
            module[own] = np.asarray(value)
    lstms = [_trained(name, own, file) for name, own in modules.items() if _is_lstm(own)]
    if not lstms:
        told = f"{len(arrays)} arrays, such as {', '.join(map(repr, [*arrays][:3]))}" if arrays else "no array"
        raise UsageError(
            f"--weights {file}: no LSTM is in it; it has {told}",
            "its names must be those of nn.LSTM's state_dict: weight_ih_l0, encoder.lstm.weight_ih_l0 …",
        )
    return tuple(lstms)


def _is_lstm(own: Mapping[str, Array]) -> bool:
    """Whether arrays by nn.LSTM's names are an LSTM's: a GRU has three gates, and nn.RNN none."""
    hh = own.get("weight_hh_l0")
    if hh is None or hh.ndim != 2:
        return False
    hr = own.get("weight_hr_l0")
    size = hh.shape[1] if hr is None else hr.shape[1] if hr.ndim == 2 else 0
    return hh.shape[0] == 4 * size > 0


def _trained(name: str, own: Mapping[str, Array], file: str) -> Trained:
    params = {each: value for each, value in own.items() if np.issubdtype(value.dtype, np.floating)} or dict(own)
    try:
        hh, hr = params["weight_hh_l0"], params.get("weight_hr_l0")
        layers = 1 + max(int(each.rpartition("_l")[2].split("_")[0]) for each in params)
        config = LSTMConfig(
            params["weight_ih_l0"].shape[-1],
            hh.shape[0] // 4,
            # No more than there are names: a file may say a million.
            num_layers=min(layers, len(params)),
            bias="bias_ih_l0" in params or "bias_hh_l0" in params,
            bidirectional="weight_ih_l0_reverse" in params,
            proj_size=0 if hr is None else hr.shape[0],
            dtype=hh.dtype.name,
        )
    except KeyError as error:
        told = f"{name or 'its LSTM'} has no {error.args[0]} of floating point"
        raise UsageError(f"--weights {file}: {told}") from None
    except (IndexError, ValueError) as error:
        raise UsageError(f"--weights {file}: {name or 'its LSTM'} is no LSTM of nn.LSTM's: {error}") from None
    shapes = param_shapes(config)
    wrong = [each for each, shape in shapes.items() if each not in params or params[each].shape != shape]
    wrong += [each for each in params if each not in shapes]
    if wrong:
        have = f"{params[wrong[0]].shape}" if wrong[0] in params else "missing"
        want = shapes.get(wrong[0], "nothing")
        told = f"{wrong[0]} is {have}, expected {want} beside the others"
        raise UsageError(f"--weights {file}: the tensors of {name or 'its LSTM'} do not fit together: {told}")
    return Trained(name, config, {each: np.ascontiguousarray(params[each]) for each in shapes})


class Piece(NamedTuple):
    """A trained LSTM, one of its layers, or one direction of a layer: what an LSTM in a file can hold."""

    lstm: Trained
    slots: tuple[Slot, ...]

    @property
    def label(self) -> str:
        """Its name for a person."""
        return self.lstm.part(self.slots)

    def owners(self, config: LSTMConfig) -> dict[str, str]:
        """By the suffix in an LSTM of ``config``, the layer and direction that it holds."""
        return {own.suffix: self.lstm.label(slot) for own, slot in zip(config.slots(), self.slots, strict=True)}

    def fits(self, config: LSTMConfig) -> bool:
        """Whether it has the sizes of an LSTM in a file."""
        mine = self.lstm.config
        alike = (mine.hidden_size, mine.proj_size) == (config.hidden_size, config.proj_size)
        features = mine.layer_input_size(self.slots[0].layer)
        return alike and features == config.input_size and len(self.slots) == len(config.slots())

    def model(self, config: LSTMConfig) -> tuple[LSTMConfig, Params]:
        """The trained weights as an LSTM of ``config`` holds them."""
        dtype, params = numpy_dtype(config.dtype), {}
        for own, slot in zip(config.slots(), self.slots, strict=True):
            for kind, value in layer_params(self.lstm.params, slot).items():
                params[kind + own.suffix] = np.ascontiguousarray(value.astype(dtype))
        return replace(config, bias=self.lstm.config.bias), params


def pieces(lstm: Trained, config: LSTMConfig) -> Iterator[Piece]:
    """What of a trained LSTM an LSTM of ``config`` can hold: all of it, a layer, a direction of a layer."""
    mine, D = lstm.config, config.num_directions
    if config.num_layers == mine.num_layers and mine.num_directions == D:
        found = [Piece(lstm, tuple(mine.slots()))]
    elif config.num_layers > 1:
        found = []
    elif mine.num_directions == D:
        found = [Piece(lstm, tuple(mine.slots(k))) for k in range(mine.num_layers)]
    else:
        found = [Piece(lstm, (slot,)) for slot in mine.slots()] if D == 1 else []
    return (piece for piece in found if piece.fits(config))


class Held(NamedTuple):
    """An LSTM of a file as it is to be compared: its config, its weights, the order of the gates in the file."""

    name: str
    config: LSTMConfig
    params: Params
    gates: str


def assigned(held: Sequence[Held], lstms: Sequence[Trained]) -> list[Piece | None]:
    """The trained weights that each LSTM of a file should hold: those that it is most like, then by their order.

    The layers of one trained LSTM are dealt out in the order of the file, which is that of the computation: so those
    that were exchanged are compared with the layers in whose place they stand.
    """
    every = tensors_of(lstms)
    fitting = [
        _Fitting(at, number, piece)
        for at, one in enumerate(held)
        for number, piece in enumerate(piece for lstm in lstms for piece in pieces(lstm, one.config))
    ]
    dealt: dict[int, Piece] = {}
    used: set[tuple[int, Slot]] = set()
    shared: list[_Fitting] = []
    # What conversion made an LSTM of another is looked for where nothing nearer is left: that takes long.
    for reach, most in ((OWN_VALUES, _DIFFERENT - 1), (OWN_TENSORS, _DIFFERENT), (ALL, math.inf)):
        left = [each for each in fitting if each.at not in dealt and used.isdisjoint(each.slots())]
        ranked = [(_rank(held[each.at], each.piece, every, reach), each.at, each.number, each) for each in left]
        for rank, *_, each in sorted(ranked):
            if rank <= most and each.at not in dealt and used.isdisjoint(each.slots()):
                dealt[each.at] = each.piece
                used |= each.slots()
            elif rank < _DIFFERENT:
                shared.append(each)
    for each in shared:
        # Two LSTMs of a file may share their weights.
        dealt.setdefault(each.at, each.piece)
    _in_order(dealt, held)
    return [dealt.get(at) for at in range(len(held))]


class _Fitting(NamedTuple):
    """A piece of the sizes of an LSTM of a file, the places of both."""

    at: int
    number: int
    piece: Piece

    def slots(self) -> set[tuple[int, Slot]]:
        """What of the trained LSTMs it takes."""
        return {(id(self.piece.lstm), slot) for slot in self.piece.slots}


_DIFFERENT = 3


def _rank(one: Held, piece: Piece, every: Mapping[str, Tensors], reach: int = ALL) -> int:
    """How far an LSTM of a file is from trained weights; the smaller, the more alike."""
    told = recognised(one, piece, every, reach)
    if told.likeness != Likeness.DIFFERENT:
        return [Likeness.EQUAL, Likeness.ROUNDED, Likeness.NEAR].index(told.likeness)
    foreign = sum(len(taken.tensors) for taken in told.taken if taken.owner)
    return _DIFFERENT + foreign + len(told.unrelated)


def _in_order(found: dict[int, Piece], held: Sequence[Held]) -> None:
    """Deal the layers of one trained LSTM out in the order of the file, among LSTMs of the same sizes."""
    groups: dict[Any, list[int]] = {}
    for at, piece in found.items():
        direction = {slot.direction for slot in piece.slots}
        groups.setdefault((id(piece.lstm), held[at].config, tuple(sorted(direction))), []).append(at)
    for places in groups.values():
        layers = sorted((found[at] for at in places), key=lambda piece: piece.slots)
        found |= dict(zip(sorted(places), layers, strict=True))


def tensors_of(lstms: Sequence[Trained]) -> dict[str, Tensors]:
    """All trained layers and directions by their names."""
    return {name: tensors for lstm in lstms for name, tensors in lstm.tensors()}


def recognised(one: Held, piece: Piece, every: Mapping[str, Tensors], reach: int = ALL) -> Recognised:
    """What the weights of an LSTM in a file are, beside those that it should hold, among ``every`` trained one."""
    return recognise(one.config, one.params, piece.owners(one.config), every, one.gates, reach)


def compared(file: str, held: Sequence[Held], weights: str, lstms: Sequence[Trained]) -> list[WeightsCompared]:
    """Every LSTM of a file beside the trained weights, and then the trained layers that are missing in it."""
    dealt, every = assigned(held, lstms), tensors_of(lstms)
    told = [
        WeightsCompared(file, one.name, weights, "", Likeness.UNMATCHED, note=_sizes(one.config))
        if piece is None
        else WeightsCompared(
            file, one.name, weights, piece.label, gates=one.gates, **vars(recognised(one, piece, every))
        )
        for one, piece in zip(held, dealt, strict=True)
    ]
    there = {(id(piece.lstm), slot) for piece in dealt if piece for slot in piece.slots}
    for lstm in lstms:
        slots = lstm.config.slots()
        lacking = [slot for slot in slots if (id(lstm), slot) not in there]
        # The file may be a part of a larger model; but half an LSTM is a mistake.
        if len(lacking) < len(slots):
            told += [WeightsCompared(file, "", weights, lstm.label(slot), Likeness.MISSING) for slot in lacking]
    return told


def _sizes(config: LSTMConfig) -> str:
    words = [f"{config.input_size} features", f"{config.hidden_size} units"]
    words += [f"{config.proj_size} projected"] * bool(config.proj_size)
    words += [f"{config.num_layers} layers"] * (config.num_layers > 1) + ["two directions"] * config.bidirectional
    return ", ".join(words)


def file_of_weights(path: Path) -> dict[str, Array] | None:
    """The arrays of a .npz, .safetensors or torch file by their names; None for another kind of file.

    No code of the file runs: pickles are read with ``weights_only=True``, or not at all.
    """
    kinds = {".npz": _npz, ".safetensors": _safetensors, **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin"), _torch)}
    read = kinds.get(path.suffix.lower())
    if read is None:
        return None
    if not path.is_file():
        raise UsageError(f"--weights {path}: there is no such file")
    try:
        return read(path)
    except ImportError as error:
        install = {".safetensors": "pip install safetensors"}.get(path.suffix.lower(), "pip install torch")
        raise UsageError(f"--weights {path}: {error}", install) from None
    except UsageError:
        raise
    except Exception as error:
        told = (str(error).strip().splitlines() or ["no message"])[0]
        raise UsageError(
            f"--weights {path} cannot be read as {path.suffix}: {type(error).__name__}: {told[:200]}",
            "write it again with safetensors.torch.save_file, numpy.savez, or torch.save of a state_dict",
        ) from None


def _npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file) if isinstance(file, np.lib.npyio.NpzFile) else {}


def _safetensors(path: Path) -> dict[str, Array]:
    from safetensors.numpy import load_file  # noqa: PLC0415

    return load_file(path)


def _torch(path: Path) -> dict[str, Array]:
    # It loads torch, whose file this is.
    from conformance.torch_module import tensors_of  # noqa: PLC0415

    return tensors_of(path)
