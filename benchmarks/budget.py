"""Work on all cores within a budget of CPU time, in an order that does not depend on how quick anything is."""

from __future__ import annotations

import json
import multiprocessing
import os
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from conformance.selftest.score import prepare

T = TypeVar("T")

#: What a piece of work returns: plain data, with its CPU "seconds".
Line = dict[str, Any]


def add_options(parser: ArgumentParser, results: Path) -> None:
    """The options of a measurement that is recorded and resumed."""
    parser.add_argument("--minutes", type=float, metavar="M", help="of CPU time, over all jobs; no limit if not given")
    parser.add_argument("--seed", type=int, default=0, help="of all choices (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=results, help="the record, which a later run goes on with")


def spent(
    waves: Callable[[], Sequence[T]], work: Callable[[T], Line], jobs: int, minutes: float | None
) -> Iterator[Line]:
    """The lines of all work, in order, until there is no other wave or the CPU time is spent.

    ``waves`` gives the next pieces of work, when all lines of those before have been handed out. So what is done
    depends on the lines alone, not on the number of jobs; the budget decides only where it stops.
    """
    left = float("inf") if minutes is None else 60 * minutes
    # A process for each of many small models: one thread is the quickest.
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(jobs, prepare) as pool:
        while left > 0 and (wave := waves()):
            for line in pool.imap(work, wave):
                yield line
                left -= line["seconds"]
                if left <= 0:
                    return


def record(lines: Iterator[Line], path: Path, commit: str) -> Iterator[Line]:
    """The same lines, each appended to a file before it is handed on."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for line in lines:
            print(json.dumps({**line, "commit": commit}), file=file, flush=True)
            yield line
