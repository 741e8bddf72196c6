"""The order of asking: same cases, other order; the first failure is told at once; a quick run claims little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from backends import around
from programs import Command

from conformance.cases import fixed_set as fixed_set_module
from conformance.cases.fixed_set import fixed_set
from conformance.cases.recipe import Recipe
from conformance.cases.rows import best_recipe
from conformance.drivers.run import make_report
from conformance.engine.judging import Here
from conformance.engine.news import Failed, News, Settled
from conformance.engine.order import OPENING, ROWS, after_opening, ordered
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import LeftOut
from conformance.properties import catalogue
from conformance.properties.model import Cost
from conformance.report.conclusion import conclusion
from conformance.report.levels import reached
from conformance.targets.find import find


def test_every_cost_meets_every_row_in_the_rows_order_and_the_small_ones_come_first() -> None:
    rows = fixed_set(find("numpy"), 0)
    asked = list(ordered(rows))
    for each in Cost:
        assert [row for _, row, cost in asked if cost == each] == [*rows]
    assert [cost for _, _, cost in asked[:ROWS]] == [Cost.SMALL] * ROWS
    assert asked[-1][2] == Cost.LONGEST


def test_large_sizes_are_what_is_put_off() -> None:
    late = {p.group for p in catalogue().values() if p.cost}
    assert late == {"sizes", "gradients"}
    assert all(p.cost for p in catalogue().values() if p.group == "sizes")


@pytest.mark.parametrize("count", [3, OPENING, 30])
def test_each_row_is_asked_once_for_each_cost_whether_in_the_opening_or_after_it(count: int) -> None:
    rows = fixed_set(find("numpy"), 0)[:count]
    opening = [(at, row, Cost.SMALL) for at, row in enumerate(rows[:OPENING])]
    assert sorted([*opening, *after_opening(rows)], key=str) == sorted(ordered(rows), key=str)


def test_rows_are_worked_out_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSTM that is wrong in its first call waits for none of them."""
    made: list[int] = []

    def counted(row: Any, looked: Any, number: int, *more: Any) -> Recipe:
        made.append(number)
        return best_recipe(row, looked, number, *more)

    monkeypatch.setattr(fixed_set_module, "best_recipe", counted)
    fixed_set_module._sized.cache_clear()
    rows = fixed_set(find("numpy"), 0)
    first = next(iter(rows))
    assert not made
    assert rows[3].seed == 1
    assert made == [0, 1]
    assert len(rows) == len([*rows])
    assert made == [*range(len(made))]
    assert (rows[0], rows[-1].L) == (first, 17)


def test_the_first_failure_is_told_once_and_before_it_is_shrunk() -> None:
    calls = 0
    told: list[tuple[News, int]] = []

    def wrong(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        nonlocal calls
        calls += 1
        output, (h_n, c_n) = forward(x, *state)
        return output, (h_n, c_n + 1)

    conform(around(wrong), Settings(0, only=("values.c_n", "values.output")), lambda news: told.append((news, calls)))
    [(failed, when)] = [(news, calls) for news, calls in told if isinstance(news, Failed)]
    assert (failed.verdict.property, failed.counts) == ("values.c_n", True)
    [(settled, later)] = [(news, calls) for news, calls in told if isinstance(news, Settled)]
    assert when < 5 < later, "shrinking takes calls, and comes after"
    assert settled.verdict.outcome == "failed"


def test_what_is_costly_meets_the_small_case_of_a_failure_in_its_own_turn() -> None:
    def wrong(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        return output + 1, (h_n, c_n)

    asked: list[str] = []

    class Watched(Here):
        def ask(self, recipe: Recipe, inquiries: Any, *args: Any, **options: Any) -> Any:
            asked.extend(inquiry.property.id for inquiry in inquiries)
            return super().ask(recipe, inquiries, *args, **options)

    only = ("values.output", "values.c_n", "sizes.hidden")
    conform(Watched(around(wrong)), Settings(cases=0, only=only))
    # c_n is right, and asked of every row.
    assert asked[: asked.index("sizes.hidden")].count("values.c_n") >= ROWS


def test_a_failure_that_does_not_count_is_not_told_and_does_not_stop_a_run() -> None:
    def wrong(forward: Any, config: Any, x: Any, *state: Any) -> Any:
        output, (h_n, c_n) = forward(x, *state)
        return output, (h_n, c_n + 1)

    told: list[News] = []
    settings = Settings(0, only=("values.c_n", "values.output"), stop=True, expected_failures={"values.c_n": "known"})
    report = conform(around(wrong), settings, told.append)
    [failed] = [news for news in told if isinstance(news, Failed)]
    assert (failed.verdict.outcome, failed.counts) == ("expected failure", False)
    assert (report.complete, report.conformant) == (True, True)


def test_a_quick_run_says_what_it_leaves_out_and_claims_no_level() -> None:
    only = ("smoke", "values.output", "sizes.steps-past-16-bits")
    report = conform(find("numpy"), Settings(0, only=only, quick=True))
    assert not report.conformant
    assert not report.bad
    assert reached(report)[0] == ""
    [left] = [v for v in report.verdicts if isinstance(v.fact, LeftOut)]
    assert (left.property, left.outcome) == ("sizes.steps-past-16-bits", "not run")
    told = conclusion(make_report(Settings(0), [report]))
    assert told.startswith(f"quick: numpy: 2 of 2 properties hold in {ROWS} cases; left out: 1 property, ")


def test_a_quick_run_of_an_adapter_that_refuses_everything_is_no_success(command: Command) -> None:
    Path("refusing.py").write_text(
        "from conformance import Capabilities, Unsupported, backend\n"
        "@backend('refusing', Capabilities())\n"
        "def build(config, params):\n"
        "    raise Unsupported('not here')\n",
        encoding="utf-8",
    )
    code, out, _ = command("run", "refusing.py:build", "--quick", "--in-process", "--only", "values")
    assert (code, "not conformant: " in out) == (1, True)
