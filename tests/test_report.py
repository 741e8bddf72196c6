"""What a report concludes from its verdicts, and how a person reads it."""

from __future__ import annotations

import json
import math
import shlex
import sys
from dataclasses import replace
from typing import get_args

import pytest

from conformance.backend import Backend, Capabilities
from conformance.cases.case import realise
from conformance.cases.recipe import Recipe
from conformance.engine.plan import Settings, plan
from conformance.errors import UsageError
from conformance.facts import (
    AdapterBroken,
    CutShort,
    Discarded,
    DtypeUnjudged,
    Fact,
    Gap,
    Interruption,
    LeftOut,
    Mismatch,
    Misshapen,
    NoCase,
    NotStarted,
    Outcome,
    Part,
    Quick,
    Raised,
    Recurrence,
    Said,
    Scope,
    Unanswered,
    Undeclared,
    Unshown,
    Unsupported,
    Within,
)
from conformance.properties import catalogue
from conformance.properties.model import COMPUTES, unmet_needs
from conformance.report import english, levels, shell
from conformance.report.colour import painted, visible
from conformance.report.conclusion import conclusion, sentence
from conformance.report.data import FORMAT, from_json, to_json
from conformance.report.evidence import arrays
from conformance.report.levels import LEVELS, level_of, reached
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.names import named
from conformance.report.summary import standings
from conformance.report.table import notes, table
from conformance.report.text import explain, failures, head, replay_line
from conformance.trials.evidence import given

PASSED = Verdict("mine", "smoke.runs", Outcome.PASSED, margin=0.1, cases=3)
FAILED = Verdict(
    "my lstm.py:f",
    "values.output",
    Outcome.FAILED,
    Mismatch("output", (0, 0, 0), 1.0, 2.0, 1e-7, 0, 0, 0, 0, 1, 1),
    recipe="I=1 H=1 L=1 N=1 edits=0:x",
    smallest="LSTM(1→1) L=1 N=1",
    worst=2e6,
)


def _backend(
    *verdicts: Verdict, name: str = "mine", interrupted: Interruption | None = None, note: str = ""
) -> BackendReport:
    return BackendReport(name, verdicts, note=note, interrupted=interrupted)


def _report(*backends: BackendReport, missing: tuple[str, ...] = ()) -> Report:
    return Report("0.1.0", 0, 100, {"numpy": "2.0", "platform": "linux x86_64"}, backends, missing)


#: Backends that did not come to their end.
GONE = _backend(Verdict("gone", "smoke.runs", Outcome.UNAVAILABLE, Said("no device")), name="gone")
CUT = _backend(PASSED, name="cut", interrupted=Interruption("interrupted", 3))
DIED = _backend(
    Verdict("died", "smoke.runs", Outcome.CRASHED, Said("signal 11")),
    name="died",
    interrupted=Interruption("given up", 0, "signal 11"),
)


# The model


#: What makes a backend not conformant.
BAD = {Outcome.FAILED, Outcome.ERROR, Outcome.CRASHED, Outcome.TIMEOUT, Outcome.UNEXPECTED_PASS}


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome != Outcome.UNAVAILABLE])
def test_which_outcomes_spoil_conformance(outcome: Outcome) -> None:
    verdict = Verdict("mine", "values.output", outcome, cases=1)
    backend = _backend(PASSED, verdict)
    assert backend.conformant == _report(backend).conformant == (outcome not in BAD)
    assert outcome.bad == (outcome in BAD)
    assert _backend(verdict).conformant == outcome.good, "one property at least must have been judged"


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome != Outcome.UNAVAILABLE])
def test_a_missing_guard_counts_with_strict_alone_and_a_crash_wherever_it_happens(outcome: Outcome) -> None:
    backend = _backend(PASSED, Verdict("mine", "refusals.rank", outcome, cases=1))
    assert backend.conformant == (outcome not in (Outcome.CRASHED, Outcome.TIMEOUT))
    assert replace(backend, strict=True).conformant == (outcome not in BAD)
    missing = outcome in BAD and not outcome.ends
    assert [v.property for v in backend.missing_guards] == ["refusals.rank"] * missing
    assert not replace(backend, strict=True).missing_guards


