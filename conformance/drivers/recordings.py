"""The commands on recordings: ``export`` writes calls for a program to answer, ``judge`` reads what it answered."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from conformance.backend import Capabilities
from conformance.drivers import console
from conformance.drivers.console import show
from conformance.drivers.diagnosing import diagnosed
from conformance.drivers.files import claimed
from conformance.drivers.options import selection
from conformance.drivers.outputs import outputs, stream
from conformance.drivers.progress import Progress
from conformance.drivers.run import make_report, now
from conformance.drivers.showing import exit_code, show_report
from conformance.engine.news import Began, Finished, News
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.processes.message import Garbled
from conformance.processes.wire.fields import capabilities_from_fields
from conformance.recorded import recording as recordings
from conformance.recorded.answers import answers_in
from conformance.recorded.asking import asked
from conformance.recorded.calls import PARTS
from conformance.recorded.differences import causes, compared
from conformance.recorded.differences import report as report_of
from conformance.recorded.given import given_calls
from conformance.recorded.judging import judge_recording
from conformance.recorded.recording import INDEX, RESPONSES, WIRE, Recording
from conformance.recorded.target import target_of
from conformance.report import english
from conformance.report.answer import answer, calls_judged
from conformance.report.data import dumps
from conformance.report.model import Asked
from conformance.report.shell import command_line

#: What is declared unless a person says otherwise: every option of structure and call, and nothing of training.
OPTIONS = ("layers", "bidirectional", "no_bias", "batch_first", "unbatched", "projection", "lengths")

#: So many calls without an answer are named.
_NAMED = 5

#: So many recorded calls are shown.
_SHOWN = 3


def export(options: argparse.Namespace) -> int:
    """Write the calls of a run for a program to answer."""
    capabilities = declared(options.capabilities, options.dtypes)
    settings = Settings(options.cases, options.seed, *selection(options))
    folder: Path = options.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not an empty folder", "give the name of a new one")
    with Progress() as shown:
        shown.tell(str(folder), Began())
        collector = asked(capabilities, settings, lambda news: shown.tell(str(folder), news))
    recording = recordings.save(folder, collector, capabilities, settings, options.form)
    show(_written(recording))
    return 0


def declared(words: Sequence[str] | None, dtypes: Sequence[str]) -> Capabilities:
    """The capabilities of words such as "lengths", "gradients=x,params" or "batch=false"."""
    given = {"dtypes": " ".join(dtypes)}
    for word in OPTIONS if words is None else words:
        name, equals, value = word.partition("=")
        if name not in {field.name for field in fields(Capabilities)} or name in ("fixed", "expected_failures"):
            raise UsageError(f"--capabilities {name}: there is no such capability", "docs/backends.md lists them")
        given[name] = value.replace(",", " ") if equals else "true"
    try:
        return capabilities_from_fields(given, {})
    except Garbled as error:
        raise UsageError(f"--capabilities: {error}", "such as lengths, gradients=x,params or batch=false") from None


def _written(recording: Recording) -> str:
    files = english.counted(len(recording.files), "file")
    calls = english.counted(len(recording.calls), "call")
    models = english.counted(sum(len(file.models) for file in recording.files), "model")
    name = recording.files[0].name
    lines = [f"{recording.folder}: {calls} of {models} in {files} with {recording.bytes / 1e6:.1f} MB of arrays"]
    if recording.form == WIRE:
        answers = name.partition(".")[0] + RESPONSES
        asked_in, answered_in = (shlex.quote(str(recording.folder / one)) for one in (name, answers))
        lines.append(f"answer them: ./my-lstm < {asked_in} > {answered_in}")
    else:
        lines.append(f"answer each into {recording.folder / f'answers.{recording.form}'}: docs/recorded.md says how")
    lines.append(f"then: {command_line(['lstm-conformance', 'judge', str(recording.folder)])}")
    return "\n".join(lines)


def judge(options: argparse.Namespace) -> int:
    """Judge what programs answered, or calls that somebody recorded, and show it as ``run`` does."""
    folder = next((path for path in options.files if (path / INDEX).is_file()), None)
    if folder is None:
        return _judge_calls(options)
    return _judge_recording(options, folder, [path for path in options.files if path != folder])


def _judge_recording(options: argparse.Namespace, folder: Path, files: Sequence[Path]) -> int:
    recording = recordings.with_only(recordings.load(folder), *selection(options))
    answers, target = answers_in(recording, files), target_of([folder, *files])
    with claimed("--json", options.json) as write, outputs(options) as write_others:
        with Progress() as shown:

            def tell(news: News) -> None:
                shown.tell(target, news)

            tell(Began())
            started = now()
            judged = judge_recording(recording, answers, target, tell, options.strict)
            told = diagnosed(judged.judge, judged.report, options.diagnose, tell, judged.cases)
            tell(Finished(told))
        whole = make_report(judged.settings, [told], asked=_asked(target, options, started))
        write(dumps(whole))
        show_report(whole, options.verbose, stream(options))
        write_others(whole)
    if judged.missing:
        show(_missing(recording, judged.missing), sys.stderr)
    return exit_code(whole)


def _judge_calls(options: argparse.Namespace) -> int:
    """Judge calls that somebody recorded, each by itself; those that are wrong are shown one by one."""
    selected = selection(options)
    if any(selected):
        raise UsageError("--only and --exclude are about recordings that `export` made", "leave them out")
    started, target = now(), " ".join(map(str, options.files))
    with claimed("--json", options.json) as write, outputs(options) as write_others:
        several = [compared(given) for given in given_calls(options.files)]
        diagnosis = causes(several, options.diagnose)
        ids = tuple(f"values.{part}" for part in PARTS)
        backend = replace(report_of(several, target, diagnosis), strict=options.strict)
        whole = make_report(Settings(cases=0, only=ids), [backend], asked=_asked(target, options, started))
        write(dumps(whole))
        out, columns = stream(options), console.width()
        wrong = [one for one in several if not one.difference.explained]
        for one in (wrong or several)[: None if options.verbose else _SHOWN]:
            name = one.given.path.name
            show(answer(name, one.difference, diagnosis.causes if wrong else (), columns), out)
        if len(several) > 1:
            silent = sum(one.difference.silent for one in several)
            show(calls_judged(len(several), len(wrong), silent, len(several) if options.verbose else _SHOWN), out)
        write_others(whole)
    return exit_code(whole)


def _asked(target: str, options: argparse.Namespace, started: str) -> Asked:
    return Asked((target,), command=tuple(options.words), started=started, diagnose=options.diagnose)


def _missing(recording: Recording, missing: Sequence[str]) -> str:
    named = ", ".join(missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    calls = f"{len(missing)} of {len(recording.calls)} calls"
    return f"\nlstm-conformance: not answered, or not wholly, {calls}: {named}{more}"
