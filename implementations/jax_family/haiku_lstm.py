"""dm-haiku: hk.dynamic_unroll over an hk.LSTM, or an hk.DeepRNN of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import needs
from implementations.jax_family.traced import model_of
from implementations.options import refuse_slots

CAPABILITIES = Capabilities(
    layers=True,
    batch_first=True,
    unbatched=True,
    gradients=True,
    dtypes=("float32", "float64", "float16", "bfloat16"),
    compiled=True,
)


def variables(weights: Any, end: str) -> Any:
    """One layer's hk.Linear over [x, h]: gates i, g, f, o along the columns, and a forget gate that adds 1 itself."""
    from jax import numpy as jnp

    bias = weights["bias_ih" + end] + weights["bias_hh" + end]
    packed = jnp.concatenate([weights["weight_ih" + end].T, weights["weight_hh" + end].T, bias[None]])
    i, f, g, o = jnp.split(packed, 4, axis=1)
    w = jnp.concatenate([i, g, f.at[-1].add(-1), o], axis=1)
    return {"w": w[:-1], "b": w[-1]}


def run(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: Any) -> Any:
    """nn.LSTM's arrays in and out; haiku always wants a state."""
    import haiku as hk
    from jax import numpy as jnp

    refuse_slots(config, *(state or ()))
    time_major = x.ndim == 2 or not config.batch_first
    ends = [slot.suffix for slot in config.slots()]

    def unrolled(x: Any, state: Any) -> Any:
        core = hk.DeepRNN([hk.LSTM(config.hidden_size, name="lstm" + end) for end in ends])
        states = [hk.LSTMState(h, c) for h, c in zip(*state, strict=True)] if state else None
        states = states or core.initial_state(None if x.ndim == 2 else x.shape[1 if time_major else 0])
        # hk.LSTM's initial state is float32, whatever x is.
        states = tuple(hk.LSTMState(*(part.astype(x.dtype) for part in state)) for state in states)
        return hk.dynamic_unroll(core, x, states, time_major=time_major)

    of_layers = {f"lstm{end}/linear": variables(weights, end) for end in ends}
    output, states = hk.without_apply_rng(hk.transform(unrolled)).apply(of_layers, x, state)
    return output, jnp.stack([s.hidden for s in states]), jnp.stack([s.cell for s in states])


@backend("haiku", CAPABILITIES, needs("haiku", install="pip install dm-haiku"))
def haiku_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """hk.dynamic_unroll over hk.DeepRNN of hk.LSTM."""
    return model_of(run, CAPABILITIES, config, params)
