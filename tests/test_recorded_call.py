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
from conformance.faults import FAULTS, backend_of, twin_backend
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


def test_a_nan_that_was_given_must_show(tmp_path: Path) -> None:
    """A program that hides it was told to be right: where a NaN is expected, no error was seen."""
    x = arrays(find("numpy"))["x"].copy()
    x[2, 1, 0] = np.nan
    case = realise(CALL)
    output, (h_n, c_n) = find("numpy").build(case.config, dict(case.params))(x, case.state)
    shown = {"x": x, "output": output, "h_n": h_n, "c_n": c_n}
    [one], _ = judged(saved(tmp_path / "shown.npz", **arrays(find("numpy"), **shown)))
    assert one.difference.explained
    shown["output"] = np.nan_to_num(output, nan=0.25)
    [one], _ = judged(saved(tmp_path / "hidden.npz", **arrays(find("numpy"), **shown)))
    assert one.difference.wrong["output"][0] == np.isnan(output).sum() > 0
    assert one.difference.wrong["h_n"][0] == 0
    assert "is 0.25, and a NaN that was given leads there" in answer("x", one.difference)


def test_a_call_of_which_nothing_is_known_does_not_pass(command: Command, tmp_path: Path) -> None:
    """All of its preactivations are beyond the range of float32."""
    big = {"weight_ih_l0": (8, 3), "weight_hh_l0": (8, 2), "x": (1, 1, 3)}
    named = {name: np.full(shape, 3e38, np.float32) for name, shape in big.items()}
    named["x"][..., 1] *= -1
    path = saved(tmp_path / "one.npz", **named, output=np.full((1, 1, 2), 0.7, np.float32))
    told = command("judge", str(path))
    assert "nothing is known" in told.out
    assert told.code == 1
    right = saved(tmp_path / "right.npz", **arrays(find("numpy")))
    told = command("judge", str(path), str(right))
    assert "rounding explains 1 of 2 calls, and nothing is known of 1" in told.out
    assert told.code == 1


@pytest.mark.parametrize("recipe", [Recipe(I=3, H=4, L=5, N=2, seed=1), Recipe(I=3, H=4, L=3, N=3, seed=2)])
def test_the_layout_of_x_is_asked_for_where_only_the_other_one_is_right(recipe: Recipe, tmp_path: Path) -> None:
    """A right recording of a batch-first model without its states was told to be wrong."""
    right = arrays(find("numpy"), recipe)
    turned = {name: right[name].swapaxes(0, 1) for name in ("x", "output")}
    path = saved(tmp_path / "one.npz", **{**right, **turned}) if recipe.L == recipe.N else tmp_path / "one.npz"
    if recipe.L != recipe.N:
        saved(path, **{n: v for n, v in {**right, **turned}.items() if n not in ("h_n", "c_n")})
    with pytest.raises(UsageError, match=r"its results are right if x is \(N, L, I\), and wrong if x is \(L, N, I\)"):
        judged(path)
    saved(path, **{**right, **turned}, config=json.dumps({"batch_first": True}))
    [one], _ = judged(path)
    assert one.difference.explained


def test_bfloat16_is_read_from_the_bits_that_numpys_files_hold(tmp_path: Path) -> None:
    held = arrays(twin_backend(), Recipe(I=2, H=3, L=4, N=2, dtype="bfloat16", seed=4))
    saved(tmp_path / "saved.npz", **held)
    saved(tmp_path / "bits.npz", **{name: value.view("uint16") for name, value in held.items()})
    for name in ("saved.npz", "bits.npz"):
        [one], _ = judged(tmp_path / name)
        assert one.difference.explained
        assert one.given.case.config.dtype == "bfloat16"


def test_results_without_an_x_are_lent_to_no_other_call(tmp_path: Path) -> None:
    """The results of one call were taken for those of another, and which weights counted was a matter of order."""
    whole = arrays(find("numpy"))
    weights = {name: value for name, value in whole.items() if "_l0" in name}
    call = saved(tmp_path / "call.npz", x=whole["x"], h_n=whole["h_n"], h_0=whole["h_0"], c_0=whole["c_0"])
    lender = saved(tmp_path / "trained.npz", **weights, **{"embedding.weight": whole["x"]})
    [one], _ = judged(call, lender)
    assert one.difference.explained, "other arrays of a trained model are passed over"
    forgotten = saved(tmp_path / "forgotten.npz", output=0 * whole["output"])
    with pytest.raises(UsageError, match=r"forgotten\.npz has no array 'x'"):
        given_calls([call, lender, forgotten])
    second = saved(tmp_path / "second.npz", **weights)
    with pytest.raises(UsageError, match=r"second.npz has weight_ih_l0, and so has .*trained.npz"):
        given_calls([call, lender, second])


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
        ({"weight_ih_l500000": zeros(16, 8)}, "has no weight"),
        ({f"weight_ih_l{'9' * 5000}": zeros(16, 8)}, "nothing is known of an array 'weight_ih_l999"),
        ({"config": json.dumps({"dtype": "float64"})}, "says dtype = 'float64', and its results are float32"),
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
