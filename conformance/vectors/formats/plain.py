"""Plain JSON, ``.npz`` and safetensors: one file for each vector, with the same arrays by the same names."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from conformance.spec import Array
from conformance.vectors.formats.needed import needed
from conformance.vectors.search import Chosen
from conformance.vectors.vector import Vector

#: The version of what the files say, which changes if a reader must.
VERSION = 1


def about(chosen: Chosen) -> dict[str, Any]:
    """What a file says beside its arrays."""
    case = chosen.vector.case
    return {
        "lstm-conformance vector": VERSION,
        "name": chosen.name,
        "made": chosen.vector.text,
        "config": asdict(case.config),
        "unbatched": case.unbatched,
    }


def write_npz(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``NAME.npz``: the arrays, and ``about``, the rest as JSON in an array of one text."""
    for one in chosen:
        file = io.BytesIO()
        arrays: dict[str, Any] = {"about": np.array(json.dumps(about(one))), **one.vector.arrays}
        np.savez_compressed(file, **arrays)
        (folder / f"{one.name}.npz").write_bytes(file.getvalue())


def write_safetensors(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``NAME.safetensors``: the arrays, and the rest as JSON in the metadata's ``about``."""
    save = needed("safetensors.numpy", "safetensors").save
    for one in chosen:
        arrays = {name: np.ascontiguousarray(array) for name, array in one.vector.arrays.items()}
        (folder / f"{one.name}.safetensors").write_bytes(save(arrays, {"about": json.dumps(about(one))}))


def write_json(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``NAME.json``: each array as its shape and its numbers in C's order."""
    for one in chosen:
        (folder / f"{one.name}.json").write_text(_json(one), encoding="utf-8")


def groups(vector: Vector) -> dict[str, dict[str, Array]]:
    """All arrays by what they are for."""
    want, bound = vector.expectations
    inputs, params = vector.inputs, dict(vector.case.params)
    return {"params": params, "inputs": inputs, "expected": want._asdict(), "bound": bound._asdict()}


def _json(chosen: Chosen) -> str:
    """One line for each array."""
    lines = [f'  "{key}": {json.dumps(value)}' for key, value in about(chosen).items()]
    for kind, arrays in groups(chosen.vector).items():
        inner = (
            f'    "{name}": {{"shape": {list(array.shape)}, "data": [{",".join(numbers(array))}]}}'
            for name, array in arrays.items()
        )
        lines.append(f'  "{kind}": {{\n' + ",\n".join(inner) + "\n  }")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def numbers(array: Array) -> Iterable[str]:
    """An array's numbers in C's order, as JSON: the shortest text that is read back as the same number.

    JSON has no NaN and no infinity: they are the texts "NaN", "Infinity" and "-Infinity".
    """
    flat = array.reshape(-1)
    if flat.dtype.kind == "i":
        return map(str, flat.tolist())
    return (_number(value) if np.isfinite(value) else _text(value) for value in flat)


def _number(value: np.floating[Any]) -> str:
    if not value:
        # JSON's -0 is a whole number, which has no sign.
        return "-0.0" if np.signbit(value) else "0"
    positional = np.format_float_positional(value, trim="-")
    shortest = min(positional, np.format_float_scientific(value, trim="-", exp_digits=1), key=len)
    # A reader makes a double of it first. Where that would round to another number, all of its digits are written.
    return shortest if type(value)(float(shortest)) == value else repr(float(value))


def _text(value: np.floating[Any]) -> str:
    return '"NaN"' if np.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
