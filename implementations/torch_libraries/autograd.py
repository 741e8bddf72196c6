"""What a backend made of torch modules needs: ``forward`` and ``forward.vjp`` of a function of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance import Capabilities, LSTMConfig
from conformance.spec import Array
from implementations import model


def model_of(
    declared: Capabilities,
    config: LSTMConfig,
    run: Callable[..., Any],
    leaves: Mapping[Any, Any],
    packed: Callable[[dict[Any, Array]], dict[str, Array]] = lambda grads: grads,
) -> Callable[..., Any]:
    """``run(x, state)``, or ``run(x, state, lengths)``, gives output, (h_n, c_n), of tensors by nn.LSTM's shapes.

    ``leaves`` are the parameters that it reads, by any names; ``packed`` makes nn.LSTM's gradients of theirs.
    """
    import torch

    from conformance.torch_module import from_torch, to_torch, vjp_of

    gradient = vjp_of(run, config, leaves)

    @torch.no_grad()
    def call(x: Any, state: Any, lengths: Any) -> Any:
        rows = () if lengths is None else (to_torch(lengths),)
        output, (h_n, c_n) = run(to_torch(x), state and tuple(map(to_torch, state)), *rows)
        return from_torch(output), from_torch(h_n), from_torch(c_n)

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        (output, (h_n, c_n)), grads = gradient(x, state, lengths, *cotangents)
        inputs = {name: grads.pop(name) for name in ("x", "h_0", "c_0")}
        return (output, h_n, c_n), inputs | packed(grads)

    return model.model_of(declared, config, call, differentiate)
