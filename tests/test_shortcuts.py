"""What is computed in a faster way is the same to the last bit: a bound must not depend on how it was computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.overhead import Clock, clocked
from benchmarks.unchanged import differences, record
from conformance.bounds import forward
from conformance.bounds.forward import Expectation, Finding, finding, judge
from conformance.bounds.rounding import EXACT, Approx, Arithmetic, Weight, arithmetic, stack
from conformance.cases import fills
from conformance.cases.fills import fill, normal, stream
from conformance.cases.recipe import FILLS, parse
from conformance.engine.plan import Settings
from conformance.faults import FAULTS, backend_of
from conformance.properties import catalogue
from conformance.spec import Array, Slot
from conformance.targets.find import find
from conformance.trials.trial import Trial


def declared(dtype: str) -> Arithmetic:
    found = arithmetic(dtype, {})
    assert found is not None
    return found


def told(findings: list[Finding]) -> list[Any]:
    return [(one.place(), one.expected.tobytes(), one.bound.tobytes()) for one in findings]


@pytest.mark.parametrize(
    "text",
    [
        "I=3 H=5 layers=2 bidirectional proj=2 L=9 N=3 state=both ragged seed=1",
        "I=17 H=6 L=8 N=1 float64 fill=large-x seed=2",
        "I=3 H=4 L=5 N=2 float16 fill=saturated seed=3",
    ],
)
def test_steps_may_be_taken_together_or_apart(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(find("numpy"), parse(text))
    expectation, bounds = trial.expectation(), []
    for together in (forward._TOGETHER, 1, 2 * 4 * trial.recipe.N * trial.recipe.H):
        monkeypatch.setattr(forward, "_TOGETHER", together)
        bounds.append(told(list(judge(Expectation(trial.case, expectation.x.arithmetic), trial.observe))))
    assert bounds[0] == bounds[1] == bounds[2]


@pytest.mark.parametrize("strange", [0.0, 1e30, np.inf, np.nan])
def test_cells_are_what_their_steps_are_one_by_one(strange: float) -> None:
    """With a number that may overflow, one of which nothing is known, and none at all."""
    rng, a = np.random.default_rng(0), declared("float32")

    def some(*shape: int) -> Approx:
        value = rng.normal(size=shape)
        return Approx(value, 1e-7 * np.abs(value), a)

    f, update, c = some(6, 3, 4), some(6, 3, 4), some(3, 4)
    if strange:
        update.value[2, 1, 1], update.error[3, 0, 2] = 1e9 * strange, np.inf if strange == np.inf else 0.0
    valid = (np.arange(6)[:, None] < [6, 3, 5])[..., None]
    with np.errstate(all="ignore"):
        found = forward._cells(f, update, c, valid)
        cells = [c]
        for t in range(6):
            new = f[t] * cells[-1] + update[t]
            cells.append(new if valid[t].all() else new.where(valid[t], cells[-1]))
    wanted = stack(cells)
    assert found.value.tobytes() == wanted.value.tobytes()
    assert found.error.tobytes() == wanted.error.tobytes()


@pytest.mark.parametrize(
    ("actual", "expected", "bound"),
    [
        ([1.0, 2.0], [1.0, 2.5], [0.1, 0.2]),
        ([1.0, 1.0], [1.0, 1.0], [0.0, 0.0]),
        ([1.0, 1.0], [1.0, 2.0], [0.0, 1.0]),
        ([np.nan, 1.0], [1.0, 1.0], [1.0, 1.0]),
        ([np.inf, 1.0], [1.0, 1.2], [np.inf, 1.0]),
        ([np.inf, np.inf], [np.inf, 1.0], [0.5, 1.0]),
        ([1.0, 1.0], [1.0, 1.0], [np.nan, 1.0]),
    ],
)
def test_a_margin_is_the_largest_share(actual: list[float], expected: list[float], bound: list[float]) -> None:
    want = Approx(np.array(expected), np.array(bound), Arithmetic(1e-7, 1e-7, 0.0, 1e-38))
    one = finding("output", 1, Slot(0, 0), np.array(actual), want)
    assert one.margin() == one.ratios().max()


def test_nothing_is_known_of_what_may_be_beyond_the_range() -> None:
    a = declared("float16")
    values = np.array([1.0, a.largest, 2 * a.largest])
    product = Approx(values, EXACT, a) * Approx(np.ones(3), EXACT, a)
    assert np.isinf(product.error).tolist() == [False, True, True]
    assert np.isinf((product + product).error).tolist() == [False, True, True]


@pytest.mark.parametrize("W", [[[0.0, -3.0], [2.0, 0.5]], [[4.0, -3.0]], [[0.0]]])
def test_the_least_weight_is_not_0(W: list[list[float]]) -> None:
    assert Weight(np.array(W)).least == min((abs(w) for row in W for w in row if w), default=np.inf)


def test_a_normal_number_is_the_sum_of_four() -> None:
    raw: Array = stream(7, "x", 1000)
    four = raw.view(np.uint16).reshape(-1, 4).astype(np.float64).sum(1)
    assert np.array_equal(normal(7, "x", (10, 100)).ravel(), (four - 131070.0) / (65536 / np.sqrt(3.0)))


def test_numbers_that_other_fills_share_are_the_same_and_cannot_be_changed() -> None:
    """Each fill alone, and after all others have read them."""
    recipes = [parse(f"I=3 H=4 L=5 N=2 fill={name} seed=7") for name in FILLS]
    alone = []
    for recipe in recipes:
        fills._filled.cache_clear()
        fills._kept_normal.cache_clear()
        alone.append(fill(recipe, recipe.config))
    fills._filled.cache_clear()
    for recipe, wanted in zip(recipes, alone, strict=True):
        again = fill(recipe, recipe.config)
        assert all(np.array_equal(again[name], value) for name, value in wanted.items())
    assert fills._kept_normal.cache_info().hits > len(recipes)


def test_the_form_of_a_result_is_asked_of_one_call() -> None:
    clock = Clock()
    trial = Trial(clocked(find("numpy"), clock), parse("I=3 H=4 L=5 N=2"))
    for id in ("layout.shapes", "layout.dtypes"):
        catalogue()[id].check(trial)
    assert clock.calls == 2, "a model that is built, and called"


def test_the_clock_keeps_what_a_model_can_do() -> None:
    clock = Clock()
    trial = Trial(clocked(find("numpy"), clock), parse("I=2 H=3 L=2 N=2"))
    assert callable(trial.model(trial.case).vjp)  # type: ignore[attr-defined]
    assert trial.result.output is not None
    assert clock.calls == 3, "two models and a call"


def test_two_records_of_one_version_differ_in_nothing_and_those_of_a_wrong_one_do() -> None:
    settings = Settings(cases=4, fixed=False, only=("smoke", "values.output"), shrink=False)
    right, again, wrong = (
        record(backend, settings) for backend in (find("numpy"), find("numpy"), backend_of(FAULTS["gate-order-iofg"]))
    )
    assert not [*differences(right, again)]
    assert any("values.output" in line for line in differences(right, wrong))
