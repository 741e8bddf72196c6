"""The causes of failures: their words, their way through a report, and the doors that look for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from programs import SAMPLES, Command

from conformance import check_backend
from conformance.cases.recipe import Recipe
from conformance.diagnosis.gradient_scopes import TENSORS as GRADIENTS
from conformance.diagnosis.occasions import OCCASIONS
from conformance.diagnosis.scopes import GATE_ROWS, PLACES, STEPS, TENSORS
from conformance.drivers.diagnosing import diagnosed
from conformance.drivers.run import run
from conformance.engine.judging import Judge
from conformance.engine.news import Diagnosing, News
from conformance.engine.plan import Settings
from conformance.errors import Closed
from conformance.facts import (
    AdapterBroken,
    Alteration,
    Cause,
    Conditions,
    Degree,
    Diagnosis,
    Discarded,
    Interruption,
    Mismatch,
    Outcome,
    Place,
    Trait,
)
from conformance.report.altered import altered, scope
from conformance.report.data import from_json, to_json
from conformance.report.merging import merged
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.text import diagnoses, failures
from conformance.report.where import conditions, place, trait

IDS = ("values.output", "direction.reversal", "direction.swap", "values.h_n", "values.c_n")


def _failed(id: str, recipe: str = "I=1 H=1 bidirectional L=2 N=1", got: float = 0.0) -> Verdict:
    fact = Mismatch("output", (0, 0, 1), 0.462117, got, 2.1e-7, 0, 1, 0, 0, 1, 1)
    return Verdict("my_lstm.py:MyLSTM", id, Outcome.FAILED, fact, recipe=recipe, smallest="LSTM(1→1, bidirectional)")


CONFIRMED = Cause(
    Degree.CONFIRMED,
    (Alteration("reverse-not-flipped-back"),),
    explained=40,
    tried=40,
    explains=IDS[:4],
    seen_in="tensorflow#40345, onnx2tf PR287",
    fix="output[..., P:] = output[::-1, ..., P:]",
)
STATED = Conditions((Trait("layers", ">=", 2), Trait("state", "=", "both")), 31, 31, 0, 120)
LOCATED = Cause(
    Degree.LOCATED,
    conditions=STATED,
    place=Place(("c_n",), ("f",), directions=(1,), first_step=2, error=3e-4, in_roundoffs={"float32": 5000.0}),
    explains=IDS[4:],
)
#: Everything that a cause may have to tell, at length.
CROWDED = Cause(
    Degree.LIKELY,
    (
        Alteration("upper-reverse-not-flipped", ("upper-layers", "reverse")),
        Alteration("halves-swapped", ("weight_hh",)),
    ),
    ((Alteration("reverse-reads-forward"),), (Alteration("halves-interleaved"), Alteration("reverse-flips-features"))),
    explained=37,
    tried=40,
    unexplained="I=2 H=3 layers=2 L=3 N=2 seed=4",
    conditions=replace(STATED, failed=29, failed_outside=2),
    explains=(*IDS, *(f"values.number-{k}" for k in range(12))),
    seen_in=", ".join(f"framework#{k}" for k in range(30)),
    fix="\n".join(f"line {k}" for k in range(9)),
)


def _report(*causes: Cause, **more: Any) -> Report:
    found = Diagnosis(causes, **({"calls": 312, "seconds": 3.1, "limit": 20.0} | more))
    backend = BackendReport("my_lstm.py:MyLSTM", tuple(map(_failed, IDS)), diagnosis=found)
    return Report("0.1.0", 0, 100, {}, (backend,))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


# Words


def test_one_cause_is_one_paragraph_that_says_what_is_wrong_how_sure_that_is_and_what_to_write_instead() -> None:
    report = _report(replace(CONFIRMED, explains=IDS))
    assert failures(report, last=True).splitlines() == [
        "my_lstm.py:MyLSTM: 5 properties fail, for 1 cause",
        "  cause     The reverse half of the output stays in reverse time. Confirmed: explains 5 of 5",
        "            failures and 40 of 40 fresh cases",
        "  seen in   tensorflow#40345, onnx2tf PR287",
        "  fix       output[..., P:] = output[::-1, ..., P:]",
        "  explains  values.output, direction.reversal, direction.swap, values.h_n, values.c_n",
        "  smallest  LSTM(1→1, bidirectional)",
        "            output[0, 0, 1] expected 0.462117 got 0 bound 2.1e-07",
        "  replay    lstm-conformance replay --last values.output",
    ]


def test_what_no_formula_explains_is_told_by_where_it_is_wrong() -> None:
    told = _squeezed(failures(_report(CONFIRMED, LOCATED)))
    assert "5 properties fail, for 2 causes" in told
    assert (
        "Wrong in c_n (not in output or h_n) of the reverse direction, through gate f, from t = 2 on as the direction "
        "reads, by 0.0003 at most, exactly where layers ≥ 2 and a state is given (31 of 31 cases; 0 of 120 others). "
        "Located: explains 1 of 5 failures"
    ) in told


def test_a_likely_cause_says_which_case_it_does_not_explain_and_what_explains_as_much() -> None:
    told = failures(_report(CROWDED), verbose=True, width=140)
    first = (
        "(1) Above the first layer the reverse direction reads forward, only in the reverse direction of the layers "
    )
    assert f"{first}above the first; (2) " in _squeezed(told)
    assert "Likely: explains 5 of 5 failures and 37 of 40 fresh cases" in _squeezed(told), "of 17, five failed"
    assert "Wrong mostly where layers ≥ 2 and a state is given (29 of 31 cases; 2 of 120 others)" in _squeezed(told)
    assert "  but not   I=2 H=3 layers=2 L=3 N=2 seed=4\n" in told
    assert "  or else   The reverse direction reads the sequence forward; or (1) The halves' features alternate" in told


@pytest.mark.parametrize("width", [100, 140, 200])
def test_a_cause_has_twelve_lines_at_most_however_much_there_is_to_tell(width: int) -> None:
    paragraph = diagnoses(_report(CROWDED), width).splitlines()[1:]
    assert len(paragraph) == 12
    assert all(len(line) <= width for line in paragraph if "replay" not in line)
    assert any(line.endswith("more lines") for line in paragraph), "that the fix is cut is told"
    assert any(" and " in line and line.endswith(" more") for line in paragraph), "and that ids are left out"


def test_narrow_columns_cost_lines_not_words() -> None:
    narrow, wide = (_squeezed(diagnoses(_report(CONFIRMED, LOCATED), width)) for width in (80, 140))
    assert narrow == wide
    assert all(
        len(line) <= 80 for line in diagnoses(_report(CONFIRMED, LOCATED), 80).splitlines() if "replay" not in line
    )


def test_what_no_cause_explains_is_told_as_ever_and_verbose_tells_each() -> None:
    report = _report(CONFIRMED, right=("c_0", "lengths"), untried=("large values",))
    told = failures(report)
    assert told.startswith("my_lstm.py:MyLSTM: 5 properties fail: 4 for 1 cause, 1 unexplained\n")
    assert "\n  not explained:\n  values.c_n (failed): " in told
    assert "  values.output (failed)" not in told
    assert told.endswith("\n  right     c_0, lengths\n  not tried large values (312 calls, 3.1 s of 20 s)")
    each = failures(report, verbose=True).partition("\n  each failure:\n")[2]
    assert each.startswith("  values.output (failed): ")
    assert "values.c_n" in each


def test_without_a_cause_the_failures_are_told_as_ever() -> None:
    plain = replace(_report().backends[0], diagnosis=None)
    told = failures(Report("0.1.0", 0, 100, {}, (plain,)))
    assert failures(_report(calls=0)) == told, "nothing was looked for"
    searched = failures(_report(untried=("large values",)))
    assert searched.startswith(told)
    assert "no common cause was found (312 calls, 3.1 s of 20 s); not tried: large values" in _squeezed(searched)
    assert diagnoses(Report("0.1.0", 0, 100, {}, (plain,))) == ""


def test_what_builds_on_a_told_cause_takes_one_line() -> None:
    [backend] = _report(replace(CONFIRMED, explains=IDS)).backends
    lost = [Verdict("mine", id, Outcome.NOT_RUN, Discarded(3, IDS)) for id in ("sizes.hidden", "sizes.features")]
    lost.append(Verdict("mine", "smoke.runs", Outcome.PASSED, cases=3))
    report = Report("0.1.0", 0, 100, {}, (replace(backend, verdicts=(*backend.verdicts, *lost)),))
    told = failures(report)
    assert "not run: 2 properties that build on what is wrong (--verbose shows each)" in told
    assert "sizes.hidden" not in told
    assert "sizes.hidden" in failures(report, verbose=True)


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (Trait("layers", ">=", 2), "layers ≥ 2"),
        (Trait("H", "multiple of", 4), "H is a multiple of 4"),
        (Trait("H", "not a multiple of", 8), "H is not a multiple of 8"),
        (Trait("N", "=", "L"), "N = L"),
        (Trait("width", "not", "slots"), "D·P ≠ layers × directions"),
        (Trait("I", ">", "H"), "I > H"),
        (Trait("after_same_rows+lengths", "=", True), "an earlier call had as many rows and lengths"),
        (Trait("previous_more_steps", "=", False), "the call before did not have more steps"),
        (Trait("state", "=", "both"), "a state is given"),
        (Trait("state", "not", "none"), "a state is given"),
        (Trait("bidirectional", "=", False), "there is one direction"),
        (Trait("bidirectional", "not", False), "there are two directions"),
        (Trait("padding", "=", True), "some row is shorter than L"),
        (Trait("dtype", "not", "float32"), "the dtype is not float32"),
        (Trait("dtype", "=", "float16"), "the dtype is float16"),
        (Trait("|c|", ">=", 355.0), "some |c| ≥ 355"),
        (Trait("|a_f|", ">=", 9.5), "some |preactivation| of gate f ≥ 9.5"),
        (Trait("memory", "=", "readonly"), "x or the state lies in memory where it is read-only"),
        (Trait("memory", "=", "permuted"), "x or the state lies in memory with its axes in another order than in C"),
        (Trait("x_memory", "not", "plain"), "x does not lie in memory in the order of C"),
        (Trait("shortest", ">=", 2), "the shortest row's length ≥ 2"),
        (Trait("proj", ">=", 1), "there is a projection"),
        (Trait("new", "=", True), "new holds"),
    ],
)
def test_each_trait_is_a_clause(one: Trait, told: str) -> None:
    assert trait(one) == told


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((), ""),
        (("bias_ih", "bias_hh"), "only in bias_ih and bias_hh"),
        (("weight_hh", "gate-o"), "only in gate o of weight_hh"),
        (("weight_hh", "reverse"), "only in weight_hh in the reverse direction"),
        (("upper-layers", "reverse"), "only in the reverse direction of the layers above the first"),
        (("first-step",), "only at the first step"),
        (("reverse", "later-steps"), "only in the reverse direction after the first step"),
        (("grad weight_hh",), "only in the gradient of weight_hh"),
        (
            ("grad bias_ih", "grad bias_hh", "reverse"),
            "only in the gradients of bias_ih and bias_hh in the reverse direction",
        ),
    ],
)
def test_each_scope_is_a_phrase(names: tuple[str, ...], told: str) -> None:
    assert scope(names) == told


def test_every_scope_of_the_search_has_its_words() -> None:
    for name in (*TENSORS, *GATE_ROWS, *PLACES, *STEPS, *GRADIENTS, *OCCASIONS):
        told = scope((name,))
        assert told.startswith("only ")
        assert "-" not in told.removeprefix(f"only in {name}")


def test_the_same_alteration_elsewhere_is_not_described_again() -> None:
    cause = replace(CONFIRMED, alternatives=((Alteration(CONFIRMED.alterations[0].fault, ("upper-layers",)),),))
    assert "or else   the same, only in the layers above the first\n" in diagnoses(_report(cause))


def test_one_mistake_in_two_scopes_is_described_once() -> None:
    twice = [Alteration("gate-order-iofg", (name,)) for name in ("weight_ih", "bias_hh")]
    assert altered(twice) == "The gates are read in the order i, o, f, g, only in weight_ih and only in bias_hh"


def test_of_two_mistakes_each_says_that_the_fresh_cases_need_both() -> None:
    one = replace(CONFIRMED, together=2)
    told = _squeezed(diagnoses(_report(one, replace(one, explains=()))))
    assert "explains 4 of 5 failures, and with 1 other cause 40 of 40 fresh cases" in told
    assert "explains 0 of 5 failures by itself, and with 1 other cause 40 of 40 fresh cases" in told


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (Place(), ""),
        (Place(("output", "h_n", "c_n"), steps=(-1,)), "in output, h_n and c_n, at the last step"),
        (Place(("h_n", "c_n"), directions=(1,)), "in h_n and c_n (not in output) of the reverse direction"),
        (Place(layers=(1,), first_step=0, error=3.4), "in layer 1, by 3.4 at most"),
        (Place(rows=(-1,), units=(0, 1, 2, 3, 4)), "in the last row, in units 0 to 4"),
        (Place(rows=(0, 2), error=float("inf")), "in rows 0 and 2, by NaN or infinity"),
        (
            Place(("output",), error=5e-4, in_roundoffs={"float32": 8192.0, "tf32": 1.0, "float16": 1.0}),
            "in output (not in h_n or c_n), by 0.0005 at most (1 roundoff of tf32 or float16)",
        ),
    ],
)
def test_of_a_place_what_tells_something_is_told(at: Place, told: str) -> None:
    assert place(at) == told


def test_cases_that_all_raise_are_told_as_such() -> None:
    [backend] = _report(LOCATED).backends
    raised = tuple(replace(v, outcome=Outcome.ERROR) for v in backend.verdicts)
    told = _squeezed(diagnoses(Report("0.1.0", 0, 100, {}, (replace(backend, verdicts=raised),))))
    assert "cause Raises exactly where layers ≥ 2 and a state is given (31 of 31 cases; 0 of 120 others)." in told


def test_all_that_is_right_of_forward_calls_is_said_once() -> None:
    told = diagnoses(_report(CONFIRMED, right=("output", "h_n", "c_n", "forward", "one layer")))
    assert told.endswith("\n  right     all results of forward calls, all with one layer")


def test_a_place_alone_is_no_cause_that_counts() -> None:
    told = _squeezed(diagnoses(_report(Cause(Degree.LOCATED, place=Place(("output",), steps=(-1,))))))
    assert "MyLSTM: 5 properties fail, unexplained cause Wrong in output (not in h_n or c_n), at the last step" in told
    assert told.endswith("Located: the conditions are not known")


def test_of_many_things_that_were_not_tried_a_few_are_named() -> None:
    told = _squeezed(diagnoses(_report(CONFIRMED, untried=("N = L", "lengths, reverse", "N = L", "a", "b", "c", "d"))))
    assert "not tried N = L, “lengths, reverse”, a and 3 more" in told


def test_conditions_are_called_exact_only_if_cases_of_both_kinds_bear_them_out() -> None:
    one = Conditions((Trait("layers", ">=", 2),), 31, 31, 0, 120)
    assert conditions(one) == "exactly where layers ≥ 2 (31 of 31 cases; 0 of 120 others)"
    assert "exactly" not in conditions(replace(one, failed=30))
    assert "exactly" not in conditions(replace(one, failed_outside=1))
    assert conditions(replace(one, outside=0)) == "where layers ≥ 2 (31 of 31 cases; no other case was seen)"
    assert conditions(replace(one, traits=())) == "in 31 of 31 cases, under no condition that was found"


# Data


def test_a_diagnosis_is_read_back_as_it_was_written_and_each_cause_has_its_words() -> None:
    odd = replace(LOCATED, place=Place(error=float("inf"), in_roundoffs={"float32": float("inf")}))
    odd = replace(odd, conditions=replace(STATED, traits=(Trait("|c|", ">=", 355.5), Trait("bias", "=", False))))
    report = _report(CONFIRMED, CROWDED, odd, right=("c_0",), untried=("lengths",), defect="ValueError: no")
    data = json.loads(json.dumps(to_json(report), allow_nan=False))
    assert from_json(data) == report
    written = data["backends"][0]["diagnosis"]
    assert written["message"] == "5 properties fail, for 3 causes"
    assert written["causes"][0]["message"].startswith("The reverse half of the output stays in reverse time. Confirmed")
    assert to_json(_report())["backends"][0]["diagnosis"]["causes"] == []


def test_the_parts_of_a_backend_that_workers_judged_have_their_common_cause_once() -> None:
    """It is as sure as the less sure of the parts, and says so by that part's cases."""
    [backend] = _report().backends
    doubted = replace(CONFIRMED, degree=Degree.LIKELY, explained=38, explains=IDS[2:4])
    one = replace(backend, diagnosis=Diagnosis((CONFIRMED,), (IDS[4],), ("a", "b"), seconds=3.0))
    other = replace(backend, diagnosis=Diagnosis((doubted, LOCATED), (), ("b",), seconds=4.0))
    for two in (merged(one, other), merged(other, one)):
        assert two.diagnosis is not None
        causes = {cause.degree: cause for cause in two.diagnosis.causes}
        assert {*causes} == {Degree.LIKELY, Degree.LOCATED}
        assert {*causes[Degree.LIKELY].explains} == {*IDS[:4]}
        assert causes[Degree.LIKELY].explained == 38
        assert (two.diagnosis.remaining, two.diagnosis.right, two.diagnosis.seconds) == ((), ("b",), 4.0)
    assert merged(one, replace(backend, diagnosis=None)).diagnosis == one.diagnosis


