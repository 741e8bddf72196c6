"""Profiles and budgets: which cases a run takes, and what it may claim after them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from backends import WIDE, around
from programs import Command

from conformance import Capabilities
from conformance.cases import strategies
from conformance.cases.choices import choices
from conformance.cases.recipe import parse
from conformance.cases.sizes import Occurred, work
from conformance.drivers.run import make_report
from conformance.engine import sieve
from conformance.engine.lessons import Lessons
from conformance.engine.plan import Settings, plan
from conformance.engine.search import drawn
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.report.conclusion import conclusion
from conformance.report.levels import reached
from conformance.targets.find import find

pytestmark = pytest.mark.usefixtures("folder")


def test_large_recipes_reach_each_size_that_kernels_have_thresholds_at_and_stay_affordable() -> None:
    recipes = drawn(strategies.large(find("torch-nn")), 400, 0)
    assert max(recipe.H for recipe in recipes) == 2048
    assert max(recipe.I for recipe in recipes) == 2048
    assert max(recipe.L for recipe in recipes) == 4096
    assert max(recipe.N for recipe in recipes) == 256
    assert max(4 * r.layers * (1 + r.bidirectional) * work(r.I, r.H, r.L, r.N) for r in recipes) <= 400_000_000
    assert {recipe.ragged for recipe in recipes} == {recipe.bidirectional for recipe in recipes} == {False, True}


def test_large_recipes_keep_within_what_is_declared() -> None:
    recipes = drawn(strategies.large(replace(find("torch-nn"), capabilities=Capabilities(batch=False))), 60, 0)
    assert {(r.N, r.layers, r.bidirectional, r.ragged, r.bias, r.dtype) for r in recipes} == {
        (1, 1, False, False, True, "float32")
    }


def test_a_run_of_large_sizes_finds_what_shows_there_alone_and_claims_no_more_than_it_saw() -> None:
    def above_a_tile(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        return output + (config.hidden_size > 90), (h_n, c_n)

    settings = Settings(cases=6, only=("smoke", "values.output"), large=True)
    right, wrong = (conform(around(call), settings) for call in (lambda f, c, *a: f(*a), above_a_tile))
    assert not wrong.sound
    assert right.sound
    assert not right.conformant
    assert not reached(right)[0]
    told = conclusion(make_report(settings, [right]))
    assert told.startswith("large sizes: ")
    assert "6 cases of large sizes; left out: the fixed set and all usual sizes" in told


def test_each_large_case_is_for_others_of_the_properties_that_cost_runs_of_their_own() -> None:
    planned = plan(replace(find("numpy"), capabilities=WIDE), Settings(large=True))
    recipe = parse("I=2 H=3 L=4 N=2 state=both")
    paces = {p.id: planned.pace(p) for p in planned.asked}
    met = [{p.id for p in planned.asked if paces[p.id].inquiry(p, recipe, p.limit)} for _ in range(8)]
    always = {p.id for p in planned.asked if p.every == 1 and p.when(recipe)}
    assert set.intersection(*met) == always
    assert set.union(*met) == {p.id for p in planned.asked if p.when(recipe) and p.every <= 8}
    assert max(map(len, met)) < len(set.union(*met)) / 2


def test_a_backend_that_compiles_is_not_judged_at_large_sizes() -> None:
    compiled = replace(find("numpy"), capabilities=Capabilities(compiled=True))
    with pytest.raises(UsageError, match="compiles, and is not judged at large sizes"):
        plan(compiled, Settings(large=True))


class Clock:
    """A clock on which each look takes a tenth of a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 0.1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sieve, "time", clock)
    return clock


def test_seconds_are_spent_on_random_cases_after_the_fixed_set(clock: Clock) -> None:
    backend = replace(find("numpy"), capabilities=Capabilities())
    only = ("smoke", "values.output")
    usual = conform(backend, Settings(cases=0, only=only))
    clock.now = 0.0
    spent = conform(backend, Settings(only=only, seconds=20.0))
    assert spent.interrupted is None
    assert spent.cases > usual.cases + 10
    assert 20 < clock.now < 23


def test_too_few_seconds_for_the_fixed_set_leave_a_run_incomplete(clock: Clock) -> None:
    report = conform(replace(find("numpy"), capabilities=WIDE), Settings(only=("smoke", "values.output"), seconds=1.0))
    assert report.interrupted is not None
    assert report.interrupted.reason == "its 1 seconds were over before the fixed set was"
    assert not report.conformant


def test_the_case_that_teaches_most_for_its_time_comes_first() -> None:
    met = [parse("I=2 H=3 L=4 N=2 state=both")]
    same = parse("I=2 H=3 L=4 N=2 state=both seed=5")
    new = parse("I=5 H=8 L=3 N=1 state=none bidirectional")
    costly = parse("I=5 H=64 L=400 N=33 state=none bidirectional")
    assert Lessons(met).choose([same, costly]) == [same]
    assert Lessons(met).choose([same, costly, new]) == [new, same]


def test_a_budget_covers_more_combinations_than_the_same_cases_in_the_order_they_are_drawn() -> None:
    backend = replace(find("numpy"), capabilities=WIDE)
    some = drawn(strategies.recipes(backend), 64, 7)
    chosen = Lessons([]).choose(some)

    def taught(recipes: Any) -> int:
        occurred, sum_ = Occurred(), 0
        for recipe in recipes:
            sum_ += occurred.gain(recipe, choices(recipe))
            occurred.add(recipe, choices(recipe))
        return sum_

    work_of = [work(r.I, r.H, r.L, r.N) for r in chosen]
    assert sum(work_of) < sum(work(r.I, r.H, r.L, r.N) for r in some) / 2
    assert taught(chosen) > 0.45 * taught(some)


def test_the_command_line_has_profiles(command: Command) -> None:
    only = ("--only", "smoke", "values.output")
    code, out, _ = command("run", "numpy", "--profile", "quick", *only)
    assert (code, "quick: numpy" in out) == (0, True)
    code, _, err = command("run", "numpy", "--quick", "--seconds", "5", *only)
    assert code == 2
    assert "--seconds decides how many cases are asked" in err
    code, _, err = command("run", "numpy", "--profile", "slow", *only)
    assert code == 2
