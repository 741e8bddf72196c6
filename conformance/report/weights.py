"""How the weights of models' files compare with the trained ones, in a person's words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from conformance.facts.weights import Likeness, Taken, WeightsCompared
from conformance.report import english
from conformance.report.columns import WIDTH, wrapped

#: What is said of the arrangement of a matrix.
_LAYOUTS = {
    "blocks transposed": "each gate's block is transposed",
    "transposed": "the matrix is transposed under the same shape",
    "unit by unit": "the rows stand unit by unit instead of gate by gate",
    "directions swapped": "the columns of the two directions below are exchanged",
}

#: What is said of the sum of both biases.
_SUMS = {
    "bias_ih": "bias_hh is left out",
    "bias_hh": "bias_ih is left out",
    "bias_ih twice": "bias_ih stands for both biases",
    "bias_hh twice": "bias_hh stands for both biases",
    "sum twice": "the sum of both biases is there twice",
    "zeros": "both biases are left out",
}


#: What is said in short of weights that are not the trained ones.
_SHORT = {
    Likeness.NEAR: "not equal",
    Likeness.DIFFERENT: "converted wrongly",
    Likeness.UNMATCHED: "other sizes",
    Likeness.MISSING: "missing",
}

#: So many LSTMs of a file are named in a line.
_NAMED = 3


@dataclass(frozen=True)
class OfFile:
    """What was compared of one model's file with one file of trained weights."""

    file: str
    weights: str
    compared: tuple[WeightsCompared, ...]

    @property
    def name(self) -> str:
        """The name under which the forms have it beside the backends."""
        return f"{self.file}:{self.weights}"

    @property
    def wrong(self) -> tuple[WeightsCompared, ...]:
        """Those that are not the trained ones."""
        return tuple(each for each in self.compared if each.likeness.wrong)


def by_file(compared: Iterable[WeightsCompared]) -> tuple[OfFile, ...]:
    """The comparisons of each model's file, in their order."""
    files: dict[tuple[str, str], list[WeightsCompared]] = {}
    for each in compared:
        files.setdefault((each.file, each.weights), []).append(each)
    return tuple(OfFile(file, trained, tuple(own)) for (file, trained), own in files.items())


def key(told: WeightsCompared) -> str:
    """By which an LSTM of a file is known, or a trained layer that no LSTM of the file holds: the same in each run."""
    return f"weights.{told.lstm or told.trained}"


def weights(compared: Sequence[WeightsCompared], width: int = WIDTH) -> str:
    """A paragraph for each model's file: of each LSTM a line, and one for each wrong conversion."""
    lines = []
    for own in by_file(compared):
        lines.append(f"weights of {own.file}, beside those of {own.weights}")
        for each in own.compared:
            name = f"{each.lstm}: " if each.lstm else ""
            lines.append(wrapped(f"  {name}{sentence(each)}", "    ", width))
            lines += [wrapped(f"    {line}", "      ", width) for line in details(each)]
    return "\n".join(lines)


def in_a_line(own: OfFile, quoted: Callable[[str], str] = str) -> str:
    """Whether the weights of a file are the trained ones, and which are not; names as they are ``quoted``."""
    file, trained = quoted(own.file), quoted(own.weights)
    if not own.wrong:
        count = english.counted(len(own.compared), "LSTM")
        return f"the weights of {file} are those of {trained}: {count}, {_how_right(own)}"
    names = [f"{quoted(each.lstm or each.trained)} ({_in_short(each)})" for each in own.wrong]
    if left := names[_NAMED:]:
        names[_NAMED:] = [f"{len(left)} more"]
    return f"the weights of {file} are not those of {trained}: {english.enumerated(names)}"


def _how_right(own: OfFile) -> str:
    """How the weights of a file are the trained ones."""
    dtypes = [each.dtype for each in own.compared if each.likeness == Likeness.ROUNDED]
    if dtypes:
        some = f"{len(dtypes)} of them " if len(dtypes) < len(own.compared) else ""
        return f"{some}rounded to {english.enumerated([*dict.fromkeys(dtypes)])}"
    if any(each.merged for each in own.compared):
        return "equal, with biases merged or exchanged"
    return "equal to the last bit"


def _in_short(told: WeightsCompared) -> str:
    unknown = told.likeness == Likeness.DIFFERENT and not told.taken
    return "other values" if unknown else _SHORT[told.likeness]


def sentence(told: WeightsCompared) -> str:
    """How one LSTM of a file compares."""
    match told.likeness:
        case Likeness.EQUAL:
            return f"{told.trained}, equal to the last bit{_merged(told)}"
        case Likeness.ROUNDED:
            return f"{told.trained}, rounded to {told.dtype}: they differ by {told.largest:.1e} at most{_merged(told)}"
        case Likeness.NEAR:
            return f"{told.trained}, but not equal: they differ by up to {told.largest:.1e}, more than by rounding"
        case Likeness.DIFFERENT:
            return f"{told.trained}, converted wrongly" if told.taken else f"not the weights of {told.trained}"
        case Likeness.UNMATCHED:
            return f"no trained LSTM, layer or direction has its sizes ({told.note})"
        case Likeness.MISSING:
            return f"{told.trained} is in no LSTM of the file"


def _merged(told: WeightsCompared) -> str:
    return ", but for the two biases: merged or exchanged, which changes nothing" if told.merged else ""


def details(told: WeightsCompared) -> list[str]:
    """The wrong conversions of one LSTM."""
    lines = [f"{english.enumerated(each.tensors)}: {'; '.join(_how(each, told))}" for each in told.taken]
    if told.unrelated:
        lines.append(f"{english.enumerated(told.unrelated)}: other values, in no order that could be recognised")
    return lines


def _how(taken: Taken, told: WeightsCompared) -> list[str]:
    """What is wrong with some tensors."""
    said = []
    if taken.owner or taken.kind:
        whose = " of ".join(filter(None, [taken.kind, taken.owner]))
        said.append(f"they hold the values of {whose}" if whose else "")
    if taken.layout:
        said.append(_LAYOUTS[taken.layout])
    if taken.sum.endswith(" alone"):
        said.append(f"the gates of {taken.sum.removesuffix(' alone')} stand in the order {_listed(taken.gates)}")
        said[-1] += f", the format has {_listed(told.gates)}"
        return said
    if taken.sum:
        said.append(_SUMS[taken.sum])
    if taken.gates:
        said.append(f"the gates stand in the order {_listed(taken.gates)}, the format has {_listed(told.gates)}")
    if taken.offset:
        said.append(f"{taken.offset:+g} on the forget gate's bias")
    return said


def _listed(gates: str) -> str:
    return ", ".join(gates)
