"""ncnn's LSTM layer (https://github.com/Tencent/ncnn/wiki/operators#lstm): one sequence, gates i, f, o, g, one bias."""

# pyright: reportMissingImports=false

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs
from implementations.mobile.ncnn_model import network, weights


def _extract(extractor: Any, name: str) -> Array:
    code, mat = extractor.extract(name)
    if code:
        raise RuntimeError(f"ncnn's extract returns {code} for {name}")
    return np.array(mat)


def ncnn_backend(name: str, capabilities: Capabilities, **options: bool) -> Backend:
    """The layer on one thread, with some of ncnn's options set."""

    @backend(name, capabilities, available=needs("ncnn", install="pip install ncnn"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        import ncnn

        if config.dtype != "float32" or config.batch_first or (config.dropout and config.training):
            raise Unsupported("ncnn has no batches, float32 blobs and no dropout")
        content, D = weights(config, params), config.num_directions

        @cache
        def net(state: bool) -> Any:
            loaded = ncnn.Net()
            loaded.opt.num_threads = 1
            for option, value in options.items():
                setattr(loaded.opt, option, value)
            with tempfile.TemporaryDirectory() as folder:
                paths = [str(Path(folder, file)) for file in ("lstm.param", "lstm.bin")]
                Path(paths[0]).write_text(network(config, state))
                Path(paths[1]).write_bytes(content)
                if loaded.load_param(paths[0]) or loaded.load_model(paths[1]):
                    raise RuntimeError("ncnn does not load the network")
            return loaded

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            """x (L, I), or (L, 1, I) -> output, (h_n, c_n), with the same axes."""
            batched = x.ndim == 3
            if batched and x.shape[1] != 1:
                raise Unsupported("more than one sequence")
            feeds = {"y_0": x[:, 0] if batched else x}
            for name, part in zip("hc", state or (), strict=False):
                own = part[:, 0] if batched else part
                feeds |= {f"{name}_{k}": own[D * k : D * (k + 1)] for k in range(config.num_layers)}
            # A Mat does not keep the array alive that it reads.
            arrays = {name: np.array(value, order="C") for name, value in feeds.items()}
            extractor = net(state is not None).create_extractor()
            for name, array in arrays.items():
                extractor.input(name, ncnn.Mat(array))
            layers = range(config.num_layers)
            output = _extract(extractor, f"y_{config.num_layers}")
            h_n, c_n = (np.concatenate([_extract(extractor, f"{name}_{k}") for k in layers]) for name in ("hn", "cn"))
            return (output[:, None], (h_n[:, None], c_n[:, None])) if batched else (output, (h_n, c_n))

        return forward

    return build


CAPABILITIES = Capabilities(
    layers=True,
    bidirectional=True,
    no_bias=True,
    unbatched=True,
    projection=True,
    batch=False,
    expected_failures={
        **finding("ncnn-01-state-size-crash", "refusals.state-shape", "refusals.broadcast-state"),
        **finding(
            "ncnn-02-features-unchecked",
            "refusals.feature-size",
            "refusals.rank",
            "refusals.reshaped-x",
            "refusals.reshaped-state",
            "refusals.state-rank",
        ),
        **finding("ncnn-03-double-misread", "refusals.input-dtype"),
        **finding("ncnn-04-nan-hidden", *NAN_HIDDEN),
    },
)

REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
ncnn_default = ncnn_backend("ncnn-default", CAPABILITIES)
ncnn_f32 = ncnn_backend("ncnn", CAPABILITIES, **dict.fromkeys(REDUCED, False))