def test_the_outcomes_are_the_words_of_the_contract() -> None:
    words = (
        "passed, failed, error, crashed, timeout, expected failure, unexpected pass, narrowed, not declared, not run"
    )
    assert [*map(str, Outcome)] == [*words.split(", "), "unavailable"]


def test_a_property_narrowed_on_every_case_was_never_judged() -> None:
    assert not _backend(PASSED, Verdict("mine", "values.output", Outcome.NARROWED, cases=0)).conformant


def test_a_truncated_run_is_neither_complete_nor_conformant() -> None:
    for report in (_report(CUT), _report(_backend(PASSED), missing=("other",))):
        assert not report.complete
        assert not report.conformant


def test_an_unavailable_backend_does_not_spoil_a_report_but_does_not_make_one() -> None:
    assert _report(_backend(PASSED), GONE).conformant
    assert not _report(GONE).conformant


def test_declared_counts_what_was_asked_and_margin_is_the_largest() -> None:
    other = Verdict("mine", "values.output", Outcome.PASSED, margin=0.7)
    backend = _backend(PASSED, other, Verdict("mine", "stack.composition", Outcome.NOT_DECLARED))
    assert (backend.declared, backend.margin, backend.count(Outcome.PASSED)) == (2, 0.7, 2)


#: One of each kind of fact, with the numbers that JSON does not have.
FACTS: tuple[Fact, ...] = (
    Mismatch("grad x", (0, 1), math.nan, math.inf, -math.inf, 1, 0, None, 1, 2, 3),
    Misshapen("output", (2, 3), (3, 2)),
    Raised("forward", "ValueError", "no"),
    Said("two\nlines"),
    Within("gate i", Mismatch("output", (0, 0, 0), 1.0, 2.0, 1e-7, 0, 0, 0, 0, 1, 1)),
    Unsupported("LSTM(1→1) L=1 N=1", "no"),
    Undeclared(("lengths", "slots")),
    Part(9, 2, Unsupported("LSTM(1→1) L=1 N=1", "no"), 1, ("smoke.runs",)),
    Unanswered(True),
    Unshown(9, 2, 3),
    DtypeUnjudged(3, "no bfloat16"),
    CutShort(Interruption("interrupted", 7), 2),
    AdapterBroken("smoke.runs"),
    NotStarted("smoke.runs"),
    NoCase(),
    LeftOut(),
    Discarded(3, ("gradients.input",)),
)


def test_a_report_is_read_back_as_it_was_written() -> None:
    assert {type(fact) for fact in FACTS} == {*get_args(Fact)}, "each kind of fact is among them"
    verdicts = [replace(FAILED, fact=fact, history=("I=1", "I=2"), worst_recipe="I=3") for fact in FACTS]
    verdicts += [replace(FAILED, scope=Scope(9, 7, 1, ("layers", "not initial_state")))]
    verdicts += [replace(PASSED, outcome=outcome, recurrence=how) for outcome in Outcome for how in Recurrence]
    ids = iter(catalogue())
    verdicts = [replace(verdict, property=next(ids)) for verdict in verdicts]
    report = _report(replace(_backend(*verdicts), unmet=("lengths",)), CUT, DIED, missing=("late",))
    assert from_json(json.loads(json.dumps(to_json(report), allow_nan=False))) == report


def test_a_report_of_another_format_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=f"format 1, expected {FORMAT}"):
        from_json({**to_json(_report(_backend(PASSED))), "format": 1})


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_each_kind_of_fact_has_words(fact: Fact) -> None:
    assert english.sentence(fact)
    assert english.shared(fact)


# Levels

CORE = Capabilities()
FULL = replace(CORE, **dict.fromkeys(LEVELS["full"], True))
TRAINING = replace(FULL, gradients=True)


def _judged(capabilities: Capabilities, *lacks: str) -> BackendReport:
    """The report of a backend that passed everything it declares."""
    backend = Backend("mine", capabilities, lambda config, params: lambda x: x, ruled_out=frozenset(lacks))
    without = unmet_needs(backend)
    verdicts = tuple(
        Verdict("mine", p.id, Outcome.NOT_DECLARED if {*without} & {*p.needs} else Outcome.PASSED, cases=1)
        for p in catalogue().values()
    )
    return BackendReport("mine", verdicts, unmet=without, dtypes=plan(backend, Settings()).arithmetics())


