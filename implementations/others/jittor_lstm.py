"""jittor.nn.LSTM on the CPU. Jittor compiles its operators by a C++ compiler when they are first used."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse, refuse_cotangents

# No batch_first, no dropout, no projection: docs/findings/jittor-01-batch-first-output.md,
# jittor-02-dropout-in-evaluation.md, jittor-03-projection-without-state.md.
DECLARED: dict[str, Any] = {"layers": True, "bidirectional": True, "no_bias": True, "gradients": True, "compiled": True}
KNOWN = finding("jittor-04-nan-hidden", "nonfinite.nan-weight")
CAPABILITIES = Capabilities(**DECLARED, threads=False, expected_failures=KNOWN)


@backend("jittor", CAPABILITIES, needs("jittor", install="pip install jittor 'numpy<2', and g++"))
def jittor_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It has nn.LSTM's arguments and names of parameters."""
    os.environ.setdefault("nvcc_path", "")  # else it takes a CUDA compiler for a GPU
    os.environ.setdefault("use_mkl", "0")  # else it downloads oneDNN
    import jittor as jt

    refuse(CAPABILITIES, config)
    sizes = config.input_size, config.hidden_size, config.num_layers, config.bias
    lstm = jt.nn.LSTM(*sizes, bidirectional=config.bidirectional)
    variables = dict(lstm.named_parameters())
    for name, variable in variables.items():
        variable.assign(np.array(params[name]))
    # Else the first call has the assignments in it: fused with them, it rounds otherwise than the second one.
    jt.sync_all()
    # It stays in training: eval() would stop the gradients of its parameters, and it drops nothing here.

    def call(x: Any, state: Any, lengths: Any) -> Any:
        output, (h_n, c_n) = lstm(jt.array(np.array(x)), state and tuple(jt.array(np.array(part)) for part in state))
        return output.numpy(), h_n.numpy(), c_n.numpy()

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        leaves = [jt.array(np.array(part)) for part in (x, *state)]
        output, (h_n, c_n) = lstm(leaves[0], tuple(leaves[1:]))
        refuse_cotangents((output, h_n, c_n), cotangents)
        pairs = zip((output, h_n, c_n), cotangents, strict=True)
        loss = sum((part * jt.array(np.array(grad))).sum() for part, grad in pairs)
        grads = jt.grad(loss, [*leaves, *variables.values()])
        found = dict(zip(("x", "h_0", "c_0", *variables), (grad.numpy() for grad in grads), strict=True))
        return (output.numpy(), h_n.numpy(), c_n.numpy()), found

    return model_of(CAPABILITIES, config, call, differentiate)
