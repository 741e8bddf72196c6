"""A C header with all arrays, their expected results and bounds, and a checker that needs no library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from conformance.spec import Array, layer_params
from conformance.vectors.formats.plain import numbers
from conformance.vectors.search import Chosen

_TYPES = {"float32": "float", "float64": "double"}

#: Of a layer and direction, in nn.LSTM's layout.
_CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")

_HEAD = """\
/* Test vectors for an LSTM, made by lstm-conformance. The README.md beside the folder says what they are.
 *
 * All arrays are contiguous and row-major, laid out as torch.nn.LSTM lays them out: gates i, f, g, o; D is 2 if
 * bidirectional, else 1; H is hidden_size; P is proj_size, or H if that is 0. A result may be off from the expected
 * number by the bound of that number, and no more. NAN and INFINITY are math.h's; nothing of libm is called. */
#ifndef LSTM_VECTORS_H
#define LSTM_VECTORS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef {real} lstm_real;

typedef struct {{
    const lstm_real *weight_ih; /* (4H, I), and (4H, D*P) above the first layer */
    const lstm_real *weight_hh; /* (4H, P) */
    const lstm_real *bias_ih, *bias_hh; /* (4H,) both, or NULL both */
    const lstm_real *weight_hr; /* (P, H), or NULL if proj_size is 0 */
}} lstm_vector_cell;

typedef struct {{
    const char *name;
    size_t input_size, hidden_size, num_layers, proj_size, steps, batch;
    int bidirectional;
    int batch_first; /* x and output are (N, L, features) rather than (L, N, features) */
    const lstm_vector_cell *cells; /* layers*D of them, layer-major, forward before reverse */
    const lstm_real *x;
    const lstm_real *h_0, *c_0; /* (layers*D, N, P) and (layers*D, N, H), or NULL both for zeros */
    const int64_t *lengths; /* (N,), each row's number of valid steps, or NULL if all are */
    size_t output_count, h_n_count, c_n_count;
    const lstm_real *output, *h_n, *c_n; /* what a correct LSTM returns */
    const lstm_real *output_bound, *h_n_bound, *c_n_bound;
}} lstm_vector;

enum {{ LSTM_VECTORS = {count}, LSTM_VECTORS_MOST = {most} /* numbers in the largest result */ }};
"""


def write_c(folder: Path, chosen: Sequence[Chosen]) -> None:
    """``lstm_vectors.h`` and ``check.c``."""
    results = [array.size for one in chosen for array in one.vector.expectations.want]
    real = _TYPES[chosen[0].vector.case.config.dtype]
    parts = [_HEAD.format(real=real, count=len(chosen), most=max(results))]
    entries = []
    for number, one in enumerate(chosen, 1):
        parts.append("\n".join(_arrays(f"lstm_v{number:02}", one)))
        entries.append(_entry(f"lstm_v{number:02}", one))
    table = "static const lstm_vector lstm_vectors[LSTM_VECTORS] = {\n" + ",\n".join(entries) + "\n};\n"
    (folder / "lstm_vectors.h").write_text("\n".join([*parts, table, "#endif\n"]), encoding="utf-8")
    checker = resources.files("conformance.vectors.formats").joinpath("check.c").read_text(encoding="utf-8")
    (folder / "check.c").write_text(checker, encoding="utf-8")


def _arrays(name: str, chosen: Chosen) -> Iterator[str]:
    """The arrays of a vector, each with its shape in a comment, and the table of its cells."""
    vector = chosen.vector
    yield f"/* {chosen.name}: {vector.case.describe().replace('→', ' to ')} */"
    for part, array in vector.arrays.items():
        kind = "int64_t" if array.dtype.kind == "i" else "lstm_real"
        shape = ", ".join(map(str, array.shape))
        values = [_literal(text, array) for text in numbers(array)]
        lines = (",".join(values[k : k + 8]) for k in range(0, len(values), 8))
        yield f"static const {kind} {name}_{part}[{array.size}] = {{ /* ({shape}) */\n" + ",\n".join(lines) + "};"
    rows = []
    for slot in vector.case.config.slots():
        held = layer_params(vector.case.params, slot)
        rows.append("{" + ", ".join(f"{name}_{p}{slot.suffix}" if p in held else "NULL" for p in _CELL) + "}")
    yield f"static const lstm_vector_cell {name}_cells[{len(rows)}] = {{\n" + ",\n".join(rows) + "};\n"


def _literal(text: str, array: Array) -> str:
    """A number of JSON as one of C."""
    if array.dtype.kind == "i":
        return text
    special = {'"NaN"': "NAN", '"Infinity"': "INFINITY", '"-Infinity"': "-INFINITY"}
    if text in special:
        return special[text]
    whole = text if "e" in text or "." in text else f"{text}."
    return whole + ("f" if array.dtype == np.float32 else "")


def _entry(name: str, chosen: Chosen) -> str:
    case, given = chosen.vector.case, chosen.vector.inputs
    config, want = case.config, chosen.vector.expectations.want
    inputs = [f"{name}_{part}" if part in given else "NULL" for part in ("x", "h_0", "c_0", "lengths")]
    sizes = config.input_size, config.hidden_size, config.num_layers, config.proj_size, case.steps, case.batch
    # A single sequence lies in memory as one row does, wherever the axis of rows would stand.
    words = [f'"{chosen.name}"', *map(str, sizes), str(int(config.bidirectional)), str(int(config.batch_first))]
    words += [f"{name}_cells", *inputs, *(str(array.size) for array in want)]
    words += [f"{name}_{part}{end}" for end in ("", "_bound") for part in ("output", "h_n", "c_n")]
    return "{" + ", ".join(words) + "}"
