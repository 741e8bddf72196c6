"""What a person reads of a failure: the own code's lines, the very call that failed, and no more than it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import WIDE, around
from programs import ROOT, Command

from conformance import Capabilities, LSTMConfig, backend, cell_backend
from conformance.backend import Backend
from conformance.cases.recipe import Recipe, parse
from conformance.drivers.last import recall, remember
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import UsageError
from conformance.facts import CutShort, Evidence, Interruption, Mismatch, Outcome, Raised, apart
from conformance.properties import catalogue
from conformance.report import english
from conformance.report.conclusion import conclusion
from conformance.report.evidence import evidence
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.records import decode, encode
from conformance.report.table import table
from conformance.report.text import failures
from conformance.spec import Array, Params
from conformance.targets.find import find
from conformance.trials.outcomes import Violation
from conformance.trials.trial import Trial

SAMPLES = ROOT / "tests/samples.py"

Forward = Callable[..., Any]


def _asked(backend: Backend, id: str, recipe: str = "I=1 H=2 L=2 N=2", turn: int = 0) -> tuple[Answer, Evidence]:
    """The answer of a property that does not hold, with what shows it."""
    judge = Here(backend)
    [(_, answer)] = judge.ask(parse(recipe), [Inquiry(catalogue()[id], turn)])
    assert answer.wrong
    shown = judge.evidence()
    assert shown is not None
    return answer, shown


# The own exception, and the own lines


def test_an_exception_comes_with_the_last_lines_of_the_authors_own_files(folder: Path) -> None:
    """NumPy raises it, and the author can do something about two lines of their own."""
    lines = ["import json", "def build(config, params):", "    def forward(x, state=None):", "        return step(x)"]
    lines += ["    return forward", "def step(x):", "    return json.loads('{')"]
    Path("my.py").write_text("\n".join(lines), encoding="utf-8")
    answer, shown = _asked(find("my.py:build"), "smoke.runs")
    assert isinstance(answer.fact, Raised)
    assert english.sentence(answer.fact).splitlines()[1:] == [
        "  my.py:4 in forward: return step(x)",
        "  my.py:7 in step: return json.loads('{')",
    ]
    assert "json/decoder.py" in shown.traceback, "replay shows all of it"
    assert shown.traceback.startswith("Traceback (most recent call last):")


def _nothing(config: LSTMConfig, params: Params) -> Any:
    """Has no return."""


class _Plain:
    def __init__(self, config: LSTMConfig, params: Params) -> None:
        self.config = config

    def forward(self, x: Array) -> Array:
        return x


class _Called(_Plain):
    def __call__(self, x: Array, state: Any = None) -> Any:
        return x, (x, x)


@pytest.mark.parametrize(
    ("build", "came", "hint"),
    [
        (_nothing, "None", "return forward"),
        (lambda config, params: (1, (2, 3)), "a tuple of 2", "do not call it"),
        (lambda config, params: _Plain, "the class _Plain", "an instance"),
        (_Plain, "a test_words._Plain", "__call__"),
    ],
)
def test_what_build_returned_is_said_with_a_hint(build: Any, came: str, hint: str) -> None:
    answer, _ = _asked(Backend("mine", Capabilities(), build), "smoke.runs")
    assert answer.fact is not None
    first, second = english.sentence(answer.fact).splitlines()
    assert first == f"build returned {came}; expected a function forward(x, state=None)"
    assert second.startswith("  hint: ")
    assert hint in second


def test_a_step_that_is_none_is_said_so() -> None:
    cell = cell_backend("none", Capabilities())(_nothing)
    answer, _ = _asked(cell, "smoke.runs")
    assert answer.fact is not None
    assert "it returned None; expected a function step" in english.sentence(answer.fact)


@pytest.mark.parametrize("decorated", [_Plain, object(), type("NoArguments", (), {"__call__": print})])
def test_a_decorator_on_what_is_no_build_function_says_what_came(decorated: Any) -> None:
    with pytest.raises(UsageError, match=r"@backend stands on .*; expected a function build") as error:
        backend("mine", Capabilities())(decorated)
    assert error.value.hint


def test_a_decorator_may_stand_on_a_class_whose_instances_can_be_called() -> None:
    assert backend("called", Capabilities())(_Called).name == "called"


def test_a_class_or_an_instance_where_a_function_was_meant(folder: Path) -> None:
    Path("mine.py").write_text("import torch\nclass A: pass\nmodule = torch.nn.LSTM(1, 1)\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is the class A, not a Backend"):
        find("mine.py:A")
    with pytest.raises(UsageError, match="is an instance of LSTM, not the class"):
        find("mine.py:module")


# The call that failed


def test_a_call_without_rows_is_not_one_of_a_row() -> None:
    def shapeless(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
        output, finals = forward(x, *more)
        return (output[:, :, :1] if x.shape[1] == 0 else output), finals

    answer, shown = _asked(around(shapeless, Capabilities()), "degenerate.no-rows")
    assert answer.smallest == shown.call
    assert " N=0" in answer.smallest


def test_an_exception_at_a_derived_size_is_said_of_that_size() -> None:
    def narrow(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
        if config.hidden_size > 64:
            raise MemoryError
        return forward(x, *more)

    answer, _ = _asked(around(narrow, Capabilities()), "sizes.hidden")
    assert answer.outcome == Outcome.ERROR
    match = re.match(r"LSTM\(\d+→(\d+)\)", answer.smallest)
    assert match is not None
    assert int(match[1]) > 64


def test_dropout_and_training_are_named() -> None:
    def inert(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
        if config.training:
            raise ValueError
        return forward(x, *more)

    answer, _ = _asked(around(inert, replace(WIDE, dropout=True)), "dropout.first-layer", "I=1 H=2 layers=2 L=2 N=2")
    assert "dropout=0.5, training" in answer.smallest


def test_a_kept_exception_is_told_of_the_call_that_raised_it() -> None:
    """Two properties share a run: the second finds the exception of the first, after other calls."""
    trial = Trial(around(_failing), Recipe(H=2))
    with pytest.raises(Violation):
        trial.once("derived", lambda: trial.derived(H=5).result)
    trial.called = trial.case
    with pytest.raises(Violation) as error:
        trial.once("derived", lambda: None)
    assert error.value.case is not None
    assert error.value.case.config.hidden_size == 5


def _failing(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
    raise ValueError("no")


# Its numbers


def _off(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
    output, (h_n, c_n) = forward(x, *more)
    c_n[0, 0, 1] += 1e-3
    return output, (h_n, c_n)


def test_all_three_results_stand_beside_the_oracles_with_the_first_wrong_element_marked() -> None:
    _, shown = _asked(around(_off, Capabilities()), "values.c_n", "I=1 H=2 L=1 N=1")
    assert decode(Evidence | None, json.loads(json.dumps(encode(shown)))) == shown, "it crosses to another process"
    told = evidence(shown, shown.call, shown.given).splitlines()
    assert [line.split("[")[0] for line in told[1:]] == ["output", "output", "h_n", "h_n", "c_n", "c_n"]
    assert [line for line in told if "wrong" in line] == told[-1:]
    assert told[-1].startswith("c_n[0, 0, 1]")
    assert evidence(shown).splitlines()[0] == "the call that failed: LSTM(1→2) L=1 N=1"


def test_a_case_names_the_weights_that_are_not_zero() -> None:
    recipe = parse("I=1 H=1 L=1 N=1 edits=0:weight_ih_l0,0:weight_hh_l0,0:bias_ih_l0,0:bias_hh_l0[0:3],1:bias_hh_l0")
    assert Trial(find("numpy"), recipe).case.describe().endswith(", all weights 0 but bias_hh_l0[3]=-1")
    none = replace(recipe, edits=(*recipe.edits, "0:bias_hh_l0"))
    assert Trial(find("numpy"), none).case.describe().endswith(", all weights 0")


@pytest.mark.parametrize(
    ("a", "b", "texts"),
    [
        (0.5, -0.25, ("0.5", "-0.25")),
        (1.0, 1.0 + 1e-9, ("1", "1.000000001")),
        (1.0, float(np.nextafter(1.0, 2.0)), ("1", "1.0000000000000002")),
        (float("nan"), 1.0, ("nan", "1")),
    ],
)
def test_two_numbers_have_as_many_digits_as_it_takes_to_tell_them_apart(
    a: float, b: float, texts: tuple[str, str]
) -> None:
    assert apart(a, b) == texts


# No more than it takes


def _failed(id: str, recipe: str, **more: Any) -> Verdict:
    fact = Mismatch(id, (0, 0, 0), 1.0, 2.0, 1e-7, 0, 0, 0, 0, 1, 1)
    return Verdict("mine", id, Outcome.FAILED, fact, recipe=recipe, smallest="LSTM(1→1)", **more)


def _report(*verdicts: Verdict, interrupted: Interruption | None = None) -> Report:
    backends = {v.backend: tuple(w for w in verdicts if w.backend == v.backend) for v in verdicts}
    return Report(
        "0", 0, 0, {}, tuple(BackendReport(name, own, interrupted=interrupted) for name, own in backends.items())
    )


IDS = ("values.output", "values.h_n", "values.c_n", "values.gates", "state.carry", "batch.isolation")


def test_a_further_property_on_the_same_case_is_one_line_whichever_variant_it_asked_for() -> None:
    told = failures(_report(_failed(IDS[0], "I=1 H=1 L=1 N=1"), _failed(IDS[1], "I=1 H=1 L=1 N=1 turn=2")))
    assert told.count("smallest") == 1
    assert "  also      values.h_n: values.h_n[0, 0, 0] expected 1 got 2" in told


def test_three_cases_have_a_paragraph_and_verbose_gives_all_of_them_one() -> None:
    report = _report(*(_failed(id, f"I=1 H={k + 1} L=1 N=1") for k, id in enumerate(IDS)))
    told = failures(report)
    assert told.count("smallest") == 3
    assert told.endswith("and 3 more (--verbose shows each): values.gates, state.carry, batch.isolation")
    assert failures(report, verbose=True).count("smallest") == 6


def test_a_replay_line_is_short_where_the_failures_are_kept_and_names_the_backend_if_it_must() -> None:
    one = _failed(IDS[0], "I=1 H=1 L=1 N=1")
    assert failures(_report(one), last=True).endswith("lstm-conformance replay --last values.output")
    assert "replay 'I=1 H=1 L=1 N=1' --backend mine" in failures(_report(one), verbose=True, last=True)
    both = failures(_report(one, replace(one, backend="other")), last=True)
    assert both.endswith("lstm-conformance replay --last values.output --backend other")


def test_the_failures_of_the_last_run_are_kept_for_its_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no run in this folder is remembered"):
        recall(IDS[0], None)
    first = _failed(IDS[0], "I=1 H=1 L=1 N=1", history=("I=2 H=1 L=1 N=1",))
    assert remember(_report(first, replace(first, backend="other")))
    assert recall(IDS[0], "mine").recipes == ("I=2 H=1 L=1 N=1", "I=1 H=1 L=1 N=1")
    with pytest.raises(UsageError, match="failed for several backends"):
        recall(IDS[0], None)
    with pytest.raises(UsageError, match=r"has no failure of values\.h_n") as error:
        recall(IDS[1], None)
    assert error.value.hint == "it has those of values.output"
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(UsageError, match="no run in this folder is remembered"):
        recall(IDS[0], None)


def test_what_cannot_be_kept_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder / "file"))
    assert not remember(_report(_failed(IDS[0], "I=1 H=1 L=1 N=1")))


def test_replay_last_shows_the_failure_of_the_run_before(command: Command) -> None:
    target = f"{SAMPLES}:swapped"
    assert command("run", target, "--cases", "0", "--only", "values.c_n", "--in-process").code == 1
    code, out, _ = command("replay", "--last", "values.c_n", "--in-process")
    assert code == 1
    assert out.startswith("values.c_n, as it failed in the run of ")
    assert re.search(r"c_n\[0, 0, 0\] +0 +-0\.380797  <- wrong", out)
    for wrong in (("replay",), ("replay", "I=1 H=1", "--last", "values.c_n"), ("replay", "I=1 H=1 L=1 N=1")):
        assert command(*wrong).code == 2


def test_a_replay_that_passes_says_what_may_not_come_back(command: Command) -> None:
    code, out, _ = command("replay", "I=1 H=1 L=1 N=1", "--backend", "numpy", "--only", "values.c_n", "--in-process")
    assert code == 0
    assert "memory that nobody wrote" in " ".join(out.split())


# What was seen counts


def test_the_margin_of_what_failed_is_its_own() -> None:
    """The cases that passed came near to nothing: their margin would hide the failure."""

    def at_three_steps(forward: Forward, config: LSTMConfig, x: Array, *more: Any) -> Any:
        output, finals = forward(x, *more)
        return (output + 1.0 if len(x) == 3 else output), finals

    report = conform(around(at_three_steps, Capabilities()), Settings(20, only=("values.output", "layout.dtypes")))
    failed = next(v for v in report.verdicts if v.property == "values.output")
    assert failed.margin == failed.worst
    assert failed.margin is not None
    assert failed.margin > 1e3


def test_an_interrupted_run_counts_what_it_has_seen() -> None:
    why = Interruption("interrupted", 166)
    seen = Verdict("mine", IDS[0], Outcome.NOT_RUN, CutShort(why, 40), cases=40)
    report = _report(seen, Verdict("mine", IDS[1], Outcome.NOT_RUN, CutShort(why, 0)), interrupted=why)
    assert conclusion(report) == "interrupted: mine: no failure of 1 property; interrupted after 166 cases"
    assert " ~1/2 " in table(report)
    assert "~: no failure in the cases that were checked" in table(report)
    assert seen.message == "interrupted after 166 cases; no failure in 40 cases"