def _told(report: BackendReport) -> tuple[str, str]:
    """The level reached, and what is missing for the next one, in words."""
    level, gap = reached(report)
    return level, "" if gap is None else english.gap(gap)


def _becomes(report: BackendReport, id: str, outcome: Outcome) -> BackendReport:
    verdicts = (replace(v, outcome=outcome) if v.property == id else v for v in report.verdicts)
    return replace(report, verdicts=tuple(verdicts))


@pytest.mark.parametrize(
    ("capabilities", "lacks", "level", "shortfall"),
    [
        (CORE, "", "core", f"full: lacks {', '.join(LEVELS['full'])}"),
        (replace(FULL, lengths=False), "", "core", "full: lacks lengths"),
        (FULL, "", "full", "training: lacks gradients"),
        (TRAINING, "", "training", ""),
        (replace(TRAINING, dropout=True), "", "training", ""),
        (replace(TRAINING, layers=False), "", "core", "full: lacks layers"),
        (replace(FULL, initial_state=False), "", "", "core: lacks initial_state"),
        (replace(FULL, deterministic=False), "", "", "core: lacks deterministic"),
        (replace(FULL, returns=("output",)), "", "", "core: h_n is not returned; c_n is not returned"),
        (replace(FULL, dtypes=("float64",)), "", "full (float64)", "training: lacks gradients"),
        (replace(FULL, dtypes=("float64", "float32")), "", "full", "training: lacks gradients"),
        (replace(FULL, arithmetic={"float32": "tf32"}), "", "full (float32 as tf32)", "training: lacks gradients"),
        (replace(FULL, arithmetic={"float32": "int8"}), "", "", "core: no dtype whose values are judged"),
        (replace(FULL, compiled=True), "", "full", "training: lacks gradients"),
        (CORE, "loop", "", "core: the suite supplies the loop over time"),
        (FULL, "views memory", "full", "training: lacks gradients"),
    ],
)
def test_a_level_needs_all_that_it_names(capabilities: Capabilities, lacks: str, level: str, shortfall: str) -> None:
    assert _told(_judged(capabilities, *lacks.split())) == (level, shortfall)


@pytest.mark.parametrize("outcome", sorted({*Outcome} - {Outcome.PASSED, Outcome.NOT_DECLARED}))
@pytest.mark.parametrize(
    ("id", "level"),
    [
        ("values.output", ""),
        ("stack.composition", "core"),
        ("gradients.input", "full"),
        ("dropout.rate", "full"),
    ],
)
def test_nothing_but_passing_reaches_the_level_of_a_property(id: str, level: str, outcome: Outcome) -> None:
    own = level_of(catalogue()[id])
    judged = _judged(replace(TRAINING, dropout=True))
    assert own is not None
    assert reached(_becomes(judged, id, outcome)) == (level, Gap(own, short=((outcome, (id,)),)))


def test_an_option_that_no_property_judges_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {id: p for id, p in catalogue().items() if "gradients" not in p.needs}
    for module in (levels, sys.modules[__name__]):
        monkeypatch.setattr(module, "catalogue", lambda: known)
    assert _told(_judged(TRAINING)) == (
        "full",
        "training: no property of this version judges gradients, grad_x, grad_h_0, grad_c_0, grad_params",
    )


def test_a_part_of_the_properties_and_a_run_cut_short_claim_nothing() -> None:
    judged = _judged(FULL)
    part = replace(judged, verdicts=judged.verdicts[1:])
    assert _told(part) == ("", "core: only part of the properties ran")
    cut = replace(judged, interrupted=Interruption("interrupted", 3))
    assert _told(cut) == ("", "core: interrupted after 3 cases")


def test_what_holds_unexpectedly_is_not_told_as_wrong() -> None:
    told = sentence(_becomes(_judged(CORE), "values.h_n", Outcome.UNEXPECTED_PASS))
    assert "mine computes what nn.LSTM computes, of what it declares, though 1 property was expected to fail" in told


def test_of_a_few_chosen_properties_no_coverage_is_told() -> None:
    whole = replace(_judged(CORE), covered=1, combinations=4)
    chosen = replace(whole, verdicts=whole.verdicts[:3])
    assert "25%" in table(_report(whole))
    assert "%" not in table(_report(chosen))


def test_many_failures_fit_a_line() -> None:
    judged = _judged(CORE)
    failed = replace(judged, verdicts=tuple(replace(v, outcome=Outcome.FAILED) for v in judged.verdicts))
    told = _told(failed)[1]
    assert told.startswith("core: failed: smoke.runs, ")
    assert len(told) < 120


@pytest.mark.parametrize("id", ["refusals.rank", "nonfinite.nan-kept", "degenerate.ones"])
def test_levels_ask_for_nothing_but_what_is_computed(id: str) -> None:
    judged = _judged(TRAINING)
    assert level_of(catalogue()[id]) is None
    assert reached(_becomes(judged, id, Outcome.FAILED)) == ("training", None)
    without = tuple(v for v in judged.verdicts if v.property != id)
    assert reached(replace(judged, verdicts=without)) == ("training", None)


def test_every_property_of_what_is_computed_belongs_to_a_level() -> None:
    # A property whose needs no level has would be asked and never count: then LEVELS has to learn the word.
    computed = [p for p in catalogue().values() if p.question == COMPUTES]
    assert [p.id for p in computed if level_of(p) is None] == []


def test_json_names_the_level_and_what_the_next_one_lacks() -> None:
    [full, none] = to_json(_report(_judged(FULL), _backend(PASSED)))["backends"]
    assert full["level"] == "full"
    assert full["shortfall"].startswith("training: ")
    assert (none["level"], none["shortfall"]) == (None, "core: only part of the properties ran")


def test_json_has_an_answer_to_each_question() -> None:
    verdict = Verdict("mine", "refusals.rank", Outcome.FAILED)
    [written] = to_json(_report(_backend(PASSED, verdict)))["backends"]
    assert written["computes"] == {"asked": 1, "passed": 1, "expected_failures": 0, "failed": 0}
    assert written["edges"] == {"asked": 0, "passed": 0, "expected_failures": 0, "failed": 0}
    assert written["guards"] == {"asked": 1, "passed": 0, "expected_failures": 0, "failed": 1}
    assert (written["conformant"], written["strictly_conformant"]) == (True, False)
    assert [one["question"] for one in written["verdicts"]] == ["computes", "guards"]


# The table


def test_the_level_is_the_second_column_and_a_line_for_each_reason_says_what_the_next_one_lacks() -> None:
    numpy, other = (replace(_judged(replace(FULL, layers=False)), backend=name) for name in ("numpy", "other"))
    report = _report(numpy, other, _backend(PASSED))
    rows = table(report, width=300).splitlines()
    assert [row.split()[:2] for row in (rows[0], *rows[2:5])] == [
        ["backend", "level"],
        ["numpy", "core"],
        ["other", "core"],
        ["mine", "—"],
    ]
    assert notes(report, width=300).splitlines()[:2] == [
        "short of full: lacks layers  (numpy, other)",
        "short of core: only part of the properties ran  (mine)",
    ]


def test_a_wide_table_has_a_row_for_each_backend_and_a_narrow_one_a_column() -> None:
    report = _report(_backend(PASSED, Verdict("mine", "values.output", Outcome.FAILED), note="probed"))
    wide, narrow = table(report), table(report, width=40)
    assert wide.splitlines()[0].split()[:4] == ["backend", "level", "values", "computes"]
    assert wide.splitlines()[2].split()[:6] == ["mine", "—", "0/1", "1/2", "–", "–"]
    assert narrow.splitlines()[0].split() == ["backend", "mine"]
    assert "values" in narrow
    assert max(map(len, narrow.split("\n\n")[0].splitlines())) <= 40
    assert notes(report).endswith("mine: probed")


