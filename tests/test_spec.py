"""What a config, its shapes and a declaration of capabilities accept and refuse, next to nn.LSTM where it decides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch_lstm import module_of

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, reorder
from conformance.backend import loop_over_time
from conformance.spec import Array, Params, Slot, State, layer_params, numpy_dtype, param_shapes, state_shapes

CONFIGS = [
    LSTMConfig(3, 4, num_layers, bias=bias, bidirectional=bidirectional, proj_size=proj_size)
    for num_layers, bias, bidirectional, proj_size in itertools.product((1, 2, 3), (True, False), (True, False), (0, 2))
]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_size": 0}, "input_size must be at least 1, got 0"),
        ({"hidden_size": -1}, "hidden_size must be at least 1, got -1"),
        ({"num_layers": 0}, "num_layers must be at least 1, got 0"),
        ({"proj_size": -1}, "proj_size must be at least 0, got -1"),
        ({"proj_size": 4}, "proj_size must be smaller than hidden_size 4, got 4"),
        ({"dropout": 1.5}, r"dropout must be a probability in \[0, 1\], got 1.5"),
        ({"dropout": float("nan")}, "dropout must be a probability"),
        ({"dtype": "int8"}, "dtype must be one of float32, float64, float16, bfloat16, got 'int8'"),
    ],
)
def test_a_config_that_means_nothing_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LSTMConfig(**{"input_size": 3, "hidden_size": 4, **wrong})


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_parameters_are_named_and_shaped_as_in_a_state_dict(config: LSTMConfig) -> None:
    expected = {name: tuple(value.shape) for name, value in module_of(config).state_dict().items()}
    assert list(param_shapes(config).items()) == list(expected.items())


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_state_is_shaped_as_nn_lstm_returns_it(config: LSTMConfig) -> None:
    output, (h_n, c_n) = module_of(config)(torch.zeros(2, 5, config.input_size))
    assert state_shapes(config, 5) == (h_n.shape, c_n.shape)
    assert output.shape[-1] == config.num_directions * config.output_size


def test_slots_are_layer_major_then_direction() -> None:
    config = LSTMConfig(3, 4, 2, bidirectional=True, proj_size=2)
    assert [slot.suffix for slot in config.slots()] == ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    assert [slot.position(config) for slot in config.slots()] == [0, 1, 2, 3]
    assert config.slots(1) == config.slots()[2:]
    assert [slot.features(config) for slot in config.slots(0)] == [slice(0, 2), slice(2, 4)]


def test_layer_params_drops_the_suffix_and_what_is_absent() -> None:
    config = LSTMConfig(3, 4, 2, bias=False, bidirectional=True)
    params = {name: np.full(shape, i) for i, (name, shape) in enumerate(param_shapes(config).items())}
    last = layer_params(params, Slot(1, 1))
    assert list(last) == ["weight_ih", "weight_hh"]
    assert last["weight_hh"] is params["weight_hh_l1_reverse"]


def test_dtypes_by_name() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert numpy_dtype("bfloat16") == ml_dtypes.bfloat16
    assert numpy_dtype("float16") == np.float16
    assert numpy_dtype("float64") == np.float64


@pytest.mark.parametrize("shape", [(8,), (8, 3)], ids=["bias", "weight"])
@pytest.mark.parametrize("order", ["ifgo", "iofg", "ifog", "gifo"])
def test_reorder_moves_whole_gates(order: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    gates = dict(zip("ifgo", np.split(array, 4), strict=True))
    reordered = reorder(array, order)
    np.testing.assert_array_equal(reordered, np.concatenate([gates[gate] for gate in order]))
    assert not np.shares_memory(reordered, array)


def test_reorder_refuses_what_is_no_order_and_what_is_not_packed() -> None:
    with pytest.raises(ValueError, match="permutation of 'ifgo', got 'ifgg'"):
        reorder(np.zeros(8), "ifgg")
    with pytest.raises(ValueError, match=r"four gates of equal size, got shape \(6, 2\)"):
        reorder(np.zeros((6, 2)), "iofg")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dtypes": "float32"}, r"must be a tuple of words, got the string 'float32': write \('float32',\)"),
        ({"dtypes": ("float33",)}, "dtypes names 'float33'; the known words are float32"),
        ({"dtypes": ()}, "dtypes is empty"),
        ({"returns": ("output", "h")}, "returns names 'h'; the known words are output, h_n, c_n"),
        ({"returns": ()}, "returns is empty"),
        ({"arithmetic": {"float32": "tf33"}}, "arithmetic names 'tf33'; the known words are ieee, tf32"),
        ({"arithmetic": {"float64": "tf32"}}, "arithmetic names 'float64'; the known words are float32"),
        ({"fixed": (LSTMConfig(3, 4, dtype="float64"), {})}, "fixed has dtype 'float64', which dtypes does not name"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Capabilities(**wrong)


def test_plain_capabilities_declare_the_least() -> None:
    plain = Capabilities()
    options = ("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection", "lengths", "gradients")
    assert not any(getattr(plain, option) for option in options)
    assert plain.batch
    assert plain.initial_state
    assert plain.dtypes == ("float32",)


def test_a_backend_is_called_as_its_build_function() -> None:
    def build(config: LSTMConfig, params: Params) -> Any:
        return config, params

    backend = Backend("mine", Capabilities(), build)
    assert backend(LSTMConfig(3, 4), {}) == (LSTMConfig(3, 4), {})
    assert backend.available() is None


def counting_cell(config: LSTMConfig, params: Params) -> Any:
    """A step that adds 1 to h and 10 to c."""

    def step(x_t: Array, state: State) -> State:
        assert x_t.shape == (2, config.input_size)
        return state[0] + 1, state[1] + 10

    return step


def test_a_cell_is_looped_over_time() -> None:
    forward = loop_over_time(counting_cell)(LSTMConfig(3, 1), {})
    x = np.zeros((4, 2, 3), np.float32)
    output, (h_n, c_n) = forward(x)
    assert output[..., 0].tolist() == [[1, 1], [2, 2], [3, 3], [4, 4]]
    assert (h_n.tolist(), c_n.tolist()) == ([[[4], [4]]], [[[40], [40]]])
    assert output.dtype == h_n.dtype == c_n.dtype == np.float32

    output, (h_n, c_n) = forward(x, (h_n, c_n))
    assert output[-1].tolist() == [[8], [8]]
    assert (h_n.tolist(), c_n.tolist()) == ([[[8], [8]]], [[[80], [80]]])


@pytest.mark.parametrize("option", [{"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}])
def test_a_cell_has_no_layers_directions_or_layouts(option: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="a cell is one layer"):
        loop_over_time(counting_cell)(LSTMConfig(3, 1, **option), {})


def test_a_cell_takes_neither_unbatched_input_nor_the_state_of_two_layers() -> None:
    forward = loop_over_time(counting_cell)(LSTMConfig(3, 1), {})
    with pytest.raises(Unsupported, match=r"batches \(L, N, 3\), got x \(4, 3\)"):
        forward(np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"\(1, N, ·\), got \(2, 2, 1\)"):
        forward(np.zeros((4, 2, 3)), (np.zeros((2, 2, 1)), np.zeros((2, 2, 1))))
