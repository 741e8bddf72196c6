"""Commands that a person can copy: quoted for the shell of this system."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

#: No shell of Windows reads these in another way.
_HARMLESS = re.compile(r"[\w./:\\-]+")


def command_line(words: Iterable[str]) -> str:
    """Words as one line: for cmd.exe and PowerShell on Windows, for a POSIX shell elsewhere."""
    return " ".join(map(_double_quoted, words)) if os.name == "nt" else shlex.join(words)


def _double_quoted(word: str) -> str:
    """A word as Windows programs read it: backslashes count as such, except before a quote."""
    if _HARMLESS.fullmatch(word):
        return word
    return '"' + re.sub(r'(\\*)($|")', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), word) + '"'
