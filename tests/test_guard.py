"""The guard: what nn.LSTM refuses raises ``ValueError`` that names argument, what came and what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from conformance import LSTMConfig, guard

CONFIG = LSTMConfig(3, 5, num_layers=2, bidirectional=True, proj_size=2)
BATCH_FIRST = LSTMConfig(3, 5, num_layers=2, bidirectional=True, proj_size=2, batch_first=True)


def zeros(*shape: int, dtype: str = "float32") -> Any:
    return np.zeros(shape, dtype)


X, STATE, LENGTHS = zeros(4, 6, 3), (zeros(4, 6, 2), zeros(4, 6, 5)), np.full(6, 4)


@pytest.mark.parametrize(
    ("config", "call"),
    [
        (CONFIG, (X,)),
        (CONFIG, (X, STATE, LENGTHS)),
        (BATCH_FIRST, (zeros(6, 4, 3), STATE, LENGTHS)),
        (BATCH_FIRST, (zeros(4, 3), (zeros(4, 2), zeros(4, 5)))),
        (CONFIG, (zeros(4, 0, 3), (zeros(4, 0, 2), zeros(4, 0, 5)))),
        (CONFIG, (zeros(0, 6, 3), STATE)),
    ],
)
def test_what_nn_lstm_takes_passes_as_arrays_and_as_tensors(config: LSTMConfig, call: tuple[Any, ...]) -> None:
    guard(config, *call)
    guard(config, *(tuple(map(torch.tensor, each)) if isinstance(each, tuple) else torch.tensor(each) for each in call))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((zeros(3),), r"x must be float32 \(L, N, 3\) or \(L, 3\), got float32 \(3,\)"),
        ((zeros(1, 4, 6, 3),), r"got float32 \(1, 4, 6, 3\)"),
        ((zeros(4, 6, 2),), r"x must be .*, got float32 \(4, 6, 2\)"),
        ((zeros(4, 6, 3, dtype="float64"),), "x must be float32 .*, got float64"),
        ((X, (zeros(4, 1, 2), STATE[1])), r"h_0 must be float32 \(4, 6, 2\) .*, got float32 \(4, 1, 2\)"),
        ((X, (STATE[0], zeros(4, 7, 5))), r"c_0 must be float32 \(4, 6, 5\) .*, got float32 \(4, 7, 5\)"),
        ((X, (STATE[0], zeros(4, 30))), r"c_0 must be .*, got float32 \(4, 30\)"),
        ((X, (STATE[0], zeros(4, 6, 5, dtype="float16"))), "c_0 must be float32 .*, got float16"),
        ((X, STATE[:1]), r"state must be \(h_0, c_0\), got a tuple"),
        ((X, None, LENGTHS[:5]), r"lengths must be int64 \(6,\) .*, got int64 \(5,\)"),
        ((X, None, LENGTHS[:, None]), r"lengths must be int64 \(6,\) .*, got int64 \(6, 1\)"),
        ((X, None, LENGTHS.astype(float)), "lengths must be int64 .*, got float64"),
        ((X, None, LENGTHS + 1), "lengths must be from 1 to 4, got"),
        ((X, None, LENGTHS - 4), "lengths must be from 1 to 4, got"),
        ((zeros(4, 3), None, LENGTHS[:1]), "lengths must be None for an x without rows"),
    ],
)
def test_what_does_not_fit_is_named_with_what_came_and_what_was_expected(call: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        guard(CONFIG, *call)
