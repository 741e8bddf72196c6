"""The columns that text takes where no terminal says how many there are, such as in a file."""

from __future__ import annotations

import textwrap

#: Those of tables and paragraphs.
WIDTH = 100

#: Those of a text that is not wrapped.
ENDLESS = 10**6

#: Those of single lines that are cut at their end: a failure's, an array's, a sign of progress.
LINE = 118


def wrapped(text: str, indent: str, width: int) -> str:
    """A text in lines of ``width`` columns, of which all but the first are indented. No word or name is divided."""
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