NAMES = ("backend-{}", "a/way/to/the/folder/that/holds/the/lstm-{}.py:MyLSTM", "長い名前の実装" * 4 + "-{}")


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("count", [1, 5, 40])
def test_any_number_of_backends_fits_the_terminal(width: int, count: int) -> None:
    one_of_each_group = {v.property.partition(".")[0]: v for v in _judged(FULL).verdicts}.values()
    wrong = replace(FAILED, fact=Said("a long message " * 20), smallest="LSTM(1→1) " * 20)
    judged = _backend(*one_of_each_group, wrong, note="a remark " * 20)
    names = [NAMES[place % len(NAMES)].format(place) for place in range(count)]
    report = _report(*(replace(judged, backend=name) for name in names), GONE)
    shown = table(report, width)
    assert max(map(visible, shown.splitlines())) <= width
    assert all(name[-15:] in shown for name in names)
    parts = [head(report, width), failures(report, width=width), notes(report, width), conclusion(report, width=width)]
    long = [line for line in "\n".join(parts).splitlines() if visible(line) > width]
    # Names and commands are not divided, so that they can be copied.
    assert not [line for line in long if "replay" not in line and not any(name in line for name in names)]


def test_columns_stand_below_each_other_where_letters_are_two_columns_wide() -> None:
    lines = table(_report(_backend(PASSED, name="長い名前"), _backend(PASSED, name="short")), 200).splitlines()
    assert {visible(line[: line.index("—")]) for line in lines[2:4]} == {visible(lines[0][: lines[0].index("level")])}


def test_a_long_name_keeps_its_end() -> None:
    """It would push everything else out of the terminal; its end tells it from others."""
    shown = table(_report(_backend(PASSED, name="/a/very/long/way/to/the/folder/that/holds/my_lstm.py:MyLSTM")), 80)
    assert "  …the/folder/that/holds/my_lstm.py:MyLSTM" in shown
    assert max(map(len, shown.split("\n\n")[0].splitlines())) <= 80


def test_colours_mark_what_fails_and_move_no_column() -> None:
    report = _report(_backend(PASSED, Verdict("mine", "values.output", Outcome.FAILED)))
    coloured = table(report, 100, painted)
    assert "\033[31m0/1\033[0m" in coloured
    assert coloured.replace("\033[31m", "").replace("\033[0m", "") == table(report, 100)
    assert conclusion(report, painted).startswith("\033[31mnot conformant\033[0m: mine ")
    assert conclusion(_report(_backend(PASSED)), painted).startswith("\033[32mconformant\033[0m: mine ")


def test_a_backend_is_shown_by_the_name_that_it_gave_itself_and_replayed_by_its_target() -> None:
    own = replace(_backend(FAILED, name="there/my_lstm.py:build"), own_name="the-lstm-of-my-thesis")
    bare = _backend(PASSED, name="there/my_lstm.py:MyLSTM")
    shown = named(_report(own, bare))
    assert [backend.backend for backend in shown.backends] == ["the-lstm-of-my-thesis", "my_lstm.py:MyLSTM"]
    assert "--backend 'my lstm.py:f'" in failures(shown)


def test_two_backends_of_one_name_are_shown_by_their_targets() -> None:
    targets = ["a/lstm.py:build", "b/lstm.py:build"]
    shown = named(_report(*(_backend(PASSED, name=target) for target in targets)))
    assert [backend.backend for backend in shown.backends] == targets


def test_backends_without_results_are_lines_below_the_table() -> None:
    assert table(_report(GONE, DIED)) == "gone  unavailable: no device\ndied  crashed: signal 11"


# The text


def test_the_head_says_what_was_run_with_what() -> None:
    assert (
        head(_report()) == "lstm-conformance 0.1.0 · seed 0 · fixed set + 100 random cases · numpy 2.0 · linux x86_64"
    )


def test_a_failure_gives_statement_smallest_case_numbers_worst_and_replay() -> None:
    assert explain(FAILED).splitlines() == [
        "values.output (failed): Every output of every layer is the oracle's, within the bound.",
        "  smallest  LSTM(1→1) L=1 N=1",
        "  result    output[0, 0, 0] expected 1 got 2 bound 1.0e-07",
        "  worst     2e+06 times its bound, among all cases seen",
        "  replay    lstm-conformance replay 'I=1 H=1 L=1 N=1 edits=0:x' --backend 'my lstm.py:f' --only values.output",
    ]


