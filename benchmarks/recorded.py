"""Does a recording give what a live run gives? ``python -m benchmarks.recorded``, resumable.

``calls`` judges 10,000 recorded calls of all correct LSTMs, each by itself, and ``alarms`` their recordings, whose
cases are judged by the properties that see every case: each bad verdict is a false alarm. ``verdicts`` compares the
verdicts on recordings of backends and faults with those of a live run on the same cases: a property that a recording
judges must have the same outcome. ``dropout`` does so with the properties of dropout and its faults. ``causes``
diagnoses faults from recordings alone, of those whose cause the diagnosis names live (``results/diagnosis.json``). Each
row is a line of ``results/recorded.jsonl``; rows that are there are not measured again. Prints the totals of the whole
file.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from conformance.backend import Backend
from conformance.diagnosis.diagnose import diagnose
from conformance.engine.plan import Settings
from conformance.engine.sieve import conform
from conformance.facts import Degree, Outcome
from conformance.faults import DIFFERENT, FAULTS, backend_of, twin_backend
from conformance.faults.fault import DROPOUT, FULL
from conformance.processes.message import Message
from conformance.processes.wire.fields import config_to_fields
from conformance.processes.wire.server import answer
from conformance.recorded.answers import Answers
from conformance.recorded.asking import asked
from conformance.recorded.differences import compared
from conformance.recorded.given import fitted
from conformance.recorded.judging import Judged, judge_recording
from conformance.recorded.playback import Answer, Collector
from conformance.recorded.recording import held
from conformance.selftest import diagnosed
from conformance.targets.find import find

RESULTS = Path("results/recorded.jsonl")

#: Random cases for each correct LSTM, which make 10,000 with the fixed set; and the faults whose verdicts are compared.
_CASES, _FAULTS = 180, 40

#: Recorded calls of each correct LSTM, which make 10,000.
_CALLS = 245

#: The built-in backends that run without a GPU.
_BUILT_IN = ("numpy", "torch-nn", "torch-cell", "torch-loop", "torch-nn-step")

#: Large models take most of the time, and say nothing that is special about recordings.
_WHOLE = Settings(0, exclude=("sizes",))

#: Every case is judged by these; others judge few of them, and are compared in ``verdicts``.
_EACH = Settings(_CASES, only=("layout", "values.output", "values.h_n", "values.c_n", "lengths.zero-output"))


_COLLECTED: dict[str, Collector] = {}


def _judged(backend: Backend, settings: Settings) -> Judged:
    """A backend's recording, judged."""
    capabilities = backend.capabilities
    key = f"{capabilities} {settings}"
    collector = _COLLECTED[key] = _COLLECTED.get(key) or asked(capabilities, settings)
    return judge_recording(held(collector, capabilities, settings), answered(collector, backend), backend.name)


def answered(collector: Collector, backend: Backend) -> Answers:
    """What a backend of this process answers to all calls, through the wire protocol's server."""
    answers = Answers(name=backend.name)
    for id, model in collector.models.items():
        models: dict[str, Any] = {}
        build = {"type": "build", "model": "1", **config_to_fields(model.config)}
        built = answer(backend, models, Message(build, model.params))
        for call in collector.calls[id].values():
            fields = {"type": "vjp" if call.vjp else "forward", "model": "1"}
            response = built if built.type == "error" else answer(backend, models, Message(fields, call.arrays))
            told = {"error": response.fields["kind"]} if response.type == "error" else {}
            answers.found[call.id] = Answer(response.tensors, **told, message=response.fields.get("message", ""))
    return answers


def _in_float32(backend: Backend) -> Backend:
    return replace(backend, capabilities=replace(backend.capabilities, dtypes=("float32",), gradients=False))


def _alarms(name: str, backend: Backend) -> dict[str, Any]:
    report = _judged(_in_float32(backend), _EACH).report
    return {
        "cases": report.cases,
        "judged": sum(verdict.cases for verdict in report.verdicts),
        "margin": report.margin,
        "alarms": [verdict.property for verdict in report.bad],
    }


