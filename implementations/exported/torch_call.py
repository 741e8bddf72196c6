"""The call ``aten::lstm`` of an exported torch program as an LSTM: its options, its weights, and the ways to run it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, guard
from conformance.backend import Backend
from conformance.errors import UsageError
from conformance.spec import Array, State, param_shapes
from conformance.targets.exported import Exported
from conformance.torch_module import from_torch, to_torch
from implementations.options import zeros
from implementations.torch_family.tensors import forward_of

CAPABILITIES = Capabilities()

_CALLED = "the call aten::lstm is made with the weights of the file; the suite looks at the shapes before it"


def exported(name: str, weights: Sequence[torch.Tensor], options: Sequence[Any], method: Any = None) -> Exported:
    """The LSTM of a call.

    ``options`` are those behind the weights: has_biases, num_layers, dropout, train, bidirectional, batch_first. The
    LSTM is run by its ``method``, if the file has nn.LSTM's, and else by the call itself.
    """
    bias, layers, dropout, train, bidirectional, batch_first = options
    config = _config(name, weights, bias, layers, bidirectional, batch_first)
    shapes = param_shapes(config)
    if [tuple(each.shape) for each in weights] != [*shapes.values()]:
        raise UsageError(f"the weights of {name!r} are not those of nn.LSTM: {[tuple(w.shape) for w in weights]}")
    params = {own: from_torch(each).copy() for own, each in zip(shapes, weights, strict=True)}
    build = partial(_called, config, list(weights)) if method is None else partial(_method, method)
    capabilities = Capabilities(unbatched=method is not None)
    note = f"it was exported in training mode, with dropout={dropout:g}" if train and dropout else ""
    runtime = Backend("torch", capabilities, build, note=_CALLED if method is None else "", version=torch.__version__)
    return Exported(name, config, params, (runtime,), note=note)


def _config(
    name: str, weights: Sequence[torch.Tensor], bias: bool, layers: int, bidirectional: bool, batch_first: bool
) -> LSTMConfig:
    slots = layers * (2 if bidirectional else 1)
    each, left = divmod(len(weights), max(1, slots))
    if left or each not in (2 + 2 * bias, 3 + 2 * bias) or any(w.ndim not in (1, 2) for w in weights):
        raise UsageError(f"{name!r} has {len(weights)} weights for {slots} layers and directions")
    dtype = str(weights[0].dtype).removeprefix("torch.")
    try:
        return LSTMConfig(
            weights[0].shape[-1],
            weights[0].shape[0] // 4,
            num_layers=layers,
            bias=bias,
            batch_first=batch_first,
            bidirectional=bidirectional,
            proj_size=weights[each - 1].shape[0] if each == 3 + 2 * bias else 0,
            dtype=dtype,
        )
    except ValueError as error:
        raise UsageError(f"{name!r} is no LSTM of nn.LSTM's: {error}") from None


def _method(method: Any, *_: Any) -> Callable[..., Any]:
    """``forward(x, state)`` of a scripted nn.LSTM, ``method(x, hx)``."""

    def run(x: torch.Tensor, hx: Any) -> Any:
        # The profiling executor would specialize the graph for the shapes of the first calls.
        with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
            return method(x, hx)

    return forward_of(run)


def _called(config: LSTMConfig, weights: list[torch.Tensor], *_: Any) -> Callable[..., Any]:
    """``forward(x, state)`` by the operator."""
    options = (config.bias, config.num_layers, 0.0, False, config.bidirectional, config.batch_first)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
        if x.ndim != 3:
            raise Unsupported("the exported call is batched")
        guard(config, x, state)
        h_0, c_0 = (to_torch(part) for part in (state or zeros(config, x)))
        output, h_n, c_n = torch.ops.aten.lstm.input(to_torch(x), [h_0, c_0], weights, *options)
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    return forward
