"""Colours for a terminal. A renderer is given one of the functions here; it marks text as good or bad and no more."""

from __future__ import annotations

import re
from collections.abc import Callable

from wcwidth import width

#: Marks a text as good (True), bad (False) or neither (None).
Paint = Callable[[str, bool | None], str]

_CODES = {True: "32", False: "31"}

#: The marks that ``painted`` makes.
MARKS = re.compile(r"(\033\[(?:31|32|0)m)")


def unpainted(text: str, good: bool | None) -> str:
    """Text for a file, a pipe, or somebody who wants no colours."""
    return text


def painted(text: str, good: bool | None) -> str:
    """Text for a terminal: good is green, bad is red."""
    return text if good is None else f"\033[{_CODES[good]}m{text}\033[0m"


def visible(text: str) -> int:
    """How many columns of a terminal a line takes; marks of colour take none, and some characters two."""
    return width(text)
