"""Backends on the page, as data: the words are those of the other renderings, made safe to show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.facts import Cause, Diagnosis, Outcome
from conformance.properties import GROUPS
from conformance.properties.model import QUESTIONS
from conformance.report import causes, english
from conformance.report.altered import instead
from conformance.report.conclusion import GOOD, ending, sentence, standing
from conformance.report.levels import reached, whole
from conformance.report.model import BackendReport, Verdict
from conformance.report.summary import small_call
from conformance.report.unjudged import unjudged

#: So many characters of a name, and of any other text, are shown.
NAME, TEXT = 60, 4000

#: What a text may not do here: move a cursor, ring, or turn the direction in which the rest is read.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def plain(text: str, most: int = TEXT) -> str:
    """A text of somebody else's, at most so long, with signs for the characters that are no text."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return _CONTROLS.sub(_sign, cut.encode("utf-8", "replace").decode())


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def unquoted(text: str) -> str:
    """A docstring's text without the signs around its code."""
    return text.replace("``", "")


# Marks


@dataclass(frozen=True)
class Mark:
    """How an ending is shown: by a letter or a sign, a colour that is named like its key, and in words."""

    sign: str
    words: str
    #: Whether a person looks for it first; None if it is neither good nor bad.
    good: bool | None = None


#: By a key of one letter.
MARKS = {
    "p": Mark("✓", Outcome.PASSED, True),
    "f": Mark("✕", Outcome.FAILED, False),
    "e": Mark("E", Outcome.ERROR, False),
    "c": Mark("C", Outcome.CRASHED, False),
    "t": Mark("T", Outcome.TIMEOUT, False),
    "u": Mark("U", Outcome.UNEXPECTED_PASS, False),
    "g": Mark("✕", "missing guard"),
    "x": Mark("○", Outcome.EXPECTED_FAILURE, True),
    "n": Mark("N", Outcome.NARROWED),
    "s": Mark("~", "not judged to the end"),
    "r": Mark("–", Outcome.NOT_RUN),
    "d": Mark("·", Outcome.NOT_DECLARED),
    "a": Mark("/", Outcome.UNAVAILABLE),
}
_KEYS = {mark.words: key for key, mark in MARKS.items()}


def mark_of(verdict: Verdict, strict: bool) -> str:
    """The key of a verdict's mark."""
    counts = strict or verdict.question != "guards" or verdict.outcome.ends
    return "g" if verdict.outcome.bad and not counts else _KEYS[ending(verdict)]


# Backends


@dataclass(frozen=True)
class Answers:
    """How many properties of one question pass, of those that were asked: the others are bad, known, or undecided."""

    question: str
    good: int
    asked: int
    bad: int


@dataclass(frozen=True)
class Group:
    """How many properties of one group hold, of those that apply; ``seen`` if the run ended before they were judged."""

    good: int
    asked: int
    bad: bool
    seen: bool


@dataclass(frozen=True)
class CauseCard:
    """A cause, in the words of ``causes``."""

    degree: str
    sentence: str
    unexplained: str
    otherwise: str
    seen_in: str
    fix: str
    explains: tuple[str, ...]
    smallest: str
    message: str
    property: str


@dataclass(frozen=True)
class Reason:
    """What is known of a reason for which properties are expected to fail."""

    name: str
    address: str
    #: How bad it is, in a word.
    severity: str


@dataclass(frozen=True)
class Shown:
    """A backend on the page."""

    #: By which links name it: its name, shortened, and unlike any other.
    key: str
    report: BackendReport
    standing: str
    good: bool | None
    sentence: str
    #: How the weights of an LSTM of a model's file compare with the trained ones, if they were compared.
    weights: str
    level: str
    gap: str
    remark: str
    unjudged: str
    answers: tuple[Answers, ...]
    groups: dict[str, Group]
    #: The share of three-way combinations that were judged, or None.
    coverage: float | None
    #: The reasons of its expected failures of which something is known.
    reasons: tuple[Reason, ...]
    #: The seconds of a small call, or None.
    call: float | None
    headline: str
    causes: tuple[CauseCard, ...]
    #: What else came of the diagnosis: a label and a text each.
    remarks: tuple[tuple[str, str], ...]
    #: The failures that no cause explains, where some cause was found.
    unexplained: tuple[str, ...]
    #: By property, the key of its mark.
    marks: dict[str, str]


