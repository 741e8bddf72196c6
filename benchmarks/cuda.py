"""The CUDA backends judged on a GPU, into ``results/``: ``python -m benchmarks.cuda``, resumable.

Judges each backend on seeds nobody used before, in chunks of ``--cases`` random cases on top of the fixed set; with
``--large``, on large cases about the sizes at which kernels change instead (``cuda_sizes.py``). Each chunk has a child
process of its own, so that a kernel that crashes or hangs is a verdict. A line of JSON is appended for each chunk and
each large case; what is there is not run again. After ``--minutes`` everything is stopped, and what had been judged by
then is kept. Prints the totals of the whole file and writes them beside it, as a page.

Needs no installation: in a clone, with the packages of ``pip install -e '.[torch]'`` somewhere. Exit codes: 0 all done
and nothing wrong, 1 something is wrong, 3 something remains to be done, or no backend is available.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import cuda_sizes
from benchmarks.cuda_page import page, summary
from benchmarks.false_alarms import commit, recorded
from conformance.backend import Capabilities
from conformance.cases.recipe import Recipe, parse
from conformance.drivers.run import environment
from conformance.engine.judging import Inquiry, Judge
from conformance.engine.news import counting
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.errors import Ended, SuiteError, UsageError
from conformance.facts import Outcome
from conformance.isolation.parent import Isolated
from conformance.processes.keeper import end_children
from conformance.processes.supervisor import Limits
from conformance.report import english
from conformance.report.conclusion import interruption
from conformance.report.records import encode
from implementations.cuda import ONE_SIZE, WORKSPACE, device

RESULTS = Path("results/cuda.jsonl")

#: Where a clone has the backends, installed or not.
TARGETS = {
    "torch-nn-cuda": "implementations.torch_nn:torch_nn_cuda",
    "torch-nn-cuda-native": "implementations.torch_nn:torch_nn_cuda_native",
    "torch-nn-cuda-tf32": "implementations.torch_nn:torch_nn_cuda_tf32",
    "torch-cell-cuda": "implementations.torch_cell:torch_cell_cuda",
    "triton": "implementations/triton_lstm/triton_lstm.py:triton",
}

#: Seeds below are for development and for other measurements.
FIRST_SEED = 20_000

#: Large cases of one child: starting one takes seconds.
_TOGETHER = 8

#: Seconds after the last minute that a case at work is waited for.
_GRACE = 10.0

_RANDOM = Limits(seconds=120.0, memory=16.0)
_LARGE = Limits(seconds=300.0, memory=32.0)


@dataclass(frozen=True)
class Chunk:
    """What one child judges: a seed, or some large cases."""

    backend: str
    seed: int = 0
    cases: int = 0
    large: tuple[str, ...] = ()


def key(line: dict[str, Any]) -> tuple[object, ...]:
    """What a line is about; another line of it replaces it."""
    return (line["backend"], line.get("recipe") or (line["seed"], line["random_cases"]))


def latest(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each thing judged: the last complete one, else the last."""
    found: dict[tuple[object, ...], dict[str, Any]] = {}
    for line in lines:
        if not line["interrupted"] or found.get(key(line), line)["interrupted"]:
            found[key(line)] = line
    return list(found.values())


def chunks(
    backends: Mapping[str, Capabilities], options: argparse.Namespace, done: set[tuple[object, ...]]
) -> list[Chunk]:
    """What is still to be judged, all backends in turn."""
    if not options.large:
        seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
        wanted = [Chunk(name, seed, options.cases) for seed in seeds for name in backends]
        return [chunk for chunk in wanted if (chunk.backend, (chunk.seed, chunk.cases)) not in done]
    left = {
        name: [text for r in cuda_sizes.recipes() if cuda_sizes.declared(r, c) and (name, text := str(r)) not in done]
        for name, c in backends.items()
    }
    most = max(map(len, left.values()), default=0)
    starts = [(name, start) for start in range(0, most, _TOGETHER) for name in backends if start < len(left[name])]
    return [Chunk(name, large=tuple(left[name][start : start + _TOGETHER])) for name, start in starts]


