"""Half precision: what the bound allows 16-bit models, what it finds in them, and what they need installed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from backends import accused, margin, only
from programs import python

from conformance.backend import Backend
from conformance.bounds.rounding import EXACT, Approx, arithmetic, dot
from conformance.cases.fills import cancels
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Here, Inquiry
from conformance.engine.plan import Settings
from conformance.faults import DIFFERENT, FAULTS, Different, Fault, backend_of, different, twin_backend
from conformance.faults.fault import FULL, HALF
from conformance.faults.half import half_summed
from conformance.faults.twin import Twin, sigmoid
from conformance.properties import catalogue
from conformance.spec import numpy_dtype
from conformance.targets.find import find

HALVES = ("float16", "bfloat16")
UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}

pytest.importorskip("ml_dtypes")


@pytest.mark.parametrize("dtype", HALVES)
def test_sums_are_float32_unless_declared_otherwise(dtype: str) -> None:
    plain, half = arithmetic(dtype, {}), arithmetic(dtype, {dtype: "half-accumulate"})
    assert plain is not None
    assert half is not None
    assert plain.unit == half.unit == half.accumulate == pytest.approx(UNIT[dtype])
    assert plain.accumulate == pytest.approx(2.0**-24)
    assert plain.wide
    assert not half.wide
    assert cancels(dtype, plain.accumulate)
    assert not cancels(dtype, half.accumulate)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("count", [1, 2, 9, 40, 300])
def test_a_wide_sum_is_rounded_a_few_times_whatever_its_length(dtype: str, count: int) -> None:
    """x W + h W' + b with each product rounded, then each sum, is within the bound; in 16-bit sums it is not."""
    a = arithmetic(dtype, {})
    assert a is not None
    rng, kind = np.random.default_rng(count), numpy_dtype(dtype)
    x, h = (rng.standard_normal((50, count)).astype(kind) for _ in range(2))
    W, V = (rng.standard_normal((20, count)).astype(kind) for _ in range(2))
    b = rng.standard_normal(20).astype(kind)
    x64, h64, W64, V64, b64 = (np.asarray(value, np.float64) for value in (x, h, W, V, b))
    for rule in ("any", "iid"):
        bound = dot([(Approx(x64, EXACT, a), W64), (Approx(h64, EXACT, a), V64)], [b64], rule)
        products = [(p.astype("float32") @ q.astype("float32").T).astype(kind) for p, q in ((x, W), (h, V))]
        split = (products[0] + b) + products[1]
        once = (sum(p.astype("float32") @ q.astype("float32").T for p, q in ((x, W), (h, V))) + b).astype(kind)
        for got in (split, once):
            assert (np.abs(np.asarray(got, np.float64) - bound.value) <= bound.error).all()
        if count == 300:
            narrow = half_summed(x, W) + half_summed(h, V) + b
            assert not (np.abs(np.asarray(narrow, np.float64) - bound.value) <= bound.error).all()


@pytest.mark.parametrize("dtype", HALVES)
def test_a_subnormal_factor_may_be_flushed(dtype: str) -> None:
    a = arithmetic(dtype, {})
    assert a is not None
    x, W = np.array([[a.tiny / 2, 1.0]]), np.array([[1000.0, 0.0]])
    bound = dot([(Approx(x, EXACT, a), W)], [], "any")
    assert bound.error[0, 0] >= abs(bound.value[0, 0])