def shown(backend: BackendReport, key: str, reasons: Mapping[str, Reason], weights: str) -> Shown:
    """A backend as it is shown under a key; ``weights`` says how those of a model's file compare."""
    told, (level, gap) = standing(backend), reached(backend)
    found = backend.diagnosis
    explained = list(found.causes) if found else []
    marks = {v.property: mark_of(v, backend.strict) for v in backend.verdicts}
    share = backend.covered / backend.combinations if backend.combinations and whole(backend) else None
    return Shown(
        key=key,
        report=backend,
        standing=told,
        good=GOOD.get(told),
        # The sentence begins with the name, which may be long.
        sentence=plain(sentence(backend)[len(backend.backend) :].removeprefix(":").strip() or _unavailable(backend)),
        weights=weights,
        level=level,
        gap=plain(english.gap(gap)) if gap else "",
        remark=plain(english.remark(backend.note, backend.signatures)),
        unjudged=plain(unjudged(backend)),
        answers=tuple(_answers(question, backend.asked(question)) for question in QUESTIONS),
        groups={group: _group(marks, group) for group in GROUPS},
        coverage=share,
        reasons=tuple(known for text, known in reasons.items() if text in {v.expected for v in backend.verdicts}),
        call=small_call(backend),
        headline=causes.headline(backend) if found and backend.bad else "",
        causes=tuple(_card(cause, backend) for cause in explained),
        remarks=tuple(_remarks(found)) if found else (),
        unexplained=tuple(v.property for v in causes.unexplained(backend)) if explained else (),
        marks=marks,
    )


def _remarks(found: Diagnosis) -> Iterator[tuple[str, str]]:
    if found.causes:
        yield from ((label, plain(text)) for label, text in causes.remarked(found))
    elif none := causes.none_found(found):
        yield "cause", plain(none)


def _unavailable(backend: BackendReport) -> str:
    return next((v.message for v in backend.verdicts if v.outcome == Outcome.UNAVAILABLE), "")


def _answers(question: str, asked: Sequence[Verdict]) -> Answers:
    passed = sum(v.outcome == Outcome.PASSED for v in asked)
    return Answers(question, passed, len(asked), sum(v.outcome.bad for v in asked))


def _group(marks: Mapping[str, str], group: str) -> Group:
    own = [key for id, key in marks.items() if id.startswith(f"{group}.") and key not in "da"]
    good = sum(MARKS[key].good is True or key == "s" for key in own)
    return Group(good, len(own), any(MARKS[key].good is False for key in own), "s" in own)


def _card(cause: Cause, backend: BackendReport) -> CauseCard:
    smallest = causes.smallest(cause, backend)
    return CauseCard(
        degree=str(cause.degree),
        sentence=plain(causes.sentence(cause, backend)),
        unexplained=plain(cause.unexplained or ""),
        otherwise=plain("; or ".join(instead(one, cause.alterations) for one in cause.alternatives if one)),
        seen_in=plain(cause.seen_in),
        fix=plain(cause.fix),
        explains=cause.explains,
        smallest=plain(smallest.smallest) if smallest else "",
        message=plain(smallest.message.partition("\n")[0]) if smallest else "",
        property=smallest.property if smallest else "",
    )


def keys(backends: Sequence[BackendReport]) -> Iterator[str]:
    """A name for each backend by which links find it: its own, shortened, and numbered where others have the same."""
    taken = set[str]()
    for backend in backends:
        name = key = plain(backend.backend, NAME)
        number = 1
        while key in taken:
            number += 1
            key = f"{name} ({number})"
        taken.add(key)
        yield key
