"""Recipes and cases: text that parses back, arrays that are always the same, views and edits as promised."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from backends import EVERYTHING
from hypothesis import given, settings

from conformance.cases import strategies
from conformance.cases.case import arrange, handed, realise, tensors
from conformance.cases.edits import apply
from conformance.cases.fills import normal, stream
from conformance.cases.recipe import FILLS, VIEWS, Recipe, parse
from conformance.errors import UsageError
from conformance.reference.forward import lstm
from conformance.spec import param_shapes, state_shapes


@given(strategies.recipes(EVERYTHING))
@settings(max_examples=100)
def test_a_recipe_parses_back_from_its_text(recipe: Recipe) -> None:
    assert parse(str(recipe)) == recipe


def test_edits_parse_back() -> None:
    recipe = Recipe(I=3, H=2, L=4, N=2, edits=("-t3", "0:weight_hh_l0[2:4]", "1:x"))
    assert parse(str(recipe)) == recipe


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("I=0", "I=0"),
        ("I=two", "I=two"),
        ("hidden=3", "hidden=3"),
        ("sideways", "sideways"),
        ("view=upside-down", "upside-down"),
        ("gain=loud", "gain=loud"),
        ("H=2 proj=2", "proj_size must be smaller than hidden_size"),
        ("unbatched N=2", "unbatched"),
        ("I=1 float8", "float8"),
    ],
)
def test_a_wrong_word_is_named(text: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parse(text)


def test_values_are_the_same_everywhere() -> None:
    """PCG64's raw stream is NumPy's promise; what is built from it must not change, or recipes lose their meaning."""
    assert stream(0, "x", 2).tolist() == [14792098528923663748, 15590170416126552175]
    case = realise(parse("I=3 H=2 layers=2 bidirectional L=4 N=2 state=both seed=7"))
    digest = hashlib.sha256()
    for name, value in sorted(tensors(case).items()):
        digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    assert digest.hexdigest()[:16] == "41af49f8ed244950"


def test_normal_values_look_normal() -> None:
    z = normal(1, "z", (100_000,))
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.01
    assert abs(z).max() < 3.5


def test_one_size_does_not_reshuffle_the_others() -> None:
    """Shrinking N must leave the weights as they are, or every shrink step would be another case."""
    small, large = (realise(Recipe(I=3, H=2, L=4, N=n, state="both")) for n in (1, 5))
    for name in small.params:
        np.testing.assert_array_equal(small.params[name], large.params[name])


@given(strategies.recipes(EVERYTHING))
@settings(max_examples=60)
def test_a_case_has_the_contract_s_shapes(recipe: Recipe) -> None:
    case = realise(recipe)
    config = case.config
    assert {name: value.shape for name, value in case.params.items()} == param_shapes(config)
    assert all(value.dtype == config.dtype and value.flags.c_contiguous for value in case.params.values())
    x, state, lengths = handed(case)
    batch = (recipe.L,) if recipe.unbatched else (recipe.N, recipe.L) if recipe.batch_first else (recipe.L, recipe.N)
    assert x.shape == (*batch, recipe.I)
    assert x.flags.writeable == (recipe.view != "readonly")
    if state is not None:
        shapes = state_shapes(config, recipe.N)
        expected = [(s[0], s[2]) if recipe.unbatched else s for s in shapes]
        assert [part.shape for part in state] == expected
    if lengths is not None:
        assert lengths.dtype == np.int64
        assert lengths.min() >= 1
        assert lengths.max() <= recipe.L


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3, 4), (2, 1, 4), (1, 1, 1)])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_the_same_values_in_fresh_memory(view: str, shape: tuple[int, ...]) -> None:
    values = np.arange(float(np.prod(shape))).reshape(shape)
    seen = arrange(values, view)
    np.testing.assert_array_equal(seen, values)
    assert not np.shares_memory(seen, values)
    if min(shape) > 1:
        assert seen.flags.c_contiguous == (view in ("plain", "offset", "readonly"))


def test_a_case_cannot_be_changed_by_accident() -> None:
    case = realise(Recipe(I=2, H=2, dtype="float64", state="both"))
    assert not any(tensor.flags.writeable for tensor in tensors(case).values())
    again = realise(Recipe(I=2, H=2, dtype="float64", state="none"))
    assert all(np.array_equal(again.params[name], value) for name, value in case.params.items())


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_fill_is_finite_and_not_trivial(fill: str, dtype: str) -> None:
    case = realise(
        Recipe(I=9, H=6, layers=2, bidirectional=True, proj=3, L=3, N=2, state="both", fill=fill, dtype=dtype)
    )
    for name, value in tensors(case).items():
        assert np.isfinite(value).all(), name
    assert case.x.any()
    output, _ = lstm(case.config, case.params, case.x, case.state)
    assert np.isfinite(output).all()
    assert output.any() == (fill != "zero-weights")


def test_the_digital_fill_gives_whole_cells() -> None:
    """If it did not, the property would have nothing to say and pass for nothing."""
    for seed in range(20):
        case = realise(
            Recipe(I=3, H=5, layers=2, bidirectional=True, L=6, N=2, state="both", fill="digital", seed=seed)
        )
        _, (_, c_n) = lstm(case.config, case.params, case.x, case.state)
        assert abs(c_n - np.rint(c_n)).max() < 1e-6
        assert len(np.unique(np.rint(c_n))) > 2


def test_deletions_take_away_one_of_everything() -> None:
    recipe = Recipe(I=3, H=4, layers=2, bidirectional=True, L=5, N=2, state="both")
    case = realise(replace(recipe, edits=("-t1", "-n0", "-i2", "-u3")))
    smaller = realise(Recipe(I=2, H=3, layers=2, bidirectional=True, L=4, N=1, state="both"))
    assert {k: v.shape for k, v in tensors(case).items()} == {k: v.shape for k, v in tensors(smaller).items()}
    lstm(case.config, case.params, case.x, case.state)


def test_deleting_a_unit_that_does_nothing_changes_nothing() -> None:
    """The deletion removes the right rows and columns: a unit without outgoing weights can go."""
    case = realise(Recipe(I=3, H=4, layers=2, bidirectional=True, L=5, N=2))
    D, H, unit = 2, 4, 2
    values = {name: value.copy() for name, value in tensors(case).items()}
    for name, value in values.items():
        if name.startswith("weight_hh"):
            value[:, unit] = 0
        elif name.startswith("weight_ih_l1"):
            value[:, [unit + d * H for d in range(D)]] = 0
    output, _ = lstm(case.config, values, values["x"])
    config, smaller, _ = apply(f"-u{unit}", case.config, values, None)
    fewer, _ = lstm(config, smaller, smaller["x"])
    keep = [j for j in range(D * H) if j % H != unit]
    np.testing.assert_allclose(fewer, output[..., keep], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("edit", ["-t9", "-q1", "0:bias_zz[0:1]", "0:x[a:b]", "z:x"])
def test_an_edit_that_does_not_fit_is_named(edit: str) -> None:
    with pytest.raises(UsageError, match="edit"):
        realise(Recipe(L=2, edits=(edit,)))


def test_ones_keep_zeros_and_signs() -> None:
    case = realise(Recipe(I=4, L=1, edits=("0:x[1]", "1:x")))
    assert sorted(set(case.x.ravel().tolist())) in ([-1, 0, 1], [-1, 0], [0, 1])