@pytest.mark.parametrize("dtype", HALVES)
def test_three_units_cover_every_form_of_an_activation(dtype: str) -> None:
    """Over all numbers of the dtype, with a rounding at each operation."""
    a = arithmetic(dtype, {})
    assert a is not None
    every = np.arange(2**16, dtype=np.uint16).view(numpy_dtype(dtype))
    # Converting a signalling NaN warns.
    with np.errstate(invalid="ignore"):
        every = every[np.isfinite(every)]
    x = Approx(np.asarray(every, np.float64), EXACT, a)
    forms = {
        Approx.sigmoid: (sigmoid, different.sigmoid_by_tanh, different.stable_sigmoid, different.ulps(sigmoid, 1)),
        Approx.tanh: (np.tanh, different.tanh_by_sigmoid, different.tanh_by_exponential, different.ulps(np.tanh, 1)),
    }
    with np.errstate(all="ignore"):
        for activate, functions in forms.items():
            y = activate(x)
            for function in functions:
                assert (np.abs(np.asarray(function(every), np.float64) - y.value) <= y.error).all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("gain", [0.3, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("name", ["torch-nn", "torch-loop"])
def test_torch_is_within_the_bound(name: str, gain: float, dtype: str) -> None:
    pytest.importorskip("torch")
    recipe = Recipe(I=9, H=12, layers=2, bidirectional=True, L=100, N=2, state="both", gain=gain, dtype=dtype)
    assert margin(find(name), recipe) < 0.7


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("other", DIFFERENT, ids=lambda other: other.id)
def test_a_different_lstm_is_not_accused(other: Different, dtype: str) -> None:
    for fill in ("normal", "saturated", "large-cell", "subnormal", "gate-o"):
        for seed in range(3):
            recipe = Recipe(
                I=7, H=9, layers=2, L=9, N=2, state="both", gain=3, fill=fill, ragged=True, dtype=dtype, seed=seed
            )
            assert margin(other.backend, recipe) <= 1


@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.kind == HALF], ids=lambda fault: fault.id)
def test_a_fault_of_half_precision_is_caught_in_float16(fault: Fault) -> None:
    assert accused(only(backend_of(fault), "float16"), Settings(10, stop=True))


@pytest.mark.parametrize("dtype", HALVES)
def test_half_sums_are_right_where_they_are_declared(dtype: str) -> None:
    backend = only(Backend("half", twin_backend().capabilities, Twin(dot=half_summed).build), dtype)
    declared = replace(backend, capabilities=replace(backend.capabilities, arithmetic={dtype: "half-accumulate"}))
    assert accused(backend, Settings(10, only=("values.accumulation",), stop=True))
    assert accused(declared, Settings(10, only=("values", "numerics.saturation"), fixed=False)) == {}


def test_what_is_computed_in_float32_and_returned_in_16_bits_is_right() -> None:
    """h may stay wide until it is returned, which the teacher-forced oracle does not see."""
    wide = Backend("wide", twin_backend().capabilities, Twin(precision=lambda twin, config: "float32").build)
    for dtype in HALVES:
        for seed in range(20):
            recipe = Recipe(I=5, H=8, layers=2, L=30, N=2, state="both", gain=5, dtype=dtype, seed=seed)
            assert margin(wide, recipe) <= 1


def test_bfloat16_travels_through_torch_bit_by_bit() -> None:
    pytest.importorskip("torch")
    from conformance.torch_module import from_torch, to_torch  # noqa: PLC0415

    values = np.arange(2**16, dtype=np.uint16).view(numpy_dtype("bfloat16")).reshape(2, 2**15)
    for array in (values, values[:, ::2], values.T, values[::-1]):
        back = from_torch(to_torch(array))
        assert back.dtype == array.dtype
        assert np.array_equal(np.ascontiguousarray(back).view(np.uint16), np.ascontiguousarray(array).view(np.uint16))


WITHOUT = """
import sys
from dataclasses import replace
sys.modules["ml_dtypes"] = None
from conformance.cases.recipe import parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.faults import twin_backend

twin = twin_backend()
report = conform(twin, Settings(2, only=("smoke", "layout.dtypes")))
print(sorted((v.property, str(v.outcome), "half]" in v.message) for v in report.verdicts), report.conformant)
alone = replace(twin, capabilities=replace(twin.capabilities, dtypes=("bfloat16",)))
print({(str(v.outcome), "half]" in v.message) for v in conform(alone, Settings(2)).verdicts})
try:
    parse("I=1 bfloat16")
except UsageError as error:
    print("half]" in str(error))
"""


def test_without_ml_dtypes_bfloat16_is_narrowed_and_never_a_traceback() -> None:
    assert python(WITHOUT).splitlines() == [
        "[('layout.dtypes', 'narrowed', True), ('smoke.runs', 'passed', False)] True",
        "{('unavailable', True)}",
        "True",
    ]


