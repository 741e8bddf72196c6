"""LSTMs in the file of a trained and exported model, as targets: ``FILE:LSTM@RUNTIME``, or ``…:WEIGHTS`` behind that.

A reader of a format is an entry point of the group ``lstm_conformance.models``, named as the files end. It takes the
path and gives each LSTM of the file: a record ``Exported``. What the file lacks of a fixed backend is added here: the
LSTM's own config and weights, or the trained ones that it should hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from conformance.backend import Backend
from conformance.errors import UsageError, nearest
from conformance.facts.weights import Likeness, WeightsCompared
from conformance.properties.model import GUARDS, question_of
from conformance.spec import GATES, Array, LSTMConfig, Params
from conformance.targets.trained import (
    Held,
    Trained,
    assigned,
    compared,
    file_of_weights,
    recognised,
    tensors_of,
    trained,
)

#: The entry points that read models' files.
GROUP = "lstm_conformance.models"


@dataclass(frozen=True)
class Exported:
    """One LSTM of a model's file."""

    #: The name of its node or layer in the file.
    name: str
    #: Its hyperparameters, by nn.LSTM's names.
    config: LSTMConfig
    #: Its weights in nn.LSTM's convention, as the file's format defines them: rows i, f, g, o. A single bias is
    #: ``bias_ih``, and ``bias_hh`` is zeros.
    params: Params
    #: The ways to run this very LSTM alone, by the runtime's name: ``build`` needs no config and no params of a caller.
    runtimes: tuple[Backend, ...]
    #: The order in which the format has the gates, by nn.LSTM's letters.
    gates: str = GATES
    #: What a reader of the report must know, such as an attribute that nn.LSTM does not have.
    note: str = ""


#: The LSTMs of a file, in the order in which they are computed. Raises ``UsageError`` where the
#: format's package is missing or an LSTM is none of nn.LSTM's, and anything for a file that cannot be read.
Read = Callable[[Path], Sequence[Exported]]


class Named(NamedTuple):
    """The parts of a target."""

    file: str
    #: The name of an LSTM, and of a runtime; nothing of a target that is a file.
    lstm: str = ""
    runtime: str = ""
    #: The file of the trained weights, or nothing.
    weights: str = ""

    def __str__(self) -> str:
        told = f"{self.file}:{self.lstm}@{self.runtime}" if self.runtime else self.file
        return f"{told}:{self.weights}" if self.weights else told


def endings() -> dict[str, EntryPoint]:
    """The readers that are installed, by the ends of the files that they read."""
    return {point.name: point for point in entry_points(group=GROUP)}


def parse(target: str, installed: bool = True) -> Named | None:
    """The parts of a target that names a model's file; None for any other.

    Unless its reader must be ``installed``, any file that is there is taken for a model's.
    """
    known = "|".join(map(re.escape, endings())) if installed else r"\w+"
    found = re.fullmatch(rf"(?!exec:)(.+?\.(?:{known}))(?::(.*?)@([\w.-]+)(?::(.+))?)?", target, re.DOTALL)
    if found is None or not known or not (installed or Path(found[1]).is_file()):
        return None
    return Named(*(part or "" for part in found.groups()))


def located(target: str) -> str:
    """``module:attribute`` of the reader of a target, for an environment in which it is not installed."""
    named = parse(target)
    if named is None:
        return ""
    point = endings()[_ending(named.file)]
    return f"{point.module}:{point.attr}"


def _ending(file: str) -> str:
    return file.rpartition(".")[2]


@lru_cache(maxsize=8)
def _read(file: str, place: str, changed: int) -> tuple[Exported, ...]:
    path, ending = Path(file), _ending(file)
    point = EntryPoint(ending, place, GROUP) if place else endings()[ending]
    try:
        found = tuple(point.load()(path))
    except UsageError as error:
        raise UsageError(f"{file}: {error.args[0]}", error.hint) from None
    except Exception as error:
        told = (str(error).strip().splitlines() or ["no message"])[0][:200]
        raise UsageError(f"{file} cannot be read as .{ending}: {type(error).__name__}: {told}") from error
    if not found:
        raise UsageError(f"{file}: no LSTM is in it", "one that an exporter wrote as its single steps cannot be found")
    return _distinct(found)


def _distinct(found: Sequence[Exported]) -> tuple[Exported, ...]:
    """LSTMs of which no two have the same name."""
    seen: dict[str, int] = {}
    named = []
    for each in found:
        seen[each.name] = count = seen.get(each.name, 0) + 1
        named.append(each if count == 1 else replace(each, name=f"{each.name}#{count}"))
    return tuple(named)


