"""The benchmarks that look for accusations of correct LSTMs, on a tiny budget, and the promises of their record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from benchmarks import adversary, shrunk
from benchmarks.adversary import Climb, Record, climb
from benchmarks.composites import composite, composites
from benchmarks.false_alarms import Editing, correct
from benchmarks.shrunk import Replay, Shrinking, replayed
from benchmarks.variations import declares, edited, mutated
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.judging import Inquiry
from conformance.engine.plan import Settings
from conformance.faults import DIFFERENT
from conformance.properties import catalogue
from conformance.trials.trial import Trial


def test_edits_that_are_drawn_fit_their_recipes() -> None:
    recipe, backend = parse("I=3 H=4 layers=2 proj=2 L=3 N=2 state=both ragged"), correct("numpy")
    drawn = [edited(recipe, backend, Random(seed)) for seed in range(60)]
    assert all(realise(parse(str(one))).steps for one in drawn)
    kinds = {edit[:2] for one in drawn for edit in one.edits}
    assert kinds == {"-t", "-n", "-i", "-u", "0:", "1:", "r:"}


def test_mutations_stay_within_what_is_declared_and_replay_from_their_text() -> None:
    backend, recipe, met = correct("numpy"), Recipe(I=3, H=4, L=3, N=2), set[str]()
    for seed in range(400):
        recipe = mutated(recipe, backend, Random(seed), turns=3)
        assert declares(backend, recipe)
        assert parse(str(recipe)) == recipe
        realise(recipe)
        met |= {name for name, value in vars(recipe).items() if value != getattr(Recipe(), name)}
    assert met == set(vars(recipe))


def test_a_composite_has_all_its_differences_and_there_is_none_where_they_collide() -> None:
    known = {different.id: different for different in DIFFERENT}
    both = composite(known["fused-cell"], known["blocked-sums"])
    assert (both.twin.cell, both.twin.dot) == (known["fused-cell"].twin.cell, known["blocked-sums"].twin.dot)
    with pytest.raises(ValueError, match="dot"):
        composite(known["reversed-sums"], known["blocked-sums"])
    assert composites(5, 1) == composites(5, 1) != composites(5, 2)
    assert all(Trial(correct(name), Recipe(I=3, H=4, L=3, N=2)).right() for name in composites(5, 1))


def test_one_random_case_in_some_has_edits_and_the_fixed_set_has_none() -> None:
    settings = Settings(cases=0)
    judge = Editing(correct("numpy"), settings)
    drawn = [Recipe(I=3, H=4, L=3, N=2, seed=seed, turn=seed % 2) for seed in range(1_000_000, 1_000_200)]
    share = sum(judge.asked(recipe) != recipe for recipe in drawn) / len(drawn)
    assert 0.15 < share < 0.35
    changed = next(recipe for recipe in drawn if judge.asked(recipe) != recipe)
    # Whatever the turn, so that a failure comes back.
    assert judge.asked(replace(changed, turn=5)).edits == judge.asked(changed).edits
    [_] = judge.ask(changed, [Inquiry(catalogue()["values.output"])])
    assert judge.edited == {replace(judge.asked(changed), turn=0)}
    assert all(judge.asked(recipe) == recipe for recipe in judge._plain)


def test_a_climb_is_the_same_again_and_never_ends_below_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adversary, "_STEPS", 12)
    start = "I=3 H=4 L=3 N=2 state=both"
    task = Climb(3, 0, "numpy", "values.output", start)
    line = climb(task)
    margin, recipe = line["best"]["values.output"]
    [(_, first)] = adversary.Here(correct("numpy")).ask(parse(start), [Inquiry(catalogue()["values.output"])])
    assert first.margin is not None
    assert margin > first.margin
    [(_, again)] = adversary.Here(correct("numpy")).ask(parse(recipe), [Inquiry(catalogue()["values.output"])])
    assert again.margin == margin
    assert {**climb(task), "seconds": 0} == {**line, "seconds": 0}


def test_an_accusation_is_kept_with_its_recipe_and_ends_the_climbs_of_its_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adversary, "_backend", lambda name: correct("different:activations-3-ulps-off"))
    finding = "conformance.bounds.forward.Finding"
    monkeypatch.setattr(f"{finding}.ratios", lambda finding: np.full(finding.actual.shape, 2.0))
    monkeypatch.setattr(f"{finding}.margin", lambda finding: 2.0)
    line = climb(Climb(0, 0, "numpy", "values.output", "I=3 H=4 L=3 N=2"))
    [accusation] = line["accusations"]
    assert accusation["recipe"] == "I=3 H=4 L=3 N=2"
    found = Record({"numpy": ["values.output"]}, seed=0, surveyed={"numpy"})
    assert [task.property for task in found.wave()][:1] == ["values.output"]
    found.add(line)
    assert found.wave() == []
    assert "--replay 'I=3 H=4 L=3 N=2' numpy values.output" in adversary.accusations(found)


def test_all_properties_get_climbs_and_what_rises_gets_more() -> None:
    ids = ["values.output", "values.h_n", "values.c_n", "state.slots"]
    found = Record({"numpy": ids, "twin": ids}, seed=0, surveyed={"numpy", "twin"})
    for _ in range(12):
        for task in found.wave():
            rises = task.property == "values.c_n"
            best = {task.property: (task.number if rises else 0.5, "I=1 H=1")}
            found.add({**task._asdict(), "judgements": {}, "best": best, "accusations": [], "seconds": 0})
    climbs = {id: sum(count for (of, _), count in found.tried.items() if of == id) for id in ids}
    assert min(climbs.values()) > 10
    assert max(climbs, key=lambda id: climbs[id]) == "values.c_n"


def test_an_interrupted_measurement_goes_on_where_it_stopped(tmp_path: Path) -> None:
    results = tmp_path / "adversary.jsonl"
    arguments = ["numpy", "--minutes", "0.00001", "--jobs", "1", "--results", str(results), "--only", "values.output"]
    assert adversary.main(arguments) == 0
    assert adversary.main(arguments) == 0
    first, second = (json.loads(line) for line in results.read_text().splitlines())
    assert (first["property"], second["property"]) == ("", "values.output")
    assert second["number"] == first["number"] + 1


def test_minimal_recipes_are_judged_once_on_each_lstm() -> None:
    found = shrunk.Record(["numpy", "twin"], ["a", "b"], seed=0)
    assert {task.fault for task in found.wave() if isinstance(task, Shrinking)} == {"a", "b"}
    for fault in "ab":
        found.add({"fault": fault, "recipes": {"values.output": "I=1 H=1 L=1 N=1", "state.slots": "I=2 H=1 L=1 N=1"}})
    tasks = [task for task in found.wave() if isinstance(task, Replay)]
    assert sorted(tasks) == [(f"I={size} H=1 L=1 N=1", ("numpy", "twin")) for size in (1, 2)]
    found.add({"recipe": tasks[0].recipe, "judgements": {"numpy": 50}, "alarms": []})
    assert [task.lstms for task in found.left() if isinstance(task, Replay)] == [("twin",), ("numpy", "twin")]
    found.each = 1
    assert all(len(task.lstms) <= 1 for task in found.left() if isinstance(task, Replay))


def test_a_minimal_recipe_is_judged_by_all_properties_and_not_where_it_is_undeclared() -> None:
    line = replayed(Replay("I=1 H=1 bfloat16 L=1 N=1 turn=3 edits=0:x", ("numpy", "twin")))
    assert line["alarms"] == []
    assert line["judgements"]["numpy"] == 0
    assert line["judgements"]["twin"] > 40
