"""A diagnosis in a person's words: a paragraph of a few lines for each cause, and what else was found."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence

from conformance.cases.recipe import parse
from conformance.facts import Cause, Diagnosis, Mismatch
from conformance.properties import catalogue
from conformance.report import english, where
from conformance.report.altered import altered, instead
from conformance.report.model import BackendReport, Verdict
from conformance.spec import Result

#: So many lines a cause takes at most where there are 100 columns; so many of them its sentence.
LINES, _SENTENCE = 12, 5

#: The columns of the words that stand before a line.
_LABEL = 10

#: The columns behind them of the 100, of which the paragraph itself begins two later.
_ROOM = 88

#: The words for what came out right, where a word of ``diagnosis/right.py`` does not speak for itself.
_RIGHT = {
    "forward": "all results of forward calls",
    "without lengths": "all without lengths",
    "without a state": "all without a state",
    "one layer": "all with one layer",
    "one direction": "all with one direction",
    "without a projection": "all without a projection",
}

#: So many of the probes that were not tried are named.
_NAMED = 3


# Sentences


def headline(report: BackendReport) -> str:
    """How many properties fail, and for how many causes."""
    found, failed = _diagnosis(report), len(report.bad)
    left = len(unexplained(report))
    told = "1 property fails" if failed == 1 else f"{failed} properties fail"
    # A place without conditions explains nothing.
    several = sum(bool(cause.alterations or cause.explains) for cause in found.causes)
    causes = english.counted(several, "cause")
    if not several:
        return f"{told}, unexplained"
    if not left:
        return f"{told}, for {causes}"
    return f"{told}: {failed - left} for {causes}, {left} unexplained"


def unexplained(report: BackendReport) -> list[Verdict]:
    """The verdicts that no cause explains."""
    explained = {id for cause in _diagnosis(report).causes for id in cause.explains}
    return [verdict for verdict in report.bad if verdict.property not in explained]


def sentence(cause: Cause, report: BackendReport) -> str:
    """A cause, how sure it is, and how many of the report's failures it explains."""
    failed = report.bad
    explained = [verdict for verdict in failed if verdict.property in cause.explains]
    alone = " by itself" if cause.together > 1 and not explained else ""
    evidence = f"explains {len(explained)} of {english.counted(len(failed), 'failure')}{alone}"
    if cause.tried:
        evidence += f"{_beside(cause)} {cause.explained} of {english.counted(cause.tried, 'fresh case')}"
    if not cause.alterations and not explained:
        evidence = "the conditions are not known"
    shown = [where.located(cause.place, cause.conditions, explained)] if cause.place or cause.conditions else []
    degree = f"{cause.degree.capitalize()}: {evidence}"
    if cause.alterations:
        return ". ".join([altered(cause.alterations), degree, *shown])
    broken = [f"This does not hold: {statement(cause.broken)}"] if cause.broken else []
    return ". ".join([*broken, *shown, degree])


def _beside(cause: Cause) -> str:
    """The causes that explain the fresh cases only together with this one."""
    others = cause.together - 1
    return f", and with {english.counted(others, 'other cause')}" if others else " and"


def statement(id: str) -> str:
    """The statement of a property, and its id."""
    return f"{required(id).rstrip('.')} ({id})"


def required(id: str) -> str:
    """The statement of a property, with its code in single backticks."""
    return catalogue()[id].statement.replace("``", "`")


def in_short(cause: Cause) -> str:
    """A cause in a few words: what is altered, what does not hold, or where it is wrong."""
    if cause.alterations:
        return altered(cause.alterations)
    if cause.broken:
        return f"this does not hold: {statement(cause.broken)}"
    return where.located(cause.place, cause.conditions)


def ended(found: Diagnosis) -> Iterator[str]:
    """What the diagnosis leaves open, and why."""
    if found.untried:
        yield f"{_untried(found.untried)} ({_spent(found)})"
    if found.defect:
        yield f"all else: a defect of lstm-conformance ended the diagnosis; please report it: {found.defect}"


def none_found(found: Diagnosis) -> str:
    """That there is no cause that could be told, where one was looked for."""
    if found.causes or not (found.calls or found.defect):
        return ""
    open = "; ".join(ended(found))
    return f"no common cause was found ({_spent(found)})" + (f"; not tried: {open}" if open else "")


def _untried(names: Sequence[str]) -> str:
    """The probes that were not tried: a few by name, and how many more."""
    several = list(dict.fromkeys(f"“{name}”" if ", " in name else name for name in names))
    if len(several) > _NAMED + 1:
        several = [*several[:_NAMED], f"{len(several) - _NAMED} more probes"]
    return english.enumerated(several)


