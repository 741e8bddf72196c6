"""dynet.VanillaLSTMBuilder, of the fork DyNET38: a stack in float32, in one graph for the whole process."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from conformance import Capabilities, LSTMConfig, backend
from conformance.spec import Params
from implementations.adapter import finding, needs, refusals
from implementations.model import model_of
from implementations.options import refuse, refuse_cotangents, refuse_slots, zeros
from implementations.others.dynet_parts import expressions, filled, gradients, values

STATES = refusals("reshaped-x", "state-shape", "broadcast-state", "batch-mismatch", "reshaped-state")
KNOWN = finding("dynet-02-state-broadcast", *STATES)
CAPABILITIES = Capabilities(layers=True, gradients=True, threads=False, expected_failures=KNOWN)


@backend("dynet", CAPABILITIES, needs("dynet", install="pip install dynet38 'numpy<2'"))
def dynet_lstm(config: LSTMConfig, params: Params) -> Callable[..., Any]:
    """It takes and gives a list of steps, and a list of states: c of each layer, then h of each."""
    import dynet as dy

    refuse(CAPABILITIES, config)
    builder, collection, leaves = filled(config, params)

    def run(x: Any, state: Any) -> Any:
        h_0, c_0 = state or zeros(config, x)
        refuse_slots(config, h_0, c_0)
        if not len(x):
            raise ValueError("DyNet has no sequence without steps")
        dy.renew_cg()
        given = {"x": expressions(x), "h_0": expressions(h_0), "c_0": expressions(c_0)}
        states = builder.initial_state([*given["c_0"], *given["h_0"]]).add_inputs(given["x"])
        last = states[-1].s()
        found = [s.output() for s in states], last[config.num_layers :], last[: config.num_layers]
        return given, found, tuple(values(parts, config.hidden_size) for parts in found)

    def call(x: Any, state: Any, lengths: Any) -> Any:
        return run(x, state)[2]

    def differentiate(x: Any, state: Any, lengths: Any, cotangents: Any) -> Any:
        given, found, results = run(x, state)
        refuse_cotangents(results, cotangents)
        upstream = [part for grads in cotangents for part in expressions(grads)]
        terms = [dy.sum_elems(dy.cmult(*pair)) for pair in zip(itertools.chain(*found), upstream, strict=True)]
        for place in leaves.values():
            place.scale_gradient(0)
        dy.sum_batches(dy.esum(terms)).backward(full=True)
        return results, gradients(leaves, given, x.shape[1])

    model: Any = model_of(CAPABILITIES, config, call, differentiate)
    model.collection = collection  # the weights are freed with it
    return model
