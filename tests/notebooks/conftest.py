from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _own_random_stream() -> Iterator[None]:
    """The notebooks seed torch's global generator; other tests must not notice."""
    with torch.random.fork_rng(devices=[]):
        yield
