"""Where it is wrong, in a person's words: under which conditions, and at which place in the results."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.facts import Conditions, Misplaced, Place, Trait
from conformance.report import english

#: So many values of a place are told one by one.
_LISTED = 4

#: The words for the dimensions of cases that do not speak for themselves.
_DIMENSIONS = {
    "dtype": "the dtype",
    "view": "the view",
    "fill": "the fill",
    "turn": "the variant",
    "gain": "the gain",
    "proj": "proj_size",
    "slots": "layers × directions",
    "width": "D·P",
    "terms": "the longest sum",
    "shortest": "the shortest row",
    **{f"|{tensor}|": f"some |{tensor}|" for tensor in ("x", "h_0", "c_0", "a", "c", "h")},
    "a": "some preactivation",
    "c": "some c",
}

#: The dimensions that others may be equal to.
_SIZES = ("I", "H", "L", "N", "P", "slots", "width")

#: The words for a trait that holds, and for its contrary.
_FLAGS = {
    "bidirectional": ("there are two directions", "there is one direction"),
    "bias": ("there are biases", "there are no biases"),
    "batch_first": ("batch_first is set", "batch_first is not set"),
    "unbatched": ("x is unbatched", "x is a batch"),
    "ragged": ("lengths are given", "no lengths are given"),
    "padding": ("row lengths differ (ragged)", "all rows are of full length"),
    "h_0": ("h_0 is given", "no h_0 is given"),
    "c_0": ("c_0 is given", "no c_0 is given"),
    "h_read": ("some step reads an h that is not zeros", "no step reads an h that is not zeros"),
    "c_read": ("some step reads a c that is not zeros", "no step reads a c that is not zeros"),
    "training": ("it is in training mode", "it is in evaluation mode"),
}

#: The words for a trait that is told in a way of its own.
_TRAITS = {
    ("state", "=", "both"): "a state is given",
    ("state", "=", "none"): "no state is given",
    ("state", "not", "none"): "a state is given",
    ("state", "=", "h"): "h_0 alone is given",
    ("state", "=", "c"): "c_0 alone is given",
    ("directions", "=", 1): "there is one direction",
    ("directions", "=", 2): "there are two directions",
    ("proj", ">=", 1): "there is a projection",
    ("proj", "=", 0): "there is no projection",
    ("view", "=", "plain"): "no array is a view",
    ("view", "not", "plain"): "an array is a view",
}

_SIGNS = {"=": "=", "not": "≠", ">=": "≥", "<=": "≤"}


def conditions(found: Conditions) -> str:
    """Where it is wrong, with the cases that say so."""
    traits = _enumerated([trait(one) for one in found.traits])
    inside = f"{found.failed} of {found.inside}"
    others = f"{found.failed_outside} of {english.counted(found.outside, 'other')}"
    if not traits:
        return f"wrong in {inside} cases, under no condition that was found"
    if found.exact:
        return f"wrong exactly where {traits} ({inside}; {others})"
    if not found.outside:
        return f"wrong where {traits} ({inside}; there was no other case)"
    return f"wrong in {inside} cases where {traits}, and in {others}"


def _enumerated(clauses: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(clauses[:-1]), *clauses[-1:]]))


def trait(one: Trait) -> str:
    """A trait as a clause: "layers ≥ 2", "H is a multiple of 4", "a state is given"."""
    name, relation, value = _DIMENSIONS.get(one.dimension, one.dimension), one.relation, one.value
    if type(value) is bool:
        holds, not_so = _FLAGS.get(one.dimension, (f"{name} holds", f"{name} does not hold"))
        return holds if value == (relation != "not") else not_so
    if told := _TRAITS.get((one.dimension, relation, value)):
        return told
    # "N = L" compares two sizes, "the dtype is float32" does not.
    word = isinstance(value, str) and value not in _SIZES
    told = f"{value:g}" if isinstance(value, float) else _DIMENSIONS.get(str(value), str(value))
    match relation:
        case "=" | "not" if word:
            return f"{name} is {'not ' * (relation == 'not')}{told}"
        case "=" | "not" | ">=" | "<=":
            return f"{name} {_SIGNS[relation]} {told}"
        case "multiple of":
            return f"{name} is a multiple of {told}"
        case _:
            return f"{name} is {relation} {told}"


def place(found: Place) -> str:
    """Where in its results it is wrong, and by how much."""
    told = [f"at t = {found.first_step}"] if found.first_step is not None else []
    told += _some("in {}", found.tensors)
    told += _some("gate{s} {}", found.gates)
    told += _some("layer{s} {}", found.layers)
    told += [("forward direction", "reverse direction")[d] for d in found.directions if len(found.directions) == 1]
    told += _some("step{s} {}", found.steps)
    told += _some("row{s} {}", found.rows)
    told += _some("unit{s} {}", found.units)
    parts = [f"{'first ' if found.first_step is not None else ''}wrong {', '.join(told)}"] if told else []
    if found.error is not None:
        units = ", ".join(f"{_number(size)} roundoffs of {dtype}" for dtype, size in found.in_roundoffs.items())
        parts.append(f"error {found.error:.1e}" + (f" ({units})" if units else ""))
    parts += [_misplaced(one) for one in found.misplaced]
    return "; ".join(parts)


def _misplaced(found: Misplaced) -> str:
    """What stands where something else belongs, with an example."""
    here = f"{found.tensor}{_index(found.tensor, found.index)}"
    alike = f"{found.alike} of {found.wrong} wrong ones alike"
    if not found.source:
        return f"{here} is all zeros ({alike})"
    return f"{here} is what {found.source}{_index(found.source, found.belongs)} should be ({alike})"


def _index(tensor: str, index: tuple[int, ...]) -> str:
    """An index, with the half of an output in words."""
    if tensor == "output":
        half = ("forward half", "reverse half")[index[2]]
        return f"[{index[0]}, {index[1]}] ({half})"
    return str(list(index))


def _some(words: str, values: Sequence[object]) -> list[str]:
    if not values:
        return []
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    listed = ", ".join(map(str, values[:_LISTED])) + more
    return [words.replace("{s}", "s" if len(values) > 1 else "").replace("{}", listed)]


def _number(size: float) -> str:
    return f"{size:.2g}" if size < 100 else f"{size:.0f}" if size < 1e5 else f"{size:.0e}"