def stored_in_bfloat16(backend: Backend, summed: bool = False) -> Backend:
    """The twin in float32 arrays, whose every stored number has bfloat16's digits; and whose sums have, if asked."""

    def stored(values: np.ndarray) -> np.ndarray:
        return values.astype(numpy_dtype("bfloat16")).astype(values.dtype)

    def dot(x: np.ndarray, W: np.ndarray) -> np.ndarray:
        if not summed:
            return stored(stored(x) @ stored(W).T)
        total = np.zeros((len(x), len(W)), x.dtype)
        for one, column in zip(stored(x).T, stored(W).T, strict=True):
            total = stored(total + stored(np.multiply.outer(one, column)))
        return total

    def fetch(twin: Twin, config: object, name: str, values: np.ndarray) -> np.ndarray:
        return stored(np.array(values, order="C"))

    def pack(twin: Twin, config: object, params: object) -> object:
        return {name: stored(np.asarray(value)) for name, value in params.items()}  # type: ignore[attr-defined]

    changed = Twin(
        sigmoid=lambda a: stored(sigmoid(a)),
        tanh=lambda a: stored(np.tanh(a)),
        dot=dot,
        cell=lambda twin, at, i, f, g, c: stored(stored(f * c) + stored(i * g)),
        hidden=lambda twin, at, o, c: stored(o * twin.tanh(c)),
        fetch=fetch,
        pack=pack,  # type: ignore[arg-type]
    )
    return replace(backend, build=changed.build)


def test_float32_that_is_stored_in_bfloat16_is_right_where_it_is_declared() -> None:
    chosen = Settings(cases=5, only=("values", "state", "numerics", "nonfinite", "degenerate", "lengths"))
    plain = only(Backend("stored", FULL, twin_backend().build), "float32")
    declared = replace(plain, capabilities=replace(plain.capabilities, arithmetic={"float32": "bf16"}))
    assert accused(stored_in_bfloat16(declared), chosen) == {}
    assert "values.output" in accused(stored_in_bfloat16(plain), Settings(cases=0, only=("values.output",)))
    sums = Settings(cases=0, only=("values.accumulation",))
    assert "values.accumulation" in accused(stored_in_bfloat16(declared, summed=True), sums)


def test_the_largest_float32_is_beyond_what_bfloat16_holds() -> None:
    """It becomes infinite, and infinity times a weight of 0 is NaN: in that arithmetic, nothing is wrong with it."""
    plain = only(Backend("stored", FULL, twin_backend().build), "float32")
    declared = replace(plain, capabilities=replace(plain.capabilities, arithmetic={"float32": "bf16"}))
    zeros = "0:weight_ih_l0,0:weight_hh_l0,0:bias_ih_l0,0:bias_hh_l0,1:x"
    inquiry = Inquiry(catalogue()["nonfinite.huge-input"])
    [(_, answer)] = Here(stored_in_bfloat16(declared)).ask(parse(f"I=1 H=1 L=1 N=1 edits={zeros}"), [inquiry])
    assert not answer.wrong
    [(_, answer)] = Here(stored_in_bfloat16(plain)).ask(parse(f"I=1 H=1 L=1 N=1 edits={zeros}"), [inquiry])
    assert answer.wrong, "in float32 itself it is"


def test_a_stack_whose_lower_outputs_stay_unrounded_is_judged_on_its_own() -> None:
    """Over 199 saturated steps that is far from the layers one by one, which read rounded outputs."""
    [inside] = [one for one in DIFFERENT if one.id == "float64-inside"]
    sizes = "I=1 H=2 layers=3 float16 L=199 N=2 state=both ragged view=transposed"
    recipe = parse(f"{sizes} fill=saturated gain=0.3 seed=3024062755 edits=0:c_0[4:5]")
    [(_, answer)] = Here(inside.backend).ask(recipe, [Inquiry(catalogue()["stack.composition"])])
    assert answer.outcome == "passed"
