"""torch.nn.LSTM itself: on the CPU, and on a CUDA device by cuDNN's kernels or by ATen's own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.backend import OPTIONAL_METHODS
from conformance.spec import Array, Params, State
from conformance.torch_module import call, from_torch, to_torch, vjp_of
from implementations.cuda import ONE_SIZE, WORKSPACE, Kernels

CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    batch_first=True,
    unbatched=True,
    projection=True,
    lengths=True,
    gradients=True,
    dropout=True,
    dtypes=("float32", "float64", "float16", "bfloat16"),
)

# It tells which kernel it takes, and that it copies the weights for cuDNN, once; nothing is wrong.
warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")


def load(config: LSTMConfig, params: Params, device: str = "cpu") -> torch.nn.LSTM:
    """The ``nn.LSTM`` in the config's mode; raises ``Unsupported`` for what ``CAPABILITIES`` leaves out."""
    if config.dtype not in CAPABILITIES.dtypes:
        raise Unsupported(f"dtype {config.dtype}")
    lstm = torch.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        bias=config.bias,
        batch_first=config.batch_first,
        bidirectional=config.bidirectional,
        proj_size=config.proj_size,
        # It warns that there is nothing to drop.
        dropout=config.dropout if config.num_layers > 1 else 0.0,
        device=device,
        dtype=getattr(torch, config.dtype),
    )
    load_weights(lstm, params)
    return lstm.train(config.training)


def load_weights(lstm: torch.nn.LSTM, params: Params) -> None:
    """Copy the weights into the ``nn.LSTM``."""
    lstm.load_state_dict({name: to_torch(value) for name, value in params.items()})


def _build(config: LSTMConfig, params: Params, device: str) -> Any:
    lstm = load(config, params, device)

    @torch.no_grad()
    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        hx = None if state is None else (to_torch(state[0]).to(device), to_torch(state[1]).to(device))
        # Packing wants the lengths on the CPU.
        rows = None if lengths is None else to_torch(lengths)
        output, (h_n, c_n) = call(lstm, config, to_torch(x).to(device), hx, rows)
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    # cuDNN differentiates in training mode only, which without dropout is evaluation.
    training = replace(config, dropout=0.0, training=True)
    same = lstm if device == "cpu" else load(training, params, device)

    def vjp(*arguments: Any) -> Any:
        module = lstm if lstm.training else same
        run, parameters = partial(call, module, config), dict(module.named_parameters())
        return vjp_of(run, config, parameters, device)(*arguments)

    def load_both(params: Params) -> None:
        for module in {lstm, same}:
            load_weights(module, params)

    model: Any = forward
    model.vjp, model.load, model.train = vjp, load_both, lstm.train
    return model


@backend("torch-nn", CAPABILITIES)
def torch_nn(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
    """``forward(x, state, lengths)`` and ``forward.vjp`` of nn.LSTM on the CPU."""
    return _build(config, params, "cpu")


def on_cuda(name: str, kernels: Kernels, capabilities: Capabilities = CAPABILITIES) -> Backend:
    """nn.LSTM on the CUDA device, each call made with ``kernels``, whatever this process has set."""

    @backend(name, capabilities, available=kernels.unavailable, note=kernels.note)
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        with kernels.set():
            model: Any = _build(config, params, "cuda")
        forward: Any = kernels.calling(model)
        for method in OPTIONAL_METHODS:
            setattr(forward, method, kernels.calling(getattr(model, method)))
        return forward

    return build


# cuDNN spreads the layers and directions of an RNN over streams, and promises the same bits again only where cuBLAS has
# one size of workspace. ATen's own kernels come one after the other.
CUDNN = replace(CAPABILITIES, deterministic=os.environ.get(WORKSPACE) in ONE_SIZE)

torch_nn_cuda = on_cuda("torch-nn-cuda", Kernels(cudnn=True), CUDNN)
torch_nn_cuda_native = on_cuda("torch-nn-cuda-native", Kernels(cudnn=False))
torch_nn_cuda_tf32 = on_cuda(
    "torch-nn-cuda-tf32", Kernels(cudnn=True, tf32=True), replace(CUDNN, arithmetic={"float32": "tf32"})
)
