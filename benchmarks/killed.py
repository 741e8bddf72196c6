"""Does a killed run lose anything? ``python -m benchmarks.killed``.

Runs of the command line, of a right backend, a wrong one, two at once and a program, each in processes of their own,
are killed at random moments with SIGKILL. What each leaves must be a report that says it is incomplete, with every
failure that stood in the log and every target that was finished; and ``run --resume`` must end with the verdicts of a
run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from conformance.report.data import from_json
from conformance.report.model import Report

_FILE = """
from conformance import Capabilities, backend
from conformance.targets.find import find

def _of(name, shift):
    @backend(name, Capabilities(layers=True, gradients=True))
    def build(config, params):
        right = find("numpy").build(config, params)
        def forward(x, state=None):
            output, (h_n, c_n) = right(x, state)
            return output, (h_n, c_n + shift * (config.num_layers > 1))
        forward.vjp = right.vjp
        return forward
    return build

right, wrong = _of("right", 0.0), _of("wrong", 1e-3)
"""

#: The targets of each kind of run.
_RUNS = {
    "a right backend": ["mine.py:right"],
    "a wrong backend": ["mine.py:wrong"],
    "two at once": ["mine.py:wrong", "numpy"],
    "a program": [f"exec:{sys.executable} -m conformance serve mine.py:wrong"],
}

_PROPERTIES = ["smoke", "values.output", "values.c_n", "values.h_n", "state.carry", "purity.repeat", "gradients.input"]
_OPTIONS = ["--cases", "5", "--diagnose", "1", "--jobs", "2", "--only", *_PROPERTIES]


def _command(folder: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    path = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))
    kept = str(folder / "examples")
    return [sys.executable, "-m", "conformance", *words], {
        **os.environ,
        "PYTHONPATH": path,
        "HYPOTHESIS_STORAGE_DIRECTORY": kept,
    }


def _run(folder: Path, log: Path, *words: str, until: float | None = None) -> int:
    """Run a command, and kill it after some seconds; its exit code."""
    line, environment = _command(folder, *words)
    with log.open("w") as stream:
        process = subprocess.Popen(line, cwd=folder, env=environment, stdout=stream, stderr=stream)
        try:
            return process.wait(until)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            return process.wait()


def _read(folder: Path) -> Report:
    return from_json(json.loads((folder / "report.json").read_text()))


def once(targets: list[str], moment: float, whole: Report) -> dict[str, object]:
    """Kill a run at a moment and resume it: what was found of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "mine.py").write_text(_FILE)
        code = _run(folder, folder / "log", "run", *targets, *_OPTIONS, "--json", "report.json", until=moment)
        log = (folder / "log").read_text()
        told = re.findall(r" s: (.+): (\w+\.[\w-]+) fails: ", log)
        ended = re.findall(r" s: (?:not )?conformant: .*", log)
        row: dict[str, object] = {"moment": moment, "killed": code == -signal.SIGKILL, "told": len(told)}
        if not (folder / "report.json").exists():
            # It was killed while the command itself was loading: nothing can have been told.
            return row | {"lost": len(told) + len(ended), "resumed": "no file yet", "same": not told}
        cut = _read(folder)
        failed = {(verdict.backend, verdict.property) for verdict in cut.verdicts if verdict.outcome.bad}
        lost = sum(each not in failed for each in told)
        done = sum(backend.complete for backend in cut.backends)
        # Killed after its last word, it is complete.
        honest = cut.verdicts == whole.verdicts if cut.complete else code not in (0, 1)
        again = _run(folder, folder / "log", "run", "--resume", "report.json")
        went_on = "goes on from" in (folder / "log").read_text()
        final = _read(folder)
        same = final.verdicts == whole.verdicts
        left = [path.name for path in folder.iterdir() if path.name.startswith("report.json.")]
        return row | {
            "lost": lost + max(0, len(ended) - done),
            "honest": honest,
            "resumed": "went on" if went_on else "anew" if again in (0, 1) else f"exit {again}",
            "same": same and final.complete and not left,
        }


def main() -> int:
    """Kill runs, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="so many for each kind of run (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the moments (%(default)s)")
    parser.add_argument("--only", choices=_RUNS, help="one kind of run")
    options = parser.parse_args()
    rng, rows = random.Random(options.seed), []
    for kind in [options.only] if options.only else _RUNS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "mine.py").write_text(_FILE)
            began = time.monotonic()
            _run(folder, folder / "log", "run", *_RUNS[kind], *_OPTIONS, "--json", "report.json")
            seconds, whole = time.monotonic() - began, _read(folder)
        for _ in range(options.kills):
            rows.append({"run": kind, **once(_RUNS[kind], rng.uniform(0, seconds), whole)})
            print(*rows[-1].values(), sep="  ", file=sys.stderr, flush=True)
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    bad = [row for row in rows if row["lost"] or not row["same"] or row.get("honest") is False]
    killed = sum(bool(row["killed"]) for row in rows)
    told = sum(int(str(row["told"])) for row in rows)
    print(f"{killed} of {len(rows)} killed, {told} failures told before; {len(bad)} lost something or ended otherwise")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
