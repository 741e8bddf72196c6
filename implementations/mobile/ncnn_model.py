"""An LSTM in ncnn's own format (https://github.com/Tencent/ncnn/wiki/operators#lstm): gates i, f, o, g, one bias."""

from __future__ import annotations

import numpy as np

from conformance import LSTMConfig, reorder
from conformance.spec import Array, Params


def network(config: LSTMConfig, state: bool) -> str:
    """The network in ncnn's text form: each layer reads y, and h and c if there is a state, and writes y, hn and cn."""
    D, lines = config.num_directions, ["Input x 0 1 y_0"]
    for k in range(config.num_layers):
        lines += [f"Input {name}_{k} 0 1 {name}_{k}" for name in "hc" if state]
        size = config.layer_input_size(k) * 4 * config.hidden_size * D
        blobs = f"3 3 y_{k} h_{k} c_{k}" if state else f"1 3 y_{k}"
        options = f"0={config.output_size} 1={size} 2={2 * (D - 1)} 3={config.hidden_size}"
        lines.append(f"LSTM lstm_{k} {blobs} y_{k + 1} hn_{k} cn_{k} {options}")
    tops = sum(int(line.split()[3]) for line in lines)
    return "\n".join(["7767517", f"{len(lines)} {tops}", *lines, ""])


def weights(config: LSTMConfig, params: Params) -> bytes:
    """For each layer W (D, 4H, I), bias (D, 4H), R (D, 4H, P) and W_hr (D, P, H), each behind the tag of float32."""
    parts: list[Array] = []
    for k in range(config.num_layers):

        def of(kind: str, layer: int = k) -> Array:
            return np.stack([reorder(params[kind + slot.suffix], "ifog") for slot in config.slots(layer)])

        W, R = of("weight_ih"), of("weight_hh")
        bias = of("bias_ih") + of("bias_hh") if config.bias else np.zeros(W.shape[:2], np.float32)
        parts += [W, bias, R]
        if config.proj_size:
            parts.append(np.stack([params["weight_hr" + slot.suffix] for slot in config.slots(k)]))
    return b"".join(b"\0\0\0\0" + part.tobytes() for part in parts)
