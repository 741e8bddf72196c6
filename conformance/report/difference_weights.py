"""The weights of models' files in two reports compared: which are wrong now, which are right, which are otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from conformance.facts.weights import Likeness, WeightsCompared
from conformance.report.model import Report
from conformance.report.weights import OfFile, by_file, details, key, sentence


class Became(StrEnum):
    """What became of the weights of one LSTM."""

    #: They are not the trained ones, and were before, as far as is known.
    WRONG = "wrong"
    #: They are the trained ones, and were not before.
    RIGHT = "right"
    #: They are right or wrong as before, and otherwise so: rounded now, or another conversion.
    ALTERED = "altered"
    #: They were compared, and are not compared now.
    NOT_COMPARED = "not compared"
    #: They are compared now, are right, and were not compared before.
    NEWLY_COMPARED = "newly compared"


@dataclass(frozen=True)
class WeightsChanged:
    """The weights of an LSTM of a model's file, or a trained layer that is in none, are not as they were."""

    became: Became
    #: Whether it is worse, and counts: wrong weights of a file that the old report does not have are told alone.
    worse: bool
    #: None where a report does not compare it.
    old: WeightsCompared | None
    new: WeightsCompared | None

    @property
    def name(self) -> str:
        """The model's file, and the LSTM in it or the trained layer."""
        told = self.new or self.old
        assert told is not None
        return f"{told.file}: {told.lstm or told.trained}"


def compare_weights(old: Report, new: Report) -> Iterator[WeightsChanged]:
    """What is not as it was. Files are the same if their names and those of the trained weights are."""
    before, after = ({own.name: own for own in by_file(report.asked.weights)} for report in (old, new))
    for name in dict.fromkeys([*before, *after]):
        yield from _of_file(before.get(name), after.get(name))


def _of_file(old: OfFile | None, new: OfFile | None) -> Iterator[WeightsChanged]:
    before, after = ({key(each): each for each in own.compared} if own else {} for own in (old, new))
    for name in dict.fromkeys([*before, *after]):
        was, now = before.get(name), after.get(name)
        became = _became(was, now, gone=new is None)
        if became is not None:
            yield WeightsChanged(became, became == Became.WRONG and old is not None, was, now)


def _became(old: WeightsCompared | None, new: WeightsCompared | None, gone: bool) -> Became | None:
    if new is None:
        # A layer that was missing and is named no more is there.
        found = old is not None and old.likeness == Likeness.MISSING and not gone
        return Became.RIGHT if found else Became.NOT_COMPARED
    if old is None:
        return Became.WRONG if new.likeness.wrong else Became.NEWLY_COMPARED
    if old.likeness.wrong != new.likeness.wrong:
        return Became.WRONG if new.likeness.wrong else Became.RIGHT
    return Became.ALTERED if told_of(old) != told_of(new) else None


def told_of(compared: WeightsCompared) -> list[str]:
    """How it compares, and each wrong conversion, a line each."""
    return [sentence(compared), *details(compared)]