def _calls(name: str, backend: Backend) -> dict[str, Any]:
    """Calls of the recording, each as one that somebody recorded; those that may be refused are left out."""
    backend, settings = _in_float32(backend), replace(_EACH, cases=0)
    key = f"{backend.capabilities} {settings}"
    collector = _COLLECTED[key] = _COLLECTED.get(key) or asked(backend.capabilities, settings)
    chosen = random.Random(name).sample(sorted(collector.models), len(collector.models))
    margins, alarms = list[float](), list[str]()
    for model in (collector.models[id] for id in chosen):
        if len(margins) >= _CALLS or model.config.hidden_size * model.config.input_size > 4096:
            continue
        one = replace_collected(collector, model.id)
        for id, told in answered(one, backend).found.items():
            arrays = {**collector.calls[model.id][id].arrays, **told.arrays}
            if not told.error and arrays["x"].size and np.isfinite(arrays["x"]).all():
                found = compared(fitted(Path(id), model.config, arrays, model.params)).difference
                margins.append(found.margin)
                alarms += [] if found.explained else [id]
    return {"cases": len(margins), "margin": max(margins), "alarms": alarms}


def replace_collected(collector: Collector, model: str) -> Collector:
    """A collector of one model's calls."""
    one = Collector(collector.backend.capabilities)
    one.models, one.calls = {model: collector.models[model]}, {model: collector.calls[model]}
    return one


def _dropout(name: str, backend: Backend) -> dict[str, Any]:
    return _verdicts(name, backend, Settings(0, only=("dropout",)))


def _verdicts(name: str, backend: Backend, settings: Settings = _WHOLE) -> dict[str, Any]:
    """What a recording judges, against a live run on the same cases, without shrinking."""
    # A recording does not know who makes the loop over time: live, that of a cell is judged as its own, too.
    backend = replace(_in_float32(backend), ruled_out=backend.ruled_out - {"loop"} | {"views", "memory"})
    report = _judged(backend, settings).report
    live = conform(backend, replace(settings, shrink=False))
    outcomes = {verdict.property: verdict.outcome for verdict in live.verdicts}
    shown = [v for v in report.verdicts if v.outcome in (Outcome.PASSED, Outcome.FAILED, Outcome.ERROR)]
    part = [v for v in report.verdicts if v.outcome in (Outcome.NARROWED, Outcome.NOT_RUN)]
    return {
        "judged": len(shown),
        "not judged in full": [v.property for v in part],
        "missed": [v.property for v in part if outcomes[v.property].bad],
        "differ": [
            f"{v.property}: {v.outcome}, live {outcomes[v.property]}"
            for v in shown
            if v.outcome != outcomes[v.property]
        ],
        "bad": len(report.bad),
        "live bad": len(live.bad),
    }


def _causes(name: str, backend: Backend) -> dict[str, Any]:
    """What a diagnosis names from recordings alone."""
    fault = FAULTS[name]
    dtypes = tuple(dtype for dtype in backend.capabilities.dtypes if dtype in ("float32", "float64"))
    backend = replace(backend, capabilities=replace(backend.capabilities, dtypes=dtypes))
    judged = _judged(backend, _WHOLE)
    if not judged.report.bad:
        return {"shown": False}
    started = time.monotonic()
    found = diagnose(judged.judge, judged.report, diagnosed.LIMIT, known=judged.cases)
    causes = [cause for cause in found.causes if cause.alterations]
    named = bool(causes) and diagnosed.alike(causes[0].alterations, fault)
    sure = any(cause.degree == Degree.CONFIRMED for cause in causes)
    whole = tuple(one for cause in causes for one in cause.alterations)
    return {
        "shown": True,
        "named": named,
        "wrong": sure and not diagnosed.alike(whole, fault),
        "told": [
            str(cause.degree) + ": " + ", ".join(one.fault for one in cause.alterations) for cause in found.causes
        ],
        "seconds": round(time.monotonic() - started, 1),
    }


