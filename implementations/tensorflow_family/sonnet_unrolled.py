"""dm-sonnet's snt.UnrolledLSTM, which calls BlockLSTMV2 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.options import refuse_slots
from implementations.tensorflow_family.block_lstm import GATES, NO_ROWS
from implementations.tensorflow_family.sonnet_lstm import available, filled
from implementations.tensorflow_family.taped import model_of

KNOWN = dict.fromkeys(GATES, "docs/findings/sonnet-01-unrolled-gradient.md") | NO_ROWS
CAPABILITIES = Capabilities(gradients=True, expected_failures=KNOWN)


def run(config: LSTMConfig, weights: Any, x: Any, state: Any, lengths: None) -> Any:
    """x (L, N, I)."""
    import sonnet as snt

    refuse_slots(config, *(state or ()))
    core = filled(snt.UnrolledLSTM(config.hidden_size, dtype=x.dtype), weights, "_l0")
    output, state = core(x, snt.LSTMState(*(part[0] for part in state)) if state else core.initial_state(x.shape[1]))
    return output, state.hidden[None], state.cell[None]


@backend("sonnet-unrolled", CAPABILITIES, available)
def sonnet_unrolled(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """snt.UnrolledLSTM."""
    return model_of(run, CAPABILITIES, config, params)
