"""The shapes that a backend that compiles is asked at: few, and shared by all properties.

Drawn cases have the shapes of the pool (``cases/pool.py``). A property that makes a case for a purpose wants some size
that is one, several, long or wide; how large it is exactly matters less than a compilation. So ``shared`` takes the
nearest of these shapes, and every property that wants a wide model gets the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conformance.backend import Backend
from conformance.cases.common import simplest
from conformance.cases.recipe import SHAPING, Recipe
from conformance.cases.sizes import COMPILED_SIZES, LONG, MANY_ROWS, WIDE

#: Sizes up to this one count as several, larger ones as long, or wide.
_SEVERAL = 7

#: Sizes beyond this one are asked for their own sake: an axis that 16 bits do not count.
_ANY = 30_000


def ordinary(backend: Backend) -> dict[str, Any]:
    """The fields of the ordinary call's recipe: whether rows have lengths, and values, are left to the case."""
    usual = simplest(backend)[1]
    names = *SHAPING, "batch_first", "unbatched", "dtype", "state"
    return {name: getattr(usual, name) for name in names} | {"fill": "normal", "view": "plain"}


def shared(backend: Backend, recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with changes, the sizes among them taken to the nearest that other properties use as well."""
    changed = replace(recipe, **changes)
    c = backend.capabilities
    sizes = {name: changes[name] for name in ("I", "H", "L", "N") if name in changes}
    if c.fixed is not None or max(sizes.values(), default=0) > _ANY or changed.I == changed.H == 1:
        return changed
    usual = COMPILED_SIZES | ({} if c.batch and not changed.unbatched else {"N": 1})
    beyond = [name for name, size in sizes.items() if size > _SEVERAL]
    if sizes.get("N", 1) >= 1000:
        near = {**MANY_ROWS, "layers": 1, "bidirectional": False, "proj": 0, "state": "none", "ragged": False}
    elif {*beyond} - {"L"}:
        near = {**usual, **WIDE, "proj": 0} | ({"N": 1} if usual["N"] == 1 else {})
        near["L"] = 1 if sizes.get("L") == 1 else near["L"]
    else:
        near = {name: size if size <= 1 else usual[name] for name, size in sizes.items()}
        near |= {"L": LONG} if beyond else {}
        near |= {"proj": min(changed.proj, 2)} if "H" in near else {}
    return replace(changed, **near)
