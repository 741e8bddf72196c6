"""The examples of CONTRIBUTING.md work as they stand there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from programs import ROOT

from conformance.backend import Backend, Capabilities
from conformance.cases.recipe import parse
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import Fault, backend_of, twin_backend
from conformance.properties import catalogue, model
from conformance.spec import LSTMConfig, Params
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(heading: str) -> dict[str, Any]:
    """The names that the Python example below a heading defines."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": heading}
    exec(code, names)
    return names


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A property that an example registers is gone after its test; all others are registered before."""
    catalogue()
    monkeypatch.setattr(model, "registered", dict(model.registered))


def _from_the_end(config: LSTMConfig, params: Params) -> Any:
    forward = twin_backend().build(config, params)
    return lambda x, state=None: forward(x[::-1], state)


def test_the_property_passes_the_correct_twin_and_catches_a_reader_from_the_end() -> None:
    check = example("Add a property")["first_step"]
    [added] = [p for p in model.registered.values() if p.check is check]
    assert added.statement.endswith(".")
    assert added.why
    recipe = parse("I=2 H=3 L=4 N=2 seed=3")
    assert added.when(recipe)
    check(Trial(twin_backend(), recipe))
    with pytest.raises(Violation):
        check(Trial(Backend("from-the-end", Capabilities(), _from_the_end), recipe))


def test_the_fault_is_caught() -> None:
    fault = example("Add a fault")["FAULT"]
    assert isinstance(fault, Fault)
    report = conform(backend_of(fault), Settings(cases=0, shrink=False, stop=True))
    assert report.bad


@pytest.mark.usefixtures("few_rows")
def test_the_backend_is_conformant() -> None:
    added = example("Add a backend")["by_hand"]
    assert isinstance(added, Backend)
    report = conform(replace(added, name="by-hand"), Settings(cases=5))
    assert report.conformant, report.bad


def test_the_bound_of_one_sum_is_one_roundoff() -> None:
    assert 1.0 <= example("Change a bound")["allowed"] < 1.01
