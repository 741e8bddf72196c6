"""Wrong conversions, as changes of trained weights, each with what must be told of it: for ``benchmarks.routes``.

What must be told is written down here, by the trained tensors' own names. Nothing of it comes from the code that
recognises conversions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conformance.facts.weights import Likeness, WeightsCompared

Array = Any
#: A model's weights by the names of its ``state_dict``, changed in place.
Change = Callable[[dict[str, Array]], None]

_GATES = "ifgo"


@dataclass(frozen=True)
class Told:
    """What must be told of one tensor."""

    owner: str = ""
    kind: str = ""
    layout: str = ""
    #: Which gate's rows stand where those of i, f, g and o belong.
    gates: str = _GATES
    sum: str = ""
    offset: float = 0.0
    #: Nothing of it can be recognised.
    unrelated: bool = False


@dataclass(frozen=True)
class Mistake:
    """A way to convert wrongly."""

    statement: str
    model: str
    change: Change
    #: By the trained tensors' names; "bias" stands for the sum of both.
    told: Mapping[str, Told] = field(default_factory=dict)
    #: How alike the weights must be called, of LSTMs of which nothing is told.
    likeness: Likeness = Likeness.DIFFERENT
    #: The trained layers that must be called missing.
    missing: tuple[str, ...] = ()
    #: The model that is exported in its place.
    exported: str = ""
    #: Whether it is a mistake.
    wrong: bool = True


def _rows(order: str) -> Callable[[Array], Array]:
    """The rows of the gates in another order."""
    return lambda value: np.concatenate([np.split(value, 4)[_GATES.index(gate)] for gate in order])


def _each(change: Callable[[Array], Array], *names: str) -> Change:
    def changed(weights: dict[str, Array]) -> None:
        for name in names:
            weights[name] = np.ascontiguousarray(change(weights[name]))

    return changed


def _copied(**sources: str) -> Change:
    """Each tensor of ``lstm`` gets the values of another, by the ends of their names."""

    def changed(weights: dict[str, Array]) -> None:
        weights |= {f"lstm.{to}": weights[f"lstm.{source}"] for to, source in sources.items()}

    return changed


def _exchanged(one: str, other: str, *kinds: str) -> Change:
    ends = ((one, other), (other, one))
    return _copied(**{f"{kind}_{to}": f"{kind}_{source}" for kind in kinds for to, source in ends})


def _others(weights: dict[str, Array]) -> None:
    """The weights of an earlier day."""
    random = np.random.default_rng(9)
    for name, value in weights.items():
        weights[name] = random.uniform(-0.5, 0.5, value.shape).astype(value.dtype)


def _quantized(value: Array) -> Array:
    """As 8-bit integers with one scale keep it."""
    scale = np.abs(value).max() / 127
    return (np.round(value / scale) * scale).astype(value.dtype)


def _half(weights: dict[str, Array]) -> None:
    """The trained weights in float16: every bias alone, so that the sum of two is rounded as one."""
    for name, value in weights.items():
        weights[name] = value.astype(np.float16).astype(value.dtype)


def _decoder_of_encoder(weights: dict[str, Array]) -> None:
    weights["decoder.weight_hh_l0"] = weights["encoder.weight_hh_l0"]


def _forget_one(value: Array) -> Array:
    return value + np.repeat(np.array([0, 1, 0, 0], value.dtype), len(value) // 4)


def _several(weights: dict[str, Array]) -> None:
    _each(_rows("fiog"), "lstm.weight_hh_l0")(weights)
    _each(_blocks_transposed, "lstm.weight_ih_l0")(weights)
    _each(np.zeros_like, "lstm.bias_hh_l0")(weights)


def _blocks_transposed(value: Array) -> Array:
    return np.concatenate([block.T for block in np.split(value, 4)])


def _unit_by_unit(value: Array) -> Array:
    return value.reshape(4, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def _halves_swapped(value: Array) -> Array:
    return np.roll(value, value.shape[1] // 2, axis=1)


_W, _R, _B, _B_HH = "lstm.weight_ih_l0", "lstm.weight_hh_l0", "lstm.bias_l0", "lstm.bias_hh_l0"
_PACKED = (_W, _R, "lstm.bias_ih_l0", _B_HH)
_UPPER = [f"lstm.weight_ih_l1{end}" for end in ("", "_reverse")]
_OWNERS = {
    f"l{k}{end}": f"lstm, layer {k}, {word}" for k in (0, 1) for end, word in (("", "forward"), ("_reverse", "reverse"))
}


def _from(one: str, other: str, *kinds: str) -> dict[str, Told]:
    ends = ((one, other), (other, one))
    return {f"lstm.{kind}_{to}": Told(owner=_OWNERS[source]) for kind in kinds for to, source in ends}


MISTAKES: Mapping[str, Mistake] = {
    "gates": Mistake(
        "all tensors have the gates in the order i, o, f, g", "plain", _each(_rows("iofg"), *_PACKED),
        {name: Told(gates="iofg") for name in (_W, _R, _B)},
    ),
    "gates of a matrix": Mistake(
        "weight_hh alone has the gates in the order i, f, o, g", "plain", _each(_rows("ifog"), _R),
        {_R: Told(gates="ifog")},
    ),
    "gates of a bias": Mistake(
        "bias_hh alone has the gates in the order i, g, f, o", "plain", _each(_rows("igfo"), _B_HH),
        {_B: Told(gates="igfo", sum="bias_hh alone")},
    ),
    "transposed": Mistake(
        "weight_hh is transposed under its shape", "plain", _each(lambda value: value.T.reshape(value.shape), _R),
        {_R: Told(layout="transposed")},
    ),
    "blocks transposed": Mistake(
        "each gate's block of weight_hh is transposed", "plain", _each(_blocks_transposed, _R),
        {_R: Told(layout="blocks transposed")},
    ),
    "unit by unit": Mistake(
        "the rows of both matrices stand unit by unit", "plain", _each(_unit_by_unit, _W, _R),
        {name: Told(layout="unit by unit") for name in (_W, _R)},
    ),
    "columns exchanged": Mistake(
        "a layer reads the two directions below it exchanged", "stacked", _each(_halves_swapped, *_UPPER),
        {name: Told(layout="directions swapped") for name in _UPPER},
    ),
    "projection transposed": Mistake(
        "weight_hr is transposed under its shape", "projected",
        _each(lambda value: value.T.reshape(value.shape), "lstm.weight_hr_l0"),
        {"lstm.weight_hr_l0": Told(layout="transposed")},
    ),
    "bias left out": Mistake(
        "bias_hh is left out", "plain", _each(np.zeros_like, _B_HH), {_B: Told(sum="bias_ih")}
    ),
    "bias twice": Mistake(
        "bias_ih stands for both biases", "plain", _copied(bias_hh_l0="bias_ih_l0"), {_B: Told(sum="bias_ih twice")}
    ),
    "sum twice": Mistake(
        "the sum of both biases is there twice", "plain",
        _each(lambda value: 2 * value, "lstm.bias_ih_l0", _B_HH), {_B: Told(sum="sum twice")},
    ),
    "forget bias": Mistake(
        "1 is added to the forget gate's bias", "plain", _each(_forget_one, _B_HH), {_B: Told(offset=1.0)}
    ),
    "other direction": Mistake(
        "the two directions of a layer are exchanged", "stacked",
        _exchanged("l0", "l0_reverse", "weight_ih", "weight_hh", "bias_ih", "bias_hh"),
        _from("l0", "l0_reverse", "weight_ih", "weight_hh", "bias"),
    ),
    "other layer": Mistake(
        "the recurrent weights of two layers are exchanged", "stacked", _exchanged("l0", "l1", "weight_hh"),
        _from("l0", "l1", "weight_hh"),
    ),
    "other matrix": Mistake(
        "weight_ih holds weight_hh", "plain", _copied(weight_ih_l0="weight_hh_l0"), {_W: Told(kind="weight_hh")}
    ),
    "other LSTM": Mistake(
        "the decoder has the encoder's weight_hh", "two", _decoder_of_encoder,
        {"decoder.weight_hh_l0": Told(owner="encoder")},
    ),
    "several at once": Mistake(
        "weight_ih transposed by blocks, weight_hh in another order, bias_hh left out", "plain", _several,
        {_W: Told(layout="blocks transposed"), _R: Told(gates="fiog"), _B: Told(sum="bias_ih")},
    ),
    "stale": Mistake(
        "the weights are of an earlier day", "plain", _others, {name: Told(unrelated=True) for name in (_W, _R, _B)}
    ),
    "quantized": Mistake(
        "the weights went through 8 bits", "plain", _each(_quantized, *_PACKED), likeness=Likeness.NEAR
    ),
    "layer left out": Mistake(
        "the second layer is in no LSTM of the file", "stacked", lambda weights: None, likeness=Likeness.EQUAL,
        missing=(_OWNERS["l1"], _OWNERS["l1_reverse"]), exported="lower",
    ),
    "no mistake": Mistake(
        "the weights went through float16", "plain", _half, likeness=Likeness.ROUNDED, wrong=False
    ),
}  # fmt: skip


#: The mistakes that no comparison can find in the files of a route, and why.
HIDDEN: Mapping[tuple[str, str], str] = {
    ("TensorFlow Lite", "other direction"): "each direction is an operator of its own, which does not say which it is",
}


def named(mistake: Mistake, compared: list[WeightsCompared]) -> bool:
    """Whether the comparison tells of a planted mistake all that it must, and nothing else."""
    told: dict[str, Told] = {}
    missing = []
    for each in compared:
        if each.likeness == Likeness.MISSING:
            missing.append(each.trained)
            continue
        found = dict(_told(each))
        if each.likeness != (Likeness.DIFFERENT if found else mistake.likeness) and not _spared(mistake, each):
            return False
        told |= found
    return told == dict(mistake.told) and tuple(sorted(missing)) == tuple(sorted(mistake.missing))


def _spared(mistake: Mistake, compared: WeightsCompared) -> bool:
    """Whether it is an LSTM that the mistake does not touch, and is called equal."""
    return compared.likeness == Likeness.EQUAL and mistake.likeness == Likeness.DIFFERENT


def _told(compared: WeightsCompared) -> list[tuple[str, Told]]:
    """What is told, by the trained tensors' own names."""
    found = []
    for taken in compared.taken:
        # In the file's order; here by the places of i, f, g and o.
        at = dict(zip(compared.gates, taken.gates or compared.gates, strict=True))
        gates = "".join(at[gate] for gate in _GATES)
        told = Told(taken.owner, taken.kind, taken.layout, gates, taken.sum, taken.offset)
        found += [(_full(compared.trained, name), told) for name in taken.tensors]
    return [*found, *((_full(compared.trained, name), Told(unrelated=True)) for name in compared.unrelated)]


def _full(trained: str, tensor: str) -> str:
    """The trained tensor that one of an LSTM in a file stands for: "lstm, layer 1, reverse" and "bias_l0"."""
    module, *parts = trained.split(", ")
    kind, _, end = tensor.rpartition("_l")
    layer, _, reverse = end.partition("_")
    for part in parts:
        if part.startswith("layer "):
            layer = part.removeprefix("layer ")
        else:
            reverse = "reverse" * (part == "reverse")
    return f"{module}.{kind}_l{layer}{'_reverse' * bool(reverse)}"
