"""The journal of a target: the answers of its judge, in a file, while the target is unfinished.

The engine draws the same recipes again if it gets the same answers. So a run that was killed goes on from its journal:
``recalled`` gives the engine the answers that stand there, and asks the judge for the others.

A line is a recipe, or an answer about the recipe above it, or something else that the engine had asked for. A line
that a killed process left half written ends the journal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from conformance.backend import Backend
from conformance.engine.judging import Answer, Inquiry
from conformance.engine.plan import Settings
from conformance.report.model import BackendReport
from conformance.report.records import decode, encode
from conformance.version import __version__

#: What an answer is without saying.
_USUAL = encode(Answer(None))

#: Bytes up to which a file is looked at for changes: the code of a backend is smaller, an interpreter is not.
_CODE = 1 << 22


class Journal:
    """What was asked of a judge and what it answered: written at once, and read when a run goes on."""

    def __init__(self, path: Path, header: Mapping[str, Any], resume: bool) -> None:
        #: Why a journal that was to be read does not say what this run would ask, or nothing.
        self.unfit = ""
        #: By what was asked, the answers in their order.
        self._answers: dict[str, deque[Any]] = defaultdict(deque)
        self._state: dict[str, Any] = {"signatures": 0, "frameworks": {}}
        self._path = path
        self._recipe = ""
        length = self._read(header) if resume else 0
        self._file: BinaryIO | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            self._file = path.open("r+b" if length else "wb", buffering=0)
            self._file.truncate(length)
            self._file.seek(length)
        if not length:
            self._write(header)

    def _read(self, header: Mapping[str, Any]) -> int:
        """Read the answers of an earlier run; the bytes that they take, 0 if they are not to be had."""
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except OSError:
            self.unfit = "its answers were not kept"
            return 0
        length, recipe = 0, ""
        for line in lines:
            try:
                told = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                told = None
            if told is None or (not length and told != header):
                break
            if isinstance(told, str):
                recipe = told
            elif isinstance(told, list):
                inquiry, answer = told
                self._answers[f"{inquiry} {recipe}"].append(answer)
            elif "asked" in told:
                self._answers[told["asked"]].append(told["answer"])
            elif length:
                self._state |= told
            length += len(line)
        if not length:
            self.unfit = "its code, its settings or the suite have changed"
        return length

    def recall(self, asked: str) -> tuple[Any] | None:
        """The next recorded answer to what was asked, as plain data; None if there is none."""
        answers = self._answers.get(asked)
        return (answers.popleft(),) if answers else None

    def recall_answer(self, recipe: str, inquiry: Inquiry) -> Answer | None:
        """The next recorded answer of a property about a recipe."""
        told = self.recall(f"{_words(inquiry)} {recipe}")
        return None if told is None else decode(Answer, _USUAL | told[0])

    def note(self, asked: str, answer: Any) -> None:
        """Record what the judge answered, as plain data."""
        self._write({"asked": asked, "answer": answer})

    def note_answer(self, recipe: str, inquiry: Inquiry, answer: Answer) -> None:
        """Record the answer of a property about a recipe."""
        if recipe != self._recipe:
            self._recipe = recipe
            self._write(recipe)
        told = {name: value for name, value in encode(answer).items() if value != _USUAL[name]}
        self._write([_words(inquiry), told])

    @property
    def state(self) -> dict[str, Any]:
        """The judge's ``signatures`` and ``frameworks``, as they were noted last."""
        return self._state

    def note_state(self, **state: Any) -> None:
        """Record them if they have changed."""
        if state != self._state:
            self._state = state
            self._write(state)

    def _write(self, line: Any) -> None:
        # Where nothing can be written, the journal ends. It costs no run.
        if self._file is not None:
            try:
                self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            except OSError:
                self.close()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def remove(self) -> None:
        """The target is finished: nobody needs the answers."""
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink()


class Journals:
    """The journals of a run, in a folder beside its report: one for each target that was begun and is unfinished."""

    def __init__(self, folder: Path, targets: Sequence[str], before: Mapping[str, BackendReport]) -> None:
        self._folder = folder
        self._targets = list(targets)
        #: What was known of targets that an earlier run left unfinished.
        self.before = before
        self._open: dict[str, Journal] = {}

    def open(self, target: str, settings: Settings, backend: Backend) -> Journal:
        """The journal of a target that begins, or goes on."""
        path = self._folder / f"{self._targets.index(target)}.jsonl"
        journal = Journal(path, header(target, settings, backend), target in self.before)
        self._open[target] = journal
        return journal

    def leave(self, target: str, judged: object) -> None:
        """A target has ended; its journal is kept if it can go on."""
        journal = self._open.pop(target, None)
        if journal is not None:
            if judged is None or (isinstance(judged, BackendReport) and goes_on(judged)):
                journal.close()
            else:
                journal.remove()

    def end(self) -> None:
        """The run has ended: an empty folder goes."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def goes_on(report: BackendReport) -> bool:
    """Whether a run that is resumed goes on with a target: one that was cut short from outside."""
    return report.interrupted is not None and report.interrupted.how in ("interrupted", "not ended")


def _words(inquiry: Inquiry) -> str:
    return f"{inquiry.property.id}:{inquiry.turn}"


def header(target: str, settings: Settings, backend: Backend) -> dict[str, Any]:
    """What must be the same for the same answers to be given, as plain data: settings, and the code of the backend."""
    told = {"version": __version__, "target": target, "settings": encode(settings)}
    declared = hashlib.sha256(repr((backend.name, backend.capabilities)).encode("utf-8", "backslashreplace"))
    return json.loads(json.dumps(told | {"declared": declared.hexdigest(), "code": _code(target, backend.origin)}))


def _code(target: str, origin: str) -> dict[str, str]:
    """The digests of the files that a target names, and of the one in which it was defined."""
    words = [*target.removeprefix("exec:").split(), origin]
    named = {Path(part) for word in words for part in (word, word.rpartition(":")[0]) if part}
    digests = {}
    for path in named:
        # A word may be no path at all.
        with contextlib.suppress(OSError, ValueError):
            if path.is_file() and path.stat().st_size <= _CODE:
                digests[path.as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests
