"""One recorded call in a person's words: can rounding explain it, how far is it off, from where on, and why?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from conformance.facts import Cause, Difference, Mismatch, apart
from conformance.report import where
from conformance.report.altered import altered, instead
from conformance.report.columns import WIDTH, wrapped
from conformance.report.english import counted, enumerated

#: The columns of the words that stand before a line.
_LABEL = 10


def answer(name: str, told: Difference, causes: Sequence[Cause] = (), width: int = WIDTH) -> str:
    """The answer about a call that was recorded in the file ``name``; a cause is said to be as sure as it is."""
    lines = [("rounding", _rounding(told))]
    if not told.explained:
        lines += [("where", _where(told))]
        for cause in causes:
            lines += _cause(cause)
    indent = " " * (_LABEL + 2)
    shown = [wrapped(f"{name}: {told.call}", "  ", width)]
    for label, text in lines:
        # Code stands as it is.
        told_in = text if label == "fix" else wrapped(text, "  ", max(40, width - len(indent)))
        block = told_in.replace("\n", f"\n{indent}")
        shown.append(f"  {label:<{_LABEL}}{block}")
    return "\n".join(shown)


def calls_judged(calls: int, wrong: int, silent: int, shown: int) -> str:
    """How many of several calls rounding can explain; nothing is known of the ``silent`` ones."""
    told = f"rounding explains {calls - wrong - silent} of {counted(calls, 'call')}"
    told += f", and nothing is known of {silent}" if silent else ""
    left = (wrong or calls) - shown
    return f"\n{told}" + (f"; {left} more {'is' if left == 1 else 'are'} shown by --verbose" if left > 0 else "")


def _rounding(told: Difference) -> str:
    if told.silent:
        return "nothing is known: its numbers are beyond the range of the dtype, or are not finite"
    if told.explained:
        return f"explains it: the largest error is {told.margin:.2g} of its bound, at {_at(told.worst)}"
    times = "infinitely many" if told.margin == float("inf") else f"{told.margin:.2g}"
    beyond = f"{times} times its bound of {told.worst.bound:.1e}"
    if math.isnan(told.worst.expected):
        return f"cannot explain it: {_at(told.worst)} is {told.worst.actual:g}, and a NaN that was given leads there"
    expected, actual = apart(told.worst.expected, told.worst.actual)
    return f"cannot explain it: {_at(told.worst)} is {actual}, expected {expected}: {beyond}"


def _at(worst: Mismatch) -> str:
    return f"{worst.tensor}{list(worst.index)}"


def _where(told: Difference) -> str:
    parts = [f"{wrong} of {of} elements of {part}" for part, (wrong, of) in told.wrong.items() if wrong]
    right = [part for part, (wrong, _) in told.wrong.items() if not wrong]
    text = f"{enumerated(parts)} {'is' if sum(w for w, _ in told.wrong.values()) == 1 else 'are'} beyond their bounds"
    if right:
        text += f", and {enumerated(right)} {'is' if len(right) == 1 else 'are'} right"
    if told.first is not None:
        direction = " of the reverse direction, as it reads," if told.first.direction else ""
        text += f"; first at step {told.first.step}{direction} of row {told.first.row}"
    return text


def _cause(cause: Cause) -> Iterator[tuple[str, str]]:
    if not cause.alterations:
        yield str(cause.degree), where.located(cause.place, cause.conditions)
        return
    together = f" together with {cause.together - 1} other" if cause.together > 1 else ""
    told = f"{altered(cause.alterations)}. It gives these very results{together}"
    if cause.tried:
        told += f", and {cause.explained} of {cause.tried} other calls"
    yield str(cause.degree), told
    for others in cause.alternatives:
        yield "or", instead(others, cause.alterations)
    if cause.seen_in:
        yield "seen in", cause.seen_in
    if cause.fix:
        yield "fix", cause.fix
