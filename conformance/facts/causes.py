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

    #: A config's or a call's option, a size or a dtype: "layers", "N", "state" …
    dimension: str
    #: "=", "not", ">=", "<=", ">", "<", "multiple of", "not a multiple of".
    relation: str
    #: The value that it is compared with, or the name of another dimension.
    value: int | float | str | bool


@dataclass(frozen=True)
class Conditions:
    """The smallest conjunction of traits that every failing case has and no right case has, as far as was seen."""

    #: They hold together wherever it fails.
    traits: tuple[Trait, ...]
    #: Cases with all traits that failed.
    failed: int
    #: Cases with all traits.
    inside: int
    #: Cases without them that failed.
    failed_outside: int
    #: Cases without them.
    outside: int
    #: Whether they were read off these very cases, which a recording has: no others could be asked.
    recorded: bool = False

    @property
    def exact(self) -> bool:
        """Whether they hold wherever it fails, and nowhere else, on cases of both kinds."""
        return self.failed == self.inside > 0 and not self.failed_outside and self.outside > 0


@dataclass(frozen=True)
class Misplaced:
    """Most wrong parts of a tensor are the right ones of another place."""

    #: The tensor.
    tensor: str
    #: An example: (step, row, direction) of an output, (slot, row) of a state, (step, row) of a gradient of x.
    index: tuple[int, ...]
    #: The tensor whose right value stands there; nothing for zeros.
    source: str
    #: Where that value belongs; () for zeros.
    belongs: tuple[int, ...]
    #: Wrong parts that belong to other places of the same source.
    alike: int
    #: All wrong parts that were looked at.
    wrong: int


@dataclass(frozen=True)
class Place:
    """Where the results are wrong: the values of each field that occur, empty where all do or none is known."""

    #: The wrong tensors: "output", "h_n", "grad x" …
    tensors: tuple[str, ...] = ()
    #: The wrong gates: "i", "f", "g", "o".
    gates: tuple[str, ...] = ()
    #: The wrong layers, from 0 on.
    layers: tuple[int, ...] = ()
    #: The wrong directions: 0 forward, 1 reverse.
    directions: tuple[int, ...] = ()
    #: The first wrong step of an output, in the order in which its direction reads.
    first_step: int | None = None
    #: The wrong steps in that order; −1 alone if it is always the last.
    steps: tuple[int, ...] = ()
    #: The wrong rows; −1 alone if it is always the last.
    rows: tuple[int, ...] = ()
    #: The wrong units; −1 alone if it is always the last.
    units: tuple[int, ...] = ()
    #: The largest error.
    error: float | None = None
    #: The largest error by dtype, in units of that dtype's roundoff at the size of the values.
    in_roundoffs: dict[str, float] = field(default_factory=dict)
    #: Values that stand where they do not belong.
    misplaced: tuple[Misplaced, ...] = ()


@dataclass(frozen=True)
class Cause:
    """One cause of failures."""

    #: How sure it is.
    degree: Degree
    #: The alterations that explain it together; none if it is only located.
    alterations: tuple[Alteration, ...] = ()
    #: What else explains the same as well, each a set of alterations that is not simpler.
    alternatives: tuple[tuple[Alteration, ...], ...] = ()
    #: So many causes, this one among them, explain the fresh cases together.
    together: int = 1
    #: The probe at which it showed, a name of ``diagnosis/probes.py``, or nothing.
    probe: str = ""
    #: Confirmation cases that it explains.
    explained: int = 0
    #: Confirmation cases, which took no part in the search.
    tried: int = 0
    #: The recipe of the first that it does not explain.
    unexplained: str | None = None
    #: The failed property whose statement says by itself what is wrong, by id, or nothing.
    broken: str = ""
    #: When it shows, where no alteration explains it.
    conditions: Conditions | None = None
    #: Where it shows, where no alteration explains it.
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

    #: What makes properties fail.
    causes: tuple[Cause, ...] = ()
    #: Failed properties that no cause explains, by id.
    remaining: tuple[str, ...] = ()
    #: The probes that came out right, by name.
    right: tuple[str, ...] = ()
    #: The probes that were not tried, since time ran out or the backend ended.
    untried: tuple[str, ...] = ()
    #: Calls of the backend.
    calls: int = 0
    #: The seconds that it took.
    seconds: float = 0.0
    #: The seconds that it was allowed.
    limit: float = 0.0
    #: A defect of the suite that ended it early, or nothing.
    defect: str = ""
