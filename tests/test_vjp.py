"""Gradients of the backends at hand, against torch's autograd in float64 and against differences of the oracle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from conformance.backend import Backend, Unsupported
from conformance.cases.case import Case, handed, realise
from conformance.cases.recipe import VIEWS, parse
from conformance.reference.forward import lstm
from conformance.selftest.faults import DIFFERENT, FAULTS, Different, Fault, backend_of, twin_backend
from conformance.selftest.faults.fault import GRADIENTS
from conformance.spec import Array, State
from conformance.targets.find import find
from conformance.targets.torch_module import build_of
from conformance.trials.calls import expected_shapes, fresh_params

WIDE = "I=3 H=4 layers=3 bidirectional proj=2 L=5 N=3 state=both seed=1"

#: All features, alone and together.
RECIPES = (
    "I=1 H=1 L=1 N=1 seed=1",
    "I=3 H=4 L=5 N=2 seed=2",
    "I=3 H=4 L=5 N=2 state=both seed=3",
    "I=3 H=4 L=5 N=2 state=h no-bias seed=4",
    "I=3 H=4 L=5 N=2 state=c batch-first seed=5",
    "I=3 H=4 L=5 N=1 state=both unbatched seed=6",
    "I=3 H=4 L=5 N=1 unbatched layers=2 seed=6",
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


def the_case(text: str, dtype: str = "float64") -> Case:
    return realise(replace(parse(text), dtype=dtype))


def shapes(case: Case) -> list[tuple[int, ...]]:
    """Of output, h_n and c_n, in the caller's layout."""
    return list(expected_shapes(case).values())


def cotangents(case: Case, seed: int = 0) -> list[Array]:
    """Values between −1 and 1 for output, h_n and c_n."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, shape).astype(case.config.dtype) for shape in shapes(case)]


def model_of(backend: Backend, case: Case) -> Any:
    return backend.build(case.config, fresh_params(case.params))


def flat(returned: tuple[tuple[Array, State], dict[str, Array]]) -> dict[str, Array]:
    """All that a vjp returned, by name."""
    (output, (h_n, c_n)), grads = returned
    return {"output": output, "h_n": h_n, "c_n": c_n, **{f"d_{name}": value for name, value in grads.items()}}


def vjp(model: Any, case: Case, seed: int = 0) -> dict[str, Array]:
    return flat(model.vjp(*handed(case), *cotangents(case, seed)))


def by_autograd(case: Case) -> dict[str, Array]:
    """What torch's autograd gives for nn.LSTM in float64."""
    config, (x, state, lengths) = case.config, handed(case)
    module = torch.nn.LSTM(
        config.input_size,
        config.hidden_size,
        config.num_layers,
        bias=config.bias,
        batch_first=config.batch_first,
        bidirectional=config.bidirectional,
        proj_size=config.proj_size,
        dtype=torch.float64,
    )
    module.load_state_dict({name: torch.tensor(value) for name, value in case.params.items()})
    wanted = {"x": torch.tensor(x, dtype=torch.float64, requires_grad=True)}
    for name, part, shape in zip(("h_0", "c_0"), state or (0.0, 0.0), shapes(case)[1:], strict=True):
        values = np.broadcast_to(part, shape).copy()
        wanted[name] = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    read: Any = wanted["x"]
    if lengths is not None:
        read = pack_padded_sequence(read, torch.tensor(lengths), config.batch_first, enforce_sorted=False)
    output, (h_n, c_n) = module(read, (wanted["h_0"], wanted["c_0"]))
    if lengths is not None:
        output, _ = pad_packed_sequence(output, config.batch_first, total_length=case.steps)
    wanted |= dict(module.named_parameters())
    upstream = [torch.tensor(part, dtype=torch.float64) for part in cotangents(case)]
    found = torch.autograd.grad((output, h_n, c_n), list(wanted.values()), upstream)
    grads = {name: grad.numpy() for name, grad in zip(wanted, found, strict=True)}
    output, h_n, c_n = (part.detach().numpy() for part in (output, h_n, c_n))
    return flat(((output, (h_n, c_n)), grads))


