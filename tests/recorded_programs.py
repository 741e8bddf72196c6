"""Programs that answer recordings: what tests of the examples share."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from conformance.backend import Capabilities
from conformance.engine.plan import Settings
from conformance.recorded.answers import answers_in
from conformance.recorded.asking import asked
from conformance.recorded.judging import Judged, judge_recording
from conformance.recorded.recording import WIRE, save

SETTINGS = Settings(0, only=("layout", "values.output", "values.c_n", "state"))


def answers_of(command: Sequence[str], folder: Path, capabilities: Capabilities) -> Judged:
    """What becomes of a recording that a program has answered, from a file to a file."""
    recording = save(folder / "calls", asked(capabilities, SETTINGS), capabilities, SETTINGS, WIRE)
    requests, responses = (folder / f"calls/calls{end}" for end in (".requests", ".responses"))
    with requests.open("rb") as incoming, responses.open("wb") as outgoing:
        subprocess.run(command, stdin=incoming, stdout=outgoing, check=True)
    judged = judge_recording(recording, answers_in(recording), command[0])
    assert not judged.missing
    return judged
