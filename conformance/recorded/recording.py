"""A recording in a folder: ``recording.json`` says what was asked and in what order, files beside it have the calls.

Each call bears the digest of its bytes for a name. So answers may come in any order, from several machines, in several
files; what is renamed or belongs to another recording is seen. In the form of the wire protocol an answer has no name:
the k-th response belongs to the k-th request.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis.version import __version__ as hypothesis_version

from conformance.backend import Capabilities
from conformance.engine.plan import Settings
from conformance.errors import UsageError
from conformance.processes.message import Garbled, Message
from conformance.processes.message import write as write_message
from conformance.processes.wire.client import PROTOCOL
from conformance.processes.wire.fields import capabilities_from_fields, capabilities_to_fields, config_to_fields
from conformance.recorded.calls import Call, Model
from conformance.recorded.container import KINDS, Container, write
from conformance.recorded.playback import Collector, recordable
from conformance.version import __version__

INDEX = "recording.json"

#: The forms in which calls are written: files of arrays, or requests of the wire protocol.
WIRE = "wire"
FORMS = (*(kind[1:] for kind in KINDS), WIRE)

#: The ends of the names of streams of the wire protocol.
REQUESTS, RESPONSES = ".requests", ".responses"

#: Bytes of arrays after which another file begins; a JSON file of them has four times as many.
_FULL = 1 << 26

_FORMAT = 1

#: An index has some 30 bytes for each call.
_INDEX_LIMIT = 1 << 26


@dataclass(frozen=True)
class File:
    """One file of calls."""

    name: str
    #: By model, in the order in which they stand there, the names of its calls.
    models: tuple[tuple[str, tuple[str, ...]], ...]
    #: Bytes of its arrays.
    bytes: int

    @property
    def calls(self) -> tuple[str, ...]:
        """The names of its calls, in their order."""
        return tuple(call for _, calls in self.models for call in calls)


@dataclass(frozen=True)
class Recording:
    """What was asked, and where it stands."""

    folder: Path
    capabilities: Capabilities
    settings: Settings
    form: str
    files: tuple[File, ...]

    @property
    def calls(self) -> frozenset[str]:
        """The names of all calls."""
        return frozenset(call for file in self.files for call in file.calls)

    @property
    def bytes(self) -> int:
        """Bytes of the arrays of all calls."""
        return sum(file.bytes for file in self.files)


def save(folder: Path, collector: Collector, capabilities: Capabilities, settings: Settings, form: str) -> Recording:
    """Write the calls of a collector into a new folder, the index last: so it never tells of files that are not there.

    Raises ``UsageError`` for a folder that has something in it, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty", "give the name of a new folder")
        parts = list(_parts(collector, None if form == WIRE else _FULL))
        files = []
        for k, part in enumerate(parts, 1):
            number = "" if len(parts) == 1 else f"-{k:0{len(str(len(parts)))}}"
            name = f"calls{number}{REQUESTS if form == WIRE else f'.{form}'}"
            write_part = _write_requests if form == WIRE else _write_container
            write_part(folder / name, part)
            listed = tuple((model.id, tuple(call.id for call in calls)) for model, calls in part)
            files.append(File(name, listed, sum(map(_size, part))))
        recording = Recording(folder, recordable(capabilities), settings, form, tuple(files))
        (folder / INDEX).write_text(json.dumps(_index(recording), separators=(",", ":")))
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror or error}") from None
    return recording


def held(collector: Collector, capabilities: Capabilities, settings: Settings) -> Recording:
    """The recording of a collector's calls that stand in no folder."""
    listed = tuple((id, tuple(calls)) for id, calls in collector.calls.items())
    return Recording(Path(), recordable(capabilities), settings, FORMS[0], (File("", listed, collector.bytes),))


_Part = list[tuple[Model, list[Call]]]


def _parts(collector: Collector, full: int | None) -> Iterator[_Part]:
    part, size = _Part(), 0
    for id, model in collector.models.items():
        one = model, list(collector.calls[id].values())
        if part and full is not None and size + _size(one) > full:
            yield part
            part, size = [], 0
        part.append(one)
        size += _size(one)
    yield part