def same(a: dict[str, Array], b: dict[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


@pytest.mark.parametrize(("backend", "text"), CASES)
@pytest.mark.parametrize(("dtype", "gap"), [("float64", 1e-12), ("float32", 1e-4)])
def test_a_vjp_is_torchs_in_float64(backend: Backend, text: str, dtype: str, gap: float) -> None:
    case = the_case(text, dtype)
    got, expected = vjp(model_of(backend, case), case), by_autograd(case)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        assert got[name].dtype == np.dtype(dtype), name
        assert np.abs(got[name] - value).max() <= gap * max(1, np.abs(value).max()), name


@pytest.mark.parametrize("text", [text for text in RECIPES if "L=40" not in text])
def test_the_twins_vjp_is_the_difference_quotient_of_the_oracle(text: str) -> None:
    case, step = the_case(text), 1e-5
    x, state, lengths = handed(case)
    if state is None:
        state = np.zeros(shapes(case)[1]), np.zeros(shapes(case)[2])
    upstream = cotangents(case)

    def loss(inputs: dict[str, Array]) -> float:
        params = {name: inputs[name] for name in case.params}
        output, (h_n, c_n) = lstm(case.config, params, inputs["x"], (inputs["h_0"], inputs["c_0"]), lengths)
        return sum(float((part * d).sum()) for part, d in zip((output, h_n, c_n), upstream, strict=True))

    inputs = {"x": x, "h_0": state[0], "c_0": state[1], **case.params}
    got, rng = vjp(model_of(twin_backend(), case), case), np.random.default_rng(1)
    for name, value in inputs.items():
        along = rng.uniform(-1, 1, value.shape)
        ahead, behind = (loss(inputs | {name: value + sign * step * along}) for sign in (1, -1))
        assert abs((ahead - behind) / (2 * step) - (got[f"d_{name}"] * along).sum()) <= 1e-7, name


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_the_results_of_a_vjp_are_those_of_forward(backend: Backend) -> None:
    case = the_case("I=3 H=4 layers=2 proj=2 L=5 N=3 state=both seed=1")
    x, state, _ = handed(case)
    output, (h_n, c_n) = model_of(backend, case)(x, state)
    got = vjp(model_of(backend, case), case)
    for name, part in {"output": output, "h_n": h_n, "c_n": c_n}.items():
        assert np.abs(got[name] - part).max() <= 1e-14


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_calls_leave_nothing_behind(backend: Backend) -> None:
    case = the_case("I=3 H=4 layers=2 proj=2 L=5 N=3 state=both seed=1")
    model = model_of(backend, case)
    first, again = vjp(model, case), {name: value.copy() for name, value in vjp(model, case).items()}
    kept = {name: value.copy() for name, value in first.items()}
    assert same(first, again)
    vjp(model, case, seed=1)
    assert same(first, kept)
    x, state, _ = handed(case)
    model(x, state)
    assert same(vjp(model, case), kept)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_vjp_shares_no_memory_and_changes_no_argument(backend: Backend, steps: int) -> None:
    case = the_case(f"I=3 H=4 L={steps} N=3 state=both seed=1")
    params, (x, state, _), upstream = fresh_params(case.params), handed(case), cotangents(case)
    assert state is not None
    given = [x, *state, *upstream, *params.values()]
    before = [part.copy() for part in given]
    got = list(flat(backend.build(case.config, params).vjp(x, state, None, *upstream)).values())  # type: ignore
    assert all(np.array_equal(part, old) for part, old in zip(given, before, strict=True))
    assert not any(np.shares_memory(part, other) for part in got for other in given)
    assert not any(np.shares_memory(a, b) for k, a in enumerate(got) for b in got[:k])


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("view", VIEWS)
def test_a_vjp_reads_views(backend: Backend, view: str) -> None:
    case = the_case("I=3 H=4 batch-first L=5 N=3 state=both seed=1")
    plain, got = (vjp(model_of(backend, case), replace(case, view=view)) for view in ("plain", view))
    assert all(np.abs(got[name] - plain[name]).max() <= 1e-13 for name in plain)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_two_threads_differentiate_one_model(backend: Backend) -> None:
    case = the_case("I=3 H=4 L=20 N=3 state=both seed=1")
    model = model_of(backend, case)
    alone = [vjp(model, case, seed) for seed in range(8)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: vjp(model, case, seed), range(8)))
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b.capabilities.lengths], ids=lambda backend: backend.name)
def test_padding_gets_no_gradient_and_gives_none(backend: Backend) -> None:
    case = the_case("I=3 H=4 bidirectional layers=2 ragged L=7 N=4 state=both seed=10")
    assert case.lengths is not None
    padding = np.arange(case.steps)[:, None] >= case.lengths
    x = case.x.copy()
    x[padding] = np.nan
    plain, got = (vjp(model_of(backend, case), case) for case in (case, replace(case, x=x)))
    assert not got["d_x"][padding].any()
    assert same(plain, got)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_cotangents_of_another_shape_are_refused(backend: Backend) -> None:
    case = the_case("I=3 H=4 L=5 N=3 seed=1")
    d_output, d_h_n, d_c_n = cotangents(case)
    with pytest.raises((ValueError, RuntimeError)):
        model_of(backend, case).vjp(*handed(case), d_output[:1], d_h_n, d_c_n)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_dropout_is_differentiated(backend: Backend) -> None:
    case = the_case("I=3 H=4 layers=2 L=5 N=3 state=both seed=1")
    # With p = 1 the upper layer reads zeros, whatever the chance.
    case = replace(case, config=replace(case.config, dropout=1.0, training=True))
    model, (d_output, d_h_n, d_c_n) = model_of(backend, case), cotangents(case)
    got = flat(model.vjp(*handed(case), d_output, 0 * d_h_n, 0 * d_c_n))
    assert not got["d_weight_ih_l1"].any()
    assert not got["d_x"].any()
    assert got["d_weight_hh_l1"].any()