def read(file: str, place: str = "") -> tuple[Exported, ...]:
    """The LSTMs of a model's file, at least one.

    Raises ``UsageError`` for a file that is not there, that its reader cannot read, and that has no LSTM.
    """
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no file {file!r}", "give a path relative to this folder")
    return _read(file, place, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _weights(file: str, changed: int) -> tuple[Trained, ...]:
    arrays: Mapping[str, Array] | None = file_of_weights(Path(file))
    if arrays is None:
        if parse(file) is None:
            known = ", ".join([".safetensors", ".npz", ".pt", *(f".{ending}" for ending in endings())])
            raise UsageError(f"--weights {file}: unknown kind of file", f"known are {known}")
        arrays = {f"{each.name}.{name}": value for each in read(file) for name, value in each.params.items()}
    return trained(arrays, file)


def weights_of(file: str) -> tuple[Trained, ...]:
    """The trained LSTMs in a file of weights, or in a model's file. Raises ``UsageError``."""
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"--weights {file}: there is no such file")
    return _weights(file, path.stat().st_mtime_ns)


def _held(found: Sequence[Exported]) -> list[Held]:
    return [Held(each.name, each.config, each.params, each.gates) for each in found]


def load(named: Named, place: str = "") -> Backend:
    """The backend of a target: the LSTM of a file in a runtime, judged with the weights that it should hold.

    Raises ``UsageError`` for a name that is not in the file, and for a file alone if more than one target is in it.
    """
    found = read(named.file, place)
    if not named.runtime:
        targets, _ = expand(str(named), place=place)
        if len(targets) > 1:
            raise UsageError(f"{named.file} has several targets", f"name one of {', '.join(targets)}")
        named = parse(targets[0], not place) or named
    names = [each.name for each in found]
    if named.lstm not in names:
        near = nearest(named.lstm, names) or names
        raise UsageError(f"{named.file} has no LSTM {named.lstm!r}", f"it has {', '.join(near)}")
    at = names.index(named.lstm)
    one = found[at]
    runtime = next((each for each in one.runtimes if each.name == named.runtime), None)
    if runtime is None:
        known = ", ".join(each.name for each in one.runtimes) or f"none: {one.note}"
        raise UsageError(f"no runtime {named.runtime!r} runs the LSTMs of {named.file}", f"known are {known}")
    (config, params), told = _model(found, at, named.weights)
    declared = replace(
        runtime.capabilities,
        fixed=(config, params),
        dtypes=(config.dtype,),
        batch_first=config.batch_first or runtime.capabilities.batch_first,
        # What a node or layer has is given: it cannot be asked for something else.
        layers=config.num_layers > 1,
        bidirectional=config.bidirectional,
        no_bias=not config.bias,
        projection=config.proj_size > 0,
        # A fixed model meets fewer of the calls that a guard must refuse: a known gap may not show.
        expected_failures={
            id: page for id, page in runtime.capabilities.expected_failures.items() if question_of(id) != GUARDS
        },
    )
    note = "; ".join(filter(None, [told, one.note, runtime.remark()]))
    short = f"{named.lstm}@{named.runtime}"
    # What is known of the runtime may not show in this model.
    ruled_out = runtime.ruled_out | {"unexpected"}
    return replace(runtime, name=str(named), own_name=short, capabilities=declared, note=note, ruled_out=ruled_out)


def _model(found: Sequence[Exported], at: int, weights: str) -> tuple[tuple[LSTMConfig, Params], str]:
    """The config and weights that an LSTM is judged with, and where they come from."""
    one = found[at]
    own = one.config, one.params
    if not weights:
        return own, "judged with the weights of its file"
    lstms, held = weights_of(weights), _held(found)
    piece = assigned(held, lstms)[at]
    if piece is None:
        return own, f"judged with the weights of its file: {weights} has none of its sizes"
    likeness = recognised(held[at], piece, tensors_of(lstms)).likeness
    if likeness == Likeness.ROUNDED:
        return own, f"judged with the weights of its file, which are those of {weights}, rounded"
    return piece.model(one.config), f"judged with the weights of {weights}: {piece.label}"


def expand(target: str, weights: str = "", place: str = "") -> tuple[list[str], list[WeightsCompared]]:
    """The targets in a model's file: each LSTM in each runtime that can run here; and how its weights compare.

    A target that is one LSTM in one runtime stands for itself, and has the weights of this LSTM compared. Raises
    ``UsageError`` for a file that cannot be read, and if no runtime can run here.
    """
    named = parse(target, not place)
    assert named is not None
    weights = weights or named.weights
    found = read(named.file, place)
    told = compared(named.file, _held(found), weights, weights_of(weights)) if weights else []
    if named.runtime:
        return [str(named._replace(weights=weights))], [each for each in told if each.lstm == named.lstm]
    here = [
        str(Named(named.file, each.name, runtime.name, weights))
        for each in found
        for runtime in each.runtimes
        if runtime.available() is None
    ]
    if not here:
        reasons = dict.fromkeys(
            reason
            for each in found
            for reason in [*(runtime.available() for runtime in each.runtimes), each.note]
            if reason
        )
        raise UsageError(f"{named.file}: no runtime that is installed runs its LSTMs", "; ".join(reasons))
    return here, told