@dataclass
class Measurement:
    """A run: what its threads share."""

    results: Path
    #: When it is to stop, by ``time.monotonic()``.
    deadline: float
    #: What every line says of where and with what it was measured.
    provenance: dict[str, Any]
    judges: set[Judge] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False
    #: Chunks finished, and the seconds that the longest of each backend took.
    finished: int = 0
    longest: dict[str, float] = field(default_factory=dict)

    def late(self) -> bool:
        """Whether it is over."""
        return self.stopped or time.monotonic() > self.deadline

    def judge(self, chunk: Chunk) -> None:
        """Judge a chunk and record it, unless it would hardly come to its end."""
        began = time.monotonic()
        if self.late():
            return
        # Large cases are recorded one by one: those that come to their end are worth it.
        if self.finished and not chunk.large and began + self.longest.get(chunk.backend, 0.0) > self.deadline:
            return
        try:
            with self.holding(chunk) as judge:
                for line in self.lines(judge, chunk):
                    self.record(chunk, line | {"note": judge.backend.remark()})
        except (Ended, SuiteError, UsageError) as error:
            if self.stopped:
                return
            print(f"{chunk.backend}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return
        except KeyboardInterrupt:
            return
        with self.lock:
            self.finished += not self.late()
            self.longest[chunk.backend] = max(self.longest.get(chunk.backend, 0.0), time.monotonic() - began)

    @contextmanager
    def holding(self, chunk: Chunk) -> Iterator[Judge]:
        """The judge of a chunk's backend, in a child process that ends with it."""
        judge = Isolated(TARGETS.get(chunk.backend, chunk.backend), _LARGE if chunk.large else _RANDOM)
        with self.lock:
            self.judges.add(judge)
        try:
            yield judge
        finally:
            with self.lock:
                self.judges.discard(judge)
            judge.close()

    def lines(self, judge: Judge, chunk: Chunk) -> Iterator[dict[str, Any]]:
        """What is recorded of a chunk: one line, or one for each of its large cases."""
        if not chunk.large:
            yield self.random(judge, chunk)
            return
        for text in chunk.large:
            recipe = parse(text)
            if self.late():
                return
            yield large(judge, recipe)

    def random(self, judge: Judge, chunk: Chunk) -> dict[str, Any]:
        """The report of a seed, as one line; what was judged until then if there is no more time."""

        def progress(done: int, total: int) -> None:
            if done < total and self.late():
                raise KeyboardInterrupt

        report = conform(judge, Settings(chunk.cases, chunk.seed), counting(progress))
        undecided = [v for v in report.verdicts if v.outcome in (Outcome.NARROWED, Outcome.NOT_RUN)]
        return {
            "seed": chunk.seed,
            "random_cases": chunk.cases,
            "cases": report.cases,
            "judgements": sum(verdict.cases for verdict in report.verdicts),
            "declared": report.declared,
            "passed": report.count(Outcome.PASSED),
            "margin": report.margin,
            "seconds": round(report.seconds, 1),
            "interrupted": interruption(report),
            "undecided": {} if report.interrupted else {v.property: f"{v.outcome}: {v.message}" for v in undecided},
            "alarms": [finite({**encode(verdict), "message": verdict.message}) for verdict in report.bad],
        }

    def record(self, chunk: Chunk, line: dict[str, Any]) -> None:
        """Append a line to the results."""
        whole = {"backend": chunk.backend, **line, **self.provenance}
        alarms = f", {len(line['alarms'])} ALARMS" if line["alarms"] else ""
        what = line.get("recipe") or f"seed {line['seed']}"
        with self.lock:
            with self.results.open("a", encoding="utf-8") as file:
                print(json.dumps(whole, allow_nan=False), file=file, flush=True)
            how = line["interrupted"] or f"{line['seconds']} s"
            print(f"{chunk.backend}  {what}: {line['cases']} cases, {how}{alarms}", flush=True)

    def run(self, wanted: Sequence[Chunk], jobs: int) -> None:
        """Judge chunks, ``jobs`` at a time, until they are done or the time is over."""
        with ThreadPoolExecutor(jobs) as pool:
            running = [pool.submit(self.judge, chunk) for chunk in wanted]
            try:
                while wait(running, timeout=0.5).not_done and time.monotonic() < self.deadline + _GRACE:
                    continue
            except KeyboardInterrupt:
                print("interrupted: what was judged is kept", file=sys.stderr, flush=True)
            self.stopped = True
            with self.lock:
                for judge in self.judges:
                    judge.close()
            end_children()
        for future in running:
            future.result()


def large(judge: Judge, recipe: Recipe) -> dict[str, Any]:
    """One large case, by the properties that see its size."""
    began = time.monotonic()
    inquiries = [Inquiry(p) for p in cuda_sizes.asked(recipe, judge.backend)]
    answers = [(inquiry.property, answer) for inquiry, answer in judge.ask(recipe, inquiries)]
    said = [(p, answer) for p, answer in answers if answer.outcome is not None]
    return {
        "recipe": str(recipe),
        "cases": 1,
        "judgements": len(said),
        "margin": max((answer.margin for _, answer in said if answer.margin is not None), default=None),
        "seconds": round(time.monotonic() - began, 1),
        "interrupted": "",
        "undecided": {
            p.id: f"{answer.outcome}: {english.sentence(answer.fact)}"
            for p, answer in said
            if answer.outcome == Outcome.NARROWED and answer.fact is not None
        },
        "alarms": [
            finite(
                {"property": p.id, "recipe": str(recipe), **encode(answer), "message": english.sentence(answer.fact)}
            )
            for p, answer in said
            if answer.wrong and answer.fact is not None
        ],
    }


def finite(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as JSON can hold them: an infinite error is None."""
    return {name: None if value in (float("inf"), -float("inf")) else value for name, value in fields.items()}


def available(names: Sequence[str]) -> dict[str, Capabilities]:
    """What those declare that can run here; the others' reasons are printed."""
    found = {}
    for name in names:
        try:
            judge = Isolated(TARGETS.get(name, name), _RANDOM)
        except (Ended, UsageError, SuiteError) as error:
            reason = str(error)
        else:
            reason = judge.backend.available()
            judge.close()
            found[name] = judge.backend.capabilities
        if reason:
            print(f"{name}  unavailable: {reason}", file=sys.stderr, flush=True)
            found.pop(name, None)
    return found


def version(given: str) -> str:
    """The commit that is judged: as git says, or as given where there is no git."""
    try:
        return given or commit()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backends", nargs="*", help=f"names or targets; {', '.join(TARGETS)} if none")
    parser.add_argument("--seeds", type=int, default=22, help="how many seeds (%(default)s)")
    parser.add_argument("--cases", type=int, default=400, help="random cases for each seed (%(default)s)")
    parser.add_argument("--large", action="store_true", help="large cases instead of random ones")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many, keeping everything")
    parser.add_argument("--jobs", type=int, default=0, help="children at a time (the cores; half of them if large)")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--commit", default="", help="what is judged, where git cannot say")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Judge what is missing, print the totals."""
    started = time.monotonic()
    options = arguments(given)
    cores = os.cpu_count() or 1
    jobs = options.jobs or (max(1, cores // 2) if options.large else cores)
    # The children's: large cases leave most of the time to the oracle's matrix products.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // jobs)) if options.large else "1")
    os.environ.setdefault(WORKSPACE, ONE_SIZE[0])
    backends = available(options.backends or list(TARGETS))
    done = {key(line) for line in recorded(options.results) if not line["interrupted"]}
    wanted = chunks(backends, options, done)
    provenance = {
        **device(),
        **environment("torch"),
        WORKSPACE: os.environ[WORKSPACE],
        "jobs": jobs,
        "commit": version(options.commit),
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    measurement = Measurement(options.results, started + 60 * options.minutes, provenance)
    measurement.run(wanted, jobs)
    lines = latest(list(recorded(options.results)))
    if lines:
        print(summary(lines))
        options.results.with_suffix(".md").write_text(page(lines), encoding="utf-8")
    if any(line["alarms"] for line in lines):
        return 1
    done = {key(line) for line in lines if not line["interrupted"]}
    return 3 if not backends or chunks(backends, options, done) else 0


if __name__ == "__main__":
    sys.exit(main())
