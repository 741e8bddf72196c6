"""torch.nn.LSTMCell, one step, on the CPU and on a CUDA device; the suite supplies the loop over time."""

from __future__ import annotations

import torch

from conformance import Capabilities, LSTMConfig, Unsupported, cell_backend
from conformance.backend import Step
from conformance.spec import Array, Params, State
from conformance.torch_module import from_torch, to_torch
from implementations.cuda import Kernels

DTYPES = ("float32", "float64", "float16", "bfloat16")
CAPABILITIES = Capabilities(no_bias=True, dtypes=DTYPES)

#: A cell is no RNN to cuDNN: ATen multiplies by cuBLAS and has a kernel for the rest.
KERNELS = Kernels(cudnn=False)


def _build(config: LSTMConfig, params: Params, device: str) -> Step:
    if config.dtype not in DTYPES:
        raise Unsupported(f"dtype {config.dtype}")
    if config.proj_size:
        raise Unsupported("nn.LSTMCell has no projection")
    if config.dropout and config.training:
        raise Unsupported("dropout in training")
    cell = torch.nn.LSTMCell(config.input_size, config.hidden_size, config.bias, device, getattr(torch, config.dtype))
    cell.load_state_dict({name.removesuffix("_l0"): to_torch(value) for name, value in params.items()})

    @torch.no_grad()
    def step(x_t: Array, state: State) -> State:
        """x_t (N, I), h (N, H), c (N, H) -> (h, c)."""
        x, h, c = (to_torch(array).to(device) for array in (x_t, *state))
        h, c = cell(x, (h, c))
        return from_torch(h), from_torch(c)

    return step


@cell_backend("torch-cell", CAPABILITIES)
def torch_cell(config: LSTMConfig, params: Params) -> Step:
    """``step(x_t, (h, c)) -> (h, c)`` of nn.LSTMCell on the CPU."""
    return _build(config, params, "cpu")


@cell_backend("torch-cell-cuda", CAPABILITIES, available=KERNELS.unavailable, note=KERNELS.note)
def torch_cell_cuda(config: LSTMConfig, params: Params) -> Step:
    """``torch_cell`` on the CUDA device, without TF32."""
    return KERNELS.calling(_build(config, params, "cuda"))
