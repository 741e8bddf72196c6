"""A conversion of weights that went wrong is recognised from the arrays alone; a right one is never called wrong."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from ml_dtypes import bfloat16

from conformance import LSTMConfig
from conformance.conventions.parameters import ORDERS, gate_order
from conformance.conventions.recognise import Recognised, recognise
from conformance.facts.weights import Likeness, Taken
from conformance.spec import Array, Params, layer_params, param_shapes

CONFIG = LSTMConfig(4, 4, bidirectional=True)
SLOTS = CONFIG.slots()


def _weights(config: LSTMConfig, seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {name: random.uniform(-1, 1, shape).astype(np.float32) for name, shape in param_shapes(config).items()}


TRAINED = _weights(CONFIG)


def _recognised(
    found: Params, config: LSTMConfig = CONFIG, trained: Params = TRAINED, gates: str = "iofg"
) -> Recognised:
    slots = {slot.suffix: layer_params(trained, slot) for slot in config.slots()}
    return recognise(config, found, {name: name for name in slots}, slots, gates)


def _changed(change: Callable[[Array], Array], *kinds: str) -> Params:
    """The trained weights, of which some are changed."""
    return {name: change(value) if name.startswith(kinds) else value for name, value in TRAINED.items()}


def _each(*kinds: str) -> tuple[str, ...]:
    return tuple(kind + slot.suffix for slot in SLOTS for kind in kinds)


def test_the_trained_weights_are_equal() -> None:
    assert _recognised(TRAINED) == Recognised(Likeness.EQUAL)


def test_a_weight_that_is_infinite_or_no_number_is_equal_to_itself_alone() -> None:
    """Beside an infinite weight every error seemed small: another number in its place was told as rounded."""
    for number in (np.inf, np.nan):
        spoilt = {name: value.copy() for name, value in TRAINED.items()}
        spoilt["weight_hh_l0"][1, 2] = number
        assert _recognised(spoilt, trained=spoilt).likeness == Likeness.EQUAL
        assert _recognised(TRAINED, trained=spoilt).likeness == Likeness.DIFFERENT
        assert _recognised(spoilt).likeness == Likeness.DIFFERENT


@pytest.mark.parametrize("order", [order for order in ORDERS if order != "ifgo"])
def test_every_other_order_of_the_gates_is_named_as_it_stands_in_the_file(order: str) -> None:
    """Of the 24 orders, that of the file is told in the letters of its format: nothing was reordered is i, f, g, o."""
    swapped = gate_order(order)
    found = {name: swapped(CONFIG, name, value) for name, value in TRAINED.items()}
    [taken] = _recognised(found).taken
    stands = "".join("ifgo"[order.index(gate)] for gate in "iofg")
    assert set(taken.tensors) == {*_each("weight_ih", "weight_hh", "bias")}
    assert taken == Taken(taken.tensors, gates=stands)
    if order == "iofg":
        assert stands == "ifgo"


def test_one_tensor_in_another_order_is_told_alone() -> None:
    found = _changed(lambda value: gate_order("figo")(CONFIG, "", value), "weight_hh")
    told = _recognised(found, gates="ifgo")
    assert told.taken == (Taken(_each("weight_hh"), gates=_stands("figo")),)


def _stands(order: str) -> str:
    return "".join("ifgo"[order.index(gate)] for gate in "ifgo")


@pytest.mark.parametrize(
    ("change", "layout"),
    [
        (lambda value: value.reshape(value.shape[::-1]).T, "transposed"),
        (lambda value: value.T.reshape(value.shape), "transposed"),
        (lambda value: value.reshape(4, 4, 4).swapaxes(1, 2).reshape(value.shape), "blocks transposed"),
        (lambda value: value.reshape(4, 4, 4).swapaxes(0, 1).reshape(value.shape), "unit by unit"),
    ],
)
def test_a_matrix_arranged_otherwise_is_named(change: Callable[[Array], Array], layout: str) -> None:
    told = _recognised(_changed(change, "weight_hh"))
    assert told.taken == (Taken(_each("weight_hh"), layout=layout),)


def test_a_matrix_transposed_in_the_files_own_order_is_named() -> None:
    """The exporter brought the gates into the file's order and then took the memory for the transposed matrix."""
    there = [0, 3, 1, 2]  # i, o, f, g

    def wrong(value: Array) -> Array:
        packed = value.reshape(4, 4, -1)[there].reshape(value.shape)
        packed = packed.reshape(packed.shape[::-1]).T
        return packed.reshape(4, 4, -1)[np.argsort(there)].reshape(value.shape)

    assert _recognised(_changed(wrong, "weight_ih")).taken == (Taken(_each("weight_ih"), layout="transposed"),)


def test_an_order_and_a_left_out_bias_are_both_named() -> None:
    found = {name: gate_order("iofg")(CONFIG, name, value) for name, value in TRAINED.items()}
    found = {name: 0 * value if name.startswith("bias_hh") else value for name, value in found.items()}
    taken = {each.sum: each for each in _recognised(found).taken}
    assert taken[""] == Taken(_each("weight_ih", "weight_hh"), gates="ifgo")
    assert taken["bias_ih"] == Taken(_each("bias"), gates="ifgo", sum="bias_ih")


def _biases(make: Callable[[Array, Array], tuple[Array, Array]]) -> Params:
    found = dict(TRAINED)
    for slot in SLOTS:
        names = "bias_ih" + slot.suffix, "bias_hh" + slot.suffix
        found |= dict(zip(names, make(TRAINED[names[0]], TRAINED[names[1]]), strict=True))
    return found