# Doors

RUN = ("run", f"{SAMPLES}:swapped", "--in-process", "--cases", "0", "--only", "values.gates")
GATES = Cause(Degree.CONFIRMED, (Alteration("gate-order-iofg"),), explained=9, tried=9, explains=("values.gates",))

Asked = list[tuple[str, float]]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Whoever is diagnosed, and in how many seconds; each has one cause."""
    asked: Asked = []

    def diagnose(
        judge: Judge, report: BackendReport, seconds: float, progress: Callable[[str], None], known: Sequence[Recipe]
    ) -> Diagnosis:
        asked.append((report.backend, seconds))
        progress("probing")
        return Diagnosis((GATES,), calls=5, seconds=0.1, limit=seconds)

    monkeypatch.setattr("conformance.diagnosis.diagnose.diagnose", diagnose)
    return asked


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def diagnose(*arguments: object, known: Sequence[Recipe]) -> Diagnosis:
        raise error

    monkeypatch.setattr("conformance.diagnosis.diagnose.diagnose", diagnose)


def test_a_run_that_fails_tells_the_cause_and_ends_as_it_would(command: Command, found: Asked) -> None:
    code, out, _ = command(*RUN)
    assert (code, [seconds for _, seconds in found]) == (1, [20])
    assert "1 property fails, for 1 cause\n  cause     " in out
    assert out.index("cause     ") < out.index("not conformant: ")
    assert command(*RUN, "-x", "--diagnose", "7").code == 1
    assert command(*RUN, "--diagnose", "0").code == 1
    assert [seconds for _, seconds in found] == [20, 7], "also after the first failure, and not at all if so asked"


def test_a_backend_without_failures_pays_nothing(command: Command, found: Asked) -> None:
    assert command("run", f"{SAMPLES}:right", *RUN[2:]).code == 0
    assert command("run", f"{SAMPLES}:absent", *RUN[2:]).code == 3
    assert check_backend(f"{SAMPLES}:right", cases=0, only="values.gates").backends[0].diagnosis is None
    assert found == []


def test_the_command_diagnose_takes_longer_and_no_random_cases(command: Command, found: Asked) -> None:
    target = f"{SAMPLES}:swapped"
    code, out, _ = command("diagnose", target, "--in-process", "--only", "values.gates", "--json", "report.json")
    assert (code, found) == (1, [(target, 60)])
    assert "fixed set + 0 random cases" in out
    assert "1 property fails, for 1 cause\n  cause     " in out
    with open("report.json", encoding="utf-8") as file:
        assert json.load(file)["backends"][0]["diagnosis"]["limit"] == 60
    assert command("diagnose", f"{SAMPLES}:right", "--in-process", "--only", "smoke", "--seconds", "5").code == 0
    Path("pyproject.toml").write_text(
        '[tool.lstm-conformance.expected-failures."' + target + '"]\n"values.gates" = "known"\n'
    )
    assert command("run", target, *RUN[2:]).code == 0
    assert command("diagnose", target, "--in-process", "--only", "values.gates").code == 1, (
        "what is expected has a cause too"
    )
    assert command("diagnose").code == 2


def test_a_project_may_set_the_seconds(command: Command, found: Asked) -> None:
    with open("pyproject.toml", "w", encoding="utf-8") as file:
        file.write("[tool.lstm-conformance]\ndiagnose = 3\n")
    assert command(*RUN).code == 1
    assert [seconds for _, seconds in found] == [3]


def test_check_backend_has_the_causes_as_data_and_in_words(found: Asked) -> None:
    report = check_backend(f"{SAMPLES}:swapped", cases=0, only="values.gates")
    assert report.backends[0].diagnosis is not None
    assert report.backends[0].diagnosis.causes == (GATES,)
    assert "1 property fails, for 1 cause" in str(report)
    assert check_backend(f"{SAMPLES}:swapped", cases=0, only="values.gates", diagnose=0).backends[0].diagnosis is None
    assert len(found) == 1


def test_a_defect_of_the_diagnosis_is_told_in_a_line_and_costs_nothing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(monkeypatch, ZeroDivisionError("in a\nprobe"))
    code, out, _ = command(*RUN)
    assert code == 1
    assert "values.gates (failed): " in out
    assert "a defect of lstm-conformance ended the diagnosis; please report it: ZeroDivisionError: in a probe" in (
        _squeezed(out)
    )


def test_an_interruption_of_the_diagnosis_keeps_the_report_and_ends_the_run(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raising(monkeypatch, KeyboardInterrupt())
    outcome = run([f"{SAMPLES}:swapped", f"{SAMPLES}:right"], Settings(0, only=("values.gates",)), 0, None, diagnose=5)
    [backend] = outcome.report.backends
    assert [v.outcome for v in backend.verdicts] == [Outcome.FAILED]
    assert outcome.report.missing == (f"{SAMPLES}:right",)
    assert command(*RUN).code == 1
    assert not check_backend(f"{SAMPLES}:swapped", cases=0, only="values.gates").conformant


class _Resting:
    """A judge of whom nothing is asked."""

    rests = 0

    def rest(self) -> None:
        self.rests += 1


def test_a_judge_that_is_closed_meanwhile_leaves_the_report_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _raising(monkeypatch, Closed())
    judge, [backend] = _Resting(), replace(_report(), backends=_report().backends).backends
    assert diagnosed(judge, backend, 5.0) is backend  # type: ignore[arg-type]
    assert judge.rests == 1, "the process that it may have started is not kept"


def test_what_cannot_have_a_cause_is_not_searched_for_one(found: Asked) -> None:
    plain = replace(_report().backends[0], diagnosis=None)
    broken = Verdict("mine", "values.output", Outcome.NOT_RUN, AdapterBroken("smoke.runs"))
    guard = Verdict("mine", "refusals.rank", Outcome.CRASHED)
    for backend in (
        replace(plain, interrupted=Interruption("interrupted", 3)),
        replace(plain, verdicts=(*plain.verdicts, broken)),
        replace(plain, verdicts=(guard,)),
    ):
        assert diagnosed(_Resting(), backend, 5.0) is backend  # type: ignore[arg-type]
    assert found == []
    stopped = replace(plain, interrupted=Interruption("stopped", 3))
    assert diagnosed(_Resting(), stopped, 5.0).diagnosis is not None  # type: ignore[arg-type]


def test_a_target_in_a_process_of_its_own_is_diagnosed_there_and_progress_says_so(found: Asked, folder: object) -> None:
    steps: list[tuple[str, str]] = []
    target, settings = f"{SAMPLES}:swapped", Settings(0, only=("values.gates",), stop=True, shrink=False)

    def tell(target: str, news: News) -> None:
        if isinstance(news, Diagnosing):
            steps.append((target, news.step))

    outcome = run([target], settings, diagnose=5, tell=tell)
    assert found == [(target, 5)]
    assert steps == [(target, "probing")]
    assert outcome.report.backends[0].diagnosis is not None
