"""Keras' and LiteRT's files as targets, where the framework is installed."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import LSTMConfig
from conformance.facts.weights import Likeness
from conformance.spec import param_shapes
from conformance.targets import exported
from implementations.mobile.litert_model import litert_model


def test_the_operators_of_a_litert_file_are_found_layer_by_layer(folder: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    random, config = np.random.default_rng(0), LSTMConfig(3, 4, num_layers=2, proj_size=2)
    params = {name: random.uniform(-1, 1, shape).astype("f4") for name, shape in param_shapes(config).items()}
    Path("m.tflite").write_bytes(litert_model(config, params, (5, 2, 3))[0])
    np.savez("t.npz", allow_pickle=False, **params)
    told = exported.expand("m.tflite", "t.npz")[1]
    assert [(each.trained, each.likeness, each.merged) for each in told] == [
        ("the LSTM, layer 0", Likeness.EQUAL, True),
        ("the LSTM, layer 1", Likeness.EQUAL, True),
    ]


def test_the_layers_of_a_keras_file_are_found_in_their_order(folder: Path) -> None:
    pytest.importorskip("keras")
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras: Any = importlib.import_module("keras")

    x = keras.Input((None, 3))
    both = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True), name="both")(x)
    keras.Model(x, keras.layers.LSTM(5, go_backwards=True, name="last")(both)).save("m.keras")
    both, last = exported.read("m.keras")
    assert both.config == LSTMConfig(3, 4, batch_first=True, bidirectional=True)
    assert last.config == LSTMConfig(8, 5, batch_first=True)
    assert "reversed" in last.note
    told = exported.expand("m.keras", "m.keras")[1]
    assert [each.likeness for each in told] == [Likeness.EQUAL, Likeness.EQUAL]
