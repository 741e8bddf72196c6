"""Weights that went through a conversion, recognised: which trained tensors they are, and how they were rearranged.

``recognise`` compares the weights of an LSTM in a file, in nn.LSTM's convention as the file's format defines them, with
those that it should hold. No model runs. Each tensor is explained by itself: by the tensor that it was taken from, by
one of ``LAYOUTS`` and by the order of its gates. All 24 orders are found by comparing the four blocks with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from conformance.backend import reorder
from conformance.conventions.alike import Degree, degree, largest, near
from conformance.conventions.parameters import (
    ORDERS,
    Change,
    interleaved,
    square_transposed,
    transposed,
)
from conformance.facts.weights import Likeness, Taken
from conformance.spec import GATES, Array, LSTMConfig, layer_params

#: Of each gate, so many elements tell whether a matrix may come of another one.
_SAMPLE = 64

#: How far the search for what a tensor is goes: whether it holds its own values; whether it comes of its own tensor; of
#: one of another kind or owner too; of one of both.
OWN_VALUES, OWN_TENSORS, ALL = 0, 1, 3

#: The tensors of one layer and direction, by their names without the suffix.
Tensors = Mapping[str, Array]


def _transposed_back(config: LSTMConfig, name: str, value: Array) -> Array:
    return value.T.reshape(value.shape)


def _unit_by_unit(config: LSTMConfig, name: str, value: Array) -> Array:
    return value.reshape(4, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)


def _as_it_is(config: LSTMConfig, name: str, value: Array) -> Array:
    return value


def _columns_swapped(config: LSTMConfig, name: str, value: Array) -> Array:
    """The columns of the two directions below exchanged, in a layer or in one direction of it."""
    return np.roll(value, value.shape[1] // 2, axis=1)


#: The arrangements of a matrix, the usual one first, each with the functions that make it.
LAYOUTS: Mapping[str, tuple[Change, ...]] = {
    "": (_as_it_is,),
    "blocks transposed": (square_transposed,),
    "transposed": (transposed, _transposed_back),
    "unit by unit": (interleaved, _unit_by_unit),
    "directions swapped": (_columns_swapped,),
}

#: What may stand for the sum of both biases, from b_ih and b_hh, the right one first. Besides, "bias_ih alone" and
#: "bias_hh alone" say that in the sum the gates of this one stand in another order, and those of the other do not.
SUMS: Mapping[str, Callable[[Array, Array], Array]] = {
    "": lambda ih, hh: ih + hh,
    "bias_ih": lambda ih, hh: ih,
    "bias_hh": lambda ih, hh: hh,
    "bias_ih twice": lambda ih, hh: 2 * ih,
    "bias_hh twice": lambda ih, hh: 2 * hh,
    "sum twice": lambda ih, hh: 2 * (ih + hh),
    "zeros": lambda ih, hh: 0 * ih,
}


@dataclass(frozen=True)
class Recognised:
    """What the weights of an LSTM are."""

    likeness: Likeness
    dtype: str = ""
    largest: float = 0.0
    merged: bool = False
    taken: tuple[Taken, ...] = ()
    unrelated: tuple[str, ...] = ()


def recognise(
    config: LSTMConfig,
    found: Mapping[str, Array],
    owners: Mapping[str, str],
    trained: Mapping[str, Tensors],
    gates: str = GATES,
    reach: int = ALL,
) -> Recognised:
    """What the weights ``found`` are, of an LSTM of ``config``, by nn.LSTM's names.

    ``trained`` are all trained layers and directions by their names; ``owners`` says by suffix which of them the LSTM
    should hold. ``gates`` is the order of the gates in the file. A bias that one side lacks counts as zeros. A
    tensor that comes of nothing within ``reach`` is unrelated.
    """
    taken: list[Taken] = []
    degrees: list[Degree] = []
    unrelated: list[str] = []
    merged = False
    for slot in config.slots():
        tensors, owner = layer_params(found, slot), owners[slot.suffix]
        sources = _Search(config, owner, trained, gates, reach)
        for kind in ("weight_ih", "weight_hh", "weight_hr"):
            if kind in tensors:
                told = sources.matrix(kind, tensors[kind])
                if isinstance(told, Degree):
                    degrees.append(told)
                elif told is None:
                    unrelated.append(kind + slot.suffix)
                else:
                    taken.append(replace(told, tensors=(kind + slot.suffix,)))
        told = sources.bias(tensors)
        if isinstance(told, Degree):
            apart = _same_halves(tensors, trained[owner])
            # A sum is rounded, where there are two biases and where there is one.
            degrees.append(told if apart or told.dtype != config.dtype else told._replace(level=0))
            merged |= not apart
        elif told is None:
            unrelated.append("bias" + slot.suffix)
        else:
            taken.append(replace(told, tensors=("bias" + slot.suffix,)))
    worst = max(degrees, default=Degree(0, 0.0))
    if taken or unrelated:
        return Recognised(
            Likeness.DIFFERENT, worst.dtype, worst.largest, merged, tuple(_together(taken)), tuple(unrelated)
        )
    likeness = Likeness.EQUAL if worst.level == 0 else Likeness.ROUNDED if worst.dtype else Likeness.NEAR
    return Recognised(likeness, worst.dtype, worst.largest, merged)


def _same_halves(found: Tensors, own: Tensors) -> bool:
    """Whether each bias holds its own values; one that is missing on both sides does."""
    return all(_like(found.get(name), own.get(name)) for name in ("bias_ih", "bias_hh"))


def _like(one: Array | None, other: Array | None) -> bool:
    one, other = (None if part is not None and not np.any(part) else part for part in (one, other))
    if one is None or other is None:
        return one is other
    return degree(one, other) is not None


def _together(taken: list[Taken]) -> Iterator[Taken]:
    """Tensors that come of others in the same way, as one."""
    groups: dict[Taken, list[str]] = {}
    for each in taken:
        groups.setdefault(replace(each, tensors=()), []).extend(each.tensors)
    for each, tensors in groups.items():
        yield replace(each, tensors=tuple(tensors))


@dataclass(frozen=True)
class _Arrangement:
    """A change of a matrix whose gates were brought into an order before, and are brought back after it."""

    config: LSTMConfig
    kind: str
    change: Change
    order: str

    def __call__(self, value: Array) -> Array:
        """The elements of a matrix in another arrangement."""
        if self.order == GATES:
            return self.change(self.config, self.kind, value)
        packed = self.change(self.config, self.kind, reorder(value, self.order))
        blocks = packed.reshape(4, -1, *packed.shape[1:])
        return blocks[[self.order.index(gate) for gate in GATES]].reshape(packed.shape)

    def may_give(self, found: Array, value: Array, scale: float) -> bool:
        """Whether each gate of ``found`` may be some gate of what comes of ``value``, as some of its elements tell.

        ``scale`` is the largest magnitude in both.
        """
        of_blocks, sources = _sampled(self, value.shape)
        some, others = (np.asarray(part, np.float64) for part in (found.ravel()[of_blocks], value.ravel()[sources]))
        return all(any(near(np.abs(mine - other), scale) for other in others) for mine in some)


@lru_cache(maxsize=256)
def _sampled(made: _Arrangement, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Of each gate, the places of some elements in a matrix (4, n), and where an arrangement takes them from."""
    places = np.arange(math.prod(shape)).reshape(4, -1)
    some = places[:, :: max(1, places.shape[1] // _SAMPLE)].copy()
    return some, made(places.reshape(shape)).ravel()[some]


@dataclass(frozen=True)
class _Search:
    """The search for what the tensors of one layer and direction are."""

    config: LSTMConfig
    owner: str
    trained: Mapping[str, Tensors]
    gates: str
    reach: int

    def matrix(self, kind: str, found: Array) -> Degree | Taken | None:
        """What a matrix is: its own values, others, or nothing known."""
        own = self.trained[self.owner].get(kind)
        if own is not None and own.shape == found.shape and (told := degree(found, own)):
            return told
        # The nearest sources first: what they explain needs none of the others.
        for sources in self._sources(kind, found.shape)[: self.reach]:
            tried = (self._of(found, owner, other, kind) for owner, other in sources)
            best = min(filter(None, tried), key=lambda each: each[0], default=None)
            if best is not None:
                return best[1]
        return None

    def _sources(self, kind: str, shape: tuple[int, ...]) -> list[list[tuple[str, str]]]:
        """The trained matrices of a shape, by how foreign they are: its own, of another kind or owner, or both."""
        found: list[list[tuple[str, str]]] = [[], [], []]
        for owner in [self.owner, *(name for name in self.trained if name != self.owner)]:
            for other in sorted(self.trained[owner], key=lambda name: name != kind):
                if self.trained[owner][other].shape == shape and (kind == other or "weight_hr" not in (kind, other)):
                    found[(owner != self.owner) + (other != kind)].append((owner, other))
        return found

    def _of(self, found: Array, owner: str, other: str, kind: str) -> tuple[tuple[int, Degree], Taken] | None:
        """How a matrix comes of a trained one, with a key that is smaller for what is nearer and simpler."""
        value = self.trained[owner][other]
        told = Taken((), "" if owner == self.owner else owner, "" if other == kind else other)
        scale = max(largest(found), largest(value))
        for place, (layout, changes) in enumerate(LAYOUTS.items()):
            if kind == "weight_hr" and layout not in ("", "transposed"):
                continue
            for made in (made for change in changes for made in self._arranged(change, kind, found, value, scale)):
                if kind == "weight_hr":
                    order, alike = "", degree(found, made)
                else:
                    order, alike = self._order(found, made)
                if alike is not None:
                    return (place, alike), replace(told, layout=layout, gates=order)
        return None

    def _arranged(self, change: Change, kind: str, found: Array, value: Array, scale: float) -> Iterator[Array]:
        """A matrix rearranged before its gates are in the file's order, and after, as far as that may be ``found``."""
        if value.ndim != 2 or (change is _columns_swapped and not self._reads_both(value)):
            return
        orders = [GATES]
        if self.gates != GATES and kind != "weight_hr" and change is not _as_it_is:
            orders.append(self.gates)
        for order in orders:
            made = _Arrangement(self.config, kind, change, order)
            if kind == "weight_hr" or made.may_give(found, value, scale):
                yield made(value)

    def _reads_both(self, value: Array) -> bool:
        """Whether it may read two directions below; it may be one direction of a layer itself."""
        return value.shape[1] == 2 * self.config.output_size

    def _order(self, found: Array, want: Array, size: Array | None = None) -> tuple[str, Degree | None]:
        """The order in which the gates stand in the file, nothing if it is the format's, and how alike they are then.

        None if some gate holds the rows of no gate.
        """
        size = np.abs(want) if size is None else size
        blocks = [np.split(np.asarray(part, np.float64), 4) for part in (found, want, size)]
        held: dict[str, str] = {}
        worst = Degree(0, 0.0)
        for at, gate in enumerate(GATES):
            alike = {
                each: told
                for place, each in enumerate(GATES)
                if (told := degree(blocks[0][at], blocks[1][place], blocks[2][place]))
            }
            if not alike:
                return "", None
            best = min(alike, key=lambda each: (alike[each], each != gate))
            held[gate], worst = best, max(worst, alike[best])
        order = "".join(held[gate] for gate in self.gates)
        return ("" if order == self.gates else order), worst

    def bias(self, tensors: Tensors) -> Degree | Taken | None:
        """What the sum of both biases is: that of its own ones, something else, or nothing known."""
        rows = 4 * self.config.hidden_size
        found = np.add(*_halves(tensors, rows))
        ih, hh = _halves(self.trained[self.owner], rows)
        size = np.abs(ih) + np.abs(hh)
        if told := degree(found, ih + hh, size):
            return told
        if self.reach == OWN_VALUES:
            return None
        if offset := self._offset(found - (ih + hh)):
            return Taken((), offset=offset)
        others = [name for name in self.trained if name != self.owner] if self.reach > OWN_TENSORS else []
        for owner in [self.owner, *others]:
            if len(self.trained[owner]["weight_ih"]) != rows:
                continue
            halves = _halves(self.trained[owner], rows)
            other = "" if owner == self.owner else owner
            for name, make in SUMS.items():
                want = make(*halves)
                # That all are zeros says nothing of whose they are.
                if name != "zeros" and not np.any(want):
                    continue
                order, alike = self._order(found, want, np.add(*map(np.abs, halves)))
                if alike is not None:
                    return Taken((), "" if name == "zeros" else other, gates=order, sum=name)
        return self._one_reordered(found, ih, hh, size)

    def _one_reordered(self, found: Array, ih: Array, hh: Array, size: Array) -> Taken | None:
        """One of both biases has its gates in another order, the other has not."""
        for name, kept, moved in (("bias_hh alone", ih, hh), ("bias_ih alone", hh, ih)):
            for order in ORDERS:
                blocks = np.split(moved, 4)
                if degree(found, kept + np.concatenate([blocks[order.index(gate)] for gate in GATES]), size):
                    return Taken((), gates="".join(GATES[order.index(gate)] for gate in self.gates), sum=name)
        return None

    def _offset(self, difference: Array) -> float:
        """What was added to the forget gate's bias and to no other: 1, or what was there for several units."""
        H = self.config.hidden_size
        others, forget = np.delete(difference, slice(H, 2 * H)), difference[H : 2 * H]
        offset = float(np.round(forget.mean(), 3))
        small = bool(np.all(np.abs(others) < 1e-4) and np.all(np.abs(forget - offset) < 1e-4))
        return offset if small and abs(offset) >= 0.1 and (H > 1 or abs(offset) == 1) else 0.0


def _halves(tensors: Tensors, rows: int) -> tuple[Array, Array]:
    """Both biases in float64; zeros for one that is not there."""
    ih, hh = (np.asarray(tensors.get(name, np.zeros(rows)), np.float64) for name in ("bias_ih", "bias_hh"))
    return ih, hh
