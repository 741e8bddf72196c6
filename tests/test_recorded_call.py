"""One call that somebody recorded: can rounding explain it, from which step on, why; and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import Command

from conformance.backend import Backend
from conformance.cases.case import handed, realise
from conformance.cases.recipe import Recipe
from conformance.errors import UsageError
from conformance.facts import Cause, Degree
from conformance.faults import FAULTS, backend_of
from conformance.recorded.differences import Compared, causes, compared
from conformance.recorded.given import given_calls
from conformance.report.answer import answer
from conformance.spec import Array
from conformance.targets.find import find

CALL = Recipe(I=3, H=4, L=6, N=2, bidirectional=True, state="both", seed=5)


def arrays(backend: Backend, recipe: Recipe = CALL, **changed: Any) -> dict[str, Any]:
    """What somebody would save of a call."""
    case = realise(recipe)
    x, state, lengths = handed(case)
    arguments = {"state": state} if lengths is None else {"state": state, "lengths": lengths}
    output, (h_n, c_n) = backend.build(case.config, dict(case.params))(x, **arguments)
    found = {**case.params, "x": x, "output": output, "h_n": h_n, "c_n": c_n}
    found |= {} if state is None else {"h_0": state[0], "c_0": state[1]}
    found |= {} if lengths is None else {"lengths": lengths}
    return {name: value for name, value in (found | changed).items() if value is not None}


def saved(path: Path, **named: Any) -> Path:
    np.savez(path, **named)
    return path


def judged(*paths: Path) -> tuple[list[Compared], tuple[Cause, ...]]:
    several = [compared(given) for given in given_calls(paths)]
    return several, causes(several, 20.0).causes


def test_rounding_explains_a_right_call(tmp_path: Path) -> None:
    """Layout, projection and dtype are read off the arrays, and half of them may be left out."""
    recipes = (
        CALL,
        Recipe(I=2, H=4, layers=2, proj=2, L=3, N=4, ragged=True, seed=1),
        Recipe(I=2, H=3, L=4, unbatched=True, dtype="float64", bias=False, seed=2),
        Recipe(I=2, H=3, L=4, N=3, batch_first=True, seed=3),
    )
    for k, recipe in enumerate(recipes):
        path = saved(
            tmp_path / f"{k}.npz",
            **arrays(find("numpy"), recipe, h_n=None if k == 2 else arrays(find("numpy"), recipe)["h_n"]),
        )
        ([one], found) = judged(path)
        assert one.difference.explained, recipe
        assert not one.difference.silent
        assert one.given.case.config.batch_first == recipe.batch_first
        assert not found
        assert "explains it" in answer("x", one.difference)


def test_a_cause_is_likely_after_one_call_and_confirmed_by_others(tmp_path: Path) -> None:
    wrong = backend_of(FAULTS["gate-order-iofg"])
    paths = [
        saved(tmp_path / f"{k}.npz", **arrays(wrong, Recipe(I=3, H=4 + k, L=5, N=2, state="both", seed=k)))
        for k in range(10)
    ]
    [one], [cause] = judged(paths[0])
    assert (cause.degree, cause.alterations[0].fault) == (Degree.LIKELY, "gate-order-iofg")
    assert "cannot explain it" in answer("x", one.difference, [cause])
    _, [cause] = judged(*paths)
    assert (cause.degree, cause.explained, cause.tried) == (Degree.CONFIRMED, 5, 5)


def test_it_says_from_which_step_on(tmp_path: Path) -> None:
    """In the order in which a direction reads; what is right before and after is told apart."""
    right = arrays(find("numpy"))
    output = right["output"].copy()
    output[4, 1, 1] += 1e-3
    [one], [cause] = judged(saved(tmp_path / "a.npz", **arrays(find("numpy"), output=output)))
    assert one.difference.first is not None
    assert (one.difference.first.direction, one.difference.first.step, one.difference.first.row) == (0, 4, 1)
    assert one.difference.wrong["h_n"][0] == 0
    assert cause.degree == Degree.LOCATED
    output = right["output"].copy()
    output[:2, 0, 4:] += 1e-3
    [one], _ = judged(saved(tmp_path / "b.npz", **arrays(find("numpy"), output=output)))
    assert one.difference.first is not None
    assert (one.difference.first.direction, one.difference.first.step) == (1, 4)


def test_numbers_that_are_none_are_wrong(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        output = np.full_like(arrays(find("numpy"))["output"], value)
        [one], _ = judged(saved(tmp_path / "a.npz", **arrays(find("numpy"), output=output)))
        assert one.difference.margin == np.inf
        assert one.difference.wrong["output"] == (output.size, output.size)


def test_a_file_without_an_x_lends_its_weights(tmp_path: Path) -> None:
    whole = arrays(find("numpy"))
    weights = {f"encoder.lstm.{name}": value for name, value in whole.items() if "_l0" in name}
    saved(tmp_path / "trained.npz", **weights)
    saved(tmp_path / "call.npz", **{name: value for name, value in whole.items() if "_l0" not in name})
    [one], _ = judged(tmp_path)
    assert one.difference.explained
    assert one.given.path.name == "call.npz"


def without(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


def zeros(*shape: int, dtype: str = "float32") -> Array:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (without("x"), "has no array 'x', the input (L, N, I)"),
        (without("output", "h_n", "c_n"), "has no results"),
        (without("c_0"), "has h_0 and no c_0"),
        (without("weight_hh_l0"), "has no weight_hh_l0"),
        (without("bias_hh_l0_reverse"), "has no bias_hh_l0_reverse, expected (16,)"),
        ({"weight_ih_l0": zeros(15, 3)}, "weight_ih_l0 has shape (15, 3), expected (16, 3)"),
        ({"weight_hh_l0": zeros(15, 4)}, "weight_hh_l0 has shape (15, 4), expected (4H, P)"),
        ({"weight_ih_l5000000": zeros(16, 8)}, "has no weight"),
        ({"h_n": zeros(1, 2, 4)}, "h_n has shape (1, 2, 4), expected (2, 2, 4): (layers·D, N, P)"),
        ({"x": zeros(6, 2, 7)}, "x has shape (6, 2, 7), expected (L, N, I)"),
        ({"lengths": np.array([7, 1])}, "lengths are [7, 1]"),
        ({"lengths": zeros(2)}, "lengths are float32 (2,), expected whole numbers"),
        ({"outputs": zeros(6, 2, 8)}, "nothing is known of an array 'outputs'"),
        ({"hn": zeros(2, 2, 4)}, "is a second array of the name 'h_n'"),
        ({"c_n": zeros(2, 2, 4, dtype="float64")}, "its results are of several dtypes"),
        ({"x": np.full((6, 2, 3), 0.1)}, "x is float64 and has values that float32"),
        ({"config": "{"}, "its field config is not JSON"),
        ({"config": json.dumps({"hidden_size": 5})}, "its config says hidden_size = 5, and its weights are of 4"),
        ({"config": json.dumps({"gates": "ifog"})}, "its config names 'gates'"),
        ({"config": json.dumps({"batch_first": 1})}, "expected a value of type bool"),
        ({"config": json.dumps({"training": True, "dropout": 0.5})}, "in training with dropout, which is random"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "one.npz", **arrays(find("numpy"), **changed))
    with pytest.raises(UsageError) as caught:
        given_calls([path])
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_the_command_answers(command: Command, tmp_path: Path) -> None:
    right = saved(tmp_path / "right.npz", **arrays(find("numpy")))
    wrong = saved(tmp_path / "wrong.npz", **arrays(backend_of(FAULTS["initial-state-swapped"])))
    told = command("judge", str(right))
    assert (told.code, told.err) == (0, "")
    assert "rounding  explains it" in told.out
    told = command("judge", str(right), str(wrong), "--json", str(tmp_path / "report.json"))
    assert told.code == 1
    assert "likely    (h_0, c_0) is read as (c_0, h_0)" in told.out
    assert "rounding explains 1 of 2 calls" in told.out
    assert command("report", str(tmp_path / "report.json")).code == 1
    assert command("judge", str(tmp_path / "none.npz")).code == 2
