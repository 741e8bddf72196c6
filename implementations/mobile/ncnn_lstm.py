"""ncnn's LSTM layer: one sequence, (L, I) or (L, 1, I). ncnn_model.py makes the nets."""

# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from conformance import Backend, Capabilities, LSTMConfig, Unsupported, backend
from conformance.spec import Array, Params, State
from implementations.adapter import NAN_HIDDEN, finding, needs, refusals
from implementations.mobile.ncnn_model import extracted, loaded, weights
from implementations.options import refuse
from implementations.states import by_layer, joined

UNCHECKED = refusals("feature-size", "rank", "reshaped-x", "reshaped-state", "state-rank")
KNOWN = {
    **finding("ncnn-01-state-size-crash", *refusals("state-shape", "broadcast-state")),
    **finding("ncnn-02-features-unchecked", *UNCHECKED),
    **finding("ncnn-03-double-misread", "refusals.input-dtype"),
    **finding("ncnn-04-nan-hidden", *NAN_HIDDEN),
}
CAPABILITIES = Capabilities(
    layers=True, bidirectional=True, no_bias=True, unbatched=True, projection=True, batch=False, expected_failures=KNOWN
)


def ncnn_backend(name: str, **options: bool) -> Backend:
    """The layer, with some of ncnn's options set."""

    @backend(name, CAPABILITIES, available=needs("ncnn", install="pip install ncnn"))
    def build(config: LSTMConfig, params: Params) -> Callable[..., tuple[Array, State]]:
        refuse(CAPABILITIES, config)
        content, layers = weights(config, params), range(config.num_layers)
        net = cache(lambda state: loaded(config, state, content, options))

        def forward(x: Array, state: State | None = None) -> tuple[Array, State]:
            if x.ndim == 3:
                if x.shape[1] != 1:
                    raise Unsupported("more than one sequence")
                output, (h_n, c_n) = forward(x[:, 0], state and (state[0][:, 0], state[1][:, 0]))
                return output[:, None], (h_n[:, None], c_n[:, None])
            given = by_layer(config, state) if state else []
            feeds = {"y_0": x} | dict(zip((f"{part}_{k}" for k in layers for part in "hc"), given, strict=False))
            names = [f"y_{len(layers)}", *(f"{part}_{k}" for k in layers for part in ("hn", "cn"))]
            output, *finals = extracted(net(state is not None), feeds, names)
            return output, joined(finals)

        return forward

    return build


REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage")
ncnn_default = ncnn_backend("ncnn-default")
ncnn_f32 = ncnn_backend("ncnn", **dict.fromkeys(REDUCED, False))
