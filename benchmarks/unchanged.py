"""Does a change of the suite change what it says? ``python -m benchmarks.unchanged record FILE``, ``compare OLD NEW``.

For a change that must not, such as one that makes the suite faster. ``record`` judges some built-in backends, and every
n-th catalogued fault in a quick run. It writes down to the last bit what was judged: each answer of each property on
each recipe, with its margin; each comparison with the oracle, with its expected values and bounds, as a hash; each
verdict with its smallest recipe; and the number of calls. ``compare`` says what differs between two such files, made
before and after. Dropout, and what libraries round by where an array lies in memory, differ between two runs of one
version too.

Shrinking is limited in runs here and not in seconds, so that a busy machine changes nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.overhead import Clock, clocked
from conformance.backend import Backend
from conformance.bounds import forward
from conformance.cases.recipe import Recipe
from conformance.engine import failures, search
from conformance.engine.judging import Answer, Here, Inquiry
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.faults import FAULTS, backend_of
from conformance.faults.fault import MEMORY, THREADS
from conformance.targets.find import find

#: What the record of one backend consists of.
Record = dict[str, Any]

#: Their answers depend on chance or on this machine.
_UNSTEADY = (THREADS, MEMORY)


class Recording(Here):
    """The judge of a backend in this process, which writes down what it answers."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.answers: dict[str, list[Any]] = {}

    def ask(
        self, recipe: Recipe, inquiries: Sequence[Inquiry], stop: bool = False, brief: bool = False
    ) -> Iterator[tuple[Inquiry, Answer]]:
        """The answers, as they are."""
        for inquiry, answer in super().ask(recipe, inquiries, stop, brief):
            key = f"{inquiry.property.id} {replace(recipe, turn=inquiry.turn)}"
            told = [str(answer.outcome), repr(answer.fact), *map(_bits, (answer.margin, answer.error, answer.share))]
            self.answers[key] = [*told, answer.smallest, answer.judged]
            yield inquiry, answer


def _bits(number: float | None) -> str:
    return "" if number is None else float(number).hex()


def record(backend: Backend, settings: Settings) -> Record:
    """What is said of one backend."""
    clock, compared = Clock(), set[str]()
    made = forward.Finding.__init__

    def noted(finding: forward.Finding, *given: Any) -> None:
        made(finding, *given)
        told = hashlib.blake2b(repr(finding.place()).encode(), digest_size=8)
        for part in (finding.actual, finding.expected, finding.bound):
            told.update(repr(part.shape).encode())
            told.update(np.ascontiguousarray(part).tobytes())
        compared.add(told.hexdigest())

    judge = Recording(clocked(backend, clock))
    forward.Finding.__init__ = noted  # type: ignore[method-assign]
    try:
        report = conform(judge, settings)
    finally:
        forward.Finding.__init__ = made  # type: ignore[method-assign]
    verdicts = {
        v.property: [str(v.outcome), repr(v.fact), _bits(v.margin), v.cases, v.recipe, v.smallest, repr(v.history)]
        for v in report.verdicts
    }
    return {
        "verdicts": verdicts,
        "answers": judge.answers,
        "compared": sorted(compared),
        "calls": clock.calls,
        "cases": report.cases,
    }


def differences(old: Record, new: Record) -> Iterator[str]:
    """What differs between two records of one backend, a line each."""
    for part in ("calls", "cases"):
        if old[part] != new[part]:
            yield f"{part}: {old[part]} -> {new[part]}"
    for part in ("verdicts", "answers"):
        for key in sorted({*old[part], *new[part]}):
            before, after = old[part].get(key), new[part].get(key)
            if before != after:
                yield f"{part}: {key}: {before} -> {after}"
    lost, found = {*old["compared"]} - {*new["compared"]}, {*new["compared"]} - {*old["compared"]}
    if lost or found:
        yield f"comparisons with the oracle: {len(lost)} are gone, {len(found)} are new, of {len(old['compared'])}"


def main() -> None:
    """Write a record, or compare two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    recorded = commands.add_parser("record")
    recorded.add_argument("file", type=Path)
    recorded.add_argument("--backends", nargs="*", default=["numpy", "torch-nn", "torch-cell"])
    recorded.add_argument("--cases", type=int, default=100, help="random cases of a backend; a fault gets a quick run")
    recorded.add_argument("--every", type=int, default=9, metavar="N", help="every N-th fault; 0 for none")
    compared = commands.add_parser("compare")
    compared.add_argument("old", type=Path)
    compared.add_argument("new", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        old, new = (json.loads(file.read_text("utf-8")) for file in (options.old, options.new))
        lines = [f"{name}: {line}" for name in {**old, **new} for line in differences(old[name], new[name])]
        print("\n".join(lines) or f"nothing differs in {len(old)} backends")
        sys.exit(bool(lines))
    failures._PATIENCE_SECONDS = failures._PATIENCE_TOTAL = failures._PATIENCE_STOPPING = 1e9
    failures._PATIENCE_EDITS, search.PATIENCE_RUNS = 8, 12
    chosen = [fault for fault in FAULTS.values() if fault.kind not in _UNSTEADY][:: options.every or len(FAULTS) + 1]
    runs = [(find(name), Settings(options.cases)) for name in options.backends]
    runs += [(backend_of(fault), Settings(quick=True)) for fault in chosen]
    told = {}
    for backend, settings in runs:
        told[backend.name] = record(backend, settings)
        print(round(time.process_time(), 1), backend.name, told[backend.name]["calls"], "calls", flush=True)
    options.file.write_text(json.dumps(told), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
