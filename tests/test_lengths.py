"""Variable lengths and degenerate sizes: how lengths are drawn, what the built-in backends do, who is accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from backends import accused, only
from torch import nn

from conformance.backend import Backend, Unsupported
from conformance.cases.case import Case, handed, realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.plan import Settings
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, Params
from conformance.targets.find import find
from conformance.torch_module import build_of, call

BUILT_IN = ("numpy", "torch-loop", "torch-nn")
SETTINGS = Settings(cases=40, only=("lengths", "degenerate", "refusals.lengths"))


def built(name: str, case: Case) -> Callable[..., Any]:
    return find(name).build(case.config, {name: value.copy() for name, value in case.params.items()})


def test_lengths_are_drawn_of_every_kind() -> None:
    L, N = 6, 4
    drawn = [realise(Recipe(L=L, N=N, ragged=True, seed=seed)).row_lengths() for seed in range(400)]
    assert all(lengths.dtype == np.int64 and lengths.min() >= 1 and lengths.max() <= L for lengths in drawn)
    assert all(lengths.min() < L for lengths in drawn)
    kinds = {
        "none full": lambda n: n.max() < L,
        "only the last full": lambda n: n[-1] == L and n[:-1].max() < L,
        "only the last short": lambda n: n[-1] < L and n[:-1].min() == L,
        "rising": lambda n: (np.diff(n) > 0).all(),
        "all one": lambda n: n.max() == 1,
        "unsorted": lambda n: (np.diff(n) > 0).any() and (np.diff(n) < 0).any(),
    }
    assert {kind for kind, holds in kinds.items() if any(holds(lengths) for lengths in drawn)} == {*kinds}


def test_large_cases_have_a_short_row_and_a_full_one() -> None:
    for seed in range(100):
        lengths = realise(Recipe(I=2, H=64, L=3, N=3, ragged=True, seed=seed)).row_lengths()
        assert lengths.min() < lengths.max() == 3


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_the_seed_to_which_failures_shrink_has_a_short_row(steps: int, rows: int) -> None:
    assert realise(Recipe(L=steps, N=rows, ragged=True, seed=0)).row_lengths().min() < steps


def test_many_lengths_are_told_in_short() -> None:
    assert realise(parse("L=9 N=33 ragged seed=4")).describe().endswith("lengths 1 to 9")
    assert realise(parse("L=3 N=2 ragged")).describe().endswith("lengths [3, 1]")


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(
    "lengths",
    [[2, 0, 1], [2, -1, 1], [2, 6, 1], [2, 1], [2, 1, 1, 1], [[2, 1, 1]], [2.0, 1.0, 1.0], [True, True, True]],
    ids=str,
)
def test_a_built_in_backend_refuses_other_lengths(name: str, lengths: object) -> None:
    case = realise(parse("I=3 H=4 L=5 N=3 state=both"))
    x, state, _ = handed(case)
    with pytest.raises((ValueError, RuntimeError), match="ength"):
        built(name, case)(x, state, lengths=np.asarray(lengths))


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_backend_refuses_lengths_without_a_batch(name: str) -> None:
    case = realise(parse("I=3 H=4 unbatched L=5"))
    with pytest.raises(ValueError, match="lengths"):
        built(name, case)(case.x[:, 0], lengths=np.array([2]))


@pytest.mark.parametrize("change", ["features", "rows", "layers"])
def test_torch_refuses_of_a_packed_batch_what_it_refuses_of_another(change: str) -> None:
    # nn.LSTM itself accepts these in a PackedSequence.
    case = realise(parse("I=1 H=1 L=1 N=1 state=both"))
    x, state, _ = handed(case)
    assert state is not None
    h_0, c_0 = state
    wrong = {
        "features": (np.repeat(x, 2, axis=2), (h_0, c_0)),
        "rows": (x, (np.repeat(h_0, 2, axis=1), np.repeat(c_0, 2, axis=1))),
        "layers": (x, (np.repeat(h_0, 2, axis=0), np.repeat(c_0, 2, axis=0))),
    }
    with pytest.raises(ValueError, match="must be"):
        built("torch-nn", case)(*wrong[change], lengths=np.array([1]))


class Unpacked(nn.LSTM):
    """Takes a packed batch, and returns a padded one."""

    def forward(self, *args: Any) -> Any:  # type: ignore[override]
        output, finals = super().forward(*args)
        return (torch.zeros(3) if isinstance(args[0], nn.utils.rnn.PackedSequence) else output), finals


def test_a_module_that_returns_no_packed_output_has_no_lengths() -> None:
    case = realise(parse("I=2 H=3 L=4 N=2 ragged"))
    x, state, lengths = handed(case)
    with pytest.raises(Unsupported, match="PackedSequence"):
        build_of(Unpacked)(case.config, case.params)(x, state, lengths=lengths)
    assert not find("tests.test_lengths:Unpacked").capabilities.lengths


def test_a_module_is_called_without_a_state_that_nobody_gave() -> None:
    seen = []

    class Recording(nn.LSTM):
        def forward(self, *args: Any) -> Any:  # type: ignore[override]
            seen.append(len(args))
            return super().forward(*args)

    x = torch.zeros(4, 2, 1)
    call(Recording(1, 1), LSTMConfig(1, 1), x, None, None)
    call(Recording(1, 1), LSTMConfig(1, 1), x, None, torch.tensor([4, 1]))
    assert seen == [1, 1]


def test_numpy_answers_a_sequence_of_no_steps() -> None:
    case = realise(parse("I=3 H=4 L=5 N=2 state=both"))
    x, state, _ = handed(replace(case, x=case.x[:0]))
    output, finals = built("numpy", case)(x, state)
    assert output.shape == (0, 2, 4)
    np.testing.assert_array_equal(finals, state)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*BUILT_IN, "torch-nn-step"])
def test_a_built_in_backend_is_not_accused(name: str) -> None:
    """It knows lengths, and takes or refuses calls of no rows or steps."""
    assert accused(only(find(name), "float32", "float64"), SETTINGS) == {}


def accusations(build: Callable[..., Any]) -> dict[str, str]:
    return accused(Backend("tried", FULL, build), SETTINGS)


def test_an_lstm_that_answers_a_length_of_0_is_not_accused() -> None:
    def accept(twin: Twin, config: LSTMConfig, x: Array, state: Any, lengths: Array | None) -> Any:
        ends = None if lengths is None else np.where(lengths == 0, 1, lengths)
        checked = Twin().accept(twin, config, x, state, ends)
        return *checked[:2], lengths

    assert accusations(Twin(accept=accept).build) == {}


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (lambda x: not np.isfinite(x).all(), ValueError("x is not finite")),
        (lambda x: not x.size, Unsupported("nothing to do")),
    ],
    ids=["what is not finite", "nothing to do"],
)
def test_an_lstm_that_refuses_padding_or_empty_calls_is_not_accused(
    refused: Callable[[Array], bool], error: Exception
) -> None:
    def build(config: LSTMConfig, params: Params) -> Any:
        forward = Twin().build(config, params)

        def call(x: Array, *args: Any, **more: Any) -> Any:
            if refused(x):
                raise error
            return forward(x, *args, **more)

        return call

    assert accusations(build) == {}
