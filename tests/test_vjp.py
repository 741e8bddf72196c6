"""Gradients of the backends at hand, against torch's autograd in float64 and judged by the suite itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch_lstm
from backends import accused, only

from conformance.backend import Backend, Unsupported
from conformance.cases.case import Case, handed, realise
from conformance.cases.recipe import VIEWS, parse
from conformance.engine.plan import Settings
from conformance.faults import DIFFERENT, FAULTS, Different, Fault, backend_of, twin_backend
from conformance.faults.fault import GRADIENTS
from conformance.spec import Array, State
from conformance.targets.find import find
from conformance.torch_module import build_of
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


BACKENDS = [
    twin_backend(),
    *(find(name) for name in ("torch-nn", "torch-loop", "torch-nn-step", "numpy")),
    replace(find("torch-nn"), name="nn.Module class", build=build_of(torch.nn.LSTM)),
]
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
    config = replace(case.config, dtype="float64")
    return flat(torch_lstm.vjp(config, case.params, *handed(case), *cotangents(case)))


def assert_close(got: dict[str, Array], expected: dict[str, Array], gap: float) -> None:
    for name, value in expected.items():
        assert np.abs(got[name] - value).max() <= gap * max(1, np.abs(value).max()), name


def same(a: dict[str, Array], b: dict[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)


@pytest.mark.parametrize(("backend", "text"), CASES)
@pytest.mark.parametrize(("dtype", "gap"), [("float64", 1e-12), ("float32", 1e-4)])
def test_a_vjp_is_torchs_in_float64(backend: Backend, text: str, dtype: str, gap: float) -> None:
    case = the_case(text, dtype)
    got, expected = vjp(model_of(backend, case), case), by_autograd(case)
    assert got.keys() == expected.keys()
    assert_close(got, expected, gap)
    for name, value in expected.items():
        assert got[name].shape == value.shape, name
        assert got[name].dtype == np.dtype(dtype), name


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_no_property_accuses_a_vjp(backend: Backend) -> None:
    """So it keeps nothing, serves two threads and gives padding no gradient."""
    large = ("gradients.large", "gradients.sweep", "gradients.sums", "gradients.long", "gradients.many-steps")
    chosen = ("gradients", "dropout.everything-gradients")
    settings = Settings(cases=3, only=chosen, exclude=large, fixed=False)
    assert accused(only(backend, "float32"), settings) == {}


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_vjp_shares_no_memory_and_changes_no_argument(backend: Backend, steps: int) -> None:
    case = the_case(f"I=3 H=4 L={steps} N=3 state=both seed=1")
    params, (x, state, _), upstream = fresh_params(case.params), handed(case), cotangents(case)
    assert state is not None
    given = [x, *state, *upstream, *params.values()]
    before = [part.copy() for part in given]
    model: Any = backend.build(case.config, params)
    got = list(flat(model.vjp(x, state, None, *upstream)).values())
    assert all(np.array_equal(part, old) for part, old in zip(given, before, strict=True))
    assert not any(np.shares_memory(part, other) for part in got for other in given)
    assert not any(np.shares_memory(a, b) for k, a in enumerate(got) for b in got[:k])


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@pytest.mark.parametrize("view", VIEWS)
def test_a_vjp_reads_views(backend: Backend, view: str) -> None:
    case = the_case("I=3 H=4 batch-first L=5 N=3 state=both seed=1")
    plain, got = (vjp(model_of(backend, case), replace(case, view=view)) for view in ("plain", view))
    assert_close(got, plain, 1e-13)


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_cotangents_of_another_shape_are_refused(backend: Backend) -> None:
    case = the_case("I=3 H=4 L=5 N=3 seed=1")
    d_output, d_h_n, d_c_n = cotangents(case)
    with pytest.raises((ValueError, RuntimeError)):
        model_of(backend, case).vjp(*handed(case), d_output[:1], d_h_n, d_c_n)


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
        assert_close(got, expected, 1e-4)


ALONE = [fault for fault in FAULTS.values() if fault.kind == GRADIENTS and not fault.capabilities.dropout]


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.id)
def test_a_fault_of_the_gradient_leaves_the_results_alone(fault: Fault) -> None:
    """That each of them is a fault, the self-test shows."""
    for text in (WIDE, WIDE + " ragged batch-first float64", "I=2 H=34 L=20 N=3 gain=3 seed=2"):
        case = realise(parse(text))
        results = [model_of(backend, case)(*handed(case)) for backend in (backend_of(fault), twin_backend())]
        assert same(*(flat((result, {})) for result in results))