def test_a_replay_line_survives_the_shell_with_the_calls_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = replace(FAILED, history=("I=2 L=3 N=1",))
    words = ["lstm-conformance", "replay", "I=2 L=3 N=1", "I=1 H=1 L=1 N=1 edits=0:x"]
    words += ["--backend", "my lstm.py:f", "--only", "values.output"]
    assert shlex.split(replay_line(verdict)) == words
    monkeypatch.setattr(shell.os, "name", "nt")
    assert '"I=2 L=3 N=1"' in replay_line(verdict)
    assert "'" not in replay_line(verdict)


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("C:\\lstm.py:f", "C:\\lstm.py:f"),
        ("a&b", '"a&b"'),
        ("edits=0:x,1:x[3]", '"edits=0:x,1:x[3]"'),
        ('say "so"', '"say \\"so\\""'),
        ("a folder\\", '"a folder\\\\"'),
        ("", '""'),
    ],
)
def test_a_line_for_windows_has_double_quotes(word: str, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """cmd.exe takes single quotes for letters."""
    monkeypatch.setattr(shell.os, "name", "nt")
    assert shell.command_line([word]) == written


def test_one_failure_is_told_once_with_all_the_properties_that_show_it() -> None:
    assert failures(_report(_backend(PASSED))) == ""
    told = failures(_report(_backend(PASSED, FAILED, replace(FAILED, property="values.h_n"))))
    assert told.startswith("mine: 2 properties do not hold\n  values.output (failed)")
    assert told.count("expected 1 got 2") == 1
    assert "  also      values.h_n" in told


def test_a_message_of_several_lines_stays_in_its_column() -> None:
    lines = explain(replace(FAILED, fact=Said("first\nsecond"))).splitlines()
    assert lines[2:4] == ["  result    first", "            second"]


def test_what_was_narrowed_or_not_run_is_told_once_for_each_reason() -> None:
    def narrowed(id: str, case: str) -> Verdict:
        return Verdict("mine", id, Outcome.NARROWED, Part(2, 1, Unsupported(case, "bias"), 0, ()), cases=1)

    def unrun(id: str, cases: int) -> Verdict:
        return Verdict("mine", id, Outcome.NOT_RUN, CutShort(Interruption("interrupted", 9), cases))

    told = (narrowed("values.output", "L=1"), narrowed("values.h_n", "L=2"))
    told += (unrun("stack.composition", 0), unrun("batch.isolation", 1))
    assert failures(_report(_backend(PASSED, *told)), width=120).splitlines() == [
        "mine: narrowed, not passed: values.output, values.h_n (Unsupported raised within what is declared: bias)",
        "mine: not run: stack.composition (interrupted after 9 cases; no case had been checked)",
        "mine: not judged to the end: batch.isolation (interrupted after 9 cases; no failure in the cases seen)",
    ]


def test_the_conclusion_names_every_backend() -> None:
    report = _report(_backend(PASSED), _backend(FAILED, name="bad"), GONE, CUT, DIED, missing=("late",))
    assert conclusion(report).splitlines() == [
        "conformant: mine holds 1 of 1 chosen properties of what nn.LSTM computes",
        "not conformant: bad does not compute what nn.LSTM computes: 0 of 1 properties hold",
        "unavailable: gone",
        "interrupted: cut: interrupted after 3 cases",
        "not conformant: died: 1 property does not hold; given up after 0 cases: signal 11",
        "interrupted, not begun: late",
    ]


def _told_in_full(report: BackendReport) -> str:
    return " ".join(conclusion(_report(report)).split())


def test_the_conclusion_is_a_sentence_with_the_three_answers() -> None:
    edges, guards = (len(_judged(FULL).asked(question)) for question in ("edges", "guards"))
    right = "mine computes what nn.LSTM computes (full)"
    assert _told_in_full(_judged(FULL)) == f"conformant: {right}; edges {edges} of {edges}; guards {guards} of {guards}"

    unguarded = _becomes(_judged(FULL), "refusals.batch-mismatch", Outcome.FAILED)
    told = f"guards {guards - 1} of {guards}: accepts a state for another number of rows"
    assert _told_in_full(unguarded) == f"conformant: {right}; edges {edges} of {edges}; {told}"
    assert _told_in_full(replace(unguarded, strict=True)).startswith(f"not conformant: {right}; ")

    edgy = _becomes(unguarded, "nonfinite.huge-cell", Outcome.ERROR)
    told = f"edges {edges - 1} of {edges}: nonfinite.huge-cell error; {told}"
    assert _told_in_full(edgy) == f"not conformant: {right}; {told}"

    wrong = _becomes(_judged(FULL), "values.output", Outcome.FAILED)
    assert "does not compute what nn.LSTM computes: " in _told_in_full(wrong)
    unrun = _told_in_full(_becomes(_judged(FULL), "values.output", Outcome.NOT_RUN))
    count = len(_judged(FULL).asked("computes"))
    told = f"holds {count - 1} of {count} properties of what nn.LSTM computes, 1 not fully judged; "
    assert unrun.startswith(f"conformant: mine {told}")
    known = _becomes(_judged(FULL), "values.output", Outcome.EXPECTED_FAILURE)
    assert "computes what nn.LSTM computes, of what it declares, but for 1 expected failure; " in _told_in_full(known)
    known = _becomes(_judged(FULL), "nonfinite.huge-cell", Outcome.EXPECTED_FAILURE)
    assert f"edges {edges - 1} of {edges}, 1 expected to fail; " in _told_in_full(known)
    assert standings(_report(known)) == "conformant, with expected failures"


@pytest.mark.parametrize("quick", [None, Quick(14, 126)])
def test_what_is_expected_to_fail_is_nowhere_counted_as_holding(quick: Quick | None) -> None:
    known = _becomes(_judged(FULL), "values.output", Outcome.EXPECTED_FAILURE)
    known = _becomes(replace(known, quick=quick), "values.h_n", Outcome.NOT_RUN)
    worst = tuple(replace(v, margin=1e30 if v.outcome == Outcome.EXPECTED_FAILURE else 0.5) for v in known.verdicts)
    known = replace(known, verdicts=worst)
    [count] = {len(known.asked("computes")) if quick is None else known.declared}
    share = f"{count - 2} of {count}"
    assert share in _told_in_full(known)
    assert "1 expected " in _told_in_full(known)
    asked = known.asked("computes")
    assert f"{len(asked) - 2}/{len(asked)}" in table(_report(known))
    assert known.margin == 0.5, "how wrong a known failure is says nothing of what holds"


def test_missing_guards_are_a_line_each_beside_the_defects() -> None:
    guards = [
        Verdict("mine", f"refusals.{name}", Outcome.FAILED, Said("accepted\nall")) for name in ("rank", "lengths")
    ]
    report = _backend(FAILED, *guards)
    assert failures(_report(report)).splitlines()[-3:] == [
        "mine: 2 guards fail. They count with --strict only:",
        "  refusals.rank               accepted",
        "  refusals.lengths            accepted",
    ]
    assert "guards fail" not in failures(_report(replace(report, strict=True)))


def test_an_error_says_where_all_is_right() -> None:
    error = replace(FAILED, outcome=Outcome.ERROR, scope=Scope(10, 8, 0, ("initial_state", "layers")))
    told = failures(_report(_backend(error, replace(error, property="values.h_n"))))
    assert "  scope     right in 16 of 20 cases; error wherever state is given and layers > 1" in told


def test_a_small_case_is_shown_with_its_numbers_and_a_large_one_with_its_shapes() -> None:
    small = Recipe(edits=("0:weight_ih_l0", "0:weight_hh_l0", "0:bias_hh_l0", "1:bias_ih_l0", "0:x"))
    assert arrays(given(realise(small))).splitlines() == [
        "bias_ih_l0            [-1., -1., -1., -1.]",
        "zero                  weight_ih_l0, weight_hh_l0, bias_hh_l0, x",
    ]
    # What is small in it has its numbers all the same.
    assert " ".join(arrays(given(realise(Recipe(H=20)))).split()) == (
        "x [[[0.19697532]]] shapes weight_ih_l0 (80, 1), weight_hh_l0 (80, 20), bias_ih_l0 (80,), bias_hh_l0 (80,)"
    )
