"""Models' files compared with trained weights, and their values judged, all in one process: for ``benchmarks.routes``.

``python -m benchmarks.routes_judge TASKS.json RESULTS.json`` runs in the environment that has the runtimes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Outcome
from conformance.report.records import encode
from conformance.targets import exported

_SETTINGS = Settings(0, only=("values.output",), quick=True, shrink=False)


def judge(file: str, weights: str, place: str) -> dict[str, Any]:
    """How the weights of a file compare, and whether some LSTM of it gives wrong values in some runtime."""
    targets, compared = exported.expand(file, weights, place)
    wrong = False
    for target in targets:
        named = exported.parse(target, installed=not place)
        assert named is not None
        verdicts = conform(exported.load(named, place), _SETTINGS).verdicts
        wrong |= any(verdict.outcome == Outcome.FAILED for verdict in verdicts)
    return {"compared": [encode(each) for each in compared], "wrong values": wrong}


def main() -> None:
    """Judge the files of TASKS: names of files of weights, by those of models' files; and the reader's place."""
    tasks = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    told = {file: judge(file, weights, tasks["place"]) for file, weights in tasks["files"].items()}
    Path(sys.argv[2]).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