def _size(one: tuple[Model, list[Call]]) -> int:
    model, calls = one
    arrays = [*model.params.values(), *(value for call in calls for value in call.arrays.values())]
    return sum(value.nbytes for value in arrays)


def _write_container(path: Path, part: _Part) -> None:
    arrays, models, told = {}, {}, []
    for model, calls in part:
        models[model.id] = {"config": asdict(model.config), "params": list(model.params)}
        arrays |= {f"{model.id}.{name}": value for name, value in model.params.items()}
        for call in calls:
            told.append({"id": call.id, "model": model.id, "arrays": list(call.arrays)})
            arrays |= {f"{call.id}.{name}": value for name, value in call.arrays.items()}
    write(path, Container({"models": json.dumps(models), "calls": json.dumps(told)}, arrays))


def _write_requests(path: Path, part: _Part) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_message(descriptor, Message({"type": "hello", "protocol": PROTOCOL}))
        for number, (model, calls) in enumerate(part, 1):
            name = {"model": str(number)}
            write_message(
                descriptor, Message({"type": "build", **name, **config_to_fields(model.config)}, model.params)
            )
            for call in calls:
                write_message(descriptor, Message({"type": "vjp" if call.vjp else "forward", **name}, call.arrays))
            write_message(descriptor, Message({"type": "release", **name}))
    finally:
        os.close(descriptor)


def expected(file: File) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What each request of a stream was, in order: its type, and the calls that it is about."""
    yield "hello", ()
    for _, calls in file.models:
        yield "build", calls
        yield from (("forward", (call,)) for call in calls)
        yield "release", ()


# The index


def _index(recording: Recording) -> dict[str, Any]:
    settings = recording.settings
    return {
        "format": _FORMAT,
        "version": __version__,
        "hypothesis": hypothesis_version,
        "capabilities": capabilities_to_fields(recording.capabilities),
        "settings": {
            "cases": settings.cases,
            "seed": settings.seed,
            "only": settings.only,
            "exclude": settings.exclude,
        },
        "form": recording.form,
        "files": [{"name": file.name, "models": file.models, "bytes": file.bytes} for file in recording.files],
    }


def load(folder: Path) -> Recording:
    """The recording in a folder; ``UsageError`` for one that has none, or one that this version cannot judge."""
    path = folder / INDEX
    try:
        if not path.is_file():
            raise UsageError(f"{folder} is no recording: it has no {INDEX}", "`lstm-conformance export DIR` makes one")
        if path.stat().st_size > _INDEX_LIMIT:
            raise UsageError(f"{path}: no index of a recording is that large")
        data = json.loads(path.read_bytes().decode())
        if data["format"] != _FORMAT or data["version"] != __version__:
            raise UsageError(
                f"{path} was written by lstm-conformance {data['version']}; this is {__version__}",
                "cases may differ from version to version: judge with that version, or export again",
            )
        given = data["settings"]
        if given["cases"] and data["hypothesis"] != hypothesis_version:
            raise UsageError(
                f"{path}: its random cases were drawn by hypothesis {data['hypothesis']}; this is {hypothesis_version}",
                f"pip install hypothesis=={data['hypothesis']}, or export without --cases",
            )
        settings = Settings(int(given["cases"]), int(given["seed"]), tuple(given["only"]), tuple(given["exclude"]))
        capabilities = recordable(capabilities_from_fields(data["capabilities"], {}))
        return Recording(folder, capabilities, settings, data["form"], tuple(map(_file, data["files"])))
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Garbled) as error:
        told = f"{path} is no index of a recording: {type(error).__name__}: {error}"
        raise UsageError(told, "`export` writes it; it must not be edited") from None


def _file(data: Mapping[str, Any]) -> File:
    name = data["name"]
    if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
        raise ValueError(f"the file's name {name!r} leads elsewhere")
    return File(
        name, tuple((str(model), tuple(map(str, calls))) for model, calls in data["models"]), int(data["bytes"])
    )


def with_only(recording: Recording, only: Sequence[str], exclude: Sequence[str]) -> Recording:
    """The recording of which only some properties are judged: their calls are the same."""
    settings = replace(recording.settings, only=tuple(only) or recording.settings.only)
    return replace(recording, settings=replace(settings, exclude=(*settings.exclude, *exclude)))
