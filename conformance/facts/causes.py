"""The cause of failures, as data: what the diagnosis found, how sure it is, and what it explains."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Degree(StrEnum):
    """How sure a cause is. The three are never mixed up."""

    #: It explains every confirmation case within the bound, and nothing simpler does.
    CONFIRMED = "confirmed"
    #: It explains most of them.
    LIKELY = "likely"
    #: No formula explains it: only where and when it shows is known.
    LOCATED = "located"


@dataclass(frozen=True)
class Alteration:
    """A fault of the catalogue, everywhere or in a scope."""

    #: The fault's id.
    fault: str
    #: The names of ``diagnosis/scopes.py`` in which it holds, such as "reverse" or "weight_hh"; everywhere if none.
    scope: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trait:
    """What all failing cases have: ``relation`` between a dimension of the case and a value.

    ``Trait("layers", ">=", 2)``, ``Trait("H", "multiple of", 4)``, ``Trait("N", "=", "L")``, ``Trait("state", "=",
    "both")``, ``Trait("dtype", "not", "float32")``.
    """

    dimension: str
    #: "=", "not", ">=", "<=", "multiple of", "not a multiple of".
    relation: str
    value: int | float | str | bool


@dataclass(frozen=True)
class Conditions:
    """The smallest conjunction of traits that every failing case has and no right case has, as far as was seen."""

    traits: tuple[Trait, ...]
    #: Cases with all traits: those that failed, and all of them.
    failed: int
    inside: int
    #: Cases without: those that failed, and all of them.
    failed_outside: int
    outside: int

    @property
    def exact(self) -> bool:
        """Whether they hold wherever it fails, and nowhere else, on cases of both kinds."""
        return self.failed == self.inside > 0 and not self.failed_outside and self.outside > 0


@dataclass(frozen=True)
class Misplaced:
    """Most wrong parts of a tensor are the right ones of another place."""

    tensor: str
    #: An example: (step, row, direction) of an output, (slot, row) of a state, (step, row) of a gradient of x.
    index: tuple[int, ...]
    #: The tensor whose right value stands there, and where it belongs; nothing and () for zeros.
    source: str
    belongs: tuple[int, ...]
    #: Wrong parts that belong to other places of the same source, and all wrong parts that were looked at.
    alike: int
    wrong: int


@dataclass(frozen=True)
class Place:
    """Where the results are wrong: the values of each field that occur, empty where all do or none is known."""

    tensors: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    directions: tuple[int, ...] = ()
    #: The first wrong step of an output, in the order in which its direction reads.
    first_step: int | None = None
    #: The wrong steps in that order, and the wrong rows and units; −1 alone if it is always the last.
    steps: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    units: tuple[int, ...] = ()
    #: The largest error, absolute and in units of each dtype's roundoff at the size of the values.
    error: float | None = None
    in_roundoffs: dict[str, float] = field(default_factory=dict)
    misplaced: tuple[Misplaced, ...] = ()


@dataclass(frozen=True)
class Cause:
    """One cause of failures."""

    degree: Degree
    #: The alterations that explain it together; none if it is only located.
    alterations: tuple[Alteration, ...] = ()
    #: What else explains the same as well, each a set of alterations that is not simpler.
    alternatives: tuple[tuple[Alteration, ...], ...] = ()
    #: So many causes, this one among them, explain the fresh cases together.
    together: int = 1
    #: The probe at which it showed, a name of ``diagnosis/probes.py``, or nothing.
    probe: str = ""
    #: Confirmation cases that took no part in the search: those that it explains, and all of them.
    explained: int = 0
    tried: int = 0
    #: The recipe of the first that it does not explain.
    unexplained: str | None = None
    #: The failed property whose statement says by itself what is wrong, by id, or nothing.
    broken: str = ""
    conditions: Conditions | None = None
    place: Place | None = None
    #: The failed properties that it explains, by id.
    explains: tuple[str, ...] = ()
    #: The frameworks whose convention it is, or the public bug that it stands for.
    seen_in: str = ""
    #: Code that mends it, in the terms of the contract; nothing if there is none.
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All that was found about the failures of one backend."""

    causes: tuple[Cause, ...] = ()
    #: Failed properties that no cause explains, by id.
    remaining: tuple[str, ...] = ()
    #: The probes that came out right, by name.
    right: tuple[str, ...] = ()
    #: The probes that were not tried, since time ran out or the backend ended.
    untried: tuple[str, ...] = ()
    #: Calls of the backend, seconds that it took, and the seconds that it was allowed.
    calls: int = 0
    seconds: float = 0.0
    limit: float = 0.0
    #: A defect of the suite that ended it early, or nothing.
    defect: str = ""
