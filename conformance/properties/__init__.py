"""The properties: named, permanent, documented requirements, one module per group, one function per property.

Here belongs what an LSTM must do, and why. Tolerances belong in ``bounds``, cases built to show more in
``instruments``, and the order in which properties are asked in ``engine``.
"""

from __future__ import annotations

from importlib import import_module

from conformance.errors import UsageError, nearest
from conformance.properties.model import Property, registered

#: The groups in the order of the table; each is a module of this package.
GROUPS = (
    "smoke",
    "layout",
    "values",
    "sequence",
    "direction",
    "stack",
    "batch",
    "lengths",
    "state",
    "parameters",
    "numerics",
    "nonfinite",
    "degenerate",
    "gradients",
    "dropout",
    "purity",
    "sizes",
    "refusals",
)


def catalogue() -> dict[str, Property]:
    """Every property by its id, in the order of the groups."""
    for group in GROUPS:
        import_module(f"conformance.properties.{group}")
    if strange := [id for id in registered if id.partition(".")[0] not in GROUPS]:
        raise ValueError(f"property {strange[0]!r} is of no group; the groups are {', '.join(GROUPS)}")
    # A module of one group may be imported by another's, or by a user's, before its turn.
    return dict(sorted(registered.items(), key=lambda item: GROUPS.index(item[1].group)))


def select(only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> list[Property]:
    """The properties that ids or groups name; all without ``only``. ``UsageError`` for a name that is neither."""
    known = catalogue()
    for name in (*only, *exclude):
        if name not in known and name not in GROUPS:
            raise UsageError(f"no property or group is named {name!r}", _hint(name, [*known, *GROUPS]))
    named = [p for p in known.values() if not only or p.id in only or p.group in only]
    return [p for p in named if p.id not in exclude and p.group not in exclude]


def _hint(name: str, known: list[str]) -> str:
    """What was probably meant by a name that is none."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1:
        return f"give each by itself: {' '.join(filter(None, parts))}"
    near = nearest(name, known)
    return f"did you mean {' or '.join(near)}?" if near else "`lstm-conformance list` shows the ids"
