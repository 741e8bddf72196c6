"""What the notebooks printed, asked of every built-in backend."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest
import torch
from torch import Tensor

from conformance import Backend, LSTMConfig
from conformance.targets import registry
from conformance.targets.find import find

State = tuple[Tensor, Tensor]

BUILT_IN = [
    find(point.name) for point in entry_points(group=registry.GROUP) if point.module.startswith("implementations.")
]


def every_backend(*needs: str) -> pytest.MarkDecorator:
    """Parametrise ``backend`` over the built-in backends that declare every capability in ``needs``."""
    able = [backend for backend in BUILT_IN if all(getattr(backend.capabilities, need) for need in needs)]
    return pytest.mark.parametrize("backend", [_param(backend) for backend in able])


def _param(backend: Backend) -> Any:
    reason = backend.available()
    return pytest.param(backend, id=backend.name, marks=[pytest.mark.skip(reason=reason)] if reason else [])


def build(backend: Backend, lstm: torch.nn.LSTM) -> Callable[..., tuple[Tensor, State]]:
    """The backend's ``forward`` with the config and the weights of the notebook's ``nn.LSTM``, on torch tensors.

    ``forward(x)`` or ``forward(x, (h_0, c_0))`` -> output, (h_n, c_n), as tensors again, so that tests read like the
    notebook's cells.
    """
    config = LSTMConfig(
        lstm.input_size,
        lstm.hidden_size,
        lstm.num_layers,
        batch_first=lstm.batch_first,
        bidirectional=lstm.bidirectional,
    )
    with torch.random.fork_rng(devices=[]):  # an nn.LSTM draws weights first: the notebook's stream must not move
        model = backend.build(config, {name: value.numpy() for name, value in lstm.state_dict().items()})

    def forward(x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        given = () if state is None else ((state[0].numpy(), state[1].numpy()),)
        output, (h_n, c_n) = model(x.numpy(), *given)
        return torch.from_numpy(output), (torch.from_numpy(h_n), torch.from_numpy(c_n))

    return forward


def assert_printed(actual: Tensor, printed: list[Any]) -> None:
    """``actual`` has the printed shape and, to the four digits that torch prints, the printed numbers."""
    torch.testing.assert_close(actual, torch.tensor(printed), rtol=0, atol=5.1e-5)


def assert_same(actual: Tensor, expected: Tensor) -> None:
    """Equal up to float32 rounding: the two were computed along different ways."""
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
