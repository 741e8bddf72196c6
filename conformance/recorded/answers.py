"""What programs answered to a recording, read from their files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.errors import UsageError
from conformance.processes.message import Message, Stream, decode
from conformance.recorded.calls import PARTS
from conformance.recorded.container import KINDS, blaming, read
from conformance.recorded.playback import Answer
from conformance.recorded.recording import INDEX, REQUESTS, RESPONSES, WIRE, File, Recording, expected

#: Bytes of elements of one response, and of one file: so many in any case, or so many times those of the calls.
_RESPONSE, _FILE, _TIMES = 1 << 30, 1 << 28, 16

_GRADIENT = "grad_"

#: The response to each request.
_TYPES = {"hello": "hello", "build": "built", "forward": "result", "release": "released"}


@dataclass
class Answers:
    """The answers of one program, by call, and what it says of itself."""

    found: dict[str, Answer] = field(default_factory=dict)
    name: str = ""
    version: str = ""
    #: By call, the file that answers it.
    _from: dict[str, Path] = field(default_factory=dict)

    def add(self, call: str, answer: Answer, path: Path) -> None:
        """One more answer; ``UsageError`` for a second one to a call."""
        if call in self._from:
            where = "twice" if self._from[call] == path else f"as {self._from[call]} does"
            raise UsageError(f"{path} answers call {call} {where}", "judge one program at a time, each answer once")
        self.found[call], self._from[call] = answer, path

    def missing(self, recording: Recording) -> tuple[str, ...]:
        """The recorded calls without an answer, or with one that lacks a declared result, in their order."""
        wanted = recording.capabilities.returns
        whole = {
            call for call, answer in self.found.items() if answer.error or all(part in answer.arrays for part in wanted)
        }
        return tuple(call for file in recording.files for call in file.calls if call not in whole)


def answers_in(recording: Recording, paths: Sequence[Path] = ()) -> Answers:
    """The answers in files and folders; those beside the calls if none are named.

    Raises ``UsageError`` for a file that is none, or answers what was not asked.
    """
    files = list(dict.fromkeys(file for path in paths or [recording.folder] for file in _files(recording, path)))
    if not files:
        named = f"calls{RESPONSES}" if recording.form == WIRE else f"answers.{recording.form}"
        raise UsageError(f"{recording.folder} has no answers", f"write them to {named}: docs/recorded.md says how")
    answers, known, limit = Answers(), recording.calls, max(_FILE, _TIMES * recording.bytes)
    for path in files:
        if path.suffix == RESPONSES:
            _add_stream(answers, recording, path)
        else:
            _add_container(answers, known, path, limit)
    return answers


def _files(recording: Recording, path: Path) -> list[Path]:
    """The files of answers that a path names: itself, or those of a folder that are no calls."""
    if not path.is_dir():
        if not path.exists():
            raise UsageError(f"{path} does not exist", "name the files that the program wrote")
        if path.suffix not in (*KINDS, RESPONSES):
            raise UsageError(f"{path}: expected a name that ends in {', '.join((*KINDS, RESPONSES))}")
        return [path]
    calls = {INDEX, *(file.name for file in recording.files)}
    return sorted(p for p in path.iterdir() if p.suffix in (*KINDS, RESPONSES) and p.name not in calls)


# Files of arrays: "CALL.output", "CALL.h_n" …


def _add_container(answers: Answers, known: frozenset[str], path: Path, limit: int) -> None:
    contents = read(path, limit)
    answers.name = contents.fields.get("name", answers.name)
    answers.version = contents.fields.get("version", answers.version)
    found: dict[str, dict[str, object]] = {}
    for name, value in contents.arrays.items():
        call, dot, part = name.partition(".")
        if not dot or not (part in PARTS or part.startswith(_GRADIENT)):
            raise UsageError(
                f"{path}: entry {name[:80]!r} is no part of an answer",
                "entries are CALL.output, CALL.h_n, CALL.c_n, and CALL.grad_x … of a call that asks for gradients",
            )
        _check_known(known, call, path)
        found.setdefault(call, {})[part] = value
    for call, parts in found.items():
        answers.add(call, Answer(parts), path)  # type: ignore[arg-type]
    for call, error in _errors(contents.fields.get("errors", "{}"), path).items():
        _check_known(known, call, path)
        answers.add(call, error, path)


def _check_known(known: frozenset[str], call: str, path: Path) -> None:
    if call not in known:
        raise UsageError(
            f"{path} answers a call {call[:40]!r}, which the recording does not have",
            "are these the answers to another recording? Names of calls must stay as they are",
        )


def _errors(text: str, path: Path) -> dict[str, Answer]:
    """The field "errors": {call: message}, or {call: {"kind", "message"}}."""
    try:
        told = json.loads(text)
        pairs = {
            call: ("failed", one) if isinstance(one, str) else (one["kind"], one["message"])
            for call, one in told.items()
        }
        return {call: Answer(error=str(kind), message=str(message)) for call, (kind, message) in pairs.items()}
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        hint = 'such as {"CALL": "out of memory"}, or {"CALL": {"kind": "unsupported", "message": "no lengths"}}'
        raise UsageError(f"{path}: its field errors is no JSON object of errors", hint) from None


# Streams of the wire protocol: the k-th response belongs to the k-th request


def _add_stream(answers: Answers, recording: Recording, path: Path) -> None:
    file = _requests_of(recording, path)
    refused: dict[str, Answer] = {}
    with blaming(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            stream = Stream(descriptor)
            for k, (asked, calls) in enumerate(expected(file), 1):
                response = decode(stream, _RESPONSE)
                if response is None:
                    # Its program ended there, or is not through.
                    return
                _take(answers, refused, response, asked, calls, f"response {k}", path)
            if stream.read(1):
                raise UsageError(f"{path} goes on after its last response", "each request has exactly one response")
        finally:
            os.close(descriptor)


def _requests_of(recording: Recording, path: Path) -> File:
    file = next((one for one in recording.files if one.name.removesuffix(REQUESTS) == path.stem), None)
    if recording.form != WIRE or file is None:
        wanted = ", ".join(one.name.replace(REQUESTS, RESPONSES) for one in recording.files)
        hint = f"name it {wanted}" if recording.form == WIRE else "export with --form wire for such a program"
        raise UsageError(f"{path} answers no file of {recording.folder}", hint)
    return file


def _take(
    answers: Answers,
    refused: dict[str, Answer],
    response: Message,
    asked: str,
    calls: tuple[str, ...],
    told: str,
    path: Path,
) -> None:
    fields = response.fields
    if response.type not in (_TYPES[asked], "error"):
        raise UsageError(
            f"{path}: {told} is of type {response.type!r}; expected {_TYPES[asked]!r} or 'error'",
            "responses stand in the order of their requests, one for each",
        )
    if response.type == "error":
        answer = Answer(error=fields.get("kind", "failed"), message=fields.get("message", ""))
        if asked == "build":
            # The calls of a model that could not be built fail for that reason.
            refused |= dict.fromkeys(calls, answer)
        elif asked == "forward":
            answers.add(calls[0], refused.get(calls[0], answer), path)
    elif asked == "hello":
        answers.name, answers.version = fields.get("name", answers.name), fields.get("version", answers.version)
    elif asked == "forward":
        answers.add(calls[0], Answer(response.tensors), path)
