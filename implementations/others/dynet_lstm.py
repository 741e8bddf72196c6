"""dynet.VanillaLSTMBuilder, of the fork DyNET38: a stack in float32, in one graph for the whole process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from conformance import Capabilities, LSTMConfig, backend, reorder
from conformance.spec import Params
from implementations.adapter import finding, needs
from implementations.model import model_of
from implementations.options import refuse, refuse_cotangents, refuse_slots, zeros

STATES = ("reshaped-x", "state-shape", "broadcast-state", "batch-mismatch", "reshaped-state")
KNOWN = finding("dynet-02-state-broadcast", *(f"refusals.{name}" for name in STATES))
CAPABILITIES = Capabilities(layers=True, gradients=True, threads=False, expected_failures=KNOWN)


@backend("dynet", CAPABILITIES, needs("dynet", install="pip install dynet38 'numpy<2'"))
def dynet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """Gates i, f, o, g, one bias, a forget gate that adds 1 itself, states (c, h) and columns for nn.LSTM's rows."""
    import dynet as dy

    refuse(CAPABILITIES, config)
    H, collection = config.hidden_size, dy.ParameterCollection()
    builder = dy.VanillaLSTMBuilder(config.num_layers, config.input_size, H, collection)
    leaves: dict[str, Any] = {}
    for k, (w_x, w_h, b) in enumerate(builder.get_parameters()):
        bias = reorder(params[f"bias_ih_l{k}"] + params[f"bias_hh_l{k}"], "ifog")
        bias[H : 2 * H] -= 1
        for place, value in ((w_x, "weight_ih"), (w_h, "weight_hh")):
            place.set_value(reorder(params[f"{value}_l{k}"], "ifog"))
            leaves[f"{value}_l{k}"] = place
        b.set_value(bias)
        leaves[f"bias_ih_l{k}"] = leaves[f"bias_hh_l{k}"] = b

    def expressions(array: Any) -> list[Any]:
        if array.ndim != 3:  # DyNet never sees it: it gets a list of columns, and to it (H, 1) is one too
            raise ValueError(f"three axes are wanted, got {array.shape}")
        return [dy.inputTensor(np.array(part.T), batched=True) for part in array]

    def run(x: Any, state: Any) -> Any:
        h_0, c_0 = state or zeros(config, x)
        refuse_slots(config, h_0, c_0)
        if not len(x):
            raise ValueError("DyNet has no sequence without steps")
        dy.renew_cg()
        given = inputs, h, c = expressions(x), expressions(h_0), expressions(c_0)
        states = builder.initial_state([*c, *h]).add_inputs(inputs)
        last = states[-1].s()
        return given, ([s.output() for s in states], last[config.num_layers :], last[: config.num_layers])

    def array(parts: list[Any]) -> Any:
        return np.stack([part.npvalue().reshape(H, -1).T for part in parts]).astype("float32")

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return tuple(map(array, run(x, state)[1]))

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        given, found = run(x, state)
        results = tuple(map(array, found))
        refuse_cotangents(results, cotangents)
        upstream = [part for grads in cotangents for part in expressions(grads)]
        terms = [dy.sum_elems(dy.cmult(*pair)) for pair in zip(itertools.chain(*found), upstream, strict=True)]
        for place in leaves.values():
            place.scale_gradient(0)
        dy.sum_batches(dy.esum(terms)).backward(full=True)
        grads = {name: reorder(place.grad_as_array(), "ifog") for name, place in leaves.items()}
        for name, parts in zip(("x", "h_0", "c_0"), given, strict=True):
            grads[name] = np.stack([part.gradient().reshape(-1, x.shape[1]).T for part in parts])
        # DyNet computes in float32, and hands its arrays over in float64.
        return results, {name: grad.astype("float32") for name, grad in grads.items()}

    model: Any = model_of(CAPABILITIES, config, call, differentiate)
    model.collection = collection  # the weights are freed with it: docs/findings/dynet-01-collection-freed.md
    return model
