"""The text for a person: the run's head, and each failure with its smallest case and the line that replays it."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from conformance.facts import Discarded, Outcome, Scope
from conformance.report import causes, english
from conformance.report.columns import LINE, WIDTH, wrapped
from conformance.report.conclusion import NOT_TO_THE_END, so_far
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.shell import command_line

#: The columns of the words that stand before a line.
_LABEL = 10

#: So many lines of a message are shown: those at its beginning and at its end.
_LINES = 40

#: So many failing cases are told in a paragraph each.
_PARAGRAPHS = 3

#: The outcomes that are neither good nor bad, and how a person is told of them.
_UNDECIDED = {Outcome.NARROWED: "narrowed, not passed", Outcome.NOT_RUN: "not run"}


def head(report: Report, width: int = WIDTH) -> str:
    """What was run, with what, in lines of at most ``width`` columns."""
    versions = [f"{name} {version}" for name, version in report.environment.items() if name != "platform"]
    parts = [
        f"lstm-conformance {report.version}",
        f"seed {report.seed}",
        _plan(report),
        *versions,
    ]
    lines = [""]
    for part in [*parts, report.environment.get("platform", "")]:
        longer = " · ".join(filter(None, [lines[-1], part]))
        lines[-1:] = [longer] if len(longer) <= width else [lines[-1], part]
    return "\n".join(lines)


def _plan(report: Report) -> str:
    """Which cases were asked, in a few words."""
    random = english.counted(report.cases, "random case")
    if report.asked.quick:
        return "quick: part of the fixed set"
    if report.asked.large:
        return f"large sizes: {random}"
    if report.asked.seconds:
        return f"fixed set + random cases, {report.asked.seconds:g} s for each backend"
    return f"fixed set + {random}"


def failures(
    report: Report,
    verbose: bool = False,
    last: bool = False,
    more: str = "--verbose shows each",
    width: int = WIDTH,
) -> str:
    """Every backend's failures: a paragraph for each cause that was found, and for each case that none explains.

    Of the cases three at most are told, unless ``verbose``: then each is, explained or not. ``last`` says that the
    failures are kept, so that ``replay --last`` finds them; ``more`` how the others are seen. The lines about causes
    have ``width`` columns.
    """
    line = _replayed(report, last and not verbose)
    told = (_backend(backend, verbose, line, more, width) for backend in report.backends)
    return "\n\n".join(filter(None, told))


def diagnoses(report: Report, width: int = WIDTH) -> str:
    """A paragraph for each cause of each backend's failures, where one was found, and what else came of the search."""
    line = _replayed(report, last=False)
    told = ([*_causes(backend, False, line, width), *_remarks(backend, width)] for backend in report.backends)
    return "\n\n".join("\n".join(lines) for lines in told if lines)


def _replayed(report: Report, last: bool) -> Callable[[Verdict], str]:
    """The command that shows a failure again, for each; a short one if it was the ``last`` run's."""
    bad = [verdict for backend in report.backends for verdict in backend.bad]
    shared = {id for id, count in Counter(verdict.property for verdict in bad).items() if count > 1}

    def line(verdict: Verdict) -> str:
        return last_line(verdict, named=verdict.property in shared) if last else replay_line(verdict)

    return line


def _causes(backend: BackendReport, whole: bool, line: Callable[[Verdict], str], width: int) -> list[str]:
    """A paragraph for each cause, after how many there are; nothing where none was found."""
    found = backend.diagnosis.causes if backend.diagnosis else ()
    told = [causes.paragraph(cause, backend, line, width - 2, whole) for cause in found]
    head = [wrapped(f"{backend.backend}: {causes.headline(backend)}", "  ", width)] * bool(told)
    return head + [textwrap.indent(each, "  ") for each in told]


