"""PyTorch's quantized LSTMs: dynamic int8 and float16 weights, and the float form of the quantizable LSTM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from conformance.torch_module import call, from_torch, to_torch, vjp_of
from implementations.adapter import finding
from implementations.torch_nn import load


def _forward(module: torch.nn.Module, config: LSTMConfig) -> Any:
    @torch.no_grad()
    def forward(x: Array, state: State | None = None, lengths: Array | None = None) -> tuple[Array, State]:
        """x (L, N, I), or (N, L, I) if batch_first, or (L, I) -> output in x's layout, (h_n, c_n)."""
        hx = None if state is None else (to_torch(state[0]), to_torch(state[1]))
        output, (h_n, c_n) = call(module, config, to_torch(x), hx, None if lengths is None else to_torch(lengths))
        return from_torch(output), (from_torch(h_n), from_torch(c_n))

    return forward


def dynamic(name: str, dtype: torch.dtype, arithmetic: str, expected: dict[str, str]) -> Backend:
    """nn.LSTM with its weights quantized by ``quantize_dynamic``."""

    @backend(
        name,
        Capabilities(
            layers=True,
            bidirectional=True,
            batch_first=True,
            lengths=True,
            arithmetic={"float32": arithmetic},
            expected_failures=expected,
        ),
    )
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        if config.dtype != "float32" or (config.dropout and config.training):
            raise Unsupported("a quantized LSTM is float32, and for evaluation")
        whole = torch.nn.ModuleDict({"lstm": load(config, params)})
        quantized = torch.ao.quantization.quantize_dynamic(whole, {torch.nn.LSTM}, dtype)
        return _forward(quantized["lstm"], config)

    return build


torch_dynamic_int8 = dynamic("torch-dynamic-int8", torch.qint8, "int8", {})
NAN = finding("torch-11-float16-nan-weight", "nonfinite.nan-weight")
torch_dynamic_float16 = dynamic(
    "torch-dynamic-float16",
    torch.float16,
    "half-accumulate",
    finding("torch-11-float16-nan-weight", "nonfinite.nan-weight"),
)


@backend(
    "torch-ao-quantizable",
    Capabilities(
        layers=True,
        bidirectional=True,
        no_bias=True,
        batch_first=True,
        gradients=True,
        expected_failures={
            **finding("torch-05-quantizable-unbatched", "refusals.undeclared"),
            **finding(
                "torch-06-quantizable-state-reshaped",
                "refusals.reshaped-x",
                "refusals.broadcast-state",
                "refusals.reshaped-state",
                "refusals.state-rank",
            ),
        },
    ),
)
def torch_ao_quantizable(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """``forward(x, state)`` and ``forward.vjp`` of torch.ao.nn.quantizable.LSTM before it is converted: in floats."""
    if config.dtype != "float32" or config.proj_size or (config.dropout and config.training):
        raise Unsupported("the quantizable LSTM has no projection and no dropout, and float64 fails (torch-04)")
    # Observers that look at nothing: the LSTM stays as it is before a calibration.
    nothing = torch.ao.quantization.PlaceholderObserver
    qconfig = torch.ao.quantization.QConfig(activation=nothing, weight=nothing)
    float_lstm = load(config, params)
    float_lstm.qconfig = qconfig  # pyright: ignore[reportAttributeAccessIssue]
    lstm: Any = torch.ao.nn.quantizable.LSTM.from_float(float_lstm, qconfig)
    own = dict(lstm.named_parameters())
    parameters = {name: own[_own_name(name)] for name in params}
    model = _forward(lstm, config)
    model.vjp = vjp_of(partial(call, lstm, config), config, parameters)
    return model


def _own_name(name: str) -> str:
    """``weight_ih_l0_reverse`` is ``layers.0.layer_bw.cell.igates.weight`` there."""
    kind, _, place = name.partition("_l")
    layer, _, reverse = place.partition("_")
    what, gates = kind.split("_")
    return f"layers.{layer}.layer_{'bw' if reverse else 'fw'}.cell.{gates[0]}gates.{what}"
