"""Gradients of the backends at hand, against torch's autograd in float64 and against differences of the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.backend import Backend
from conformance.case import Case, handed, realise
from conformance.faults import DIFFERENT, twin_backend
from conformance.fills import stream
from conformance.oracle import lstm
from conformance.recipe import VIEWS, parse
from conformance.registry import find
from conformance.spec import Array, State
from conformance.trial import expected_shapes

WIDE = "I=3 H=4 layers=3 bidirectional proj=2 L=5 N=3 state=both seed=1"

#: All features, alone and together.
RECIPES = (
    "I=1 H=1 L=1 N=1 seed=1",
    "I=3 H=4 L=5 N=2 seed=2",
    "I=3 H=4 L=5 N=2 state=both seed=3",
    "I=3 H=4 L=5 N=2 state=h no-bias seed=4",
    "I=3 H=4 L=5 N=2 state=c batch-first seed=5",
    "I=3 H=4 L=5 N=1 state=both unbatched seed=6",
    "I=3 H=4 L=5 N=1 unbatched batch-first layers=2 seed=6".replace(" batch-first", ""),
    "I=3 H=4 L=5 N=2 state=both proj=2 seed=7",
    "I=3 H=4 L=5 N=2 state=both bidirectional seed=8",
    "I=3 H=4 L=5 N=2 state=both layers=3 seed=9",
    "I=3 H=4 L=7 N=4 state=both ragged seed=10",
    "I=3 H=4 L=7 N=4 state=both ragged bidirectional layers=2 batch-first seed=11",
    "I=2 H=3 L=40 N=2 gain=3 state=both seed=12",
    WIDE,
    WIDE + " no-bias batch-first ragged",
)


def declared(backend: Backend, text: str) -> bool:
    """Whether the backend declares what a recipe asks for."""
    recipe, can = parse(text), backend.capabilities
    return (can.lengths or not recipe.ragged) and (can.bidirectional or not recipe.bidirectional)


BACKENDS = [twin_backend(), *(find(name) for name in ("torch-nn", "torch-loop", "torch-nn-step", "numpy"))]
CASES = [
    pytest.param(backend, text, id=f"{backend.name}-{text}")
    for backend in BACKENDS
    for text in RECIPES
    if declared(backend, text)
]


def the_case(text: str, dtype: str) -> Case:
    return realise(replace(parse(text), dtype=dtype))


def cotangents(case: Case) -> list[Array]:
    """Values between −1 and 1 for output, h_n and c_n."""
    found = []
    for name, shape in zip(("output", "h_n", "c_n"), expected_shapes(case), strict=True):
        bits: Any = stream(parse("I=1 H=1 seed=1").seed, "cotangent of " + name, int(np.prod(shape)))
        found.append(((bits >> np.uint64(11)) * 2.0**-52 - 1).reshape(shape).astype(case.config.dtype))
    return found


def flat(returned: tuple[tuple[Array, State], dict[str, Array]]) -> dict[str, Array]:
    """All that a vjp returned, by name."""
    (output, (h_n, c_n)), grads = returned
    return {"output": output, "h_n": h_n, "c_n": c_n, **{f"d_{name}": value for name, value in grads.items()}}


def vjp(backend: Backend, case: Case) -> dict[str, Array]:
    model: Any = backend.build(case.config, {name: value.copy() for name, value in case.params.items()})
    return flat(model.vjp(*handed(case), *cotangents(case)))


def by_autograd(case: Case) -> dict[str, Array]:
    """What torch's autograd gives for nn.LSTM in float64."""
    config, (x, state, lengths) = case.config, handed(case)
    lstm = torch.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        bias=config.bias,
        batch_first=config.batch_first,
        bidirectional=config.bidirectional,
        proj_size=config.proj_size,
        dtype=torch.float64,
    )
    lstm.load_state_dict({name: torch.tensor(value) for name, value in case.params.items()})
    wanted = {"x": torch.tensor(x, dtype=torch.float64, requires_grad=True)}
    shapes = [part for part in expected_shapes(case)[1:]]
    for name, part, shape in zip(("h_0", "c_0"), state or (0.0, 0.0), shapes, strict=True):
        values = np.broadcast_to(part, shape).copy()
        wanted[name] = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    read: Any = wanted["x"]
    if lengths is not None:
        read = pack_padded_sequence(read, torch.tensor(lengths), config.batch_first, enforce_sorted=False)
    output, (h_n, c_n) = lstm(read, (wanted["h_0"], wanted["c_0"]))
    if lengths is not None:
        output, _ = pad_packed_sequence(output, config.batch_first, total_length=case.steps)
    wanted |= dict(lstm.named_parameters())
    upstream = [torch.tensor(part, dtype=torch.float64) for part in cotangents(case)]
    found = torch.autograd.grad((output, h_n, c_n), list(wanted.values()), upstream)
    grads = {name: grad.numpy() for name, grad in zip(wanted, found, strict=True)}
    output, h_n, c_n = (part.detach().numpy() for part in (output, h_n, c_n))
    return flat(((output, (h_n, c_n)), grads))


@pytest.mark.parametrize(("backend", "text"), CASES)
@pytest.mark.parametrize(("dtype", "gap"), [("float64", 1e-12), ("float32", 1e-4)])
def test_a_vjp_is_torchs_in_float64(backend: Backend, text: str, dtype: str, gap: float) -> None:
    case = the_case(text, dtype)
    got, expected = vjp(backend, case), by_autograd(case)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        assert got[name].dtype == np.dtype(dtype), name
        assert np.abs(got[name] - value).max() <= gap * max(1, np.abs(value).max()), name
