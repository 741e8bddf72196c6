"""The oracle's gradient against two witnesses; the judgement of gradients on correct and on wrong ones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance import LSTMConfig
from conformance.gradients import Gradients, vjp
from conformance.oracle import lstm
from conformance.spec import Array, Params, State, param_shapes, state_shapes

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")


def by_torch(
    config: LSTMConfig,
    params: Params,
    x: Array,
    state: State | None,
    lengths: Array | None,
    grad_output: Array,
    grad_h_n: Array,
    grad_c_n: Array,
) -> tuple[tuple[Array, State], Gradients]:
    """nn.LSTM's autograd in the config's dtype, rows of different length packed."""
    dtype = getattr(torch, config.dtype)
    module = torch.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        config.bias,
        config.batch_first,
        bidirectional=config.bidirectional,
        proj_size=config.proj_size,
        dtype=dtype,
    )
    module.load_state_dict({name: torch.tensor(value) for name, value in params.items()})
    rows = x.shape[:-1] if x.ndim == 2 else (x.shape[0 if config.batch_first else 1],)
    h_shape, c_shape = state_shapes(config, rows[0])
    if x.ndim == 2:
        h_shape, c_shape = (h_shape[0], h_shape[2]), (c_shape[0], c_shape[2])
    if state is None:
        state = np.zeros(h_shape, config.dtype), np.zeros(c_shape, config.dtype)
    given, h_0, c_0 = (torch.tensor(np.ascontiguousarray(v), requires_grad=True) for v in (x, *state))
    if lengths is None:
        output, (h_n, c_n) = module(given, (h_0, c_0))
    else:
        steps = x.shape[1 if config.batch_first else 0]
        packed = pack_padded_sequence(given, torch.tensor(lengths), config.batch_first, enforce_sorted=False)
        packed_output, (h_n, c_n) = module(packed, (h_0, c_0))
        output, _ = pad_packed_sequence(packed_output, config.batch_first, total_length=steps)
    inputs = {"x": given, "h_0": h_0, "c_0": c_0, **dict(module.named_parameters())}
    cotangents = [torch.tensor(np.ascontiguousarray(v)) for v in (grad_output, grad_h_n, grad_c_n)]
    found = torch.autograd.grad([output, h_n, c_n], list(inputs.values()), cotangents)
    results = output.detach().numpy(), (h_n.detach().numpy(), c_n.detach().numpy())
    return results, {name: value.numpy() for name, value in zip(inputs, found, strict=True)}


def call_of(
    config: LSTMConfig, ragged: bool, unbatched: bool, rng: np.random.Generator
) -> tuple[Params, Array, State | None, Array | None, tuple[Array, Array, Array]]:
    """params, x, state, lengths and cotangents of one call, in the config's layout."""
    steps, batch = int(rng.integers(1, 6)), 1 if unbatched else int(rng.integers(1, 5))
    params = {name: rng.choice([0.5, 2.0]) * rng.standard_normal(s) for name, s in param_shapes(config).items()}
    shapes = state_shapes(config, batch)
    state = None if rng.random() < 0.2 else (rng.standard_normal(shapes[0]), rng.standard_normal(shapes[1]))
    x = rng.standard_normal((steps, batch, config.input_size))
    output = rng.standard_normal((steps, batch, config.num_directions * config.output_size))
    finals = rng.standard_normal(shapes[0]), rng.standard_normal(shapes[1])
    if unbatched:
        state = None if state is None else (state[0][:, 0], state[1][:, 0])
        return params, x[:, 0], state, None, (output[:, 0], finals[0][:, 0], finals[1][:, 0])
    if config.batch_first:
        x, output = x.swapaxes(0, 1), output.swapaxes(0, 1)
    lengths = rng.integers(1, steps + 1, batch) if ragged else None
    return params, x, state, lengths, (output, *finals)


def configs() -> list[tuple[LSTMConfig, bool, bool]]:
    """Every combination of options, with whether rows are ragged, or there is no batch axis."""
    flags = itertools.product(
        (1, 2, 3), (False, True), (False, True), (0, 2), ("major", "first", "none"), (False, True)
    )
    return [
        (LSTMConfig(2, 3, layers, bias, layout == "first", both, proj, dtype="float64"), ragged, layout == "none")
        for layers, bias, both, proj, layout, ragged in flags
        if not (ragged and layout == "none")
    ]


def test_the_gradient_is_autograds() -> None:
    rng = np.random.default_rng(0)
    for config, ragged, unbatched in configs():
        params, x, state, lengths, cotangents = call_of(config, ragged, unbatched, rng)
        (output, finals), grads = vjp(config, params, x, state, lengths, *cotangents)
        (want_output, want_finals), want = by_torch(config, params, x, state, lengths, *cotangents)
        pairs = [(output, want_output), *zip(finals, want_finals, strict=True)]
        assert list(grads) == ["x", "h_0", "c_0", *params]
        for a, b in (*pairs, *((grads[name], want[name]) for name in want)):
            assert a.shape == b.shape
            assert np.allclose(a, b, rtol=1e-11, atol=1e-11), config


def test_the_gradient_is_the_limit_of_differences() -> None:
    rng = np.random.default_rng(1)
    for config, ragged, unbatched in configs()[::3]:
        params, x, state, lengths, cotangents = call_of(config, ragged, unbatched, rng)
        if state is None:
            continue
        _, grads = vjp(config, params, x, state, lengths, *cotangents)
        arguments = {"x": x, "h_0": state[0], "c_0": state[1], **params}

        def loss(
            given: dict[str, Array],
            config: LSTMConfig = config,
            params: Params = params,
            lengths: Array | None = lengths,
            cotangents: tuple[Array, Array, Array] = cotangents,
        ) -> float:
            own = {name: given[name] for name in params}
            output, finals = lstm(config, own, given["x"], (given["h_0"], given["c_0"]), lengths)
            return sum(float((a * b).sum()) for a, b in zip((output, *finals), cotangents, strict=True))

        for name, value in arguments.items():
            way = rng.standard_normal(value.shape)
            step = 1e-5
            ahead, behind = ({**arguments, name: value + sign * step * way} for sign in (1, -1))
            slope = (loss(ahead) - loss(behind)) / (2 * step)
            assert slope == pytest.approx(float((grads[name] * way).sum()), rel=1e-6, abs=1e-7), (config, name)
