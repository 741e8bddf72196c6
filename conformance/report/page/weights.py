"""The comparison of weights on the page: where they are wrong it is the first thing that a reader sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.facts.weights import WeightsCompared
from conformance.report.model import BackendReport
from conformance.report.page.backends import NAME, plain
from conformance.report.weights import by_file, details, sentence


@dataclass(frozen=True)
class LstmShown:
    """One LSTM of a model's file, or a trained layer that is in none."""

    wrong: bool
    name: str
    sentence: str
    #: The wrong conversions.
    details: tuple[str, ...]


@dataclass(frozen=True)
class FileShown:
    """A model's file whose weights are not the trained ones: all of its LSTMs."""

    file: str
    weights: str
    lstms: tuple[LstmShown, ...]


def files_shown(compared: Sequence[WeightsCompared]) -> Iterator[FileShown]:
    """The files of which some weights are wrong."""
    for own in by_file(compared):
        if own.wrong:
            yield FileShown(plain(own.file, NAME), plain(own.weights, NAME), tuple(map(_lstm, own.compared)))


def _lstm(told: WeightsCompared) -> LstmShown:
    found = tuple(map(plain, details(told)))
    return LstmShown(told.likeness.wrong, plain(told.lstm, NAME), plain(sentence(told)), found)


def of_backend(backend: BackendReport, compared: Sequence[WeightsCompared]) -> str:
    """How the weights compare of the LSTM that a backend is; nothing of any other backend."""
    target = next((verdict.backend for verdict in backend.verdicts), backend.backend)
    for told in compared:
        if told.lstm and target.startswith(f"{told.file}:{told.lstm}@") and target.endswith(f":{told.weights}"):
            sign = "✕" if told.likeness.wrong else "✓"
            return plain("; ".join([f"{sign} {sentence(told)}", *details(told)]))
    return ""
