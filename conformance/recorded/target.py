"""A recording as a target: ``recorded:FOLDER FILE …``, by which a failure that its report tells is found again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from conformance.backend import Backend
from conformance.errors import UsageError

#: The beginning of a target that is a recording; its folder follows, and the files of answers that are not in it.
RECORDED = "recorded:"


def target_of(paths: Sequence[Path]) -> str:
    """The target of a recording's folder and files of answers: words as a shell has them."""
    return RECORDED + shlex.join(map(str, paths))


def paths_of(target: str) -> list[Path]:
    """The folder and the files that a target names; a folder may also be named as it is, whatever is in its name."""
    named = target.removeprefix(RECORDED)
    if Path(named).is_dir() and named:
        return [Path(named)]
    try:
        words = shlex.split(named)
    except ValueError as error:
        raise UsageError(f"target {target!r}: {error}", "does each quote have its pair?") from None
    if not words:
        raise UsageError(f"target {target!r} names no folder", "such as recorded:calls, which `export` made")
    return [Path(word) for word in words]


def recorded(target: str) -> Backend:
    """The backend of a target that is a recording; ``UsageError`` for one that is none."""
    # Every run asks whether its target is a recording; most are none.
    from conformance.recorded.answers import answers_in  # noqa: PLC0415
    from conformance.recorded.judging import playing  # noqa: PLC0415
    from conformance.recorded.recording import load  # noqa: PLC0415

    folder, *others = paths_of(target)
    recording = load(folder)
    return playing(recording, answers_in(recording, others), target)
