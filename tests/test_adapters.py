"""What the adapters of frameworks share: the model made of two functions, and programs as backends with names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Capabilities, LSTMConfig, Unsupported
from conformance.spec import param_shapes
from implementations.javascript import programs
from implementations.model import model_of, model_of_layer, on_tensors, one_bias
from implementations.states import by_layer, joined
from implementations.weights import of_layer

#: The backends that are longer, and why. The first four adapt no library: the LSTM itself is written there.
LONG = {
    "numpy_lstm.py": "an LSTM with all options, and its gradient, written out in NumPy",
    "torch_loop.py": "the textbook loop with all options, written out in torch",
    "c_lstm/c_lstm.py": "an LSTM in C: it checks and lays out all that C trusts",
    "triton_lstm/triton_lstm.py": "an LSTM in Triton: it launches the kernel for all options",
    "torch_nn.py": "nn.LSTM, the model of all: vjp, load and train, on the CPU and by three kernels of CUDA",
}
X = np.ones((2, 3, 1), np.float32)  # L, N, I
CONFIG = LSTMConfig(1, 4)


def test_a_model_refuses_what_is_not_declared_before_the_library_sees_it() -> None:
    def call(*arguments: Any) -> Any:
        raise AssertionError("the library was called")

    model: Any = model_of(Capabilities(), CONFIG, call, call)
    with pytest.raises(Unsupported, match="lengths"):
        model(X, None, np.ones(3, np.int64))
    with pytest.raises(Unsupported, match="unbatched"):
        model.vjp(X[:, 0], None, None)
    assert not hasattr(model_of(Capabilities(), CONFIG, call), "vjp")


def test_a_vjp_without_a_state_is_that_of_zeros() -> None:
    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        h_0, c_0 = state
        return (x, h_0, c_0), {"x": cotangents}

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return x, x, x

    model: Any = model_of(Capabilities(gradients=True), CONFIG, call, differentiate)
    (output, (h_n, c_n)), grads = model.vjp(X, None, None, 1, 2, 3)
    assert output is X
    assert h_n.shape == c_n.shape == (1, 3, 4)
    assert not h_n.any()
    assert not c_n.any()
    assert grads == {"x": (1, 2, 3)}


def test_one_bias_gives_both_of_nn_lstm_its_gradient() -> None:
    grads = one_bias({"x": X, "bias_ih_l0": X, "bias_ih_l1_reverse": X + 1})
    assert set(grads) == {"x", "bias_ih_l0", "bias_hh_l0", "bias_ih_l1_reverse", "bias_hh_l1_reverse"}
    assert grads["bias_hh_l1_reverse"] is grads["bias_ih_l1_reverse"]


def test_a_layer_sees_states_without_an_axis_of_layers() -> None:
    def call(x: Any, state: Any, lengths: Any) -> Any:
        return x, *(state or (X[0], X[0]))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        assert [part.shape for part in cotangents] == [(2, 3, 1), (3, 4), (3, 4)]
        return (x, *state), {"x": x, "h_0": state[0], "c_0": 2 * state[1]}

    model: Any = model_of_layer(Capabilities(gradients=True), CONFIG, call, differentiate)
    h, c = np.ones((1, 3, 4)), np.full((1, 3, 4), 2.0)
    assert model(X)[1][0].shape == (1, 3, 1)
    (_, states), grads = model.vjp(X, (h, c), None, X, h, c)
    for found, wanted in zip((*states, grads["h_0"], grads["c_0"]), (h, c, h, 2 * c), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match="unpack"):
        model(X, (np.ones((2, 3, 4)), np.ones((2, 3, 4))))


def test_a_function_of_tensors_is_one_of_arrays() -> None:
    def function(x: Any, state: Any, lengths: Any) -> Any:
        assert (x, state, lengths) == ("1", ("2", "3"), None)
        return [x, None], {"x": "4"}

    assert on_tensors(function, str, int)(1, (2, 3), None) == ((1, None), {"x": 4})


def test_states_by_layer_are_joined_again() -> None:
    config = LSTMConfig(1, 4, num_layers=2, bidirectional=True)
    h = np.arange(4 * 3 * 4).reshape(4, 3, 4)
    for axis, shape in ((0, (2, 3, 4)), (1, (3, 2, 4))):
        parts = by_layer(config, (h, -h), axis)
        assert [part.shape for part in parts] == [shape] * 4
        np.testing.assert_array_equal(parts[2].swapaxes(0, axis), h[2:])
        for found, wanted in zip(joined(parts, axis), (h, -h), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_the_weights_of_a_layer_have_all_directions_and_one_bias() -> None:
    config = LSTMConfig(3, 2, bidirectional=True, proj_size=1, dtype="float64")
    rng = np.random.default_rng(0)
    params = {name: rng.normal(size=shape) for name, shape in param_shapes(config).items()}
    W, R, B, W_hr = of_layer(config, params, 0, "ifog")
    assert W_hr is not None
    assert [part.shape for part in (W, R, B, W_hr)] == [(2, 8, 3), (2, 8, 1), (2, 8), (2, 1, 2)]
    bias = params["bias_ih_l0_reverse"] + params["bias_hh_l0_reverse"]
    np.testing.assert_array_equal(B[1], bias[[0, 1, 2, 3, 6, 7, 4, 5]])
    np.testing.assert_array_equal(W[1, 4:6], params["weight_ih_l0_reverse"][6:])
    plain = LSTMConfig(3, 2, bias=False)
    none = of_layer(plain, {name: np.ones(shape) for name, shape in param_shapes(plain).items()}, 0, "ifgo")
    assert none[3] is None
    assert not none[2].any()


def test_an_adapter_is_short_enough_to_copy() -> None:
    root = Path(programs.__file__).parents[1]
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    adapters = {name: text for name, text in texts.items() if re.search(r"^ *@(cell_)?backend\(", text, re.MULTILINE)}
    assert {"others/mlx_lstm.py", "torch_cell.py"} <= set(adapters)
    assert {name for name, text in adapters.items() if len(text.splitlines()) > 60} == set(LONG)


def test_a_program_that_does_not_start_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(programs.PROGRAMS, "missing_js", (tmp_path, "missing.mjs"))
    backend = programs.missing_js
    assert backend.name == "missing-js"
    reason = backend.available()
    assert reason is not None
    assert f"npm install --prefix {tmp_path}" in reason
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        programs.other  # noqa: B018