def _wanted(kind: str) -> Iterator[tuple[str, Backend]]:
    if kind in ("alarms", "calls"):
        yield "twin", twin_backend()
        yield from ((one.id, one.backend) for one in DIFFERENT)
    elif kind == "dropout":
        for one in (twin_backend(), *(backend_of(fault) for fault in FAULTS.values() if fault.kind == DROPOUT)):
            yield one.name, replace(one, capabilities=replace(FULL, dropout=True))
    elif kind == "verdicts":
        ids = [fault.id for fault in FAULTS.values() if fault.capabilities == FULL]
        yield from ((id, backend_of(FAULTS[id])) for id in random.Random(24).sample(ids, _FAULTS))
        yield from ((name, find(name)) for name in _BUILT_IN)
    else:
        rows = json.loads(Path("results/diagnosis.json").read_text())["rows"]
        ids = [row["faults"][0] for row in rows if row["named"] == diagnosed.CAUSE]
        random.Random(24).shuffle(ids)
        yield from ((id, backend_of(FAULTS[id])) for id in ids)


_MEASURE = {"calls": _calls, "alarms": _alarms, "verdicts": _verdicts, "dropout": _dropout, "causes": _causes}


def _rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def main() -> None:
    """Measure what is not measured yet, for as long as one may, and print the totals."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("kinds", nargs="*", choices=list(_MEASURE), default=list(_MEASURE))
    options.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after so many seconds")
    options.add_argument("--only", nargs="*", default=(), metavar="NAME", help="only these backends and faults")
    given = options.parse_args()
    started = time.monotonic()
    done = {(row["kind"], row["name"]) for row in _rows()}
    for kind in given.kinds:
        for name, backend in _wanted(kind):
            left_out = given.only and name not in given.only
            if left_out or (kind, name) in done or time.monotonic() - started > given.seconds:
                continue
            row = {"kind": kind, "name": name, **_MEASURE[kind](name, backend)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
    for kind, told in _totals(_rows()):
        print(f"{kind}: {told}")


def _totals(rows: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    calls = [row for row in rows if row["kind"] == "calls"]
    total, wrong = sum(row["cases"] for row in calls), sum(len(row["alarms"]) for row in calls)
    largest = max((row["margin"] for row in calls), default=0.0)
    yield (
        "calls",
        f"{wrong} in {total:,} recorded calls of {len(calls)} correct LSTMs, at most {largest:.2f} of a bound",
    )
    alarms = [row for row in rows if row["kind"] == "alarms"]
    cases, accused = sum(row["cases"] for row in alarms), sum(len(row["alarms"]) for row in alarms)
    judged = sum(row["judged"] for row in alarms)
    yield "alarms", f"{accused} in {cases:,} recorded cases of {len(alarms)} correct LSTMs ({judged:,} judgements)"
    for kind in ("verdicts", "dropout"):
        verdicts = [row for row in rows if row["kind"] == kind]
        differ, missed = (sum(len(row[word]) for row in verdicts) for word in ("differ", "missed"))
        same = sum(row["judged"] for row in verdicts) - differ
        unseen = sum(not row["bad"] and row["live bad"] > 0 for row in verdicts)
        yield (
            kind,
            f"{same:,} equal, {differ} differ; {missed} that fail live are told as not judged; "
            f"{len(verdicts)} backends and faults, {unseen} of them fail live alone",
        )
    causes = [row for row in rows if row["kind"] == "causes"]
    shown = [row for row in causes if row["shown"]]
    named, wrong = (sum(row[word] for row in shown) for word in ("named", "wrong"))
    yield "causes", f"{named} of {len(shown)} named as live, {wrong} wrongly; {len(causes) - len(shown)} not shown"


if __name__ == "__main__":
    main()
