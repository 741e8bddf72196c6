"""Nets with an LSTM in ncnn's own format (https://github.com/Tencent/ncnn/wiki/operators#lstm), gates i, f, o, g."""

# pyright: reportMissingImports=false

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from conformance import LSTMConfig
from conformance.spec import Array, Params
from implementations.weights import of_layer


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
    parts = []
    for k in range(config.num_layers):
        W, R, B, W_hr = of_layer(config, params, k, "ifog")
        parts += [W, B, R] if W_hr is None else [W, B, R, W_hr]
    return b"".join(b"\0\0\0\0" + part.tobytes() for part in parts)


def loaded(config: LSTMConfig, state: bool, content: bytes, options: dict[str, bool]) -> Any:
    """An ncnn.Net of the network and its weights, on one thread, with some of ncnn's options set."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = 1
    for option, value in options.items():
        setattr(net.opt, option, value)
    with tempfile.TemporaryDirectory() as folder:
        param, binary = Path(folder, "lstm.param"), Path(folder, "lstm.bin")
        param.write_text(network(config, state))
        binary.write_bytes(content)
        if net.load_param(str(param)) or net.load_model(str(binary)):
            raise RuntimeError("ncnn does not load the network")
    return net


def extracted(net: Any, feeds: dict[str, Array], names: list[str]) -> list[Array]:
    """The blobs of these names, where the net gets ``feeds``."""
    import ncnn

    # A Mat does not keep the array alive that it reads.
    arrays = {name: np.array(value, order="C") for name, value in feeds.items()}
    extractor, found = net.create_extractor(), []
    for name, array in arrays.items():
        extractor.input(name, ncnn.Mat(array))
    for name in names:
        code, mat = extractor.extract(name)
        if code:
            raise RuntimeError(f"ncnn's extract returns {code} for {name}")
        found.append(np.array(mat))
    return found
