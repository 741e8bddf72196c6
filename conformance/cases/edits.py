"""Edits: the steps by which the simplifier makes a case smaller and easier to read, one text each.

``-t3``, ``-n0``, ``-i1`` and ``-u2`` delete a time step, row, input feature or hidden unit. ``0:x`` zeroes a tensor,
``0:x[2:4]`` a range of its elements, in C order, ``0:x[2]`` one of them; ``1:…`` sets them to ±1 or 0, ``r:…`` rounds.

A recipe's edits are applied from left to right, each to the result of the one before: an index counts what is still
there. Invariant: after each edit the tensors have the shapes that the config gives them, and no length exceeds L. An
edit never adds anything: it deletes, or sets elements to 0, ±1 or whole numbers. One step, row,
feature and unit are always left.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.errors import UsageError
from conformance.spec import Array, LSTMConfig

#: A model and a call: its config; its parameters, x and the states that are given, by name; lengths (N,) or None.
Arrays = tuple[LSTMConfig, dict[str, Array], Array | None]

_CHANGES: dict[str, Callable[[Array], Array]] = {"0": lambda values: 0 * values, "1": np.sign, "r": np.rint}


def apply(edit: str, config: LSTMConfig, tensors: dict[str, Array], lengths: Array | None) -> Arrays:
    """A model and a call after one edit, in new arrays where they differ; ``UsageError`` if it does not fit."""
    if not re.fullmatch(r"-[tniu]\d+|[01r]:\w+(\[\d+(:\d+)?\])?", edit):
        raise UsageError(f"recipe edit {edit!r} is not known", "edits are like -t0, -u2, 0:x, 1:x[3], r:c_0[0:4]")
    try:
        if edit[0] == "-":
            return _delete(edit[1], int(edit[2:]), config, tensors, lengths)
        how, _, place = edit.partition(":")
        name, _, span = place.rstrip("]").partition("[")
        first, _, last = span.partition(":")
        elements = slice(int(first), int(last) if last else int(first) + 1) if span else slice(None)
        values = tensors[name].copy()
        flat = values.reshape(-1)
        flat[elements] = _CHANGES[how](flat[elements])
        return config, {**tensors, name: values}, lengths
    except (KeyError, ValueError, IndexError) as error:
        raise UsageError(f"recipe edit {edit!r} does not fit its case ({error})") from error


def _delete(what: str, index: int, config: LSTMConfig, tensors: dict[str, Array], lengths: Array | None) -> Arrays:
    smaller = {
        "i": {"input_size": config.input_size - 1},
        "u": {"hidden_size": config.hidden_size - 1},
    }
    left, fewer = replace(config, **smaller.get(what, {})), dict(tensors)
    if what in "tn" and fewer["x"].shape["tn".index(what)] == 1:
        raise ValueError("nothing would be left")
    for name in tensors:
        for axis, places in _places(what, index, name, config):
            fewer[name] = np.ascontiguousarray(np.delete(fewer[name], places, axis))
    if lengths is not None and what == "n":
        lengths = np.delete(lengths, index)
    elif lengths is not None and what == "t":
        lengths = np.minimum(lengths, len(fewer["x"]))
    return left, fewer, lengths


def _places(what: str, index: int, name: str, config: LSTMConfig) -> list[tuple[int, int | list[int]]]:
    """The axes of a tensor on which it loses a step (t), row (n), feature (i) or unit (u), and at which indices."""
    kind, H = name.partition("_l")[0], config.hidden_size
    if what == "t":
        return [(0, index)] if name == "x" else []
    if what == "n":
        return [(1, index)] if name in ("x", "h_0", "c_0") else []
    if what == "i":
        return [(2, index)] if name == "x" else [(1, index)] if name.startswith("weight_ih_l0") else []
    if name == "x":
        return []
    if kind in ("h_0", "c_0"):
        return [] if name == "h_0" and config.proj_size else [(2, index)]
    if kind == "weight_hr":
        return [(1, index)]
    rows = (0, [gate * H + index for gate in range(4)])
    if config.proj_size or kind.startswith("bias") or name.startswith("weight_ih_l0"):
        return [rows]
    # What reads hidden units loses a column for each direction that it reads.
    directions = config.num_directions if kind == "weight_ih" else 1
    return [rows, (1, [direction * H + index for direction in range(directions)])]
