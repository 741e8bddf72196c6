"""Reports for the tests of formats: one with every outcome, and one whose every free text is hostile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from conformance.facts import (
    AdapterBroken,
    Alteration,
    Cause,
    Compared,
    CutShort,
    Degree,
    Diagnosis,
    DtypeUnjudged,
    Element,
    Evidence,
    Fact,
    Frame,
    Interruption,
    LeftOut,
    Mismatch,
    Misshapen,
    NoCase,
    Outcome,
    Part,
    Raised,
    Said,
    Tensor,
    Undeclared,
    Unsupported,
    Within,
)
from conformance.properties import catalogue
from conformance.report.model import Asked, BackendReport, Report, Verdict

#: Markup of every format, escape sequences, a link of a terminal, marks that turn text round, halves of surrogates,
#: ends of lines, the beginnings of formulas and of mentions, and characters that XML cannot hold.
NASTY = (
    "=<script>alert(1)</script><img src=x onerror=y>\"'`|\\|*_@octocat **b** [x](javascript:y) ![i](http://evil/i) "
    "\x1b[31mred\x1b[2J\x1b]8;;http://evil\x1b\\link\x1b]8;;\x07\x9b31m\x90q\u202eretsam\u2066\u200b\u2028"
    "\x00\x08\x7f\ud800 \udcff \ufdd0\uffff\r\n# head\r\n```\n</details></summary> ]]> --> &amp; "
    "{{ 7*7 }} {% x %}\ttab\x85"
)
LONG = NASTY + "n" * 100_000

RECIPE = "I=1 H=1 L=2 N=1"


def verdict(id: str, outcome: Outcome, fact: Fact | None = None, **more: Any) -> Verdict:
    """A verdict on the backend "mine"."""
    return Verdict("mine", id, outcome, fact, cases=3, **more)


MISMATCH = Mismatch("output", (0, 0, 0), 1.0, 2.0, 1e-7, 0, 0, 0, 0, 1, 1)
FAILED = verdict("values.output", Outcome.FAILED, MISMATCH, recipe=RECIPE, smallest="LSTM(1→1) L=2 N=1", worst=2e6)

#: Each outcome, and the facts that hold texts.
EVERY_OUTCOME = (
    verdict("smoke.runs", Outcome.PASSED, margin=0.1),
    FAILED,
    verdict(
        "values.h_n",
        Outcome.ERROR,
        Raised("forward", "ValueError", "two\nlines", (Frame("my.py", 3, "forward", "raise ValueError"),)),
        recipe=RECIPE,
        evidence=Evidence(
            "LSTM(1→1)",
            (Tensor("x", "float32", (1, 1, 1), 1, (0.5,)),),
            (Compared("output", (Element((0, 0, 0), 1.0, 2.0, True),), 1, 1),),
            "Traceback (most recent call last):\n  …",
        ),
    ),
    verdict("values.c_n", Outcome.CRASHED, Said("its process died\nits standard error ends:\n  | no"), recipe=RECIPE),
    verdict("sequence.long", Outcome.TIMEOUT, Within("in a thread", Said("no answer within 60 seconds"))),
    verdict("values.gates", Outcome.EXPECTED_FAILURE, MISMATCH, expected="known: https://example.org/1"),
    verdict("values.digital", Outcome.UNEXPECTED_PASS, None, expected="known"),
    verdict("layout.shapes", Outcome.NARROWED, Part(9, 2, Unsupported("LSTM(1→1)", "no bias"), 0, ())),
    verdict("layout.dtypes", Outcome.NARROWED, DtypeUnjudged(3, "no bfloat16 here")),
    verdict("dropout.rate", Outcome.NOT_DECLARED, Undeclared(("dropout",))),
    verdict("sizes.rows", Outcome.NOT_RUN, LeftOut()),
    verdict("sizes.hidden", Outcome.NOT_RUN, NoCase()),
    verdict("refusals.rank", Outcome.FAILED, Misshapen("output", (1,), (2,), " of its own"), recipe=RECIPE),
)

CAUSE = Cause(
    Degree.CONFIRMED,
    (Alteration("reverse-not-flipped-back"),),
    explained=40,
    tried=40,
    explains=("values.output",),
    seen_in="onnx2tf",
    fix='params = {name: reorder(value, "iofg") for name, value in params.items()}\nmore',
)


def backend(*verdicts: Verdict, name: str = "mine", **more: Any) -> BackendReport:
    """The report on a backend of that name."""
    return BackendReport(name, tuple(replace(v, backend=name) for v in verdicts), seconds=1.25, **more)


def report(*backends: BackendReport, **more: Any) -> Report:
    """A report on backends."""
    asked = Asked(started="2026-11-30T09:00:00+01:00")
    return Report("0.1.0", 7, 100, {"numpy": "2.0", "platform": "linux"}, backends, asked=asked, **more)


def judged(outcome: Outcome = Outcome.PASSED, name: str = "mine", **more: Any) -> BackendReport:
    """The report on a backend of whose every property the same is said."""
    fact = MISMATCH if outcome == Outcome.FAILED else None
    return backend(*(Verdict(name, id, outcome, fact, RECIPE, cases=1) for id in catalogue()), name=name, **more)


RICH = report(
    backend(
        *EVERY_OUTCOME,
        cases=60,
        note="capabilities were probed",
        own_name="mine",
        frameworks={"torch": "2.0"},
        diagnosis=Diagnosis((CAUSE,), calls=9, seconds=1.0, limit=20.0, defect="ValueError: no (search.py:1)"),
    ),
    backend(
        verdict("smoke.runs", Outcome.CRASHED, Said("gone")),
        verdict("values.output", Outcome.NOT_RUN, AdapterBroken("smoke.runs")),
        name="second.py:build",
        interrupted=Interruption("given up", 3, "it died\nthrice"),
    ),
    backend(
        verdict("smoke.runs", Outcome.PASSED),
        verdict("values.output", Outcome.NOT_RUN, CutShort(Interruption("interrupted", 3), 2)),
        name="third",
        interrupted=Interruption("interrupted", 3),
    ),
    backend(verdict("smoke.runs", Outcome.UNAVAILABLE, Said("no device")), name="fourth"),
    missing=("fifth",),
)

#: The fields whose texts come from outside. All other texts are the suite's own words and ids.
_OUTSIDE = {
    *("backend", "own_name", "note", "frameworks", "environment", "missing", "targets", "version", "expected"),
    *("text", "type", "file", "function", "context", "reason", "why", "call", "traceback", "smallest"),
    *("seen_in", "fix", "defect"),
}


def poisoned(record: Any, text: str = LONG, field: str = "") -> Any:
    """A record with a hostile text in each place of one that comes from outside."""
    if type(record) is str:
        return f"{text}{record}" if record and field in _OUTSIDE else record
    if is_dataclass(record) and not isinstance(record, type):
        changed = {each.name: poisoned(getattr(record, each.name), text, each.name) for each in fields(record)}
        return replace(record, **changed)
    if isinstance(record, tuple):
        return tuple(poisoned(item, text, field) for item in record)
    if isinstance(record, Mapping):
        return {poisoned(key, text, field): poisoned(item, text, field) for key, item in record.items()}
    return record