@pytest.mark.parametrize(
    ("make", "sum"),
    [
        (lambda ih, hh: (ih, 0 * hh), "bias_ih"),
        (lambda ih, hh: (0 * ih, hh), "bias_hh"),
        (lambda ih, hh: (ih, ih), "bias_ih twice"),
        (lambda ih, hh: (hh, hh), "bias_hh twice"),
        (lambda ih, hh: (ih + hh, ih + hh), "sum twice"),
        (lambda ih, hh: (0 * ih, 0 * hh), "zeros"),
    ],
)
def test_what_stands_for_the_sum_of_the_biases_is_named(
    make: Callable[[Array, Array], tuple[Array, Array]], sum: str
) -> None:
    told = _recognised(_biases(make))
    assert told.taken == (Taken(_each("bias"), sum=sum),)
    assert told.likeness == Likeness.DIFFERENT


def test_one_bias_in_another_order_is_told_apart_from_both() -> None:
    told = _recognised(_biases(lambda ih, hh: (ih, gate_order("iofg")(CONFIG, "", hh))), gates="ifgo")
    assert told.taken == (Taken(_each("bias"), gates=_stands("iofg"), sum="bias_hh alone"),)


@pytest.mark.parametrize("offset", [1.0, -1.0])
def test_what_is_added_to_the_forget_bias_is_told(offset: float) -> None:
    step = np.repeat(np.array([0, offset, 0, 0], np.float32), 4)
    assert _recognised(_biases(lambda ih, hh: (ih + step, hh))).taken == (Taken(_each("bias"), offset=offset),)


@pytest.mark.parametrize(
    "make", [lambda ih, hh: (ih + hh, 0 * hh), lambda ih, hh: (0 * ih, ih + hh), lambda ih, hh: (hh, ih)]
)
def test_biases_merged_or_exchanged_are_right(make: Callable[[Array, Array], tuple[Array, Array]]) -> None:
    """nn.LSTM depends on their sum alone. In float32 it is rounded."""
    told = _recognised(_biases(make))
    assert told.likeness == Likeness.EQUAL
    assert told.merged


def test_exchanged_directions_and_matrices_are_named_by_whose_values_they_are() -> None:
    other = {"_l0": "_l0_reverse", "_l0_reverse": "_l0"}
    found = {kind + end: TRAINED[kind + other[end]] for end in other for kind in layer_params(TRAINED, SLOTS[0])}
    whose = {each.owner: each.tensors for each in _recognised(found).taken}
    assert whose == {other[end]: tuple(kind + end for kind in ("weight_ih", "weight_hh", "bias")) for end in other}
    found = {**TRAINED, "weight_ih_l0": TRAINED["weight_hh_l0"], "weight_hh_l0": TRAINED["weight_ih_l0"]}
    assert {(each.tensors, each.kind) for each in _recognised(found).taken} == {
        (("weight_ih_l0",), "weight_hh"),
        (("weight_hh_l0",), "weight_ih"),
    }


def test_the_columns_of_the_directions_below_are_told() -> None:
    config = LSTMConfig(3, 2, num_layers=2, bidirectional=True)
    trained = _weights(config)
    value = trained["weight_ih_l1"]
    found = {**trained, "weight_ih_l1": np.concatenate([value[:, 2:], value[:, :2]], axis=1)}
    assert _recognised(found, config, trained).taken == (Taken(("weight_ih_l1",), layout="directions swapped"),)


def test_a_projection_is_compared_too() -> None:
    config = LSTMConfig(3, 4, proj_size=2)
    trained = _weights(config)
    assert _recognised(trained, config, trained) == Recognised(Likeness.EQUAL)
    value = trained["weight_hr_l0"]
    found = {**trained, "weight_hr_l0": value.T.reshape(value.shape)}
    assert _recognised(found, config, trained).taken == (Taken(("weight_hr_l0",), layout="transposed"),)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_is_named_and_is_no_mistake(dtype: str) -> None:
    kind = bfloat16 if dtype == "bfloat16" else np.float16
    told = _recognised({name: value.astype(kind).astype(np.float32) for name, value in TRAINED.items()})
    assert (told.likeness, told.dtype) == (Likeness.ROUNDED, dtype)
    assert not told.likeness.wrong
    assert 0 < told.largest < 0.01


def test_weights_in_steps_of_int8_are_near_and_not_equal() -> None:
    told = _recognised({name: np.round(value * 127) / np.float32(127) for name, value in TRAINED.items()})
    assert told.likeness == Likeness.NEAR
    assert told.likeness.wrong


def test_stale_weights_are_nobodys() -> None:
    told = _recognised(_weights(CONFIG, seed=1))
    assert told.taken == ()
    assert set(told.unrelated) == {*_each("weight_ih", "weight_hh", "bias")}
    old = _weights(CONFIG, seed=1)
    told = _recognised({name: old[name] if "weight_hh" in name else value for name, value in TRAINED.items()})
    assert told.unrelated == _each("weight_hh")


def test_nan_is_no_likeness() -> None:
    told = _recognised({name: np.full_like(value, np.nan) for name, value in TRAINED.items()})
    assert set(told.unrelated) == {*_each("weight_ih", "weight_hh", "bias")}


def test_a_model_of_one_unit_is_not_taken_for_another_order() -> None:
    """Four numbers have 24 orders, some of them near by chance: the right reading comes first."""
    config = LSTMConfig(1, 1)
    for seed in range(50):
        trained = _weights(config, seed)
        assert _recognised(trained, config, trained) == Recognised(Likeness.EQUAL)
    assert len({*map("".join, permutations("ifgo"))}) == len(ORDERS)
