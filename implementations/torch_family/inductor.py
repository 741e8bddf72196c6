"""torch.compile as the adapters call it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor


@cache
def compiled() -> Callable[..., Any]:
    """``compiled(module, x, hx)``, ``module(x, hx)`` compiled by inductor for each signature."""
    torch._dynamo.config.allow_rnn = True
    # Each signature is a compilation of the same function.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 100_000

    # fullgraph raises if anything is not compiled; dynamic shapes would be another implementation.
    @torch.compile(fullgraph=True, dynamic=False)
    def called(module: torch.nn.Module, x: Tensor, hx: tuple[Tensor, Tensor] | None) -> Any:
        return module(x, hx)

    return called