def _remarks(backend: BackendReport, width: int) -> list[str]:
    """What else came of a diagnosis: what is right, what was not tried, or that no cause was found."""
    found = backend.diagnosis
    if found is None:
        return []
    if found.causes:
        return [textwrap.indent(each, "  ") for each in causes.remarks(found, width - 2)]
    said = causes.none_found(found)
    return [wrapped(f"{backend.backend}: {said}", "  ", width)] if said else []


def _backend(backend: BackendReport, verbose: bool, line: Callable[[Verdict], str], more: str, width: int) -> str:
    paragraphs, bad = _causes(backend, verbose, line, width), backend.bad
    if paragraphs:
        bad = backend.bad if verbose else causes.unexplained(backend)
        paragraphs += ["  each failure:" if verbose else "  not explained:"] * bool(bad)
    elif bad:
        noun = "property does" if len(bad) == 1 else "properties do"
        paragraphs.append(wrapped(f"{backend.backend}: {len(bad)} {noun} not hold", "  ", width))
    cases = list(_alike(bad) if verbose else _by_case(bad))
    told = cases if verbose else cases[:_PARAGRAPHS]
    paragraphs += [textwrap.indent(explain(same[0], same[1:], line(same[0]), width - 2), "  ") for same in told]
    if left := [v.property for same in cases[len(told) :] for v in same]:
        paragraphs.append(wrapped(f"  and {len(left)} more ({more}): {', '.join(left)}", "    ", width))
    paragraphs += _remarks(backend, width)
    short = bool(backend.diagnosis and backend.diagnosis.causes and not verbose)
    paragraphs += _guards(backend, more if short else "", width)
    follows = _following(backend) if short else ()
    if follows:
        paragraphs.append(wrapped(f"{backend.backend}: {english.following(len(follows))} ({more})", "  ", width))
    paragraphs += [wrapped(f"{backend.backend}: {told}", "  ", width) for told in undecided(backend, follows)]
    return "\n".join(paragraphs)


def undecided(backend: BackendReport, but: Sequence[Verdict] = ()) -> Iterator[str]:
    """What was narrowed, not run, or not judged to the end, once for each reason; all ``but`` some."""
    for outcome in _UNDECIDED:
        reasons: dict[tuple[str, str], list[str]] = {}
        for verdict in backend.verdicts:
            if verdict.outcome == outcome and verdict.fact is not None and verdict not in but:
                meaning = _UNDECIDED[outcome] if not so_far(verdict) else NOT_TO_THE_END
                reasons.setdefault((meaning, english.shared(verdict.fact)), []).append(verdict.property)
        for (meaning, reason), names in reasons.items():
            listed = names if len(names) <= 12 else [*names[:10], f"and {len(names) - 10} more"]
            others = sum(not v.outcome.bad and v.outcome != Outcome.NOT_DECLARED for v in backend.verdicts)
            told = "all others" if len(names) == others else ", ".join(listed)
            yield f"{meaning}: {told} ({reason})"


def _guards(backend: BackendReport, more: str, width: int) -> list[str]:
    """The guards that are missing: a line for each; one for all, and how ``more`` is seen, beside a cause."""
    missing = backend.missing_guards
    if not missing:
        return []
    head = f"{backend.backend}: {english.missing_guards(len(missing))}"
    if more:
        return [wrapped(f"{head} {', '.join(v.property for v in missing)} ({more})", "  ", width)]
    return [
        wrapped(head, "  ", width),
        *(_clipped(f"  {v.property:<27} {v.message.splitlines()[0]}", width) for v in missing),
    ]


def _following(backend: BackendReport) -> Sequence[Verdict]:
    """The verdicts on what was not judged since what it builds on is wrong: they need no telling beside the cause."""
    return [verdict for verdict in backend.verdicts if isinstance(verdict.fact, Discarded)]


