"""What a backend made of torch needs: tensors from arrays and back, ``forward.vjp`` by autograd, whole module classes.

``to_torch`` and ``from_torch`` convert, ``vjp_of`` makes ``forward.vjp`` of a function of tensors, ``call`` calls a
module as nn.LSTM is called, with lengths too, ``build_of`` makes a build function of a class that is a drop-in for
nn.LSTM, and ``tensors_of`` reads a file of weights. docs/backends.md shows them at work. Importing this module imports
torch; nothing else in the suite does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from conformance.backend import Build, Unsupported
from conformance.guard import guard
from conformance.spec import Array, LSTMConfig, Params, State, numpy_dtype, state_shapes

__all__ = ["build_of", "call", "from_torch", "tensors_of", "to_torch", "vjp_of"]


def to_torch(array: Array) -> torch.Tensor:
    """``array``, of any shape and dtype, as a CPU tensor of that shape and dtype over the same memory.

    It is a copy where torch has no such view: of negative strides, and of memory that is read-only or not aligned.
    ``ml_dtypes.bfloat16`` becomes ``torch.bfloat16``.
    """
    if any(stride < 0 for stride in array.strides) or not array.flags.behaved:
        array = array.copy()
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_torch(tensor: torch.Tensor) -> Array:
    """``tensor``, of any shape and dtype, as an array of that shape and dtype, detached, over the same memory.

    It is a copy where the tensor lies on another device. ``torch.bfloat16`` becomes ``ml_dtypes.bfloat16``.
    """
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
    return tensor.numpy()


def vjp_of(
    run: Callable[..., Any], config: LSTMConfig, parameters: Mapping[str, torch.Tensor], device: str = "cpu"
) -> Callable[..., Any]:
    """``forward.vjp`` by torch's autograd of ``run(x, (h_0, c_0)) -> output, (h_n, c_n)``, all tensors on ``device``.

    Shapes and layouts are those of ``forward``; where lengths are given, ``run`` gets them third, int64 (N,) on the
    CPU. ``parameters`` are the leaves that ``run`` reads, by nn.LSTM's names. Their ``grad`` stays as it is, so that
    nothing adds up over calls or threads.

    The vjp takes and returns arrays: ``vjp(x, state, lengths, grad_output, grad_h_n, grad_c_n) -> ((output, (h_n,
    c_n)), grads)`` with ``grads`` of x, h_0, c_0 and each parameter by name, each shaped like what it is the gradient
    of. It raises ``Unsupported`` if no result depends on an argument in a way that torch has recorded.
    """

    def vjp(
        x: Array, state: State | None, lengths: Array | None, grad_output: Array, grad_h_n: Array, grad_c_n: Array
    ) -> Any:
        if state is None:
            rows = 1 if x.ndim == 2 else x.shape[0 if config.batch_first else 1]
            zeros = (np.zeros(shape, x.dtype) for shape in state_shapes(config, rows))
            h_0, c_0 = (part[:, 0] if x.ndim == 2 else part for part in zeros)
        else:
            h_0, c_0 = state
        inputs = {"x": x, "h_0": h_0, "c_0": c_0}
        leaves = {name: to_torch(value).to(device).requires_grad_() for name, value in inputs.items()}
        more = () if lengths is None else (to_torch(lengths),)
        with torch.enable_grad():
            returned = run(leaves["x"], (leaves["h_0"], leaves["c_0"]), *more)
        output, (h_n, c_n) = returned
        pairs = zip((output, h_n, c_n), (grad_output, grad_h_n, grad_c_n), strict=True)
        upstream = [(part, to_torch(grad).to(device)) for part, grad in pairs if part.requires_grad]
        if not upstream:
            raise Unsupported("gradients: no result has one")
        wanted = {**leaves, **parameters}
        parts, grads = zip(*upstream, strict=True)
        found = torch.autograd.grad(parts, list(wanted.values()), grads, allow_unused=True, materialize_grads=True)
        return _to_numpy(returned), dict(zip(wanted, _to_numpy(found), strict=True))

    return vjp


def call(
    module: torch.nn.Module,
    config: LSTMConfig,
    x: torch.Tensor,
    hx: tuple[torch.Tensor, torch.Tensor] | None,
    lengths: torch.Tensor | None = None,
) -> Any:
    """``module(x, hx) -> output, (h_n, c_n)`` as nn.LSTM is called; with lengths int64 (N,), packed and padded again.

    x is (L, N, I), or (N, L, I) if ``config.batch_first``, or (L, I). hx is None or (h_0, c_0). output has x's layout.
    Raises ``Unsupported`` if the module does not return a packed output. With lengths, ``guard`` refuses what does not
    fit: packing hides the lengths from the module, and nn.LSTM itself overlooks other numbers of features, rows and
    layers in a packed batch. Without, nothing is refused here: whether the module does is asked of the module.
    """
    state = () if hx is None else (hx,)
    if lengths is None:
        return module(x, *state)
    guard(config, x, hx, lengths)
    steps = x.shape[1 if config.batch_first else 0]
    packed, finals = module(pack_padded_sequence(x, lengths, config.batch_first, enforce_sorted=False), *state)
    if not isinstance(packed, PackedSequence):
        raise Unsupported(f"lengths: a PackedSequence gives a {type(packed).__name__}")
    return pad_packed_sequence(packed, config.batch_first, total_length=steps)[0], finals


def build_of(cls: type[torch.nn.Module]) -> Build:
    """``build(config, params)`` for a module class with nn.LSTM's constructor arguments and state_dict names.

    The ``forward`` that it returns has ``vjp``, ``load`` and ``train``. It raises ``Unsupported`` for an option that
    the constructor does not take, and ``ValueError`` for a state_dict with other names than nn.LSTM's.
    """

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
            with warnings.catch_warnings():
                # nn.LSTM warns that one layer has nothing to drop; that nothing is dropped there is asked.
                warnings.filterwarnings("ignore", "dropout option adds dropout")
                module = cls(config.input_size, config.hidden_size, **given)
        except TypeError as error:
            if given and "unexpected keyword" in str(error):
                raise Unsupported(str(error)) from error
            raise
        module = module.to(getattr(torch, config.dtype))

        def load(params: Params) -> None:
            """``forward.load``; also the first weights come this way."""
            _load(module, {name: to_torch(np.array(value)) for name, value in params.items()})

        load(params)
        module.train(config.training)

        def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> Any:
            hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
            rows = None if lengths is None else to_torch(lengths)
            with torch.no_grad():
                return _to_numpy(call(module, config, to_torch(x), hx, rows))

        model: Any = forward
        model.vjp = vjp_of(partial(call, module, config), config, dict(module.named_parameters()))
        model.load, model.train = load, module.train
        return model

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


def tensors_of(path: Path) -> dict[str, Array]:
    """The tensors in a file of ``torch.save``, as arrays by their names; those within dictionaries behind their keys.

    Only tensors and plain containers are read (``weights_only=True``): no code of the file runs.
    """

    def named(value: Any, name: str) -> Iterator[tuple[str, Array]]:
        if isinstance(value, torch.Tensor):
            yield name, from_torch(value)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield from named(item, f"{name}.{key}" if name else str(key))

    return dict(named(torch.load(path, map_location="cpu", weights_only=True), ""))


def _to_numpy(returned: Any) -> Any:
    """A module's result with arrays for its tensors; anything else stays, and the suite reports it."""
    if isinstance(returned, torch.Tensor):
        return from_torch(returned)
    return tuple(map(_to_numpy, returned)) if isinstance(returned, tuple | list) else returned
