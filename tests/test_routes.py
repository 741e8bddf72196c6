"""The wrong conversions that ``benchmarks.routes`` plants: each is named in whatever form a file holds the LSTM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.routes_files import MODELS
from benchmarks.routes_mistakes import HIDDEN, MISTAKES, named
from conformance.facts.weights import Taken
from conformance.spec import Array, LSTMConfig, Params, Slot, layer_params, param_shapes
from conformance.targets.trained import Held, compared, trained

Parts = Callable[[LSTMConfig], Sequence[Sequence[Slot]]]


def _weights(model: str) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        f"{name}.{tensor}": random.uniform(-1, 1, shape).astype(np.float32)
        for name, lstm in MODELS[model].items()
        for tensor, shape in param_shapes(LSTMConfig(*lstm.sizes, **lstm.options)).items()
    }


def _held(model: str, weights: Mapping[str, Array], parts: Parts, gates: str, merged: bool) -> list[Held]:
    """The LSTMs of a file as a format holds them: whole, or a node for each layer or direction."""
    found = []
    for name, lstm in MODELS[model].items():
        config = LSTMConfig(*lstm.sizes, **lstm.options)
        own = {tensor: weights[f"{name}.{tensor}"] for tensor in param_shapes(config)}
        for number, slots in enumerate(parts(config)):
            one = replace(
                config,
                input_size=config.layer_input_size(slots[0].layer),
                num_layers=len({slot.layer for slot in slots}),
                bidirectional=len(slots) > len({slot.layer for slot in slots}),
            )
            params: dict[str, Array] = {}
            for at, slot in zip(one.slots(), slots, strict=True):
                params |= {kind + at.suffix: value for kind, value in _packed(own, slot, merged).items()}
            found.append(Held(f"{name}{number}", one, params, gates))
    return found


def _packed(own: Params, slot: Slot, merged: bool) -> dict[str, Array]:
    tensors = dict(layer_params(own, slot))
    if merged and "bias_ih" in tensors:
        tensors["bias_ih"] = tensors["bias_ih"] + tensors["bias_hh"]
        tensors["bias_hh"] = 0 * tensors["bias_hh"]
    return tensors


FORMATS: Mapping[str, tuple[Parts, str, bool]] = {
    "torch": (lambda config: [config.slots()], "ifgo", False),
    "ONNX": (lambda config: [config.slots(k) for k in range(config.num_layers)], "iofg", False),
    "Keras": (lambda config: [config.slots(k) for k in range(config.num_layers)], "ifgo", True),
    "TensorFlow Lite": (lambda config: [[slot] for slot in config.slots()], "ifgo", True),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("id", MISTAKES)
def test_each_mistake_is_named_and_nothing_else(id: str, format: str) -> None:
    mistake = MISTAKES[id]
    right = _weights(mistake.model)
    wrong = dict(right)
    mistake.change(wrong)
    held = _held(mistake.exported or mistake.model, wrong, *FORMATS[format])
    told = compared("m", held, "t", trained(right, "t"))
    hidden = (format, id) in HIDDEN
    assert named(mistake, told) != hidden, told
    assert any(each.likeness.wrong for each in told) == (mistake.wrong and not hidden)
    unchanged = compared("m", _held(mistake.model, right, *FORMATS[format]), "t", trained(right, "t"))
    assert not any(each.likeness.wrong for each in unchanged)
    assert not named(mistake, unchanged)


def test_a_mistake_that_is_told_with_another_one_is_not_named() -> None:
    """The benchmark would show it: what is told must be all, and nothing else."""
    mistake = MISTAKES["bias left out"]
    wrong = dict(_weights("plain"))
    mistake.change(wrong)
    [told] = compared("m", _held("plain", wrong, *FORMATS["ONNX"]), "t", trained(_weights("plain"), "t"))
    assert named(mistake, [told])
    assert not named(mistake, [replace(told, taken=(*told.taken, Taken(("weight_hh_l0",), layout="transposed")))])
    assert not named(mistake, [replace(told, taken=(replace(told.taken[0], sum="zeros"),))])
    assert not named(mistake, [replace(told, unrelated=("weight_ih_l0",))])