def _by_case(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Verdicts on the same case, whichever variant of it they ask for, together."""
    groups: dict[object, list[Verdict]] = {}
    for v in verdicts:
        case = v if v.recipe is None else re.sub(r" turn=\d+", "", v.recipe)
        groups.setdefault((case, v.history), []).append(v)
    yield from groups.values()


def _alike(verdicts: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """Verdicts that show the same thing on the same case, together."""
    groups: dict[object, list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault((v.outcome, v.fact, v.recurrence, v.history, v.recipe), []).append(v)
    yield from groups.values()


def explain(verdict: Verdict, also: Sequence[Verdict] = (), replay: str = "", width: int = LINE) -> str:
    """One verdict: the property's statement, the smallest case, expected against actual, and the line that replays it.

    Others on the same case, ``also``, are named if they show the same, and have a line each if they do not. Where
    cases were right all the same, those of all that show the same are counted. The lines have ``width`` columns, but
    for the last one, which is there to be copied.
    """
    head = f"{verdict.property} ({verdict.outcome}): {causes.required(verdict.property)}"
    parts = [("smallest", verdict.smallest)] if verdict.smallest else []
    parts.append(("result", verdict.message))
    if verdict.worst is not None and verdict.worst > 1e3:
        parts.append(("worst", f"{verdict.worst:.2g} times its bound, among all cases seen"))
    same = [v for v in also if v.message == verdict.message]
    if scopes := [v.scope for v in (verdict, *same) if v.scope]:
        parts.append(("scope", english.scope(_together(scopes))))
    if same:
        parts.append(("also", ", ".join(v.property for v in same)))
    lines = [wrapped(head, "  ", width), *(_labelled(label, text, width) for label, text in parts)]
    for v in (v for v in also if v not in same):
        # What came stands before the call: it tells more, and a long line is cut at its end.
        call = f", on {v.smallest}" if v.smallest != verdict.smallest else ""
        lines.append(_clipped(f"  {'also':<{_LABEL}}{v.property}: {v.message.splitlines()[0]}{call}", width))
    if verdict.recipe is not None:
        lines.append(f"  {'replay':<{_LABEL}}{replay or replay_line(verdict)}")
    return "\n".join(lines)


def _labelled(label: str, text: str, width: int) -> str:
    """A text of one line or several in a column of its own, behind its label."""
    indent = " " * (_LABEL + 2)
    room, lines = max(40, width - len(indent)), text.splitlines()
    if left := max(0, len(lines) - _LINES):
        lines[_LINES // 2 : -_LINES // 2] = [f"… {english.counted(left, 'line')} left out …"]
    lines = [line if len(line) <= room else wrapped(line, "  ", room) for line in lines]
    return textwrap.indent("\n".join(lines), indent).replace(indent, f"  {label:<{_LABEL}}", 1)


def _clipped(text: str, width: int) -> str:
    """The first line of a text, as much of it as fits."""
    first = text.splitlines()[0]
    return first if len(first) <= width else f"{first[: width - 2]} …"


def _together(scopes: Sequence[Scope]) -> Scope:
    """The scope of several properties that end in the same error; some may have met too few to tell where."""
    counts = ((scope.cases, scope.right, scope.wrong) for scope in scopes)
    cases, right, wrong = map(sum, zip(*counts, strict=True))
    told = {scope.wherever for scope in scopes if scope.wherever}
    return Scope(cases, right, wrong, told.pop() if len(told) == 1 else ())


def replay_line(verdict: Verdict) -> str:
    """The command that shows a verdict's case again, quoted for this system's shell."""
    words = ["lstm-conformance", "replay", *verdict.history, verdict.recipe or ""]
    words += ["--backend", verdict.backend, "--only", verdict.property]
    return command_line(words)


def last_line(verdict: Verdict, named: bool = False) -> str:
    """The command that shows a failure of the last run again; with its backend ``named`` where others fail it too."""
    words = ["lstm-conformance", "replay", "--last", verdict.property]
    return command_line([*words, *["--backend", verdict.backend] * named])
