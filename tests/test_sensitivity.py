"""The measurement of sensitivity compares like with like: the cases of a default run, others' own tolerances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import sensitivity
from benchmarks.sensitivity import accusations, backend, smallest
from benchmarks.sensitivity_defects import CORRECT, DEFECTS, DTYPES, JUDGES, LEVELS, OURS, TOLERANCES
from benchmarks.sensitivity_page import Known, page, plot
from conformance.backend import Backend
from conformance.cases.recipe import Recipe
from conformance.engine import sieve as engine
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.faults.twin import Twin


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ten cases instead of two hundred."""
    all_recipes = sensitivity.recipes
    monkeypatch.setattr(sensitivity, "recipes", lambda dtype: all_recipes(dtype)[:10])
    sensitivity.expected.cache_clear()
    yield
    sensitivity.expected.cache_clear()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_tolerances_are_the_defaults_of_torch_and_numpy(dtype: str) -> None:
    rtol, atol = TOLERANCES["assert_close"][dtype]
    want = torch.tensor([0.0, 1000.0], dtype=getattr(torch, dtype))
    limit = np.array([atol, atol + 1000 * rtol])
    torch.testing.assert_close(want + torch.tensor(0.99 * limit, dtype=want.dtype), want)
    with pytest.raises(AssertionError, match="2 / 2"):
        torch.testing.assert_close(want + torch.tensor(1.1 * limit, dtype=want.dtype), want)
    rtol, atol = TOLERANCES["np.allclose"][dtype]
    assert np.isclose([0.99 * atol, 1000 + 990 * rtol], [0, 1000]).all()
    assert not np.isclose([1.01 * atol, 1000 + 1010 * rtol], [0, 1000]).any()


class Noting(Here):
    """Notes the cases that it is asked about, and has no answer."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.met: list[Recipe] = []

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        self.met.append(recipe)
        return iter(())


def test_the_cases_are_those_of_a_default_run() -> None:
    judge = Noting(backend("twin", Twin(), "float64"))
    engine.conform(judge, Settings(only=("values.output",), shrink=False))
    assert sorted(map(str, judge.met)) == sorted(map(str, sensitivity.recipes("float64")))


@pytest.mark.usefixtures("few")
def test_a_level_is_the_last_before_the_first_that_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Settings(cases=0, only=("values.h_n",), shrink=False, stop=True)
    monkeypatch.setattr(sensitivity, "conform", lambda one, settings: engine.conform(one, quick))
    monkeypatch.setattr(sensitivity, "DEFECTS", tuple(replace(d, levels=LEVELS[::4]) for d in DEFECTS))
    found = smallest(("final state h_n · (1 + ε)", "float64"), {"float64": dict.fromkeys(TOLERANCES, 0)})
    assert all(level in LEVELS for level in found.values())
    ours, close, numpy, coarse = (found[judge] or 1 for judge in (OURS, "assert_close", "np.allclose", "rtol 1e-3"))
    assert ours < 1e-12 < close < numpy < coarse <= 0.1
    limits = dict.fromkeys(TOLERANCES, 10)
    missed = smallest(("final state h_n · (1 + ε)", "float64"), {"float64": limits})
    assert missed == {OURS: ours, **dict.fromkeys(TOLERANCES)}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("defect", [d.name for d in DEFECTS])
def test_every_defect_is_one(defect: str) -> None:
    [chosen] = [d for d in DEFECTS if d.name == defect]
    altered = backend(defect, chosen.twin(chosen.levels[0]), "float64")
    counts, _ = accusations(altered, "float64", {"assert_close": 0})
    assert counts["assert_close"]


def _found() -> Known:
    levels = {OURS: 1e-6, "assert_close": 1e-4, "np.allclose": 1e-3, "rtol 1e-3": None}
    counts = {judge: [0 if judge == OURS else 3, 10] for judge in JUDGES}
    return {
        **{("smallest", defect.name, dtype): levels for defect in DEFECTS for dtype in defect.dtypes},
        **{("alarms", name, dtype): counts for name in CORRECT for dtype in DTYPES},
    }


def test_the_page_tells_levels_and_false_alarms() -> None:
    text = page(_found())
    [row] = [line for line in text.splitlines() if line.startswith("| one bias")][:1]
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == ["1e-06", "1e-04", "1e-03", "missed"]
    assert "0 in 70" in text
    assert "30.0 %" in text


def test_the_plot_names_every_defect_and_judge(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'lstm-conformance[dev]'")
    plot(_found(), tmp_path / "plot.svg")
    drawn = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in (*(defect.name for defect in DEFECTS), *JUDGES))