class Detached(torch.nn.LSTM):
    """Cuts c_n off from what it was made of."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (h_n, c_n) = super().forward(input, hx)
        return output, (h_n, c_n.detach())


class WithoutGradients(torch.nn.LSTM):
    """Records nothing."""

    @torch.no_grad()
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input, hx)


@pytest.mark.parametrize("text", RECIPES)
def test_a_wrapped_module_class_has_torchs_gradient(text: str) -> None:
    case = the_case(text)
    got, expected = vjp(build_of(torch.nn.LSTM)(case.config, fresh_params(case.params)), case), by_autograd(case)
    assert all(
        np.abs(got[name] - value).max() <= 1e-12 * max(1, np.abs(value).max()) for name, value in expected.items()
    )


def test_a_module_that_cuts_off_a_result_is_differentiated_without_it() -> None:
    case = the_case("I=3 H=4 L=5 N=3 state=both seed=1")
    model: Any = build_of(Detached)(case.config, fresh_params(case.params))
    d_output, d_h_n, d_c_n = cotangents(case)
    whole, without = (flat(model.vjp(*handed(case), d_output, d_h_n, d)) for d in (d_c_n, 0 * d_c_n))
    assert same(whole, without)
    assert not np.allclose(whole["d_c_0"], by_autograd(case)["d_c_0"])


def test_a_module_that_records_nothing_has_no_gradient() -> None:
    case = the_case("I=3 H=4 L=5 N=3 seed=1")
    with pytest.raises(Unsupported, match="no result has one"):
        vjp(build_of(WithoutGradients)(case.config, fresh_params(case.params)), case)


@pytest.mark.parametrize("different", DIFFERENT, ids=lambda different: different.id)
def test_a_different_lstm_has_the_twins_gradient(different: Different) -> None:
    for text in RECIPES:
        case = the_case(text, "float32")
        got, expected = (vjp(model_of(backend, case), case) for backend in (different.backend, twin_backend()))
        for name, value in expected.items():
            assert np.abs(got[name] - value).max() <= 1e-4 * max(1, np.abs(value).max()), name


#: Recipes, each with a scale of the cotangents, in which together every fault of the gradient shows.
SHOWING = (
    (WIDE, 1.0),
    (WIDE + " ragged batch-first float64", 100.0),
    ("I=2 H=34 L=20 N=3 gain=3 seed=2", 1e-5),
    ("I=2 H=3 L=4 N=1 unbatched state=both seed=3", 30.0),
    ("I=2 H=3 L=140 N=2 seed=4", 1.0),
    ("I=2 H=260 L=2 N=66 seed=5", 1.0),
    ("I=2 H=3 L=131 N=65 seed=6", 1.0),
    ("I=2 H=260 layers=2 L=2 N=2 seed=7", 1.0),
    ("I=520 H=3 L=2 N=2 seed=8", 1.0),
    ("I=2 H=3 layers=6 L=2 N=2 seed=9", 1.0),
    ("I=2 H=3 layers=2 L=70 N=2 seed=10", 1.0),
    ("I=2 H=23 L=4 N=3 state=both seed=11", 1e6),
    ("I=2 H=3 L=520 N=1 seed=12", 1.0),
)


def observed(backend: Backend, text: str, scale: float) -> list[Any]:
    """Of two calls on one model: the first one's results and cotangents, kept over the second, and its results."""
    case = realise(parse(text))
    model, upstream = model_of(backend, case), [scale * part for part in cotangents(case)]
    upstream = [part.astype(case.config.dtype) for part in upstream]
    first, second = (flat(model.vjp(*handed(case), *given)) for given in (upstream, cotangents(case, seed=1)))
    return [*first.values(), *second.values(), *upstream]


#: Faults that show only after calls of another kind, or under a loss, parameters or an x of their own.
ELSEWHERE = (
    "gradient-at-last-forward",
    "gradient-in-a-longer-workspace",
    "gradient-of-unused-output",
    "gradient-of-last-output-not-unrolled",
    "gradient-of-padding-by-product",
    "gradient-of-rows-left-out",
    "gradient-from-the-last-loss",
    "gradient-of-state-until-the-ninth-call",
    "gradients-in-two-buffers",
    "gradient-kept-by-arguments",
    "gradient-in-one-workspace",
    "gradient-of-zero-biases",
    "gradient-of-zero-weights",
    "gradient-of-zero-rows",
    "gradient-of-equal-weights-added",
    "gradient-of-no-rows",
    "gradient-nan-to-num",
)
ALONE = [
    fault
    for fault in FAULTS.values()
    if fault.kind == GRADIENTS and not fault.capabilities.dropout and fault.id not in ELSEWHERE
]


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.id)
def test_a_fault_of_the_gradient_is_one_of_the_gradient_alone(fault: Fault) -> None:
    shows = False
    for text, scale in SHOWING:
        if shows:
            break
        faulty, right = (observed(backend, text, scale) for backend in (backend_of(fault), twin_backend()))
        shows = not all(np.array_equal(a, b) for a, b in zip(faulty, right, strict=True))
        case = realise(parse(text))
        x, state, lengths = handed(case)
        results = [model_of(backend, case)(x, state, lengths) for backend in (backend_of(fault), twin_backend())]
        assert same(*(flat((result, {})) for result in results))
    assert shows
