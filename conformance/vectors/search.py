"""The vectors of a set: what is asked for, the candidates tried, the best of them chosen for each form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.conventions.parameters import ORDERS
from conformance.errors import SuiteError, UsageError
from conformance.faults import DIFFERENT, FAULTS
from conformance.faults.fault import FULL
from conformance.faults.twin import Twin
from conformance.selftest.peer import Peer, accepts, reading, result_of
from conformance.vectors import candidates, sized
from conformance.vectors.cover import cover
from conformance.vectors.forms import FORMS, Form, uses
from conformance.vectors.trying import Stage, Tried, faults_of, ratio, try_all, try_one
from conformance.vectors.vector import Vector, errors

#: Told of each step that is done: how many, of how many, and what they are.
Watch = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Asked:
    """What a set may use, and how large it may be."""

    dtype: str = "float32"
    #: The options that no vector uses, by the names of ``forms.OPTIONS``.
    without: tuple[str, ...] = ()
    #: The most vectors of a form, and the most bytes of their arrays: as text they take three times as many.
    count: int = 64
    size: int = 330_000
    seed: int = 0


@dataclass(frozen=True)
class Chosen:
    """A vector of a set."""

    name: str
    vector: Vector
    #: The faults that it kills, and those of them that no vector before it kills.
    kills: frozenset[str]
    first: frozenset[str]


@dataclass(frozen=True)
class Beside:
    """What another test set does with the same faults."""

    #: The name of the form that its calls have.
    form: str
    name: str
    note: str
    vectors: int
    kills: frozenset[str]
    orders: int


@dataclass(frozen=True)
class VectorSet:
    """The vectors of one form, and what they are worth."""

    form: Form
    chosen: tuple[Chosen, ...]
    #: The faults that one call can show which the form and the options allow.
    shown: frozenset[str]
    #: How many of the 24 gate orders the set accepts; one is right.
    orders: int
    #: The largest share of the tolerance that a correct LSTM needs, and how many were asked.
    margin: float
    correct: int

    @property
    def killed(self) -> frozenset[str]:
        """The faults that some vector kills."""
        return frozenset().union(*(chosen.kills for chosen in self.chosen))

    @property
    def size(self) -> int:
        """The bytes of all arrays."""
        return sum(chosen.vector.size for chosen in self.chosen)


def stages(asked: Asked) -> tuple[Stage, ...]:
    """The candidates that use nothing that is left out."""
    seed, dtype = asked.seed, asked.dtype

    def allowed(vectors: Iterable[Vector]) -> tuple[Vector, ...]:
        return tuple(vector for vector in vectors if not uses(vector) & set(asked.without))

    return (
        Stage(allowed(candidates.usual(dtype, seed))),
        Stage(allowed(candidates.special(dtype, seed))),
        Stage(allowed(sized.sized(dtype, seed)), sized.KINDS),
        Stage(allowed(sized.large(dtype, seed)), sized.LARGE_KINDS, only_shows=True),
        Stage(allowed(sized.empty(dtype, seed)), sized.EMPTY_KINDS, only_shows=True),
    )


def search(
    asked: Asked,
    forms: Sequence[Form] = FORMS,
    watch: Watch = lambda done, total, what: None,
    faults: Sequence[str] = (),
) -> dict[str, VectorSet]:
    """The best vectors for each form by its name, the widest first. ``faults`` are those that count; all by default.

    ``UsageError`` if the options and the budget leave none.
    """
    offered = stages(asked)
    total, done = sum(len(stage.candidates) for stage in offered), 0
    counted = [fault for fault in faults_of(asked.dtype) if not faults or fault.id in faults]

    def tell() -> None:
        nonlocal done
        done += 1
        watch(done, total, "candidates")

    tried = try_all(offered, counted, forms, tell)
    places = {form.name: _places(tried, form, asked) for form in forms}
    # What was tried on a part of the faults alone is tried on all: the matrix is whole.
    wanted = sorted(set().union(*places.values()))
    rows: dict[int, dict[str, set[str]]] = {}
    for k in wanted:
        rows[k] = try_one(tried.candidates[k], counted, tried.shown)
        watch(len(rows), len(wanted), "chosen vectors")
    made = {}
    for form in forms:
        chosen = [(tried.candidates[k], rows[k][form.name]) for k in places[form.name]]
        made[form.name] = _set(form, chosen, frozenset(tried.shown[form.name]))
    return made


def _places(tried: Tried, form: Form, asked: Asked) -> list[int]:
    sizes = [vector.size for vector in tried.candidates]
    places = cover(tried.kills[form.name], sizes, asked.count, asked.size)
    if not places:
        raise UsageError(
            f"no vector of at most {asked.size:,} bytes kills a fault in the form {form.name}",
            "allow more bytes, or leave less out",
        )
    return places


def _set(form: Form, found: Sequence[tuple[Vector, set[str]]], shown: frozenset[str]) -> VectorSet:
    chosen: list[Chosen] = []
    before: set[str] = set()
    for number, (vector, killed) in enumerate(found, 1):
        chosen.append(Chosen(name_of(number, vector), vector, frozenset(killed), frozenset(killed - before)))
        before |= killed
    vectors = [vector for vector, _ in found]
    margin, correct = _margin(form, vectors)
    return VectorSet(form, tuple(chosen), shown, _orders(form, vectors), margin, correct)


def name_of(number: int, vector: Vector) -> str:
    """A name that files, C and ONNX may bear: the number and what the model and the call are."""
    case, config = vector.case, vector.case.config
    words = [f"{number:02}", f"i{config.input_size}", f"h{config.hidden_size}"]
    words += [f"layers{config.num_layers}"] if config.num_layers > 1 else []
    words += [f"proj{config.proj_size}"] if config.proj_size else []
    words += ["bidirectional"] if config.bidirectional else []
    return "_".join([*words, f"l{case.steps}", f"n{case.batch}"])


def _orders(form: Form, vectors: Sequence[Vector]) -> int:
    return sum(_accepted(form, vectors, reading(order)) for order in ORDERS)


def _accepted(form: Form, vectors: Sequence[Vector], twin: Twin) -> bool:
    return all(_share(form, vector, twin) <= 1 for vector in vectors)


def _margin(form: Form, vectors: Sequence[Vector]) -> tuple[float, int]:
    """The largest share of the tolerance that a correct LSTM needs; ``SuiteError`` if one exceeds it."""
    correct = {"the correct twin": Twin(), **{different.id: different.twin for different in DIFFERENT}}
    worst = 0.0
    for name, twin in correct.items():
        for vector in vectors:
            share = _share(form, vector, twin)
            if share > 1:
                raise SuiteError(f"{name} is correct, and is {share:.3g} times beyond the tolerance of {vector.text}")
            worst = max(worst, share)
    return worst, len(correct)


def _share(form: Form, vector: Vector, twin: Twin) -> float:
    """The largest error of an LSTM as a share of its tolerance; infinite if its result has another form."""
    tolerances, got = form.tolerances(vector), result_of(twin.build, vector.case)
    assert tolerances is not None
    found = None if got is None else errors(vector, got)
    return float(np.inf) if found is None else ratio(found, tolerances)


def beside(form: str, peer: Peer, shown: frozenset[str]) -> Beside:
    """What the vectors of a peer, whose calls have a form, do with the faults that one call can show."""
    faults = (FAULTS[id] for id in sorted(shown))
    kills = frozenset(fault.id for fault in faults if not accepts(peer, fault.twin, fault.capabilities))
    orders = sum(accepts(peer, reading(order), FULL) for order in ORDERS)
    return Beside(form, peer.name, peer.note, len(peer.vectors), kills, orders)
