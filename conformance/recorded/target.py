"""A recording as a target: ``recorded:FOLDER``, by which a failure that its report tells is found again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from conformance.backend import Backend

#: The beginning of a target that is a recording; its folder follows, and the files of answers that are not in it.
RECORDED = "recorded:"


def target_of(paths: Sequence[Path]) -> str:
    """The target of a recording's folder and files of answers."""
    return RECORDED + os.pathsep.join(map(str, paths))


def recorded(target: str) -> Backend:
    """The backend of a target that is a recording; ``UsageError`` for one that is none."""
    # Every run asks whether its target is a recording; most are none.
    from conformance.recorded.answers import answers_in  # noqa: PLC0415
    from conformance.recorded.judging import playing  # noqa: PLC0415
    from conformance.recorded.recording import load  # noqa: PLC0415

    folder, *others = map(Path, target.removeprefix(RECORDED).split(os.pathsep))
    recording = load(folder)
    return playing(recording, answers_in(recording, others), target)
