"""check_backend as a notebook's or a script's author uses it: names, the bar, and a report that shows itself."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from programs import python

import conformance
from conformance import Backend, check_backend
from conformance.drivers import notebook
from conformance.errors import UsageError
from conformance.report import data
from conformance.report.table import notes, table
from conformance.report.text import failures
from conformance.targets.find import find

FEW: dict[str, Any] = {"cases": 0, "only": ("smoke", "layout.shapes")}


class MyLSTM(torch.nn.LSTM):
    """A cell state that is off by a little."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        output, (h_n, c_n) = super().forward(input, hx)
        return output, (h_n, c_n * 1.001)


def test_a_name_may_stand_alone() -> None:
    [chosen] = check_backend("numpy", cases=0, only="smoke").verdicts
    [the_same] = check_backend("numpy", cases=0, properties="smoke").verdicts
    assert chosen.property == the_same.property == "smoke.runs"
    [left] = check_backend("numpy", cases=0, only=["smoke", "layout"], exclude="layout").verdicts
    assert left.property == "smoke.runs"
    with pytest.raises(UsageError, match="named 'smok'") as error:
        check_backend("numpy", only="smok")
    assert error.value.hint == "did you mean smoke?"


def test_a_module_class_is_judged_as_it_is_and_the_report_shows_itself() -> None:
    report = check_backend(MyLSTM, cases=0, only=("smoke", "values.c_n"), shrink=False, diagnose=0)
    assert not report.conformant
    assert [v.property for v in report.failures] == ["values.c_n"]
    shown = table(report, 100)
    assert repr(report).startswith(f"{shown}\n\n{notes(report, 100)}\n\nnot conformant: MyLSTM")
    assert repr(report).endswith("\n\nprint(report) shows the failures")
    assert failures(report) in str(report)
    assert shown in str(report)
    assert report.environment["torch"] == torch.__version__
    assert data.from_json(json.loads(report.to_json())).verdicts == report.verdicts


def test_a_report_without_failures_refers_to_none() -> None:
    report = check_backend("numpy", **FEW)
    assert report.failures == ()
    assert repr(report).splitlines()[-1].startswith("conformant: numpy ")


class _Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("seen", [True, False])
def test_a_bar_is_shown_where_a_person_sees_it_and_it_is_gone_at_the_end(
    seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []

    class Bar:
        n = 0
        closed = False

        def __init__(self, **options: Any) -> None:
            self.options = options
            bars.append(self)

        def update(self, more: int) -> None:
            self.n += more

        def close(self) -> None:
            self.closed = True

    monkeypatch.setattr(notebook, "tqdm", Bar)
    if seen:
        monkeypatch.setattr(sys, "stderr", _Terminal())
    check_backend("numpy", **FEW)
    [bar] = bars
    assert bar.options["disable"] is not seen
    assert bar.closed
    assert bar.n == bar.options["total"]


def test_told_progress_takes_the_place_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "tqdm", None)
    told: list[tuple[int, int]] = []
    check_backend("numpy", **FEW, progress=lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1]


def test_dir_shows_what_there_is_and_all_of_it_is_there() -> None:
    shown = dir(conformance)
    assert {"check_backend", "conformance_tests", "torch_module", *conformance.__all__} == set(shown)
    assert all(getattr(conformance, name) is not None for name in shown)


def test_help_takes_no_package_that_is_not_installed() -> None:
    code = """if True:
        import pydoc, sys
        sys.modules["torch"] = sys.modules["pytest"] = None  # as where they are not installed
        import conformance
        told = pydoc.plain(pydoc.render_doc(conformance))
        print("check_backend(" in told, "conformance_tests(" in told)
    """
    assert python(code).split() == ["True", "False"]


def test_a_report_names_the_frameworks_that_the_backend_has_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that it loads when it builds a model; not one that is merely installed."""
    right = find("numpy")
    module = type(sys)("jax")
    module.__dict__["__version__"] = "0.0.1"

    def build(config: Any, params: Any) -> Any:
        monkeypatch.setitem(sys.modules, "jax", module)
        return right.build(config, params)

    monkeypatch.delitem(sys.modules, "onnx", raising=False)
    report = check_backend(Backend("lazy", right.capabilities, build), cases=0, only="smoke")
    assert report.environment["jax"] == "0.0.1"
    assert "onnx" not in report.environment
