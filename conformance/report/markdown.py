"""The report as Markdown for the summary of a CI job, as GitHub reads it: the answer, the table, and what is wrong.

No text of somebody else's is markup: it stands in code, which is read as it is. GitHub cuts a summary at 1 MiB, so
that each backend has its share of less than that, and what has no room is counted.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from conformance.facts import Cause
from conformance.report import causes, english
from conformance.report.columns import ENDLESS
from conformance.report.conclusion import standing
from conformance.report.model import BackendReport, Report, Verdict
from conformance.report.names import named
from conformance.report.summary import HEADERS, cells, headline, remarks, standings
from conformance.report.text import explain, head, replay_line
from conformance.report.weights import by_file, in_a_line, weights

#: So many bytes it takes at most, and so many of them the table.
MOST, _TABLE = 900_000, 300_000

#: So many bytes the comparison of weights takes at most.
_WEIGHTS = 100_000

#: The bytes kept free for the end of a backend's part.
_ROOM = 300

#: The signs of the words for a backend's standing.
_MARKS = {
    "conformant": "✅",
    "not conformant": "❌",
    "interrupted": "⚠️",
    "quick": "☑️",
    "large sizes": "☑️",
    "unavailable": "➖",
}

#: Words that Markdown has no other reading for.
_WORDS = re.compile(r"[^\W_]([^\W_]|(?<=[^\W_])[_-](?=[^\W_])|[ ,.;()%/→×≥≤≠−–'“”=]|:(?= ))*")


def render(report: Report) -> str:
    """The text of a summary."""
    shown = named(report)
    parts = [_answer(shown), _table(shown), f"{_code(head(shown, ENDLESS))}"]
    parts[1:1] = _weights(shown)
    left = MOST - _size(parts)
    for at, backend in enumerate(shown.backends):
        part = _backend(backend, left // (len(shown.backends) - at))
        left -= _size([part])
        parts.append(part)
    return "\n\n".join(parts)


def _answer(report: Report) -> str:
    """The answer in a line, and whether it is one."""
    answer = standings(report) or "nothing was judged"
    if report.misconverted:
        several = f"; backends: {answer}" if len(report.backends) > 1 else ""
        answer = f"not conformant, the weights are not the trained ones{several}"
    lines = [f"## LSTM conformance: {answer}"]
    if not report.complete:
        begun = f" Not begun: {', '.join(map(_code, report.missing))}." if report.missing else ""
        lines.append(f"⚠️ **Incomplete:** the run did not come to its end.{begun}")
    return "\n\n".join(lines)


def _weights(report: Report) -> Iterator[str]:
    """Of each model's file a line on its weights, and where they are wrong, how."""
    left = _WEIGHTS
    for own in by_file(report.asked.weights):
        block = [f"{'❌' if own.wrong else '✅'} {in_a_line(own, _code)}."]
        if own.wrong:
            block.append(_fenced(weights(own.compared, ENDLESS)))
        left -= _size(block)
        if left < 0:
            yield "**Left out here: what else is known of weights**, so that GitHub shows the rest."
            return
        yield from block


def _table(report: Report) -> str:
    lines = [" | ".join(HEADERS), " | ".join(["---", "---", "---", *["--:"] * (len(HEADERS) - 3)])]
    for at, backend in enumerate(report.backends):
        row = " | ".join(_row(backend))
        if _size([*lines, row]) > _TABLE:
            lines.append(f"and {len(report.backends) - at} more")
            break
        lines.append(row)
    return "\n".join(f"| {line} |" for line in lines)


def _row(backend: BackendReport) -> list[str]:
    word = standing(backend)
    # No code within a cell can have the sign that ends the cell.
    return [_code(backend.backend).replace("|", r"\x7c"), f"{_MARKS[word]} {word}", *cells(backend)]


def _backend(backend: BackendReport, most: int) -> str:
    """What there is to say of a backend, behind a line, in so many bytes at most."""
    opening = f"<details><summary><code>{html.escape(backend.backend)}</code>: {headline(backend)}</summary>"
    end = [f"- {_prose(each)}" for each in remarks(backend)]
    if _size(end) > most // 2:
        end = [f"- {english.counted(len(end), 'remark')} left out, so that GitHub shows the others"]
    blocks, left = [opening], most - _size([opening, *end]) - _ROOM
    found = backend.diagnosis.causes if backend.diagnosis else ()
    failures = causes.unexplained(backend)
    told = chain(
        (_cause(number, cause, backend) for number, cause in enumerate(found, 1)), map(_fenced, map(explain, failures))
    )
    for at, block in enumerate(told):
        left -= _size([block])
        if left < 0:
            rest = len(found) + len(failures) - at
            blocks.append(f"**Left out here: {rest} of {at + rest}**, so that GitHub shows the others.")
            break
        blocks.append(block)
    return "\n\n".join([*blocks, *["\n".join(end)] * bool(end), "</details>"])


def _cause(number: int, cause: Cause, backend: BackendReport) -> str:
    parts = [f"**Cause {number}.** {_prose(causes.sentence(cause, backend))}."]
    if cause.seen_in:
        parts.append(f"Seen in {_prose(cause.seen_in)}.")
    if cause.fix:
        parts.append(_fenced(cause.fix, "python"))
    if (smallest := causes.smallest(cause, backend)) is not None:
        parts.append(f"It explains {', '.join(f'`{id}`' for id in cause.explains)}. The smallest case:")
        parts.append(_fenced(_smallest(smallest)))
    return "\n\n".join(parts)


def _smallest(verdict: Verdict) -> str:
    shown = [verdict.smallest] * bool(verdict.smallest)
    return "\n".join([*shown, verdict.message, *([replay_line(verdict)] if verdict.recipe else [])])


def _prose(text: str) -> str:
    """A text as it is if Markdown has no other reading for it, as code otherwise."""
    return text if _WORDS.fullmatch(text) and "www." not in text.lower() else _code(text)


def _code(text: str) -> str:
    """A text of one line as code: behind more backticks than it has in a row."""
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " * bool(text.startswith("`") or text.endswith("`"))
    return f"{ticks}{room}{text}{room}{ticks}"


def _fenced(text: str, language: str = "text") -> str:
    """A text of several lines as code."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _size(parts: Sequence[str]) -> int:
    return sum(len(part.encode()) + 2 for part in parts)
