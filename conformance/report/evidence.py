"""The call that failed, for a person: the arrays that it was given, and its results beside the oracle's."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np

from conformance.facts import Compared, Evidence, Tensor, apart, first_and_worst
from conformance.report.columns import LINE, wrapped
from conformance.spec import numpy_dtype

_NAME = 22


def arrays(given: Sequence[Tensor]) -> str:
    """The arrays of a call: each that is not zero, with its numbers or its shape, and the names of those that are."""
    full = [tensor for tensor in given if tensor.nonzero]
    lines = [f"{tensor.name:<{_NAME}}{_numbers(tensor)}" for tensor in full if tensor.values is not None]
    shapes = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in full if tensor.values is None)
    zeros = ", ".join(tensor.name for tensor in given if not tensor.nonzero)
    return "\n".join([*lines, *_named("shapes", shapes), *_named("zero", zeros)])


def evidence(shown: Evidence, call: str = "", given: Sequence[Tensor] = ()) -> str:
    """What shows a failure: its call, unless that is the one with these arrays, its results, and the traceback."""
    told = []
    if shown.call != call or shown.given != tuple(given):
        told += [f"the call that failed: {shown.call}", textwrap.indent(arrays(shown.given), "  ")]
    if shown.compared:
        told.append(_comparison(shown.compared))
    if shown.traceback:
        told.append(shown.traceback)
    return "\n".join(told)


def _comparison(compared: Sequence[Compared]) -> str:
    """Expected beside got, element by element; the first wrong one of each tensor is marked."""
    rows = [row for one in compared for row in _rows(one)]
    first, second = (max(len(row[k]) for row in rows) for k in (1, 2))
    heads = "", "expected", "got", ""
    widths = _NAME, max(first, 8), max(second, 8)
    return "\n".join(
        f"{row[0]:<{widths[0]}}{row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in (heads, *rows)
    )


def _rows(one: Compared) -> Iterator[tuple[str, str, str, str]]:
    marked = False
    shown = [one.elements[k] for k in first_and_worst([element.share for element in one.elements])]
    for element in shown:
        mark = ""
        if element.wrong:
            mark = (
                "wrong" if marked else "<- wrong" if one.wrong == 1 else f"<- the first of {one.wrong} that are wrong"
            )
            marked = True
        yield f"{one.tensor}{list(element.index)}", *apart(element.expected, element.actual), mark
    if left := one.count - len(shown):
        yield f"{one.tensor}: {left} more", "", "", ""


def _numbers(tensor: Tensor) -> str:
    value = np.array(tensor.values, numpy_dtype(tensor.dtype)).reshape(tensor.shape)
    text = np.array2string(value, separator=", ", floatmode="unique", max_line_width=10**6)
    return " ".join(text.split())


def _named(head: str, names: str) -> list[str]:
    text = f"{head:<{_NAME}}{names}"
    return [wrapped(text, " " * _NAME, LINE)] if names else []
