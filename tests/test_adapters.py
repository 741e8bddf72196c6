"""What the adapters of frameworks share: the model made of two functions, and programs as backends with names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import Capabilities, LSTMConfig, Unsupported
from implementations.javascript import programs
from implementations.model import model_of
from implementations.torch_libraries.autograd import one_bias

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


def test_a_program_that_does_not_start_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(programs.PROGRAMS, "missing_js", (tmp_path, "missing.mjs"))
    backend = programs.missing_js
    assert backend.name == "missing-js"
    reason = backend.available()
    assert reason is not None
    assert f"npm install --prefix {tmp_path}" in reason
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        programs.other  # noqa: B018
