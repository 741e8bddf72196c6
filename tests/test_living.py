"""A model that lives: loads and modes are asked where they exist, and memory that grows is told from a warm-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance import Backend, check_backend
from conformance.cases.recipe import parse
from conformance.engine.judging import Inquiry, check
from conformance.faults import FAULTS, backend_of, twin_backend
from conformance.properties import catalogue
from conformance.properties.purity.memory import growth
from conformance.report.levels import reached
from conformance.targets.find import find
from conformance.trials.trial import Trial

LOADS = ("purity.load", "purity.load-copies", "purity.load-apart", "gradients.load", "purity.train", "gradients.train")


@pytest.mark.parametrize("name", ["numpy", "torch-nn", "torch-loop", "torch-nn-step"])
@pytest.mark.usefixtures("few_rows")
def test_the_built_in_backends_have_a_load_and_a_train(name: str) -> None:
    report = check_backend(name, cases=5, properties=LOADS)
    assert {(v.property, v.outcome, v.message) for v in report.verdicts} == {(id, "passed", "") for id in LOADS}


def test_a_model_without_load_and_train_is_told_as_not_declared_and_loses_no_level() -> None:
    twin = twin_backend()

    def build(config: Any, params: Any) -> Callable[..., Any]:
        model: Any = twin.build(config, params)

        def forward(*arguments: Any, **options: Any) -> Any:
            return model(*arguments, **options)

        forward.vjp = model.vjp  # type: ignore[attr-defined]
        return forward

    report = check_backend(Backend("plain", twin.capabilities, build), cases=0, properties=LOADS)
    told = {v.property: (v.outcome, v.message) for v in report.verdicts}
    assert told["purity.load"] == ("not declared", "forward has no load")
    assert told["purity.train"] == ("not declared", "forward has no train")
    assert {outcome for outcome, _ in told.values()} == {"not declared"}
    [backend] = report.backends
    gap = reached(backend)[1]
    assert gap is not None
    assert not gap.short


def test_loading_does_not_touch_the_arrays_of_the_build() -> None:
    trial = Trial(find("torch-loop"), parse("I=3 H=4 L=2 N=2"))
    params = {name: value.copy() for name, value in trial.case.params.items()}
    model = trial.model(trial.case, params)
    trial.load(model, trial.derived(seed=5).case)
    assert all(np.array_equal(params[name], value) for name, value in trial.case.params.items())


def test_growth_is_what_every_block_leaves_and_a_cache_that_fills_is_none() -> None:
    kept: list[bytes] = []

    def keep(limit: int) -> Callable[[int], object]:
        def do(k: int) -> None:
            block = bytes(1 << 20)
            if k < limit:
                kept.append(block)

        return do

    assert growth(lambda k: bytes(1 << 20), calls=4, least=1 << 21) == 0
    assert growth(keep(18), calls=4, least=1 << 21) == 0
    assert growth(keep(1000), calls=4, least=1 << 21) >= 1 << 24
    kept.clear()


@pytest.mark.parametrize(
    ("fault", "turn", "words"),
    [
        ("outputs-kept", 0, "96 calls left"),
        ("outputs-kept-by-contents", 1, "calls with other values left"),
        ("outputs-kept-by-shape", 2, "calls of other shapes left"),
        ("packed-calls-kept", 3, "calls with every option left"),
        ("dropped-outputs-kept", 4, "calls in training left"),
        ("tapes-kept", 4, "vjps left"),
        ("a-little-kept", 4, "256 vjps left"),
        ("models-kept", 4, "models that are gone left"),
    ],
)
def test_memory_that_grows_is_told_with_what_was_done(fault: str, turn: int, words: str) -> None:
    trial = Trial(backend_of(FAULTS[fault]), parse("I=3 H=4 L=5 N=2"))
    answer = check(Inquiry(catalogue()["purity.memory"], turn), trial)
    assert answer.outcome == "failed"
    assert words in str(answer.fact)