def _spent(found: Diagnosis) -> str:
    return f"{english.counted(found.calls, 'call')}, {found.seconds:.1f} s of {found.limit:g} s"


# Paragraphs


def paragraph(
    cause: Cause, report: BackendReport, line: Callable[[Verdict], str], width: int, whole: bool = False
) -> str:
    """A cause with its fix, the properties that it explains and the smallest case, of ``LINES`` lines at most.

    ``line`` gives the command that shows a failure again; ``whole`` leaves nothing out, however long that is.
    """
    room = max(40, width - _LABEL)
    explained = [v for v in report.bad if v.property in cause.explains]
    #: Narrow columns do not make a sentence shorter.
    most = max(_SENTENCE, -(-_SENTENCE * _ROOM // room))
    told = _lines(sentence(cause, report), room, None if whole else most)
    others = "; or ".join(instead(one, cause.alterations) for one in cause.alternatives if one)
    before = [
        ("cause", told),
        ("but not", [cause.unexplained] if cause.unexplained else []),
        ("or else", _lines(others, room, None if whole else 1)),
        ("seen in", _lines(cause.seen_in, room, None if whole else 1)),
    ]
    after = [("explains", _ids(cause.explains, room, whole))]
    if explained:
        shortest = smallest(explained)
        message = shortest.message.splitlines()
        shown = [*filter(None, [shortest.smallest]), *(message if whole else message[:1])]
        after.append(
            ("smallest", shown if whole else [_cut(part, room) for each in shown for part in _lines(each, room, 2)])
        )
        if shortest.recipe is not None:
            after.append(("replay", [line(shortest)]))
    taken = sum(len(lines) for _, lines in (*before[1:], *after)) + min(len(told), _SENTENCE)
    fix = ("fix", _code(cause.fix, None if whole else max(1, LINES - taken)))
    parts = [*before, fix, *after]
    labelled = (f"{label if not at else '':<{_LABEL}}{each}" for label, lines in parts for at, each in enumerate(lines))
    return "\n".join(each.rstrip() for each in labelled)


def smallest(explained: Sequence[Verdict]) -> Verdict:
    """The failure whose case is the easiest to read, of one or more."""
    return min(explained, key=_size)


def remarks(found: Diagnosis, width: int) -> list[str]:
    """What came out right, and what was not tried."""
    room = max(40, width - _LABEL)
    # All results of forward calls are each of them.
    words = [name for name in found.right if "forward" not in found.right or name not in Result._fields]
    right = ", ".join(_RIGHT.get(name, name) for name in words)
    parts = [("right", right), *(("not tried", text) for text in ended(found))]
    return [
        textwrap.fill(f"{label:<{_LABEL}}{text}", room + _LABEL, subsequent_indent=" " * _LABEL)
        for label, text in parts
        if text
    ]


def _diagnosis(report: BackendReport) -> Diagnosis:
    return report.diagnosis or Diagnosis()


def _lines(text: str, room: int, most: int | None) -> list[str]:
    """A text in lines; of those beyond ``most`` there is none."""
    if not text:
        return []
    return textwrap.wrap(text, room, max_lines=most, placeholder=" …", break_long_words=False, break_on_hyphens=False)


def _code(text: str, most: int | None) -> list[str]:
    """Lines of code; the last that there is room for says how many more there are."""
    lines = text.splitlines()
    if most is None or len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"{lines[most - 1]}  … and {english.counted(len(lines) - most, 'more line')}"]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 2]} …"


def _ids(ids: Sequence[str], room: int, whole: bool) -> list[str]:
    """Properties in one line, as many as there is room for."""
    if whole:
        return _lines(", ".join(ids), room, None)
    for shown in range(len(ids), 0, -1):
        more = [f"and {len(ids) - shown} more"] if shown < len(ids) else []
        text = ", ".join([*ids[:shown], *more])
        if len(text) <= room:
            return [text]
    return []


def _size(verdict: Verdict) -> tuple[bool, int, int]:
    """What makes a case easy to read: numbers to compare, no calls that must come before, few of them."""
    if verdict.recipe is None:
        return True, 0, 0
    recipe = parse(verdict.recipe)
    numbers = recipe.I * recipe.H * recipe.layers * (1 + recipe.bidirectional) * recipe.L * recipe.N
    return not isinstance(verdict.fact, Mismatch), len(verdict.history), numbers
