"""Where it is wrong, in a person's words: at which place in the results, and under which conditions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from conformance.facts import Conditions, Misplaced, Outcome, Place, Trait
from conformance.report.english import counted, enumerated
from conformance.report.model import Verdict
from conformance.spec import GATES, Result

#: So many values of a place are told one by one.
_LISTED = 4

#: An error of at most so many roundoffs is told in them, if it is smaller than this share of its value.
_ROUNDOFFS, _SMALL = 16, 0.01

#: The unit roundoffs of float32 in a value of one.
_FLOAT32 = 2.0**24

#: The words for the dimensions of cases that do not speak for themselves.
_DIMENSIONS = {
    "dtype": "the dtype",
    "gain": "the gain of the weights",
    "proj": "proj_size",
    "earlier": "the number of earlier calls of the model",
    "slots": "layers × directions",
    "width": "D·P",
    "terms": "the longest sum's number of terms",
    "shortest": "the shortest row's length",
    "longest": "the longest row's length",
    **{f"|{tensor}|": f"some |{tensor}|" for tensor in ("x", "h_0", "c_0", "c", "h")},
    "|a|": "some |preactivation|",
    "a": "some preactivation",
    **{f"|a_{gate}|": f"some |preactivation| of gate {gate}" for gate in GATES},
    **{f"a_{gate}": f"some preactivation of gate {gate}" for gate in GATES},
    **{tensor: f"some element of {tensor}" for tensor in ("x", "h_0", "c_0", "c", "h")},
}

#: The dimensions that others may be equal to.
_SIZES = ("I", "H", "L", "N", "P", "slots", "width")

#: What a call before another had.
_EARLIER = {
    # Of older reports.
    "same_shape": "an x of the same shape",
    "same_rows": "as many rows",
    "same_steps": "as many steps",
    "more_steps": "more steps",
    "fewer_steps": "fewer steps",
    "more_rows": "more rows",
    "fewer_rows": "fewer rows",
    "one_row": "one row",
    "lengths": "lengths",
    "no_lengths": "no lengths",
    "state": "a state",
    "no_state": "no state",
}

#: The words for a trait that holds, and for its contrary.
_FLAGS = {
    "bidirectional": ("there are two directions", "there is one direction"),
    "bias": ("there are biases", "there are no biases"),
    "batch_first": ("batch_first is set", "batch_first is not set"),
    "unbatched": ("x is unbatched", "x is a batch"),
    "ragged": ("lengths are given", "no lengths are given"),
    "padding": ("some row is shorter than L", "no row is shorter than L"),
    "equal_lengths": ("all rows are equally long", "rows differ in length"),
    "sorted_lengths": ("no row is longer than the one before", "some row is longer than the one before"),
    "full": ("some row has all L steps", "every row is shorter than L"),
    "contiguous": ("x and the state are contiguous in memory", "x or the state is not contiguous in memory"),
    "x_contiguous": ("x is contiguous in memory", "x is not contiguous in memory"),
    "h_0": ("h_0 is given", "no h_0 is given"),
    "c_0": ("c_0 is given", "no c_0 is given"),
    "h_read": ("some step begins with an h that is not zeros", "no step begins with an h that is not zeros"),
    "c_read": ("some step begins with a c that is not zeros", "no step begins with a c that is not zeros"),
    "after_other_model": ("another model was called before", "no other model was called before"),
    "training": ("the model is in training mode", "the model is in evaluation mode"),
}

#: The words for a trait that is told in a way of its own.
_TRAITS = {
    ("state", "=", "both"): "a state is given",
    ("state", "=", "none"): "no state is given",
    ("state", "not", "none"): "a state is given",
    ("state", "not", "both"): "no c_0, or no h_0, other than zeros is given",
    ("state", "=", "h"): "h_0 is given and c_0 is zeros",
    ("state", "=", "c"): "c_0 is given and h_0 is zeros",
    ("directions", "=", 1): "there is one direction",
    ("directions", "=", 2): "there are two directions",
    ("layers", "=", 1): "there is one layer",
    ("layers", "<=", 1): "there is one layer",
    ("slots", "=", 1): "there is one layer and one direction",
    ("slots", ">=", 2): "there are several layers or directions",
    ("L", "=", 1): "there is one step",
    ("L", "<=", 1): "there is one step at most",
    ("N", "=", 1): "there is one row",
    ("longest", "<=", 1): "every row has one step at most",
    ("proj", ">=", 1): "there is a projection",
    ("proj", "=", 0): "there is no projection",
    ("proj", "<=", 0): "there is no projection",
    ("earlier", ">=", 1): "the model was called before",
    ("earlier", "=", 0): "it is the model's first call",
    ("earlier", "<=", 0): "it is the model's first call",
}

#: How an array lies in memory, in words that follow its name.
_MEMORIES = {
    "plain": "in the order of C",
    "permuted": "with its axes in another order than in C",
    "apart": "with its features apart",
    "gapped": "with gaps between its steps or rows",
    "backwards": "with negative strides",
    "offset": "from within a larger buffer on",
    "readonly": "where it is read-only",
}

_SIGNS = {"=": "=", "not": "≠", ">=": "≥", "<=": "≤", ">": ">", "<": "<"}

#: What those that fail in the same way do; of all others, that they are wrong.
_FAILS = {Outcome.ERROR: "Raises", Outcome.CRASHED: "Crashes", Outcome.TIMEOUT: "Hangs"}


def located(at: Place | None, found: Conditions | None, failed: Sequence[Verdict] = ()) -> str:
    """A sentence without its end: the place, then the conditions with the cases that say so."""
    outcomes = {verdict.outcome for verdict in failed}
    fails = _FAILS.get(min(outcomes), "Wrong") if len(outcomes) == 1 else "Wrong"
    told = [place(at) if at and fails == "Wrong" else "", conditions(found) if found else ""]
    first = f"{fails} {', '.join(filter(None, told)) or 'at no place and under no condition that was found'}"
    return "; ".join([first, *(map(_misplaced, at.misplaced) if at else ())])


def conditions(found: Conditions) -> str:
    """Under which conditions it is wrong, with the cases that say so."""
    traits = enumerated([trait(one) for one in found.traits])
    inside = f"{found.failed} of {counted(found.inside, 'recorded case' if found.recorded else 'case')}"
    cases = f"({inside}; {found.failed_outside} of {counted(found.outside, 'other')})"
    if not traits:
        return f"in {inside}, under no condition that was found"
    if found.exact:
        return f"exactly where {traits} {cases}"
    if not found.outside:
        return f"where {traits} ({inside}; no other case was seen)"
    if not found.failed_outside:
        return f"only where {traits}, but not always there {cases}"
    if found.failed == found.inside:
        return f"always where {traits}, and in some other cases {cases}"
    return f"mostly where {traits} {cases}"


def trait(one: Trait) -> str:
    """A trait as a clause: "layers ≥ 2", "H is a multiple of 4", "a state is given"."""
    name, relation, value = _DIMENSIONS.get(one.dimension, one.dimension), one.relation, one.value
    if type(value) is bool:
        if one.dimension.startswith(("after_", "previous_")) and one.dimension not in _FLAGS:
            holds, not_so = _of_earlier(one.dimension)
        else:
            holds, not_so = _FLAGS.get(one.dimension, (f"{name} holds", f"{name} does not hold"))
        return holds if value == (relation != "not") else not_so
    if told := _TRAITS.get((one.dimension, relation, value)):
        return told
    if one.dimension in ("memory", "x_memory"):
        whose = "x" if one.dimension == "x_memory" else "x or the state"
        lies = "does not lie in memory" if relation == "not" else "lies in memory"
        return f"{whose} {lies} {_MEMORIES[str(value)]}"
    if one.dimension == "fill":
        return f"the kind of values is {'not ' * (relation == 'not')}“{value}”"
    # "N = L" compares two sizes, "the dtype is float32" does not.
    word = isinstance(value, str) and value not in _SIZES
    told = f"{value:g}" if isinstance(value, float) else _DIMENSIONS.get(str(value), str(value))
    match relation:
        case "=" | "not" if word:
            return f"{name} is {'not ' * (relation == 'not')}{told}"
        case "=" | "not" | ">=" | "<=" | ">" | "<":
            return f"{name} {_SIGNS[relation]} {told}"
        case "multiple of":
            return f"{name} is a multiple of {told}"
        case _:
            return f"{name} is {relation} {told}"


def _of_earlier(dimension: str) -> tuple[str, str]:
    """The words for what a call before had, such as "previous_same_rows+lengths", and for the contrary."""
    when, _, names = dimension.partition("_")
    told = enumerated([_EARLIER.get(name, name) for name in names.split("+")])
    if when == "after":
        return f"an earlier call had {told}", f"no earlier call had {told}"
    return f"the call before had {told}", f"the call before did not have {told}"


def place(found: Place) -> str:
    """Where in its results it is wrong, and by how much: of each, what tells a person something."""
    right = [name for name in Result._fields if name not in found.tensors]
    tensors = f"in {enumerated(found.tensors)}" if found.tensors else ""
    tensors += f" (not in {' or '.join(right)})" if tensors and right else ""
    slots = [
        ("the forward direction", "the reverse direction")[d] for d in found.directions if len(found.directions) == 1
    ]
    slots += _some("layer", found.layers)
    parts = [f"{tensors} {'of' if tensors else 'in'} {' of '.join(slots)}" if slots else tensors]
    parts += [f"through gate{'s' * (len(found.gates) > 1)} {enumerated(found.gates)}"] * (0 < len(found.gates) < 4)
    parts += [_steps(found), *(f"in {some}" for some in (*_some("row", found.rows), *_some("unit", found.units)))]
    return ", ".join(filter(None, [*(part.strip() for part in parts), _size(found)]))


def _misplaced(found: Misplaced) -> str:
    """What stands where something else belongs, with an example."""
    # Halves are told apart where a reverse one has to do with it.
    halves = 1 in (*found.index[2:], *found.belongs[2:])
    here = f"{found.tensor}{_index(found.index, halves)}"
    if not found.source:
        return f"{here} is all zeros, as {found.alike} of {found.wrong} wrong ones are"
    there = f"{found.source}{_index(found.belongs, halves)}"
    many = f"{found.alike} of {found.wrong} wrong ones belong elsewhere in {found.source}"
    return f"{here} is what {there} should be; {many}"


def _index(index: tuple[int, ...], halves: bool) -> str:
    """An index, with the half of an output in words."""
    half = (" of the forward half", " of the reverse half")[index[2]] if halves and len(index) == 3 else ""
    return f"{list(index[:2])}{half}"


def _steps(found: Place) -> str:
    """Which steps are wrong; nothing where all are, or none is known."""
    first, steps = found.first_step, found.steps
    reads = " as the direction reads" if found.directions == (1,) else ""
    if steps == (-1,):
        return f"at the last step{reads}"
    if steps == (0,):
        return f"at the first step{reads}"
    if steps and steps != tuple(range(steps[0], steps[-1] + 1)):
        return f"at {_some('step', steps)[0]}{reads}"
    return f"from t = {first} on{reads}" if first else ""


def _size(found: Place) -> str:
    """By how much it is wrong; in roundoffs, where the error is as small as rounding may be."""
    if found.error is None:
        return ""
    if not math.isfinite(found.error):
        return "by NaN or infinity"
    told = f"by {found.error:.2g} at most"
    units = found.in_roundoffs
    if units.get("float32", math.inf) > _SMALL * _FLOAT32:
        return told
    few = min((size for size in units.values() if size <= _ROUNDOFFS), default=None, key=lambda size: -size)
    if few is None:
        return told
    names = " or ".join(name for name, size in units.items() if size == few)
    return f"{told} ({few:.2g} roundoff{'s' * (f'{few:.2g}' != '1')} of {names})"


def _some(noun: str, values: Sequence[int]) -> list[str]:
    """Some numbered things in words; −1 alone is always the last."""
    if not values:
        return []
    if tuple(values) == (-1,):
        return [f"the last {noun}"]
    if len(values) > 2 and tuple(values) == tuple(range(values[0], values[-1] + 1)):
        return [f"{noun}s {values[0]} to {values[-1]}"]
    more = [f"{len(values) - _LISTED} more"] if len(values) > _LISTED else []
    return [f"{noun}{'s' * (len(values) > 1)} {enumerated([*map(str, values[:_LISTED]), *more])}"]
