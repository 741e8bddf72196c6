"""The columns that text takes where no terminal says how many there are, such as in a file."""

from __future__ import annotations

#: Those of tables and paragraphs.
WIDTH = 100

#: Those of a text that is not wrapped.
ENDLESS = 10**6

#: Those of single lines that are cut at their end: a failure's, an array's, a sign of progress.
LINE = 118
