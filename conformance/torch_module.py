"""A torch ``nn.Module`` class that is a drop-in for nn.LSTM, as a build function; imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from conformance.backend import Build, Unsupported
from conformance.spec import Array, LSTMConfig, Params, State, numpy_dtype


def build_of(cls: type[torch.nn.Module]) -> Build:
    """``build(config, params)`` for a module class with nn.LSTM's constructor arguments and state_dict names."""

    def build(config: LSTMConfig, params: Params) -> Callable[..., Any]:
        options: dict[str, Any] = {
            "num_layers": config.num_layers if config.num_layers > 1 else None,
            "bias": None if config.bias else False,
            "batch_first": config.batch_first or None,
            "bidirectional": config.bidirectional or None,
            "proj_size": config.proj_size or None,
            "dropout": config.dropout or None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        try:
            module = cls(config.input_size, config.hidden_size, **given)
        except TypeError as error:
            if given and "unexpected keyword" in str(error):
                raise Unsupported(str(error)) from error
            raise
        module = module.to(getattr(torch, config.dtype))
        _load(module, {name: to_torch(np.array(value)) for name, value in params.items()})
        module.train(config.training)

        def forward(x: Array, state: State | None = None) -> Any:
            with torch.no_grad():
                if state is None:
                    return _to_numpy(module(to_torch(x)))
                return _to_numpy(module(to_torch(x), (to_torch(state[0]), to_torch(state[1]))))

        return forward

    return build


def _load(module: torch.nn.Module, state_dict: dict[str, torch.Tensor]) -> None:
    """Load nn.LSTM's parameters, all of them and no others."""
    found = module.load_state_dict(state_dict, strict=False)
    wrong = {"lacks": found.unexpected_keys, "has besides": found.missing_keys}
    if any(wrong.values()):
        told = "; it ".join(f"{how} {', '.join(names)}" for how, names in wrong.items() if names)
        raise ValueError(
            f"the state_dict of {type(module).__name__} is not nn.LSTM's: it {told}. Give it nn.LSTM's names, or write "
            "a function build(config, params) that loads the weights your way, as `lstm-conformance new FILE` shows"
        )


def _to_numpy(returned: Any) -> Any:
    """What a module returned, with arrays for its tensors; whatever else it is, the suite reports."""
    if isinstance(returned, torch.Tensor):
        return from_torch(returned)
    return tuple(map(_to_numpy, returned)) if isinstance(returned, tuple | list) else returned


def to_torch(array: Array) -> torch.Tensor:
    """``array`` as a tensor over the same memory; a copy where torch has no such view.

    That is, of negative strides, and of memory that is read-only or not aligned.
    """
    if any(stride < 0 for stride in array.strides) or not array.flags.behaved:
        array = array.copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_torch(tensor: torch.Tensor) -> Array:
    """``tensor`` as an array over the same memory; a copy where it lies on another device."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
    return tensor.numpy()
