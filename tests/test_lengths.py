"""Variable lengths and degenerate sizes: how lengths are drawn, what the built-in backends do, who is accused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from conformance.backend import Backend, Capabilities, Unsupported
from conformance.cases.case import Case, handed, realise
from conformance.cases.recipe import Recipe, parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.properties.batch import take_rows
from conformance.reference.forward import lstm
from conformance.selftest.faults.fault import FULL
from conformance.selftest.faults.twin import Twin
from conformance.spec import Array, LSTMConfig, Params
from conformance.targets.find import find
from conformance.targets.torch_module import build_of, call

BUILT_IN = ("numpy", "torch-loop", "torch-nn")

RAGGED = (
    "I=3 H=4 layers=2 bidirectional L=7 N=4 state=both float64 ragged seed=17",
    "I=3 H=4 layers=2 bidirectional batch-first proj=2 L=7 N=5 float64 ragged seed=18",
    "I=3 H=4 no-bias L=5 N=3 state=h float64 ragged seed=19",
    "I=3 H=4 bidirectional L=2 N=1 float64 ragged seed=18",
)


def built(name: str, case: Case) -> Callable[..., Any]:
    return find(name).build(case.config, {name: value.copy() for name, value in case.params.items()})


def with_lengths(case: Case, lengths: object) -> Case:
    return replace(case, lengths=np.asarray(lengths))


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


def test_the_seed_to_which_failures_shrink_has_a_short_row() -> None:
    for rows in (1, 2, 3, 5):
        for steps in (2, 3, 5):
            lengths = realise(Recipe(L=steps, N=rows, ragged=True, seed=0)).row_lengths()
            assert lengths.min() < steps


def test_many_lengths_are_told_in_short() -> None:
    assert realise(parse("L=9 N=33 ragged seed=4")).describe().endswith("lengths 1 to 9")
    assert realise(parse("L=3 N=2 ragged")).describe().endswith("lengths [3, 1]")


@pytest.mark.parametrize("text", RAGGED)
@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_backend_knows_lengths(name: str, text: str) -> None:
    case = realise(parse(text))
    x, state, lengths = handed(case)
    output, (h_n, c_n) = built(name, case)(x, state, lengths=lengths)
    want, (want_h, want_c) = lstm(case.config, case.params, x, state, lengths)
    for got, expected in ((output, want), (h_n, want_h), (c_n, want_c)):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize(
    "lengths",
    [[2, 0, 1], [2, -1, 1], [2, 6, 1], [2, 1], [2, 1, 1, 1], [[2, 1, 1]], [2.0, 1.0, 1.0], [True, True, True]],
    ids=str,
)
def test_a_built_in_backend_refuses_other_lengths(name: str, lengths: object) -> None:
    x, state, wrong = handed(with_lengths(realise(parse("I=3 H=4 L=5 N=3 state=both")), lengths))
    with pytest.raises((ValueError, RuntimeError), match="ength"):
        built(name, realise(parse("I=3 H=4 L=5 N=3")))(x, state, lengths=wrong)


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


@pytest.mark.parametrize("name", [*BUILT_IN, "torch-nn-step"])
@pytest.mark.parametrize("text", ["I=3 H=4 L=5 N=2", "I=3 H=4 layers=2 batch-first proj=2 L=5 N=2 state=both"])
def test_a_built_in_backend_takes_a_batch_of_no_rows(name: str, text: str) -> None:
    case = take_rows(realise(parse(text)), [])
    x, state, _ = handed(case)
    output, (h_n, c_n) = built(name, case)(x, state)
    assert output.shape == (*x.shape[:2], case.config.output_size)
    assert (h_n.shape[1], c_n.shape[1]) == (0, 0)


@pytest.mark.parametrize("name", [*BUILT_IN, "torch-nn-step"])
def test_a_sequence_of_no_steps_is_answered_or_refused(name: str) -> None:
    case = realise(parse("I=3 H=4 L=5 N=2 state=both"))
    x, state, _ = handed(replace(case, x=case.x[:0]))
    assert state is not None
    if name == "numpy":
        output, (h_n, c_n) = built(name, case)(x, state)
        assert output.shape == (0, 2, 4)
        np.testing.assert_array_equal(h_n, state[0])
        np.testing.assert_array_equal(c_n, state[1])
    else:
        with pytest.raises((ValueError, RuntimeError), match=r"step|length"):
            built(name, case)(x, state)


def accused(build: Callable[..., Any], capabilities: Capabilities = FULL) -> list[tuple[str, str]]:
    settings = Settings(cases=40, only=("lengths", "degenerate", "refusals.lengths"), shrink=False)
    report = conform(Backend("tried", capabilities, build), settings)
    assert sum(verdict.cases for verdict in report.verdicts) > 100
    return [(verdict.property, verdict.message) for verdict in report.verdicts if verdict.outcome.bad]


def test_an_lstm_that_answers_a_length_of_0_is_not_accused() -> None:
    def accept(twin: Twin, config: LSTMConfig, x: Array, state: Any, lengths: Array | None) -> Any:
        ends = None if lengths is None else np.where(lengths == 0, 1, lengths)
        checked = Twin().accept(twin, config, x, state, ends)
        return *checked[:2], lengths

    assert not accused(Twin(accept=accept).build)


def test_an_lstm_that_answers_a_call_of_no_steps_is_not_accused() -> None:
    assert not accused(find("numpy").build)


def test_an_lstm_that_refuses_what_is_not_finite_is_not_accused_of_its_padding() -> None:
    def build(config: LSTMConfig, params: Params) -> Any:
        forward = Twin().build(config, params)

        def finite(x: Array, *args: Any, **more: Any) -> Any:
            if not np.isfinite(x).all():
                raise ValueError("x is not finite")
            return forward(x, *args, **more)

        return finite

    assert not accused(build)


def test_an_lstm_that_refuses_nothing_to_do_is_not_accused() -> None:
    def build(config: LSTMConfig, params: Params) -> Any:
        forward = Twin().build(config, params)

        def some(x: Array, *args: Any, **more: Any) -> Any:
            if not x.size:
                raise Unsupported("nothing to do")
            return forward(x, *args, **more)

        return some

    assert not accused(build)
